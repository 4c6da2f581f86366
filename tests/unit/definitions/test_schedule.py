"""When a load is due: held against Airflow's own timetable."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pendulum
import pytest
from airflow.timetables._cron import cron_presets
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable

from audience_onboarding.definitions import Schedule
from audience_onboarding.definitions.models import CRON_PRESETS
from audience_onboarding.definitions.schedule import next_load

AFTER = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


def schedule(cron: str, zone: str = "Europe/Amsterdam", **more: Any) -> Schedule:
    return Schedule.model_validate({"cron": cron, "timezone": zone, "start": date(2026, 1, 1), **more})


def as_airflow_counts(given: Schedule, after: datetime, number: int) -> list[tuple[float, str]]:
    """The first moments after one, with their partition keys, as Airflow's scheduler goes from run to run."""
    timetable = CronPartitionTimetable(given.cron, timezone=given.timezone, key_format="%Y-%m-%d")
    found = []
    moment = pendulum.instance(after)
    restriction = TimeRestriction(earliest=moment + timedelta(seconds=1), latest=None, catchup=True)
    info = None
    for _ in range(number):
        info = timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        assert info is not None
        found.append((info.run_after.timestamp(), info.partition_key))
    return found


def as_we_count(given: Schedule, after: datetime, number: int) -> list[tuple[float, str]]:
    found = []
    for _ in range(number):
        due = next_load(given, after=after)
        assert due is not None
        found.append((due.starts_at.timestamp(), due.load_date.isoformat()))
        after = due.starts_at
    return found


CRONS = (
    "0 3 * * *",
    "30 2 * * *",
    "30 23 * * *",
    "15 */6 * * *",
    "*/20 * * * *",
    "0 4 * * 1-5",
    "0 3 13 * 5",
)


ZONES = ("UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kolkata")
MOMENTS = (
    datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc),
    datetime(2026, 10, 24, 21, 30, tzinfo=timezone.utc),  # the night in which Europe's clocks go back
    datetime(2026, 3, 28, 21, 30, tzinfo=timezone.utc),  # and forth
    datetime(2026, 10, 31, 23, 0, tzinfo=timezone.utc),  # America's go back
    datetime(2026, 12, 31, 22, 59, 59, tzinfo=timezone.utc),
)


@pytest.mark.parametrize("cron", [*CRONS, *CRON_PRESETS])
def test_airflow_counts_the_same(cron: str) -> None:
    for zone, after in product(ZONES, MOMENTS):
        given = schedule(cron, zone)
        assert as_we_count(given, after, 8) == as_airflow_counts(given, after, 8), f"{zone} {after}"


def test_the_presets_are_airflows() -> None:
    assert {name: cron_presets[name] for name in CRON_PRESETS} == CRON_PRESETS


def test_the_load_date_is_that_of_the_time_zone() -> None:
    due = next_load(schedule("30 0 * * *", "Asia/Tokyo"), after=AFTER)

    assert due is not None
    assert (due.load_date, due.starts_at.isoformat()) == (date(2026, 11, 22), "2026-11-22T00:30:00+09:00")


def test_before_the_start_it_waits_for_the_first_day() -> None:
    at_midnight = next_load(schedule("0 0 * * *", start=date(2027, 2, 3)), after=AFTER)
    later = next_load(schedule("0 3 * * *", start=date(2027, 2, 3)), after=AFTER)

    assert at_midnight is not None
    assert later is not None
    assert at_midnight.load_date == later.load_date == date(2027, 2, 3)


def test_it_is_over_after_the_last_day() -> None:
    assert next_load(schedule("0 13 * * *", "UTC", end=date(2026, 11, 21)), after=AFTER) is not None
    assert next_load(schedule("0 11 * * *", "UTC", end=date(2026, 11, 21)), after=AFTER) is None
    assert (
        next_load(schedule("0 23 * * *", "America/New_York", end=date(2026, 11, 21)), after=AFTER) is not None
    )


def test_a_day_that_never_comes() -> None:
    assert next_load(schedule("0 0 30 2 *"), after=AFTER) is None
