"""Ledger of an audience's snapshots: which exist, and their content.

A snapshot has three stages: *announced* before its file is written, so that a leftover of a killed process is known;
*pending* before anything is sent, as the vendor may hold it from then on; *confirmed* when the load is recorded.

The ledger uses two keys of the audience's state store: the upload task writes the pending loads, the record task the
confirmed ones. Both may run at the same time, for two loads, and there is no compare-and-set: so neither task ever
writes the other's key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from audience_onboarding.state.store import PENDING_LOADS_KEY, SNAPSHOTS_KEY, StateStore


@dataclass(frozen=True)
class SnapshotRef:
    """Content of an audience after a load.

    :param load: the load's :func:`.store.load_identity`.
    :param load_date: its date or date range, see :func:`.store.format_period`.
    :param mode: its mode.
    :param url: of the snapshot; ``None`` for an empty audience.
    :param rows: number of its rows.
    """

    load: str
    load_date: str
    mode: str
    url: str | None
    rows: int


@dataclass(frozen=True)
class DiffBase:
    """Snapshots that a list is compared with.

    :param confirmed: the last confirmed one, ``None`` before the first.
    :param pending: those of loads that were sent since and are not confirmed.
    """

    confirmed: SnapshotRef | None = None
    pending: tuple[SnapshotRef, ...] = ()

    def all(self) -> list[SnapshotRef]:
        """Return the confirmed and the pending snapshots."""
        return [*([self.confirmed] if self.confirmed else []), *self.pending]


@dataclass(frozen=True)
class PendingLoad:
    """Load that was started and is not confirmed.

    :param after: content of the audience if the load succeeds.
    :param base: its comparison, so that a retry sends the same rows.
    :param is_whole: the load replaces the content of the audience.
    :param number: increases with each load.
    """

    after: SnapshotRef
    base: DiffBase
    is_whole: bool
    number: int = 0


@dataclass
class _Pending:
    """Written by the upload task."""

    audience_id: Any = None
    number: int = 0
    announced: str | None = None
    loads: list[PendingLoad] = field(default_factory=list)

    def urls(self) -> set[str]:
        refs = [ref for load in self.loads for ref in (load.after, *load.base.all())]
        return {ref.url for ref in refs if ref.url} | ({self.announced} if self.announced else set())


@dataclass
class _Confirmed:
    """Written by the record task.

    :param done_up_to: loads up to this number are no longer pending.
    :param also_done: further such numbers.
    """

    audience_id: Any = None
    snapshots: list[SnapshotRef] = field(default_factory=list)
    done_up_to: int = 0
    also_done: list[int] = field(default_factory=list)
    to_delete: list[str] = field(default_factory=list)

    def urls(self) -> set[str]:
        return {ref.url for ref in self.snapshots if ref.url}

    def is_pending(self, load: PendingLoad) -> bool:
        return load.number > self.done_up_to and load.number not in self.also_done


class SnapshotLedger:
    """Snapshots of one audience.

    :param store: of the audience.
    :param audience_id: at the vendor, ``None`` before its creation; records of another id do not count.
    """

    def __init__(self, store: StateStore, audience_id: Any) -> None:
        self._store = store
        self._audience_id = audience_id
        self._pending = _parse_pending(store.get(PENDING_LOADS_KEY))
        self._confirmed = _parse_confirmed(store.get(SNAPSHOTS_KEY))
        if not self._is_ours(self._pending.audience_id):
            # The numbers continue, as those of confirmed loads refer to them.
            self._pending = _Pending(number=self._pending.number)

    @property
    def confirmed(self) -> SnapshotRef | None:
        """Last confirmed snapshot."""
        refs = self._confirmed.snapshots
        return refs[0] if refs and self._is_ours(self._confirmed.audience_id) else None

    @property
    def pending(self) -> tuple[SnapshotRef, ...]:
        """Snapshots of loads that are not confirmed, oldest first."""
        return tuple(load.after for load in self._pending_loads)

    @property
    def to_delete(self) -> list[str]:
        """Snapshots that are no longer needed."""
        return list(self._confirmed.to_delete)

    def urls(self) -> list[str]:
        """Return all known snapshots: confirmed, pending, announced, and to be deleted."""
        return sorted({*self._confirmed.urls(), *self._pending_urls(), *self._confirmed.to_delete})

    def get_base(self, load: str) -> DiffBase:
        """Return the snapshots to compare a load with; a retry of the newest pending load has its earlier base."""
        loads = self._pending_loads
        if loads and loads[-1].after.load == load:
            return loads[-1].base
        return DiffBase(self.confirmed, self.pending)

    def announce(self, url: str) -> str | None:
        """Record that a snapshot will be written.

        :return: the snapshot announced before, if no load uses it: to be deleted.
        """
        before = self._pending.announced
        if before == url:
            return None
        self._pending.announced = url
        self._save_pending()
        return before if before not in self._pending.urls() | self._confirmed.urls() else None

    def add_pending(self, after: SnapshotRef, base: DiffBase, *, is_whole: bool) -> None:
        """Record that a load will be sent; a retry of the newest pending load changes nothing."""
        loads = self._pending_loads
        if loads and loads[-1].after.load == after.load:
            return
        self._pending.number += 1
        # The bases of earlier loads are no longer needed.
        earlier = [replace(load, base=DiffBase()) for load in loads if load.after.load != after.load]
        self._pending.loads = [*earlier, PendingLoad(after, base, is_whole, self._pending.number)]
        self._pending.announced = None
        self._save_pending()

    def confirm(self, load: str, *, keep: int) -> list[str]:
        """Record that a pending load was confirmed; any other load changes nothing.

        :param keep: number of confirmed snapshots to keep.
        :return: snapshots to delete, see :meth:`mark_deleted`.
        """
        confirmed = self._confirmed
        match = next((one for one in self._pending_loads if one.after.load == load), None)
        if match is None:
            return self.to_delete
        before = confirmed.urls() | self._pending.urls()
        snapshots = confirmed.snapshots if self._is_ours(confirmed.audience_id) else []
        confirmed.audience_id = self._audience_id
        confirmed.snapshots = [match.after, *snapshots][:keep]
        if match.is_whole:
            # It has replaced the content of all earlier loads.
            confirmed.done_up_to = match.number
            confirmed.also_done = [number for number in confirmed.also_done if number > match.number]
        else:
            confirmed.also_done.append(match.number)
        confirmed.to_delete = sorted(
            {*confirmed.to_delete, *before} - self._pending_urls() - confirmed.urls()
        )
        self._save_confirmed()
        return self.to_delete

    def mark_deleted(self) -> None:
        """Record that the snapshots to delete are deleted."""
        if self._confirmed.to_delete:
            self._confirmed.to_delete = []
            self._save_confirmed()

    def update_rows(self, rows: Mapping[str, int]) -> None:
        """Set the row counts of confirmed snapshots after an erasure.

        :param rows: by url; an empty snapshot is dropped from the ledger.
        """
        before = self._confirmed.snapshots
        after = [_with_rows(ref, rows) for ref in before]
        if after != before:
            self._confirmed.snapshots = after
            self._save_confirmed()

    @property
    def _pending_loads(self) -> list[PendingLoad]:
        return [load for load in self._pending.loads if self._confirmed.is_pending(load)]

    def _pending_urls(self) -> set[str]:
        # The other task's record still lists loads that are confirmed by now.
        return _Pending(announced=self._pending.announced, loads=self._pending_loads).urls()

    def _is_ours(self, audience_id: Any) -> bool:
        # An audience that is created with its first list has no id when that load starts.
        return audience_id is None or audience_id == self._audience_id

    def _save_pending(self) -> None:
        self._pending.loads = self._pending_loads
        self._pending.audience_id = self._audience_id
        self._store.set(PENDING_LOADS_KEY, _as_json(self._pending))

    def _save_confirmed(self) -> None:
        self._store.set(SNAPSHOTS_KEY, _as_json(self._confirmed))


def _as_json(record: _Pending | _Confirmed) -> Any:
    """Return plain JSON: Airflow's state store refuses a tuple."""
    return json.loads(json.dumps(asdict(record)))


def _with_rows(ref: SnapshotRef, rows: Mapping[str, int]) -> SnapshotRef:
    if ref.url is None or ref.url not in rows:
        return ref
    return replace(ref, rows=rows[ref.url], url=ref.url if rows[ref.url] else None)


def _parse_base(value: Any) -> DiffBase:
    confirmed = value["confirmed"]
    pending = tuple(SnapshotRef(**ref) for ref in value["pending"])
    return DiffBase(None if confirmed is None else SnapshotRef(**confirmed), pending)


def _parse_pending(value: Any) -> _Pending:
    if not isinstance(value, dict):
        return _Pending()
    loads = [
        PendingLoad(SnapshotRef(**load["after"]), _parse_base(load["base"]), load["is_whole"], load["number"])
        for load in value["loads"]
    ]
    return _Pending(value["audience_id"], value["number"], value["announced"], loads)


def _parse_confirmed(value: Any) -> _Confirmed:
    if not isinstance(value, dict):
        return _Confirmed()
    return _Confirmed(**{**value, "snapshots": [SnapshotRef(**ref) for ref in value["snapshots"]]})
