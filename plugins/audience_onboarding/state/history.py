"""A range of days that is merged into one load, to bring in history at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from audience_onboarding.crm.guards import WHOLE_LIST
from audience_onboarding.exceptions import ConfigurationError

MAX_RANGE_DAYS = 1100
"""Days that one load merges at most: three years."""

MAX_SHOWN_DATES = 20
"""Days that a message names; of more, it gives the number."""


def range_dates(first: date, last: date, *, mode: str) -> tuple[date, ...]:
    """All days of a range, the oldest first.

    :param first: the first day.
    :param last: the last one.
    :param mode: what the load does to the audience.
    :raises ConfigurationError: the range is none, or too long, or has no meaning in this mode.
    """
    if mode in WHOLE_LIST:
        raise ConfigurationError(
            what=f"A range of days cannot be loaded with mode {mode!r}: each list says who is in the audience, so only "
            "that of the newest day counts",
            where=f"{first}..{last}",
            next_step=f"Run {last} alone, without a first day",
        )
    if first > last:
        raise ConfigurationError(
            what=f"The first day of the range, {first}, is after its last one, {last}",
            next_step="Give them the other way round",
        )
    count = (last - first).days + 1
    if count > MAX_RANGE_DAYS:
        raise ConfigurationError(
            what=f"The range has {count:,} days, more than {MAX_RANGE_DAYS:,}",
            where=f"{first}..{last}",
            next_step="Load it as several ranges, one after the other",
        )
    return tuple(first + timedelta(days=number) for number in range(count))


def format_dates(days: Sequence[date]) -> str:
    """Days for a message: the first of them, and how many there are more."""
    told = ", ".join(day.isoformat() for day in days[:MAX_SHOWN_DATES])
    more = len(days) - MAX_SHOWN_DATES
    return f"{told} and {more:,} more" if more > 0 else told
