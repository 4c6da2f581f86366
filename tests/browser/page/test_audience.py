"""Page of one audience: required actions, forms, charts and their tables, load history."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from audience_onboarding.ui.models import Action, Health, Link, MatchRate, RunRow
from tests.browser.page.conftest import Open
from tests.browser.page.stub import BASE, NOW, TODAY, ApiStub, audience_row, days_ago, load_rows, segments

pytestmark = pytest.mark.browser

LOYALTY = "#/audiences/loyalty_members"


def chart(page: Page, name: str) -> dict[str, Any]:
    """Return the data of a chart in the chart library."""
    page.wait_for_function("id => window.Chart?.getChart(id)?.ctx", arg=f"{name}-canvas")
    data: dict[str, Any] = page.evaluate(
        """id => {
            const chart = Chart.getChart(id);
            return {
              type: chart.config.type,
              labels: chart.data.labels,
              sets: chart.data.datasets.map(({ label, data }) => ({ label, data })),
            };
        }""",
        f"{name}-canvas",
    )
    return data


def drawn(page: Page, name: str) -> int:
    """Return the number of pixels of a chart that are not empty."""
    count: int = page.locator(f"#{name}-canvas").evaluate(
        """canvas => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let filled = 0;
            for (let at = 3; at < data.length; at += 4) filled += data[at] > 0;
            return filled;
        }"""
    )
    return count


def top(element: Locator) -> float:
    """Return the distance of an element from the top of the page."""
    box = element.bounding_box()
    assert box
    return box["y"]


def contains(element: Locator, *texts: str) -> None:
    for text in texts:
        expect(element).to_contain_text(text)


def test_the_head(open_page: Open) -> None:
    page = open_page(LOYALTY)
    expect(page.get_by_role("heading", level=1)).to_have_text("Loyalty members")
    expect(page).to_have_title("Loyalty members · Audiences")
    expect(page.get_by_text("The segment Loyalty NL ends in 3 days.")).to_be_visible()
    facts = page.locator("dl.facts")
    contains(
        facts, "62.1% email", "33.4% phone", "1,204,551", "next expiry in 3 days", "Always-on CRM", "4711"
    )
    contains(facts, "in 14 hours2026-11-22 02:00 UTC")
    forms = page.get_by_role("group", name="Forms").get_by_role("link")
    assert forms.all_inner_texts() == ["Load", "Backfill", "Activate", "Erase a person", "Retire"]
    # Links to Airflow open in the parent window, others in a new tab.
    expect(forms.first).to_have_attribute("target", "_top")
    assert (forms.first.get_attribute("href") or "").endswith(f"{BASE}/dags/onboard_loyalty_members")
    portal = page.get_by_role("link", name="Vendor's portal (opens a new tab)")
    expect(portal).to_have_attribute("target", "_blank")
    expect(portal).to_have_attribute("rel", "noopener noreferrer")
    # No action is required.
    expect(page.get_by_role("list", name="Required actions")).to_have_count(0)


def test_required_actions_are_on_top(open_page: Open) -> None:
    page = open_page("#/audiences/unclear_list")
    actions = page.get_by_role("list", name="Required actions").get_by_role("listitem")
    expect(actions).to_contain_text("at 03:02 ended without a response")
    action = actions.get_by_role("link", name="Resolve ambiguous create: audience")
    assert top(action) < top(page.locator("dl.facts"))
    action.click()
    expect(page).to_have_url(re.compile(r"/airflow/dags/resolve_ambiguous_create$"))


def test_rows_per_load(open_page: Open, api: ApiStub) -> None:
    page = open_page(LOYALTY)
    data = chart(page, "rows")
    loads = api.loads_for("loyalty_members")[:90][::-1]
    assert data["type"] == "bar"
    assert data["labels"] == [str(load.load_date) for load in loads]
    assert {one["label"]: one["data"] for one in data["sets"]} == {
        "Sent": [load.rows_sent for load in loads],
        "Duplicates": [load.duplicates for load in loads],
        "Rejected": [load.rejected for load in loads],
    }
    assert drawn(page, "rows") > 10_000
    canvas = page.get_by_role("img", name="Rows per load")
    expect(canvas).to_have_accessible_description(
        re.compile(r"^90 loads from 2026-08-24 to 2026-11-21: [\d,]+ rows sent")
    )
    page.get_by_label("Loads", exact=True).select_option("30")
    expect(page.locator("#rows-summary")).to_contain_text("30 loads from 2026-10-23")
    assert len(chart(page, "rows")["labels"]) == 30
    assert page.url.endswith("?show=30")


def test_unknown_match_rates_are_gaps(open_page: Open, api: ApiStub) -> None:
    page = open_page(LOYALTY)
    data = chart(page, "rates")
    loads = api.loads_for("loyalty_members")[:90][::-1]
    assert data["type"] == "line"
    assert {one["label"]: one["data"] for one in data["sets"]} == {
        name: [next(item.rate for item in load.match_rates if item.identifier == name) for load in loads]
        for name in ("email", "phone")
    }
    assert None in data["sets"][0]["data"]
    assert drawn(page, "rates") > 1_000
    expect(page.locator("#rates-summary")).to_have_text(
        "Latest known: email 62.0% (between 59.0% and 65.0%); phone 33.5% (between 31.9% and 35.1%). "
        "13 loads of 90 without a rate."
    )


def test_segments_from_start_to_end(open_page: Open) -> None:
    page = open_page(LOYALTY)
    data = chart(page, "segments")
    assert data["labels"] == ["Loyalty NL", "Loyalty NL search", "Loyalty BE", "open"]
    noon = NOW.replace(hour=0).timestamp() * 1000
    for (start, end), segment in zip(data["sets"][0]["data"][:3], segments(), strict=False):
        assert segment.start
        assert segment.end
        assert start == noon + (segment.start - TODAY).days * 86_400_000
        # The last day is part of it.
        assert end == noon + ((segment.end - TODAY).days + 1) * 86_400_000
    assert drawn(page, "segments") > 5_000
    expect(page.locator("#segments-summary")).to_have_text(
        "4 segments. Next expiry: Loyalty NL, on 2026-11-24 (in 3 days). 1 ended."
    )


SEGMENT = ["Loyalty NL", "meta", "nl_meta", "9007", "active", "2026-09-22", "2026-11-24", "3"]


def test_each_chart_has_a_table(open_page: Open) -> None:
    page = open_page(LOYALTY)
    for name, title, first in (
        ("rows", "Rows per load", ["2026-11-21", "replace", "146,500", "2,600", "900"]),
        ("rates", "Match rate per identifier", ["2026-11-21", "62.0%", "33.5%"]),
        ("segments", "Segments", SEGMENT),
    ):
        figure = page.get_by_role("figure", name=title)
        toggle = figure.get_by_role("button", name="Show as table")
        expect(toggle).to_have_attribute("aria-expanded", "false")
        toggle.focus()
        page.keyboard.press("Enter")
        expect(toggle).to_have_attribute("aria-expanded", "true")
        expect(figure.locator("canvas")).to_be_hidden()
        table = figure.get_by_role("table", name=title)
        assert table.locator("tbody tr").first.locator("th, td").all_inner_texts() == first
        page.keyboard.press("Enter")
        expect(figure.locator("canvas")).to_be_visible()
        expect(table).to_be_hidden()
        assert drawn(page, name) > 1_000


def test_tables_are_shown_without_the_chart_library(open_page: Open, api: ApiStub) -> None:
    api.fail = {"chart.umd.min.js": 0}
    page = open_page(LOYALTY)
    expect(page.get_by_role("table", name="Rows per load")).to_be_visible()


def test_history(open_page: Open, api: ApiStub) -> None:
    page = open_page(LOYALTY)
    history = page.get_by_role("region", name="Load history")
    expect(history.get_by_role("status")).to_have_text("1\N{EN DASH}25 of 120 loads")
    first = history.locator("tbody tr").first
    contains(first, "2026-11-21", "confirmed 2026-11-21 04:02 UTC", "replace", "62.0% email")
    contains(first, "150,000", "146,500", "2,600")
    expect(
        first.get_by_role("link", name="audiences/4711/optin/loyalty_members_2026-11-21.csv")
    ).to_be_visible()
    expect(first.get_by_role("link", name="Run", exact=True)).to_have_attribute("target", "_top")
    expect(first.get_by_role("link", name="Rejects")).to_have_attribute(
        "title", re.compile("^s3://own/rejects/")
    )
    reasons = first.locator("dl.reasons")
    expect(reasons).to_be_hidden()
    opener = first.get_by_role("button", name="900 rejected rows by reason")
    opener.click()
    expect(opener).to_have_attribute("aria-expanded", "true")
    assert reasons.locator("dt").all_inner_texts() == ["email_invalid", "phone_invalid", "no_identifier"]
    assert reasons.locator("dd").all_inner_texts() == ["600", "280", "20"]
    # The page requests loads that the charts do not show page by page.
    for shown in ("26\N{EN DASH}50", "51\N{EN DASH}75", "76\N{EN DASH}100", "101\N{EN DASH}120"):
        history.get_by_role("button", name="Next").click()
        expect(history.get_by_role("status")).to_have_text(f"{shown} of 120 loads")
    expect(history.locator("tbody tr").first).to_contain_text(str(days_ago(100)))
    assert page.url.endswith("?offset=100")
    page.reload()
    expect(history.get_by_role("status")).to_have_text("101\N{EN DASH}120 of 120 loads")


def test_an_expanded_row_stays_expanded_after_a_new_load(open_page: Open, api: ApiStub) -> None:
    page = open_page(LOYALTY)
    page.clock.install(time=NOW)
    page.reload()
    opener = page.get_by_role("button", name="940 rejected rows by reason").first
    opener.click()
    loads = load_rows("loyalty_members", days=121)
    loads[0] = loads[0].model_copy(update={"mode": "opt-in", "rows_sent": 77})
    api.loads["loyalty_members"] = loads
    page.clock.run_for(31_000)
    expect(page.locator("#rows-summary")).to_contain_text("The last load sent 77 rows.")
    expect(opener).to_have_attribute("aria-expanded", "true")
    expect(opener).to_be_focused()
    assert chart(page, "rows")["sets"][0]["data"][-1] == 77


def test_runs_without_a_load_come_first(open_page: Open) -> None:
    page = open_page("#/audiences/lapsed_buyers")
    runs = page.get_by_role("region", name="Runs without a confirmed load")
    line = runs.locator("tbody tr")
    contains(
        line, "failed", "2026-11-21", "scheduled__2026-11-21T03:00:00+00:00", "2026-11-21 03:00 UTC", "73 s"
    )
    assert top(runs) < top(page.get_by_role("region", name="Load history"))
    expect(page.get_by_role("heading", name="Runs without")).to_be_visible()


def test_an_audience_that_was_never_loaded(open_page: Open) -> None:
    page = open_page("#/audiences/new_list")
    expect(page.locator("#rows-summary")).to_have_text("No load is confirmed yet.")
    expect(page.locator("#rates-summary")).to_have_text("No match rate is known yet.")
    expect(page.locator("#segments-summary")).to_have_text("The audience has no segments.")
    expect(page.locator("canvas:visible")).to_have_count(0)
    expect(page.get_by_role("button", name="Show as table")).to_have_count(0)


def test_a_single_load_and_partial_match_rates(open_page: Open, api: ApiStub) -> None:
    loads = load_rows("one", days=2)
    loads[0].match_rates = [MatchRate(identifier="email", rate=0.5)]
    loads[1].match_rates, loads[1].rejected_by_reason, loads[1].rows_read = [], {}, 0
    loads[0].rejects = Link(label="/opt/airflow/rejects/one.csv", href="")
    api.audiences = [audience_row("one")]
    api.loads["one"] = loads
    page = open_page("#/audiences/one")
    assert chart(page, "rates")["sets"] == [{"label": "email", "data": [None, 0.5]}]
    expect(page.locator("#rates-summary")).to_have_text(
        "Latest known: email 50.0%. 1 load of 2 without a rate."
    )
    # A file on a worker is shown without a link.
    expect(page.get_by_text("/opt/airflow/rejects/one.csv")).to_be_visible()
    expect(
        page.locator("#history-title").locator("xpath=../..").get_by_role("link", name="Rejects")
    ).to_have_count(1)


def test_errors_are_shown(open_page: Open, api: ApiStub) -> None:
    page = open_page()
    for status, text in {
        401: "not logged in",
        403: "not allowed",
        404: "Audience not found",
        500: "status 500",
        0: "unreachable",
    }.items():
        api.fail = {"api/audiences/": status}
        page.goto(api.url + LOYALTY)
        expect(page.get_by_role("alert")).to_contain_text(text)
        expect(page.locator("canvas:visible")).to_have_count(0)
        page.get_by_role("link", name="Audiences", exact=True).click()
        api.fail = {}
        expect(page.get_by_role("heading", level=1)).to_have_text("Audiences")


def test_data_becomes_neither_html_nor_unsafe_links(open_page: Open, api: ApiStub) -> None:
    bad = '"><img src=x onerror="document.title=\'hacked\'">'
    script = "javascript:document.title='hacked'"
    api.audiences = [audience_row("bad", title=bad, reason=bad, health=Health.FAILED, owner=bad)]
    load = load_rows("bad", days=1)[0]
    load.rejected_by_reason = {bad: 900}
    load.files = [Link(label=bad, href=script)]
    load.run = Link(label="Run", href="data:text/html,x")
    load.match_rates = [MatchRate(identifier=bad, rate=0.4)]
    api.loads["bad"] = [load]
    segment = segments()[0].model_copy(update={"name": bad, "status": bad})
    run = RunRow(
        run_id=bad, period=bad, state=bad, started_at=None, ended_at=None, link=Link(label="Run", href=script)
    )
    api.details["bad"] = {
        "description": bad,
        "campaign": bad,
        "segments": [segment],
        "actions": [Action(label=bad, href=script, description=bad)],
        "recent_runs": [run],
    }
    page = open_page("#/audiences/bad")
    expect(page.get_by_role("heading", level=1)).to_have_text(bad)
    for toggle in page.get_by_role("button", name="Show as table").all():
        toggle.click()
    page.get_by_role("button", name="900 rejected").click()
    assert page.locator("main img:not(canvas)").count() == 0
    hrefs = [link.get_attribute("href") or "" for link in page.get_by_role("link").all()]
    assert not [href for href in hrefs if not href.startswith(("http://", "https://", "#"))]
    expect(page).to_have_title(f"{bad} · Audiences")
