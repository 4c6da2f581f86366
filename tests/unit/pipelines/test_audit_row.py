"""The audit of a run: its record and its row."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from audience_onboarding import __version__
from audience_onboarding.pipelines.audit import MAX_RECORD, audit_row, run_record
from audience_onboarding.storage.audit_table import COLUMNS
from tests.fakes import task_context
from tests.unit.state.helpers import check

STARTED = datetime(2026, 11, 20, 3, tzinfo=timezone(timedelta(hours=1)))
NOW = datetime(2026, 11, 20, 2, 1, 30, 500_000, tzinfo=timezone.utc)
STOP = {"upload": {"error": "GuardError", "message": "A guard stops this load."}}
COUNTS = {"rows_read": 10, "rows_sent": 8, "duplicates": 1, "rejected": 1}
SENT = {"load_date": "2026-11-20", "outcome": "unchanged", "s3_key": "onboard/x.csv", "content_id": "abc"}
RATES = {"PHONE": None, "EMAIL": 0.5}
RECORD = {**COUNTS, **SENT, "audience_id": 7, "mode": "replace", "match_rates": RATES}
AUDIENCE = {"dag_id": "onboard_x", "audience_key": "x", "platform": "digital_audience", "connection": "da"}
ABOUT = {**AUDIENCE, "load_date": "2026-11-19", "load_mode": "opt-in"}


def run_of(**dag_run: Any) -> dict[str, Any]:
    context = task_context(run_id="manual__1")
    for name, value in dag_run.items():
        setattr(context["dag_run"], name, value)
    return run_record(context, now=NOW)


RUN = run_of(start_date=STARTED, triggering_user_name="jo")


def row_of(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"record": None, "load": None, "dry_run": None, "failures": {}, **changes}
    return audit_row(RUN, ABOUT, **arguments)


def test_the_record_of_a_run_has_its_user_and_its_times() -> None:
    assert run_of(start_date=STARTED, triggering_user_name="jo") == {
        "run_id": "manual__1",
        "run_type": "manual",
        "triggered_by": "jo",
        "started_at": "2026-11-20T03:00:00+01:00",
        "ended_at": "2026-11-20T02:01:30+00:00",
        "duration_seconds": 90.5,
        "package_version": __version__,
    }
    unknown = run_of()
    assert (unknown["started_at"], unknown["duration_seconds"], unknown["triggered_by"]) == (None,) * 3


def test_the_outcome() -> None:
    cases: list[tuple[tuple[Any, Any, Any], str]] = [
        ((RECORD, None, {}), "unchanged"),
        (({}, None, {}), "confirmed"),
        ((None, None, {}), "skipped"),
        ((None, {"rows_sent": 1}, {}), "dry_run"),
        ((RECORD, None, STOP), "failed"),
        ((None, None, STOP), "failed"),
    ]
    check(
        lambda case: row_of(record=case[0], dry_run=case[1], failures=case[2])["outcome"],
        cases,
    )


def test_the_row_of_a_confirmed_load() -> None:
    row = row_of(record=RECORD, load={"rows_read": 99})

    assert row == {
        **{name: RUN[name] for name in ("run_id", "run_type", "triggered_by", "duration_seconds")},
        **AUDIENCE,
        **COUNTS,
        **SENT,
        "audience_id": "7",
        "range_start": None,
        "load_mode": "replace",
        "error": None,
        "error_message": None,
        "match_rates": '{"EMAIL": 0.5, "PHONE": null}',
        "started_at": "2026-11-20 02:00:00",
        "ended_at": "2026-11-20 02:01:30",
        "package_version": __version__,
        "record": json.dumps(RECORD, sort_keys=True),
    }


def test_every_row_has_every_column() -> None:
    for changes in ({"record": RECORD}, {"failures": STOP}, {}, {"dry_run": {"mode": "opt-out"}}):
        assert set(row_of(**changes)) == set(COLUMNS)


def test_a_run_that_was_stopped_early_has_the_day_that_it_was_asked_for() -> None:
    row = row_of(failures=STOP)

    assert (row["load_date"], row["load_mode"], row["outcome"]) == ("2026-11-19", "opt-in", "failed")
    assert (row["error"], row["error_message"]) == ("GuardError", "A guard stops this load.")
    assert (row["rows_read"], row["audience_id"], row["record"]) == (None, None, None)


def test_a_run_that_was_stopped_late_has_the_counts_of_its_file() -> None:
    row = row_of(load={**RECORD, "range_start": "2026-11-01"}, failures=STOP)

    assert (row["rows_sent"], row["range_start"], row["s3_key"]) == (8, "2026-11-01", "onboard/x.csv")


def test_the_row_has_the_failed_task_with_a_reason() -> None:
    killed = {"error": "", "message": ""}

    assert row_of(failures={"ensure": killed, **STOP})["error"] == "GuardError"
    assert row_of(failures={"ensure": killed})["error"] == "ensure failed"
    assert row_of(failures={"ensure": killed})["error_message"] is None


def test_a_record_that_is_too_long_for_a_column_is_left_out() -> None:
    row = row_of(record={**RECORD, "same_day_files": ["é" * MAX_RECORD]})

    assert row["record"] is None
    assert row["rows_sent"] == 8
