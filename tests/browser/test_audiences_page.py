"""The Audiences page in a real Airflow, opened by its navigation, with real runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from scripts.local_stack import wait_for
from tests.browser.browsing import PHONE_SIZE, Camera, Pages, violations
from tests.browser.world import LOAD_DATE, PAGE_DAYS
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

KEY, DAG = "subscribers", "onboard_subscribers"
AMBIGUOUS = "lookalikes"
OWN = "/audience-onboarding/"


@pytest.fixture(scope="module")
def loaded(stack: Stack) -> None:
    """Run an audience with loads and a segment, and one with an ambiguous create."""
    ambiguous = f"onboard_{AMBIGUOUS}"
    stack.airflow.wait_for_dags(DAG, f"activate_{KEY}", ambiguous, "resolve_ambiguous_create")
    for dag_id in (DAG, f"activate_{KEY}", ambiguous):
        stack.airflow.unpause(dag_id)
    # State after a worker died right after it sent the create request.
    intent = {"name": "Audience lookalikes", "at": "2026-11-20T03:00:00+00:00", "run_id": "manual__before"}
    asset = stack.airflow.asset_id(f"audience/{AMBIGUOUS}")
    stack.airflow.api(
        f"assets/{asset}/state-store/audience", method="PUT", json={"value": {"intent": intent}}
    )
    failing = stack.airflow.trigger(ambiguous, {"load_date": str(LOAD_DATE)})
    for day in PAGE_DAYS:
        run_id = stack.airflow.trigger(DAG, {"load_date": str(day)})
        assert stack.airflow.wait_for_run(DAG, run_id) == "success"
    assert stack.airflow.wait_for_run(ambiguous, failing) == "failed"


def open_by_navigation(page: Page) -> FrameLocator:
    """Open the page with Airflow's navigation."""
    page.goto("/")
    page.get_by_role("link", name="Audiences").click()
    return page.frame_locator("iframe[title=Audiences]")


def get_json(page: Page, path: str) -> Any:
    """Return a response of the API to the user of the window."""
    response = page.request.get(f"{OWN}api/{path}")
    assert response.ok, response.status
    return response.json()


def is_found(page: Page, frame: FrameLocator, text: str) -> bool:
    """Search, and return whether the table and the URL show the result.

    Airflow sets the URL of the frame from its own, which on a busy machine can discard the text just typed.
    """
    frame.get_by_role("searchbox", name="Search").fill(text)
    try:
        expect(frame.get_by_role("status")).to_have_text("1 audience", timeout=15_000)
        expect(page).to_have_url(re.compile(f"search={text}"), timeout=5_000)
    except AssertionError:
        return False
    return True


def test_navigation_to_an_audience_and_back(loaded: None, page: Page, pages: Pages, camera: Camera) -> None:
    frame = open_by_navigation(page)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Audiences")
    rows = frame.locator("tbody tr")
    # Required actions are first.
    expect(rows.first).to_contain_text("Action required")
    expect(rows.filter(has_text=AMBIGUOUS)).to_contain_text(
        "Action required: It is unknown whether the audience was created"
    )
    line = rows.filter(has_text="Newsletter subscribers")
    expect(line).to_contain_text(str(LOAD_DATE))
    camera(page, "audiences-page", in_docs=True)

    by_rows = frame.get_by_role("columnheader", name="Rows")
    by_rows.get_by_role("button").click()
    # A second click before the first result would sort the old order.
    expect(by_rows).to_have_attribute("aria-sort", "ascending")
    by_rows.get_by_role("button").click()
    expect(rows.first).to_contain_text("Newsletter subscribers")
    # Airflow's URL has the same hash, so it can be bookmarked and shared.
    expect(page).to_have_url(re.compile(r"/plugin/audiences/audience-onboarding/#/\?sort=-rows_sent$"))
    frame.get_by_label("Owner").select_option("brand-team")
    expect(rows).to_have_count(1)
    frame.get_by_label("Owner").select_option("")
    wait_for(lambda: is_found(page, frame, "subscrib"), "One audience that is found", timeout=90)

    frame.get_by_role("link", name="Newsletter subscribers").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Newsletter subscribers")
    expect(page).to_have_url(re.compile(f"#/audiences/{KEY}$"))
    page.go_back()
    expect(frame.get_by_role("status")).to_have_text("1 audience")
    page.reload()
    expect(frame.get_by_role("status")).to_have_text("1 audience")
    # Airflow's navigation opens the table from any view.
    frame.get_by_role("link", name="Newsletter subscribers").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Newsletter subscribers")
    page.get_by_role("link", name="Audiences").first.click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Audiences")
    assert [line for line in pages.errors(page) if "audience-onboarding" in line] == []


def test_the_charts_show_the_loads(loaded: None, page: Page, stack: Stack, camera: Camera) -> None:
    page.goto(f"/plugin/audiences{OWN}#/audiences/{KEY}")
    frame = page.frame_locator("iframe[title=Audiences]")
    expect(frame.locator("#history-title")).to_be_visible()
    loads = get_json(page, f"audiences/{KEY}/loads?limit=90")["loads"][::-1]
    assert [load["load_date"] for load in loads] == [str(day) for day in PAGE_DAYS]
    assert [load["rows_sent"] for load in loads] == sorted({load["rows_sent"] for load in loads})

    child = next(one for one in page.frames if OWN in one.url and one.parent_frame)
    for name in ("rows", "rates"):
        child.wait_for_function("id => window.Chart?.getChart(id)?.ctx", arg=f"{name}-canvas")

    def chart_data(name: str) -> dict[str, list[Any]]:
        data: dict[str, list[Any]] = child.evaluate(
            "id => Object.fromEntries(Chart.getChart(id).data.datasets.map(one => [one.label, one.data]))",
            f"{name}-canvas",
        )
        return data

    assert chart_data("rows") == {
        "Sent": [load["rows_sent"] for load in loads],
        "Duplicates": [load["duplicates"] for load in loads],
        "Rejected": [load["rejected"] for load in loads],
    }
    for identifier, rates in chart_data("rates").items():
        loaded = [{rate["identifier"]: rate["rate"] for rate in load["match_rates"]} for load in loads]
        assert rates == [rates_of_load.get(identifier) for rates_of_load in loaded]
    for name in ("rows", "rates"):
        filled = child.evaluate(
            """id => {
                const canvas = document.getElementById(id);
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return data.some((value, at) => at % 4 === 3 && value > 0);
            }""",
            f"{name}-canvas",
        )
        assert filled, name
    camera(page, "audience-page", in_docs=True)


def test_the_action_opens_the_form_for_an_ambiguous_create(loaded: None, page: Page) -> None:
    frame = open_by_navigation(page)
    frame.get_by_role("link", name="Spring campaign lookalikes").click()
    actions = frame.get_by_role("list", name="Required actions")
    expect(actions.get_by_role("listitem").first).to_be_visible()
    expect(frame.get_by_role("heading", name="Runs without a confirmed load")).to_be_visible()
    actions.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(r"/dags/resolve_ambiguous_create"))
    expect(page.locator("iframe")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^Trigger")).first).to_be_visible()


def test_a_form_button_opens_the_dag(loaded: None, page: Page) -> None:
    page.goto(f"/plugin/audiences{OWN}#/audiences/{KEY}")
    frame = page.frame_locator("iframe[title=Audiences]")
    frame.get_by_role("group", name="Forms").get_by_role("link", name="Start a load").click()
    expect(page).to_have_url(re.compile(f"/dags/{DAG}"))


def test_the_theme_is_that_of_airflow(loaded: None, pages: Pages, stack: Stack, camera: Camera) -> None:
    page = pages.open(stack.airflow.url, color_scheme="light")
    page.goto("/")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    frame = open_by_navigation(page)
    expect(page.locator("html")).to_have_class(re.compile(r"\bdark\b"))
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    expect(frame.locator("tbody tr").first).to_be_visible()
    camera(page, "audiences-page-dark")
    frame.get_by_role("link", name="Newsletter subscribers").click()
    expect(frame.locator("#history-title")).to_be_visible()
    child = next(one for one in page.frames if OWN in one.url and one.parent_frame)
    child.wait_for_function("() => window.Chart?.getChart('segments-canvas')?.ctx")
    camera(page, "audience-page-dark")
    # A change in another tab of Airflow.
    other = page.context.new_page()
    other.goto("/")
    other.evaluate("localStorage.setItem('theme', 'light')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("hash_", ["#/", f"#/audiences/{KEY}", f"#/audiences/{AMBIGUOUS}"])
def test_axe_finds_no_violation_on_a_phone_or_a_desktop(
    loaded: None, pages: Pages, stack: Stack, camera: Camera, hash_: str, scheme: str
) -> None:
    for size in ((1300, 900), PHONE_SIZE):
        page = pages.open(stack.airflow.url, color_scheme=scheme, size=size)
        page.goto("/")
        page.goto(f"{OWN}{hash_}")
        expect(page.locator("tbody tr").first).to_be_visible()
        assert violations(page, impacts=("minor", "moderate", "serious", "critical")) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert pages.errors(page) == []
        if size == PHONE_SIZE and scheme == "light":
            camera(page, "audiences-phone" if hash_ == "#/" else f"audience-phone-{hash_.rsplit('/', 1)[1]}")
