"""Airflow's forms, filled in as a person does."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.stack import ROLLED_BACK


def trigger_form(page: Page, dag_id: str) -> Locator:
    """Open the form with which a person starts a run."""
    page.goto(f"/dags/{dag_id}")
    return opened_form(page)


def opened_form(page: Page) -> Locator:
    """The same, on the page of the DAG."""
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("button", name="Run Parameters")).to_be_visible()
    return form


def field(form: Locator, name: str) -> Locator:
    """A field of a form, by the name of its parameter: Airflow ties no label to a text field."""
    return form.locator(f'[name="element_{name}"]')


def label(part: Locator, title: str) -> Locator:
    """The title of a field; one that has to be filled in has a star."""
    return part.get_by_text(re.compile(rf"^{re.escape(title)}\s*\*?$"))


def choose(form: Locator, title: str, label: str) -> None:
    """Select an option of a list.

    :param title: of the list.
    :param label: of the choice.
    """
    # The current selection covers the input.
    form.get_by_role("combobox", name=title, exact=True).click(force=True)
    form.page.get_by_role("option", name=label, exact=True).click()


def choices(form: Locator, title: str) -> list[str]:
    """Return the options of a list."""
    box = form.get_by_role("combobox", name=title, exact=True)
    box.click(force=True)
    options = form.page.get_by_role("option")
    expect(options.first).to_be_visible()
    labels = options.all_inner_texts()
    # Escape would close the form with the list.
    box.blur()
    return labels


def tick(form: Locator, title: str) -> None:
    """Turn a switch on."""
    box = form.get_by_role("checkbox", name=title, exact=True)
    # The checkbox itself is hidden below the switch.
    box.locator("xpath=ancestor::label").click()
    expect(box).to_be_checked()


def section(form: Locator, name: str) -> Locator:
    """Unfold a section; the others fold."""
    heading = form.get_by_role("button", name=name, exact=True)
    if heading.get_attribute("aria-expanded") != "true":
        heading.click()
    expect(heading).to_have_attribute("aria-expanded", "true")
    content = form.locator(f'[id="{heading.get_attribute("aria-controls")}"]')
    expect(content).to_be_visible()
    return content


SENT_AGAIN = 5
"""How often a form is sent while SQLite has another writer: Airflow rolls it back, and a person presses once more."""


def send(form: Locator) -> str:
    """Start the run, and return its id."""
    for _ in range(SENT_AGAIN):
        with form.page.expect_response(
            lambda got: (
                got.request.method == "POST" and re.search(r"/dags/[^/]+/dagRuns$", got.url) is not None
            )
        ) as answer:
            form.get_by_role("button", name="Trigger", exact=True).click()
        if ROLLED_BACK not in answer.value.text():
            break
    assert answer.value.ok, answer.value.text()
    run: dict[str, Any] = answer.value.json()
    expect(form).to_be_hidden()
    return str(run["dag_run_id"])


def pick_moment(form: Locator, name: str, day: date, time: str) -> None:
    """Fill in a date with its time.

    :param name: of the field: ``From`` or ``To``.
    :param time: such as ``23:59``.
    """
    page = form.page
    form.get_by_role("group").filter(has_text=re.compile(rf"^{name}")).get_by_role("paragraph").click()
    picker = page.get_by_role("dialog").filter(has=page.get_by_placeholder("YYYY/MM/DD"))
    picker.get_by_placeholder("YYYY/MM/DD").fill(day.strftime("%Y/%m/%d"))
    picker.get_by_placeholder("HH:mm").fill(time)
    picker.get_by_placeholder("HH:mm").press("Enter")
    picker.get_by_placeholder("HH:mm").press("Escape")
    # Else the next one is not alone.
    expect(picker).to_be_hidden()
