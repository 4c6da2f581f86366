"""Load date or date range of a run, by one rule for scheduled, manual and backfilled runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

import pendulum

from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.exceptions import ConfigurationError

BACKFILL = "backfill"

MAX_RANGE_DAYS = 1100
"""Days that one load merges at most: three years."""

MAX_SHOWN_DATES = 20
"""Dates that a message lists; it counts the others."""


def run_type(context: Any) -> str:
    """``scheduled``, ``manual``, ``backfill``, ``asset_triggered`` or ``operator_triggered`` (by another DAG)."""
    value = context["dag_run"].run_type
    return str(getattr(value, "value", value))


def parse_load_date(text: str, *, where: str = "") -> date:
    """Parse a load date.

    :param text: ``YYYY-MM-DD`` only: other spellings that ``fromisoformat`` reads differ between Python versions.
    :param where: origin of the text, for the message.
    :raises ConfigurationError: the text is not a date.
    """
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        with suppress(ValueError):
            return date.fromisoformat(text)
    raise ConfigurationError(
        what=f"{text!r} is not a load date", where=where, next_step="Give it as YYYY-MM-DD"
    )


def resolve_range_start(context: Any, given: str | None) -> date | None:
    """Return the first date of a range, ``None`` for a run of one day.

    :param given: ``YYYY-MM-DD``, or nothing.
    :raises ConfigurationError: the value is not a date, or the run is a backfill: each of its runs loads one day.
    """
    if not given:
        return None
    if run_type(context) == BACKFILL:
        raise ConfigurationError(
            what="A backfill takes its load dates from its own range",
            where="the run's conf",
            next_step="Leave 'range_start' out of the conf, or load the range manually, merged in one load",
        )
    return parse_load_date(str(given), where="range_start")


def resolve_load_date(context: Any, *, timezone: str = "UTC", load_date: str | None = None) -> date:
    """Return the load date of a run: the date of its CRM extract.

    In this order: ``load_date``, the form's ``load_date``, the partition key of the run, the run's logical date, the
    run's ``run_after``. The last two count in ``timezone``.

    :raises ConfigurationError: the value is not a date, or a backfill brings a date of its own, which would load
        the same day again and again.
    """
    if load_date:
        return parse_load_date(load_date)
    dag_run = context["dag_run"]
    chosen = (context.get("params") or {}).get("load_date")
    if chosen and run_type(context) == BACKFILL:
        raise ConfigurationError(
            what="A backfill takes its load dates from its own range",
            where="the run's conf",
            next_step="Leave 'load_date' out of the conf",
        )
    given = chosen or dag_run.partition_key
    if given:
        return parse_load_date(
            str(given), where="the form's load_date" if chosen else "the run's partition key"
        )
    due: datetime = dag_run.logical_date or dag_run.run_after
    return pendulum.instance(due).in_timezone(timezone).date()


def range_dates(first: date, last: date, *, mode: str) -> tuple[date, ...]:
    """Return all dates of a range, oldest first.

    :param mode: of the load.
    :raises ConfigurationError: the range is empty or too long, or the mode cannot merge dates.
    """
    if mode in FULL_LIST_MODES:
        raise ConfigurationError(
            what=f"A date range cannot be loaded with mode {mode!r}: each list is complete, so only the newest counts",
            where=f"{first}..{last}",
            next_step=f"Load {last} alone, without a range start",
        )
    if first > last:
        raise ConfigurationError(
            what=f"The range start {first} is after the last date {last}", next_step="Swap the two dates"
        )
    count = (last - first).days + 1
    if count > MAX_RANGE_DAYS:
        raise ConfigurationError(
            what=f"The range has {count:,} days, more than {MAX_RANGE_DAYS:,}",
            where=f"{first}..{last}",
            next_step="Load it as several ranges, one after the other",
        )
    return tuple(first + timedelta(days=number) for number in range(count))


def format_dates(dates: Sequence[date]) -> str:
    """Return the first :data:`MAX_SHOWN_DATES` dates as text, and the number of the others."""
    listed = ", ".join(day.isoformat() for day in dates[:MAX_SHOWN_DATES])
    more = len(dates) - MAX_SHOWN_DATES
    return f"{listed} and {more:,} more" if more > 0 else listed
