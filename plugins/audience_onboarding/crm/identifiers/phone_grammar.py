"""Patterns of valid phone numbers, computed from the metadata of ``phonenumbers``.

The fast path must equal ``phonenumbers`` in any installed release, so no pattern is written down: this module computes
them from the same metadata, as sets of digit strings. Unlike patterns, such sets have exact union, intersection and
difference, so each step of ``phonenumbers.parse`` and ``is_valid_number`` has a counterpart here. Spellings that need
more than sets are left out; the reference decides on them. It takes about 0.12 s once per process; the preload does it
before the fork.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, reduce
from operator import and_, gt, or_

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

from audience_onboarding.crm.identifiers.normalize import (
    DUTCH_COUNTRY_CODE,
    DUTCH_DIGITS,
    MAX_PHONE_DIGITS,
    OWN_CODE_DIGITS,
)

COUNTRIES_SERVED = ("NL", "SE", "FI", "DE", "BE", "GB", "US")
"""The fast path accepts their numbers in every country, and numbers of another country only in that country."""

_MAX_NATIONAL_DIGITS = 17  # of phonenumbers


class UnsupportedMetadataError(Exception):
    """The metadata lack a country, or use a feature that this module does not support."""


class DigitStringSet:
    """A finite set of digit strings, made by :func:`matching` and :func:`of_length`.

    It is a trie in which equal branches are one object. So equal sets are one object, and operations can be cached.

    :ivar whole: whether the empty string is in the set.
    :ivar after: for each first digit, the rest of the strings.
    """

    __slots__ = ("after", "whole")

    after: tuple[DigitStringSet, ...]
    whole: bool

    def __contains__(self, text: str) -> bool:
        strings = self
        for digit in map(int, text):
            strings = strings.after[digit]
        return strings.whole

    def __or__(self, other: DigitStringSet) -> DigitStringSet:
        return _combine(self, other, or_)

    def __and__(self, other: DigitStringSet) -> DigitStringSet:
        return _combine(self, other, and_)

    def __sub__(self, other: DigitStringSet) -> DigitStringSet:
        return _combine(self, other, gt)  # True > False


NOTHING = DigitStringSet()
"""The empty set."""
NOTHING.whole, NOTHING.after = False, (NOTHING,) * 10

_interned: dict[tuple[bool, tuple[DigitStringSet, ...]], DigitStringSet] = {
    (NOTHING.whole, NOTHING.after): NOTHING
}


def _strings(whole: bool, after: Iterable[DigitStringSet]) -> DigitStringSet:
    key = (whole, tuple(after))
    strings = _interned.get(key)
    if strings is None:
        strings = DigitStringSet()
        strings.whole, strings.after = key
        strings = _interned.setdefault(key, strings)  # another thread may have added it
    return strings


@cache
def _combine(
    first: DigitStringSet, second: DigitStringSet, keep: Callable[[bool, bool], bool]
) -> DigitStringSet:
    if first is second is NOTHING:
        return NOTHING
    return _strings(
        keep(first.whole, second.whole),
        (_combine(one, other, keep) for one, other in zip(first.after, second.after, strict=True)),
    )


_NO_DIGITS = _strings(True, NOTHING.after)

# Prepends a part of a pattern to the strings of the rest.
_Before = Callable[[DigitStringSet], DigitStringSet]

_PIECE = re.compile(r"\\d|\[[\d-]+\]|\d|\(\?:|[|)?]|\{\d+(?:,\d+)?\}")


@cache
def _matched_digits(piece: str) -> tuple[bool, ...]:
    """Return which of the ten digits a digit or a class matches."""
    return tuple(re.fullmatch(piece, digit) is not None for digit in "0123456789")


class _Pattern:
    """Parser of the patterns in the metadata: digits, classes, groups, alternatives and counts, nothing else."""

    def __init__(self, pattern: str) -> None:
        self._pieces = _PIECE.findall(pattern)[::-1]
        if "".join(reversed(self._pieces)) != pattern:
            raise UnsupportedMetadataError("unsupported element in a pattern")
        self.parsed = self._alternatives()
        if self._pieces:
            raise UnsupportedMetadataError("unbalanced group in a pattern")

    def _alternatives(self) -> _Before:
        alternatives = [self._sequence()]
        while self._pieces and self._pieces[-1] == "|":
            self._pieces.pop()
            alternatives.append(self._sequence())
        return lambda rest: reduce(or_, (alternative(rest) for alternative in alternatives))

    def _sequence(self) -> _Before:
        parts: list[_Before] = []
        while self._pieces and self._pieces[-1] not in "|)":
            parts.append(self._counted(self._one()))
        return lambda rest: reduce(lambda after, part: part(after), reversed(parts), rest)

    def _one(self) -> _Before:
        piece = self._pieces.pop()
        if piece == "(?:":
            group = self._alternatives()
            if not self._pieces:
                raise UnsupportedMetadataError("unbalanced group in a pattern")
            self._pieces.pop()
            return group
        if piece == "?" or piece.startswith("{"):
            raise UnsupportedMetadataError("repetition of nothing in a pattern")
        matched = _matched_digits(piece)
        return lambda rest: _strings(False, (rest if fits else NOTHING for fits in matched))

    def _counted(self, part: _Before) -> _Before:
        piece = self._pieces[-1] if self._pieces else ""
        if piece != "?" and not piece.startswith("{"):
            return part
        self._pieces.pop()
        counts = [0, 1] if piece == "?" else [int(count) for count in piece[1:-1].split(",")]
        least, most = counts[0], counts[-1]

        def repeated(rest: DigitStringSet) -> DigitStringSet:
            strings = rest
            for _ in range(most - least):
                strings = rest | part(strings)
            for _ in range(least):
                strings = part(strings)
            return strings

        return repeated


def matching(pattern: str, then: DigitStringSet = _NO_DIGITS) -> DigitStringSet:
    """Return the strings that a pattern of the metadata matches, followed by those of ``then``.

    :raises UnsupportedMetadataError: the pattern uses an unsupported element.
    """
    return _Pattern(pattern).parsed(then)


def of_length(lengths: Iterable[int]) -> DigitStringSet:
    """Return all strings of these lengths."""
    selected = set(lengths)
    strings = NOTHING
    for length in range(max(selected, default=0), -1, -1):
        strings = _strings(length in selected, (strings,) * 10)
    return strings


_ANYTHING = of_length(range(MAX_PHONE_DIGITS + 1))


def as_pattern(strings: DigitStringSet) -> str:
    """Return a regular expression for a set, without anchors, in syntax that all engines support."""
    patterns: dict[DigitStringSet, str] = {}

    def write(node: DigitStringSet) -> str:
        if node not in patterns:
            patterns[node] = _tail(node) or _branches(node, write)
        return patterns[node]

    return write(strings)


def _tail(node: DigitStringSet) -> str:
    """Return ``[0-9]{least,most}`` if that is the whole set, else nothing."""
    depth, lengths = 0, []
    while node is not NOTHING:
        if node.whole:
            lengths.append(depth)
        if any(after is not node.after[0] for after in node.after):
            return ""
        node = node.after[0]
        depth += 1
    if not lengths or lengths[-1] - lengths[0] != len(lengths) - 1 or lengths == [0]:
        return ""
    least, most = lengths[0], lengths[-1]
    return f"[0-9]{{{least}}}" if least == most else f"[0-9]{{{least},{most}}}"


def _branches(node: DigitStringSet, write: Callable[[DigitStringSet], str]) -> str:
    digits: dict[DigitStringSet, str] = {}
    for digit, after in enumerate(node.after):
        if after is not NOTHING:
            digits[after] = digits.get(after, "") + str(digit)
    branches = [(some if len(some) == 1 else f"[{some}]") + write(after) for after, some in digits.items()]
    if not branches:
        return ""
    if len(branches) == 1 and not node.whole:
        return branches[0]
    return f"(?:{'|'.join(branches)})" + ("?" if node.whole else "")


@dataclass(frozen=True)
class TrunkPrefix:
    """National prefix, dialled before a number within its country.

    :param prefixed: strings from which ``phonenumbers`` may remove a prefix.
    :param zero: whether the only prefix with a leading zero is ``0``.
    """

    prefixed: DigitStringSet
    zero: bool


@dataclass(frozen=True)
class PhonePatterns:
    """National numbers that the reference accepts, by their prefix. No number or country code begins with a zero.

    :param code: the country code.
    :param after_code: after ``+`` or the international prefix, and the code.
    :param after_code_zero: after these and a zero that is not dialled from abroad.
    :param after_zero: after a zero, in the own country.
    :param bare: without prefix, in the own country; they do not begin with the code.
    :param after_bare_code: after the code alone, in the own country.
    :param after_bare_code_zero: after the code and a zero, in the own country.
    """

    code: str
    after_code: DigitStringSet
    after_code_zero: DigitStringSet
    after_zero: DigitStringSet = NOTHING
    bare: DigitStringSet = NOTHING
    after_bare_code: DigitStringSet = NOTHING
    after_bare_code_zero: DigitStringSet = NOTHING


def prepare() -> None:
    """Compute the patterns that all loads use: those of the countries served."""
    for country in COUNTRIES_SERVED:
        with suppress(UnsupportedMetadataError):
            international_patterns(calling_code(country))


@cache
def international_patterns(code: int) -> PhonePatterns:
    """Return the patterns of a country that are valid in every country.

    :param code: country calling code.
    :raises UnsupportedMetadataError: the metadata use an unsupported feature.
    """
    plan = _plan(COUNTRY_CODE_TO_REGION_CODE[code][0])
    trunk = _trunk(plan)
    valid = _valid_numbers(code)
    return PhonePatterns(
        code=str(code),
        after_code=valid - trunk.prefixed,
        after_code_zero=_reachable(valid, plan) if trunk.zero else NOTHING,
    )


def national_patterns(country: str) -> PhonePatterns:
    """Return all patterns of a country, including those that are valid only there.

    :param country: ISO 3166-1 alpha-2 code.
    :raises UnsupportedMetadataError: the metadata lack the country, or use an unsupported feature.
    """
    plan = _plan(country)
    code = str(calling_code(country))
    foreign = international_patterns(int(code))
    trunk = _trunk(plan)
    reachable = _reachable(_valid_numbers(int(code)), plan)
    # Strings with the international prefix, and those that phonenumbers may read as numbers without a country code.
    abroad = matching(plan.international_prefix, _ANYTHING) if plan.international_prefix else NOTHING
    national = _matching(plan.general_desc, any_length=True)
    # Strings that begin with the own code are read with it: the first set by phonenumbers, the second by the reference.
    with_code = (_ANYTHING - national - abroad) | of_length(range(OWN_CODE_DIGITS, MAX_PHONE_DIGITS))
    own = reachable & foreign.after_code
    return PhonePatterns(
        code=code,
        after_code=foreign.after_code,
        after_code_zero=foreign.after_code_zero,
        after_zero=reachable & _after(_ANYTHING - abroad, "0") if trunk.zero else NOTHING,
        bare=reachable - trunk.prefixed - abroad - matching(code, _ANYTHING),
        after_bare_code=(own - trunk.prefixed) & _after(with_code, code),
        after_bare_code_zero=own & foreign.after_code_zero & _after(with_code, f"{code}0")
        if trunk.zero
        else NOTHING,
    )


def calling_code(country: str) -> int:
    """Return the country calling code.

    :raises UnsupportedMetadataError: unknown country.
    """
    code = _plan(country).country_code
    if code is None:
        raise UnsupportedMetadataError("no country calling code")
    return code


def dials_00(country: str) -> bool:
    """Return whether ``phonenumbers`` reads every leading ``00`` in this country as the international prefix."""
    plan = PhoneMetadata.metadata_for_region(country)
    prefix = (plan.international_prefix if plan else None) or ""
    return prefix == "00" or prefix.startswith("00|")


def _plan(country: str) -> PhoneMetadata:
    plan = PhoneMetadata.metadata_for_region(country)
    if plan is None:
        raise UnsupportedMetadataError("unknown country")
    return plan


def _after(strings: DigitStringSet, start: str) -> DigitStringSet:
    return reduce(lambda rest, digit: rest.after[int(digit)], start, strings)


def _valid_numbers(code: int) -> DigitStringSet:
    """Return the national numbers that ``is_valid_number`` and the reference accept.

    Numbers with a leading zero are left out, and those of which a spelling exceeds the reference's length limit.
    """
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    valid = assigned = NOTHING
    for region in regions:
        plan = _plan(region)
        numbers = _matching(plan.general_desc) & reduce(or_, map(_matching, _kinds(plan)))
        # A number belongs to the first region with its leading digits or, without any, in which it is valid.
        leading = plan.leading_digits if len(regions) > 1 else None
        belonging = (matching(leading, _ANYTHING) if leading else numbers) - assigned
        valid |= numbers & belonging
        assigned |= belonging
    longest = min(_MAX_NATIONAL_DIGITS, MAX_PHONE_DIGITS - len(f"00{code}0"))
    lengths = [DUTCH_DIGITS - len(str(code))] if code == DUTCH_COUNTRY_CODE else range(2, longest + 1)
    return (valid & of_length(lengths)) - matching("0", _ANYTHING)


def _kinds(plan: PhoneMetadata) -> list[PhoneNumberDesc | None]:
    kinds = [plan.premium_rate, plan.toll_free, plan.shared_cost, plan.voip, plan.personal_number]
    kinds += [plan.pager, plan.uan, plan.voicemail, plan.fixed_line]
    return kinds if plan.same_mobile_and_fixed_line_pattern else [*kinds, plan.mobile]


def _matching(kind: PhoneNumberDesc | None, *, any_length: bool = False) -> DigitStringSet:
    if kind is None or not kind.national_number_pattern:
        return NOTHING
    numbers = matching(kind.national_number_pattern)
    return numbers & of_length(kind.possible_length) if kind.possible_length and not any_length else numbers


def _trunk(plan: PhoneMetadata) -> TrunkPrefix:
    pattern = plan.national_prefix_for_parsing
    if not pattern:
        return TrunkPrefix(NOTHING, zero=False)
    prefixes = re.findall(r"\d+", pattern)
    if plan.national_prefix_transform_rule or "|".join(prefixes) != pattern:
        raise UnsupportedMetadataError("unsupported national prefix")
    return TrunkPrefix(
        prefixed=matching(pattern, _ANYTHING),
        zero=[prefix for prefix in prefixes if prefix.startswith("0")] == ["0"],
    )


def _reachable(numbers: DigitStringSet, plan: PhoneMetadata) -> DigitStringSet:
    """Return the numbers that ``phonenumbers`` finds after removing a prefix: the rest must be a possible number."""
    general = plan.general_desc
    local = of_length(general.possible_length_local_only if general else ())
    return numbers & (_matching(general) - local)
