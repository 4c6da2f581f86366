"""Next load of a schedule, computed from the definition as Airflow's timetable does, without Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import pendulum

from audience_onboarding.definitions.models import CRON_PRESETS, Schedule


@dataclass(frozen=True)
class ScheduledLoad:
    """One load of a schedule.

    :param load_date: date of the data.
    :param starts_at: in the time zone of the schedule.
    """

    load_date: date
    starts_at: datetime


def next_load(schedule: Schedule, *, after: datetime) -> ScheduledLoad | None:
    """Return the first load after a time; ``None`` if the schedule has ended or its cron expression has no date.

    :param after: with a time zone.
    """
    from croniter import CroniterBadDateError

    zone = pendulum.timezone(schedule.timezone)
    first = datetime.combine(schedule.start, time.min, tzinfo=zone)
    if first > after:
        # The first load may start exactly at midnight of the start date.
        after = first - timedelta(seconds=1)
    try:
        starts_at = _next(CRON_PRESETS.get(schedule.cron, schedule.cron), after, zone)
    except CroniterBadDateError:
        return None
    if schedule.end is not None and starts_at > datetime.combine(schedule.end, time.max, tzinfo=zone):
        return None
    return ScheduledLoad(starts_at.date(), starts_at)


def _next(expression: str, after: datetime, zone: Any) -> datetime:
    """Compute as Airflow's ``CronMixin._get_next``: in local time, at the end of daylight saving time in the second
    of the two equal hours, except for a schedule of every hour."""
    from croniter import croniter

    naive = after.astimezone(zone).replace(tzinfo=None, fold=0)
    cron = croniter(expression, start_time=naive)
    local: datetime = cron.get_next(datetime)
    if cron.expanded[1] == ["*"]:
        starts_at = pendulum.instance(after).in_timezone("UTC") + (local - naive)
    else:
        starts_at = zone.convert(local.replace(fold=1))
    return pendulum.instance(starts_at).in_timezone(zone)
