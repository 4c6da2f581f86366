"""What has changed since the last load, by a snapshot of it.

Lists are compared by keys of 128 bits: of a value, the first half of its SHA-256. Two values that differ share a key
by one chance in 2**128 only, also among values that somebody chose with care. Keys of both lists are looked up in one
another by buckets, as many as it takes to keep within the memory that is given. Nothing that decides which rows come
out, or in which order, depends on the number of threads, on the memory, or on the process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import polars as pl
import polars_hash as plh

from audience_onboarding.crm.output.crm_file import CrmFile, without
from audience_onboarding.crm.output.encoder import ContentId, CsvEncoder, fingerprint
from audience_onboarding.crm.runtime.dedupe import find_duplicates
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.crm.snapshots.snapshot import Snapshot, open_snapshot
from audience_onboarding.exceptions import TerminalError

if TYPE_CHECKING:
    import numpy.typing as npt

_BYTES_PER_KEY = (
    96  # a key and the number of its row, twice while they are put together, and its place in a hash set
)
_KEY_DIGITS = 32
_ROWS_PER_FRAME = 50_000
_ODD = 0x9E3779B97F4A7C15F39CC0605CEDC835
_ROW = "row"

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Difference:
    """What a new list changes. Usable as long as the list that it came of.

    Send ``opt_out`` first, and ``opt_in`` when the vendor is through with that. An opt-out may take the whole record
    along that holds the value, with other values that are still in the list. Such a record has changed, so what is
    left of it is a row of ``opt_in``, and comes back; the other way round it would be gone. A row that has not
    changed holds no value of ``opt_out``, so an opt-out never takes away what ``opt_in`` does not bring back.

    What the vendor has then is every row of the new list, and no value that is not in it. It may still have a row
    that is not in the list, if each value of that row is: of somebody who got a phone number it has the row without
    it, too.

    :param opt_in: rows that the snapshot does not have as they are, in the order of the list; ``None`` for no row.
    :param opt_out: values that the snapshot has and no row of the list has, as rows of only those, in the order of
        the snapshot, no two alike; ``None`` for no value. An address is one value, see :func:`compare_lists`.
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

    Columns that identify nobody one by one, but do together (those of an address), count as one value. It is in
    ``opt_out`` only where it identifies somebody: a postal code alone would take a neighbourhood along.

    What became of an attempt that nobody has confirmed is not known: it may have added its rows, taken out what it has
    not, both, or nothing. So a row counts as there only where the last list and each attempt have it, and a value as
    gone only where neither has it.

    :param file: the new list.
    :param previous: the snapshot; ``None`` for the first load, which is all opt-in.
    :param attempts: snapshots of what was begun after that, and is not confirmed.
    :param workdir: a private directory that outlives the result.
    :param pool: threads that outlive the result.
    :param budget: bytes of memory to use, roughly; two bytes a row come on top.
    :raises SourceNotFoundError: a snapshot is not there.
    :raises SourceFormatError: it is no snapshot, or a damaged one.
    :raises ConfigurationError: it does not fit the layout of the list, or there is no room to spill.
    """
    paths = [*([] if previous is None else [previous]), *attempts]
    snapshots = [open_snapshot(path, file.encoder) for path in paths]
    if not snapshots:
        return Difference(file if file.rows else None, None, 0)

    def compare(work: _Work) -> Difference:
        values = _Values(snapshots[0].encoder)
        new = work.keys("new", values, _hashed(file, pool))
        is_there = np.full(file.rows, previous is not None)
        changed = []
        for number, snapshot in enumerate(snapshots):
            old = work.keys(f"old-{number}", values, snapshot.frames(pool), whole_rows_only=True)
            is_there &= work.found(new, old, values.row)
            changed.append((snapshot, ~work.found(old, new, values.row)))
        opt_in = work.file("opt-in", file.encoder, _rows(file.frames(), ~is_there))
        opt_out = None
        if any(rows.any() for _, rows in changed):
            opt_out = _opt_out(work, values, new, changed)
        return Difference(opt_in, opt_out, int(is_there.sum()))

    rows = file.rows + sum(snapshot.rows for snapshot in snapshots)
    return _done(compare, rows, workdir, pool, budget)


def merge_lists(
    file: CrmFile, previous: Path, *, workdir: Path, pool: OrderedThreadPool, budget: int
) -> CrmFile:
    """The rows of a snapshot, and after them those of a list that it does not have.

    For a vendor whose upload replaces everything: this is how one adds to it. Parameters and errors are those of
    :func:`compare_lists`.
    """
    snapshot = open_snapshot(previous, file.encoder)

    def merge(work: _Work) -> CrmFile:
        values = _Values(snapshot.encoder)
        new = work.keys("new", values, _hashed(file, pool), whole_rows_only=True)
        old = work.keys("old", values, snapshot.frames(pool), whole_rows_only=True)
        added = ~work.found(new, old, values.row)
        together = chain(snapshot.frames(pool), _rows(_hashed(file, pool), added))
        return work.file("merged", snapshot.encoder, together) or file  # where neither has a row

    return _done(merge, file.rows + snapshot.rows, workdir, pool, budget)


def subtract_list(
    file: CrmFile, previous: Path, *, workdir: Path, pool: OrderedThreadPool, budget: int
) -> CrmFile | None:
    """The rows of a snapshot that hold no value of a list; ``None`` where no row is left.

    For a vendor whose upload replaces everything: this is how one takes out of it. It does what the opt-out of other
    vendors does: a row goes if any of its values is in the list, the values being those of :func:`compare_lists`.
    Parameters and errors are those, too.
    """
    snapshot = open_snapshot(previous, file.encoder)

    def remove(work: _Work) -> CrmFile | None:
        values = _Values(snapshot.encoder)
        new = work.keys("new", values, _hashed(file, pool))
        old = work.keys("old", values, snapshot.frames(pool), identifying_only=True)
        gone = np.zeros(snapshot.rows, dtype=np.bool_)
        for key in values.keys:
            gone |= work.found(old, new, key)
        return work.file("left", snapshot.encoder, _rows(snapshot.frames(pool), ~gone))

    return _done(remove, file.rows + snapshot.rows, workdir, pool, budget)


def _opt_out(
    work: _Work, values: _Values, new: _Keys, changed: Sequence[tuple[Snapshot, Mask]]
) -> CrmFile | None:
    """Values of those rows that are not there as they were: all others are in the new list."""
    leaving = [
        _leaving(work, values, new, number, snapshot, rows)
        for number, (snapshot, rows) in enumerate(changed)
        if rows.any()
    ]
    return work.file("opt-out", values.encoder, chain.from_iterable(leaving), distinct=True)


def _leaving(
    work: _Work, values: _Values, new: _Keys, number: int, snapshot: Snapshot, changed: Mask
) -> Iterator[pl.DataFrame]:
    rows = work.store(f"changed-{number}")
    keys = work.keys(
        f"changed-{number}",
        values,
        _kept_in(rows, _rows(snapshot.frames(work.pool), changed)),
        identifying_only=True,
    )
    # Values that identify nobody have no key, so that they are not held, nor gone.
    gone = {key: ~work.found(keys, new, key) & work.present(keys, key) for key in values.keys}
    start = 0
    for frame in rows.all():
        here = slice(start, start + frame.height)
        start += frame.height
        masks = {key: pl.Series(mask[here]) for key, mask in gone.items()}
        yield values.only(frame, masks)


def _hashed(file: CrmFile, pool: OrderedThreadPool) -> Iterator[pl.DataFrame]:
    yield from pool.map(file.encoder.hashed, file.frames())


def _rows(frames: Iterable[pl.DataFrame], wanted: Mask) -> Iterator[pl.DataFrame]:
    """Those rows of some frames in a row that are wanted."""
    start = 0
    for frame in frames:
        here = wanted[start : start + frame.height]
        start += frame.height
        if here.any():
            yield frame if here.all() else frame.filter(pl.Series(here))


def _kept_in(store: FrameStore, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in _gathered(frames):
        store.add(frame)
        yield frame


def _gathered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in fewer frames, where they are very short."""
    held: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        held.append(frame)
        rows += frame.height
        if rows >= _ROWS_PER_FRAME:
            yield pl.concat(held, rechunk=True)
            held, rows = [], 0
    if rows:
        yield pl.concat(held, rechunk=True)


# --- values and their keys ----------------------------------------------------------------------------------


class _Values:
    """Which columns are a value, and the keys of values and rows.

    :param layout: of frames with hashes in the place of what is sent hashed.
    """

    row = _ROW

    def __init__(self, encoder: CsvEncoder) -> None:
        self.encoder = encoder
        self._groups = {f"value_{number}": group for number, group in enumerate(_groups(encoder))}
        self._hashed = {column.identifier.value for column in encoder.columns if column.transform == "sha256"}

    @property
    def keys(self) -> list[str]:
        """Names of the columns with keys of values."""
        return list(self._groups)

    def of(self, frame: pl.DataFrame, *, whole_rows_only: bool, identifying_only: bool) -> pl.DataFrame:
        """The keys of each row, null where there is no value; :attr:`row` is that of the row as it is."""
        texts = frame.select(self._text(group).alias(key) for key, group in self._groups.items())
        digests = texts.with_columns(
            plh.col(key).chash.sha2_256() for key, group in self._groups.items() if not self._is_hash(group)
        )
        keys = digests.select(
            pl.col(key).str.head(_KEY_DIGITS).str.to_integer(base=16, dtype=pl.UInt128)
            for key in self._groups
        )
        row: pl.Expr = pl.lit(0, dtype=pl.UInt128)
        for number, key in enumerate(self._groups):
            # Each times another odd number, so that two values that swap places do not cancel out.
            factor = pl.lit(_ODD * (2 * number + 1) % 2**128, dtype=pl.UInt128)
            row = row.xor(pl.col(key).fill_null(pl.lit(0, dtype=pl.UInt128)) * factor)
        keys = keys.with_columns(row.alias(self.row))
        if whole_rows_only:
            return keys.select(self.row)
        if identifying_only:
            someone = frame.select(self._identifies(group).alias(key) for key, group in self._groups.items())
            return keys.select(pl.when(someone[key]).then(pl.col(key)).alias(key) for key in self._groups)
        return keys

    def only(self, frame: pl.DataFrame, masks: dict[str, pl.Series]) -> pl.DataFrame:
        """The rows with only the values that the masks choose; rows of which nothing is left fall away."""
        chosen = frame.with_columns(
            pl.when(masks[key]).then(pl.col(name)).alias(name)
            for key, group in self._groups.items()
            for name in group
        )
        return chosen.filter(pl.any_horizontal(*masks.values()))

    def _is_hash(self, group: Sequence[str]) -> bool:
        return len(group) == 1 and group[0] in self._hashed

    @staticmethod
    def _text(group: Sequence[str]) -> pl.Expr:
        """One text for a value, null for none, that no other value has."""
        if len(group) == 1:
            return pl.col(group[0])
        parts = [
            pl.when(pl.col(name).is_null())
            .then(pl.lit("-"))
            .otherwise(pl.format("{}:{}", pl.col(name).str.len_bytes(), pl.col(name)))
            for name in group
        ]
        return pl.when(pl.any_horizontal(pl.col(name).is_not_null() for name in group)).then(
            pl.concat_str(parts)
        )

    def _identifies(self, group: Sequence[str]) -> pl.Expr:
        ways = [
            sorted(identifier.value for identifier in way)
            for way in self.encoder.profile.identified_by
            if {identifier.value for identifier in way} <= set(group)
        ]
        if not ways:
            return pl.lit(value=False)
        return pl.any_horizontal(
            pl.all_horizontal(pl.col(name).is_not_null() for name in way) for way in ways
        )


def _groups(encoder: CsvEncoder) -> list[list[str]]:
    """The columns in groups: together those that the profile calls an identifier, or meaningful, only together."""
    ties = [set(way) for way in encoder.profile.identified_by]
    ties += [{part, other} for part, other in encoder.profile.required_by]
    groups: list[set[str]] = [{name} for name in encoder.names]
    for tie in ties:
        names = {identifier.value for identifier in tie}
        tied = [group for group in groups if group & names]
        if len(tied) > 1:
            groups = [group for group in groups if not group & names] + [set().union(*tied)]
    place = {name: number for number, name in enumerate(encoder.names)}
    return sorted(
        (sorted(group, key=place.__getitem__) for group in groups), key=lambda group: place[group[0]]
    )


# --- work in bounded memory ---------------------------------------------------------------------------------


class _Column:
    """One key of the rows of a list, with the number of the row, by buckets.

    :param store: where they go.
    :param buckets: into how many.
    :param held: bytes to hold until they are divided, so that there are not too many files.
    """

    def __init__(self, store: FrameStore, buckets: int, held: int) -> None:
        self._store = store
        self._places: list[list[int]] = [[] for _ in range(buckets)]
        self._limit = held
        self._pending: list[pl.DataFrame] = []
        self._size = 0

    def add(self, keys: pl.Series, start: int) -> None:
        numbers = pl.int_range(start, start + len(keys), dtype=pl.UInt32, eager=True).alias("number")
        frame = pl.DataFrame([keys.alias("key"), numbers]).drop_nulls("key")
        self._pending.append(frame)
        self._size += int(frame.estimated_size())
        if self._size >= self._limit:
            self.divide()

    def divide(self) -> None:
        """Put away what is held."""
        if not self._pending:
            return
        frame = pl.concat(self._pending)
        self._pending.clear()
        self._size = 0
        buckets = len(self._places)
        if buckets == 1:
            self._put(0, frame)
            return
        number = (pl.col("key") % buckets).cast(pl.UInt32).alias("bucket")
        frame = frame.with_columns(number).sort("bucket")
        ends = frame["bucket"].to_numpy().searchsorted(np.arange(buckets), side="right").tolist()
        frame = frame.drop("bucket")
        for bucket, (begin, end) in enumerate(pairwise([0, *ends])):
            self._put(bucket, frame[begin:end])

    def _put(self, bucket: int, frame: pl.DataFrame) -> None:
        if frame.height:
            self._places[bucket].append(len(self._store))
            self._store.add(frame)

    def bucket(self, bucket: int) -> pl.DataFrame:
        """Those of one bucket."""
        frames = [self._store.get(place) for place in self._places[bucket]]
        return pl.concat(frames) if frames else pl.DataFrame(schema={"key": pl.UInt128, "number": pl.UInt32})


@dataclass(frozen=True)
class _Keys:
    """The keys of the rows of a list."""

    columns: dict[str, _Column]
    rows: int


@dataclass
class _Work:
    """One comparison.

    :param results: directory of what comes of it.
    :param scratch: directory of what is gone when it is done.
    :param buckets: keys of one of them fit in memory.
    """

    results: Path
    scratch: Path
    pool: OrderedThreadPool
    budget: int
    buckets: int

    def store(self, name: str) -> FrameStore:
        """A place for rows that are needed while comparing."""
        return FrameStore(self.scratch, name, budget=self.budget // 8)

    def keys(
        self,
        name: str,
        values: _Values,
        frames: Iterable[pl.DataFrame],
        *,
        whole_rows_only: bool = False,
        identifying_only: bool = False,
    ) -> _Keys:
        """The keys of some rows."""
        store = FrameStore(self.scratch, f"keys-{name}", budget=self.budget // 8)
        columns: dict[str, _Column] = {}
        start = 0
        for keys in self.pool.map(
            lambda frame: values.of(
                frame, whole_rows_only=whole_rows_only, identifying_only=identifying_only
            ),
            frames,
        ):
            for column in keys.columns:
                if column not in columns:
                    columns[column] = _Column(store, self.buckets, self.budget // 8 // keys.width)
                columns[column].add(keys[column], start)
            start += keys.height
        for each in columns.values():
            each.divide()
        return _Keys(columns, start)

    def found(self, some: _Keys, others: _Keys, key: str) -> Mask:
        """Which of some keys are among the others; nulls are not."""
        mask = np.zeros(some.rows, dtype=np.bool_)
        if some.rows and others.rows:
            for bucket in range(self.buckets):
                here = some.columns[key].bucket(bucket)
                there = others.columns[key].bucket(bucket)
                both = here.filter(pl.col("key").is_in(there["key"].implode()))
                mask[both["number"].to_numpy()] = True
        return mask

    def present(self, keys: _Keys, key: str) -> Mask:
        """Which rows have a value."""
        mask = np.zeros(keys.rows, dtype=np.bool_)
        if keys.rows:
            for bucket in range(self.buckets):
                mask[keys.columns[key].bucket(bucket)["number"].to_numpy()] = True
        return mask

    def file(
        self, name: str, encoder: CsvEncoder, frames: Iterable[pl.DataFrame], *, distinct: bool = False
    ) -> CrmFile | None:
        """A file of some rows, without those that equal an earlier one where ``distinct``; ``None`` for no row."""
        store = FrameStore(self.results, name, budget=self.budget // 8)
        prints = FrameStore(self.scratch, f"{name}-fingerprints", budget=self.budget // 16)
        size = 0
        for frame in _gathered(frames):
            store.add(frame)
            prints.add(frame.select(fingerprint(encoder.names)))
            size += encoder.size(frame)
        if not len(store):
            return None
        dropped: dict[int, pl.Series] = {}
        if distinct:
            found = find_duplicates(store, prints, budget=max(1, self.budget // 2))
            dropped = found.by_frame
            size -= sum(encoder.size(frame) for frame in found.frames)
        identity = ContentId(encoder)
        for index, frame in enumerate(prints.all()):
            identity.add(without(frame["fingerprint"], dropped.get(index)))
        return CrmFile(encoder, store, self.pool, dropped=dropped, content_id=identity.hexdigest(), size=size)


def _done(
    work: Callable[[_Work], Result], rows: int, workdir: Path, pool: OrderedThreadPool, budget: int
) -> Result:
    buckets = 1 + rows * _BYTES_PER_KEY // max(1, budget // 2)
    # Directories of its own, so that several comparisons may come of one load.
    results = Path(tempfile.mkdtemp(prefix="compared-", dir=workdir))
    try:
        with tempfile.TemporaryDirectory(prefix="comparing-", dir=workdir) as scratch:
            return work(_Work(results, Path(scratch), pool, budget, buckets))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        failure = type(error).__name__
    # Out here, as Polars may quote values.
    raise TerminalError(
        what="the list cannot be compared with the last load",
        why=f"Polars raised {failure}; its text is withheld because it may quote rows",
        next_step="Check the free space of the spill directory; if that is fine, please report it",
    )
