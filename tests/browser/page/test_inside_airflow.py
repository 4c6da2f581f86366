"""The page in Airflow's navigation: an iframe whose sandbox allows neither new windows nor leaving for elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.page.conftest import Open
from tests.browser.page.stub import BASE, HOST, PAGE, Answers

pytestmark = pytest.mark.browser

AROUND = f"../plugin/audiences{PAGE}"


def inside(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def test_the_address_around_follows(open_page: Open) -> None:
    page = open_page("../plugin/audiences")
    frame = inside(page)
    frame.get_by_role("link", name="Loyalty members").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    expect(page).to_have_url(re.compile(f"{HOST}{PAGE}#/audiences/loyalty_members$"))
    # What Airflow keeps of its own history entry is kept.
    assert page.evaluate("history.state") == {"host": True}
    page.reload()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    frame.get_by_role("link", name="Audiences", exact=True).click()
    expect(page).to_have_url(re.compile(f"{HOST}{PAGE}#/$"))
    page.go_back()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    expect(page).to_have_url(re.compile("#/audiences/loyalty_members$"))


def test_an_address_opens_its_place_and_that_of_the_page_the_table(open_page: Open) -> None:
    page = open_page("../plugin/audiences#/audiences/newsletter_nl")
    frame = inside(page)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Newsletter subscribers NL")
    # As Airflow's navigation does: its router changes the address and keeps the iframe.
    page.evaluate("path => history.pushState({}, '', path)", HOST)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Audiences")


def test_links_to_airflow_open_around(open_page: Open) -> None:
    page = open_page(f"{AROUND}#/audiences/newsletter_nl")
    inside(page).get_by_role("link", name="Load", exact=True).click()
    expect(page).to_have_url(re.compile(f"{BASE}/dags/onboard_newsletter_nl$"))
    expect(page.locator("iframe")).to_have_count(0)


def test_links_open_a_tab_when_asked_to_and_elsewhere(open_page: Open) -> None:
    page = open_page(f"{AROUND}#/")
    link = inside(page).get_by_role("link", name="Newsletter subscribers NL")
    ways: list[dict[str, Any]] = [{"modifiers": ["Control"]}, {"button": "middle"}]
    for how in ways:
        with page.expect_popup() as opened:
            link.click(**how)
        expect(opened.value.get_by_role("heading", level=1)).to_have_text("Newsletter subscribers NL")
        expect(inside(page).get_by_role("heading", level=1)).to_have_text("Audiences")
    link.click()
    page.context.route("https://portal.example.com/**", lambda route: route.fulfill(body="The portal"))
    with page.expect_popup() as opened:
        inside(page).get_by_role("link", name="Vendor's portal").click()
    expect(opened.value.get_by_text("The portal")).to_be_visible()
    assert opened.value.evaluate("window.opener") is None


def test_the_theme_is_that_around(open_page: Open) -> None:
    page = open_page(AROUND, color_scheme="dark")
    root = inside(page).locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    page.evaluate("document.documentElement.className = 'dark'")
    expect(root).to_have_attribute("data-theme", "dark")
    page.evaluate("document.documentElement.className = 'light'")
    expect(root).to_have_attribute("data-theme", "light")


def test_logging_in_again_happens_around(open_page: Open, answers: Answers) -> None:
    answers.fail = {"api/audiences": 401}
    page = open_page(f"{AROUND}#/audiences/newsletter_nl")
    inside(page).get_by_role("link", name="Log in again").click()
    expect(page).to_have_url(re.compile(r"/airflow/api/v2/auth/login\?next=.*newsletter_nl$"))
