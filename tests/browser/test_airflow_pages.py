"""What Airflow's own pages show: documentation, tags, lineage, links, and a definition that is broken."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Camera
from tests.e2e.runs import LOAD_DATE, audiences
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

LOAD, ACTIVATE, NAME, ASSET = (
    "onboard_shop_visitors",
    "activate_shop_visitors",
    "Shop visitors",
    "audience/shop_visitors",
)


@pytest.fixture(scope="module")
def run_id(stack: Stack) -> str:
    """A load, which has its activation follow."""
    stack.airflow.wait_for_dags(LOAD, ACTIVATE)
    for dag_id in (LOAD, ACTIVATE):
        stack.airflow.unpause(dag_id)
    started = stack.airflow.trigger(LOAD, {"load_date": LOAD_DATE})
    assert stack.airflow.wait_for_run(LOAD, started) == "success"
    return started


def test_the_list_is_narrowed_by_a_tag(page: Page, stack: Stack, camera: Camera) -> None:
    stack.airflow.wait_for_dags(LOAD)
    page.goto("/dags?tags=onboarding&tags=digital_audience&tags_match_mode=all")

    expect(page.get_by_role("link", name=f"Onboard: {NAME}")).to_be_visible()
    expect(page.get_by_role("link", name=f"Activate: {NAME}")).to_have_count(0)
    camera(page, "dag-list")


def test_the_documentation_says_what_is_done_and_what_to_do(page: Page, stack: Stack, camera: Camera) -> None:
    stack.airflow.wait_for_dags(LOAD)
    page.goto(f"/dags/{LOAD}")
    page.get_by_role("button", name="Dag Docs").click()

    told = page.get_by_role("dialog")
    expect(told.get_by_role("heading", name=NAME)).to_be_visible()
    for text in ("crm/shop_visitors/{load_date}.csv", "email from E-mail, phone from Mobile", "crm-team"):
        expect(told.get_by_text(text).first).to_be_visible()
    expect(told.get_by_text("UploadConflictError").first).to_be_attached()
    camera(page, "dag-docs")


def test_a_task_leads_to_the_portal_and_to_the_object(
    page: Page, stack: Stack, run_id: str, camera: Camera
) -> None:
    page.goto(f"/dags/{LOAD}/runs/{run_id}/tasks/upload/details")

    (audience_id,) = audiences(stack, NAME)
    portal = page.get_by_role("link", name="Digital Audience portal")
    expect(portal).to_have_attribute("href", f"https://portal.example/audiences/{audience_id}")
    found = page.get_by_role("link", name="S3 object").get_attribute("href") or ""
    assert f"audience={audience_id}/opt-in/" in found
    camera(page, "task-links")


def test_the_graph_of_the_asset_goes_from_the_load_to_the_activation(
    page: Page, stack: Stack, run_id: str, camera: Camera
) -> None:
    page.goto(f"/assets/{stack.airflow.asset_id(ASSET)}")

    graph = page.locator(".react-flow")
    for name in (f"Onboard: {NAME}", ASSET, f"Activate: {NAME}", "segment/shop_visitors/dv360"):
        expect(graph.get_by_text(name, exact=True)).to_be_visible()
    expect(graph.locator(".react-flow__edge")).not_to_have_count(0)
    camera(page, "asset-graph", in_docs=True)


def test_a_broken_definition_is_found_and_its_line_is_named(page: Page, stack: Stack, camera: Camera) -> None:
    stack.airflow.wait_for_dags(LOAD)
    page.goto("/")
    page.get_by_text("Dag Import Error").first.click()
    told = page.get_by_role("dialog")
    told.get_by_role("button", name="definition_errors.py").click()

    expect(told).to_contain_text("1 audience definition is invalid; its DAGs are missing")
    expect(told).to_contain_text("broken.yaml:8: source.columns.emial: unknown field. Did you mean 'email'?")
    camera(page, "broken-definition", in_docs=True)
