"""Health of an audience: each rule, and their order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding import exceptions
from audience_onboarding.ui.health import STOPPING_ERRORS, Ended, Facts, Scheduled, judge
from audience_onboarding.ui.models import Health

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
TODAY, YESTERDAY = date(2026, 11, 21), date(2026, 11, 20)
HOUR = timedelta(hours=1)

WELL = Facts(
    now=NOW,
    next_run=NOW + 15 * HOUR,
    load_date=TODAY,
    confirmed_at=NOW - 8 * HOUR,
    scheduled=Scheduled(TODAY, "success", NOW - 9 * HOUR),
)
FAILED = Ended("r", TODAY, NOW - HOUR, "UploadConflictError", "upload")
OLD = {"load_date": YESTERDAY, "confirmed_at": NOW - 30 * HOUR}


@pytest.mark.parametrize(
    ("changes", "health", "said"),
    [
        ({}, Health.OK, "The load of 2026-11-21 is confirmed; the next one is due 2026-11-22 03:00 UTC."),
        ({"next_run": None}, Health.OK, "the next one is started by hand"),
        ({"load_date": None}, Health.OK, "The newest load is confirmed"),
        ({"is_paused": True}, Health.PAUSED, "unpause it"),
        # Nothing is due while it is paused, or without a schedule.
        ({"is_paused": True, "next_run": NOW - 50 * HOUR}, Health.PAUSED, "paused"),
        ({"is_paused": True, "ends": (TODAY, "x")}, Health.ENDING, "today"),
        ({"waiting": ("A",)}, Health.NEEDS_YOU, "A."),
        ({"waiting": ("A", "B", "C")}, Health.NEEDS_YOU, "A (2 more)."),
        ({"waiting": ("A",), "is_retired": True, "failed": FAILED, **OLD}, Health.NEEDS_YOU, "A"),
        ({"is_retired": True, "is_gone": True, "failed": FAILED, **OLD}, Health.RETIRED, "It was retired;"),
        ({"is_retired": True, "retired_at": NOW}, Health.RETIRED, "on 2026-11-21"),
        ({"is_gone": True}, Health.NEEDS_YOU, "Its DAG is gone"),
        # Failed, and nothing confirmed since.
        (
            {"failed": FAILED, **OLD},
            Health.FAILED,
            "The load of 2026-11-21 failed 2026-11-21 11:00 UTC with UploadConflictError in upload; read the log, then "
            "clear the task.",
        ),
        ({"failed": FAILED, **OLD, "is_running": True}, Health.FAILED, "another run is under way"),
        ({"failed": FAILED, **OLD, "is_paused": True}, Health.FAILED, "failed"),
        (
            {"failed": replace(FAILED, error="", task=""), **OLD},
            Health.FAILED,
            "failed 2026-11-21 11:00 UTC; read",
        ),
        (
            {"failed": Ended("r", None, None), "load_date": None, "confirmed_at": None},
            Health.FAILED,
            "The run r",
        ),
        ({"failed": FAILED, "confirmed_at": NOW}, Health.OK, ""),
        ({"failed": replace(FAILED, day=YESTERDAY), "confirmed_at": NOW}, Health.OK, ""),
        # An older day was confirmed since, which does not make up for it.
        ({"failed": FAILED, "load_date": YESTERDAY, "confirmed_at": NOW}, Health.FAILED, ""),
        # A backfill of an old day has failed after the newest load was confirmed.
        ({"failed": replace(FAILED, day=date(2026, 1, 1))}, Health.FAILED, "The load of 2026-01-01"),
        (
            {"failed": replace(FAILED, error="GuardError"), **OLD},
            Health.STOPPED,
            "by a guard 2026-11-21 11:00 UTC",
        ),
        # The load is recorded before its match rates stop what comes after it.
        ({"failed": replace(FAILED, error="MatchRateError")}, Health.STOPPED, "its match rates"),
        # Late.
        ({"next_run": NOW - HOUR}, Health.OK, ""),
        ({"next_run": NOW - 2 * HOUR}, Health.LATE, "was not started"),
        ({**OLD}, Health.LATE, "The run of 2026-11-21 ended without a load"),
        ({**OLD, "scheduled": Scheduled(TODAY, "failed", NOW)}, Health.LATE, "failed and is not confirmed"),
        (
            {**OLD, "scheduled": Scheduled(TODAY, "running", NOW - 24 * HOUR), "is_running": True},
            Health.RUNNING,
            "",
        ),
        (
            {**OLD, "scheduled": Scheduled(TODAY, "running", NOW - 25 * HOUR), "is_running": True},
            Health.LATE,
            "was due 2026-11-20 11:00 UTC",
        ),
        ({**OLD, "scheduled": Scheduled(None, "running", NOW - 25 * HOUR)}, Health.OK, ""),
        ({**OLD, "next_run": None}, Health.OK, ""),
        # Ending.
        ({"ends": (TODAY, "'A'")}, Health.ENDING, "The segment 'A' ends today, on 2026-11-21"),
        ({"ends": (date(2026, 11, 22), "'A'")}, Health.ENDING, "tomorrow"),
        ({"ends": (date(2026, 11, 28), "'A'"), "is_running": True}, Health.ENDING, "in 7 days"),
        ({"ends": (date(2026, 11, 29), "'A'")}, Health.OK, ""),
        # Under way, or never begun.
        ({"is_running": True}, Health.RUNNING, "A load is under way;"),
        ({"is_running": True, "running_since": NOW}, Health.RUNNING, "since 2026-11-21 12:00 UTC"),
        ({"is_running": True, "is_paused": True}, Health.RUNNING, ""),
    ],
)
def test_what_is_said_first(changes: dict[str, Any], health: Health, said: str) -> None:
    found, reason = judge(replace(WELL, **changes))

    assert found is health
    assert said in reason
    assert reason.endswith(".")
    assert ". " not in reason, "one sentence"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "the first load is due"),
        ({"is_paused": True}, "unpause it"),
        ({"next_run": None}, "start a load by hand"),
    ],
)
def test_what_was_never_loaded(changes: dict[str, Any], said: str) -> None:
    never = replace(WELL, load_date=None, confirmed_at=None, scheduled=None)

    health, reason = judge(replace(never, **changes))

    assert health is Health.NEVER_LOADED
    assert said in reason


def test_the_errors_that_stop_a_load_are_there() -> None:
    assert all(issubclass(getattr(exceptions, name), exceptions.TerminalError) for name in STOPPING_ERRORS)
