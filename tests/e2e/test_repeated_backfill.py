"""A day that is backfilled a second time, in a real Airflow."""

from __future__ import annotations

import pytest

from tests.e2e.runs import LOAD_DATE, ended_backfills, uploads
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

DAG = "onboard_again_list"
DAY = ("--from-date", LOAD_DATE, "--to-date", f"{LOAD_DATE}T23:59")


def test_a_day_that_is_backfilled_again_sends_nothing(stack: Stack) -> None:
    """From the command line. Airflow makes a run beside the first one, which knows nothing of it."""
    stack.airflow.wait_for_dags(DAG)
    stack.airflow.cli("backfill", "create", "--dag-id", DAG, *DAY)
    stack.airflow.unpause(DAG)
    (first,) = ended_backfills(stack, DAG, 1, timeout=300)
    stack.airflow.wait_for_backfills(DAG)
    stack.airflow.cli("backfill", "create", "--dag-id", DAG, *DAY, "--reprocess-behavior", "completed")
    runs = ended_backfills(stack, DAG, 2, timeout=300)
    stack.airflow.unpause(DAG, paused=True)

    (again,) = (run for run in runs if run["dag_run_id"] != first["dag_run_id"])
    assert {(run["state"], run["partition_key"]) for run in runs} == {("success", LOAD_DATE)}
    audience_id = stack.airflow.asset_state("audience/again_list")["audience"]["id"]
    assert len(uploads(stack, audience_id)) == 1
    assert stack.airflow.xcom(DAG, again["dag_run_id"], "upload")["uploaded"] is False
