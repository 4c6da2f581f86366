"""The task that writes the audit, into SQLite behind an Airflow connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.exceptions import AuditUnavailableError
from tests.fakes import task_context
from tests.unit.base.databases import connect_to
from tests.unit.pipelines.conftest import onboarding, run_task

AUDIT = {"conn_id": "dwh", "table": "runs", "create": True}
RECORD = {
    "audience_id": 7,
    "load_date": "2026-11-18",
    "mode": "opt-in",
    "rows_sent": 8,
    "outcome": "confirmed",
}


def context_of(xcoms: dict[tuple[str, str], Any], states: dict[str, str], **params: Any) -> dict[str, Any]:
    """The context of the task in a run that has come so far."""
    context = task_context(
        run_id="manual__1", dag_id="onboard_newsletter", partition_key="2026-11-20", mode="replace", **params
    )
    ti = context["ti"]
    ti.xcom_pull = lambda *, task_ids, key="return_value": xcoms.get((task_ids, key))
    ti.get_task_states = lambda *, dag_id, run_ids: {"manual__1": states}
    return context


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "audit.db"
    connect_to(path, monkeypatch)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM runs")]


def write(xcoms: dict[tuple[str, str], Any], states: dict[str, str], **params: Any) -> None:
    run_task(onboarding(audit=AUDIT), "write_audit_row", context_of(xcoms, states, **params))


CONFIRMED = {("record_load", "return_value"): RECORD}


def test_it_comes_last_whatever_became_of_the_others_and_the_run_is_judged_by_these() -> None:
    dag = onboarding(audit=AUDIT)
    task = dag.get_task("write_audit_row")

    assert task.upstream_task_ids == {"publish_load"}
    assert (task.is_teardown, task.on_failure_fail_dagrun) == (True, False)
    assert task.trigger_rule.value == "all_done_setup_success"
    assert not task.outlets
    assert not onboarding().has_task("write_audit_row")


def test_a_confirmed_load_is_a_row(database: Path) -> None:
    write(CONFIRMED, {"publish_load": "success"})
    write(CONFIRMED, {"publish_load": "success"})

    (row,) = rows(database)
    assert (row["dag_id"], row["run_id"]) == ("onboard_newsletter", "manual__1")
    assert (row["audience_key"], row["platform"]) == ("newsletter", "digital_audience")
    assert (row["outcome"], row["load_date"], row["load_mode"]) == ("confirmed", "2026-11-18", "opt-in")
    assert (row["rows_sent"], row["audience_id"]) == (8, "7")


def test_a_run_that_was_stopped_is_a_row_and_its_repair_replaces_it(database: Path) -> None:
    stop = {"error": "GuardError", "message": "A guard stops this load."}
    write({("upload", "failure"): stop}, {"upload": "failed"})
    (stopped,) = rows(database)

    write(CONFIRMED, {"upload": "success"})

    (repaired,) = rows(database)
    assert (stopped["outcome"], stopped["error"]) == ("failed", "GuardError")
    assert (stopped["load_date"], stopped["load_mode"]) == ("2026-11-20", "replace")
    assert (repaired["outcome"], repaired["error"]) == ("confirmed", None)


def test_dry_skipped_and_wrongly_started_runs_are_rows(database: Path) -> None:
    dry = {"rows_read": 3, "load_date": "2026-11-20", "mode": "opt-in"}
    for xcoms, state, params, expected in (
        ({("upload", "dry_run_report"): dry}, "skipped", {}, ("dry_run", 3, "2026-11-20", None)),
        ({}, "skipped", {}, ("skipped", None, "2026-11-20", None)),
        ({}, "failed", {"load_date": "yesterday"}, ("failed", None, None, "upload failed")),
    ):
        write(xcoms, {"upload": state}, **params)
        (row,) = rows(database)
        assert tuple(row[name] for name in ("outcome", "rows_read", "load_date", "error")) == expected


def test_a_database_that_is_not_there_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect_to(tmp_path / "no such folder" / "audit.db", monkeypatch)

    with pytest.raises(AuditUnavailableError):
        write({}, {})
