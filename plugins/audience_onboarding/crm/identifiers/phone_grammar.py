"""Which spellings of a phone number the reference accepts, worked out from the metadata of ``phonenumbers``.

The fast path must not differ from ``phonenumbers``, in whatever release of it is installed. So its patterns are not
written down: they are computed here from the same metadata, as sets of digit strings. Such sets can be united,
intersected and subtracted exactly, which patterns cannot, and so each step of ``phonenumbers.parse`` and
``is_valid_number`` has its counterpart here. Where a step would need more than sets, its spellings are left out, and
the reference decides on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

from audience_onboarding.crm.identifiers.normalize import (
    DUTCH_COUNTRY_CODE,
    DUTCH_DIGITS,
    MAX_PHONE_DIGITS,
    OWN_CODE_DIGITS,
)

COUNTRIES_SERVED = ("NL", "SE", "FI", "DE", "BE", "GB", "US")
"""Their numbers are known wherever they were written. Those of another country are known only in that country."""

_MAX_NATIONAL_DIGITS = 17  # of phonenumbers


class UnsupportedMetadataError(Exception):
    """The metadata hold nothing about a country, or something that they did not hold so far."""


class DigitStringSet:
    """A finite set of digit strings.

    It is a trie in which equal branches are one object, so that equal sets are one object as well, and work on them
    is remembered. Made by :func:`matching` and :func:`of_length`.

    :ivar whole: whether the empty string is in the set.
    :ivar after: for each first digit, what may follow it.
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
        return _combined(self, other, _either)

    def __and__(self, other: DigitStringSet) -> DigitStringSet:
        return _combined(self, other, _both)

    def __sub__(self, other: DigitStringSet) -> DigitStringSet:
        return _combined(self, other, _only_first)


NOTHING = DigitStringSet()
"""The set of no strings at all."""
NOTHING.whole, NOTHING.after = False, (NOTHING,) * 10

_known: dict[tuple[bool, tuple[DigitStringSet, ...]], DigitStringSet] = {
    (NOTHING.whole, NOTHING.after): NOTHING
}


def _strings(whole: bool, after: Iterable[DigitStringSet]) -> DigitStringSet:
    key = (whole, tuple(after))
    strings = _known.get(key)
    if strings is None:
        strings = DigitStringSet()
        strings.whole, strings.after = key
        strings = _known.setdefault(key, strings)  # another thread may have been faster
    return strings


def _either(first: bool, second: bool) -> bool:
    return first or second


def _both(first: bool, second: bool) -> bool:
    return first and second


def _only_first(first: bool, second: bool) -> bool:
    return first and not second


@cache
def _combined(
    first: DigitStringSet, second: DigitStringSet, keep: Callable[[bool, bool], bool]
) -> DigitStringSet:
    if first is second is NOTHING:
        return NOTHING
    return _strings(
        keep(first.whole, second.whole),
        (_combined(one, other, keep) for one, other in zip(first.after, second.after, strict=True)),
    )


_NO_DIGITS = _strings(True, NOTHING.after)

# Puts a part of a pattern before what the rest of the pattern matches.
_Before = Callable[[DigitStringSet], DigitStringSet]

_PIECE = re.compile(r"\\d|\[[\d-]+\]|\d|\(\?:|[|)?]|\{\d+(?:,\d+)?\}")


@cache
def _fitting(piece: str) -> tuple[bool, ...]:
    """Which of the ten digits a digit or a class of them stands for. The same few are asked for again and again."""
    return tuple(re.fullmatch(piece, digit) is not None for digit in "0123456789")


class _Pattern:
    """Parser of the patterns in the metadata: digits, classes, groups, alternatives and counts, nothing else."""

    def __init__(self, pattern: str) -> None:
        self._pieces = _PIECE.findall(pattern)[::-1]
        if "".join(reversed(self._pieces)) != pattern:
            raise UnsupportedMetadataError("a pattern holds something new")
        self.parsed = self._alternatives()
        if self._pieces:
            raise UnsupportedMetadataError("a pattern closes a group that it has not opened")

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
                raise UnsupportedMetadataError("a pattern leaves a group open")
            self._pieces.pop()
            return group
        if piece == "?" or piece.startswith("{"):
            raise UnsupportedMetadataError("a pattern counts nothing")
        fitting = _fitting(piece)
        return lambda rest: _strings(False, (rest if fits else NOTHING for fits in fitting))

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
    """The strings that a pattern of the metadata matches, followed by those of ``then``.

    :raises NotUnderstoodError: the pattern uses more of the language than metadata did so far.
    """
    return _Pattern(pattern).parsed(then)


def of_length(lengths: Iterable[int]) -> DigitStringSet:
    """All strings of these lengths."""
    wanted = set(lengths)
    strings = NOTHING
    for length in range(max(wanted, default=0), -1, -1):
        strings = _strings(length in wanted, (strings,) * 10)
    return strings


_ANYTHING = of_length(range(MAX_PHONE_DIGITS + 1))


def as_pattern(strings: DigitStringSet) -> str:
    """A regular expression for a set, without anchors. It uses nothing that some engine does not have."""
    written: dict[DigitStringSet, str] = {}

    def write(node: DigitStringSet) -> str:
        if node not in written:
            written[node] = _tail(node) or _branches(node, write)
        return written[node]

    return write(strings)


def _tail(node: DigitStringSet) -> str:
    """``[0-9]{least,most}`` if the set is no more than that."""
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
    """How one dials a number within a country.

    :param prefixed: strings from which ``phonenumbers`` may take off a prefix.
    :param zero: whether that prefix is, where it begins with a zero, that zero.
    """

    prefixed: DigitStringSet
    zero: bool


@dataclass(frozen=True)
class PhonePatterns:
    """What the reference accepts as spellings of national numbers, by what comes before the number.

    The numbers themselves never begin with a zero, nor does a country code.

    :param code: the country code.
    :param after_code: after ``+`` and the code; after what one dials to get abroad, and the code.
    :param after_code_zero: after these and a zero that is not dialled from abroad.
    :param after_zero: after a zero, in the own country.
    :param bare: after nothing, in the own country; they do not begin with the code.
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
    """Work out in advance what lists of phone numbers have in common: the numbers of the countries served."""
    for country in COUNTRIES_SERVED:
        with suppress(UnsupportedMetadataError):
            international_patterns(calling_code(country))


@cache
def international_patterns(code: int) -> PhonePatterns:
    """Spellings of a country's numbers that mean the same wherever they are written.

    :param code: country calling code.
    :raises NotUnderstoodError: the metadata hold something new.
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
    """All spellings of a country's own numbers.

    :param country: ISO 3166-1 alpha-2 code.
    :raises NotUnderstoodError: the metadata hold something new, or nothing about this country.
    """
    plan = _plan(country)
    code = str(calling_code(country))
    foreign = international_patterns(int(code))
    trunk = _trunk(plan)
    reachable = _reachable(_valid_numbers(int(code)), plan)
    # What begins as if one dialled abroad, and what phonenumbers takes for a number without code if it may.
    abroad = matching(plan.international_prefix, _ANYTHING) if plan.international_prefix else NOTHING
    national = _matching(plan.general_desc, any_length=True)
    # If it begins with the own code, phonenumbers takes the first for a code and a number, the reference the second.
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
    """The country calling code.

    :raises NotUnderstoodError: there is no such country.
    """
    code = _plan(country).country_code
    if code is None:
        raise UnsupportedMetadataError("there is no country calling code")
    return code


def dials_00(country: str) -> bool:
    """Whether one dials ``00`` there to get abroad, and ``phonenumbers`` takes every leading ``00`` for that."""
    plan = PhoneMetadata.metadata_for_region(country)
    prefix = (plan.international_prefix if plan else None) or ""
    return prefix == "00" or prefix.startswith("00|")


def _plan(country: str) -> PhoneMetadata:
    plan = PhoneMetadata.metadata_for_region(country)
    if plan is None:
        raise UnsupportedMetadataError("there is no such country")
    return plan


def _after(strings: DigitStringSet, start: str) -> DigitStringSet:
    return reduce(lambda rest, digit: rest.after[int(digit)], start, strings)


def _valid_numbers(code: int) -> DigitStringSet:
    """The national numbers for which ``is_valid_number`` is true, and the reference agrees.

    Without those that begin with a zero, and those so long that a spelling would be longer than the reference takes.
    """
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    valid = taken = NOTHING
    for region in regions:
        plan = _plan(region)
        numbers = _matching(plan.general_desc) & reduce(or_, map(_matching, _kinds(plan)))
        # A number belongs to the first region whose leading digits it has or, if there are none, where it is valid.
        leading = plan.leading_digits if len(regions) > 1 else None
        belonging = (matching(leading, _ANYTHING) if leading else numbers) - taken
        valid |= numbers & belonging
        taken |= belonging
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
        raise UnsupportedMetadataError("a prefix is more than digits")
    return TrunkPrefix(
        prefixed=matching(pattern, _ANYTHING),
        zero=[prefix for prefix in prefixes if prefix.startswith("0")] == ["0"],
    )


def _reachable(numbers: DigitStringSet, plan: PhoneMetadata) -> DigitStringSet:
    """Those that ``phonenumbers`` gets to by taking off a prefix: what remains must be a possible number there."""
    general = plan.general_desc
    local = of_length(general.possible_length_local_only if general else ())
    return numbers & (_matching(general) - local)
