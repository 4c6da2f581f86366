"""Which load a run is about. One rule for scheduled, manual and backfilled runs."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import pendulum

from audience_onboarding.exceptions import ConfigurationError

BACKFILL = "backfill"


def run_type(context: Any) -> str:
    """``scheduled``, ``manual``, ``backfill``, ``asset_triggered`` or ``operator_triggered`` (by another DAG)."""
    value = context["dag_run"].run_type
    return str(getattr(value, "value", value))


def parse_load_date(text: str, *, where: str = "") -> date:
    """Read a load date.

    :param text: ``YYYY-MM-DD`` and nothing else: what the newer Pythons also read differs from version to version.
    :param where: where it comes from, for the message.
    :raises ConfigurationError: it is none.
    """
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        with suppress(ValueError):
            return date.fromisoformat(text)
    raise ConfigurationError(
        what=f"{text!r} is not a load date", where=where, next_step="Give it as YYYY-MM-DD"
    )


def resolve_range_start(context: Any, given: str | None) -> date | None:
    """The first day of a range, ``None`` where a run is about one day.

    :param given: ``YYYY-MM-DD``, or nothing.
    :raises ConfigurationError: the value is not a date, or a backfill brings one: each of its runs is about one day.
    """
    if not given:
        return None
    if run_type(context) == BACKFILL:
        raise ConfigurationError(
            what="A backfill takes its load dates from its own range",
            where="the run's conf",
            next_step="Leave 'range_start' out of the conf, or load the range by hand, merged in one load",
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
    moment: datetime = dag_run.logical_date or dag_run.run_after
    return pendulum.instance(moment).in_timezone(timezone).date()
