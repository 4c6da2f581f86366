"""The one Airflow that all end-to-end tests share, whichever process they run in, and what is shown when one fails.

Without ``-n`` the fixture starts it. With ``-n`` the process that hands out the tests does, once for all: see
tests/conftest.py. Tests with the mark ``last`` run when all others are through.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.local_stack import wait_for
from tests.e2e.shared import finished_in, finished_tests, shared_folder, stack_of
from tests.e2e.stack import Stack, running_stack

UNFINISHED = {"failed", "up_for_retry", "running", "queued", "deferred"}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The running stack."""
    folder = shared_folder(request.config)
    if folder is None:
        with running_stack(tmp_path_factory.mktemp("e2e")) as running:
            yield running
    else:
        yield stack_of(folder)


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
        for title, show in (("Airflow", _runs), ("sandbox", _journal)):
            # Whatever goes wrong here, the failure itself has to be shown.
            try:
                text = show(stack)
            except Exception as error:
                text = f"cannot be shown: {error!r}"
            report.sections.append((title, text))
    if call.when == "teardown" and isinstance(stack, Stack):
        stack.airflow.asked.clear()
    return report


def _runs(stack: Stack) -> str:
    lines = []
    for dag_id, run_id in list(stack.airflow.asked):
        lines.append(f"{dag_id} {run_id}: {stack.airflow.run(dag_id, run_id)['state']}")
        for task in stack.airflow.tasks(dag_id, run_id):
            lines.append(
                f"  {task['task_id']}[{task['map_index']}] {task['state']} (try {task['try_number']})"
            )
            if task["state"] in UNFINISHED and task["try_number"] and task["map_index"] < 1:
                lines += _end_of_log(stack.airflow.home / "logs", dag_id, run_id, task)
    return "\n".join(lines)


def _end_of_log(logs: Path, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
    folder = logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
    if task["map_index"] >= 0:
        folder /= f"map_index={task['map_index']}"
    return [
        f"    {line}"
        for path in sorted(folder.glob(f"attempt={task['try_number']}.log*"))
        for line in path.read_text(errors="replace").splitlines()[-15:]
    ]


def _journal(stack: Stack) -> str:
    entries = stack.sandbox.admin("journal")["entries"][-40:]
    return "\n".join(json.dumps(entry) for entry in entries)
