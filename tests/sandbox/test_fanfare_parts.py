"""Fanfare's rules of audiences, body checks, and the CSV rules of imports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sandbox.fanfare import bodies
from sandbox.fanfare.files import ImportRefusedError, ParsedFile, parse
from sandbox.fanfare.rules import holds, meets
from sandbox.settings import SandboxSettings
from tests.sandbox.support import UNKNOWN_UUID, refusal, table

SETTINGS = SandboxSettings()


@dataclass
class Condition:
    field: str
    operator: str
    values: list[Any] = field(default_factory=list)
    group_id: str | None = None


def test_holds_for_each_operator_compares_the_value() -> None:
    # operator -> value of the consumer, values of the rule, result
    cases: dict[str, list[tuple[Any, list[Any], bool]]] = {
        "EQUALS": [
            *(("gold", ["gold"], True), ("Gold", ["gold"], False), (5, ["5"], True), (None, ["x"], False)),
            (["vip", "new"], ["vip"], True),
        ],
        "NOT_EQUALS": [("gold", ["gold"], False), (None, ["gold"], True)],
        "GREATER_THAN": [(10, [9], True), ("10", [9], True), (9, [9], False), (None, [9], False)],
        "GREATER_THAN_OR_EQUAL": [(9, [9], True)],
        "LESS_THAN": [(9, [10], True), ("2025-01-01", ["2025-01-02"], True)],
        "LESS_THAN_OR_EQUAL": [(11, [10], False)],
        "BETWEEN": [(5, [5, 10], True), (10, [5, 10], True), (11, [5, 10], False)],
        "CONTAINS": [
            *(("anna@example.com", ["example"], True), (["vip"], ["vip"], True), (["vip"], ["vi"], False)),
        ],
        "NOT_CONTAINS": [("anna", ["x"], True)],
        "IN": [("gold", ["silver", "gold"], True)],
        "NOT_IN": [("gold", ["silver", "gold"], False)],
        "EXISTS": [("x", [], True), (None, [], False), (0, [], True)],
        "NOT_EXISTS": [("", [], True)],
    }
    assert set(cases) == set(bodies.OPERATORS)
    with table() as check:
        for operator, rows in cases.items():
            for value, operands, result in rows:
                check((operator, value, operands), holds(operator, value, operands), result)


def test_meets_requires_all_rules_of_one_group() -> None:
    consumer = {"loyaltyTier": "gold", "loyaltyPoints": 50, "metadata": {"seat": "A1"}}
    gold, rich = (
        Condition("loyaltyTier", "EQUALS", ["gold"]),
        Condition("loyaltyPoints", "GREATER_THAN", [90]),
    )
    assert meets(consumer, [gold])
    assert not meets(consumer, [gold, rich])
    assert meets(consumer, [Condition("loyaltyTier", "EQUALS", ["gold"], "one"), rich])
    assert meets(consumer, [Condition("metadata.seat", "EQUALS", ["A1"])])
    assert meets(consumer, [Condition("seat", "EQUALS", ["A1"])])
    assert not meets(consumer, [])


# --- bodies ---------------------------------------------------------------------------------------------

RULE = {"field": "email", "operator": "EXISTS", "values": []}
FULL = {
    "name": "Fans",
    "type": "DYNAMIC",
    "description": "d",
    "groupId": UNKNOWN_UUID,
    "groupName": "g",
    "groupType": "RFM",
    "iconName": "star",
    "lastRefreshedAt": "2023-11-07T05:31:56Z",
    "metadata": {"a": 1},
    "primarySyncSource": {"syncSource": "klaviyo:list", "syncSourceId": "L1", "syncStatus": "PENDING"},
    "refreshIntervalSeconds": 60.5,
    "rules": [{**RULE, "groupId": UNKNOWN_UUID, "position": 0}],
}


def problems(body: Any, **settings: Any) -> list[str]:
    issues = bodies.validate(body, bodies.POST_AUDIENCE, SandboxSettings(**settings))
    for issue in issues:
        assert set(issue) == {"kind", "type", "expected", "received", "message", "path"}
    return [".".join(str(step["key"]) for step in issue["path"]) for issue in issues]


def test_validate_with_an_invalid_field_returns_its_path() -> None:
    nulls = {name: None for name in FULL if name not in {"name", "type"}}
    # field -> invalid values
    simple: dict[str, list[Any]] = {
        "name": ["", None, 5],
        "type": ["STATIC", "dynamic", None],
        "description": [1],
        "groupId": ["g-1"],
        "groupType": ["OTHER"],
        "lastRefreshedAt": ["yesterday", "2023-13-07T05:31:56Z"],
        "metadata": [[]],
        "refreshIntervalSeconds": ["60", True],
        "rules": [{}],
        "unknown": [1],
    }
    cases = [({name: value}, name) for name, values in simple.items() for value in values]
    cases.append(({"primarySyncSource": {"syncSource": "x"}}, "primarySyncSource.syncSourceId"))
    for rules, where in (
        ([{**RULE, "operator": "LIKE"}], "rules.0.operator"),
        ([RULE, {**RULE, "values": [{}]}], "rules.1.values.0"),
        ([{**RULE, "operator": "BETWEEN", "values": [1]}], "rules.0.values"),
        ([{**RULE, "operator": "EQUALS"}], "rules.0.values"),
    ):
        cases.append(({"rules": rules}, where))
    with table() as check:
        check("full", problems(FULL), [])
        check("nulls", problems({"name": "Fans", "type": "DYNAMIC", **nulls}), [])
        for change, where in cases:
            check(change, problems({**FULL, **change}), [where])
        for body in (None, [], "x", 1):
            check(body, problems(body), [""])
        ignoring = problems({**FULL, "unknown": 1}, fanfare_unknown_fields="ignore")
        check("unknown field ignored", ignoring, [])


def test_validate_with_handwritten_pages_accepts_their_words() -> None:
    def handwritten(**change: Any) -> list[str]:
        return problems({**FULL, "rules": None, **change}, fanfare_docs_generation="handwritten")

    assert handwritten(type="STATIC") == []
    assert handwritten(type="STATIC_LIST") == ["type"]
    assert handwritten(groupId="grp_01HXYZ") == []
    assert handwritten(rules=[RULE]) == ["rules.0.operator"]
    assert handwritten(rules=[{**RULE, "operator": "IN", "values": [1]}]) == []
    tiers = {"groupName": "g", "tiers": [{"name": "a", "order": 1, "startValue": 0}]}
    by_hand = SandboxSettings(fanfare_docs_generation="handwritten")
    assert bodies.validate(tiers, bodies.loyalty_tiers(SETTINGS), SETTINGS) == []
    assert len(bodies.validate(tiers, bodies.loyalty_tiers(by_hand), by_hand)) == 1
    assert bodies.posted_rules([RULE], SETTINGS) != []
    assert bodies.posted_rules([{**RULE, "operator": "IN", "values": [1]}], by_hand) == []
    assert bodies.posted_rules(RULE, by_hand) != []


# --- files ----------------------------------------------------------------------------------------------


def read(text: str | bytes, **settings: Any) -> ParsedFile:
    content = text.encode() if isinstance(text, str) else text
    return parse(content, SandboxSettings(**settings))


def test_parse_reads_every_column() -> None:
    parsed = read(
        "email,phone,externalId,firstName,lastName,fullName,tags,loyaltyPoints,loyaltyTier,metadata\r\n"
        'anna@example.com,+31612345678,c-1,Anna,Berg,Anna Berg,"vip, early",120,gold,"{""seat"": ""A1""}"\r\n'
    )
    assert parsed.profiles == [
        {
            "email": "anna@example.com",
            "phone": "+31612345678",
            "externalId": "c-1",
            "firstName": "Anna",
            "lastName": "Berg",
            "fullName": "Anna Berg",
            "tags": ["vip", "early"],
            "loyaltyPoints": 120,
            "loyaltyTier": "gold",
            "metadata": {"seat": "A1"},
        }
    ]
    assert (parsed.total, parsed.error_count, parsed.errors) == (1, 0, [])


def test_parse_accepts_line_ends_and_empty_values() -> None:
    expected = [{"email": "a@example.com"}, {"phone": "+31612345678"}]
    for ending in ("\n", "\r\n"):
        rows = ["email,phone", "a@example.com,", ",+31612345678", ""]
        assert read(ending.join(rows)).profiles == expected
    parsed = read("email,shoe\na@example.com,43\n", fanfare_unknown_columns="ignore")
    assert parsed.profiles == [{"email": "a@example.com"}]


def test_parse_with_an_invalid_file_is_refused() -> None:
    cases = [
        (b"", "file is empty"),
        (b"\n", "file is empty"),
        (b"\xef\xbb\xbfemail\na@example.com\n", "byte order mark"),
        (b"email\na@example.com\nb\xff@example.com\n", "line 3: not UTF-8"),
        (b"firstName\nAnna\n", "none of email, phone, externalId"),
        (b"email;phone\na@example.com;\n", "column 1 is unknown"),
        (b"Email\na@example.com\n", "column 1 is unknown"),
        (b"email, phone\na@example.com,\n", "column 2 is unknown"),
        (b"email,email\na@example.com,\n", "column 2 occurs twice"),
        (b"email\n", "no data row"),
        (b'email\n"a@example.com\n', "line 2: broken quoting"),
        (b'email\n"a"@example.com\n', "line 2: broken quoting"),
    ]
    many = "\n".join(["externalId", *map(str, range(100_000))])
    limits = [
        ("email\na@example.com\n", {"fanfare_max_bytes": 20}, None),
        ("email\na@example.com\n", {"fanfare_max_bytes": 19}, "larger than 19 bytes"),
        ("externalId\n1\n1\n1\n", {"fanfare_max_rows": 3}, None),
        ("externalId\n1\n1\n1\n", {"fanfare_max_rows": 2}, "more than 2 rows"),
        (many, {}, None),
        (f"{many}\nx", {}, "more than 100000 rows"),
    ]
    with table() as check:
        for content, reason in cases:
            actual = refusal(ImportRefusedError, lambda content=content: read(content))
            check((content, actual), reason in (actual or ""), True)
        for text, settings, limit in limits:
            actual = refusal(ImportRefusedError, lambda text=text, settings=settings: read(text, **settings))
            check(
                (settings, limit, actual), actual is None if limit is None else limit in (actual or ""), True
            )


def test_parse_with_an_invalid_value_quotes_it_in_the_row_error() -> None:
    cases = [
        ("email", "nonsense", "email"),
        ("email", "a b@example.com", "email"),
        ("email", "a@example", "email"),
        ("phone", "31612345678", "phone"),
        ("phone", "+0612345678", "phone"),
        ("phone", "+31 6 12345678", "phone"),
        ("email,loyaltyPoints", "a@example.com,many", "loyaltyPoints"),
        ("email,metadata", "a@example.com,seat", "metadata"),
        ("email,metadata", "a@example.com,[1]", "metadata"),
    ]
    with table() as check:
        for header, row, key in cases:
            parsed = read(f"{header},externalId\n{row},c-1\n{',' * header.count(',')},c-2\n")
            check(row, parsed.profiles, [{"externalId": "c-2"}])
            (error,) = parsed.errors
            check(row, (error["row"], parsed.error_count, parsed.total), (1, 1, 2))
            (issue,) = error["issues"]
            check(row, set(issue), {"kind", "type", "expected", "received", "message", "path"})
            (step,) = issue["path"]
            check(row, set(step), {"type", "origin", "input", "key"})
            value = dict(zip(header.split(","), row.split(",", header.count(",")), strict=True))[key]
            check(row, (step["key"], issue["received"]), (key, json.dumps(value)))


def test_parse_with_invalid_rows_counts_and_limits_errors() -> None:
    parsed = read("email,firstName\na@example.com\n,Anna\n\nb@example.com,Ben\n")
    assert [error["row"] for error in parsed.errors] == [1, 2, 3]
    assert parsed.profiles == [{"email": "b@example.com", "firstName": "Ben"}]
    # the setting limits the list
    parsed = read("email\n" + "x\n" * 5, fanfare_error_limit=2)
    assert (len(parsed.errors), parsed.error_count) == (2, 5)
    parsed = read(
        "email\na@example.com\nb@Refused.example\n", fanfare_refused_domains="other.example, refused.example"
    )
    assert [profile["email"] for profile in parsed.profiles] == ["a@example.com"]
    assert parsed.error_count == 1
