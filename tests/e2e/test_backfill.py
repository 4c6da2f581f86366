"""A backfill in a real Airflow."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import CAMPAIGN, audiences, calls, campaigns, uploads
from tests.e2e.stack import BACKFILL_DAYS, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


DAG = "onboard_history_list"


def ended(stack: Stack, count: int) -> list[dict[str, Any]]:
    """The runs of all backfills, once so many have ended and Airflow knows that their backfill has."""

    def all_ended() -> list[dict[str, Any]] | None:
        runs = [run for run in stack.airflow.runs(DAG) if run["run_type"] == "backfill"]
        done = [run for run in runs if run["state"] in {"success", "failed"}]
        backfills = stack.airflow.api(f"backfills?dag_id={DAG}")["backfills"]
        return done if len(done) == count and all(item["completed_at"] for item in backfills) else None

    return wait_for(all_ended, "The end of the backfill", timeout=840, interval=1)


def test_a_backfill_of_five_days_and_one_of_them_again(stack: Stack) -> None:
    """Over the REST API, as the dialog of the UI does it; then a day again, from the command line."""
    stack.airflow.wait_for_dags(DAG, "activate_history_list")
    stack.airflow.unpause("activate_history_list")
    body = {
        "dag_id": DAG,
        "from_date": f"{BACKFILL_DAYS[0]}T00:00:00Z",
        "to_date": f"{BACKFILL_DAYS[-1]}T23:59:00Z",
        "max_active_runs": 10,
    }
    planned = stack.airflow.api("backfills/dry_run", method="POST", json=body)["backfills"]
    assert len(planned) == len(BACKFILL_DAYS)
    stack.airflow.api("backfills", method="POST", json=body)
    stack.airflow.unpause(DAG)
    runs = ended(stack, len(BACKFILL_DAYS))
    assert {run["state"] for run in runs} == {"success"}
    audience_id = stack.airflow.asset_state("audience/history_list")["audience"]["id"]
    keys = [item["key"] for item in uploads(stack, audience_id)]
    assert keys == [f"onboard/audience={audience_id}/opt-in/{day:%Y%m%d}_000000.csv" for day in BACKFILL_DAYS]
    # Each day is sent only after the day before it is through.
    times = [
        {item["task_id"]: item["end_date"] for item in stack.airflow.tasks(DAG, run["dag_run_id"])}
        for run in sorted(runs, key=lambda run: str(run["partition_key"]))
    ]
    assert all(earlier["record_load"] < later["upload"] for earlier, later in itertools.pairwise(times))
    assert audiences(stack, "Audience history_list") == [audience_id]
    assert len(campaigns(stack, CAMPAIGN)) == 1
    assert calls(stack, audience_id)["activateAudience"] == 0
    assert len(stack.sandbox.admin(f"audiences/{audience_id}/members")["members"]) == 25
    # Historical loads activate nothing.
    assert {stack.airflow.task_states(DAG, run["dag_run_id"])["publish"] for run in runs} == {"skipped"}
    assert stack.airflow.runs("activate_history_list") == []

    day = BACKFILL_DAYS[2].isoformat()
    arguments = ("--from-date", day, "--to-date", f"{day}T23:59", "--reprocess-behavior", "completed")
    stack.airflow.cli("backfill", "create", "--dag-id", DAG, *arguments)
    known = {run["dag_run_id"] for run in runs}
    (again,) = (run for run in ended(stack, len(BACKFILL_DAYS) + 1) if run["dag_run_id"] not in known)
    stack.airflow.unpause(DAG, paused=True)
    assert (again["state"], again["partition_key"]) == ("success", day)
    assert [item["key"] for item in uploads(stack, audience_id)] == keys
