"""An unclear creation, from the message of the failed task to the load that goes on, all of it in the browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from scripts.local_stack import Sandbox, wait_for
from tests.browser.browsing import Camera
from tests.browser.forms import choose, field, opened_form, send
from tests.browser.world import RESOLVE_CONNECTION, RESOLVE_STORAGE
from tests.e2e.runs import LOAD_DATE
from tests.e2e.stack import Stack, own_vendor

pytestmark = pytest.mark.browser

DAG, NAME, SETTLE = "onboard_newsletter", "Newsletter readers", "resolve_ambiguous_create"


@pytest.fixture(scope="module")
def vendor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A vendor of its own, where one answer gets lost."""
    connections = {"DIGITAL_AUDIENCE_DEFAULT": RESOLVE_CONNECTION, "AUDIENCE_S3": RESOLVE_STORAGE}
    with own_vendor(stack, tmp_path_factory.mktemp("vendor"), connections, bucket="resolve") as sandbox:
        sandbox.admin(
            "faults",
            method="POST",
            json={
                "vendor": "digital_audience",
                "method": "POST",
                "path": "/campaign/createcampaign",
                "when": "after",
                "action": "drop",
            },
        )
        yield sandbox


def test_from_the_message_to_the_load_that_goes_on(
    page: Page, stack: Stack, vendor: Sandbox, camera: Camera
) -> None:
    stack.airflow.wait_for_dags(DAG, SETTLE)
    stack.airflow.unpause(DAG)
    run_id = stack.airflow.trigger(DAG, {"load_date": LOAD_DATE})
    assert stack.airflow.wait_for_run(DAG, run_id) == "failed"
    (campaign,) = [item for item in vendor.admin("campaigns") if item["name"] == NAME]

    # The message names the form, and what to choose there.
    page.goto(f"/dags/{DAG}/runs/{run_id}/tasks/ensure_campaign")
    expect(page.get_by_text(f"It is not clear whether campaign '{NAME}'").first).to_be_visible()
    camera(page, "ambiguous-create", in_docs=True)
    way = page.locator(f'a[href*="/dags/{SETTLE}"]').first.get_attribute("href")
    assert way == f"{stack.airflow.base_url}/dags/{SETTLE}"
    page.goto(way)
    form = opened_form(page)
    expect(form.get_by_role("button", name="Trigger", exact=True)).to_be_disabled()
    choose(form, "Audience", f"{NAME} (newsletter, digital_audience)")
    choose(form, "Object", "campaign")
    choose(form, "Resolution", "Found at the vendor, with the id below")
    field(form, "id").fill(str(campaign["id"]))
    camera(form, "resolve-form", in_docs=True)
    settled = send(form)
    assert stack.airflow.wait_for_run(SETTLE, settled) == "success"
    page.goto(f"/dags/{SETTLE}/runs/{settled}/tasks/resolve")
    expect(page.get_by_text("Clear the failed task").first).to_be_visible()
    camera(page, "settled")

    page.goto(f"/dags/{DAG}/runs/{run_id}")
    page.get_by_role("button", name="Press shift+c to clear").click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    wait_for(
        lambda: stack.airflow.run(DAG, run_id)["state"] != "failed",
        "The start of the cleared run",
        timeout=60,
    )
    assert stack.airflow.wait_for_run(DAG, run_id) == "success"
    assert [item for item in vendor.admin("campaigns") if item["name"] == NAME] == [campaign]
