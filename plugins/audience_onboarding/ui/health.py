"""How an audience is doing, in one word and one sentence. Pure: no I/O, no Airflow.

The rules are judged in the order of urgency, and the first that holds is what is said. Page for users:
docs/reference/audiences-page.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from audience_onboarding.timestamps import format_utc
from audience_onboarding.ui.models import Health

ENDING_DAYS = 7
"""A segment that ends within so many days is told of."""

START_GRACE = timedelta(hours=1)
"""So long after its time, a run that the scheduler has not started is late."""

CONFIRM_GRACE = timedelta(hours=24)
"""So long after its time, a load that is still under way is late: vendors speak of the next day."""

STOPPING_ERRORS = frozenset({"GuardError", "MatchRateError"})
"""What stops a load on purpose."""


@dataclass(frozen=True)
class Ended:
    """A run that has failed.

    :param day: its load date, or the range of days, where that is known.
    :param at: when it has ended.
    :param error: name of the error's class; empty: not noted.
    :param task: which has failed; empty: not noted.
    """

    run_id: str
    day: date | None
    at: datetime | None
    error: str = ""
    task: str = ""

    @property
    def was_stopped(self) -> bool:
        """Whether it was stopped on purpose."""
        return self.error in STOPPING_ERRORS


@dataclass(frozen=True)
class Scheduled:
    """The newest run by schedule.

    :param state: Airflow's word.
    :param due: when it was due.
    """

    day: date | None
    state: str
    due: datetime


@dataclass(frozen=True)
class Facts:
    """What is known of an audience.

    :param waiting: what waits for a person, a sentence each, most urgent first.
    :param is_gone: there is no DAG of it any more.
    :param next_run: when the next run is due, ``None`` without a schedule.
    :param load_date: of the last confirmed load.
    :param confirmed_at: when that was confirmed.
    :param failed: the newest run that has failed.
    :param scheduled: the newest run by schedule.
    :param running_since: since when a run is under way.
    :param ends: last day and name of the segment that ends first, among those that have not ended.
    """

    now: datetime
    waiting: tuple[str, ...] = ()
    is_retired: bool = False
    retired_at: datetime | None = None
    is_gone: bool = False
    is_paused: bool = False
    next_run: datetime | None = None
    load_date: date | None = None
    confirmed_at: datetime | None = None
    failed: Ended | None = None
    scheduled: Scheduled | None = None
    is_running: bool = False
    running_since: datetime | None = None
    ends: tuple[date, str] | None = None


def judge(facts: Facts) -> tuple[Health, str]:
    """What is to be said of an audience first, and why, in one sentence."""
    rules = (_needs_you, _retired, _gone, _failed, _late, _ending, _running, _never)
    return next((found for rule in rules if (found := rule(facts)) is not None), None) or _well(facts)


Found = tuple[Health, str] | None


def _needs_you(facts: Facts) -> Found:
    if not facts.waiting:
        return None
    more = len(facts.waiting) - 1
    return Health.NEEDS_YOU, f"{facts.waiting[0]}{f' ({more} more)' if more else ''}."


def _retired(facts: Facts) -> Found:
    if not facts.is_retired:
        return None
    when = f" on {facts.retired_at:%Y-%m-%d}" if facts.retired_at else ""
    return Health.RETIRED, f"It was retired{when}; remove its definition, or open it again with the form."


def _gone(facts: Facts) -> Found:
    if not facts.is_gone:
        return None
    return Health.NEEDS_YOU, (
        "Its DAG is gone, so nothing is loaded any more; mend or put back its definition, or retire the audience."
    )


def _failed(facts: Facts) -> Found:
    """Whether the newest load failed: nothing of its day or a later one was confirmed after it."""
    run = facts.failed
    if run is None:
        return None
    is_confirmed_after = (
        facts.confirmed_at is not None and run.at is not None and facts.confirmed_at >= run.at
    )
    is_day_reached = run.day is None or (facts.load_date is not None and facts.load_date >= run.day)
    if is_confirmed_after and is_day_reached:
        return None
    what = f"The load of {run.day}" if run.day else f"The run {run.run_id}"
    when = f" {format_utc(run.at)}" if run.at else ""
    again = "; another run is under way" if facts.is_running else ""
    where = f" in {run.task}" if run.task else ""
    if run.was_stopped:
        limit = "a guard" if run.error == "GuardError" else "its match rates"
        done = "and nothing was sent" if run.error == "GuardError" else "and is not activated"
        return Health.STOPPED, (
            f"{what} was stopped by {limit}{when} {done}{again}; look into the source, then run it again."
        )
    error = f" with {run.error}" if run.error else ""
    return Health.FAILED, f"{what} failed{when}{error}{where}{again}; read the log, then clear the task."


def _late(facts: Facts) -> Found:
    """Whether a load that was due is not confirmed. Without a schedule, and while the DAG is paused, nothing is due."""
    if facts.is_paused or facts.next_run is None:
        return None
    run = facts.scheduled
    if run is not None and run.day is not None and not _is_loaded(facts, run):
        if run.state == "success":
            return Health.LATE, f"The run of {run.day} ended without a load; its log says why it was skipped."
        if run.state == "failed":
            return Health.LATE, f"The load of {run.day} failed and is not confirmed; clear its failed task."
        if facts.now - run.due > CONFIRM_GRACE:
            due = format_utc(run.due)
            return (
                Health.LATE,
                f"The load of {run.day} was due {due} and is not confirmed; look where its run waits.",
            )
    if facts.now - facts.next_run > START_GRACE:
        due = format_utc(facts.next_run)
        return (
            Health.LATE,
            f"The run that was due {due} was not started; look whether the scheduler is running.",
        )
    return None


def _is_loaded(facts: Facts, run: Scheduled) -> bool:
    if facts.load_date is not None and run.day is not None:
        return facts.load_date >= run.day
    # A record that does not tell its day.
    return facts.confirmed_at is not None and facts.confirmed_at >= run.due


def _ending(facts: Facts) -> Found:
    if facts.ends is None or _days(facts, facts.ends[0]) > ENDING_DAYS:
        return None
    last, name = facts.ends
    days = _days(facts, last)
    when = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
    return Health.ENDING, f"The segment {name} ends {when}, on {last}; extend it if it is to go on."


def _running(facts: Facts) -> Found:
    if not facts.is_running:
        return None
    since = f" since {format_utc(facts.running_since)}" if facts.running_since else ""
    return Health.RUNNING, f"A load is under way{since}; nothing is to be done."


def _never(facts: Facts) -> Found:
    if facts.load_date is not None or facts.confirmed_at is not None:
        return None
    if facts.is_paused:
        then = "and its DAG is paused; unpause it, or start a load by hand"
    elif facts.next_run is None:
        then = "and there is no schedule; start a load by hand"
    else:
        then = f"and the first load is due {format_utc(facts.next_run)}; nothing is to be done"
    return Health.NEVER_LOADED, f"Nothing was loaded yet, {then}."


def _well(facts: Facts) -> tuple[Health, str]:
    last = (
        f"The load of {facts.load_date} is confirmed" if facts.load_date else "The newest load is confirmed"
    )
    if facts.is_paused:
        return Health.PAUSED, f"{last}, and its DAG is paused; unpause it to have the next one loaded."
    if facts.next_run is None:
        return Health.OK, f"{last}; the next one is started by hand."
    return Health.OK, f"{last}; the next one is due {format_utc(facts.next_run)}."


def _days(facts: Facts, last: date) -> int:
    return (last - facts.now.date()).days
