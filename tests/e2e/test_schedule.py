"""A scheduled load."""

from __future__ import annotations

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import calls
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_scheduled_run_loads_its_day_and_activates(stack: Stack) -> None:
    dag_id = "onboard_scheduled_list"
    stack.airflow.wait_for_dags(dag_id, "activate_scheduled_list")
    stack.airflow.unpause("activate_scheduled_list")
    stack.airflow.unpause(dag_id)
    run = wait_for(
        lambda: next(iter(stack.airflow.runs(dag_id)), None), "The scheduled run", timeout=180, interval=1
    )
    assert stack.airflow.wait_for_run(dag_id, run["dag_run_id"]) == "success"
    stack.airflow.unpause(dag_id, paused=True)
    assert run["run_type"] == "scheduled"
    record = stack.airflow.xcom(dag_id, run["dag_run_id"], "record_load")
    assert record["load_date"] == run["partition_key"]
    assert f"/opt-in/{record['load_date'].replace('-', '')}_000000.csv" in record["s3_key"]
    activation = wait_for(
        lambda: next(iter(stack.airflow.runs("activate_scheduled_list")), None),
        "The activation",
        timeout=180,
        interval=1,
    )
    assert stack.airflow.wait_for_run("activate_scheduled_list", activation["dag_run_id"]) == "success"
    assert activation["partition_key"] == record["load_date"]
    assert calls(stack, record["audience_id"])["activateAudience"] == 1
