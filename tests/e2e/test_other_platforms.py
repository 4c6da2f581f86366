"""Fanfare and CommBox in a real Airflow: the same DAG, run twice, cleared, and with an answer that got lost."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from scripts.local_stack import wait_for
from tests.e2e.runs import LOAD_DATE, clear_and_wait_for_start, finish
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def at_vendor(stack: Stack, platform: str, name: str) -> list[dict[str, Any]]:
    """The audiences of a name, as the vendor lists them to anybody with the key."""
    info = stack.sandbox.info
    url, key, query = {
        "fanfare": (info["fanfare_url"], info["fanfare_secret_key"], {"first": "100"}),
        "commbox": (info["commbox_url"], info["commbox_api_key"], {}),
    }[platform]
    headers = {"Authorization": f"Bearer {key}"}
    answer = requests.get(f"{url}/audiences", params=query, headers=headers, timeout=30)
    answer.raise_for_status()
    return [item for item in answer.json()["data"] if item["name"] == name]


def sent_requests(stack: Stack, method: str, path: str) -> list[dict[str, Any]]:
    """The calls of a method whose path ends so."""
    entries = stack.sandbox.admin("journal?kind=api")["entries"]
    return [item for item in entries if item["method"] == method and item["path"].endswith(path)]


UNCLEAR = {
    "unclear_fans": ("fanfare", "/fanfare/api/audiences"),
    "unclear_alerts": ("commbox", "/commbox/audiences"),
}
"""Audiences whose creation gets no answer, with platform and path."""


@pytest.fixture(scope="module")
def first_runs(stack: Stack) -> dict[str, str]:
    """The first load of each audience, all at the same time: a retry alone takes a minute."""
    keys = ["unclear_fans", "unclear_alerts", "fan_list", "alert_list"]
    stack.airflow.wait_for_dags(*(f"onboard_{key}" for key in keys))
    runs = {}
    for key in keys:
        stack.airflow.unpause(f"onboard_{key}")
        if key in UNCLEAR:
            platform, path = UNCLEAR[key]
            # The vendor creates it, and the connection breaks before it says so.
            fault = {"vendor": platform, "method": "POST", "path": path, "when": "after", "action": "drop"}
            stack.sandbox.admin("faults", method="POST", json=fault)
        runs[key] = stack.airflow.trigger(f"onboard_{key}", {"load_date": LOAD_DATE})
        if key in UNCLEAR:
            # Only then the next one, which has to get its answer.
            wait_for(
                lambda vendor=platform: all(
                    item["vendor"] != vendor for item in stack.sandbox.admin("faults")
                ),
                "The creation whose answer is lost",
                timeout=300,
            )
    for key, run_id in runs.items():
        state = stack.airflow.wait_for_run(f"onboard_{key}", run_id)
        assert state == "success", stack.airflow.task_states(f"onboard_{key}", run_id)
    return runs


def test_a_list_goes_to_fanfare_in_three_imports_and_only_once(
    stack: Stack, first_runs: dict[str, str]
) -> None:
    dag_id, run_id = "onboard_fan_list", first_runs["fan_list"]
    record = stack.airflow.xcom(dag_id, run_id, "record_load")
    assert (record["rows_read"], record["rows_sent"], record["duplicates"], record["rejected"]) == (
        23,
        21,
        1,
        1,
    )
    # Ten rows each, as the definition says.
    assert (record["imports"], record["processed_consumers"], record["error_count"]) == (3, 21, 0)
    assert record["members"] == 21
    imports = f"/audiences/{record['audience_id']}/import"
    assert len(sent_requests(stack, "POST", imports)) == 3

    finish(stack, dag_id, {"load_date": LOAD_DATE})
    clear_and_wait_for_start(stack, dag_id, run_id)
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"

    assert len(at_vendor(stack, "fanfare", "Audience fan_list")) == 1
    assert len(sent_requests(stack, "POST", imports)) == 3
    again = stack.airflow.xcom(dag_id, run_id, "record_load")
    assert again["content_id"] == record["content_id"]
    assert again["processed_consumers"] == 21


def test_a_list_replaces_the_customers_of_a_commbox_audience_once(
    stack: Stack, first_runs: dict[str, str]
) -> None:
    dag_id, run_id = "onboard_alert_list", first_runs["alert_list"]
    record = stack.airflow.xcom(dag_id, run_id, "record_load")
    # One row has no phone number that can be sent, one is there twice.
    assert (record["rows_read"], record["rows_sent"], record["user_count"]) == (23, 21, 21)
    assert record["mode"] == "replace"

    finish(stack, dag_id, {"load_date": LOAD_DATE})
    clear_and_wait_for_start(stack, dag_id, run_id)
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"

    (audience,) = at_vendor(stack, "commbox", "Audience alert_list")
    assert audience["id"] == record["audience_id"]
    assert audience["user_count"] == 21
    assert sent_requests(stack, "PUT", f"/{audience['id']}") == []


@pytest.mark.parametrize("key", UNCLEAR)
def test_a_creation_whose_answer_got_lost_is_settled_by_the_list(
    stack: Stack, first_runs: dict[str, str], key: str
) -> None:
    platform, path = UNCLEAR[key]

    (audience,) = at_vendor(stack, platform, f"Audience {key}")

    record = stack.airflow.xcom(f"onboard_{key}", first_runs[key], "record_load")
    assert record["audience_id"] == audience["id"]
    lost = [item for item in sent_requests(stack, "POST", path) if item["fault"]]
    assert len(lost) == 1
