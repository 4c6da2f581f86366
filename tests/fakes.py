"""Stand-ins for what Airflow hands to a task. Nothing of ours is replaced here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any


class DictStore:
    """A state store in memory."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values = values if values is not None else {}
        self.retentions: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        # Airflow's store takes JSON and nothing else, not even a tuple.
        assert json.loads(json.dumps(value)) == value
        assert value is not None
        self.values[key] = value
        self.retentions[key] = retention

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class AssetStores:
    """The state stores of all assets, by the asset's name; outlives the contexts that use it."""

    def __init__(self) -> None:
        self.stores: dict[str, DictStore] = {}

    def __getitem__(self, asset: Any) -> DictStore:
        return self.stores.setdefault(asset.name, DictStore())


class TaskInstance:
    """Takes XComs."""

    def __init__(self, dag_id: str, run_id: str) -> None:
        self.dag_id = dag_id
        self.run_id = run_id
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


class InletEvents:
    """The events of each asset, oldest first.

    :param extras: of the events.
    """

    def __init__(self, extras: Sequence[Mapping[str, Any]] = ()) -> None:
        self._events = [SimpleNamespace(extra=extra) for extra in extras]

    def __getitem__(self, asset: Any) -> InletEvents:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._events)

    def ascending(self, *, ascending: bool) -> InletEvents:
        assert not ascending
        self._events.reverse()
        return self

    def limit(self, number: int) -> InletEvents:
        self._events = self._events[:number]
        return self


def task_context(
    *,
    stores: AssetStores | None = None,
    run_id: str = "manual__1",
    run_type: str = "manual",
    dag_id: str = "a_dag",
    partition_key: str | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    **params: Any,
) -> dict[str, Any]:
    """The context of a task, as far as the package reads it."""
    return {
        "params": params,
        "run_id": run_id,
        "ti": TaskInstance(dag_id, run_id),
        "dag_run": SimpleNamespace(
            run_type=run_type,
            run_id=run_id,
            partition_key=partition_key,
            logical_date=None,
            run_after=datetime(2026, 11, 20, 3, tzinfo=timezone.utc),
        ),
        "asset_state_store": stores or AssetStores(),
        "task_state_store": DictStore(),
        "inlet_events": InletEvents(events),
    }
