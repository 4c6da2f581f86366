"""Accessibility: both themes, a phone, the keyboard, a screen reader, a strict content security policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import violations
from tests.browser.page.conftest import Open
from tests.browser.page.stub import BASE, ApiStub, audience_row

pytestmark = pytest.mark.browser

ALL = ("minor", "moderate", "serious", "critical")
PHONE = (360, 740)
VIEWS = {
    "table": ("#/", "table"),
    "audience": ("#/audiences/loyalty_members", "#history-title"),
    "ambiguous": ("#/audiences/unclear_list", ".actions"),
    "failed": ("#/audiences/presale_fans", "#runs-title"),
}


def expect_visible(page: Page, selector: str) -> None:
    expect(page.locator(selector)).to_be_visible()


@pytest.mark.parametrize("size", [(1300, 820), PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation(open_page: Open, view: str, size: tuple[int, int]) -> None:
    hash_, selector = VIEWS[view]
    for scheme in ("light", "dark"):
        page = open_page(hash_, color_scheme=scheme, size=size)
        expect_visible(page, selector)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        assert violations(page, impacts=ALL) == []
        closed = page.locator("button[aria-expanded=false]:visible")
        for _ in range(min(4, closed.count())):
            closed.first.click()
        assert violations(page, impacts=ALL) == []


@pytest.mark.parametrize("state", ["empty", "no match", "logged out", "not found"])
def test_axe_finds_no_violation_in_messages(open_page: Open, api: ApiStub, state: str) -> None:
    hash_ = {"no match": "#/?search=xyz", "not found": "#/audiences/none"}.get(state, "#/")
    if state == "empty":
        api.audiences = []
    if state == "logged out":
        api.fail = {"api/": 401}
    for scheme in ("light", "dark"):
        page = open_page(hash_, color_scheme=scheme)
        expect_visible(page, ".blank")
        assert violations(page, impacts=ALL) == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_needs_no_sideways_scrolling(open_page: Open, api: ApiStub, view: str) -> None:
    api.audiences[4].title = "A title without any blank: " + "x" * 80
    hash_, selector = VIEWS[view]
    page = open_page(hash_, size=PHONE, has_touch=True, is_mobile=True)
    expect_visible(page, selector)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    cut = page.evaluate(
        """() => [...document.querySelectorAll("main *")]
            .filter(element => !element.closest(".hidden-text, [hidden], svg") && element.getClientRects().length)
            .filter(element => element.getBoundingClientRect().right > innerWidth + 1)
            .map(element => element.outerHTML.slice(0, 100))"""
    )
    assert cut == []


def test_on_a_phone_rows_are_cards_that_can_be_sorted(open_page: Open, api: ApiStub) -> None:
    page = open_page(size=PHONE)
    expect(page.get_by_role("columnheader")).to_have_count(0)
    # Screen readers still get a table.
    expect(page.get_by_role("table", name="Audiences").get_by_role("row")).to_have_count(11)
    page.get_by_label("Sort by").select_option("-rows_sent")
    expect(page.locator("tbody th a").first).to_have_text("Loyalty members")


def test_the_keyboard_reaches_everything(open_page: Open) -> None:
    page = open_page()
    expect_visible(page, "table")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => {
                const focused = document.activeElement;
                const shown = getComputedStyle(focused);
                const ring = shown.outlineStyle !== "none" && parseFloat(shown.outlineWidth) >= 2;
                return focused === document.body ? null : [focused.id || focused.dataset.focus, ring];
            }"""
        )
        if name is None:
            break
        reached.append(name)
    names = [name for name, _ in reached]
    expected = [
        "search",
        "platform",
        "owner",
        "chip:null",
        "chip:action_required",
        "sort:health",
        "sort:next_run",
    ]
    assert [name for name in names if name in expected] == expected
    assert names[-3:] == ["audiences:Previous", "audiences:Next", "audiences-size"]
    assert sum(name.startswith("open:") for name in names) == 11
    assert [name for name, ring in reached if not ring] == []


def test_the_keyboard_reaches_the_form_for_an_ambiguous_create(open_page: Open) -> None:
    page = open_page()
    expect_visible(page, "table")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/")
    link = page.get_by_role("link", name="Spring campaign lookalikes")
    for _ in range(40):
        page.keyboard.press("Tab")
        if link.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Spring campaign lookalikes")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator(".actions a")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Resolve ambiguous create: audience")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{BASE}/dags/resolve_ambiguous_create")


def text_colour(page: Page, name: str) -> str:
    """Return the text colour in the options of a chart."""
    colour: str = page.evaluate("id => Chart.getChart(id).options.color", f"{name}-canvas")
    return colour


def test_the_theme_follows_airflow_live(open_page: Open) -> None:
    page = open_page(VIEWS["audience"][0], color_scheme="light")
    page.wait_for_function("() => window.Chart?.getChart('rows-canvas')")
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    assert text_colour(page, "rows") == "#09090b"
    # The system's theme applies while Airflow's is "system", the default.
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-theme", "dark")
    page.wait_for_function("() => Chart.getChart('rows-canvas')?.options.color === '#f8fafd'")
    # A change in another tab of Airflow: localStorage, and an event in all other documents.
    page.evaluate("""() => {
        localStorage.setItem("theme", "light");
        dispatchEvent(new StorageEvent("storage", { key: "theme", newValue: "light" }));
    }""")
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_the_page_violates_no_policy(open_page: Open) -> None:
    page = open_page()
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
    )
    page.reload()
    for hash_, selector in VIEWS.values():
        page.evaluate("hash => { location.hash = hash }", hash_)
        expect_visible(page, selector)
    assert page.evaluate("window.violations") == []


def test_a_page_of_a_thousand_audiences_is_drawn_once(open_page: Open, api: ApiStub) -> None:
    api.audiences = [audience_row(f"audience_{number:04}") for number in range(1000)]
    page = open_page("#/?limit=200")
    expect(page.locator("tbody tr")).to_have_count(200)
    drawn = page.evaluate("""async () => {
        location.hash = "#/?limit=200&offset=200";
        let rows = 0;
        await new Promise(done => {
            const watch = new MutationObserver(changes => {
                for (const { addedNodes } of changes)
                    for (const node of addedNodes)
                        rows += (node.matches?.("tbody tr") ?? 0) + (node.querySelectorAll?.("tbody tr").length ?? 0);
                if (document.querySelector("tbody th a")?.textContent !== "Audience 0200") return;
                watch.disconnect();
                done();
            });
            watch.observe(document.getElementById("audiences"), { childList: true, subtree: true });
        });
        return rows;
    }""")
    assert drawn == 200
