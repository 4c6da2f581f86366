"""When a load is due, and which day it is about, by the definition alone: as Airflow's timetable counts, without it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import pendulum

from audience_onboarding.definitions.models import Schedule

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
"""What Airflow makes of them."""


@dataclass(frozen=True)
class Due:
    """One load of a schedule.

    :param load_date: the day that it is about.
    :param moment: when it begins, in the time zone of the schedule.
    """

    load_date: date
    moment: datetime


def next_load(schedule: Schedule, *, after: datetime) -> Due | None:
    """The first load after a moment; ``None`` where the schedule is over, or fits no day that there is.

    :param after: with a time zone.
    """
    from croniter import CroniterBadDateError

    zone = pendulum.timezone(schedule.timezone)
    first = datetime.combine(schedule.start, time.min, tzinfo=zone)
    if first > after:
        # A load that is due at this very moment is one.
        after = first - timedelta(seconds=1)
    try:
        moment = _next(PRESETS.get(schedule.cron, schedule.cron), after, zone)
    except CroniterBadDateError:
        return None
    if schedule.end is not None and moment > datetime.combine(schedule.end, time.max, tzinfo=zone):
        return None
    return Due(moment.date(), moment)


def _next(expression: str, after: datetime, zone: Any) -> datetime:
    """As ``CronMixin._get_next`` of Airflow: by the clock on the wall, and where it is turned back, by the second of
    the two hours, but for a schedule that goes through every hour."""
    from croniter import croniter

    local = after.astimezone(zone)
    naive = local.replace(tzinfo=None, fold=0)
    cron = croniter(expression, start_time=naive)
    due: datetime = cron.get_next(datetime)
    if cron.expanded[1] == ["*"]:
        moment = pendulum.instance(after).in_timezone("UTC") + (due - naive)
    else:
        moment = zone.convert(due.replace(fold=1))
    return pendulum.instance(moment).in_timezone(zone)
