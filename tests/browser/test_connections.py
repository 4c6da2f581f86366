"""The forms of the three types of connections, and Airflow's button that tries one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.browsing import Camera
from tests.browser.forms import label, section
from tests.e2e.stack import Stack

pytestmark = pytest.mark.browser

TYPES = {"digital_audience": "Digital Audience", "fanfare": "Fanfare", "commbox": "CommBox"}
TRIED = "tried_by_hand"


@pytest.fixture
def form(page: Page) -> Locator:
    """The empty form of a connection."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    return page.get_by_role("dialog")


def choose_type(form: Locator, name: str) -> None:
    form.get_by_role("combobox", name="Connection Type").fill(name)
    form.page.get_by_role("option", name=name, exact=True).click()
    expect(form.locator("[name=host]")).to_be_visible()


@pytest.mark.parametrize("conn_type", TYPES)
def test_every_field_is_named_and_explained(
    form: Locator, stack: Stack, camera: Camera, conn_type: str
) -> None:
    choose_type(form, TYPES[conn_type])
    (meta,) = [item for item in hook_meta(stack) if item["connection_type"] == conn_type]

    for name, standard in meta["standard_fields"].items():
        if standard is None:
            continue
        box = form.locator(f"[name={'schema' if name == 'url_schema' else name}]")
        if standard["hidden"]:
            expect(box).to_have_count(0)
        elif standard["title"]:
            expect(form.get_by_text(standard["title"], exact=True)).to_be_visible()
            if standard["placeholder"]:
                expect(box).to_have_attribute("placeholder", standard["placeholder"])
    expect(form.locator("[name=password]")).to_have_attribute("type", "password")
    camera(form, f"connection-{conn_type}", in_docs=conn_type == "digital_audience")

    extra = section(form, "Extra Fields")
    assert meta["extra_fields"]
    for name, field in meta["extra_fields"].items():
        expect(label(extra, field["schema"]["title"])).to_be_visible()
        assert field["description"], name
        expect(extra.get_by_text(field["description"][:40]).first).to_be_visible()
        if field["schema"].get("format") == "password":
            expect(extra.locator(f"[name=element_{name}]")).to_have_attribute("type", "password")
    camera(form, f"connection-{conn_type}-extra")


def hook_meta(stack: Stack) -> list[dict[str, Any]]:
    """What Airflow draws the forms from."""
    answer = stack.airflow.ask("/ui/connections/hook_meta")
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.fixture
def tried(stack: Stack) -> Iterator[dict[str, Any]]:
    """The right values of a connection; what a test has saved is gone afterwards."""
    yield json.loads(stack.sandbox.connections()["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"])
    stack.airflow.api(f"connections/{TRIED}", method="DELETE")


@pytest.mark.parametrize("is_right", [True, False])
def test_the_button_says_whether_it_works(
    form: Locator, tried: dict[str, Any], camera: Camera, is_right: bool
) -> None:
    page, password = form.page, tried["password"] if is_right else "wrong"
    save(form, tried, password=password, port=str(urlsplit(tried["host"]).port))

    row = page.get_by_role("row").filter(has_text=TRIED)
    row.get_by_role("button", name="Test Connection").click()

    told = page.get_by_role("region", name="Notifications")
    expect(told).to_contain_text("Logged in" if is_right else "refused")
    camera(page, f"connection-test-{'right' if is_right else 'wrong'}", in_docs=not is_right)
    assert password not in page.content()


@pytest.mark.xfail(
    strict=True,
    reason="Airflow 3.3.2 takes a port that is not given for port 0, and asks for the credentials again",
)
def test_the_button_needs_no_port(form: Locator, tried: dict[str, Any]) -> None:
    save(form, tried, password=tried["password"], port="")
    page = form.page
    with page.expect_response("**/connections/test") as answer:
        page.get_by_role("row").filter(has_text=TRIED).get_by_role("button", name="Test Connection").click()

    assert answer.value.ok


def save(form: Locator, values: dict[str, Any], *, password: str, port: str) -> None:
    """Fill in the form and save it."""
    choose_type(form, TYPES["digital_audience"])
    form.get_by_label("Connection ID").fill(TRIED)
    for name, value in {**values, "password": password, "port": port}.items():
        if name != "conn_type":
            form.locator(f"[name={name}]").fill(value)
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
