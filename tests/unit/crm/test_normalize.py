from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.normalize import (
    Rejected,
    normalize_email,
    normalize_phone,
    remove_blanks,
    sha256_hex,
)
from audience_onboarding.crm.reasons import Reason

# FACTS.md 1.7. [S] the vendor's own example; it prints upper case.
VENDOR_EMAIL_HASH = "A7DF77A9DB89B44110C704B680A24978579A3069B419DB95CBDA84541094ADBA"
# [S] test vectors of the vendor's mobile SDKs, which drop the +tag.
SDK_EMAIL_HASH = "343e00121b70bc1a6ea179468f63beed780a92122402478037b9366a677ab24a"
SDK_RAW_HASH = "8c887d4a4d632aeab700022ede9c166c500589e369eaff17796c042b8b0733f1"
# [C] computed from the rule, not from a source.
PHONE_HASHES = {
    "31614123456": "5253828bf4b74309f76c1b1b3fc379584d9dc139874764d5d134e6c0fc7235aa",
    "31201234567": "b023cdb5a0ff837a0dbfeb1daf04dbfa579ab4671be14b56649d594996624d96",
    "31612345678": "e03d152bbe638d9fe7a04f9b88a67674bf15b73c0981755c16eb78d177721e03",
}
HASH = "a7df77a9db89b44110c704b680a24978579a3069b419db95cbda84541094adba"


def email_hash(value: str, *, strip_plus_tag: bool = False) -> str:
    address = normalize_email(value, strip_plus_tag=strip_plus_tag)
    assert isinstance(address, str)
    return sha256_hex(address)


@pytest.mark.parametrize("value", ["john.sam@mail.com", "John.Sam@MAIL.COM"])
def test_vendor_email_vector(value: str) -> None:
    assert email_hash(value).upper() == VENDOR_EMAIL_HASH


@pytest.mark.parametrize(
    "value",
    [
        "test@digitalaudience.io",
        "TEST@digitalAudience.io",
        "test+123456@digitalaudience.io",
        " test@digitalaudience.io ",
    ],
)
def test_sdk_email_vectors(value: str) -> None:
    assert email_hash(value, strip_plus_tag=True) == SDK_EMAIL_HASH


def test_sdk_raw_hash() -> None:
    assert sha256_hex("TEST@DIGITALAUDIENCE.IO") == SDK_RAW_HASH


def test_plus_tag_stays_by_default() -> None:
    assert normalize_email("Test+News@example.com") == "test+news@example.com"


@pytest.mark.parametrize(
    ("value", "tagless"),
    [
        ("a+b+c@example.com", "a@example.com"),
        ("a+@example.com", "a+@example.com"),  # the SDK's pattern wants something after the plus
        ("+b@example.com", Rejected(Reason.INVALID_EMAIL)),
    ],
)
def test_strip_plus_tag(value: str, tagless: str | Rejected) -> None:
    assert normalize_email(value, strip_plus_tag=True) == tagless


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("\u200bjohn@mail.example\ufeff", "john@mail.example"),  # zero-width space, byte order mark
        ("\u00a0john@mail.example\u2003", "john@mail.example"),  # no-break and em space
        ("\u202ajohn@mail.example\u202c", "john@mail.example"),  # direction marks
        ("jo\u00adhn@mail.example", "john@mail.example"),  # soft hyphen
        ("john @ mail.example", "john@mail.example"),
        ("\tjohn@mail.example\r\n", "john@mail.example"),
        ("O'Brien/x@sub.mail.example", "o'brien/x@sub.mail.example"),
        ("jos\u00e9@mail.example", "jos\u00e9@mail.example"),
        ("JOSE\u0301@mail.example", "jos\u00e9@mail.example"),  # composed
        ("\u0130x@mail.example", "i\u0307x@mail.example"),  # Python's lower-casing, not DuckDB's
        ("\u039f\u03a3@mail.example", "\u03bf\u03c2@mail.example"),  # final sigma
        ("stra\u00dfe@mail.example", "stra\u00dfe@mail.example"),
        ("info@m\u00fcller.example", "info@m\u00fcller.example"),
        ("\u212aelvin@mail.example", "kelvin@mail.example"),  # the Kelvin sign's lower case is an ASCII k
        ("a@xn--mller-kva.example", "a@xn--mller-kva.example"),
        ("x" * 64 + "@mail.example", "x" * 64 + "@mail.example"),
    ],
)
def test_accepted_emails(value: str, address: str) -> None:
    assert normalize_email(value) == address


@pytest.mark.parametrize(
    "value",
    [
        "john",
        "john@",
        "@mail.example",
        "john@@mail.example",
        "a@b@mail.example",
        "john@localhost",
        "john@mail.",
        "john@.example",
        "john@mail..example",
        ".john@mail.example",
        "john.@mail.example",
        "jo..hn@mail.example",
        "john@-mail.example",
        "john@mail-.example",
        "john@mail.1",
        "john@192.0.2.1",
        "john@[192.0.2.1]",
        "john@mail.e",
        "john@ma_il.example",
        '"john doe"@mail.example',
        "<john@mail.example>",
        "mailto:john@mail.example",
        "john@mail.example,jane@mail.example",
        "john@mail.example;",
        "jo\x00hn@mail.example",
        "jo\x7fhn@mail.example",
        "jo\ufffdhn@mail.example",
        "\uff4aohn@mail.example",  # full-width j
        "john\uff20mail.example",  # full-width at
        "john@mail.example\U0001f600",
        "x" * 65 + "@mail.example",
        "x@" + "y" * 64 + ".example",
        "x@" + ".".join(["y" * 60] * 5) + ".example",
        "\u00e9" * 33 + "@mail.example",  # 66 octets
        "null",
        "-",
        "\ud800@mail.example",
    ],
)
def test_refused_emails(value: str) -> None:
    assert normalize_email(value) == Rejected(Reason.INVALID_EMAIL)


@pytest.mark.parametrize("value", ["", " ", "\t\r\n", "\u200b", "\ufeff\u00a0", "\u2800"[:0]])
def test_nothing_is_empty_and_never_hashed(value: str) -> None:
    assert normalize_email(value) == Rejected(Reason.EMPTY)
    assert normalize_phone(value) == Rejected(Reason.EMPTY)


@pytest.mark.parametrize("value", [HASH, HASH.upper(), f" {HASH} ", f"\ufeff{HASH}", "1" * 64])
def test_hashes_are_not_hashed_again(value: str) -> None:
    assert normalize_email(value) == Rejected(Reason.ALREADY_HASHED)
    assert normalize_phone(value) == Rejected(Reason.ALREADY_HASHED)


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("+31614123456", "31614123456"),  # the vendor's four examples
        ("+31201234567", "31201234567"),
        ("0031201234567", "31201234567"),
        ("0612345678", "31612345678"),
    ],
)
def test_vendor_phone_spellings(value: str, digits: str) -> None:
    assert normalize_phone(value) == digits
    assert sha256_hex(digits) == PHONE_HASHES[digits]


@pytest.mark.parametrize(
    "value",
    [
        "06 12345678",
        "06-12345678",
        "06/12345678",
        "06\\12345678",
        "06.12.34.56.78",
        "(06) 12345678",
        "[06] 12345678",
        "+31 6 12 34 56 78",
        "+31(0)612345678",
        "0031 (0)6-12345678",
        "(+31) 612345678",
        "+31 06 12345678",
        "31612345678",
        "612345678",
        "\u200e06\u00a012345678\u202c",
        "06\u201312345678",
        "\uff0b\uff13\uff11\uff16\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
        "\u0660\u0666\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
    ],
)
def test_dutch_spellings(value: str) -> None:
    assert normalize_phone(value) == "31612345678"


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("+32 470 12 34 56", "32470123456"),
        ("0032470123456", "32470123456"),
        ("+44 (0)20 7946 0018", "442079460018"),
        ("+39 (0)6 6982", "39066982"),  # Italy dials the zero
        ("+45 (0)32 12 34 56", "4532123456"),  # Denmark has none
        ("+1 201-555-0123", "12015550123"),
    ],
)
def test_foreign_numbers(value: str, digits: str) -> None:
    assert normalize_phone(value) == digits


def test_numbers_without_country_code_are_of_the_given_country() -> None:
    assert normalize_phone("0470 12 34 56", country="BE") == "32470123456"
    assert normalize_phone("0470 12 34 56") == Rejected(Reason.INVALID_PHONE)


@pytest.mark.parametrize(
    "value",
    [
        "0612",
        "06123456789",
        "0612345678 / 0201234567",
        "0612345678 x12",
        "tel 0612345678",
        "06-1234567a",
        "0031 6 1234 567",
        "+999123456789",
        "+0612345678",
        "06+12345678",
        "++31612345678",
        "0800 1234",  # too short for the vendor's 11 digits
        "097012345678",  # a machine's SIM
        "0000000000",
        "-",
        "()",
        "+",
        "1" * 30,
        "06\x0012345678",
        "\u00b2\u00b3",
        "0" * 300,
        "null",
    ],
)
def test_refused_phones(value: str) -> None:
    assert normalize_phone(value) == Rejected(Reason.INVALID_PHONE)


@given(st.text())
def test_normalising_twice_changes_nothing(value: str) -> None:
    address = normalize_email(value)
    if isinstance(address, str):
        assert normalize_email(address) == address


@given(st.text(alphabet="@.aA\u0130\u00df\u03a3\u03c2\u0301\u200b\ufeff\uff21 \u00e9+-", max_size=20))
def test_normalising_odd_addresses_twice_changes_nothing(value: str) -> None:
    address = normalize_email(f"{value}@x.example")
    if isinstance(address, str):
        assert normalize_email(address) == address
        assert address == remove_blanks(address)


@given(st.text(alphabet="0123456789+-() /\\.\u200b\uff10", max_size=20))
def test_normalised_phones_are_stable(value: str) -> None:
    digits = normalize_phone(value)
    if isinstance(digits, str):
        assert digits.isascii()
        assert digits.isdecimal()
        assert normalize_phone(f"+{digits}") == digits


@given(st.text())
def test_results_never_carry_the_refused_value(value: str) -> None:
    answer = normalize_email(value)
    if isinstance(answer, Rejected):
        assert repr(answer) in {repr(Rejected(reason)) for reason in Reason}
