"""The onboarding DAG of a definition for CommBox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from audience_onboarding.commbox.operators import (
    CONFIRMED,
    CommBoxFindAudienceOperator,
    CommBoxOnboardCrmOperator,
)
from audience_onboarding.commbox.sensors import CommBoxUserCountSensor
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_onboarding_dag, onboard
from tests.fakes import AssetStores, task_context
from tests.unit.commbox.test_definition import definition
from tests.unit.commbox.test_sensors import SUCCESS, UPLOAD
from tests.unit.pipelines.conftest import function_of

BASE = Path("/project/include")


def build(**changes: Any) -> DAG:
    return build_onboarding_dag(definition(**changes), base=BASE)


def test_the_dag_has_the_shape_of_every_platform() -> None:
    dag = build()

    assert dag.dag_id == "onboard_alerts"
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "find_audience": set(),
        "wait_for_turn": set(),
        "upload": {"find_audience", "wait_for_turn"},
        "wait_until_counted": {"upload"},
        "record_load": {"upload", "wait_until_counted"},
        "publish": {"record_load"},
    }
    assert {"commbox", "onboarding"} <= dag.tags
    assert dag.params["mode"] == "replace"


def test_an_audience_that_is_given_is_not_looked_for() -> None:
    dag = build(id="312345")

    assert not dag.has_task("find_audience")
    assert dag.get_task("upload").audience_id == "312345"  # type: ignore[attr-defined]


def test_the_definition_reaches_the_tasks() -> None:
    dag = build(
        connection="a_connection",
        upload={"memory_limit_mib": 256},
        wait={"poll_seconds": 7, "timeout_hours": 2, "minimum_share": 0.9},
    )
    find: Any = dag.get_task("find_audience")
    upload: Any = dag.get_task("upload")
    wait: Any = dag.get_task("wait_until_counted")

    assert isinstance(find, CommBoxFindAudienceOperator)
    assert isinstance(upload, CommBoxOnboardCrmOperator)
    assert isinstance(wait, CommBoxUserCountSensor)
    assert find.audience_name == upload.audience_name == "Service alerts"
    assert (upload.memory_limit_mib, upload.allow_raw, upload.columns) == (256, True, {"phone": "Phone"})
    assert (wait.poke_interval, wait.timeout, wait.minimum_share) == (7, 7200, 0.9)
    assert {task.commbox_conn_id for task in (find, upload, wait)} == {"a_connection"}
    assert find.asset == upload.asset


@pytest.mark.parametrize("task_id", ["upload", "record_load"])
def test_what_writes_the_audiences_memory_runs_once_at_a_time(task_id: str) -> None:
    assert build().get_task(task_id).max_active_tis_per_dag == 1


def test_every_task_follows_our_rules_of_retrying() -> None:
    for task in build(retries=5).tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert task.retries == 5


def test_what_is_recorded_lets_the_next_run_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dag, stores = build(), AssetStores()
    asset = dag.get_task("upload").asset  # type: ignore[attr-defined]
    context = task_context(stores=stores, run_id="run_1")
    monkeypatch.setattr(onboard, "get_current_context", lambda: context)
    load = {
        **UPLOAD,
        "load_date": "2026-11-20",
        "mode": "replace",
        "content_id": "ab",
        "rows_read": 100,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
    }

    record = function_of(dag, "record_load")(load, SUCCESS["result"])

    assert stores[asset].values["last_load"] == record
    assert set(CONFIRMED) <= set(record)
    assert (record["audience_id"], record["user_count"], record["content_id"]) == ("1", 100, "ab")
