"""Which snapshots of an audience there are, and what each of them means.

A snapshot goes through three stages: *announced* before it is written (so that what a killed process leaves behind is
known), *begun* before anything is sent (from then on the vendor may have it), *confirmed* when the load is recorded.

It is kept in the memory of the audience, under two keys: what is begun is written by the task that sends, what is
confirmed by the task that records. These two may run at the same time, for two loads, and there is no
compare-and-set: so neither ever writes what the other does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from audience_onboarding.state.store import PENDING_LOADS_KEY, SNAPSHOTS_KEY, StateStore


@dataclass(frozen=True)
class SnapshotRef:
    """What an audience holds after a load, if that went through.

    :param load: the load's :func:`..memory.load_identity`.
    :param load_date: its day or range of days, see :func:`..memory.format_period`.
    :param mode: its mode.
    :param url: of the snapshot; ``None`` where nobody is left.
    :param rows: number of its rows.
    """

    load: str
    load_date: str
    mode: str
    url: str | None
    rows: int


@dataclass(frozen=True)
class DiffBase:
    """What a list is compared with.

    :param confirmed: the last confirmed state, ``None`` where there is none.
    :param attempts: what was begun since, and is not confirmed.
    """

    confirmed: SnapshotRef | None = None
    attempts: tuple[SnapshotRef, ...] = ()

    def all(self) -> list[SnapshotRef]:
        """All of them."""
        return [*([self.confirmed] if self.confirmed else []), *self.attempts]


@dataclass(frozen=True)
class PendingLoad:
    """A load that was begun.

    :param after: what the audience holds if it goes through.
    :param base: what it was compared with, so that a retry sends the same.
    :param is_whole: it leaves at the vendor what ``after`` says, whatever was there.
    :param number: later attempts have larger ones.
    """

    after: SnapshotRef
    base: DiffBase
    is_whole: bool
    number: int = 0


@dataclass
class _Begun:
    """Written by the task that sends."""

    audience_id: Any = None
    number: int = 0
    announced: str | None = None
    attempts: list[PendingLoad] = field(default_factory=list)

    def urls(self) -> set[str]:
        kept = [one for attempt in self.attempts for one in (attempt.after, *attempt.base.all())]
        return {one.url for one in kept if one.url} | ({self.announced} if self.announced else set())


@dataclass
class _Confirmed:
    """Written by the task that records.

    :param settled: up to which number nothing is open any more.
    :param also_settled: numbers beyond that.
    """

    audience_id: Any = None
    kept: list[SnapshotRef] = field(default_factory=list)
    settled: int = 0
    also_settled: list[int] = field(default_factory=list)
    to_delete: list[str] = field(default_factory=list)

    def urls(self) -> set[str]:
        return {one.url for one in self.kept if one.url}

    def is_open(self, attempt: PendingLoad) -> bool:
        return attempt.number > self.settled and attempt.number not in self.also_settled


class SnapshotLedger:
    """The snapshots of one audience.

    :param store: of the audience.
    :param audience_id: at the vendor; what is remembered of another one does not count. ``None`` if there is none yet.
    """

    def __init__(self, store: StateStore, audience_id: Any) -> None:
        self._store = store
        self._audience_id = audience_id
        self._begun = _begun(store.get(PENDING_LOADS_KEY))
        self._confirmed = _confirmed(store.get(SNAPSHOTS_KEY))
        if not self._is_ours(self._begun.audience_id):
            # Numbers go on, as they say what is settled.
            self._begun = _Begun(number=self._begun.number)

    @property
    def confirmed(self) -> SnapshotRef | None:
        """The last confirmed state."""
        kept = self._confirmed.kept
        return kept[0] if kept and self._is_ours(self._confirmed.audience_id) else None

    @property
    def begun(self) -> tuple[SnapshotRef, ...]:
        """What was begun since, and is not confirmed; the oldest first."""
        return tuple(attempt.after for attempt in self._open)

    def base_of(self, load: str) -> DiffBase:
        """What a load is compared with: where it was the last to be begun, what it was compared with then."""
        attempts = self._open
        if attempts and attempts[-1].after.load == load:
            return attempts[-1].base
        return DiffBase(self.confirmed, self.begun)

    def announce(self, url: str) -> str | None:
        """Say that a snapshot is about to be written.

        :return: one that was announced before, never begun, and means nothing: to be deleted.
        """
        before = self._begun.announced
        if before == url:
            return None
        self._begun.announced = url
        self._save_begun()
        return before if before not in self._begun.urls() | self._confirmed.urls() else None

    def begin(self, after: SnapshotRef, base: DiffBase, *, is_whole: bool) -> None:
        """Say that a load is about to be sent; nothing changes where it was the last to be begun."""
        attempts = self._open
        if attempts and attempts[-1].after.load == after.load:
            return
        self._begun.number += 1
        attempt = PendingLoad(after, base, is_whole, self._begun.number)
        # Of the earlier ones, what they were compared with is not asked for any more.
        earlier = [replace(one, base=DiffBase()) for one in attempts if one.after.load != after.load]
        self._begun.attempts = [*earlier, attempt]
        self._begun.announced = None
        self._save_begun()

    def confirm(self, load: str, *, keep: int) -> list[str]:
        """Take what a load leaves for what the audience holds; where it is no open attempt, nothing changes.

        :param keep: how many confirmed ones are kept.
        :return: snapshots that mean nothing any more: to be deleted, see :meth:`deleted`.
        """
        confirmed = self._confirmed
        attempt = next((one for one in self._open if one.after.load == load), None)
        if attempt is None:
            return list(confirmed.to_delete)
        before = confirmed.urls() | self._begun.urls()
        kept = confirmed.kept if self._is_ours(confirmed.audience_id) else []
        confirmed.audience_id = self._audience_id
        confirmed.kept = [attempt.after, *kept][:keep]
        if attempt.is_whole:
            # Of what was begun before it, nothing is left.
            confirmed.settled = attempt.number
            confirmed.also_settled = [one for one in confirmed.also_settled if one > attempt.number]
        else:
            confirmed.also_settled.append(attempt.number)
        # What was settled is still listed among the attempts, which the other task writes.
        still = _Begun(announced=self._begun.announced, attempts=self._open)
        confirmed.to_delete = sorted({*confirmed.to_delete, *before} - still.urls() - confirmed.urls())
        self._save_confirmed()
        return list(confirmed.to_delete)

    def deleted(self) -> None:
        """Say that what was to be deleted is gone."""
        if self._confirmed.to_delete:
            self._confirmed.to_delete = []
            self._save_confirmed()

    def urls(self) -> list[str]:
        """All snapshots that are known of: confirmed, begun, announced, and to be deleted."""
        # What was settled is still listed among the attempts, which the task that sends writes.
        still = _Begun(announced=self._begun.announced, attempts=self._open)
        return sorted({*self._confirmed.urls(), *still.urls(), *self._confirmed.to_delete})

    @property
    def to_delete(self) -> list[str]:
        """Snapshots that mean nothing any more."""
        return list(self._confirmed.to_delete)

    def recount(self, rows: Mapping[str, int]) -> None:
        """Say that confirmed snapshots hold fewer rows now, because people were taken out of them.

        :param rows: by url; one that nobody is left in means nothing any more, and is to be deleted.
        """
        before = self._confirmed.kept
        after = [_recounted(kept, rows) for kept in before]
        if after == before:
            return
        self._confirmed.kept = after
        self._save_confirmed()

    @property
    def _open(self) -> list[PendingLoad]:
        return [attempt for attempt in self._begun.attempts if self._confirmed.is_open(attempt)]

    def _is_ours(self, audience_id: Any) -> bool:
        # An audience that is created with its first list has no id when that is begun.
        return audience_id is None or audience_id == self._audience_id

    def _save_begun(self) -> None:
        self._begun.attempts = self._open
        self._begun.audience_id = self._audience_id
        self._store.set(PENDING_LOADS_KEY, _as_json(self._begun))

    def _save_confirmed(self) -> None:
        self._store.set(SNAPSHOTS_KEY, _as_json(self._confirmed))


def _as_json(book: _Begun | _Confirmed) -> Any:
    """As Airflow's state store takes it: it refuses a tuple."""
    return json.loads(json.dumps(asdict(book)))


def _recounted(kept: SnapshotRef, rows: Mapping[str, int]) -> SnapshotRef:
    if kept.url is None or kept.url not in rows:
        return kept
    left = rows[kept.url]
    return replace(kept, rows=left, url=kept.url if left else None)


def _kept(value: Any) -> SnapshotRef:
    return SnapshotRef(**value)


def _base(value: Any) -> DiffBase:
    confirmed = value["confirmed"]
    return DiffBase(None if confirmed is None else _kept(confirmed), tuple(map(_kept, value["attempts"])))


def _begun(value: Any) -> _Begun:
    if not isinstance(value, dict):
        return _Begun()
    attempts = [
        PendingLoad(_kept(one["after"]), _base(one["base"]), one["is_whole"], one["number"])
        for one in value["attempts"]
    ]
    return _Begun(value["audience_id"], value["number"], value["announced"], attempts)


def _confirmed(value: Any) -> _Confirmed:
    if not isinstance(value, dict):
        return _Confirmed()
    return _Confirmed(
        value["audience_id"],
        [_kept(one) for one in value["kept"]],
        value["settled"],
        list(value["also_settled"]),
        list(value["to_delete"]),
    )
