"""The form with which a person loads an audience by hand: what it says, what comes of it, what a mistake looks like."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Camera
from tests.browser.forms import choices, choose, field, label, section, send, tick, trigger_form
from tests.browser.world import LOAD_DATE
from tests.e2e.runs import audiences
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

DAG, NAME = "onboard_loyalty_members", "Loyalty members"


@pytest.fixture(scope="module", autouse=True)
def dag(stack: Stack) -> None:
    stack.airflow.wait_for_dags(DAG)


def test_the_form_says_what_each_field_is_for(page: Page, camera: Camera) -> None:
    form = trigger_form(page, DAG)

    for title in ("Load date", "Range start", "Mode", "Source", "Dry run"):
        expect(label(section(form, "Run Parameters"), title)).to_be_visible()
    for told in (
        "Date of the extract to load.",
        "merged in one load",
        "Create, send and write nothing.",
    ):
        expect(form.get_by_text(told)).to_be_visible()
    assert choices(form, "Mode") == [
        "opt-in: add the records",
        "opt-out: remove the matching records",
        "replace: replace the entire record set",
    ]
    camera(form, "trigger-form", in_docs=True)
    exceptions = section(form, "Exceptions")
    for title in ("Ignore guards", "Overwrite", "Activate after backfill"):
        expect(label(exceptions, title)).to_be_visible()
        expect(exceptions.get_by_role("checkbox", name=title)).not_to_be_checked()
    camera(form, "trigger-form-exceptions")


def test_a_dry_run_and_then_a_load_do_what_the_form_says(page: Page, stack: Stack, camera: Camera) -> None:
    form = trigger_form(page, DAG)
    field(form, "load_date").fill(LOAD_DATE.isoformat())
    tick(form, "Dry run")
    tried = send(form)

    assert stack.airflow.wait_for_run(DAG, tried) == "success"
    conf = stack.airflow.run(DAG, tried)["conf"]
    assert (conf["load_date"], conf["dry_run"], conf["mode"]) == (LOAD_DATE.isoformat(), True, "opt-in")
    assert audiences(stack, NAME) == []

    form = trigger_form(page, DAG)
    field(form, "load_date").fill(LOAD_DATE.isoformat())
    choose(form, "Mode", "replace: replace the entire record set")
    run_id = send(form)

    assert stack.airflow.wait_for_run(DAG, run_id) == "success"
    assert stack.airflow.run(DAG, run_id)["conf"]["mode"] == "replace"
    assert len(audiences(stack, NAME)) == 1
    page.goto(f"/dags/{DAG}/runs/{run_id}")
    expect(page.get_by_role("heading", name="9 Task Instances")).to_be_visible()
    expect(page.get_by_role("table").get_by_text("Success")).to_have_count(9)
    camera(page, "onboarding-run", in_docs=True)


def test_a_mistake_is_told_in_words(page: Page, stack: Stack, camera: Camera) -> None:
    form = trigger_form(page, DAG)
    field(form, "load_date").fill(LOAD_DATE.isoformat())
    field(form, "source").fill(str(stack.include / "crm" / "loyalty_members" / "no_such_{load_date}.csv"))
    tick(form, "Dry run")
    run_id = send(form)

    assert stack.airflow.wait_for_run(DAG, run_id) == "failed"
    page.goto(f"/dags/{DAG}/runs/{run_id}/tasks/upload")
    expect(page.get_by_text("SourceNotFoundError").first).to_be_visible()
    expect(page.get_by_text("crm/loyalty_members/no_such_2026-11-20.csv").first).to_be_visible()
    camera(page, "mistake-in-the-log")
