"""The questions of an activation: what a person is shown, approves and rejects."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scripts.local_stack import wait_for
from tests.browser.browsing import Camera
from tests.e2e.runs import LOAD_DATE, audiences
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

LOAD, DAG, NAME = "onboard_spring_campaign", "activate_spring_campaign", "Spring campaign"


def asked(stack: Stack, run_id: str) -> bool:
    """Whether both questions can be answered.

    No person is as quick as a test: an answer that comes before the scheduler (3.3.2) has heard that the asking process
    is over is lost, and the question is asked again.
    """
    log = (stack.airflow.home / "standalone.log").read_text(errors="replace")
    return all(
        any(
            "TaskInstance Finished" in line
            and f"dag_id={DAG}, task_id={task_id}, run_id={run_id}" in line
            and "state=awaiting_input" in line
            for line in log.splitlines()
        )
        for task_id in ("approve_dv360", "approve_xandr")
    )


def test_one_target_is_approved_and_one_rejected(page: Page, stack: Stack, camera: Camera) -> None:
    stack.airflow.wait_for_dags(LOAD, DAG)
    for dag_id in (LOAD, DAG):
        stack.airflow.unpause(dag_id)
    load = stack.airflow.trigger(LOAD, {"load_date": LOAD_DATE})
    assert stack.airflow.wait_for_run(LOAD, load) == "success"
    run = wait_for(lambda: next(iter(stack.airflow.runs(DAG)), None), "The activation", timeout=120)
    wait_for(lambda: asked(stack, run["dag_run_id"]), "The questions", timeout=120)

    page.goto("/required_actions")
    expect(page.get_by_role("link", name=f"Activate {NAME} on Xandr?")).to_be_visible()
    camera(page, "required-actions")
    page.get_by_role("link", name=f"Activate {NAME} on DV360?").click()
    (audience_id,) = audiences(stack, NAME)
    for name, value in (
        ("Audience", f"{NAME} ({audience_id})"),
        ("Last load", LOAD_DATE),
        ("Members", "21"),
        ("Account", "Example NL on DV360 (501)"),
        ("Segment", f"{NAME} on DV360"),
    ):
        expect(page.get_by_role("row", name=f"{name} {value}", exact=True)).to_be_visible()
    camera(page, "approval", in_docs=True)
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("Response received")).to_be_visible()

    page.goto("/required_actions")
    page.get_by_role("link", name=f"Activate {NAME} on Xandr?").click()
    page.get_by_role("button", name="Reject", exact=True).click()
    assert stack.airflow.wait_for_run(DAG, run["dag_run_id"]) == "success"

    states = stack.airflow.task_states(DAG, run["dag_run_id"])
    assert (states["activate_dv360"], states["activate_xandr"]) == ("success", "skipped")
    segments = [item for item in stack.sandbox.admin("segments") if item["audience_id"] == audience_id]
    assert [item["name"] for item in segments] == [f"{NAME} on DV360"]
