"""Digital Audience's rules for keys, files and matches, with the exact reason of each refusal."""

from __future__ import annotations

import pytest

from sandbox.digital_audience.files import FileRefusedError, check_file, member_columns, parse_key
from sandbox.digital_audience.matching import Matcher, apply
from tests.sandbox.support import csv_bytes, refusal, sha, table

A, B, C = sha("a"), sha("b"), sha("c")
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ALL_HEADERS = (
    "email_sha256,phone_sha256,address_sha256,postal code,house number,extension,apartment,street,"
    "personal_id_sha256,aaid,idfa,custom"
)
STAMP = "20251215_113616"
# reason -> keys
BAD_KEYS = {
    "key is not onboard/audience={id}/{mode}/{name}": [
        *(f"onboard/{STAMP}.csv", f"onboard/audience=1/opt-in/x/{STAMP}.csv"),
        f"Onboard/audience=1/opt-in/{STAMP}.csv",
    ],
    "second part of the key is not audience={id}": [
        f"onboard/{second}/opt-in/{STAMP}.csv" for second in ("1", "audience=x", "audience=", "Audience=1")
    ],
    "mode folder is not opt-in, opt-out or replace": [
        f"onboard/audience=1/{mode}/{STAMP}.csv" for mode in ("optin", "Opt-In")
    ],
    "file name is not YYYYMMDD_HHmmss.csv": [
        f"onboard/audience=1/opt-in/{name}"
        for name in ("list.csv", f"{STAMP}.CSV", f"{STAMP}.csv.gz", "20251215T113616.csv")
    ],
    "file name is not a date and time": [
        f"onboard/audience=1/opt-in/{name}.csv" for name in ("20251315_113616", "20251215_246060")
    ],
}


def test_parse_key_accepts_only_the_documented_form() -> None:
    with table() as check:
        # the page's own example has a padded id
        for ident, mode in (("69249", "opt-in"), ("1", "opt-out"), ("1", "replace"), ("00001", "opt-in")):
            parsed = parse_key(f"onboard/audience={ident}/{mode}/{STAMP}.csv")
            check((ident, mode), (parsed.audience_id, parsed.mode), (int(ident), mode))
        for reason, keys in BAD_KEYS.items():
            for key in keys:
                check(key, refusal(FileRefusedError, lambda key=key: parse_key(key)), reason)


# file -> rows
GOOD = {
    csv_bytes("email_sha256", A, B): 2,
    # upper-case hash, as on the vendor's page
    csv_bytes("email_sha256", A.upper()): 1,
    csv_bytes("email_sha256,phone_sha256", f"{A},", f",{B}"): 2,
    csv_bytes("phone_sha256,email_sha256", f"{A},{B}"): 1,
    csv_bytes(ALL_HEADERS, f"{A},{B},{C},1234AB,1,a,,,{A},ad-id,idfa-id,crm-1"): 1,
    csv_bytes("postal code,street", "1234AB,Skånegatan"): 1,
    csv_bytes("email_sha256", A, A): 2,
}
# reason -> files
BAD = {
    "file is empty": [b""],
    "file begins with a byte order mark": [b"\xef\xbb\xbf" + csv_bytes("email_sha256", A)],
    "no data row": [csv_bytes("email_sha256")],
    "line 1: bare LF, not CRLF": [f"email_sha256\n{A}\n".encode()],
    "line 2: bare LF, not CRLF": [f"email_sha256\r\n{A}\n{B}\r\n".encode()],
    "line 4: bare LF, not CRLF": [f"email_sha256\r\n{A}\r\n{B}\r\n{C}\n".encode()],
    "line 1: bare CR, not CRLF": [
        *(f"email_sha256\r{A}\r".encode(), f"email_sha256\r\r\n{A}\r\n".encode()),
    ],
    "line 2: bare CR, not CRLF": [b"custom\r\na\rb\r\n", f"email_sha256\r\n{A}\r".encode()],
    "line 2: does not end with CRLF": [f"email_sha256\r\n{A}".encode()],
    "line 2: not UTF-8": [b"custom\r\nJos\xe9\r\n", b"custom\r\nJos\xc3"],
    "line 1: not UTF-8": [b"custom\xff\r\nx\r\n"],
    "header: no known column": [
        *(csv_bytes("Email,Phone", f"{A},{B}"), csv_bytes("email_sha256;phone_sha256", f"{A};{B}")),
    ],
    "header: column 2 is unknown": [
        csv_bytes(f"email_sha256,{name}", f"{A},1") for name in ("phone", "extra", "AAID", " aaid")
    ],
    "header: aaid occurs twice": [csv_bytes("aaid,aaid", "1,2")],
    "line 2: 1 fields, header has 2": [csv_bytes("email_sha256,phone_sha256", A)],
    "line 3: 2 fields, header has 1": [csv_bytes("email_sha256", A, f"{A},{B}")],
    "line 3: row is empty": [
        *(csv_bytes("email_sha256,phone_sha256", f"{A},", ","), csv_bytes("email_sha256", A, "", B)),
    ],
    "line 2: email_sha256 is not 64 hexadecimal digits": [
        csv_bytes("email_sha256", value) for value in ("someone@example.com", A + " ")
    ],
    "line 2: phone_sha256 is not 64 hexadecimal digits": [csv_bytes("phone_sha256", A[:63])],
    "line 2: address_sha256 is not 64 hexadecimal digits": [csv_bytes("address_sha256", A + "0")],
    "line 2: personal_id_sha256 is not 64 hexadecimal digits": [csv_bytes("personal_id_sha256", "g" * 64)],
    "line 2: email_sha256 is the hash of an empty string": [csv_bytes("email_sha256", NOTHING)],
    "line 3: email_sha256 is the hash of an empty string": [csv_bytes("email_sha256", A, NOTHING.upper())],
    "line 3: raw address without postal code": [csv_bytes("postal code,house number", "1234AB,1", ",2")],
    "line 2: raw address without postal code": [csv_bytes("custom,street", "x,Damrak")],
    "line 2: double quote; the vendor states no quoting rule": [csv_bytes("custom", '"a,b"')],
}


def test_check_file_with_any_chunk_size_has_the_same_result() -> None:
    with table() as check:
        for size in (10_000, 1, 2, 3, 64, 65, 66):

            def parts(body: bytes, size: int = size) -> list[bytes]:
                return [body[at : at + size] for at in range(0, len(body), size)]

            for body, rows in GOOD.items():
                check((size, body), check_file(parts(body)).rows, rows)
            for reason, bodies in BAD.items():
                for body in bodies:
                    actual = refusal(FileRefusedError, lambda body=body, parts=parts: check_file(parts(body)))
                    check((size, body), actual, reason)


def test_check_file_with_rfc4180_reads_quotes() -> None:
    body = csv_bytes("custom,email_sha256", f'"a,""b""",{A}')
    assert check_file([body], quoting="rfc4180").members == {(f"email_sha256={A}", 'custom=a,"b"')}
    with pytest.raises(FileRefusedError, match="line 2: broken quoting"):
        check_file([csv_bytes("custom", '"a')], quoting="rfc4180")


def test_check_file_collects_members_and_totals() -> None:
    one = check_file([csv_bytes("email_sha256,phone_sha256", f"{A},{B}")])
    other = check_file([csv_bytes("phone_sha256,email_sha256", f"{B.upper()},{A.upper()}")])
    assert one.members == other.members == {(f"email_sha256={A}", f"phone_sha256={B}")}
    checked = check_file([csv_bytes("email_sha256,postal code,house number", f"{A},1,2", f"{A},1,3", ",1,2")])
    assert checked.totals == {"EMAIL": 2, "POSTALADDRESS": 3}
    assert {kind: len(values) for kind, values in checked.values.items()} == {"EMAIL": 1, "POSTALADDRESS": 2}
    # a member converts back to its columns
    header = "custom,postal code,house number,email_sha256"
    (member,) = check_file([csv_bytes(header, f"a=b,1234AB,7,{A.upper()}")]).members
    assert ",".join(member_columns(member)) == "email_sha256,postal code,house number,custom"
    assert list(member_columns(member).values()) == [A, "1234AB", "7", "a=b"]


# --- matches and modes ----------------------------------------------------------------------------------

LOW, MIDDLE, HIGH = "00000000", "7fffffff", "ffffffff"


def identifier(first: str, last: str) -> str:
    return f"email_sha256={first}{'5' * 48}{last}"


def test_matcher_uses_the_digits_of_the_hash() -> None:
    with table() as check:
        for first, percent, matched in (
            (LOW, 0, False),
            (LOW, 1, True),
            (MIDDLE, 50, True),
            ("80000000", 50, False),
            (HIGH, 99, False),
            (HIGH, 100, True),
        ):
            check((first, percent), Matcher(percent, 100).matches(identifier(first, HIGH)), matched)
        for first, last, usable in ((LOW, LOW, True), (LOW, HIGH, False), (HIGH, LOW, False)):
            check((first, last), Matcher(50, 50).usable(identifier(first, last)), usable)
    # one usable identifier makes a member usable
    bad, good = identifier(HIGH, HIGH), identifier(LOW, LOW).replace("email", "phone")
    assert Matcher(50, 50).usable_members([(bad, good), (bad,), ("custom=1",)]) == 1


def test_matcher_hashes_plaintext_and_never_matches_custom() -> None:
    value = "38400000-8cf0-11bd-b23e-10b96e40000d"
    assert Matcher(100, 100).matches(f"aaid={value}")
    below = int(sha(value)[:8], 16) / 16**8 * 100
    assert Matcher(below + 0.001, 100).matches(f"aaid={value}")
    assert not Matcher(below - 0.001, 100).matches(f"aaid={value}")
    assert not Matcher(100, 100).matches("custom=crm-1")


def test_matcher_counts_only_types_in_the_file() -> None:
    checked = check_file([csv_bytes("email_sha256,phone_sha256,custom", f"{sha('a')},,x")])
    assert list(Matcher(100, 100).count(checked)) == ["EMAIL"]


def test_apply_in_each_mode_returns_the_members() -> None:
    one, two, three = ("email=a", "phone=1"), ("email=b", "phone=2"), ("email=c",)
    with table() as check:
        for mode, upload, after in (
            ("opt-in", {two, three}, {one, two, three}),
            ("opt-out", {two}, {one}),
            # one shared identifier is enough
            ("opt-out", {("phone=2",)}, {one}),
            ("opt-out", {("email=b", "phone=1")}, set()),
            ("opt-out", {("email=z",)}, {one, two}),
            ("replace", {three}, {three}),
        ):
            check((mode, upload), apply(mode, frozenset({one, two}), upload), after)


def test_apply_with_a_shared_postal_code_keeps_the_other_address() -> None:
    def one(*row: str) -> set[tuple[str, ...]]:
        return check_file([csv_bytes("postal code,house number", *row)]).members

    assert len(apply("opt-out", frozenset(one("1234AB,1", "1234AB,2")), one("1234AB,1"))) == 1
