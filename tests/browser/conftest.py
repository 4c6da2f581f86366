"""A real browser in front of a real Airflow.

Chromium runs for one file of tests at a time: Playwright's event loop runs in the thread of the tests as long as it is
there, and no other test of that process could start a loop of its own.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.browsing import PATIENCE_MS, Camera, Pages, chromium_path, empty_folder
from tests.browser.users import Site, running_site
from tests.e2e.failure_report import show
from tests.e2e.shared import one_stack
from tests.e2e.stack import Stack

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The running Airflow with its vendors; each user is an admin without a login."""
    yield from one_stack(request.config, tmp_path_factory, "browser")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser."""
    path = chromium_path()
    with sync_playwright() as playwright:
        # As root, which a container often is, Chromium has no sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def pages(chromium: Browser) -> Iterator[Pages]:
    """Opens windows: ``pages.open(base_url, size=..., color_scheme=...)``."""
    opened = Pages(chromium)
    yield opened
    opened.close()


@pytest.fixture
def page(pages: Pages, stack: Stack) -> Page:
    """A window on the shared Airflow."""
    return pages.open(stack.airflow.url)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An Airflow with users that log in; its parts are in users.py."""
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="session")
def shots(request: pytest.FixtureRequest) -> Path:
    """The folder of this run's pictures."""
    return empty_folder(_run_id(request.config))


@pytest.fixture(scope="session")
def camera(shots: Path) -> Camera:
    """Takes pictures: ``camera(page, "name", in_docs=True)``; ``SCREENSHOTS=1`` renews those of the documentation."""
    return Camera(shots, renews_docs=os.environ.get("SCREENSHOTS") == "1")


def _run_id(config: pytest.Config) -> str:
    """The same in all processes of one run."""
    given = getattr(config, "workerinput", None)
    return str(given["testrunuid"]) if given else f"process {os.getpid()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the pages of a failed test, and report its runs and the vendors' requests."""
    report = yield
    used = getattr(item, "funcargs", {})
    stack, pages = used.get("stack"), used.get("pages")
    if report.failed and isinstance(pages, Pages):
        folder = empty_folder(_run_id(item.config)) / "failed"
        for path in pages.keep(folder, item.nodeid.partition("tests/browser/")[2]):
            text = path.read_text(encoding="utf-8") if path.suffix == ".log" else ""
            report.sections.append((f"page {path}", text))
    if report.failed and isinstance(stack, Stack):
        show(report, stack)
    if call.when == "teardown" and isinstance(stack, Stack):
        stack.airflow.asked.clear()
    return report
