"""Load dates of scheduled, manual and backfilled runs, and date ranges."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.state.load_date import (
    MAX_RANGE_DAYS,
    format_dates,
    range_dates,
    resolve_load_date,
    resolve_range_start,
    run_type,
)
from audience_onboarding.state.store import format_period, load_identity, load_key, record_period
from tests.unit.state.helpers import check, check_refused

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)


class RunType(str, Enum):
    """As Airflow's."""

    BACKFILL = "backfill"


def context(
    *,
    run_type: str = "scheduled",
    partition_key: str | None = None,
    logical_date: datetime | None = None,
    run_after: datetime = NOON,
    **params: Any,
) -> dict[str, Any]:
    return {
        "params": params,
        "dag_run": SimpleNamespace(
            run_type=run_type, partition_key=partition_key, logical_date=logical_date, run_after=run_after
        ),
    }


def test_sources_of_the_load_date() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"load_date": "2026-11-01"}, "2026-11-01"),
        ({"load_date": "2026-11-01", "partition_key": "2026-11-02", "logical_date": NOON}, "2026-11-01"),
        ({"partition_key": "2026-11-02"}, "2026-11-02"),
        ({"partition_key": "2026-11-02", "logical_date": NOON}, "2026-11-02"),
        ({"load_date": None, "partition_key": "2026-11-02"}, "2026-11-02"),
        ({"load_date": "", "partition_key": "2026-11-02"}, "2026-11-02"),
        ({"logical_date": datetime(2026, 11, 3, tzinfo=timezone.utc)}, "2026-11-03"),
        ({}, "2026-11-20"),
        ({"partition_key": "2024-02-29"}, "2024-02-29"),
        ({"run_type": RunType.BACKFILL, "partition_key": "2026-11-02", "load_date": None}, "2026-11-02"),
    ]
    check(lambda given: str(resolve_load_date(context(**given))), cases)
    without_a_form = {"dag_run": context()["dag_run"]}
    assert resolve_load_date(without_a_form) == date(2026, 11, 20)


@pytest.mark.parametrize("attribute", ["logical_date", "run_after"])
def test_a_moment_counts_in_the_definitions_time_zone(attribute: str) -> None:
    def day_of(case: tuple[str, str]) -> str:
        moment, zone = case
        return str(resolve_load_date(context(**{attribute: datetime.fromisoformat(moment)}), timezone=zone))

    cases = [
        (("2026-11-20T22:59:59+00:00", "Europe/Amsterdam"), "2026-11-20"),
        (("2026-11-20T23:00:00+00:00", "Europe/Amsterdam"), "2026-11-21"),
        (("2026-07-20T22:00:00+00:00", "Europe/Amsterdam"), "2026-07-21"),
        (("2026-11-20T23:59:59+00:00", "UTC"), "2026-11-20"),
        (("2026-11-20T04:59:59+00:00", "America/New_York"), "2026-11-19"),
        (("2026-11-20T10:00:00+00:00", "Pacific/Kiritimati"), "2026-11-21"),
        (("2026-10-25T00:30:00+00:00", "Europe/Amsterdam"), "2026-10-25"),
    ]
    check(day_of, cases)


@pytest.mark.parametrize(
    ("field", "name"), [("load_date", "form's load_date"), ("partition_key", "partition key")]
)
def test_other_text_is_refused(field: str, name: str) -> None:
    wrong = ["yesterday", "20-11-2026", "2026-02-30", "2026-13-01", "2026/11/20", "20261120", "2026-W47-5"]
    check_refused(
        lambda value: resolve_load_date(context(**{field: value})),
        [*wrong, " "],
        ConfigurationError,
        lambda value: f"{re.escape(repr(value))}.*{name}.*YYYY-MM-DD",
    )


@pytest.mark.parametrize("kind", ["backfill", RunType.BACKFILL])
def test_a_backfill_takes_its_dates_from_its_range_only(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="A backfill takes its load dates from its own range"):
        resolve_load_date(context(run_type=kind, partition_key="2026-11-02", load_date="2026-11-01"))
    with pytest.raises(ConfigurationError, match="Leave 'range_start' out of the conf"):
        resolve_range_start(context(run_type=kind), "2026-11-01")
    for nothing in ("", None):
        assert resolve_range_start(context(run_type=kind), nothing) is None


def test_a_range_of_days_has_a_first_day() -> None:
    for kind in ("manual", "scheduled", "operator_triggered"):
        assert resolve_range_start(context(run_type=kind), "2026-11-01") == date(2026, 11, 1)
    with pytest.raises(
        ConfigurationError, match=r"'1 Nov' is not a load date \(range_start\)\. Give it as YYYY-MM-DD"
    ):
        resolve_range_start(context(), "1 Nov")


def test_the_run_type_is_text() -> None:
    cases = [("manual", "manual"), (RunType.BACKFILL, "backfill"), ("asset_triggered",) * 2]
    check(lambda value: run_type(context(run_type=value)), cases)


# --- date ranges ---------------------------------------------------------------------------------------------

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 20)


def test_range_dates_are_sorted_oldest_first() -> None:
    days = range_dates(date(2026, 2, 27), date(2026, 3, 2), mode="opt-in")

    assert [str(day) for day in days] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    assert range_dates(LAST, LAST, mode="opt-out") == (LAST,)


def test_range_dates_of_an_invalid_range_or_mode_are_refused() -> None:
    longest = LAST - timedelta(days=MAX_RANGE_DAYS - 1)
    assert len(range_dates(longest, LAST, mode="opt-in")) == MAX_RANGE_DAYS == 1100

    whole_list = (
        "A date range cannot be loaded with mode '{}': each list is complete, so only the newest counts "
        "(2026-11-01..2026-11-20). Load 2026-11-20 alone, without a range start."
    )
    turned = "The range start 2026-11-20 is after the last date 2026-11-01. Swap the two dates."
    too_long = (
        "The range has 1,101 days, more than 1,100 (2023-11-16..2026-11-20). Load it as several ranges, one after the "
        "other."
    )
    cases = [(FIRST, LAST, mode, whole_list.format(mode)) for mode in ("replace", "mirror")]
    cases += [(LAST, FIRST, "opt-in", turned), (longest - timedelta(days=1), LAST, "opt-in", too_long)]
    check_refused(
        lambda case: range_dates(case[0], case[1], mode=case[2]),
        cases,
        ConfigurationError,
        lambda case: f"^{re.escape(case[3])}$",
    )


def test_format_dates_lists_twenty_dates() -> None:
    days = [FIRST + timedelta(days=number) for number in range(21)]

    assert format_dates(days[:2]) == "2026-11-01, 2026-11-02"
    assert format_dates(days[:20]).endswith(", 2026-11-20")
    assert format_dates(days).endswith(", 2026-11-20 and 1 more")


def test_format_period_of_a_range_differs_from_its_last_date() -> None:
    days = format_period("2026-11-20", "2026-11-01")

    assert load_key(days, "opt-in") == "load.2026-11-01..2026-11-20.opt-in"
    assert load_identity(days, "opt-in", "abc") == "2026-11-01..2026-11-20 opt-in abc"
    assert record_period({"load_date": "2026-11-20", "range_start": "2026-11-01"}) == days
    # What was written before there were ranges is found.
    assert load_key(record_period({"load_date": "2026-11-20"}), "opt-in") == "load.2026-11-20.opt-in"
    assert format_period("2026-11-20", None) == format_period("2026-11-20", "") == "2026-11-20"
