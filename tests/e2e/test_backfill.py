"""A backfill in a real Airflow."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import CAMPAIGN, audiences, calls, campaigns, uploads
from tests.e2e.stack import BACKFILL_DAYS, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_backfill_of_five_days(stack: Stack) -> None:
    dag_id = "onboard_history_list"
    stack.airflow.wait_for_dags(dag_id, "activate_history_list")
    stack.airflow.unpause("activate_history_list")
    stack.airflow.cli(
        "backfill",
        "create",
        "--dag-id",
        dag_id,
        "--from-date",
        BACKFILL_DAYS[0].isoformat(),
        "--to-date",
        f"{BACKFILL_DAYS[-1].isoformat()}T23:59",
    )
    stack.airflow.unpause(dag_id)

    def all_ended() -> list[dict[str, Any]] | None:
        runs = [run for run in stack.airflow.runs(dag_id) if run["run_type"] == "backfill"]
        done = [run for run in runs if run["state"] in {"success", "failed"}]
        return done if len(done) == len(BACKFILL_DAYS) else None

    runs = wait_for(all_ended, "The end of the backfill", timeout=840, interval=1)
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
    assert {stack.airflow.task_states(dag_id, run["dag_run_id"])["publish"] for run in runs} == {"skipped"}
    assert stack.airflow.runs("activate_history_list") == []
