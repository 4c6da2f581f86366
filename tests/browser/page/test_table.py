"""Table of audiences: search, filters, order and pages, and their state in the URL."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from audience_onboarding.ui.models import Health
from tests.browser.page.conftest import Open
from tests.browser.page.stub import ApiStub, audience_row

pytestmark = pytest.mark.browser


def titles(page: Page) -> list[str]:
    return page.locator("tbody th a").all_inner_texts()


def last_query(api: ApiStub) -> dict[str, list[str]]:
    """Return the query of the last request for the table."""
    return parse_qs(urlsplit([path for path in api.requests if "api/audiences" in path][-1]).query)


def test_a_row(open_page: Open) -> None:
    page = open_page()
    expect(page.get_by_role("status")).to_have_text("11 audiences")
    expect(page).to_have_title("Audiences")
    line = page.get_by_role("row").filter(has=page.get_by_role("link", name="Loyalty members"))
    for text in (
        "Expiring", "loyalty_members", "Digital Audience", "crm-team", "Ready", "2026-11-21", "replace", "1,204,551",
        "62.1%", "in 3 days", "in 14 hours", "2026-11-22 02:00",
    ):  # fmt: skip
        expect(line).to_contain_text(text)
    expect(line.locator("svg.spark path")).to_have_attribute("d", re.compile(r"^M[\d. ]+(L[\d. ]+){29}$"))
    # The reason is a tooltip, and text for screen readers.
    health = line.locator(".health")
    expect(health).to_have_attribute("title", "The segment Loyalty NL ends in 3 days.")
    expect(health).to_have_text("Expiring: The segment Loyalty NL ends in 3 days.")
    # The most urgent audience is first.
    assert titles(page)[:3] == ["Spring campaign lookalikes", "Presale fans", "Lapsed buyers"]


def test_times_are_in_the_named_time_zone_of_the_browser(open_page: Open) -> None:
    page = open_page(timezone_id="Asia/Kolkata", locale="de-DE")
    expect(page.locator("tbody tr").first).to_contain_text("2026-11-22 07:30")
    expect(page.get_by_text("Times are in Asia/Calcutta")).to_be_visible()
    expect(page.get_by_text("Updated 2026-11-21 17:30 GMT+5:30")).to_be_visible()
    expect(page.locator("tbody")).to_contain_text("1,204,551")


def test_a_gap_in_the_trend_is_a_gap(open_page: Open, api: ApiStub) -> None:
    gappy = audience_row("gappy")
    gappy.trend[10].rate = None
    api.audiences = [gappy]
    path = open_page().locator("svg.spark path")
    expect(path).to_have_attribute("d", re.compile(r"^M[^M]+M[^M]+$"))


def test_search(open_page: Open, api: ApiStub) -> None:
    page = open_page()
    page.get_by_role("searchbox", name="Search").press_sequentially("newsletter_")
    expect(page.get_by_role("status")).to_have_text("2 audiences")
    assert sorted(titles(page)) == ["Newsletter subscribers BE", "Newsletter subscribers NL"]
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert page.url.endswith("#/?search=newsletter_")
    assert last_query(api)["search"] == ["newsletter_"]
    # Typing adds no history entries.
    assert page.evaluate("history.length") == 2


def test_filters_by_health_platform_and_owner(open_page: Open, api: ApiStub) -> None:
    page = open_page()
    chips = page.get_by_role("group", name="Health")
    expect(chips.get_by_role("button", name="All 11")).to_have_attribute("aria-pressed", "true")
    chips.get_by_role("button", name="Failed 1").click()
    expect(page.get_by_role("status")).to_have_text("1 audience")
    expect(chips.get_by_role("button", name="Failed 1")).to_be_focused()
    chips.get_by_role("button", name="Late 1").click()
    expect(page.get_by_role("status")).to_have_text("2 audiences")
    assert last_query(api)["health"] == ["failed", "late"]
    page.get_by_label("Platform").select_option(label="CommBox")
    expect(page.get_by_role("status")).to_have_text("1 audience")
    assert titles(page) == ["Service alerts"]
    # A selected chip with no audience stays.
    expect(chips.get_by_role("button", name="Failed 0")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Owner").select_option("events")
    expect(page.get_by_role("heading", name="No audience matches")).to_be_visible()
    page.get_by_role("button", name="Clear search and filters").click()
    expect(page.get_by_role("status")).to_have_text("11 audiences")
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert page.url.endswith("#/")


def test_a_filter_with_one_value_is_hidden(open_page: Open, api: ApiStub) -> None:
    api.audiences = [audience_row("one"), audience_row("two")]
    page = open_page()
    expect(page.get_by_role("status")).to_have_text("2 audiences")
    expect(page.get_by_label("Owner")).to_be_hidden()
    expect(page.get_by_label("Platform")).to_be_hidden()


COLUMNS = {
    "Health": "health",
    "Audience": "title",
    "Platform": "platform",
    "Vendor state": "vendor_state",
    "Last load": "last_load_date",
    "Rows": "rows_sent",
    "Match rate": "match_rate",
    "Segments": "segments",
    "Next expiry": "days_to_expiry",
    "Next run": "next_run",
}


def test_each_column_sorts_both_ways(open_page: Open, api: ApiStub) -> None:
    page = open_page("#/?sort=-health")
    header = page.get_by_role("columnheader")
    expect(header).to_have_count(len(COLUMNS))
    for label, name in COLUMNS.items():
        column = header.filter(has_text=re.compile(f"^{label}$"))
        for direction, sort in (("ascending", name), ("descending", f"-{name}")):
            column.get_by_role("button").click()
            expect(column).to_have_attribute("aria-sort", direction)
            expect(page.locator("th[aria-sort]")).to_have_count(1)
            expect(column.get_by_role("button")).to_be_focused()
            assert last_query(api)["sort"] == [sort]
    rows = page.locator("tbody tr")
    header.filter(has_text="Rows").get_by_role("button").click()
    expect(rows.first).to_contain_text("990")
    # Unknown values are last in both directions.
    expect(rows.last).to_contain_text("New list")
    header.filter(has_text="Rows").get_by_role("button").click()
    expect(rows.first).to_contain_text("1,204,551")
    expect(rows.last).to_contain_text("New list")


def many(count: int) -> list[object]:
    return [
        audience_row(f"audience_{number:04}", health=list(Health)[number % 10], rows_sent=number)
        for number in range(count)
    ]


def test_pages_of_a_thousand(open_page: Open, api: ApiStub) -> None:
    api.audiences = many(1000)  # type: ignore[assignment]
    page = open_page("#/?sort=rows_sent")
    status, table = page.get_by_role("status"), page.locator("tbody")
    expect(status).to_have_text("1\N{EN DASH}50 of 1,000 audiences")
    pager = page.get_by_role("navigation", name="Pages of audiences")
    expect(pager).to_contain_text("Page 1 of 20")
    pager.get_by_role("button", name="Previous").click(force=True)
    pager.get_by_role("button", name="Next").click()
    expect(status).to_have_text("51\N{EN DASH}100 of 1,000 audiences")
    expect(pager.get_by_role("button", name="Next")).to_be_focused()
    expect(table.locator("th a").first).to_have_text("Audience 0050")
    page.get_by_label("Per page").select_option("200")
    expect(status).to_have_text("1\N{EN DASH}200 of 1,000 audiences")
    expect(table.locator("tr")).to_have_count(200)
    # An offset beyond the last page shows the last page.
    page.goto(f"{api.url}#/?offset=5000")
    expect(status).to_have_text("951\N{EN DASH}1,000 of 1,000 audiences")


def test_reload_and_back_restore_the_filters(open_page: Open) -> None:
    page = open_page(
        "#/?search=li&platform=digital_audience&health=ok&health=action_required&health=nonsense&sort=-title"
    )
    status = page.get_by_role("status")

    def expect_restored() -> None:
        expect(status).to_have_text("1 audience")
        expect(page.get_by_role("searchbox")).to_have_value("li")
        expect(page.get_by_label("Platform")).to_have_value("digital_audience")
        expect(page.get_by_role("button", name=re.compile("Action required"))).to_have_attribute(
            "aria-pressed", "true"
        )
        expect(page.get_by_role("columnheader", name="Audience")).to_have_attribute("aria-sort", "descending")

    expect_restored()
    page.reload()
    expect_restored()
    page.get_by_role("button", name=re.compile("^All")).click()
    expect(status).not_to_have_text("1 audience")
    page.go_back()
    expect_restored()
    page.get_by_role("link", name="Spring campaign lookalikes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Spring campaign lookalikes")
    page.get_by_role("link", name="Audiences", exact=True).click()
    expect_restored()
    # The focus returns to the link.
    expect(page.get_by_role("link", name="Spring campaign lookalikes")).to_be_focused()


def test_invalid_parameters_of_the_url_are_ignored(open_page: Open, api: ApiStub) -> None:
    page = open_page("#/?sort=drop&limit=7&offset=-3&health=ill")
    expect(page.get_by_role("status")).to_have_text("11 audiences")
    assert last_query(api) == {"sort": ["health"], "limit": ["50"], "offset": ["0"]}


def test_no_audiences_yet(open_page: Open, api: ApiStub) -> None:
    api.audiences = []
    page = open_page()
    expect(page.get_by_role("heading", name="No audiences yet")).to_be_visible()
    expect(page.get_by_text("include/audiences/newsletter_nl.yaml")).to_be_visible()
    expect(page.get_by_role("searchbox")).to_be_hidden()


def test_errors_are_shown_with_an_action(open_page: Open, api: ApiStub) -> None:
    page = open_page()
    alert = page.get_by_role("alert")

    def fail(status: int, text: str) -> None:
        api.fail = {"api/audiences": status}
        page.reload()
        expect(alert).to_contain_text(text)

    fail(401, "You are not logged in.")
    link = alert.get_by_role("link", name="Log in again")
    expect(link).to_have_attribute("href", re.compile(r"/airflow/api/v2/auth/login\?next=http"))
    assert parse_qs(urlsplit(link.get_attribute("href") or "").query)["next"] == [page.url]
    fail(403, "You are not allowed to see this page.")
    expect(alert.locator("a, button")).to_have_count(0)
    for status, text in ((500, "Airflow returned status 500."), (0, "Airflow is unreachable.")):
        fail(status, text)
        api.fail = {}
        alert.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("status")).to_have_text("11 audiences")
        expect(alert).to_have_count(0)


def test_an_error_keeps_the_search(open_page: Open, api: ApiStub) -> None:
    page = open_page()
    expect(page.get_by_role("status")).to_have_text("11 audiences")
    api.fail = {"search=n": 502}
    page.get_by_role("searchbox").press_sequentially("new")
    expect(page.get_by_role("alert")).to_contain_text("status 502")
    expect(page.get_by_role("searchbox")).to_be_focused()
    api.fail = {}
    page.get_by_role("searchbox").press_sequentially("s")
    expect(page.get_by_role("status")).to_have_text("2 audiences")


def test_a_refresh_keeps_focus_and_scroll_position(open_page: Open, api: ApiStub) -> None:
    api.audiences = many(300)  # type: ignore[assignment]
    page = open_page("#/?limit=200&sort=title")
    page.clock.install(time=api.now)
    page.reload()
    link = page.get_by_role("link", name="Audience 0150")
    link.focus()
    before = page.evaluate("window.scrollY")
    assert before > 1000
    count = len(api.requests)
    page.clock.run_for(25_000)
    assert len(api.requests) == count
    api.audiences[0].title = "Audience 0000 with a new name"
    page.clock.run_for(10_000)
    expect(page.locator("tbody th a").first).to_have_text("Audience 0000 with a new name")
    expect(link).to_be_focused()
    assert page.evaluate("window.scrollY") == before
    # A failed refresh keeps the data and shows a notice.
    api.fail = {"api/audiences": 503}
    page.clock.run_for(35_000)
    expect(page.get_by_text("The data shown is from 2026-11-21")).to_be_visible()
    expect(link).to_be_focused()
    api.fail = {}
    page.clock.run_for(35_000)
    expect(page.get_by_text("The data shown is from")).to_have_count(0)


def test_data_never_becomes_html(open_page: Open, api: ApiStub) -> None:
    bad = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
    api.audiences = [
        audience_row(
            "bad", title=bad, reason=bad, vendor_state=bad, owner=bad, platform=bad, health=Health.LATE
        )
    ]
    page = open_page()
    expect(page.get_by_role("link", name=bad)).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    expect(page).to_have_title("Audiences")


def test_keys_with_special_characters_have_a_page(open_page: Open, api: ApiStub) -> None:
    api.audiences = [audience_row("a b%c?d#e", title="Odd")]
    page = open_page()
    page.get_by_role("link", name="Odd").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Odd")
