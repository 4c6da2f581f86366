"""The CSV rules of Fanfare's imports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.fanfare.files import ImportRefusedError, ParsedFile, parse
from sandbox.settings import SandboxSettings


def read(text: str | bytes, **settings: Any) -> ParsedFile:
    content = text.encode() if isinstance(text, str) else text
    return parse(content, SandboxSettings(**settings))


def test_every_column_is_read() -> None:
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


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_either_line_ending_will_do(ending: str) -> None:
    assert read(ending.join(["phone", "+31612345678", ""])).profiles == [{"phone": "+31612345678"}]


def test_empty_values_are_left_out() -> None:
    assert read("email,phone\na@example.com,\n,+31612345678\n").profiles == [
        {"email": "a@example.com"},
        {"phone": "+31612345678"},
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
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
    ],
)
def test_a_file_that_is_refused_as_a_whole(content: bytes, reason: str) -> None:
    with pytest.raises(ImportRefusedError, match=reason):
        read(content)


def test_the_limits() -> None:
    assert read("email\na@example.com\n", fanfare_max_bytes=20).total == 1
    with pytest.raises(ImportRefusedError, match="larger than 19 bytes"):
        read("email\na@example.com\n", fanfare_max_bytes=19)
    rows = "externalId\n" + "1\n" * 3
    assert read(rows, fanfare_max_rows=3).total == 3
    with pytest.raises(ImportRefusedError, match="more than 2 rows"):
        read(rows, fanfare_max_rows=2)


def test_100_000_rows_are_the_limit_unless_told_otherwise() -> None:
    rows = ["externalId", *map(str, range(100_000))]
    assert read("\n".join(rows)).total == 100_000
    with pytest.raises(ImportRefusedError, match="more than 100000 rows"):
        read("\n".join([*rows, "x"]))


def test_unknown_columns_may_be_ignored() -> None:
    assert read("email,shoe\na@example.com,43\n", fanfare_unknown_columns="ignore").profiles == [
        {"email": "a@example.com"}
    ]


@pytest.mark.parametrize(
    ("header", "row", "key"),
    [
        ("email", "nonsense", "email"),
        ("email", "a b@example.com", "email"),
        ("email", "a@example", "email"),
        ("phone", "31612345678", "phone"),
        ("phone", "+0612345678", "phone"),
        ("phone", "+31 6 12345678", "phone"),
        ("email,loyaltyPoints", "a@example.com,many", "loyaltyPoints"),
        ("email,metadata", "a@example.com,seat", "metadata"),
        ("email,metadata", "a@example.com,[1]", "metadata"),
    ],
)
def test_a_bad_value_is_an_error_of_its_row_that_quotes_it(header: str, row: str, key: str) -> None:
    parsed = read(f"{header},externalId\n{row},c-1\n{',' * header.count(',')},c-2\n")
    assert parsed.profiles == [{"externalId": "c-2"}]
    ((error),) = parsed.errors
    assert (error["row"], parsed.error_count, parsed.total) == (1, 1, 2)
    (issue,) = error["issues"]
    assert set(issue) == {"kind", "type", "expected", "received", "message", "path"}
    (step,) = issue["path"]
    assert set(step) == {"type", "origin", "input", "key"}
    value = dict(zip(f"{header}".split(","), row.split(",", header.count(",")), strict=True))[key]
    assert (step["key"], issue["received"]) == (key, json.dumps(value))


def test_rows_of_another_width_or_without_an_identifier_are_errors() -> None:
    parsed = read("email,firstName\na@example.com\n,Anna\n\nb@example.com,Ben\n")
    assert [error["row"] for error in parsed.errors] == [1, 2, 3]
    assert parsed.profiles == [{"email": "b@example.com", "firstName": "Ben"}]


def test_only_so_many_errors_are_listed() -> None:
    parsed = read("email\n" + "x\n" * 5, fanfare_error_limit=2)
    assert (len(parsed.errors), parsed.error_count) == (2, 5)


def test_domains_can_be_refused() -> None:
    parsed = read(
        "email\na@example.com\nb@Refused.example\n", fanfare_refused_domains="other.example, refused.example"
    )
    assert [profile["email"] for profile in parsed.profiles] == ["a@example.com"]
    assert parsed.error_count == 1
