"""Health of an audience: each rule, and their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding import exceptions
from audience_onboarding.ui.health import (
    BLOCKING_ERRORS,
    FinishedRun,
    HealthInputs,
    ScheduledRun,
    evaluate_health,
)
from audience_onboarding.ui.models import Health

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
TODAY, YESTERDAY = date(2026, 11, 21), date(2026, 11, 20)
HOUR = timedelta(hours=1)

HEALTHY = HealthInputs(
    now=NOW,
    next_run=NOW + 15 * HOUR,
    load_date=TODAY,
    confirmed_at=NOW - 8 * HOUR,
    scheduled=ScheduledRun(TODAY, "success", NOW - 9 * HOUR),
)
FAILED = FinishedRun("r", TODAY, NOW - HOUR, "UploadConflictError", "upload")
OLD = {"load_date": YESTERDAY, "confirmed_at": NOW - 30 * HOUR}


@pytest.mark.parametrize(
    ("changes", "health", "text"),
    [
        ({}, Health.OK, "The load of 2026-11-21 is confirmed; the next one is due at 2026-11-22 03:00 UTC."),
        ({"next_run": None}, Health.OK, "start the next one manually"),
        ({"load_date": None}, Health.OK, "The newest load is confirmed"),
        ({"is_paused": True}, Health.PAUSED, "unpause it"),
        # Nothing is due while the DAG is paused, or without a schedule.
        ({"is_paused": True, "next_run": NOW - 50 * HOUR}, Health.PAUSED, "paused"),
        ({"is_paused": True, "next_expiry": (TODAY, "x")}, Health.EXPIRING, "today"),
        ({"required_actions": ("A",)}, Health.ACTION_REQUIRED, "A."),
        ({"required_actions": ("A", "B", "C")}, Health.ACTION_REQUIRED, "A (2 more)."),
        (
            {"required_actions": ("A",), "is_retired": True, "failed": FAILED, **OLD},
            Health.ACTION_REQUIRED,
            "A",
        ),
        (
            {"is_retired": True, "is_dag_missing": True, "failed": FAILED, **OLD},
            Health.RETIRED,
            "The audience was retired;",
        ),
        ({"is_retired": True, "retired_at": NOW}, Health.RETIRED, "on 2026-11-21"),
        ({"is_dag_missing": True}, Health.ACTION_REQUIRED, "The DAG no longer exists"),
        # Failed, without a later confirmation.
        (
            {"failed": FAILED, **OLD},
            Health.FAILED,
            "The load of 2026-11-21 failed at 2026-11-21 11:00 UTC in task upload with UploadConflictError; read the "
            "log, then clear the task.",
        ),
        ({"failed": FAILED, **OLD, "is_running": True}, Health.FAILED, "another run is in progress"),
        ({"failed": FAILED, **OLD, "is_paused": True}, Health.FAILED, "failed"),
        (
            {"failed": replace(FAILED, error="", task_id=""), **OLD},
            Health.FAILED,
            "failed at 2026-11-21 11:00 UTC; read",
        ),
        (
            {"failed": FinishedRun("r", None, None), "load_date": None, "confirmed_at": None},
            Health.FAILED,
            "The run r",
        ),
        ({"failed": FAILED, "confirmed_at": NOW}, Health.OK, ""),
        ({"failed": replace(FAILED, load_date=YESTERDAY), "confirmed_at": NOW}, Health.OK, ""),
        # A later confirmation of an older date does not supersede the failure.
        ({"failed": FAILED, "load_date": YESTERDAY, "confirmed_at": NOW}, Health.FAILED, ""),
        # A backfill of an old date failed after the newest load was confirmed.
        ({"failed": replace(FAILED, load_date=date(2026, 1, 1))}, Health.FAILED, "The load of 2026-01-01"),
        (
            {"failed": replace(FAILED, error="GuardError"), **OLD},
            Health.BLOCKED,
            "by a guard at 2026-11-21 11:00 UTC",
        ),
        # A load is recorded before its match rates block the tasks after it.
        ({"failed": replace(FAILED, error="MatchRateError")}, Health.BLOCKED, "its match rates"),
        # Late.
        ({"next_run": NOW - HOUR}, Health.OK, ""),
        ({"next_run": NOW - 2 * HOUR}, Health.LATE, "has not started"),
        ({**OLD}, Health.LATE, "The run of 2026-11-21 loaded nothing"),
        (
            {**OLD, "scheduled": ScheduledRun(TODAY, "failed", NOW)},
            Health.LATE,
            "failed and is not confirmed",
        ),
        (
            {**OLD, "scheduled": ScheduledRun(TODAY, "running", NOW - 24 * HOUR), "is_running": True},
            Health.RUNNING,
            "",
        ),
        (
            {**OLD, "scheduled": ScheduledRun(TODAY, "running", NOW - 25 * HOUR), "is_running": True},
            Health.LATE,
            "was due at 2026-11-20 11:00 UTC",
        ),
        ({**OLD, "scheduled": ScheduledRun(None, "running", NOW - 25 * HOUR)}, Health.OK, ""),
        ({**OLD, "next_run": None}, Health.OK, ""),
        # Expiring.
        ({"next_expiry": (TODAY, "'A'")}, Health.EXPIRING, "The segment 'A' ends today, on 2026-11-21"),
        ({"next_expiry": (date(2026, 11, 22), "'A'")}, Health.EXPIRING, "tomorrow"),
        ({"next_expiry": (date(2026, 11, 28), "'A'"), "is_running": True}, Health.EXPIRING, "in 7 days"),
        ({"next_expiry": (date(2026, 11, 29), "'A'")}, Health.OK, ""),
        # Running.
        ({"is_running": True}, Health.RUNNING, "A load is in progress;"),
        ({"is_running": True, "running_since": NOW}, Health.RUNNING, "since 2026-11-21 12:00 UTC"),
        ({"is_running": True, "is_paused": True}, Health.RUNNING, ""),
    ],
)
def test_the_most_urgent_state_and_its_reason(changes: dict[str, Any], health: Health, text: str) -> None:
    actual, reason = evaluate_health(replace(HEALTHY, **changes))

    assert actual is health
    assert text in reason
    assert reason.endswith(".")
    assert ". " not in reason, "one sentence"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "the first load is due"),
        ({"is_paused": True}, "unpause it"),
        ({"next_run": None}, "start a load manually"),
    ],
)
def test_an_audience_that_was_never_loaded(changes: dict[str, Any], text: str) -> None:
    never = replace(HEALTHY, load_date=None, confirmed_at=None, scheduled=None)

    health, reason = evaluate_health(replace(never, **changes))

    assert health is Health.NEVER_LOADED
    assert text in reason


def test_the_errors_that_block_a_load_exist() -> None:
    assert all(issubclass(getattr(exceptions, name), exceptions.TerminalError) for name in BLOCKING_ERRORS)
