"""The short cut for numbers with a country code never answers otherwise than the reference."""

from __future__ import annotations

import random
from collections.abc import Iterator

import phonenumbers
import pytest

from audience_onboarding.crm.identifiers.normalize import normalize_phone
from audience_onboarding.crm.identifiers.vectorized import phone_of_any_country
from tests.profiles import THOROUGH


def numbers() -> Iterator[str]:
    """Numbers of every country and kind in several spellings, also with a wrong digit."""
    rng = random.Random(5)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in range(11):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            yield plain
            yield phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
            yield f"{plain[:4]}-{plain[4:7]}.{plain[7:]}"
            yield from (
                f"00{plain[1:]}",
                f"{plain}1",
                plain[:-1],
                f"{plain[:4]}0{plain[4:]}",
                f"{plain[:3]}(0){plain[3:]}",
            )
            for _ in range(3):
                place = rng.randrange(1, len(plain))
                yield plain[:place] + rng.choice("0123456789") + plain[place + 1 :]


ALL = sorted(set(numbers()))
SOME = ALL if THOROUGH else random.Random(1).sample(ALL, len(ALL) // 10)


@pytest.mark.parametrize("country", ["NL", "US", "IT"])
def test_phone_of_any_country_answer_equals_reference(country: str) -> None:
    answers = {text: found for text in SOME if (found := phone_of_any_country(text)) is not None}
    assert len(answers) > len(SOME) / 4
    assert {text: normalize_phone(text, country=country) for text in answers} == answers


def test_phone_of_any_country_uncertain_text_returns_none() -> None:
    texts = ["", "+", "0612345678", "+0", "+31", "+999123", "+31 6 1234567x", "+" + "3" * 400]
    for text in [*texts, "\uff0b31612345678", "+\u0663\u0661612345678"]:
        assert phone_of_any_country(text) is None, text
