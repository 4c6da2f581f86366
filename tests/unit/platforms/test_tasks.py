"""The onboarding DAGs of Fanfare and CommBox; that of Digital Audience is in tests/unit/pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_onboarding_dag, onboard
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.platforms.commbox.operators import CONFIRMED as COUNTED
from audience_onboarding.platforms.fanfare.upload import CONFIRMED as IMPORTED
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import function_of

COMMON = {"key": "list", "name": "The list", "owner": "crm-team", "allow_unhashed": True}
SOURCES = {"fanfare": {"email": "E-mail", "phone": "Phone"}, "commbox": {"phone": "Phone"}}
FIRST_TASK = {"fanfare": "ensure_audience", "commbox": "find_audience"}
WAIT = {"fanfare": "wait_for_confirmation", "commbox": "wait_for_confirmation"}
PLATFORMS = pytest.mark.parametrize("platform", ["fanfare", "commbox"])


def build(platform: str, **changes: Any) -> DAG:
    values = {
        **COMMON,
        "platform": platform,
        "source": {"path": "crm/{load_date}.csv", "columns": SOURCES[platform]},
        **changes,
    }
    definition = get_platform(platform).definition.model_validate(values)
    return build_onboarding_dag(definition, base=Path("/project/include"))


@PLATFORMS
def test_the_dag_has_the_shape_of_every_platform(platform: str) -> None:
    dag, first, wait = build(platform, retries=5), FIRST_TASK[platform], WAIT[platform]

    assert dag.dag_id == "onboard_list"
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        first: set(),
        "wait_for_prerequisites": set(),
        "upload": {first, "wait_for_prerequisites"},
        wait: {"upload"},
        "record_load": {"upload", wait},
        "publish_load": {"record_load"},
    }
    assert {platform, "onboarding"} <= dag.tags
    assert dag.params["mode"] == {"fanfare": "opt-in", "commbox": "replace"}[platform]
    for task in dag.tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert task.retries == 5
    # Tasks that write the memory of an audience.
    for task_id in {"upload", "record_load", first} - {"find_audience"}:
        assert dag.get_task(task_id).max_active_tis_per_dag == 1


@PLATFORMS
def test_an_audience_that_is_given_is_neither_created_nor_looked_for(platform: str) -> None:
    dag = build(platform, id="312345")

    assert not dag.has_task(FIRST_TASK[platform])
    upload: Any = dag.get_task("upload")
    assert upload.audience_id == "312345"
    assert upload.upstream_task_ids == {"wait_for_prerequisites"}


OF_A_DEFINITION: dict[str, dict[str, dict[str, Any]]] = {
    "fanfare": {
        "definition": {
            "description": "Presale",
            "upload": {"rows_per_import": 50, "memory_limit_mib": 256},
            "wait": {"poll_interval_seconds": 7, "timeout_hours": 2},
        },
        "ensure_audience": {"audience_name": "The list", "description": "Presale"},
        "upload": {"rows_per_import": 50, "poke_interval": 7, "import_timeout": 7200},
        "wait_for_confirmation": {},
    },
    "commbox": {
        "definition": {
            "upload": {"memory_limit_mib": 256},
            "wait": {"poll_interval_seconds": 7, "timeout_hours": 2, "minimum_ratio": 0.9},
        },
        "find_audience": {"audience_name": "The list"},
        "upload": {"audience_name": "The list"},
        "wait_for_confirmation": {"minimum_ratio": 0.9},
    },
}


@PLATFORMS
def test_the_definition_reaches_the_tasks(platform: str) -> None:
    expected = OF_A_DEFINITION[platform]
    dag = build(platform, conn_id="a_connection", **expected["definition"])
    first, upload, wait = (dag.get_task(name) for name in (FIRST_TASK[platform], "upload", WAIT[platform]))
    tasks = get_platform(platform).tasks

    common: dict[str, dict[str, Any]] = {
        "upload": {"memory_limit_mib": 256, "allow_unhashed": True, "columns": SOURCES[platform]},
        WAIT[platform]: {"poke_interval": 7, "timeout": 7200},
    }
    for task in (first, upload, wait):
        values = {
            **expected[task.task_id],
            **common.get(task.task_id, {}),
            f"{platform}_conn_id": "a_connection",
        }
        assert {name: getattr(task, name) for name in values} == values
        assert type(task).__name__ in vars(tasks)
    assert first.asset == upload.asset  # type: ignore[attr-defined]
    if platform == "fanfare":
        assert first.is_dry_run == "{{ params.dry_run }}"  # type: ignore[attr-defined]


SEEN = {
    "fanfare": {"audience_id": "aud_1", "members": 7, "import_status": "COMPLETED", "imports": 1}
    | {"processed_consumers": 1, "error_count": 0, "row_errors": []},
    "commbox": {"audience_id": "1", "audience_name": "Alerts", "user_count": 100},
}


@PLATFORMS
def test_the_record_holds_what_the_next_run_needs_to_send_nothing(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag, stores, seen = build(platform), AssetStores(), SEEN[platform]
    context = task_context(stores=stores, run_id="run_1")
    monkeypatch.setattr(onboard, "get_current_context", lambda: context)
    load = {
        "audience_id": seen["audience_id"],
        "uploaded": True,
        "import_id": "imp_3",
        "load_date": "2026-11-20",
        "mode": "opt-in",
        "content_id": "ab",
        "rows_read": 100,
        "rows_sent": 100,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
    }

    record = function_of(dag, "record_load")(load, seen)

    store = stores[dag.get_task("upload").asset].values  # type: ignore[attr-defined]
    assert store["load.2026-11-20.opt-in"] == store["last_load"] == record
    confirmed = IMPORTED if platform == "fanfare" else COUNTED
    assert {name: record[name] for name in confirmed} == {name: seen[name] for name in confirmed}
    assert (record["content_id"], record["run_id"]) == ("ab", "run_1")
    assert "import_id" not in record
