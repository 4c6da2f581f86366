"""Pages of a real browser, their artifacts after a failure, and screenshots."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

from scripts.local_stack import PROJECT

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")

SHOTS = PROJECT / "build" / "screenshots"
IN_DOCS = PROJECT / "docs" / "images"

PATIENCE_MS = 30_000
"""How long an action or an expectation waits for its condition, in milliseconds: the machine may be busy."""

SIZE = (1440, 900)
PHONE_SIZE = (390, 844)

MARGIN = 200
"""Pixels around a dialog, above and below together."""


def chromium_path() -> str:
    """Return the path of the installed browser, or of ``CHROMIUM``; without one, fail the test."""
    given = os.environ.get("CHROMIUM")
    found = given or next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if not found or not shutil.which(found):
        pytest.fail(
            f"There is no Chromium{f' at CHROMIUM={given}' if given else ''}. Install the system's package "
            '"chromium" (apt-get install chromium), or set CHROMIUM to the path of the program.',
            pytrace=False,
        )
    return found


@dataclass
class Pages:
    """Pages that a test opened, each in a browser context of its own.

    :param browser: opens them.
    """

    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    console: dict[Page, list[str]] = field(default_factory=dict)

    def open(self, base_url: str, *, size: tuple[int, int] = SIZE, **options: Any) -> Page:
        """Open an empty page.

        :param base_url: of the paths given to ``goto``.
        :param size: width and height in pixels.
        :param options: of Playwright's ``new_context``, such as ``color_scheme="dark"``.
        """
        options = {
            "viewport": {"width": size[0], "height": size[1]},
            "locale": "en-GB",
            "timezone_id": "UTC",
            "reduced_motion": "reduce",
            **options,
        }
        context = self.browser.new_context(base_url=base_url, **options)
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        context.on("page", self._listen)
        return context.new_page()

    def _listen(self, page: Page) -> None:
        lines = self.console.setdefault(page, [])

        def add(message: ConsoleMessage) -> None:
            lines.append(f"{message.type}: {message.text}")

        page.on("console", add)
        page.on("pageerror", lambda error: lines.append(f"exception: {error}"))

    def errors(self, page: Page) -> list[str]:
        """Return the errors in the console of a page."""
        return [line for line in self.console.get(page, ()) if line.startswith(("error", "exception"))]

    def keep(self, folder: Path, name: str) -> list[Path]:
        """Write screenshot, HTML and console of all open pages, for the analysis of a failure."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = []
        for number, page in enumerate(self.console):
            stem = f"{file_name(name)}-{number}"
            kept.append(folder / f"{stem}.log")
            kept[-1].write_text("\n".join([page.url, *self.console[page], ""]), encoding="utf-8")
            # A closed or crashed page has no content.
            with suppress(Exception):
                kept.append(folder / f"{stem}.html")
                kept[-1].write_text(page.content(), encoding="utf-8")
                kept.append(folder / f"{stem}.png")
                page.screenshot(path=kept[-1], timeout=5000)
        return [path for path in kept if path.exists()]

    def close(self) -> None:
        """Close all pages."""
        for context in self.contexts:
            context.close()
        self.contexts.clear()
        self.console.clear()


@dataclass(frozen=True)
class Camera:
    """Takes screenshots in ``build/screenshots``.

    :param folder: of the screenshots.
    :param renews_docs: copy those that the documentation shows to ``docs/images``.
    """

    folder: Path
    renews_docs: bool

    def __call__(self, subject: Page | Locator, name: str, *, in_docs: bool = False, **options: Any) -> Path:
        """Take a screenshot.

        :param subject: a page, or a part of it.
        :param name: of the file, without ``.png``.
        :param in_docs: whether the documentation shows it, as ``docs/images/<name>.png``.
        :param options: of Playwright's ``screenshot``, such as ``full_page=True``.
        """
        path = self.folder / f"{name}.png"
        with _fitting(subject):
            subject.screenshot(path=path, animations="disabled", caret="hide", **options)
        if in_docs and self.renews_docs:
            IN_DOCS.mkdir(exist_ok=True)
            shutil.copyfile(path, IN_DOCS / path.name)
        return path


@contextmanager
def _fitting(subject: Page | Locator) -> Iterator[None]:
    """Make the window high enough: a screenshot omits content below its end."""
    box = subject.bounding_box() if isinstance(subject, Locator) else None
    page = subject.page if isinstance(subject, Locator) else subject
    size = page.viewport_size
    if box is None or size is None or box["height"] + MARGIN < size["height"]:
        yield
        return
    page.set_viewport_size({"width": size["width"], "height": int(box["height"]) + MARGIN})
    yield
    page.set_viewport_size(size)


def empty_folder(run_id: str) -> Path:
    """Return the folder of the screenshots, emptied once per run, for all its processes.

    :param run_id: of this pytest run.
    """
    SHOTS.mkdir(parents=True, exist_ok=True)
    with (SHOTS.parent / "screenshots.lock").open("a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if lock.read() != run_id:
            shutil.rmtree(SHOTS)
            SHOTS.mkdir()
            lock.truncate(0)
            lock.write(run_id)
    return SHOTS


def file_name(text: str) -> str:
    """Return text as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")


def violations(
    page: Page, *, impacts: tuple[str, ...] = ("serious", "critical"), **options: Any
) -> list[str]:
    """Return the accessibility violations that axe finds in a page, a line each.

    :param impacts: limit to these.
    :param options: of axe's ``run``: ``context``, ``options``.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, **options).response["violations"]
    return [
        f"{item['impact']}: {item['id']}: {item['help']}: "
        + json.dumps([node["target"] for node in item["nodes"]][:5])
        for item in found
        if item["impact"] in impacts
    ]
