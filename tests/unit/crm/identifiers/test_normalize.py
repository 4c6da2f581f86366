from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.identifiers.normalize import (
    EMPTY_HASH,
    Rejected,
    normalize_custom,
    normalize_device_id,
    normalize_email,
    normalize_hash,
    normalize_personal_id,
    normalize_phone,
    normalize_postal_part,
    remove_blanks,
    sha256_hex,
)
from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from tests.unit.crm.malformed.case import words

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

normalize_aaid = partial(normalize_device_id, platform="android")
normalize_idfa = partial(normalize_device_id, platform="apple")
RULES: dict[str, Callable[[str], str | Rejected]] = {
    "email": normalize_email,
    "email without tag": partial(normalize_email, strip_plus_tag=True),
    "phone": normalize_phone,
    "german phone": partial(normalize_phone, country="DE"),
    "phone of nowhere": partial(normalize_phone, country="XX"),
    "personal id": normalize_personal_id,
    "aaid": normalize_aaid,
    "idfa": normalize_idfa,
    "postal part": normalize_postal_part,
    "custom": normalize_custom,
    "hash": normalize_hash,
}
# Phones apart: without a plus, digits may mean something else.
IDEMPOTENT = {name: rule for name, rule in RULES.items() if "phone" not in name}


def email_hash(value: str, *, strip_plus_tag: bool = False) -> str:
    address = normalize_email(value, strip_plus_tag=strip_plus_tag)
    assert isinstance(address, str)
    return sha256_hex(address)


def check(rule: Callable[[str], str | Rejected], answers: Mapping[str, str | Rejected]) -> None:
    """Check all values at once: the comparison shows each wrong answer with its value."""
    assert {value: rule(value) for value in answers} == answers


def check_refused(rule: Callable[[str], str | Rejected], reason: RejectReason, values: Iterable[str]) -> None:
    check(rule, dict.fromkeys(values, Rejected(reason)))


# --- e-mail addresses


def test_normalize_email_vendor_vector_matches() -> None:
    for value in ("john.sam@mail.com", "John.Sam@MAIL.COM"):
        assert email_hash(value).upper() == VENDOR_EMAIL_HASH


def test_normalize_sdk_vectors_match() -> None:
    for value in (
        "test@digitalaudience.io",
        "TEST@digitalAudience.io",
        "test+123456@digitalaudience.io",
        " test@digitalaudience.io ",
    ):
        assert email_hash(value, strip_plus_tag=True) == SDK_EMAIL_HASH, value
    assert sha256_hex("TEST@DIGITALAUDIENCE.IO") == SDK_RAW_HASH


def test_normalize_email_plus_tag_is_an_option() -> None:
    assert normalize_email("Test+News@example.com") == "test+news@example.com"
    check(
        partial(normalize_email, strip_plus_tag=True),
        {
            "a+b+c@example.com": "a@example.com",
            "a+@example.com": "a+@example.com",  # the SDK's pattern wants something after the plus
            "+b@example.com": Rejected(RejectReason.INVALID_EMAIL),
        },
    )


def test_normalize_email_valid_is_accepted() -> None:
    check(
        normalize_email,
        {
            "\u200bjohn@mail.example\ufeff": "john@mail.example",  # zero-width space, byte order mark
            "\u00a0john@mail.example\u2003": "john@mail.example",  # no-break and em space
            "\u202ajohn@mail.example\u202c": "john@mail.example",  # direction marks
            "jo\u00adhn@mail.example": "john@mail.example",  # soft hyphen
            "john @ mail.example": "john@mail.example",
            "\tjohn@mail.example\r\n": "john@mail.example",
            "O'Brien/x@sub.mail.example": "o'brien/x@sub.mail.example",
            "jos\u00e9@mail.example": "jos\u00e9@mail.example",
            "JOSE\u0301@mail.example": "jos\u00e9@mail.example",  # composed
            "\u0130x@mail.example": "i\u0307x@mail.example",  # Python's lower-casing, not DuckDB's
            "\u039f\u03a3@mail.example": "\u03bf\u03c2@mail.example",  # final sigma
            "stra\u00dfe@mail.example": "stra\u00dfe@mail.example",
            "info@m\u00fcller.example": "info@m\u00fcller.example",
            "\u212aelvin@mail.example": "kelvin@mail.example",  # the Kelvin sign's lower case is an ASCII k
            "a@xn--mller-kva.example": "a@xn--mller-kva.example",
            "x" * 64 + "@mail.example": "x" * 64 + "@mail.example",
        },
    )


def test_normalize_email_invalid_is_rejected() -> None:
    values = words(
        "john john@ @mail.example john@@mail.example a@b@mail.example john@localhost john@mail. john@.example"
        " john@mail..example .john@mail.example john.@mail.example jo..hn@mail.example john@-mail.example"
        " john@mail-.example john@mail.1 john@192.0.2.1 john@[192.0.2.1] john@mail.e john@ma_il.example"
        " <john@mail.example> mailto:john@mail.example john@mail.example,jane@mail.example john@mail.example;"
        " jo\x00hn@mail.example jo\x7fhn@mail.example jo\ufffdhn@mail.example john@mail.example\U0001f600 null -"
        " \ud800@mail.example"
        " \uff4aohn@mail.example john\uff20mail.example"  # full-width j and at
    )
    values += ['"john doe"@mail.example', "x" * 65 + "@mail.example", "x@" + "y" * 64 + ".example"]
    values += ["x@" + ".".join(["y" * 60] * 5) + ".example", "\u00e9" * 33 + "@mail.example"]  # 66 octets
    check_refused(normalize_email, RejectReason.INVALID_EMAIL, values)


# --- nothing, and hashes


def test_normalize_blank_is_empty() -> None:
    for rule in RULES.values():
        blank = ["", " ", "\t\r\n", "\u200b", "\ufeff\u00a0", "\u3164\u115f", "\x1c\u0085"]
        check_refused(rule, RejectReason.EMPTY, blank)


def test_normalize_hash_in_unhashed_column_is_rejected() -> None:
    for name, rule in RULES.items():
        if name not in {"hash", "custom"}:
            values = [HASH, HASH.upper(), f" {HASH} ", f"\ufeff{HASH}", "1" * 64]
            check_refused(rule, RejectReason.ALREADY_HASHED, values)


def test_normalize_hash_other_text_is_rejected() -> None:
    check(normalize_hash, dict.fromkeys([HASH, HASH.upper(), f" {HASH}\n", f"\ufeff{HASH}"], HASH))
    others = ["john@mail.example", HASH[:-1], HASH + "0", "g" * 64, "\uff10" * 64, "\x00" * 64]
    check_refused(normalize_hash, RejectReason.NOT_HASHED, others)
    assert hashlib.sha256(b"").hexdigest() == EMPTY_HASH
    check_refused(normalize_hash, RejectReason.EMPTY_HASH, [EMPTY_HASH, EMPTY_HASH.upper()])


# --- phone numbers


def test_normalize_phone_vendor_spellings_are_equal() -> None:
    for value, digits in {
        "+31614123456": "31614123456",
        "+31201234567": "31201234567",
        "0031201234567": "31201234567",
        "0612345678": "31612345678",
    }.items():
        assert normalize_phone(value) == digits
        assert sha256_hex(digits) == PHONE_HASHES[digits]


def test_normalize_phone_dutch_spellings_are_equal() -> None:
    values = words(
        "06-12345678 06/12345678 06\\12345678 06.12.34.56.78 +31(0)612345678 31612345678 612345678"
    )
    values += ["06 12345678", "(06) 12345678", "[06] 12345678", "+31 6 12 34 56 78", "0031 (0)6-12345678"]
    values += ["(+31) 612345678", "+31 06 12345678", "\u200e06\u00a012345678\u202c", "06\u201312345678"]
    values += [
        "\uff0b\uff13\uff11\uff16\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
        "\u0660\u0666\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
    ]
    check(normalize_phone, dict.fromkeys(values, "31612345678"))
    assert normalize_phone("06.12.34.56.00") == "31612345600", "the zeros of a group are not a fraction"


def test_normalize_phone_foreign_numbers_are_accepted() -> None:
    check(
        normalize_phone,
        {
            "+32 470 12 34 56": "32470123456",
            "0032470123456": "32470123456",
            "+44 (0)20 7946 0018": "442079460018",
            "+39 (0)6 6982": "39066982",  # Italy dials the zero
            "+45 (0)32 12 34 56": "4532123456",  # Denmark has none
            "+1 201-555-0123": "12015550123",
            "0470 12 34 56": Rejected(RejectReason.INVALID_PHONE),
        },
    )
    assert normalize_phone("0470 12 34 56", country="BE") == "32470123456"


def test_normalize_phone_international_prefix_depends_on_country() -> None:
    check(
        partial(normalize_phone, country="US"),
        {"011 31 6 12345678": "31612345678", "0031 6 12345678": Rejected(RejectReason.INVALID_PHONE)},
    )


def test_normalize_phone_invalid_is_rejected() -> None:
    values = words(
        "0612 06123456789 06-1234567a +999123456789 +0612345678 06+12345678 ++31612345678 0000000000"
    )
    values += words("- () + \u00b2\u00b3 null 06\x0012345678 097012345678")  # 097: a machine's SIM
    values += [
        "0612345678 / 0201234567",
        "0612345678 x12",
        "tel 0612345678",
        "0031 6 1234 567",
        "1" * 30,
        "0" * 300,
    ]
    values += ["0800 1234"]  # too short for the vendor's 11 digits
    check_refused(normalize_phone, RejectReason.INVALID_PHONE, values)


def test_normalize_phone_floating_point_is_rejected() -> None:
    values = ["1711234567.0", "3012345678.00", " 1711234567.0 ", "+491711234567.0"]
    check_refused(partial(normalize_phone, country="DE"), RejectReason.INVALID_PHONE, values)


def test_normalize_phone_own_code_without_plus_is_read_with_it() -> None:
    for country, answers in {
        "DE": {
            "4917012345678": "4917012345678",  # not 49 4917012345678, as phonenumbers has it
            "49 30 12345678": "493012345678",
            "49(0)17012345678": "4917012345678",
            "49301234567": "49301234567",
            "49711234567": "4949711234567",  # too short: equal to area code 04971 without its zero
            "0491 701234567": "49491701234567",
        },
        "NL": {"491701234567": Rejected(RejectReason.INVALID_PHONE)},
        "SE": {"46701234567": "46701234567"},
        "FI": {"358401234567": "358401234567"},
        "GB": {"447911123456": "447911123456"},
        "BE": {"32470123456": "32470123456"},
        "US": {"12015550123": "12015550123"},
    }.items():
        check(partial(normalize_phone, country=country), answers)


# --- personal ids, device ids, texts


def test_normalize_personal_id_valid_has_twelve_digits() -> None:
    spellings = [
        "640823-3234",  # the Tax Agency's example
        *("6408233234", "19640823-3234", "196408233234", " 19640823 - 3234 ", "640823\u20133234"),
        *("640823\u22123234", "\uff16\uff14\uff10\uff18\uff12\uff13\uff0d\uff13\uff12\uff13\uff14"),
    ]
    check(
        normalize_personal_id,
        {
            **dict.fromkeys(spellings, "196408233234"),
            "701063-2391": "197010632391",  # a coordination number
            "640891-3231": "196408913231",  # of the 31st
            "000229-1235": "200002291235",  # 2000 was a leap year
            "250101-1239": "202501011239",
            "260101-1238": "192601011238",  # no customer was born in 2026
            "260101+1238": "192601011238",
            "20260101-1238": "202601011238",
            "250101+1239": "192501011239",
            "400101+1230": "194001011230",
            "18640823-3234": "186408233234",
        },
    )


def test_normalize_personal_id_invalid_is_rejected() -> None:
    for why, values in {
        "wrong checksum": "640823-3233 19640823-3235",
        "day or month that does not exist, also as a coordination number": (
            "640832-3233 640860-3238 640892-3230 641323-3238"
        ),
        "1900 was no leap year": "19000229-1235 000229+1235",
        "no one alive": "410101+1239 21640823-3234",
        "birth number 000": "640823-0008",
        "number of a hospital": "640823-T234",
        "other punctuation, too short or too long": (
            "640823--3234 64-08-23-3234 640823/3234 640823-323 640823-32345 8640823-3234"
        ),
        "something else": "\x00640823-3234 null 0000000000",
    }.items():
        assert values.split(), why
        check_refused(normalize_personal_id, RejectReason.INVALID_PERSONAL_ID, values.split())


DEVICE = "38400000-8cf0-11bd-b23e-10b96e40000d"


def test_normalize_device_id_has_the_case_of_its_system() -> None:
    values = [DEVICE, DEVICE.upper(), f" {DEVICE}\r\n", f"\ufeff{DEVICE}", DEVICE.replace("-8cf0", " -8cf0")]
    check(normalize_aaid, dict.fromkeys(values, DEVICE))
    check(normalize_idfa, dict.fromkeys(values, DEVICE.upper()))


def test_normalize_device_id_invalid_is_rejected() -> None:
    values = [
        "00000000-0000-0000-0000-000000000000",
        DEVICE.replace("-", ""),  # as well an MD5
        *("{" + DEVICE + "}", DEVICE + "0", DEVICE[:-1], DEVICE + "\x00", "null"),
        *(DEVICE.replace("8", "g"), DEVICE.replace("-", "\u2013"), DEVICE.replace("bd", "b\u0131")),
        DEVICE.replace("00000", "000\ufb00"),  # a ligature whose upper case is FF
    ]
    for rule in (normalize_aaid, normalize_idfa):
        check_refused(rule, RejectReason.INVALID_DEVICE_ID, values)


def test_normalize_postal_part_keeps_visible_text() -> None:
    check(
        normalize_postal_part,
        {
            "1012AB": "1012AB",
            " 1012  ab ": "1012 ab",  # neither case nor the space inside is ours to change
            "123\u00a045": "123 45",
            "12\n\t1/2": "12 1/2",
            "bis\u200b": "bis",
            "A\u030angatan 1": "\u00c5ngatan 1",
            "Stra\u00dfe": "Stra\u00dfe",
            "\u0130stiklal": "\u0130stiklal",
            "x" * 100: "x" * 100,
            "x \u200b" + "x" * 98: "x " + "x" * 98,
            "0": "0",
            "Nullweg": "Nullweg",
        },
    )


def test_normalize_custom_keeps_visible_text() -> None:
    check(normalize_custom, {" Crm-0007 ": "Crm-0007", "\ufeffa\u200bb": "ab"})
    unchanged = ["a  b", "JOSE\u0301", HASH.upper(), "0", "x" * 255]
    check(normalize_custom, dict(zip(unchanged, unchanged, strict=True)))


def test_normalize_texts_invalid_are_rejected() -> None:
    values = ["a\x00b", "a\x7fb", "a\x9fb", "Stra\ufffde", "\ud800"]
    values += ["NULL", "null ", "NaN", "\\N", "#N/A", "(null)"]
    check_refused(normalize_postal_part, RejectReason.INVALID_TEXT, [*values, "x" * 101])
    check_refused(normalize_custom, RejectReason.INVALID_TEXT, [*values, "x" * 256, "a\tb"])


# --- any text


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_normalize_long_texts_take_linear_time(rule: Callable[[str], str | Rejected]) -> None:
    for value in (
        "\x00",
        "\ud800\udfff",
        "\udcff@mail.example",
        "(0)" * 70_000,
        *(char * 200_000 for char in "1a+@.\u0130"),
        "\u0300\u0316" * 100_000,  # to compose this takes minutes
        "a+" + "\u0300\u0316" * 100_000 + "@mail.example",
        "0" * 63 + "\U0010ffff",
        "\u0bf0\u00bd\u2460",  # numeric, but no digits
    ):
        assert isinstance(rule(value), Rejected | str)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(value=st.text(st.characters(exclude_categories=())))
def test_normalize_any_text_never_raises(rule: Callable[[str], str | Rejected], value: str) -> None:
    answer = rule(value)
    if isinstance(answer, str):
        assert answer
        assert sha256_hex(answer) != EMPTY_HASH
    else:
        assert repr(answer) in {repr(Rejected(reason)) for reason in RejectReason}


ODD = st.text(
    "@.aAnulNUL0123456789-+ \t\u0130\u00df\u03a3\u03c2\u0301\u0344\u1100\u1161\u034f\u200b\ufeff\uff21\u00e9\u212a"
    "\u2000\u0958"
)


@pytest.mark.parametrize("rule", IDEMPOTENT.values(), ids=IDEMPOTENT.keys())
@given(
    value=st.one_of(
        st.text(),
        ODD,
        ODD.map("{}@x.example".format),
        st.text("0123456789-+ ", min_size=9, max_size=14),
        st.text("0123456789abcdefABCDEF", min_size=64, max_size=64),
        st.uuids().map(str),
    )
)
def test_normalize_twice_changes_nothing(rule: Callable[[str], str | Rejected], value: str) -> None:
    once = rule(value)
    if isinstance(once, str):
        assert rule(once) == once
        assert remove_blanks(once) == "".join(once.split())  # nothing invisible


@given(
    st.text(alphabet="0123456789+-() /\\.\u200b\uff10", max_size=20),
    st.sampled_from(["NL", "DE", "FI", "US", "IT"]),
)
def test_normalize_phone_result_is_stable(value: str, country: str) -> None:
    digits = normalize_phone(value, country=country)
    if isinstance(digits, str):
        assert digits.isascii()
        assert digits.isdecimal()
        assert normalize_phone(f"+{digits}", country=country) == digits
