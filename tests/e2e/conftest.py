"""The one Airflow that all end-to-end tests share, whichever process they run in, and what is shown when one fails.

Without ``-n`` the fixture starts it. With ``-n`` the process that hands out the tests does, once for all: see
tests/conftest.py. Tests with the mark ``last`` run when all others are through.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from scripts.local_stack import wait_for
from tests.e2e.failure_report import show
from tests.e2e.shared import finished_in, finished_tests, one_stack, shared_folder
from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The running stack."""
    yield from one_stack(request.config, tmp_path_factory, "e2e")


@pytest.fixture(scope="session")
def others_are_through(request: pytest.FixtureRequest) -> None:
    """Wait for all tests that are not marked as the last ones, in all processes."""
    folder = shared_folder(request.config)
    if folder is None:
        return
    others = {item.nodeid for item in request.session.items if not item.get_closest_marker("last")}
    wait_for(
        lambda: others <= finished_tests(folder),
        "The end of all other tests (run them with --dist loadfile, or without -n)",
        timeout=840,
        interval=2,
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The last ones go last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tell the other processes that it is through."""
    folder = shared_folder(item.config)
    try:
        return (yield)
    finally:
        if folder is not None:
            finished_in(folder, item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Show the runs that a failed test has asked for, and what the vendors saw."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        show(report, stack)
    if call.when == "teardown" and isinstance(stack, Stack):
        stack.airflow.asked.clear()
    return report
