from __future__ import annotations

import random
import re
from contextlib import suppress

import phonenumbers
import pytest

from audience_onboarding.crm.identifiers import phone_grammar
from audience_onboarding.crm.identifiers.phone_grammar import (
    NOTHING,
    UnsupportedMetadataError,
    as_pattern,
    matching,
    of_length,
)
from tests.unit.crm.malformed.case import words

SHORT = [str(number).zfill(length) for length in range(1, 5) for number in range(10**length)] + [""]


PATTERNS = words(r"1 \d [2-46] 1|23 (?:1|23)4? 1\d{2} 1\d{0,2} (?:1(?:2|3[4-6])|[7-9]0)?5{1,2} 12|12")


@pytest.mark.parametrize("pattern", [*PATTERNS, ""])
def test_matching_set_equals_pattern(pattern: str) -> None:
    strings = matching(pattern)
    expected = {text for text in SHORT if re.fullmatch(pattern, text)}
    assert {text for text in SHORT if text in strings} == expected
    assert {text for text in SHORT if re.fullmatch(as_pattern(strings), text)} == expected


def test_matching_unsupported_pattern_raises() -> None:
    understood = []
    for pattern in words(r"(?=1)2 (1) 1+ 1* [^1] 1{2,} ^1 1$ (?:1 1) \D ? (?:1|2 a 1}"):
        with suppress(UnsupportedMetadataError):
            understood.append((pattern, matching(pattern)))
    assert understood == []


def test_digit_string_sets_equal_are_one_object() -> None:
    assert matching(r"1[23]|1[45]") is matching("1[2-5]")
    assert (matching("12") & matching("13")) is NOTHING
    assert (matching("1[2-5]") - matching("13|7")) is matching("1[245]")
    assert (matching("12") | matching("3")) is matching("3|12")
    assert of_length([]) is NOTHING
    assert matching("1", of_length([2])) is matching(r"1\d\d")


@pytest.mark.parametrize("country", [*phone_grammar.COUNTRIES_SERVED, "FR", "PL", "AT", "IT"])
def test_international_patterns_equal_phonenumbers(country: str) -> None:
    code = phone_grammar.calling_code(country)
    known = phone_grammar.international_patterns(code).after_code
    plan = phonenumbers.PhoneMetadata.metadata_for_region(country)
    assert plan is not None
    dice = random.Random(country)
    examples = {
        kind.example_number
        for kind in (plan.fixed_line, plan.mobile, plan.toll_free, plan.premium_rate, plan.uan, plan.voip)
        if kind and kind.example_number and not kind.example_number.startswith("0")
    }
    valid = 0
    for example in sorted(examples) * 150:
        kept = dice.randrange(len(example))
        more = "".join(dice.choices("0123456789", k=len(example) - kept + dice.choice([-1, 0, 0, 0, 1])))
        number = example[:kept] + more
        if number.startswith("0"):
            continue
        parsed = phonenumbers.PhoneNumber(country_code=code, national_number=int(number or 0))
        expected = phonenumbers.is_valid_number(parsed) and (country != "NL" or len(number) == 9)
        assert (number in known) == expected, number
        valid += expected
    assert valid > 100


def test_national_patterns_unsupported_country_raises() -> None:
    for country in ("XX", "AR"):
        with pytest.raises(UnsupportedMetadataError):
            phone_grammar.national_patterns(country)
    assert not phone_grammar.dials_00("XX")
    assert not phone_grammar.dials_00("US")
