"""The vendor's rules for keys and files: what passes, and the exact reason for what does not."""

from __future__ import annotations

import pytest

from sandbox.digital_audience.files import FileRefusedError, check_file, member_columns, parse_key
from tests.sandbox.world import csv_bytes, sha

A, B, C = sha("a"), sha("b"), sha("c")
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ALL_HEADERS = (
    "email_sha256,phone_sha256,address_sha256,postal code,house number,extension,apartment,street,"
    "personal_id_sha256,aaid,idfa,custom"
)


@pytest.mark.parametrize(
    ("key", "audience_id", "mode"),
    [
        ("onboard/audience=69249/opt-in/20251215_113616.csv", 69249, "opt-in"),
        ("onboard/audience=69249/opt-out/20251215_113616.csv", 69249, "opt-out"),
        ("onboard/audience=69249/replace/20251215_113616.csv", 69249, "replace"),
        # the page's own example
        ("onboard/audience=00001/opt-in/20221107_132117.csv", 1, "opt-in"),
    ],
)
def test_keys_of_the_vendor_s_form_are_read(key: str, audience_id: int, mode: str) -> None:
    parsed = parse_key(key)
    assert (parsed.audience_id, parsed.mode) == (audience_id, mode)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("onboard/20251215_113616.csv", "key is not onboard/audience={id}/{mode}/{name}"),
        ("onboard/audience=1/opt-in/x/20251215_113616.csv", "key is not onboard/audience={id}/{mode}/{name}"),
        ("Onboard/audience=1/opt-in/20251215_113616.csv", "key is not onboard/audience={id}/{mode}/{name}"),
        ("onboard/1/opt-in/20251215_113616.csv", "second part of the key is not audience={id}"),
        ("onboard/audience=x/opt-in/20251215_113616.csv", "second part of the key is not audience={id}"),
        ("onboard/audience=/opt-in/20251215_113616.csv", "second part of the key is not audience={id}"),
        ("onboard/Audience=1/opt-in/20251215_113616.csv", "second part of the key is not audience={id}"),
        ("onboard/audience=1/optin/20251215_113616.csv", "mode folder is not opt-in, opt-out or replace"),
        ("onboard/audience=1/Opt-In/20251215_113616.csv", "mode folder is not opt-in, opt-out or replace"),
        ("onboard/audience=1/opt-in/list.csv", "file name is not YYYYMMDD_HHmmss.csv"),
        ("onboard/audience=1/opt-in/20251215_113616.CSV", "file name is not YYYYMMDD_HHmmss.csv"),
        ("onboard/audience=1/opt-in/20251215_113616.csv.gz", "file name is not YYYYMMDD_HHmmss.csv"),
        ("onboard/audience=1/opt-in/20251215T113616.csv", "file name is not YYYYMMDD_HHmmss.csv"),
        ("onboard/audience=1/opt-in/20251315_113616.csv", "file name is not a date and time"),
        ("onboard/audience=1/opt-in/20251215_246060.csv", "file name is not a date and time"),
    ],
)
def test_other_keys_are_refused(key: str, reason: str) -> None:
    with pytest.raises(FileRefusedError) as refused:
        parse_key(key)
    assert str(refused.value) == reason


GOOD = {
    "one column": (csv_bytes("email_sha256", A, B), 2),
    "upper-case hash, as on the vendor's page": (csv_bytes("email_sha256", A.upper()), 1),
    "empty hash beside a full one": (csv_bytes("email_sha256,phone_sha256", f"{A},", f",{B}"), 2),
    "columns in another order": (csv_bytes("phone_sha256,email_sha256", f"{A},{B}"), 1),
    "all columns": (csv_bytes(ALL_HEADERS, f"{A},{B},{C},1234AB,1,a,,,{A},ad-id,idfa-id,crm-1"), 1),
    "letters beyond ASCII": (csv_bytes("postal code,street", "1234AB,Skånegatan"), 1),
    "the same row twice": (csv_bytes("email_sha256", A, A), 2),
}


@pytest.mark.parametrize(("body", "rows"), GOOD.values(), ids=GOOD.keys())
def test_good_files_pass(body: bytes, rows: int) -> None:
    assert check_file([body]).rows == rows


BAD = {
    "empty": (b"", "file is empty"),
    "byte order mark": (b"\xef\xbb\xbf" + csv_bytes("email_sha256", A), "file begins with a byte order mark"),
    "header alone": (csv_bytes("email_sha256"), "no data row"),
    "LF line ends": (f"email_sha256\n{A}\n".encode(), "line 1: bare LF, not CRLF"),
    "one bare LF": (f"email_sha256\r\n{A}\n{B}\r\n".encode(), "line 2: bare LF, not CRLF"),
    "bare LF after good lines": (
        f"email_sha256\r\n{A}\r\n{B}\r\n{C}\n".encode(),
        "line 4: bare LF, not CRLF",
    ),
    "CR line ends": (f"email_sha256\r{A}\r".encode(), "line 1: bare CR, not CRLF"),
    "CR within a line": (b"custom\r\na\rb\r\n", "line 2: bare CR, not CRLF"),
    "doubled CR": (f"email_sha256\r\r\n{A}\r\n".encode(), "line 1: bare CR, not CRLF"),
    "last line without end": (f"email_sha256\r\n{A}".encode(), "line 2: does not end with CRLF"),
    "lone CR at the end": (f"email_sha256\r\n{A}\r".encode(), "line 2: bare CR, not CRLF"),
    "not UTF-8": (b"custom\r\nJos\xe9\r\n", "line 2: not UTF-8"),
    "header not UTF-8": (b"custom\xff\r\nx\r\n", "line 1: not UTF-8"),
    "UTF-8 cut short": (b"custom\r\nJos\xc3", "line 2: not UTF-8"),
    "no known column": (csv_bytes("Email,Phone", f"{A},{B}"), "header: no known column"),
    "an unknown column": (csv_bytes("email_sha256,phone", f"{A},1"), "header: column 2 is unknown"),
    "the portal's extra": (csv_bytes("email_sha256,extra", f"{A},1"), "header: column 2 is unknown"),
    "header in capitals": (csv_bytes("email_sha256,AAID", f"{A},1"), "header: column 2 is unknown"),
    "blank before a name": (csv_bytes("email_sha256, aaid", f"{A},1"), "header: column 2 is unknown"),
    "semicolons": (csv_bytes("email_sha256;phone_sha256", f"{A};{B}"), "header: no known column"),
    "a column twice": (csv_bytes("aaid,aaid", "1,2"), "header: aaid occurs twice"),
    "too few fields": (csv_bytes("email_sha256,phone_sha256", A), "line 2: 1 fields, header has 2"),
    "too many fields": (csv_bytes("email_sha256", A, f"{A},{B}"), "line 3: 2 fields, header has 1"),
    "empty row": (csv_bytes("email_sha256,phone_sha256", f"{A},", ","), "line 3: row is empty"),
    "blank line": (csv_bytes("email_sha256", A, "", B), "line 3: row is empty"),
    "raw e-mail": (
        csv_bytes("email_sha256", "someone@example.com"),
        "line 2: email_sha256 is not 64 hexadecimal digits",
    ),
    "63 digits": (csv_bytes("phone_sha256", A[:63]), "line 2: phone_sha256 is not 64 hexadecimal digits"),
    "65 digits": (
        csv_bytes("address_sha256", A + "0"),
        "line 2: address_sha256 is not 64 hexadecimal digits",
    ),
    "not hexadecimal": (
        csv_bytes("personal_id_sha256", "g" * 64),
        "line 2: personal_id_sha256 is not 64 hexadecimal digits",
    ),
    "blank after a hash": (
        csv_bytes("email_sha256", A + " "),
        "line 2: email_sha256 is not 64 hexadecimal digits",
    ),
    "hash of nothing": (
        csv_bytes("email_sha256", NOTHING),
        "line 2: email_sha256 is the hash of an empty string",
    ),
    "hash of nothing in capitals": (
        csv_bytes("email_sha256", A, NOTHING.upper()),
        "line 3: email_sha256 is the hash of an empty string",
    ),
    "raw address without postal code": (
        csv_bytes("postal code,house number", "1234AB,1", ",2"),
        "line 3: raw address without postal code",
    ),
    "street without the column": (
        csv_bytes("custom,street", "x,Damrak"),
        "line 2: raw address without postal code",
    ),
    "quoted": (
        csv_bytes("custom", '"a,b"'),
        "line 2: double quote; the vendor states no quoting rule",
    ),
}


@pytest.mark.parametrize(("body", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_with_the_exact_reason(body: bytes, reason: str) -> None:
    with pytest.raises(FileRefusedError) as refused:
        check_file([body])
    assert str(refused.value) == reason


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65, 66])
def test_where_the_bytes_are_cut_makes_no_difference(size: int) -> None:
    def cut(body: bytes) -> list[bytes]:
        return [body[at : at + size] for at in range(0, len(body), size)]

    for body, rows in GOOD.values():
        assert check_file(cut(body)).rows == rows
    for body, reason in BAD.values():
        with pytest.raises(FileRefusedError) as refused:
            check_file(cut(body))
        assert str(refused.value) == reason


def test_quoting_can_be_allowed() -> None:
    body = csv_bytes("custom,email_sha256", f'"a,""b""",{A}')
    assert check_file([body], quoting="rfc4180").members == {(f"email_sha256={A}", 'custom=a,"b"')}
    with pytest.raises(FileRefusedError, match="line 2: broken quoting"):
        check_file([csv_bytes("custom", '"a')], quoting="rfc4180")


def test_a_record_is_its_identifiers_whatever_the_column_order_and_case() -> None:
    one = check_file([csv_bytes("email_sha256,phone_sha256", f"{A},{B}")])
    other = check_file([csv_bytes("phone_sha256,email_sha256", f"{B.upper()},{A.upper()}")])
    assert one.members == other.members == {(f"email_sha256={A}", f"phone_sha256={B}")}


def test_totals_count_repeats_and_values_do_not() -> None:
    checked = check_file([csv_bytes("email_sha256,postal code,house number", f"{A},1,2", f"{A},1,3", ",1,2")])
    assert checked.totals == {"EMAIL": 2, "POSTALADDRESS": 3}
    assert {kind: len(values) for kind, values in checked.values.items()} == {"EMAIL": 1, "POSTALADDRESS": 2}


def test_a_member_turns_back_into_its_columns() -> None:
    checked = check_file(
        [csv_bytes("custom,postal code,house number,email_sha256", f"a=b,1234AB,7,{A.upper()}")]
    )
    (member,) = checked.members
    assert member_columns(member) == {
        "email_sha256": A,
        "postal code": "1234AB",
        "house number": "7",
        "custom": "a=b",
    }
