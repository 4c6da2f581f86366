"""The Audiences page of an Airflow with users and permissions: each user gets permitted audiences only."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import Camera, Pages
from tests.browser.users import SEEN, UNSEEN, Site

pytestmark = pytest.mark.browser

PAGE = "/audience-onboarding/"
DATA = f"{PAGE}api/audiences"


@pytest.mark.parametrize("path", [DATA, f"{DATA}/{SEEN}", f"{DATA}/{SEEN}/loads"])
def test_no_data_without_login(site: Site, path: str) -> None:
    response = site.get(None, path)
    assert response.status_code == 401
    assert SEEN not in response.text


def test_the_page_redirects_to_the_login(site: Site, pages: Pages) -> None:
    page = pages.open(site.url)
    page.goto(PAGE)
    page.wait_for_url("**/auth/login/**")


def test_a_reader_sees_permitted_audiences_only(site: Site, pages: Pages, camera: Camera) -> None:
    listed = site.get("reader", DATA).json()
    assert [row["key"] for row in listed["audiences"]] == [SEEN]
    assert listed["total"] == sum(listed["by_health"].values()) == 1
    shown = site.get("reader", f"{DATA}/{SEEN}")
    assert shown.status_code == 200
    # The reader may not trigger runs, so there are no forms.
    assert shown.json()["forms"] == []

    page = site.signed_in(pages, "reader")
    page.goto(PAGE)
    expect(page.get_by_text(f"Audience {SEEN}").first).to_be_visible()
    expect(page.get_by_text(UNSEEN)).to_have_count(0)
    camera(page, "audiences-page-of-a-reader")


@pytest.mark.parametrize("path", [f"{DATA}/{UNSEEN}", f"{DATA}/{UNSEEN}/loads"])
def test_other_audiences_are_forbidden(site: Site, pages: Pages, path: str) -> None:
    response = site.get("reader", path)
    assert response.status_code == 403
    assert "campaign" not in response.text


def test_the_page_of_another_audience_shows_an_error(site: Site, pages: Pages) -> None:
    page = site.signed_in(pages, "reader")
    page.goto(f"{PAGE}#/audiences/{UNSEEN}")
    expect(page.get_by_role("alert")).to_contain_text("not allowed")
    expect(page.get_by_text(f"Audience {UNSEEN}")).to_have_count(0)


def test_a_user_without_dags_is_forbidden(site: Site, pages: Pages) -> None:
    for path in (DATA, f"{DATA}/{SEEN}"):
        assert site.get("stranger", path).status_code == 403

    page = site.signed_in(pages, "stranger")
    page.goto(PAGE)
    expect(page.get_by_role("alert")).to_contain_text("not allowed")
    expect(page.get_by_text(SEEN)).to_have_count(0)


def test_an_admin_sees_all_audiences(site: Site, pages: Pages) -> None:
    page = site.signed_in(pages, "admin")
    page.goto(PAGE)
    for key in (SEEN, UNSEEN):
        expect(page.get_by_text(f"Audience {key}").first).to_be_visible()
