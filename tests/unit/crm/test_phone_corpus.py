"""Phone numbers in every spelling, against ``phonenumbers`` alone.

The result of the engine (fast path, else reference) must equal that of ``phonenumbers``: ``parse``,
``is_valid_number``, E.164 without the plus. Any other result must be one of :data:`DIFFERENCES`, which are all
intended. ``docs/reference/identifiers.md`` lists them for readers.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import phonenumbers
import polars as pl
import pytest

from audience_onboarding.crm.identifiers.normalize import Rejected
from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from audience_onboarding.crm.identifiers.rules import get_rule
from audience_onboarding.crm.output.profiles import Identifier
from tests.profiles import THOROUGH
from tests.unit.crm.malformed.case import words

COUNTRIES = {"NL": "31", "SE": "46", "FI": "358", "DE": "49", "BE": "32", "GB": "44", "US": "1"}
PER_COUNTRY = 31_000 if THOROUGH else 3_000
"""Each of the differences comes up in the smaller corpus, too."""

# {n}: the national number, {a} and {b}: its two parts, {c}: the country code.
USUAL_SPELLINGS = [
    *words("0{n} 0{n} 0{a}-{b} 0{a}/{b} (0){n} {n} {c}{n} +{c}{n} +{c}-{n} +{c}.{n} 00{c}{n} 00{c}/{n}"),
    *words("+{c}(0){n} +{c}0{n}"),
    *("(0{a}) {b}", "[0{a}] {b}", "0 {n}", "+{c} {n}", "+ {c} {n}", "(+{c}) {n}", "00 {c} {n}"),
    *("+{c} (0){n}", "+{c} 0{n}", "+{c} (0{a}) {b}", "00{c} (0){n}", "00{c}(0) {n}"),
]
RARE_SPELLINGS = [
    *words("+({c}){n} +{c}-0-{n} 00-{c}-{n} 00{c}0{n} {c}-{n} {c}(0){n} {c}0{n} 011{c}{n} 011{c}(0){n}"),
    *words("0{a}\\{b} \u202a0{n}\u202c 0{a}\u200b{b} 0{a}\u2013{b} \ufeff0{n} \uff10{n} +{c}\u0660{n}"),
    *("(00{c}) {n}", "011 {c} {n}", "0{a}\t{b}", "0{a}\n{b}", "0{a}\u00a0{b}"),
]
DAMAGED_SPELLINGS = [
    *words(
        "+{c}{n}x3 0{n}; 0{n}* '0{n} 0{n},0{n} ++{c}{n} 0+{c}{n} 00+{c}{n} 000{c}{n} +00{c}{n} +0{n} {n}{n}"
    ),
    *("0{n}.0", "0{a}_{b}", "0{a}\u20e3{b}", "0{n} ext. 12", "tel: 0{n}", "0{n} (werk)", "0{n} / 0{n}"),
]
SEPARATORS = ["", "", "", "", " ", " ", "-", ".", "/", " - "]


@dataclass(frozen=True)
class Number:
    text: str
    country: str
    """Of numbers without country code."""


def corpus() -> list[Number]:
    """The same numbers in every run."""
    dice = random.Random(20251121)
    return [number for country in COUNTRIES for number in numbers_of(country, dice)]


def numbers_of(country: str, dice: random.Random) -> list[Number]:
    plan = phonenumbers.PhoneMetadata.metadata_for_region(country)
    assert plan is not None
    kinds = [plan.fixed_line, plan.mobile, plan.toll_free, plan.premium_rate, plan.shared_cost]
    kinds += [plan.personal_number, plan.voip, plan.pager, plan.uan, plan.voicemail]
    examples = [kind.example_number for kind in kinds if kind and kind.example_number]
    lengths = sorted(
        {length for kind in (plan.fixed_line, plan.mobile) if kind for length in kind.possible_length}
    )
    others = [other for other in COUNTRIES if other != country]
    numbers = []
    for _ in range(PER_COUNTRY):
        # Mostly numbers that begin like an existing one; else any digits at all.
        example = dice.choice([examples[0], examples[1], dice.choice(examples)])
        kept = dice.choice([0, 1, 2, 3, 4, len(example)])
        length = dice.choice(
            [len(example)] * 6 + [dice.choice(lengths)] * 2 + [len(example) - 1, len(example) + 1]
        )
        digits = (example[:kept] + "".join(dice.choices("0123456789", k=16)))[: max(length, 2)]
        (spellings,) = dice.choices([USUAL_SPELLINGS, RARE_SPELLINGS, DAMAGED_SPELLINGS], [82, 12, 6])
        spelling = dice.choice(spellings)
        if country == "US":
            spelling = american(spelling, dice)
        cut = dice.randrange(1, min(len(digits), 5))
        separator = dice.choice(SEPARATORS)
        text = spelling.format(
            c=COUNTRIES[country],
            n=grouped(digits, separator, dice),
            a=digits[:cut],
            b=grouped(digits[cut:], separator, dice),
        )
        numbers.append(Number(text, dice.choice(others) if dice.random() < 0.15 else country))
    return numbers


def american(spelling: str, dice: random.Random) -> str:
    """The same with a 1 or nothing where others dial a zero."""
    if dice.random() < 0.01:
        return "+1 (0){n}"
    spelling = spelling.replace("{c}0", "{c}").replace("{c} 0", "{c} ").replace("(0)", "").replace("(0", "(")
    return re.sub("^0{", dice.choice(["{", "1{", "1-{"]), spelling)


def grouped(digits: str, separator: str, dice: random.Random) -> str:
    if not separator:
        return digits
    size = dice.choice([2, 3, 4])
    return separator.join(digits[at : at + size] for at in range(0, len(digits), size))


@cache
def independent(text: str, country: str) -> str | None:
    try:
        parsed = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def ours(numbers: list[Number]) -> tuple[dict[Number, str | None], set[Number]]:
    """Return the engine's answers, and the numbers that the fast path answered."""
    answers: dict[Number, str | None] = {}
    for country in COUNTRIES:
        rule = get_rule(Identifier.PHONE, country=country, strip_plus_tag=False)
        assert rule.fast_path is not None
        fast = rule.fast_path(pl.col("raw"))
        frame = (
            pl.DataFrame({"raw": [number.text for number in numbers if number.country == country]})
            .with_columns(cleaned=fast.cleaned)
            .with_columns(accept=fast.accept(pl.col("cleaned")), value=fast.value(pl.col("cleaned")))
        )
        for text, value in frame.filter("accept").select("raw", "value").iter_rows():
            answers[Number(text, country)] = value
    fast_ones = set(answers)
    for number in numbers:
        if number not in answers:
            answer = get_rule(Identifier.PHONE, country=number.country, strip_plus_tag=False).reference(
                number.text
            )
            assert isinstance(answer, str) or answer == Rejected(RejectReason.INVALID_PHONE)
            answers[number] = answer if isinstance(answer, str) else None
    return answers, fast_ones


@dataclass(frozen=True)
class Difference:
    why: str
    explains: Callable[[Number, str | None, str | None], bool]
    """Whether it explains the engine's answer (second) and the other one of ``phonenumbers`` (third)."""


def without(number: Number, *texts: str, by: str = "") -> str | None:
    text = number.text
    for unwanted in texts:
        text = text.replace(unwanted, by)
    return independent(text, number.country)


DIFFERENCES = {
    "dutch length": Difference(
        "The vendor wants Dutch numbers with 11 digits. Others are service numbers and SIM cards of machines.",
        lambda number, our, their: (
            our is None and their is not None and their.startswith("31") and len(their) != 11
        ),
    ),
    "letters": Difference(
        "An extension, a name, a remark, a second number: phonenumbers drops or dials them, but a number that is"
        " shared by extensions is no person's, and letters on keys are typing errors in a CRM.",
        lambda number, our, their: our is None and any(char.isalpha() for char in number.text),
    ),
    "pluses": Difference(
        "One plus, and in front: elsewhere it joins two numbers.",
        lambda number, our, their: our is None and number.text.count("+") > 1,
    ),
    "other characters": Difference(
        "phonenumbers drops text before and after a number. Two numbers, or half of one, have the same form.",
        lambda number, our, their: our is None and re.search(r"[;,'*_]", number.text) is not None,
    ),
    "own code": Difference(
        "12 or more digits that begin with the own country code have lost their plus; phonenumbers takes some of"
        " them for national numbers of impossible length.",
        lambda number, our, their: (
            our == independent("+" + re.sub(r"\D", "", number.text), number.country)
            and re.match(rf"\W*{COUNTRIES[number.country]}", number.text) is not None
            and len(re.sub(r"\D", "", number.text)) >= 12
        ),
    ),
    "zero in brackets": Difference(
        "(0) is not dialled from abroad; phonenumbers dials it if the country has no zero.",
        lambda number, our, their: "(0)" in number.text and our is not None and our == without(number, "(0)"),
    ),
    "point zero": Difference(
        "A program has converted it to floating point: with its zero, it may be the number of another person.",
        lambda number, our, their: our is None and re.search(r"^[^.]*\.00?\W*$", number.text) is not None,
    ),
    "backslash": Difference(
        "The vendor's page lists it among the characters to remove.",
        lambda number, our, their: "\\" in number.text and our is not None and our == without(number, "\\"),
    ),
    "blanks": Difference(
        "White space and invisible characters come in by copy and paste, and phonenumbers does not know all of them.",
        lambda number, our, their: (
            our is not None and our == without(number, "\t", "\n", "\u200b", "\u202a", "\u202c", "\u2060")
        ),
    ),
}


@pytest.fixture(scope="module")
def numbers() -> list[Number]:
    return corpus()


@pytest.fixture(scope="module")
def answers(numbers: list[Number]) -> tuple[dict[Number, str | None], set[Number]]:
    return ours(numbers)


def test_engine_differences_from_phonenumbers_are_listed(
    numbers: list[Number], answers: tuple[dict[Number, str | None], set[Number]]
) -> None:
    assert len(set(numbers)) >= 0.9 * PER_COUNTRY * len(COUNTRIES)
    found: Counter[str] = Counter()
    unexplained = []
    for number in numbers:
        our, their = answers[0][number], independent(number.text, number.country)
        if our == their:
            found["equal"] += 1
            continue
        names = [
            name for name, compare_lists in DIFFERENCES.items() if compare_lists.explains(number, our, their)
        ]
        found[names[0] if names else "unexplained"] += 1
        if not names:
            unexplained.append((number, our, their))
    print(dict(found))
    assert unexplained[:20] == []
    assert set(found) == {"equal", *DIFFERENCES}, "a difference that no longer exists is still listed"
    assert found["equal"] > 0.96 * len(numbers)


def test_fast_path_valid_numbers_are_nearly_all_answered(
    answers: tuple[dict[Number, str | None], set[Number]],
) -> None:
    for country in COUNTRIES:
        valid = {
            number
            for number, answer in answers[0].items()
            if answer is not None and number.country == country
        }
        share = len(valid & answers[1]) / len(valid)
        print(f"{country}: {len(valid)} valid, {share:.1%} by the fast path")
        assert share > 0.9
    valid = {number for number, answer in answers[0].items() if answer is not None}
    assert len(valid) > 0.27 * PER_COUNTRY * len(COUNTRIES)
    assert len(valid & answers[1]) > 0.95 * len(valid)
