"""Airflow's dialog of a backfill over an audience's days."""

from __future__ import annotations

from datetime import date

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Camera
from tests.browser.forms import pick_moment, trigger_form
from tests.browser.world import HISTORY
from tests.e2e.runs import audiences, ended_backfills, uploads
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

DAG, NAME = "onboard_web_orders", "Web orders"


def test_a_range_of_days_is_counted_run_and_found_by_its_keys(
    page: Page, stack: Stack, camera: Camera
) -> None:
    stack.airflow.wait_for_dags(DAG)
    form = trigger_form(page, DAG)
    form.get_by_text("Backfill", exact=True).click()
    pick_moment(form, "From", HISTORY[0], "00:00")
    pick_moment(form, "To", HISTORY[-1], "23:59")

    expect(form.get_by_text(f"{len(HISTORY)} runs will be triggered")).to_be_visible()
    expect(form.get_by_text("Leave it empty in a backfill.").first).to_be_visible()
    camera(page, "backfill-dialog", in_docs=True)
    form.get_by_role("button", name="Run Backfill").click()
    expect(form).to_be_hidden()

    runs = ended_backfills(stack, DAG, len(HISTORY), timeout=200)
    assert {run["state"] for run in runs} == {"success"}
    assert sorted(date.fromisoformat(run["partition_key"]) for run in runs) == HISTORY
    (audience_id,) = audiences(stack, NAME)
    assert len(uploads(stack, audience_id)) == len(HISTORY)
    page.goto(f"/dags/{DAG}/runs")
    for day in HISTORY:
        expect(page.get_by_role("link", name=f"backfill__{day.isoformat()}")).to_be_visible()
    camera(page, "backfill-runs")
