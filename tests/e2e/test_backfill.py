"""A backfill in a real Airflow."""

from __future__ import annotations

import itertools

import pytest

from tests.e2e.runs import CAMPAIGN, audiences, calls, campaigns, ended_backfills, uploads
from tests.e2e.stack import BACKFILL_DAYS, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_backfill_of_five_days(stack: Stack) -> None:
    """Over the REST API, as the dialog of the UI does it."""
    dag_id = "onboard_history_list"
    stack.airflow.wait_for_dags(dag_id, "activate_history_list")
    stack.airflow.unpause("activate_history_list")
    body = {
        "dag_id": dag_id,
        "from_date": f"{BACKFILL_DAYS[0]}T00:00:00Z",
        "to_date": f"{BACKFILL_DAYS[-1]}T23:59:00Z",
        "max_active_runs": 10,
    }
    planned = stack.airflow.api("backfills/dry_run", method="POST", json=body)["backfills"]
    assert len(planned) == len(BACKFILL_DAYS)
    stack.airflow.api("backfills", method="POST", json=body)
    stack.airflow.unpause(dag_id)
    runs = ended_backfills(stack, dag_id, len(BACKFILL_DAYS), timeout=840)
    stack.airflow.unpause(dag_id, paused=True)
    assert {run["state"] for run in runs} == {"success"}
    audience_id = stack.airflow.asset_state("audience/history_list")["audience"]["id"]
    keys = [item["key"] for item in uploads(stack, audience_id)]
    assert keys == [f"onboard/audience={audience_id}/opt-in/{day:%Y%m%d}_000000.csv" for day in BACKFILL_DAYS]
    # Each day is sent only after the day before it is through.
    times = [
        {item["task_id"]: item["end_date"] for item in stack.airflow.tasks(dag_id, run["dag_run_id"])}
        for run in sorted(runs, key=lambda run: str(run["partition_key"]))
    ]
    assert all(earlier["record_load"] < later["upload"] for earlier, later in itertools.pairwise(times))
    assert audiences(stack, "Audience history_list") == [audience_id]
    assert len(campaigns(stack, CAMPAIGN)) == 1
    assert calls(stack, audience_id)["activateAudience"] == 0
    assert len(stack.sandbox.admin(f"audiences/{audience_id}/members")["members"]) == 25
    # Historical loads activate nothing.
    assert {stack.airflow.task_states(dag_id, run["dag_run_id"])["publish_load"] for run in runs} == {
        "skipped"
    }
    assert stack.airflow.runs("activate_history_list") == []
