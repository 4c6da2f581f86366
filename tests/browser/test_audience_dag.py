"""The DAG of an audience in Airflow's own pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Camera
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

DAG = "onboard_loyalty_members"


def test_the_list_shows_the_audience_and_its_tags(page: Page, stack: Stack, camera: Camera) -> None:
    stack.airflow.wait_for_dags(DAG)

    page.goto("/dags?search=loyalty")

    expect(page.get_by_role("link", name="Loyalty members").first).to_be_visible()
    camera(page, "dag-list")
