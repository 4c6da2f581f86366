"""The page in Airflow's navigation: an iframe whose sandbox forbids new windows and external navigation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.page.conftest import Open
from tests.browser.page.stub import BASE, HOST, PAGE, ApiStub

pytestmark = pytest.mark.browser

EMBEDDED = f"../plugin/audiences{PAGE}"


def embedded(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def test_the_url_of_airflow_follows(open_page: Open) -> None:
    page = open_page("../plugin/audiences")
    frame = embedded(page)
    frame.get_by_role("link", name="Loyalty members").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    expect(page).to_have_url(re.compile(f"{HOST}{PAGE}#/audiences/loyalty_members$"))
    # The state of Airflow's history entry is kept.
    assert page.evaluate("history.state") == {"host": True}
    page.reload()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    frame.get_by_role("link", name="Audiences", exact=True).click()
    expect(page).to_have_url(re.compile(f"{HOST}{PAGE}#/$"))
    page.go_back()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    expect(page).to_have_url(re.compile("#/audiences/loyalty_members$"))


def test_a_url_opens_its_view_and_the_navigation_the_table(open_page: Open) -> None:
    page = open_page("../plugin/audiences#/audiences/newsletter_nl")
    frame = embedded(page)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Newsletter subscribers NL")
    # Airflow's router changes the URL and keeps the iframe.
    page.evaluate("path => history.pushState({}, '', path)", HOST)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Audiences")


def test_links_to_airflow_open_in_the_parent_window(open_page: Open) -> None:
    page = open_page(f"{EMBEDDED}#/audiences/newsletter_nl")
    embedded(page).get_by_role("link", name="Load", exact=True).click()
    expect(page).to_have_url(re.compile(f"{BASE}/dags/onboard_newsletter_nl$"))
    expect(page.locator("iframe")).to_have_count(0)


def test_external_and_modified_clicks_open_a_tab(open_page: Open) -> None:
    page = open_page(f"{EMBEDDED}#/")
    link = embedded(page).get_by_role("link", name="Newsletter subscribers NL")
    clicks: list[dict[str, Any]] = [{"modifiers": ["Control"]}, {"button": "middle"}]
    for options in clicks:
        with page.expect_popup() as opened:
            link.click(**options)
        expect(opened.value.get_by_role("heading", level=1)).to_have_text("Newsletter subscribers NL")
        expect(embedded(page).get_by_role("heading", level=1)).to_have_text("Audiences")
    link.click()
    page.context.route("https://portal.example.com/**", lambda route: route.fulfill(body="The portal"))
    with page.expect_popup() as opened:
        embedded(page).get_by_role("link", name="Vendor's portal").click()
    expect(opened.value.get_by_text("The portal")).to_be_visible()
    assert opened.value.evaluate("window.opener") is None


def test_the_theme_is_that_of_airflow(open_page: Open) -> None:
    page = open_page(EMBEDDED, color_scheme="dark")
    root = embedded(page).locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.evaluate("document.documentElement.className = 'dark'")
    expect(root).to_have_attribute("data-theme", "dark")
    page.evaluate("document.documentElement.className = 'light'")
    expect(root).to_have_attribute("data-theme", "light")


def test_the_login_opens_in_the_parent_window(open_page: Open, api: ApiStub) -> None:
    api.fail = {"api/audiences": 401}
    page = open_page(f"{EMBEDDED}#/audiences/newsletter_nl")
    embedded(page).get_by_role("link", name="Log in again").click()
    expect(page).to_have_url(re.compile(r"/airflow/api/v2/auth/login\?next=.*newsletter_nl$"))
