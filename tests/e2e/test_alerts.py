"""What a run tells: alerts by a notifier, match rates that stop an activation, a row in the audit table."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import date
from typing import Any

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import calls, finish
from tests.e2e.stack import Stack, alerts_file, audit_file

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

MATCHED_BELOW = 0x50000000
MISSED_FROM = 0xB0000000
"""The sandbox knows an address by the first eight digits of its hash, at 65 percent by default."""


def people(*, known: bool, count: int = 30) -> list[str]:
    """Addresses that the vendor knows, or does not."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        address = f"someone{number}@watched.example"
        start = int(hashlib.sha256(address.encode()).hexdigest()[:8], 16)
        if start < MATCHED_BELOW if known else start >= MISSED_FROM:
            found.append(address)
    return found


def extract(stack: Stack, key: str, day: str, addresses: list[str]) -> None:
    folder = stack.include / "crm" / key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{day}.csv").write_text("\n".join(["E-mail", *addresses, ""]), encoding="utf-8")


def alerts(stack: Stack, key: str) -> list[dict[str, Any]]:
    """What the notifier was told."""
    path = alerts_file(stack, key)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rows(stack: Stack, dag_id: str) -> list[dict[str, Any]]:
    """The rows of the audit table, by load date and end."""
    with closing(sqlite3.connect(audit_file(stack.include.parent))) as connection:
        connection.row_factory = sqlite3.Row
        query = "SELECT * FROM audience_onboarding_audit WHERE dag_id = ? ORDER BY load_date, ended_at"
        return [dict(row) for row in connection.execute(query, [dag_id])]


def test_a_drop_of_the_match_rates_stops_the_activation_and_is_told(stack: Stack) -> None:
    dag_id = "onboard_watched_list"
    extract(stack, "watched_list", "2026-11-19", people(known=True))
    extract(stack, "watched_list", "2026-11-20", people(known=False))
    stack.airflow.wait_for_dags(dag_id, "activate_watched_list")
    stack.airflow.unpause("activate_watched_list")

    good = finish(stack, dag_id, {"load_date": "2026-11-19"})
    audience_id = stack.airflow.xcom(dag_id, good, "record_load")["audience_id"]
    bad = stack.airflow.trigger(dag_id, {"load_date": "2026-11-20"})
    assert stack.airflow.wait_for_run(dag_id, bad) == "failed"

    # It is at the vendor and recorded, and nothing comes after it.
    states = stack.airflow.task_states(dag_id, bad)
    assert (states["record_load"], states["publish_load"], states["write_audit_row"]) == (
        "success",
        "failed",
        "success",
    )
    watched = stack.airflow.xcom(dag_id, bad, "record_load")["watch"]
    assert (watched["rates"], watched["means"]) == ({"email": 0.0}, {"email": 1.0})
    assert [finding.split(":")[0] for finding in watched["findings"]] == [
        "match_rates.min_rate",
        "match_rates.max_drop",
    ]
    (told,) = wait_for(lambda: alerts(stack, "watched_list"), "The alert", timeout=300)
    assert (told["kind"], told["load_date"]) == ("match_rate", "2026-11-20")
    assert told["subject"] == "Audience watched_list: low match rates (2026-11-20)"
    assert "0% of email match, minimum 10%" in told["text"]
    assert told["link"].endswith(f"/dags/{dag_id}/runs/{bad.replace(':', '%3A').replace('+', '%2B')}")
    assert [(row["outcome"], row["error"]) for row in rows(stack, dag_id)] == [
        ("confirmed", None),
        ("failed", "MatchRateError"),
    ]

    again = finish(stack, dag_id, {"load_date": "2026-11-20", "ignore_match_rates": True})
    assert stack.airflow.xcom(dag_id, again, "upload")["uploaded"] is False
    assert stack.airflow.xcom(dag_id, again, "record_load")["watch"]["ignored"] is True

    def activated_days() -> set[str] | None:
        days = {run["partition_key"] for run in stack.airflow.runs("activate_watched_list")}
        return days if "2026-11-20" in days else None

    assert wait_for(activated_days, "The activation", timeout=180, interval=1) == {"2026-11-19", "2026-11-20"}
    for run in stack.airflow.runs("activate_watched_list"):
        assert stack.airflow.wait_for_run("activate_watched_list", run["dag_run_id"]) == "success"
    assert calls(stack, audience_id)["activateAudience"] == 1
    assert len(alerts(stack, "watched_list")) == 1
    *_, last = rows(stack, dag_id)
    assert (last["run_id"], last["outcome"], last["rows_sent"]) == (again, "unchanged", 30)
    assert (last["audience_id"], last["load_mode"]) == (str(audience_id), "opt-in")
    assert (last["run_type"], json.loads(last["match_rates"])) == ("manual", {"EMAIL": 0.0})
    assert last["triggered_by"]
    assert last["duration_seconds"] > 0


def test_a_guard_is_told_as_a_guard_and_not_as_a_failure_too(stack: Stack) -> None:
    dag_id = "onboard_guarded_list"
    extract(stack, "guarded_list", "2026-11-20", people(known=True))
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    run_id = stack.airflow.trigger(dag_id, {"load_date": "2026-11-20"})
    assert stack.airflow.wait_for_run(dag_id, run_id) == "failed"
    dry = finish(stack, dag_id, {"load_date": "2026-11-20", "dry_run": True})

    (told,) = wait_for(lambda: alerts(stack, "guarded_list"), "The alert", timeout=300)
    assert (told["kind"], told["load_date"]) == ("guard", "2026-11-20")
    assert "30 rows to send, minimum 1,000" in told["text"]
    found = {row["run_id"]: row for row in rows(stack, dag_id)}
    assert (found[run_id]["outcome"], found[run_id]["error"]) == ("failed", "GuardError")
    assert "1,000" in found[run_id]["error_message"]
    assert (found[dry]["outcome"], found[dry]["rows_read"]) == ("dry_run", 30)
    assert found[dry]["load_date"] == "2026-11-20"


def test_a_late_run_is_told_while_it_waits_and_an_audit_that_fails_is_no_failure_of_the_load(
    stack: Stack,
) -> None:
    dag_id = "onboard_unpunctual_list"
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    run_id = stack.airflow.trigger(dag_id, {"load_date": "2026-11-20"})

    (told,) = wait_for(lambda: alerts(stack, "unpunctual_list"), "The alert", timeout=180)
    assert (told["kind"], told["load_date"]) == ("late", "2026-11-20")
    assert "the run is running" in told["text"]
    assert run_id in told["text"]

    stack.extract("unpunctual_list", date(2026, 11, 20))
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"
    states = stack.airflow.task_states(dag_id, run_id)
    assert (states["publish_load"], states["write_audit_row"]) == ("success", "failed")
    _, of_the_audit = alerts(stack, "unpunctual_list")
    assert of_the_audit["kind"] == "failure"
    assert "The connection 'no_such_database' of the audit cannot be used" in of_the_audit["text"]
