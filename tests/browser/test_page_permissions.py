"""The Audiences page of an Airflow with users and permissions of their own: nobody learns of what he may not see."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import Camera, Pages
from tests.browser.people import SEEN, UNSEEN, Site

pytestmark = pytest.mark.browser

PAGE = "/audience-onboarding/"
DATA = f"{PAGE}api/audiences"


@pytest.mark.parametrize("path", [DATA, f"{DATA}/{SEEN}", f"{DATA}/{SEEN}/loads"])
def test_who_has_not_logged_in_gets_no_data(site: Site, path: str) -> None:
    answer = site.get(None, path)
    assert answer.status_code == 401
    assert SEEN not in answer.text


def test_who_has_not_logged_in_is_led_to_the_login(site: Site, pages: Pages) -> None:
    page = pages.open(site.url)
    page.goto(PAGE)
    page.wait_for_url("**/auth/login/**")


def test_a_reader_sees_the_audience_that_is_his(site: Site, pages: Pages, camera: Camera) -> None:
    listed = site.get("reader", DATA).json()
    assert [row["key"] for row in listed["audiences"]] == [SEEN]
    assert listed["total"] == sum(listed["by_health"].values()) == 1
    shown = site.get("reader", f"{DATA}/{SEEN}")
    assert shown.status_code == 200
    # He may not start a run, so that no form is offered.
    assert shown.json()["forms"] == []

    page = site.signed_in(pages, "reader")
    page.goto(PAGE)
    expect(page.get_by_text(f"Audience {SEEN}").first).to_be_visible()
    expect(page.get_by_text(UNSEEN)).to_have_count(0)
    camera(page, "audiences-page-of-a-reader")


@pytest.mark.parametrize("path", [f"{DATA}/{UNSEEN}", f"{DATA}/{UNSEEN}/loads"])
def test_a_reader_is_refused_what_is_not_his(site: Site, pages: Pages, path: str) -> None:
    answer = site.get("reader", path)
    assert answer.status_code == 403
    assert "campaign" not in answer.text


def test_a_reader_is_told_that_he_may_not_see_it(site: Site, pages: Pages) -> None:
    page = site.signed_in(pages, "reader")
    page.goto(f"{PAGE}#/audiences/{UNSEEN}")
    expect(page.get_by_role("alert")).to_contain_text("not allowed")
    expect(page.get_by_text(f"Audience {UNSEEN}")).to_have_count(0)


def test_who_may_see_no_dag_is_refused(site: Site, pages: Pages) -> None:
    for path in (DATA, f"{DATA}/{SEEN}"):
        assert site.get("stranger", path).status_code == 403

    page = site.signed_in(pages, "stranger")
    page.goto(PAGE)
    expect(page.get_by_role("alert")).to_contain_text("not allowed")
    expect(page.get_by_text(SEEN)).to_have_count(0)


def test_the_admin_sees_both(site: Site, pages: Pages) -> None:
    page = site.signed_in(pages, "admin")
    page.goto(PAGE)
    for key in (SEEN, UNSEEN):
        expect(page.get_by_text(f"Audience {key}").first).to_be_visible()
