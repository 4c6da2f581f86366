"""The onboarding DAG of a definition for Fanfare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from audience_onboarding.fanfare.onboarding import CONFIRMED, FanfareOnboardCrmOperator
from audience_onboarding.fanfare.operators import FanfareCreateAudienceOperator
from audience_onboarding.fanfare.sensors import FanfareImportSensor
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_onboarding_dag, onboard
from tests.fakes import AssetStores, task_context
from tests.unit.fanfare.test_definition import definition
from tests.unit.fanfare.test_sensors import UPLOAD, success
from tests.unit.pipelines.conftest import function_of

BASE = Path("/project/include")


def build(**changes: Any) -> DAG:
    return build_onboarding_dag(definition(**changes), base=BASE)


def test_the_dag_has_the_shape_of_every_platform() -> None:
    dag = build()

    assert dag.dag_id == "onboard_fans"
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "ensure_audience": set(),
        "wait_for_turn": set(),
        "upload": {"ensure_audience", "wait_for_turn"},
        "wait_until_imported": {"upload"},
        "record_load": {"upload", "wait_until_imported"},
        "publish": {"record_load"},
    }
    assert {"fanfare", "onboarding"} <= dag.tags
    assert dag.params["mode"] == "opt-in"


def test_an_audience_that_is_given_is_not_created() -> None:
    dag = build(id="aud_7")

    assert not dag.has_task("ensure_audience")
    assert dag.get_task("upload").audience_id == "aud_7"  # type: ignore[attr-defined]
    assert dag.get_task("upload").upstream_task_ids == {"wait_for_turn"}


def test_the_definition_reaches_the_tasks() -> None:
    dag = build(
        connection="a_connection",
        description="Who may buy first",
        upload={"rows_per_import": 50, "memory_limit_mib": 256},
        wait={"poll_seconds": 7, "timeout_hours": 2},
    )
    ensure: Any = dag.get_task("ensure_audience")
    upload: Any = dag.get_task("upload")
    wait: Any = dag.get_task("wait_until_imported")

    assert isinstance(ensure, FanfareCreateAudienceOperator)
    assert (ensure.audience_name, ensure.description) == ("Presale fans", "Who may buy first")
    assert ensure.is_dry_run == "{{ params.dry_run }}"
    assert isinstance(upload, FanfareOnboardCrmOperator)
    assert (upload.rows_per_import, upload.memory_limit_mib, upload.allow_raw) == (50, 256, True)
    assert (upload.poke_interval, upload.import_timeout) == (7, 7200)
    assert upload.columns == {"email": "E-mail", "phone": "Phone"}
    assert isinstance(wait, FanfareImportSensor)
    assert (wait.poke_interval, wait.timeout) == (7, 7200)
    assert {task.fanfare_conn_id for task in (ensure, upload, wait)} == {"a_connection"}
    assert ensure.asset == upload.asset


@pytest.mark.parametrize("task_id", ["ensure_audience", "upload", "record_load"])
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
        "mode": "opt-in",
        "content_id": "ab",
        "rows_read": 5,
        "rows_sent": 5,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
    }
    seen = FanfareImportSensor(task_id="wait", upload=load).execute_complete(context, success())

    record = function_of(dag, "record_load")(load, seen)

    assert stores[asset].values["load.2026-11-20.opt-in"] == record
    assert set(CONFIRMED) <= set(record)
    assert (record["content_id"], record["run_id"], record["members"]) == ("ab", "run_1", 7)
    assert "import_id" not in record
