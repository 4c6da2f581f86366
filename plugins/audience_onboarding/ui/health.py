"""Health of an audience: one state and one sentence of explanation. Pure: no I/O, no Airflow.

The rules are evaluated in order of urgency; the first that matches decides. docs/audiences-page.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from audience_onboarding.timestamps import format_utc
from audience_onboarding.ui.models import Health

EXPIRING_DAYS = 7
"""Days before its end from which a segment counts as expiring."""

START_GRACE = timedelta(hours=1)
"""Time after its due time until a run that has not started is late."""

CONFIRM_GRACE = timedelta(hours=24)
"""Time after its due time until an unconfirmed load is late: vendors may confirm on the next day."""

BLOCKING_ERRORS = frozenset({"GuardError", "MatchRateError"})
"""Errors that block a load on purpose."""


@dataclass(frozen=True)
class FinishedRun:
    """A failed run.

    :param load_date: ``None`` if the run has none.
    :param error: class name of the error; empty if none was recorded.
    :param task_id: of the task that failed; empty if none was recorded.
    """

    run_id: str
    load_date: date | None
    ended_at: datetime | None
    error: str = ""
    task_id: str = ""


@dataclass(frozen=True)
class ScheduledRun:
    """The newest scheduled run; ``state`` is Airflow's."""

    load_date: date | None
    state: str
    due_at: datetime


@dataclass(frozen=True)
class HealthInputs:
    """Known facts about an audience.

    :param required_actions: one sentence each, without its full stop, most urgent first.
    :param is_dag_missing: the DAG of the audience no longer exists.
    :param next_run: due time, ``None`` without a schedule.
    :param load_date: of the last confirmed load, confirmed at ``confirmed_at``.
    :param failed: the newest failed run.
    :param scheduled: the newest scheduled run.
    :param next_expiry: last day and name of the first segment to end among those that have not ended.
    """

    now: datetime
    required_actions: tuple[str, ...] = ()
    is_retired: bool = False
    retired_at: datetime | None = None
    is_dag_missing: bool = False
    is_paused: bool = False
    next_run: datetime | None = None
    load_date: date | None = None
    confirmed_at: datetime | None = None
    failed: FinishedRun | None = None
    scheduled: ScheduledRun | None = None
    is_running: bool = False
    running_since: datetime | None = None
    next_expiry: tuple[date, str] | None = None


def evaluate_health(inputs: HealthInputs) -> tuple[Health, str]:
    """Return the most urgent health state and its reason, one sentence."""
    rules = (_action_required, _retired, _dag_missing, _failed, _late, _expiring, _running, _never_loaded)
    return next((result for rule in rules if (result := rule(inputs)) is not None), None) or _healthy(inputs)


Result = tuple[Health, str] | None


def _action_required(inputs: HealthInputs) -> Result:
    if not inputs.required_actions:
        return None
    first, more = inputs.required_actions[0], len(inputs.required_actions) - 1
    return Health.ACTION_REQUIRED, f"{first}{f' ({more} more)' if more else ''}."


def _retired(inputs: HealthInputs) -> Result:
    if not inputs.is_retired:
        return None
    when = f" on {inputs.retired_at:%Y-%m-%d}" if inputs.retired_at else ""
    return Health.RETIRED, f"The audience was retired{when}; remove its definition, or reopen the audience."


def _dag_missing(inputs: HealthInputs) -> Result:
    if not inputs.is_dag_missing:
        return None
    return Health.ACTION_REQUIRED, (
        "The DAG no longer exists, so nothing is loaded; fix or restore the definition, or retire the audience."
    )


def _failed(inputs: HealthInputs) -> Result:
    """Match if no load of the failed run's date or a later one was confirmed after the failure."""
    run = inputs.failed
    if run is None:
        return None
    is_confirmed_after = (
        inputs.confirmed_at is not None and run.ended_at is not None and inputs.confirmed_at >= run.ended_at
    )
    is_date_reached = run.load_date is None or (
        inputs.load_date is not None and inputs.load_date >= run.load_date
    )
    if is_confirmed_after and is_date_reached:
        return None
    subject = f"The load of {run.load_date}" if run.load_date else f"The run {run.run_id}"
    when = f" at {format_utc(run.ended_at)}" if run.ended_at else ""
    retry = "; another run is in progress" if inputs.is_running else ""
    if run.error in BLOCKING_ERRORS:
        is_guard = run.error == "GuardError"
        cause = "a guard" if is_guard else "its match rates"
        effect = "and nothing was sent" if is_guard else "and the load is not activated"
        return Health.BLOCKED, (
            f"{subject} was blocked by {cause}{when} {effect}{retry}; check the source, then run it again."
        )
    task = f" in task {run.task_id}" if run.task_id else ""
    error = f" with {run.error}" if run.error else ""
    return Health.FAILED, f"{subject} failed{when}{task}{error}{retry}; read the log, then clear the task."


def _late(inputs: HealthInputs) -> Result:
    """Match if a due load is unconfirmed. Nothing is due without a schedule or while the DAG is paused."""
    if inputs.is_paused or inputs.next_run is None:
        return None
    run = inputs.scheduled
    if run is not None and run.load_date is not None and not _is_loaded(inputs, run):
        if run.state == "success":
            return Health.LATE, f"The run of {run.load_date} loaded nothing; its log has the reason."
        if run.state == "failed":
            return (
                Health.LATE,
                f"The load of {run.load_date} failed and is not confirmed; clear its failed task.",
            )
        if inputs.now - run.due_at > CONFIRM_GRACE:
            due = format_utc(run.due_at)
            return Health.LATE, (
                f"The load of {run.load_date} was due at {due} and is not confirmed; check the task that it waits in."
            )
    if inputs.now - inputs.next_run > START_GRACE:
        due = format_utc(inputs.next_run)
        return Health.LATE, f"The run due at {due} has not started; check that the scheduler is running."
    return None


def _is_loaded(inputs: HealthInputs, run: ScheduledRun) -> bool:
    if inputs.load_date is not None and run.load_date is not None:
        return inputs.load_date >= run.load_date
    # The record of the last load has no date.
    return inputs.confirmed_at is not None and inputs.confirmed_at >= run.due_at


def _expiring(inputs: HealthInputs) -> Result:
    if inputs.next_expiry is None:
        return None
    last_day, name = inputs.next_expiry
    days = (last_day - inputs.now.date()).days
    if days > EXPIRING_DAYS:
        return None
    when = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
    return Health.EXPIRING, f"The segment {name} ends {when}, on {last_day}; extend it to keep it active."


def _running(inputs: HealthInputs) -> Result:
    if not inputs.is_running:
        return None
    since = f" since {format_utc(inputs.running_since)}" if inputs.running_since else ""
    return Health.RUNNING, f"A load is in progress{since}; no action is needed."


def _never_loaded(inputs: HealthInputs) -> Result:
    if inputs.load_date is not None or inputs.confirmed_at is not None:
        return None
    if inputs.is_paused:
        action = "and the DAG is paused; unpause it, or start a load manually"
    elif inputs.next_run is None:
        action = "and the DAG has no schedule; start a load manually"
    else:
        action = f"and the first load is due at {format_utc(inputs.next_run)}; no action is needed"
    return Health.NEVER_LOADED, f"Nothing has been loaded yet, {action}."


def _healthy(inputs: HealthInputs) -> tuple[Health, str]:
    load = f"The load of {inputs.load_date}" if inputs.load_date else "The newest load"
    if inputs.is_paused:
        return Health.PAUSED, f"{load} is confirmed, and the DAG is paused; unpause it to load the next one."
    if inputs.next_run is None:
        return Health.OK, f"{load} is confirmed; start the next one manually."
    return Health.OK, f"{load} is confirmed; the next one is due at {format_utc(inputs.next_run)}."
