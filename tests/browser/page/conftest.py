"""The front end of the Audiences page alone: a stub instead of Airflow, a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.browsing import Pages
from tests.browser.page.stub import NOW, ApiStub, running

Open = Callable[..., Page]


@pytest.fixture
def api() -> Iterator[ApiStub]:
    """Stub of the API; tests change it before they open the page."""
    with running() as stub:
        yield stub


@pytest.fixture
def open_page(pages: Pages, api: ApiStub) -> Iterator[Open]:
    """Open the page at a hash, with the clock of the stub; console errors fail the test."""
    opened = []

    def open_at(hash_: str = "#/", **options: object) -> Page:
        window = pages.open(api.url, **options)  # type: ignore[arg-type]
        window.clock.set_fixed_time(NOW)
        opened.append(window)
        window.goto(api.url + hash_)
        return window

    yield open_at
    for window in opened:
        # Chromium logs each response with a status of at least 400.
        errors = [line for line in pages.errors(window) if "Failed to load resource" not in line]
        assert errors == [], window.url
