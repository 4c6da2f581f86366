"""Simulated matching. The hash itself decides: an identifier gets the same result in every run.

The share is a setting; the page only shows that such counts exist (Audience API, MATCH, UMATCH, NOMATCH).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from sandbox.digital_audience.files import DATA_TYPES, HASHED, CheckedFile
from sandbox.digital_audience.state import Member, TypeCounts

_DIGITS: Final = 8
_RANGE: Final = 16**_DIGITS
_MATCHABLE: Final = frozenset({*DATA_TYPES, "idfa"})


class Matcher:
    """Matcher for given shares.

    :param match_percent: share of matched identifiers, 0-100, decided by the first eight hex digits.
    :param usable_percent: share of those that a platform can use, 0-100, decided by the last eight.
    """

    def __init__(self, match_percent: float, usable_percent: float) -> None:
        self._match_below = round(_RANGE * match_percent / 100)
        self._usable_below = round(_RANGE * usable_percent / 100)

    def matches(self, identifier: str) -> bool:
        """Return whether a ``kind=value`` identifier matches."""
        digest = _digest(identifier)
        return digest is not None and int(digest[:_DIGITS], 16) < self._match_below

    def usable(self, identifier: str) -> bool:
        """Return whether it matches and a platform can use it."""
        digest = _digest(identifier)
        return (
            digest is not None
            and int(digest[:_DIGITS], 16) < self._match_below
            and int(digest[-_DIGITS:], 16) < self._usable_below
        )

    def count(self, checked: CheckedFile) -> dict[str, TypeCounts]:
        """Count a file's values; only types with at least one value appear."""
        return {
            data_type: TypeCounts(
                total=checked.totals[data_type],
                unique=len(values),
                match=sum(map(self.matches, values)),
                usable=sum(map(self.usable, values)),
            )
            for data_type, values in sorted(checked.values.items())
        }

    def usable_members(self, members: Iterable[Member]) -> int:
        """Count the members with at least one usable identifier."""
        return sum(any(map(self.usable, member)) for member in members)


def _digest(identifier: str) -> str | None:
    kind, _, value = identifier.partition("=")
    if kind not in _MATCHABLE:
        return None
    return value if kind in HASHED else hashlib.sha256(value.encode()).hexdigest()


def apply(mode: str, members: frozenset[Member], upload: set[Member]) -> frozenset[Member]:
    """Return the members after an upload.

    Page: Updating audiences via S3: ``opt-in`` adds records, ``opt-out`` removes matching records,
    ``replace`` replaces the entire recordset. [I] A record matches an opt-out row when the two share any one
    identifier; a raw address counts as one identifier, with all its parts.
    """
    if mode == "opt-in":
        return members | upload
    if mode == "replace":
        return frozenset(upload)
    leaving = {identifier for row in upload for identifier in row}
    return frozenset(member for member in members if leaving.isdisjoint(member))
