"""Runs uploads to the plain platform from a folder of extracts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.fakes import AssetStores, task_context
from tests.unit.base.plain import PlainOnboardOperator

ASSET = Asset("audience/list")
DAY = "2026-11-20"


class Hashes(dict[str, str]):
    """The hash of NAME@example.com, by NAME."""

    def __missing__(self, name: str) -> str:
        return hashlib.sha256(f"{name}@example.com".encode()).hexdigest()


HASHES = Hashes()


def csv_of(*names: str) -> bytes:
    """Return the file that is sent for these people."""
    return "".join(f"{line}\r\n" for line in ["email", *(HASHES[name] for name in names)]).encode()


class Bench:
    """One operator after the other in the same task.

    :ivar memory: state store of the audience.
    :ivar defaults: arguments of each operator.
    """

    def __init__(self, client: Any, stores: AssetStores, folder: Path, **defaults: Any) -> None:
        self.client, self.stores, self.folder = client, stores, folder
        self.store = stores[ASSET].values
        self.context = task_context(stores=stores)
        self.source = str(folder / "{load_date}.csv")
        self.defaults = {
            "kind": PlainOnboardOperator,
            "task_id": "upload",
            "source": self.source,
            "columns": {"email": "E-mail"},
            "asset": ASSET,
            "load_date": DAY,
            "memory_limit_mib": 256,
            **defaults,
        }

    def write(self, name: str, content: str | bytes) -> None:
        """Write an extract."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def operator(self, **changes: Any) -> Any:
        """Create an operator; ``kind`` is its class."""
        arguments = {**self.defaults, **changes}
        return arguments.pop("kind")(**arguments)

    def run(self, **changes: Any) -> dict[str, Any]:
        """Execute an operator."""
        found: dict[str, Any] = self.operator(**changes).execute(self.context)
        return found

    def sent(self, content: bytes, *, to: str = "t-7") -> None:
        """Assert that this was sent, and nothing else."""
        self.client.send_list.assert_called_once_with(to, content)

    def fails(self, message: str, **changes: Any) -> None:
        """Assert that an operator fails for good, with nothing sent."""
        self._ends(AirflowFailException, message, changes)

    def skips(self, message: str, **changes: Any) -> None:
        """Assert that an operator skips its task, with nothing sent."""
        self._ends(AirflowSkipException, message, changes)

    def _ends(self, ending: type[Exception], message: str, changes: dict[str, Any]) -> None:
        before = self.client.send_list.call_count
        with pytest.raises(ending, match=message):
            self.run(**changes)
        assert self.client.send_list.call_count == before
