"""The fast path may leave any value to the reference; its answers must equal those of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.identifiers import vectorized
from audience_onboarding.crm.identifiers.normalize import EMPTY_HASH, NULL_TOKENS, ZERO_DEVICE_ID
from audience_onboarding.crm.identifiers.phone_grammar import COUNTRIES_SERVED
from audience_onboarding.crm.identifiers.rules import Rule, get_rule
from audience_onboarding.crm.output.profiles import Identifier
from tests.unit.crm.malformed.case import words

HOSTILE = (
    "\u0130\u0131\u00df\u03a3\u03c2\u017f\u212a\ufb00\u200b\u200d\ufeff\u00a0\u202f\u202e\u200f\x00\x1c\x1f\x7f\x85\u0301\u034f"
    "\u00e9\u00d7\uff10\uff16\u0661\uff0b\uff20\uff0e\u2010\u2212\u00ad\u3164\ufffd\U0001f600"
)
BLANKS = ["", "", " ", "\t", "\r\n", "\u200b", "\u00a0", "\ufeff", "\u202a", "\x1c"]


def mixed(alphabet: str, max_size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet + HOSTILE, max_size=max_size)


EMAILS = st.one_of(
    st.text(max_size=30),
    mixed("abzAZ019@@..-_+% '", 25),
    st.builds(
        "{}{}@{}.{}{}".format,
        st.sampled_from(BLANKS),
        st.one_of(mixed("aZ0._+%-", 70), st.text("aZ0._+%-", min_size=1, max_size=70)),
        st.one_of(mixed("aZ0.-", 70), st.text("aZ0.-", min_size=1, max_size=70)),
        st.sampled_from(["com", "nl", "x", "1", "c0m", "COM", "xn--p1ai", "\u212ao", "co\u017f"]),
        st.sampled_from([*BLANKS, "."]),
    ),
    st.builds(
        "{}{}@{}".format,
        st.sampled_from(BLANKS),
        st.text("aZ0._+%-", min_size=1, max_size=8),
        st.sampled_from(
            ["Mail.example", "x-y.co.uk", "localhost", "\u212aelvin.example", "m\u00fcller.example"]
        ),
    ),
)
CODES = (31, 46, 358, 49, 32, 44, 1, 33, 39)
AROUND_CODES = words(
    "{} {}(0) {}0 0{} 0{}(0) 00{} 00{}0 00{}(0) 011{} +{} (+{}) +{}0 +{}00 +{}-0 +{}(0) +{}("
)
AROUND_CODES += [*words("+{}(0)(0) ++{}0 5+{}0"), "+{} (0)", "+{} (0", "+ {} 0"]
STARTS = ["", *words("0 (0 (0) 00 000 + ++ 0+ 011 1 8 99 990 180020 +0 +00")]
STARTS += [pattern.format(code) for code, pattern in product(CODES, AROUND_CODES)]
PHONES = st.one_of(
    st.text(max_size=20),
    mixed("0123456789+-() /\\.\t[]", 20),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(STARTS),
        st.text(alphabet="0123456789" * 3 + " -(", min_size=3, max_size=16),
        st.sampled_from([*BLANKS, ")", "x", "+", "(0)"]),
    ),
)
HASHES = st.builds(
    "{}{}{}".format,
    st.sampled_from(BLANKS),
    st.one_of(
        st.text("0123456789abcdefABCDEF", min_size=63, max_size=65),
        st.text("0123456789abcdef\ufb00\uff10\u212a", min_size=62, max_size=64),
        st.sampled_from([EMPTY_HASH, EMPTY_HASH.upper()]),
    ),
    st.sampled_from(BLANKS),
)
DEVICES = st.builds(
    "{}{}{}".format,
    st.sampled_from(BLANKS),
    st.one_of(
        st.uuids().map(str),
        st.uuids().map(lambda uuid: str(uuid).upper()),
        st.uuids().map(lambda uuid: uuid.hex),
        st.builds(
            lambda uuid, odd: str(uuid)[:-2] + odd,
            st.uuids(),
            st.sampled_from(["\ufb00", "\uff11a", "-0", "\x000"]),
        ),
        st.just(ZERO_DEVICE_ID),
    ),
    st.sampled_from(BLANKS),
)
WORDS = st.sampled_from(
    [*sorted(NULL_TOKENS), "NULL", "Null ", "nul\u017f", "Stra\u00dfe", "A\u030a", "\u00c5"]
)
TEXTS = st.one_of(
    st.text(max_size=20),
    mixed("aZ0 -./,'\u00e5\u00f6\u0149\u0132\u0344\u0958", 20),
    WORDS,
    st.builds("{}{}{}".format, WORDS, st.sampled_from(BLANKS), WORDS),
    st.text("aZ 0", min_size=95, max_size=104),
    st.text("aZ 0\u00e9", min_size=250, max_size=258),
    HASHES,
)
STRATEGIES = {
    Identifier.EMAIL: EMAILS,
    Identifier.PHONE: PHONES,
    Identifier.AAID: DEVICES,
    Identifier.IDFA: DEVICES,
}


def accepted(rule: Rule, values: Sequence[str | None]) -> dict[str, str]:
    """Values that the fast path answers, with its answers."""
    assert rule.fast_path is not None
    fast = rule.fast_path(pl.col("raw"))
    frame = (
        pl.DataFrame({"raw": pl.Series(values, dtype=pl.String)})
        .with_columns(cleaned=fast.cleaned)
        .with_columns(accept=fast.accept(pl.col("cleaned")), value=fast.value(pl.col("cleaned")))
    )
    if fast.is_clean is not None:
        plain = frame.filter(fast.is_clean(pl.col("raw")))
        assert plain["accept"].all()
        assert plain["cleaned"].to_list() == plain["raw"].to_list()
    return dict(frame.filter("accept").select("raw", "value").iter_rows())


def check(rule: Rule, values: Sequence[str]) -> None:
    answers = accepted(rule, values)
    assert answers == {value: rule.reference(value) for value in answers}


@given(values=st.lists(EMAILS, min_size=1, max_size=60), strip_plus_tag=st.booleans())
def test_email_fast_path_equals_reference(values: list[str], strip_plus_tag: bool) -> None:
    check(get_rule(Identifier.EMAIL, country="NL", strip_plus_tag=strip_plus_tag), values)


def test_email_long_fast_path_equals_reference() -> None:
    values = [f"{'x' * (size - 13)}@mail.example" for size in range(60, 80)]  # 64 octets before the @ at most
    values += [f"x@{'y' * (size - 10)}.example" for size in range(60, 80)]  # 63 octets a label
    values += [
        f"x@{'y' * 50}.{'y' * 50}.{'y' * 50}.{'y' * 50}.{'y' * (size - 214)}.example"
        for size in range(245, 260)
    ]
    rule = get_rule(Identifier.EMAIL, country="NL", strip_plus_tag=False)
    check(rule, values)
    assert accepted(rule, values)


@pytest.mark.parametrize("identifier", [Identifier.STREET, Identifier.CUSTOM])
def test_texts_long_fast_path_equals_reference(identifier: Identifier) -> None:
    values = [
        char * size
        for char in ("a", "x", "\u00e9")
        for size in [*range(60, 70), *range(98, 104), *range(250, 260)]
    ]
    rule = get_rule(identifier, country="NL", strip_plus_tag=False)
    check(rule, values)
    assert accepted(rule, values)


@pytest.mark.parametrize("country", [*COUNTRIES_SERVED, "FR", "IT", "DK", "GG", "MX", "XX"])
@given(values=st.lists(PHONES, min_size=1, max_size=100))
def test_phone_fast_path_equals_reference(country: str, values: list[str]) -> None:
    check(get_rule(Identifier.PHONE, country=country, strip_plus_tag=False), values)


@pytest.mark.parametrize("identifier", list(Identifier))
@pytest.mark.parametrize("hashed", [False, True])
@given(data=st.data())
def test_other_fast_paths_equal_reference(identifier: Identifier, hashed: bool, data: st.DataObject) -> None:
    rule = get_rule(identifier, country="SE", strip_plus_tag=False, hashed=hashed)
    if rule.fast_path is not None:
        strategy = st.one_of(HASHES, TEXTS) if hashed else STRATEGIES.get(identifier, TEXTS)
        check(rule, data.draw(st.lists(strategy, min_size=1, max_size=60)))


def test_fast_paths_blank_is_never_accepted() -> None:
    for identifier, hashed in product(Identifier, [False, True]):
        rule = get_rule(identifier, country="NL", strip_plus_tag=False, hashed=hashed)
        if rule.fast_path is not None:
            assert accepted(rule, [None, *BLANKS]) == {}
            if hashed or identifier in STRATEGIES:
                assert accepted(rule, words("( (0) + () - @ 00 31")) == {}


def test_phone_removed_characters_are_removed_by_reference() -> None:
    rule = get_rule(Identifier.PHONE, country="NL", strip_plus_tag=False)
    values = [
        value
        for char in vectorized._REMOVED_FROM_PHONES
        for value in (f"{char}0612{char}345678{char}", f"+{char}31{char}612345678")
    ]
    assert accepted(rule, values) == dict.fromkeys(values, "31612345678")
    check(rule, values)


USUAL = {
    "NL 31612345678": "+31612345678 0031612345678 0612345678 06-12345678 +31(0)612345678 0031(0)6-12345678"
    " (06)12345678 06\\12345678 06.12.34.56.78 06/12345678 [06]12345678 31612345678 612345678 31(0)612345678"
    " +310612345678 (+31)612345678 +31(06)12345678",
    "SE 46701234567": "070-1234567 +46701234567 +46(0)701234567 0046(0)701234567 46701234567 701234567",
    "FI 358401234567": "040-1234567 +358401234567 +358(0)401234567 00358401234567 358401234567",
    "DE 491701234567": "0170/1234567 +49(0)170/1234567 0049(0)1701234567 +491701234567 491701234567",
    "BE 32470123456": "0470/12.34.56 +32(0)470123456 0032470123456 32470123456 470123456",
    "GB 442079460018": "(020)79460018 +44(0)2079460018 00442079460018 442079460018 02079460018",
    "US 12015550123": "(201)555-0123 +1-201-555-0123 1-201-555-0123 12015550123 201.555.0123",
    "FR 33612345678": "0612345678 +33(0)612345678 0033612345678 33612345678",
}


@pytest.mark.parametrize("number", USUAL)
def test_phone_usual_spellings_are_answered(number: str) -> None:
    country, digits = number.split()
    rule = get_rule(Identifier.PHONE, country=country, strip_plus_tag=False)
    plain = words(USUAL[number])
    spaced = [f"\u202a{value.replace('(', ' (').replace(')', ') ')}\u00a0" for value in plain]
    assert accepted(rule, [*plain, *spaced]) == dict.fromkeys([*plain, *spaced], digits)


def test_phone_clean_numbers_need_no_cleaning() -> None:
    plain = vectorized.phone(pl.col("raw"), country="NL").is_clean
    assert plain is not None
    values = words("0612345678 +31612345678 0031612345678 612345678 31612345678")
    others = words("06-12345678 [612345678 (31612345678 )31612345678 +310612345678 0600000000")
    frame = pl.DataFrame({"raw": [*values, *others, "", None]}).filter(plain(pl.col("raw")))
    assert frame["raw"].to_list() == values


def test_phone_brackets_of_source_are_no_placeholders() -> None:
    rule = get_rule(Identifier.PHONE, country="NL", strip_plus_tag=False)
    marks, numbers = words("[ ( ) +( 0[ 00 +"), words("612345678 31612345678 31(0)612345678")
    check(rule, [mark + number for mark in marks for number in numbers])


@pytest.mark.parametrize("country", [*COUNTRIES_SERVED, "FR", "GG", "XX"])
def test_phone_numbers_of_countries_served_are_answered_everywhere(country: str) -> None:
    rule = get_rule(Identifier.PHONE, country=country, strip_plus_tag=False)
    numbers = words("31612345678 46701234567 358401234567 491701234567 32470123456 442079460018 12015550123")
    spellings = {f"+{number}": number for number in numbers}
    spellings |= {
        f"+{number[:2]} (0){number[2:]}": number for number in numbers if number[:2] not in {"12", "35"}
    }
    assert accepted(rule, list(spellings)) == spellings


def test_phone_unsupported_metadata_leaves_values_to_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(code: int) -> None:
        raise vectorized.phone_grammar.UnsupportedMetadataError

    monkeypatch.setattr(vectorized.phone_grammar, "international_patterns", surprise)
    vectorized._build_phone_rule.cache_clear()
    try:
        rule = get_rule(Identifier.PHONE, country="NL", strip_plus_tag=False)
        assert accepted(rule, ["+31612345678", "0612345678", "+", ""]) == {}
        assert rule.reference("0612345678") == "31612345678"
    finally:
        vectorized._build_phone_rule.cache_clear()


def test_usual_values_are_answered() -> None:
    for identifier, values in {
        Identifier.EMAIL: [
            "John.Sam@MAIL.COM",
            " test@digitalaudience.io ",
            "a+b@x-y.co.uk",
            "a_b%c@1.example",
        ],
        Identifier.CUSTOM: ["crm-0007", "A  b", "\u00c5", "a7df77a9db89b44110c704b680a24978" * 2],
        Identifier.STREET: ["G\u00f6tgatan 1", " O'Connell St. ", "Kr\u00e1l\u00eek\u0151 2/B"],
        Identifier.POSTAL_CODE: ["1012 AB", "123 45", "SW1A 1AA"],
        Identifier.AAID: ["38400000-8cf0-11bd-b23e-10b96e40000d"],
        Identifier.IDFA: ["38400000-8CF0-11BD-B23E-10B96E40000D", " 38400000-8cf0-11bd-b23e-10b96e40000d"],
    }.items():
        rule = get_rule(identifier, country="NL", strip_plus_tag=False)
        assert accepted(rule, values) == {value: rule.reference(value) for value in values}
