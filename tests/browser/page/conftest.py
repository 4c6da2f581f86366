"""The front end of the Audiences page by itself: no Airflow, made-up answers, a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.browsing import Pages
from tests.browser.page.stub import NOW, Answers, running

Open = Callable[..., Page]


@pytest.fixture
def answers() -> Iterator[Answers]:
    """What the page is told; tests change it before they open the page."""
    with running() as told:
        yield told


@pytest.fixture
def open_page(pages: Pages, answers: Answers) -> Iterator[Open]:
    """Opens the page at a hash, at noon of the day that the answers are of; nobody's console may complain."""
    opened = []

    def open_at(hash_: str = "#/", **options: object) -> Page:
        window = pages.open(answers.url, **options)  # type: ignore[arg-type]
        window.clock.set_fixed_time(NOW)
        opened.append(window)
        window.goto(answers.url + hash_)
        return window

    yield open_at
    for window in opened:
        # Chromium's own line for each answer with a status of 400 and more.
        said = [line for line in pages.errors(window) if "Failed to load resource" not in line]
        assert said == [], window.url
