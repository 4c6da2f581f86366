"""Which tasks are in the pool of their connection: those that call its vendor from a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from audience_onboarding.orchestration.pools import CREATE_POOL, connection_pool
from audience_onboarding.pipelines import build_activation_dag, build_extension_dag, build_onboarding_dag
from audience_onboarding.platforms import part_of
from tests.unit.pipelines.conftest import definition

OURS = connection_pool("digital_audience_default")
AIRFLOWS = "default_pool"


def pools(dag: DAG) -> dict[str, str]:
    return {task.task_id: task.pool for task in dag.tasks}


def test_a_load_on_digital_audience() -> None:
    assert pools(build_onboarding_dag(definition(), base=Path("/x"))) == {
        # Every load goes through the first of these, and only the first load of all through the next.
        "recall_audience": OURS,
        "ensure_campaign": CREATE_POOL,
        "ensure_audience": OURS,
        "upload": OURS,
        # These wait in the triggerer, and call nobody from their worker.
        "wait_for_turn": AIRFLOWS,
        # The scheduler itself is through with it.
        "have_audience": AIRFLOWS,
        "wait_until_ready": AIRFLOWS,
        "record_load": AIRFLOWS,
        "publish": AIRFLOWS,
    }


@pytest.mark.parametrize(
    ("platform", "calling"),
    [("fanfare", {"ensure_audience", "upload"}), ("commbox", {"find_audience", "upload"})],
)
def test_a_load_on_another_platform(platform: str, calling: set[str]) -> None:
    raw: dict[str, Any] = {
        "key": "list",
        "platform": platform,
        "name": "List",
        "owner": "somebody",
        "connection": "mine",
        "allow_raw": True,
        "source": {"path": "x.csv", "columns": {"phone": "Phone"}},
    }
    found = pools(
        build_onboarding_dag(part_of(platform, "definition").DEFINITION.model_validate(raw), base=Path("/x"))
    )

    assert {task for task, pool in found.items() if pool == connection_pool("mine")} == calling


def test_an_activation() -> None:
    found = pools(build_activation_dag(definition()))

    assert {pool for task, pool in found.items() if task.startswith("activate_")} == {OURS}


def test_the_upkeep_of_one_connection_is_in_its_pool() -> None:
    dag = build_extension_dag([definition(), definition(key="other")])

    assert pools(dag) == {"find_segments": OURS, "report": AIRFLOWS, "extend": OURS}


def test_the_upkeep_of_several_connections_is_in_airflows_own() -> None:
    dag = build_extension_dag([definition(), definition(key="other", connection="another")])

    assert set(pools(dag).values()) == {AIRFLOWS}
