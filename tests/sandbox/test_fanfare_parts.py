"""Fanfare's rules, paging and body checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.fanfare import bodies
from sandbox.fanfare.paging import Page, QueryError, read_query, take_page
from sandbox.fanfare.rules import holds, meets
from sandbox.settings import SandboxSettings

SETTINGS = SandboxSettings()
SORTABLE = ("createdAt", "name")


@dataclass
class Condition:
    field: str
    operator: str
    values: list[Any] = field(default_factory=list)
    group_id: str | None = None


@pytest.mark.parametrize(
    ("operator", "value", "wanted", "result"),
    [
        ("EQUALS", "gold", ["gold"], True),
        ("EQUALS", "Gold", ["gold"], False),
        ("EQUALS", 5, ["5"], True),
        ("EQUALS", None, ["x"], False),
        ("EQUALS", ["vip", "new"], ["vip"], True),
        ("NOT_EQUALS", "gold", ["gold"], False),
        ("NOT_EQUALS", None, ["gold"], True),
        ("GREATER_THAN", 10, [9], True),
        ("GREATER_THAN", "10", [9], True),
        ("GREATER_THAN", 9, [9], False),
        ("GREATER_THAN", None, [9], False),
        ("GREATER_THAN_OR_EQUAL", 9, [9], True),
        ("LESS_THAN", 9, [10], True),
        ("LESS_THAN", "2025-01-01", ["2025-01-02"], True),
        ("LESS_THAN_OR_EQUAL", 11, [10], False),
        ("BETWEEN", 5, [5, 10], True),
        ("BETWEEN", 10, [5, 10], True),
        ("BETWEEN", 11, [5, 10], False),
        ("CONTAINS", "anna@example.com", ["example"], True),
        ("CONTAINS", ["vip"], ["vip"], True),
        ("CONTAINS", ["vip"], ["vi"], False),
        ("NOT_CONTAINS", "anna", ["x"], True),
        ("IN", "gold", ["silver", "gold"], True),
        ("NOT_IN", "gold", ["silver", "gold"], False),
        ("EXISTS", "x", [], True),
        ("EXISTS", None, [], False),
        ("EXISTS", 0, [], True),
        ("NOT_EXISTS", "", [], True),
    ],
)
def test_operators(operator: str, value: Any, wanted: list[Any], result: bool) -> None:
    assert operator in bodies.OPERATORS
    assert holds(operator, value, wanted) is result


def test_rules_of_a_group_must_all_hold_and_one_group_is_enough() -> None:
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


# --- paging ---------------------------------------------------------------------------------------------


def page(query: dict[str, str], items: list[int] | None = None) -> Page[int]:
    found = read_query({"sortDir": "asc", **query}, SORTABLE)
    return take_page(list(range(1, 8)) if items is None else items, lambda item: ("", item), found)


def test_forward_in_either_direction() -> None:
    for direction, order in {"asc": [1, 2, 3, 4, 5, 6, 7], "desc": [7, 6, 5, 4, 3, 2, 1]}.items():
        seen: list[int] = []
        query = {"first": "3", "sortDir": direction}
        while (found := page(query)).items:
            seen += found.items
            assert found.end is not None
            assert found.is_last == (len(seen) == 7)
            query["after"] = found.end
        assert seen == order
        assert (found.start, found.end) == (None, None)


def test_backward() -> None:
    end = page({"last": "3"})
    assert end.items == [5, 6, 7]
    assert end.start is not None
    assert page({"last": "3", "before": end.start}).items == [2, 3, 4]
    newest = page({"last": "3", "sortDir": "desc"})
    assert newest.items == [3, 2, 1]
    assert newest.start is not None
    assert page({"first": "9", "before": newest.start, "sortDir": "desc"}).items == [7, 6, 5, 4]


def test_a_cursor_stays_good_when_its_item_goes() -> None:
    end = page({"first": "3"}).end
    assert end is not None
    assert page({"after": end}, [1, 2, 4, 5]).items == [4, 5]


def test_between_two_cursors() -> None:
    low, high = page({"first": "2"}).end, page({"last": "2"}).start
    assert low is not None
    assert high is not None
    assert page({"after": low, "before": high}).items == [3, 4, 5]
    assert page({"after": high, "before": low}).items == []


def test_the_size_is_20_unless_told_otherwise() -> None:
    assert len(page({}, list(range(30))).items) == 20
    assert len(page({"first": "100"}, list(range(300))).items) == 100


@pytest.mark.parametrize(
    "query",
    [
        {"first": "0"},
        {"first": "101"},
        {"first": "x"},
        {"first": "-1"},
        {"last": "101"},
        {"first": "1", "last": "1"},
        {"sortBy": "email"},
        {"sortDir": "up"},
        {"after": "no cursor"},
        {"after": ""},
        {"after": "W10"},
        {"before": "eyJhIjoxfQ"},
    ],
)
def test_a_bad_query_names_its_part(query: dict[str, str]) -> None:
    with pytest.raises(QueryError) as error:
        page(query)
    assert error.value.issues[0]["path"][0]["key"] in query


def test_a_cursor_of_another_order_is_refused() -> None:
    end = page({"first": "1"}).end
    assert end is not None
    with pytest.raises(QueryError):
        page({"after": end, "sortBy": "name"})


# --- bodies ---------------------------------------------------------------------------------------------

RULE = {"field": "email", "operator": "EXISTS", "values": []}
GROUP = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
FULL = {
    "name": "Fans",
    "type": "DYNAMIC",
    "description": "d",
    "groupId": GROUP,
    "groupName": "g",
    "groupType": "RFM",
    "iconName": "star",
    "lastRefreshedAt": "2023-11-07T05:31:56Z",
    "metadata": {"a": 1},
    "primarySyncSource": {"syncSource": "klaviyo:list", "syncSourceId": "L1", "syncStatus": "PENDING"},
    "refreshIntervalSeconds": 60.5,
    "rules": [{**RULE, "groupId": GROUP, "position": 0}],
}


def problems(body: Any, **settings: Any) -> list[str]:
    found = bodies.validate(body, bodies.POST_AUDIENCE, SandboxSettings(**settings))
    for issue in found:
        assert set(issue) == {"kind", "type", "expected", "received", "message", "path"}
    return [".".join(str(step["key"]) for step in issue["path"]) for issue in found]


def test_a_full_body_and_one_of_nulls_are_valid() -> None:
    assert problems(FULL) == []
    nulls = {name: None for name in FULL if name not in {"name", "type"}}
    assert problems({"name": "Fans", "type": "DYNAMIC", **nulls}) == []


@pytest.mark.parametrize("missing", ["name", "type"])
def test_what_is_required(missing: str) -> None:
    body = {key: value for key, value in FULL.items() if key != missing}
    (issue,) = bodies.validate(body, bodies.POST_AUDIENCE, SETTINGS)
    assert issue["received"] == "undefined"
    assert issue["path"] == [{"type": "object", "origin": "key", "input": body, "key": missing}]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"type": "STATIC"}, "type"),
        ({"type": "dynamic"}, "type"),
        ({"type": None}, "type"),
        ({"description": 1}, "description"),
        ({"groupId": "g-1"}, "groupId"),
        ({"groupType": "OTHER"}, "groupType"),
        ({"lastRefreshedAt": "yesterday"}, "lastRefreshedAt"),
        ({"lastRefreshedAt": "2023-13-07T05:31:56Z"}, "lastRefreshedAt"),
        ({"metadata": []}, "metadata"),
        ({"refreshIntervalSeconds": "60"}, "refreshIntervalSeconds"),
        ({"refreshIntervalSeconds": True}, "refreshIntervalSeconds"),
        ({"primarySyncSource": {"syncSource": "x"}}, "primarySyncSource.syncSourceId"),
        ({"rules": {}}, "rules"),
        ({"rules": [{**RULE, "operator": "LIKE"}]}, "rules.0.operator"),
        ({"rules": [RULE, {**RULE, "values": [{}]}]}, "rules.1.values.0"),
        ({"rules": [{**RULE, "operator": "BETWEEN", "values": [1]}]}, "rules.0.values"),
        ({"rules": [{**RULE, "operator": "EQUALS"}]}, "rules.0.values"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], where: str) -> None:
    assert problems({**FULL, **change}) == [where]


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_body_that_is_no_object(body: Any) -> None:
    assert problems(body) == [""]


def test_unknown_fields_may_be_ignored() -> None:
    assert problems({**FULL, "unknown": 1}, fanfare_unknown_fields="ignore") == []


def test_the_hand_written_pages_have_words_of_their_own() -> None:
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
