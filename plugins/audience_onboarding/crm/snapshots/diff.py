"""Compare a list with a snapshot of the last load: difference, merge and removal.

Lists are compared by keys of 128 bits, see :mod:`.snapshots.keys`. The result and its order depend on neither the
number of threads nor the memory limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from audience_onboarding.crm.output.crm_file import CrmFile
from audience_onboarding.crm.runtime.frame_store import FrameStore, run_polars
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.crm.snapshots.keys import (
    BYTES_PER_KEY,
    ROW,
    KeySet,
    Mask,
    ValueKeys,
    Workspace,
    concat_small,
)
from audience_onboarding.crm.snapshots.snapshot import Snapshot, open_snapshot

Result = TypeVar("Result")


@dataclass(frozen=True)
class Difference:
    """Changes of a new list. Valid as long as the list.

    Send ``opt_out`` first, and ``opt_in`` when the vendor has processed it. An opt-out may remove the whole record that
    has the value, with other values that are still in the list. Such a row has changed, so ``opt_in`` has the rest of
    it and restores it. A row that has not changed has no value of ``opt_out``.

    After both, the vendor has every row of the new list and no value that is not in it. It may still have a row that is
    not in the list if each value of that row is in the list: the old row of a person who got a phone number, for
    example.

    :param opt_in: rows that the snapshot does not have exactly so, in the order of the list; ``None`` for no row.
    :param opt_out: values of the snapshot that no row of the list has, as rows of only those values, in the order of
        the snapshot, without duplicates; ``None`` for no value. An address is one value, see :func:`compare_lists`.
    :param unchanged: number of rows that both have.
    """

    opt_in: CrmFile | None
    opt_out: CrmFile | None
    unchanged: int


def compare_lists(
    file: CrmFile,
    previous: Path | None,
    *,
    attempts: Sequence[Path] = (),
    workdir: Path,
    pool: OrderedThreadPool,
    budget: int,
) -> Difference:
    """Compare a list with the snapshot of the last one.

    Columns that identify only together (those of an address) are one value. ``opt_out`` has it only if it identifies: a
    postal code alone would remove a neighbourhood.

    The effect of an unconfirmed attempt is unknown: it may have added its rows, removed others, both, or neither. So a
    row counts as sent only if the last list and each attempt have it, and a value as removed only if none has it.

    :param file: the new list.
    :param previous: the snapshot; ``None`` for the first load, which is all opt-in.
    :param attempts: snapshots of later, unconfirmed loads.
    :param workdir: a private directory that outlives the result.
    :param pool: threads that outlive the result.
    :param budget: bytes of memory to use, roughly, plus two bytes per row.
    :raises SourceNotFoundError: a snapshot does not exist.
    :raises SourceFormatError: it is not a snapshot, or damaged.
    :raises ConfigurationError: it does not fit the encoder of the list, or the disk is full.
    """
    paths = [*([] if previous is None else [previous]), *attempts]
    snapshots = [open_snapshot(path, file.encoder) for path in paths]
    if not snapshots:
        return Difference(file if file.rows else None, None, 0)

    def compare(work: Workspace) -> Difference:
        values = ValueKeys(snapshots[0].encoder)
        new = work.keys("new", values, _hash_rows(file, pool))
        is_sent = np.full(file.rows, previous is not None)
        changed = []
        for number, snapshot in enumerate(snapshots):
            old = work.keys(f"old-{number}", values, snapshot.frames(pool), whole_rows_only=True)
            is_sent &= work.contains(new, old, ROW)
            changed.append((snapshot, ~work.contains(old, new, ROW)))
        opt_in = work.file("opt-in", file.encoder, _select_rows(file.frames(), ~is_sent))
        opt_out = None
        if any(rows.any() for _, rows in changed):
            leaving = [
                _removed_values(work, values, new, number, snapshot, rows)
                for number, (snapshot, rows) in enumerate(changed)
                if rows.any()
            ]
            opt_out = work.file("opt-out", values.encoder, chain.from_iterable(leaving), distinct=True)
        return Difference(opt_in, opt_out, int(is_sent.sum()))

    rows = file.rows + sum(snapshot.rows for snapshot in snapshots)
    return _run(compare, rows, workdir, pool, budget)


def merge_lists(
    file: CrmFile, previous: Path, *, workdir: Path, pool: OrderedThreadPool, budget: int
) -> CrmFile:
    """Return the rows of a snapshot, and after them the new rows of a list.

    For a vendor whose upload replaces the audience: this adds to it. Parameters and errors: see :func:`compare_lists`.
    """
    snapshot = open_snapshot(previous, file.encoder)

    def merge(work: Workspace) -> CrmFile:
        values = ValueKeys(snapshot.encoder)
        new = work.keys("new", values, _hash_rows(file, pool), whole_rows_only=True)
        old = work.keys("old", values, snapshot.frames(pool), whole_rows_only=True)
        added = ~work.contains(new, old, ROW)
        rows = chain(snapshot.frames(pool), _select_rows(_hash_rows(file, pool), added))
        return work.file("merged", snapshot.encoder, rows) or file  # if neither has a row

    return _run(merge, file.rows + snapshot.rows, workdir, pool, budget)


def subtract_list(
    file: CrmFile, previous: Path, *, workdir: Path, pool: OrderedThreadPool, budget: int
) -> CrmFile | None:
    """Return the rows of a snapshot that have no value of a list; ``None`` for no row.

    For a vendor whose upload replaces the audience: this removes from it, with the effect of an opt-out at other
    vendors. A row is removed if any of its values is in the list. Parameters and errors: see :func:`compare_lists`.
    """
    snapshot = open_snapshot(previous, file.encoder)

    def subtract(work: Workspace) -> CrmFile | None:
        values = ValueKeys(snapshot.encoder)
        new = work.keys("new", values, _hash_rows(file, pool))
        old = work.keys("old", values, snapshot.frames(pool), identifying_only=True)
        removed = np.zeros(snapshot.rows, dtype=np.bool_)
        for key in values.names:
            removed |= work.contains(old, new, key)
        return work.file("left", snapshot.encoder, _select_rows(snapshot.frames(pool), ~removed))

    return _run(subtract, file.rows + snapshot.rows, workdir, pool, budget)


def _removed_values(
    work: Workspace, values: ValueKeys, new: KeySet, number: int, snapshot: Snapshot, changed: Mask
) -> Iterator[pl.DataFrame]:
    """Return the values of changed rows that the new list does not have. All other rows are in it."""
    store = work.store(f"changed-{number}")
    rows = _store_rows(store, _select_rows(snapshot.frames(work.pool), changed))
    keys = work.keys(f"changed-{number}", values, rows, identifying_only=True)
    # Values that do not identify have no key: no list contains them, and they are not removed.
    removed = {key: work.contains(keys, keys, key) & ~work.contains(keys, new, key) for key in values.names}
    start = 0
    for frame in store.all():
        part = slice(start, start + frame.height)
        start += frame.height
        yield values.keep(frame, {key: pl.Series(mask[part]) for key, mask in removed.items()})


def _hash_rows(file: CrmFile, pool: OrderedThreadPool) -> Iterator[pl.DataFrame]:
    return pool.map(file.encoder.hashed, file.frames())


def _select_rows(frames: Iterable[pl.DataFrame], selected: Mask) -> Iterator[pl.DataFrame]:
    start = 0
    for frame in frames:
        part = selected[start : start + frame.height]
        start += frame.height
        if part.any():
            yield frame if part.all() else frame.filter(pl.Series(part))


def _store_rows(store: FrameStore, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in concat_small(frames):
        store.add(frame)
        yield frame


def _run(
    work: Callable[[Workspace], Result], rows: int, workdir: Path, pool: OrderedThreadPool, budget: int
) -> Result:
    buckets = 1 + rows * BYTES_PER_KEY // max(1, budget // 2)
    # A directory of its own, so that one load can make several comparisons.
    results = Path(tempfile.mkdtemp(prefix="compared-", dir=workdir))
    with tempfile.TemporaryDirectory(prefix="comparing-", dir=workdir) as scratch:
        workspace = Workspace(results, Path(scratch), pool, budget, buckets)
        return run_polars(lambda: work(workspace), "The list cannot be compared with the last load")
