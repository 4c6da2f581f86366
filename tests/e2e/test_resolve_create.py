"""An unclear creation in a real Airflow: it stops, stays stopped, is settled by hand in one action, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from scripts.local_stack import Sandbox, wait_for
from tests.e2e.stack import Stack, own_vendor

# Minutes, on a busy machine: each Airflow task takes seconds.
pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(600)]

CONNECTION, STORAGE = "digital_audience_resolve", "resolve_s3"
CONNECTIONS = {"DIGITAL_AUDIENCE_DEFAULT": CONNECTION, "AUDIENCE_S3": STORAGE}
CREATE = "/campaign/createcampaign"
DAG = "resolve_ambiguous_create"
KEYS = ("lost_answer", "lost_request")


@pytest.fixture(scope="module")
def vendor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A vendor of its own, so that what is counted here is only what happens here."""
    with own_vendor(stack, tmp_path_factory.mktemp("vendor"), CONNECTIONS, bucket="resolve") as sandbox:
        for key in KEYS:
            stack.define(
                key,
                conn_id=CONNECTION,
                campaign={"name": f"Campaign of {key}"},
                upload={"aws_conn_id": STORAGE},
            )
            stack.extract(key, date(2026, 11, 20))
        # Airflow reads a file again every two minutes here.
        stack.airflow.wait_for_dags(DAG, *(f"onboard_{key}" for key in KEYS), timeout=240)
        for dag_id in (DAG, *(f"onboard_{key}" for key in KEYS)):
            stack.airflow.unpause(dag_id)
        # The form has its own file, and knows new definitions when that has been read again.
        wait_for(lambda: set(KEYS) <= set(form(stack)["audience"]["schema"]["enum"]), "The form", timeout=240)
        yield sandbox


def form(stack: Stack) -> dict[str, Any]:
    fields: dict[str, Any] = stack.airflow.api(f"dags/{DAG}/details")["params"]
    return fields


def creations(vendor: Sandbox, name: str) -> list[dict[str, Any]]:
    """The campaigns of a name that the vendor has."""
    return [item for item in vendor.admin("campaigns") if item["name"] == name]


def requests_to_create(vendor: Sandbox) -> int:
    entries = vendor.admin("journal?kind=api")["entries"]
    return sum(item["path"].endswith(CREATE) for item in entries)


def log_of(stack: Stack, dag_id: str, run_id: str, task_id: str) -> str:
    """The log of the last try of a task."""
    (task,) = [item for item in stack.airflow.tasks(dag_id, run_id) if item["task_id"] == task_id]
    return stack.airflow.log(dag_id, run_id, task_id, try_number=task["try_number"])


def stopped_with(stack: Stack, dag_id: str, run_id: str) -> str:
    """The log of the task that has stopped as unclear."""
    assert stack.airflow.wait_for_run(dag_id, run_id) == "failed"
    states = stack.airflow.task_states(dag_id, run_id)
    assert states["ensure_campaign"] == "failed"
    log = log_of(stack, dag_id, run_id, "ensure_campaign")
    assert "AmbiguousCreateError: It is not clear whether campaign" in log
    return log


def clear(stack: Stack, dag_id: str, run_id: str, *, only_failed: bool = False) -> None:
    stack.airflow.clear(dag_id, run_id, only_failed=only_failed)
    wait_for(
        lambda: stack.airflow.run(dag_id, run_id)["state"] in {"queued", "running"},
        "The start of the cleared run",
        timeout=30,
        interval=0.05,
    )


def settled(stack: Stack, conf: dict[str, Any]) -> dict[str, Any]:
    """Settle it, as the form in the UI does."""
    run_id = stack.airflow.trigger(DAG, conf)
    assert stack.airflow.wait_for_run(DAG, run_id) == "success", log_of(stack, DAG, run_id, "resolve")
    record: dict[str, Any] = stack.airflow.xcom(DAG, run_id, "resolve")
    return record


def not_settled(stack: Stack, conf: dict[str, Any]) -> str:
    """The log of a try to settle it that failed at the first try."""
    run_id = stack.airflow.trigger(DAG, conf)
    assert stack.airflow.wait_for_run(DAG, run_id) == "failed"
    (task,) = stack.airflow.tasks(DAG, run_id)
    assert task["try_number"] == 1
    return log_of(stack, DAG, run_id, "resolve")


def stop(stack: Stack, vendor: Sandbox, key: str, *, when: str) -> tuple[str, str]:
    """Start a load whose campaign's creation gets no answer; returns its run, and what its log says."""
    fault = {
        "vendor": "digital_audience",
        "method": "POST",
        "path": CREATE,
        "when": when,
        "action": "drop",
    }
    vendor.admin("faults", method="POST", json=fault)
    run_id = stack.airflow.trigger(f"onboard_{key}", {"load_date": "2026-11-20"})
    return run_id, stopped_with(stack, f"onboard_{key}", run_id)


def test_what_was_created_is_found_and_used(stack: Stack, vendor: Sandbox) -> None:
    dag_id, name = "onboard_lost_answer", "Campaign of lost_answer"
    run_id, log = stop(stack, vendor, "lost_answer", when="after")
    (campaign,) = creations(vendor, name)
    assert f"{stack.airflow.base_url}/dags/{DAG}" in log
    sent = requests_to_create(vendor)

    # It stays stopped, whoever tries.
    clear(stack, dag_id, run_id)
    stopped_with(stack, dag_id, run_id)
    stopped_with(stack, dag_id, stack.airflow.trigger(dag_id, {"load_date": "2026-11-20"}))
    assert requests_to_create(vendor) == sent

    conf = {"audience": "lost_answer", "what": "campaign", "outcome": "found"}
    assert stack.airflow.submit(DAG, {**conf, "audience": "nobody"}) in {400, 422}
    assert stack.airflow.submit(DAG, {**conf, "outcome": "perhaps"}) in {400, 422}
    assert stack.airflow.submit(DAG, {**conf, "id": "69/249"}) in {400, 422}
    assert "The id of the campaign is missing" in not_settled(stack, conf)
    record = settled(stack, {**conf, "id": str(campaign["id"])})
    assert (record["after"]["id"], record["before"]["intent"]["name"]) == (campaign["id"], name)
    assert record["by"] != "unknown"
    # It is settled: there is nothing left to settle.
    assert "There is no ambiguous create" in not_settled(stack, {**conf, "id": str(campaign["id"])})

    clear(stack, dag_id, run_id)
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success", stack.airflow.task_states(dag_id, run_id)
    assert creations(vendor, name) == [campaign]
    assert requests_to_create(vendor) == sent
    (audience,) = [item for item in vendor.admin("audiences") if item["name"] == "Audience lost_answer"]
    assert audience["campaign_id"] == campaign["id"]


def test_what_was_not_created_is_created_by_the_next_try(stack: Stack, vendor: Sandbox) -> None:
    dag_id, name = "onboard_lost_request", "Campaign of lost_request"
    run_id, _ = stop(stack, vendor, "lost_request", when="before")
    assert creations(vendor, name) == []

    record = settled(stack, {"audience": "lost_request", "what": "campaign", "outcome": "not_created"})
    assert record["after"] is None
    clear(stack, dag_id, run_id, only_failed=True)

    assert stack.airflow.wait_for_run(dag_id, run_id) == "success", stack.airflow.task_states(dag_id, run_id)
    # The task that looks was not cleared: what it did not know then is not skipped now.
    tries = {item["task_id"]: item["try_number"] for item in stack.airflow.tasks(dag_id, run_id)}
    assert (tries["lookup_audience"], tries["ensure_campaign"]) == (1, 2)
    (campaign,) = creations(vendor, name)
    state = stack.airflow.asset_state(f"campaign/{CONNECTION}/{name}")
    assert state["campaign"]["id"] == campaign["id"]


def test_the_pool_of_a_new_connection_was_made_when_a_run_needed_it(stack: Stack, vendor: Sandbox) -> None:
    pool = stack.airflow.api(f"pools/audience_onboarding_conn_{CONNECTION}")

    assert (pool["slots"], pool["include_deferred"]) == (8, False)
