"""Logging in through the form, and who sees what: an Airflow with users and permissions of their own."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.browsing import Camera, Pages
from tests.browser.users import SEEN, UNSEEN, Site

pytestmark = pytest.mark.browser


def test_a_person_logs_in_through_the_form_and_a_wrong_password_is_refused(
    site: Site, pages: Pages, camera: Camera
) -> None:
    page = pages.open(site.url)
    page.goto("/dags")
    # Not wait_for_url(): the redirect of the page may abort the navigation that it waits for.
    expect(page).to_have_url(re.compile("/auth/login/"))
    camera(page, "log-in")

    site.log_in(page, "reader", password="not this one")

    expect(page.get_by_text("Invalid login")).to_be_visible()
    site.log_in(page, "reader")
    page.wait_for_url("**/dags")
    expect(page.get_by_role("link", name=f"Audience {SEEN}")).to_be_visible()


def test_who_has_not_logged_in_gets_no_data(site: Site, pages: Pages) -> None:
    for path in ("/api/v2/dags", f"/api/v2/dags/onboard_{SEEN}", "/ui/dags"):
        assert site.get(None, path).status_code == 401

    page = pages.open(site.url)
    page.goto(f"/dags/onboard_{SEEN}")
    page.wait_for_url("**/auth/login/**")
    expect(page.get_by_text(SEEN)).to_have_count(0)


def test_the_list_holds_what_the_person_may_see(site: Site, pages: Pages, camera: Camera) -> None:
    page = site.signed_in(pages, "reader")
    page.goto("/dags")

    expect(page.get_by_role("heading", name="1 Dag", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=f"Audience {SEEN}")).to_be_visible()
    expect(page.get_by_text(UNSEEN)).to_have_count(0)
    camera(page, "dag-list-of-one")

    with page.expect_response(lambda got: UNSEEN in got.url and "/api/v2/" in got.url) as answer:
        page.goto(f"/dags/onboard_{UNSEEN}")
    assert answer.value.status == 403
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text(f"Audience {UNSEEN}")).to_have_count(0)


def test_a_person_may_see_one_audience_and_load_none(site: Site) -> None:
    reader = site.session("reader")
    listed = reader.get(f"{site.url}/api/v2/dags", timeout=60).json()["dags"]
    assert [dag["dag_id"] for dag in listed] == [f"onboard_{SEEN}"]
    assert site.get("reader", f"/api/v2/dags/onboard_{UNSEEN}").status_code == 403
    started = reader.post(
        f"{site.url}/api/v2/dags/onboard_{SEEN}/dagRuns", json={"logical_date": None}, timeout=60
    )
    assert started.status_code == 403


def test_who_may_see_no_dag_is_refused(site: Site, pages: Pages) -> None:
    for path in ("/api/v2/dags", f"/api/v2/dags/onboard_{SEEN}"):
        assert site.get("stranger", path).status_code == 403

    page = site.signed_in(pages, "stranger")
    page.goto("/dags")
    expect(page.get_by_text("403 Forbidden")).to_be_visible()
    expect(page.get_by_text(SEEN)).to_have_count(0)


def test_the_admin_sees_both(site: Site, pages: Pages) -> None:
    page = site.signed_in(pages, "admin")
    page.goto("/dags")

    for key in (SEEN, UNSEEN):
        expect(page.get_by_role("link", name=f"Audience {key}")).to_be_visible()
