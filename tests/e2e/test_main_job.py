"""The main job by hand in a real Airflow: dry, with values of the form, its activation, its upkeep, and once more."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import (
    CAMPAIGN,
    LOAD_DATE,
    audiences,
    calls,
    campaigns,
    clear_and_wait_for_start,
    finish,
    uploads,
)
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def manual_run(stack: Stack) -> str:
    """A load by hand, with values in the form."""
    stack.airflow.wait_for_dags("activate_manual_list")
    stack.airflow.unpause("activate_manual_list")
    return finish(stack, "onboard_manual_list", {"load_date": LOAD_DATE, "mode": "replace"})


def test_a_dry_run_creates_and_sends_nothing(stack: Stack) -> None:
    run_id = finish(stack, "onboard_dry_list", {"load_date": LOAD_DATE, "dry_run": True})
    states = stack.airflow.task_states("onboard_dry_list", run_id)
    assert states["upload"] == states["record_load"] == states["publish_load"] == "skipped"
    report = stack.airflow.xcom("onboard_dry_list", run_id, "upload", "dry_run_report")
    assert (report["rows_read"], report["rows_sent"], report["duplicates"], report["rejected"]) == (
        23,
        21,
        1,
        1,
    )
    assert campaigns(stack, "Dry campaign") == audiences(stack, "Audience dry_list") == []
    # What is sent lies in the folder of its audience: there is none that is not somebody else's.
    folders = {item["key"].split("/")[1] for item in stack.sandbox.admin("objects")["objects"]}
    assert folders <= {f"audience={item['id']}" for item in stack.sandbox.admin("audiences")}


def test_a_manual_run_with_form_values(stack: Stack, manual_run: str) -> None:
    record = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")
    assert (record["rows_read"], record["rows_sent"], record["duplicates"], record["rejected"]) == (
        23,
        21,
        1,
        1,
    )
    assert record["s3_key"] == f"onboard/audience={record['audience_id']}/replace/20261120_000000.csv"
    assert record["audience_state"] == "READY"
    assert set(record["match_rates"]) == {"EMAIL", "PHONE"}
    members = stack.sandbox.admin(f"audiences/{record['audience_id']}/members")
    assert len(members["members"]) == 21
    remembered = stack.airflow.asset_state("audience/manual_list")
    assert remembered["audience"]["id"] == record["audience_id"]
    assert remembered["last_load"]["s3_key"] == record["s3_key"]


def test_tasks_link_to_the_portal_to_the_object_and_to_the_audience(stack: Stack, manual_run: str) -> None:
    record = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")
    path = f"dags/onboard_manual_list/dagRuns/{quote(manual_run, safe='')}/taskInstances/{{}}/links"
    portal = f"https://portal.example/audiences/{record['audience_id']}"
    upload = stack.airflow.api(path.format("upload"))["extra_links"]
    assert upload["Digital Audience portal"] == portal
    assert upload["S3 object"].endswith(f"/{record['bucket']}/{record['s3_key']}")
    page = f"{stack.airflow.base_url}/audience-onboarding/#/audiences/manual_list"
    assert upload["Audience"] == page
    waiting = stack.airflow.api(path.format("wait_for_confirmation"))["extra_links"]
    assert waiting == {"Digital Audience portal": portal, "Audience": page}
    # The task of a function, which has taken over what the upload has shown.
    recorded = stack.airflow.api(path.format("record_load"))["extra_links"]
    assert {name: link for name, link in recorded.items() if link} == {
        name: link for name, link in upload.items() if link
    }


def activated(stack: Stack) -> dict[str, Any]:
    """The first activation of the list that was loaded by hand, when it is through."""
    dag_id = "activate_manual_list"
    run = wait_for(
        lambda: next(iter(stack.airflow.runs(dag_id)), None), "The activation", timeout=180, interval=1
    )
    assert stack.airflow.wait_for_run(dag_id, run["dag_run_id"]) == "success"
    return run


def test_a_confirmed_load_starts_the_activation(stack: Stack, manual_run: str) -> None:
    run = activated(stack)
    assert run["run_type"] == "asset_triggered"
    segment = stack.airflow.xcom("activate_manual_list", run["dag_run_id"], "wait_until_active_dv360")
    assert segment["status"] == "Active"
    audience_id = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")["audience_id"]
    assert calls(stack, audience_id)["activateAudience"] == 1


def test_end_dates_are_extended_within_the_window_only(stack: Stack, manual_run: str) -> None:
    audience_id = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")["audience_id"]
    activated(stack)
    extend = "extend_segment_end_dates"
    run_id = finish(stack, extend)
    # It ends in ten days, not in five.
    assert stack.airflow.task_states(extend, run_id)["extend"] == "skipped"
    run_id = finish(stack, extend, {"audience": "manual_list", "within_days": 15, "extend_by_days": 60})
    (moved,) = [item for item in stack.airflow.tasks(extend, run_id) if item["task_id"] == "extend"]
    assert moved["rendered_map_index"] == "The segment"
    assert calls(stack, audience_id)["updateSegmentEndDate"] == 1
    again = finish(stack, extend, {"audience": "manual_list", "within_days": 15, "extend_by_days": 60})
    assert stack.airflow.task_states(extend, again)["extend"] == "skipped"
    assert calls(stack, audience_id)["updateSegmentEndDate"] == 1


def test_clear_and_rerun_does_nothing_twice(stack: Stack, manual_run: str) -> None:
    audience_id = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")["audience_id"]
    activated(stack)
    before, objects = calls(stack, audience_id), uploads(stack, audience_id)
    activations = len(stack.airflow.runs("activate_manual_list"))
    clear_and_wait_for_start(stack, "onboard_manual_list", manual_run)
    assert stack.airflow.wait_for_run("onboard_manual_list", manual_run) == "success"
    assert stack.airflow.xcom("onboard_manual_list", manual_run, "upload")["uploaded"] is False

    def activated_again() -> bool:
        runs = stack.airflow.runs("activate_manual_list")
        return len(runs) > activations and all(run["state"] == "success" for run in runs)

    wait_for(activated_again, "The second activation", timeout=180, interval=1)
    after = calls(stack, audience_id)
    changing = ("createCrmAudience", "activateAudience", "updateSegmentEndDate")
    assert {name: after[name] for name in changing} == {name: before[name] for name in changing}
    assert audiences(stack, "Audience manual_list") == [audience_id]
    assert len(campaigns(stack, CAMPAIGN)) == 1
    assert uploads(stack, audience_id) == objects


LOADING = {"wait_for_prerequisites", "upload", "wait_for_confirmation", "record_load", "publish_load"}


def executed(stack: Stack, dag_id: str, run_id: str) -> set[str]:
    """The tasks that a worker has had."""
    folder = stack.airflow.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    return {path.name.removeprefix("task_id=") for path in folder.iterdir() if any(path.rglob("*.log"))}


def test_of_all_loads_only_the_first_goes_through_the_creations(stack: Stack, manual_run: str) -> None:
    dag_id, creations = "onboard_manual_list", {"ensure_campaign", "ensure_audience"}
    # Another list may have brought the campaign.
    first = executed(stack, dag_id, manual_run) - {"ensure_campaign"}
    assert first == LOADING | {"lookup_audience", "ensure_audience"}

    again = finish(stack, dag_id, {"load_date": LOAD_DATE, "mode": "replace"})

    assert executed(stack, dag_id, again) == LOADING | {"lookup_audience"}
    states = stack.airflow.task_states(dag_id, again)
    assert states == {**dict.fromkeys(states, "success"), **dict.fromkeys(creations, "skipped")}
    assert set(states) == LOADING | creations | {"lookup_audience", "audience_ready"}
    audience_id = stack.airflow.xcom(dag_id, manual_run, "record_load")["audience_id"]
    assert stack.airflow.xcom(dag_id, again, "record_load")["audience_id"] == audience_id
