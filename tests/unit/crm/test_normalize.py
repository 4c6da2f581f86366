from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.normalize import (
    HASH_OF_NOTHING,
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


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("value", ["", " ", "\t\r\n", "\u200b", "\ufeff\u00a0", "\u3164\u115f", "\x1c\u0085"])
def test_nothing_is_empty_and_never_hashed(rule: Callable[[str], str | Rejected], value: str) -> None:
    assert rule(value) == Rejected(Reason.EMPTY)


@pytest.mark.parametrize("value", [HASH, HASH.upper(), f" {HASH} ", f"\ufeff{HASH}", "1" * 64])
def test_hashes_are_not_hashed_again(value: str) -> None:
    for rule in (
        normalize_email,
        normalize_phone,
        normalize_personal_id,
        normalize_aaid,
        normalize_idfa,
        normalize_postal_part,
    ):
        assert rule(value) == Rejected(Reason.ALREADY_HASHED)


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


@pytest.mark.parametrize(
    ("value", "country", "digits"),
    [
        ("4917012345678", "DE", "4917012345678"),  # not 49 4917012345678, as phonenumbers has it
        ("49 30 12345678", "DE", "493012345678"),
        ("49(0)17012345678", "DE", "4917012345678"),
        ("491701234567", "NL", Rejected(Reason.INVALID_PHONE)),
        ("49301234567", "DE", "49301234567"),
        ("49711234567", "DE", "4949711234567"),  # too short to tell from area code 04971 without its zero
        ("0491 701234567", "DE", "49491701234567"),
        ("46701234567", "SE", "46701234567"),
        ("358401234567", "FI", "358401234567"),
        ("447911123456", "GB", "447911123456"),
        ("32470123456", "BE", "32470123456"),
        ("12015550123", "US", "12015550123"),
    ],
)
def test_own_country_code_without_plus(value: str, country: str, digits: str | Rejected) -> None:
    assert normalize_phone(value, country=country) == digits


def test_what_one_dials_to_get_abroad_depends_on_the_country() -> None:
    assert normalize_phone("011 31 6 12345678", country="US") == "31612345678"
    assert normalize_phone("0031 6 12345678", country="US") == Rejected(Reason.INVALID_PHONE)


@pytest.mark.parametrize("value", [HASH, HASH.upper(), f" {HASH}\n", f"\ufeff{HASH}"])
def test_hashes_of_either_case(value: str) -> None:
    assert normalize_hash(value) == HASH


@pytest.mark.parametrize(
    "value", ["john@mail.example", HASH[:-1], HASH + "0", "g" * 64, "\uff10" * 64, "\x00" * 64]
)
def test_a_hashed_column_takes_hashes_only(value: str) -> None:
    assert normalize_hash(value) == Rejected(Reason.NOT_HASHED)


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_the_hash_of_nothing_is_nobody(case: Callable[[str], str]) -> None:
    assert hashlib.sha256(b"").hexdigest() == HASH_OF_NOTHING
    assert normalize_hash(case(HASH_OF_NOTHING)) == Rejected(Reason.HASH_OF_NOTHING)


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("640823-3234", "196408233234"),  # the Tax Agency's example
        ("6408233234", "196408233234"),
        ("19640823-3234", "196408233234"),
        ("196408233234", "196408233234"),
        (" 19640823 - 3234 ", "196408233234"),
        ("640823\u20133234", "196408233234"),
        ("640823\u22123234", "196408233234"),
        ("\uff16\uff14\uff10\uff18\uff12\uff13\uff0d\uff13\uff12\uff13\uff14", "196408233234"),
        ("701063-2391", "197010632391"),  # a coordination number
        ("640891-3231", "196408913231"),  # of the 31st
        ("000229-1235", "200002291235"),  # 2000 was a leap year
        ("250101-1239", "202501011239"),
        ("260101-1238", "192601011238"),  # nobody who was born in 2026 is a customer
        ("260101+1238", "192601011238"),
        ("20260101-1238", "202601011238"),
        ("250101+1239", "192501011239"),
        ("400101+1230", "194001011230"),
        ("18640823-3234", "186408233234"),
    ],
)
def test_personal_ids(value: str, digits: str) -> None:
    assert normalize_personal_id(value) == digits


@pytest.mark.parametrize(
    "value",
    [
        "640823-3233",  # checksum
        "19640823-3235",
        "640832-3233",  # no such day
        "640860-3238",  # nor as a coordination number
        "640892-3230",
        "641323-3238",  # no such month
        "19000229-1235",  # 1900 was no leap year
        "000229+1235",
        "410101+1239",  # nobody alive
        "21640823-3234",
        "640823-0008",  # birth number 000
        "640823--3234",
        "64-08-23-3234",
        "640823/3234",
        "640823-323",
        "640823-32345",
        "8640823-3234",
        "640823-T234",  # a number of a hospital
        "\x00640823-3234",
        "null",
        "0000000000",
    ],
)
def test_refused_personal_ids(value: str) -> None:
    assert normalize_personal_id(value) == Rejected(Reason.INVALID_PERSONAL_ID)


DEVICE = "38400000-8cf0-11bd-b23e-10b96e40000d"


@pytest.mark.parametrize(
    "value",
    [DEVICE, DEVICE.upper(), f" {DEVICE}\r\n", f"\ufeff{DEVICE}", "38400000 -8cf0-11bd-b23e-10b96e40000d"],
)
def test_device_ids_have_the_case_of_their_system(value: str) -> None:
    assert normalize_aaid(value) == DEVICE
    assert normalize_idfa(value) == DEVICE.upper()


@pytest.mark.parametrize(
    "value",
    [
        "00000000-0000-0000-0000-000000000000",
        DEVICE.replace("-", ""),  # as well an MD5
        "{" + DEVICE + "}",
        DEVICE + "0",
        DEVICE[:-1],
        DEVICE.replace("8", "g"),
        DEVICE.replace("-", "\u2013"),
        DEVICE.replace("bd", "b\u0131"),
        DEVICE.replace("00000", "000\ufb00"),  # a ligature whose upper case is FF
        DEVICE + "\x00",
        "null",
    ],
)
@pytest.mark.parametrize("rule", [normalize_aaid, normalize_idfa])
def test_refused_device_ids(rule: Callable[[str], str | Rejected], value: str) -> None:
    assert rule(value) == Rejected(Reason.INVALID_DEVICE_ID)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1012AB", "1012AB"),
        (" 1012  ab ", "1012 ab"),  # neither case nor the space inside is ours to change
        ("123\u00a045", "123 45"),
        ("12\n\t1/2", "12 1/2"),
        ("bis\u200b", "bis"),
        ("A\u030angatan 1", "\u00c5ngatan 1"),
        ("Stra\u00dfe", "Stra\u00dfe"),
        ("\u0130stiklal", "\u0130stiklal"),
        ("x" * 100, "x" * 100),
        ("x \u200b" + "x" * 98, "x " + "x" * 98),
        ("0", "0"),
        ("Nullweg", "Nullweg"),
    ],
)
def test_postal_parts(value: str, text: str) -> None:
    assert normalize_postal_part(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" Crm-0007 ", "Crm-0007"),
        ("\ufeffa\u200bb", "ab"),
        ("a  b", "a  b"),
        ("JOSE\u0301", "JOSE\u0301"),
        (HASH.upper(), HASH.upper()),
        ("0", "0"),
        ("x" * 255, "x" * 255),
    ],
)
def test_custom_ids_stay_what_they_are(value: str, text: str) -> None:
    assert normalize_custom(value) == text


@pytest.mark.parametrize(
    "value",
    ["a\x00b", "a\x7fb", "a\x9fb", "Stra\ufffde", "\ud800", "NULL", "null ", "NaN", "\\N", "#N/A", "(null)"],
)
@pytest.mark.parametrize("rule", [normalize_postal_part, normalize_custom])
def test_refused_texts(rule: Callable[[str], str | Rejected], value: str) -> None:
    assert rule(value) == Rejected(Reason.INVALID_TEXT)


def test_texts_have_a_length() -> None:
    assert normalize_postal_part("x" * 101) == Rejected(Reason.INVALID_TEXT)
    assert normalize_custom("x" * 256) == Rejected(Reason.INVALID_TEXT)
    assert normalize_custom("a\tb") == Rejected(Reason.INVALID_TEXT)


@pytest.mark.timeout(15)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize(
    "value",
    [
        "\x00",
        "\ud800\udfff",
        "\udcff@mail.example",
        "1" * 200_000,
        "a" * 200_000,
        "(0)" * 70_000,
        "+" * 200_000,
        "\u0300\u0316" * 100_000,  # to compose this takes minutes
        "a+" + "\u0300\u0316" * 100_000 + "@mail.example",
        "\u0130" * 200_000,
        "@" * 200_000,
        "." * 200_000,
        "0" * 63 + "\U0010ffff",
        "\u0bf0\u00bd\u2460",  # numeric, but no digits
    ],
    ids=lambda value: f"{value[:4]!a} {len(value)}",
)
def test_no_text_is_too_much(rule: Callable[[str], str | Rejected], value: str) -> None:
    assert isinstance(rule(value), Rejected | str)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@given(value=st.text(st.characters(exclude_categories=())))
def test_no_text_raises_and_nothing_is_never_a_value(
    rule: Callable[[str], str | Rejected], value: str
) -> None:
    answer = rule(value)
    if isinstance(answer, str):
        assert answer
        assert sha256_hex(answer) != HASH_OF_NOTHING
    else:
        assert repr(answer) in {repr(Rejected(reason)) for reason in Reason}


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
def test_normalising_twice_changes_nothing(rule: Callable[[str], str | Rejected], value: str) -> None:
    once = rule(value)
    if isinstance(once, str):
        assert rule(once) == once
        assert remove_blanks(once) == "".join(once.split())  # nothing invisible


@given(
    st.text(alphabet="0123456789+-() /\\.\u200b\uff10", max_size=20),
    st.sampled_from(["NL", "DE", "FI", "US", "IT"]),
)
def test_normalised_phones_are_stable(value: str, country: str) -> None:
    digits = normalize_phone(value, country=country)
    if isinstance(digits, str):
        assert digits.isascii()
        assert digits.isdecimal()
        assert normalize_phone(f"+{digits}", country=country) == digits


@pytest.mark.parametrize("value", ["1711234567.0", "3012345678.00", " 1711234567.0 ", "+491711234567.0"])
def test_a_phone_that_became_a_floating_point_number_is_nobody_elses(value: str) -> None:
    assert normalize_phone(value, country="DE") == Rejected(Reason.INVALID_PHONE)


def test_groups_of_digits_with_points_may_end_in_zeros() -> None:
    assert normalize_phone("06.12.34.56.00") == "31612345600"
