"""The forms with which people are erased and audiences retired."""

from __future__ import annotations

import hashlib
import re

import pytest
from playwright.sync_api import Page, expect

from scripts.local_stack import wait_for
from tests.browser.browsing import Camera
from tests.browser.forms import choose, field, label, section, send, trigger_form
from tests.e2e.runs import LOAD_DATE, audiences
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

ERASE, RETIRE = "erase_person", "retire_audience"
KEPT, KEPT_NAME = "club_members", "Club members"
OLD, OLD_NAME = "old_promotion", "Promotion of 2024"
EMAIL = hashlib.sha256(b"person10000003@club_members.example").hexdigest()
"""Of the fourth person of the list."""


@pytest.fixture(scope="module", autouse=True)
def loaded(stack: Stack) -> None:
    """Both audiences are loaded."""
    dag_ids = [f"onboard_{key}" for key in (KEPT, OLD)]
    stack.airflow.wait_for_dags(ERASE, RETIRE, *dag_ids)
    for dag_id in dag_ids:
        stack.airflow.unpause(dag_id)
    runs = {dag_id: stack.airflow.trigger(dag_id, {"load_date": LOAD_DATE}) for dag_id in dag_ids}
    for dag_id, run_id in runs.items():
        assert stack.airflow.wait_for_run(dag_id, run_id) == "success"


def test_what_is_typed_to_erase_a_person_is_not_seen_again(page: Page, stack: Stack, camera: Camera) -> None:
    form = trigger_form(page, ERASE)
    for title in ("e-mail addresses", "phone numbers", "personal ids"):
        expect(label(form, f"Hashes of {title}")).to_be_visible()
    expect(form.get_by_text("Never the value itself")).to_have_count(3)
    expect(form.get_by_text("Erase the person in the CRM first")).to_be_visible()
    field(form, "email_sha256").fill(EMAIL)
    camera(form, "erase-form", in_docs=True)
    # Airflow gives a list of several choices no name.
    section(form, "Scope").get_by_role("combobox").click()
    page.get_by_role("option", name=re.compile(KEPT)).click()
    run_id = send(form)
    assert stack.airflow.wait_for_run(ERASE, run_id) == "success"

    for path, shown in (
        (f"/dags/{ERASE}/runs/{run_id}/details", "removed"),
        (f"/dags/{ERASE}/runs/{run_id}/events", "running"),
        (f"/dags/{ERASE}/events", "trigger_dag_run"),
        (f"/dags/{ERASE}/runs/{run_id}/tasks/report", "erased"),
    ):
        page.goto(path)
        expect(page.get_by_text(shown).first).to_be_visible()
        assert EMAIL not in page.content()
    camera(page, "erased")
    page.goto(f"/dags/{ERASE}/runs/{run_id}/details")
    expect(page.get_by_text("removed").first).to_be_visible()
    camera(page, "erase-conf")


def test_an_address_instead_of_its_hash_is_refused_in_words(page: Page, stack: Stack, camera: Camera) -> None:
    before = len(stack.airflow.runs(ERASE))
    form = trigger_form(page, ERASE)
    field(form, "email_sha256").fill("raw.person@refused.example")
    button = form.get_by_role("button", name="Trigger", exact=True)
    if button.is_enabled():
        button.click()

    told = page.get_by_text("does not match").or_(page.get_by_text("Invalid input")).first
    expect(told).to_be_visible()
    told.scroll_into_view_if_needed()
    camera(page, "erase-refused")
    assert len(stack.airflow.runs(ERASE)) == before


def test_an_audience_is_retired_when_it_is_approved(page: Page, stack: Stack, camera: Camera) -> None:
    (audience_id,) = audiences(stack, OLD_NAME)
    form = trigger_form(page, RETIRE)
    expect(form.get_by_text("The run shows the objects to delete, and asks for approval")).to_be_visible()
    choose(form, "Audience", f"{OLD_NAME} ({OLD}, digital_audience)")
    camera(form, "retire-form", in_docs=True)
    run_id = send(form)
    wait_for(
        lambda: f"dag_id={RETIRE}, task_id=approve, run_id={run_id}, " in awaiting(stack),
        "The question",
        timeout=120,
    )

    page.goto(f"/dags/{RETIRE}/runs/{run_id}/tasks/approve/required_actions")
    expect(page.get_by_text(f"{OLD_NAME}").first).to_be_visible()
    expect(page.get_by_text(str(audience_id)).first).to_be_visible()
    camera(page, "retire-question")
    page.get_by_role("button", name="Approve", exact=True).click()
    assert stack.airflow.wait_for_run(RETIRE, run_id) == "success"
    assert audiences(stack, OLD_NAME) == []
    assert len(audiences(stack, KEPT_NAME)) == 1


def awaiting(stack: Stack) -> str:
    """What the scheduler says of tasks that wait for a person, once their process is over; see test_approval.py."""
    log = (stack.airflow.home / "standalone.log").read_text(errors="replace")
    return "\n".join(
        line
        for line in log.splitlines()
        if "TaskInstance Finished" in line and "state=awaiting_input" in line
    )
