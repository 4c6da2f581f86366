"""How several pytest processes (``-n``) share one Airflow.

The process that hands out the tests starts it as soon as it knows that there are end-to-end tests among them, and ends
it after the last. The processes that run the tests read where it is.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from scripts.local_stack import StackError, wait_for
from tests.browser import world
from tests.e2e.stack import Stack, running_stack, write_definitions

STARTED = "stack.pickle"
BROKEN = "broken.txt"


def folder_of(run_id: str) -> Path:
    """Where all processes of one pytest run look."""
    return Path(tempfile.gettempdir()) / f"audience-onboarding-e2e-{run_id}"


def shared_folder(config: pytest.Config) -> Path | None:
    """The folder of this process's run, ``None`` if it is the only one."""
    given = getattr(config, "workerinput", None)
    return folder_of(given["testrunuid"]) if given else None


def stack_for(folder: Path, folders: Collection[str]) -> AbstractContextManager[Stack]:
    """A stack with what these tests define.

    :param folder: for what it writes.
    :param folders: of ``tests``: ``e2e``, ``browser``.
    """
    writers = {"e2e": write_definitions, "browser": world.write}

    def write(stack: Stack) -> None:
        for name in sorted(folders):
            writers[name](stack)

    return running_stack(folder, write=write, logs=f"{max(folders)}-logs")


def one_stack(config: pytest.Config, factory: pytest.TempPathFactory, folder: str) -> Iterator[Stack]:
    """The stack of this process: its own, or the one that was started for all.

    :param folder: of ``tests``: ``e2e``, ``browser``.
    """
    shared = shared_folder(config)
    if shared is not None:
        yield stack_of(shared)
        return
    with stack_for(factory.mktemp(folder), {folder}) as running:
        yield running


def start_for_all(run_id: str, folders: Collection[str]) -> ExitStack:
    """Start the stack, and tell the others where it is, or why it did not start.

    :param folders: of ``tests``, whose tests will want it: ``e2e``, ``browser``.
    :return: ends it when it is closed.
    """
    folder = folder_of(run_id)
    folder.mkdir(mode=0o700)
    running = ExitStack()
    running.callback(shutil.rmtree, folder, ignore_errors=True)
    # Whatever it is, each test says it.
    try:
        stack = running.enter_context(stack_for(folder, folders))
    except Exception as error:
        (folder / BROKEN).write_text(str(error) or repr(error))
        return running
    made = folder / f"{STARTED}.new"
    # What is read again is what this run has written, in a folder of its own.
    made.write_bytes(pickle.dumps(stack))
    made.rename(folder / STARTED)
    return running


def stack_of(folder: Path) -> Stack:
    """The stack that was started for all.

    :raises StackError: it did not start.
    """

    def started() -> bool:
        if (folder / BROKEN).exists():
            raise StackError((folder / BROKEN).read_text())
        return (folder / STARTED).exists()

    wait_for(started, "The start of the stack for all processes", timeout=240)
    stack: Stack = pickle.loads((folder / STARTED).read_bytes())
    return stack


def finished_in(folder: Path, node_id: str) -> None:
    """Tell all processes that a test is through."""
    through = folder / "through"
    through.mkdir(exist_ok=True)
    (through / _name(node_id)).write_text(node_id)


def finished_tests(folder: Path) -> set[str]:
    """The tests that are through."""
    return {path.read_text() for path in (folder / "through").glob("*")}


def _name(node_id: str) -> str:
    return hashlib.sha256(node_id.encode()).hexdigest()
