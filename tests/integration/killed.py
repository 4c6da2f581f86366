"""Run an operator in a process of its own, which a test kills. Its memory is a file, as Airflow's is a database.

python -m tests.integration.killed <module:class> <arguments as JSON> <file of the state store>
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.local_stack import wait_for
from tests.children import PLUGINS, child_env
from tests.fakes import AssetStores, DictStore, task_context

PROJECT = Path(__file__).resolve().parents[2]


class FileStore(DictStore):
    """A state store that is on disk as soon as something is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(json.loads(path.read_text()) if path.exists() else {})
        self._path = path

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, value, retention=retention)
        self._write()

    def delete(self, key: str) -> None:
        super().delete(key)
        self._write()

    def _write(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self.values))
        part.replace(self._path)


class FileStores(AssetStores):
    """One file for the one asset that a test uses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __getitem__(self, asset: Any) -> DictStore:
        return self.stores.setdefault(asset.name, FileStore(self._path))


def run_and_kill(
    operator: str,
    arguments: dict[str, Any],
    *,
    store: Path,
    done: Callable[[], Any],
    log: Path,
    by: signal.Signals = signal.SIGKILL,
) -> None:
    """Start the operator, wait until ``done`` returns something true, and kill it.

    :param by: ``SIGKILL``, or ``SIGTERM``, after which it has the time to clean up that Airflow gives it, and a bit.
    """
    command = [sys.executable, "-m", "tests.integration.killed", operator, json.dumps(arguments), str(store)]
    env = child_env(PROJECT, PLUGINS)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: process.poll() is not None or done(), "The request", timeout=60, interval=0.05)
            assert process.poll() is None, log.read_text()
            process.send_signal(by)
            process.wait(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == (-by if by == signal.SIGKILL else 128 + by), log.read_text()


def main() -> None:
    """Run one operator."""
    from audience_onboarding.state.store import audience_asset

    target, arguments, store = sys.argv[1:]
    module, _, name = target.partition(":")
    operator = getattr(import_module(module), name)(
        task_id="killed", asset=audience_asset("test", "list"), **json.loads(arguments)
    )
    # As Airflow's task runner does.
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    operator.execute(task_context(stores=FileStores(Path(store))))


if __name__ == "__main__":
    main()
