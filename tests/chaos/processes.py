"""Runs in processes of their own, which are killed.

The worker is a fork of this process: starting Python and Airflow anew for each kill would take seconds. This process
itself must not touch Polars, whose threads no fork survives. What a task has written, its state, its XComs, and which
tasks are through, goes line by line into a file at once, as it goes into Airflow's database, and is read from there
once the process is gone.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.local_stack import wait_for
from tests.small_airflow import JsonText, Run, World

PATIENCE = 60.0
"""Seconds of real time that a process may take."""


class Diary:
    """The lines that outlive a process.

    :param path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def write(self, *line: Any) -> None:
        """Write a line; it is there for good when this returns."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def read(self) -> list[list[Any]]:
        """All lines so far."""
        return (
            [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []
        )


class _WrittenStore(JsonText):
    def __init__(self, diary: Diary, name: str) -> None:
        super().__init__()
        self._diary = diary
        self._name = name

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, value, retention=retention)
        self._diary.write("set", self._name, key, value)

    def delete(self, key: str) -> None:
        super().delete(key)
        self._diary.write("delete", self._name, key)


class WrittenWorld(World):
    """A world whose changes are written down.

    :param diary: where to.
    """

    def __init__(self, diary: Diary) -> None:
        super().__init__()
        self._diary = diary

    def store(self, name: str) -> JsonText:
        """A new store."""
        return _WrittenStore(self._diary, name)

    def told(self, run: Run, kind: str, *what: Any) -> None:
        """A run has got on."""
        self._diary.write(kind, run.run_id, *what)

    def replay(self) -> None:
        """Take in what was written by processes that are gone."""
        for store in self.stores.values():
            store.values.clear()
        for kind, name, *rest in self._diary.read():
            if kind == "set":
                key, value = rest
                self.called(name).values[key] = json.dumps(value)
            elif kind == "delete":
                self.called(name).values.pop(rest[0], None)
            elif kind == "xcom":
                task_id, key, text = rest
                self.runs[name].xcoms[task_id, key] = text
            elif kind == "ended":
                task_id, state = rest
                self.runs[name].states[task_id] = state


def in_a_fork(work: Callable[[], Any], folder: Path, *, kill_when: Callable[[], bool] | None = None) -> Any:
    """Do something in a fork of this process, and return what it returns.

    :param folder: for its result.
    :param kill_when: asked again and again; once it says yes, the process is killed with SIGKILL.
    :return: the result; ``None`` where it was killed.
    :raises RuntimeError: it has raised something, or died.
    """
    path = folder / "result.pickle"
    path.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        _end(work, path)
    is_gone = False

    def gone() -> bool:
        nonlocal is_gone
        is_gone = is_gone or os.waitpid(child, os.WNOHANG) != (0, 0)
        return is_gone

    try:
        if kill_when is not None:
            wait_for(lambda: gone() or kill_when(), "The moment to kill", timeout=PATIENCE, interval=0.002)
            if not is_gone:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                is_gone = True
                return None
        wait_for(gone, "A process", timeout=PATIENCE, interval=0.002)
    finally:
        if not is_gone:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if not path.exists():
        raise RuntimeError("the process has died")
    is_good, result = pickle.loads(path.read_bytes())
    if not is_good:
        raise RuntimeError(result)
    return result


def _end(work: Callable[[], Any], path: Path) -> None:
    """Work, leave the result, and be gone without anything that the parent would do at its end."""
    try:
        outcome: tuple[bool, Any] = (True, work())
    except BaseException:
        outcome = (False, traceback.format_exc())
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(outcome))
    part.replace(path)
    os._exit(0)
