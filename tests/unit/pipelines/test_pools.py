"""Tasks in the pool of their connection: those that call its vendor from a worker."""

from __future__ import annotations

from airflow.sdk import DAG

from audience_onboarding.base.pools import CREATE_POOL, connection_pool
from audience_onboarding.pipelines import build_activation_dag, build_extension_dag, build_onboarding_dag
from tests.unit.pipelines.conftest import BASE, definition, minimal, onboarding

OURS = connection_pool("digital_audience_default")
AIRFLOWS = "default_pool"


def pools(dag: DAG) -> dict[str, str]:
    return {task.task_id: task.pool for task in dag.tasks}


def test_a_load_on_digital_audience() -> None:
    assert pools(onboarding()) == {
        # Every load goes through the first of these, and only the first load of all through the next.
        "lookup_audience": OURS,
        "ensure_campaign": CREATE_POOL,
        "ensure_audience": OURS,
        "upload": OURS,
        # These wait in the triggerer, and their workers call no vendor.
        "wait_for_prerequisites": AIRFLOWS,
        # The scheduler itself finishes it.
        "audience_ready": AIRFLOWS,
        "wait_for_confirmation": AIRFLOWS,
        "record_load": AIRFLOWS,
        "publish_load": AIRFLOWS,
    }


def test_a_load_on_another_platform() -> None:
    for platform, calling in (
        ("fanfare", {"ensure_audience", "upload"}),
        ("commbox", {"find_audience", "upload"}),
    ):
        found = pools(build_onboarding_dag(minimal(platform, conn_id="mine"), base=BASE))

        assert {task for task, pool in found.items() if pool == connection_pool("mine")} == calling


def test_an_activation() -> None:
    found = pools(build_activation_dag(definition()))

    assert {pool for task, pool in found.items() if task.startswith("activate_")} == {OURS}


def test_the_upkeep_is_in_the_pool_of_its_connection_if_it_has_only_one() -> None:
    one = build_extension_dag([definition(), definition(key="other")])
    several = build_extension_dag([definition(), definition(key="other", conn_id="another")])

    assert pools(one) == {"find_segments": OURS, "report": AIRFLOWS, "extend": OURS}
    assert set(pools(several).values()) == {AIRFLOWS}
