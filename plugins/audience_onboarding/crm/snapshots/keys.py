"""Keys of rows and values, compared in bounded memory.

The key of a value is the first half of its SHA-256: 128 bits, so two different values have the same key with a chance
of 1 in 2**128, also if an attacker chose them. Keys are divided into as many buckets as the memory limit requires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
import polars_hash as plh

from audience_onboarding.crm.output.crm_file import CrmFile, drop_rows
from audience_onboarding.crm.output.encoder import ContentId, CsvEncoder, fingerprint
from audience_onboarding.crm.runtime.dedupe import find_duplicates
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool

if TYPE_CHECKING:
    import numpy.typing as npt

Mask: TypeAlias = "npt.NDArray[np.bool_]"

ROW = "row"
"""Name of the key of a whole row."""

BYTES_PER_KEY = 96
"""A key and its row number, twice while they are concatenated, and a slot of a hash set."""

_KEY_DIGITS = 32
_ROWS_PER_FRAME = 50_000
_ODD = 0x9E3779B97F4A7C15F39CC0605CEDC835


class ValueKeys:
    """Keys of the values and rows of frames.

    :param encoder: of frames with hashes in the place of values that are sent hashed.
    """

    def __init__(self, encoder: CsvEncoder) -> None:
        self.encoder = encoder
        self._groups = {f"value_{number}": group for number, group in enumerate(_group_columns(encoder))}
        self._hashed = {column.identifier.value for column in encoder.columns if column.transform == "sha256"}

    @property
    def names(self) -> list[str]:
        """Names of the keys of values."""
        return list(self._groups)

    def compute(self, frame: pl.DataFrame, *, whole_rows_only: bool, identifying_only: bool) -> pl.DataFrame:
        """Return the keys of each row: :attr:`names`, null for no value, and :data:`ROW`.

        :param whole_rows_only: only :data:`ROW`.
        :param identifying_only: only :attr:`names`, null for values that do not identify.
        """
        texts = frame.select(_value_text(group).alias(key) for key, group in self._groups.items())
        digests = texts.with_columns(
            plh.col(key).chash.sha2_256() for key, group in self._groups.items() if not self._is_hash(group)
        )
        keys = digests.select(
            pl.col(key).str.head(_KEY_DIGITS).str.to_integer(base=16, dtype=pl.UInt128)
            for key in self._groups
        )
        if identifying_only:
            identifies = frame.select(
                self._identifies(group).alias(key) for key, group in self._groups.items()
            )
            return keys.select(pl.when(identifies[key]).then(pl.col(key)).alias(key) for key in self._groups)
        row: pl.Expr = pl.lit(0, dtype=pl.UInt128)
        for number, key in enumerate(self._groups):
            # Each times another odd number, so that two values that swap places give another key.
            factor = pl.lit(_ODD * (2 * number + 1) % 2**128, dtype=pl.UInt128)
            row = row.xor(pl.col(key).fill_null(pl.lit(0, dtype=pl.UInt128)) * factor)
        return keys.select(row.alias(ROW)) if whole_rows_only else keys.with_columns(row.alias(ROW))

    def keep(self, frame: pl.DataFrame, masks: dict[str, pl.Series]) -> pl.DataFrame:
        """Return the rows with only the values that the masks select, without empty rows."""
        chosen = frame.with_columns(
            pl.when(masks[key]).then(pl.col(name)).alias(name)
            for key, group in self._groups.items()
            for name in group
        )
        return chosen.filter(pl.any_horizontal(*masks.values()))

    def _is_hash(self, group: Sequence[str]) -> bool:
        return len(group) == 1 and group[0] in self._hashed

    def _identifies(self, group: Sequence[str]) -> pl.Expr:
        sets = [{identifier.value for identifier in some} for some in self.encoder.profile.identified_by]
        complete = [
            pl.all_horizontal(pl.col(name).is_not_null() for name in sorted(names))
            for names in sets
            if names <= set(group)
        ]
        return pl.any_horizontal(complete) if complete else pl.lit(value=False)


def _value_text(group: Sequence[str]) -> pl.Expr:
    """Return one text per value that no other value has; null for no value."""
    if len(group) == 1:
        return pl.col(group[0])
    parts = [
        pl.when(pl.col(name).is_null())
        .then(pl.lit("-"))
        .otherwise(pl.format("{}:{}", pl.col(name).str.len_bytes(), pl.col(name)))
        for name in group
    ]
    return pl.when(pl.any_horizontal(pl.col(name).is_not_null() for name in group)).then(pl.concat_str(parts))


def _group_columns(encoder: CsvEncoder) -> list[list[str]]:
    """Group the columns that identify, or have a meaning, only together by the profile."""
    ties = [set(identifiers) for identifiers in encoder.profile.identified_by]
    ties += [{part, required} for part, required in encoder.profile.required_by]
    groups: list[set[str]] = [{name} for name in encoder.names]
    for tie in ties:
        names = {identifier.value for identifier in tie}
        tied = [group for group in groups if group & names]
        if len(tied) > 1:
            groups = [group for group in groups if not group & names] + [set().union(*tied)]
    position = encoder.names.index
    return sorted((sorted(group, key=position) for group in groups), key=lambda group: position(group[0]))


def concat_small(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Return the same rows in fewer frames if the frames are short."""
    pending: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        pending.append(frame)
        rows += frame.height
        if rows >= _ROWS_PER_FRAME:
            yield pl.concat(pending, rechunk=True)
            pending, rows = [], 0
    if rows:
        yield pl.concat(pending, rechunk=True)


class _KeyColumn:
    """One key of the rows of a list, with row numbers, in buckets.

    :param buckets: their number.
    :param limit: bytes to hold until they are divided, which limits the number of files.
    """

    def __init__(self, store: FrameStore, buckets: int, limit: int) -> None:
        self._store = store
        self._frames: list[list[int]] = [[] for _ in range(buckets)]
        self._limit = limit
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
        """Store the pending keys, divided into buckets."""
        if not self._pending:
            return
        frame = pl.concat(self._pending)
        self._pending.clear()
        self._size = 0
        buckets = len(self._frames)
        if buckets == 1:
            self._add(0, frame)
            return
        number = (pl.col("key") % buckets).cast(pl.UInt32).alias("bucket")
        frame = frame.with_columns(number).sort("bucket")
        ends = frame["bucket"].to_numpy().searchsorted(np.arange(buckets), side="right").tolist()
        frame = frame.drop("bucket")
        for bucket, (begin, end) in enumerate(pairwise([0, *ends])):
            self._add(bucket, frame[begin:end])

    def _add(self, bucket: int, frame: pl.DataFrame) -> None:
        if frame.height:
            self._frames[bucket].append(len(self._store))
            self._store.add(frame)

    def bucket(self, bucket: int) -> pl.DataFrame:
        """Return the keys of one bucket."""
        frames = [self._store.get(index) for index in self._frames[bucket]]
        return pl.concat(frames) if frames else pl.DataFrame(schema={"key": pl.UInt128, "number": pl.UInt32})


@dataclass(frozen=True)
class KeySet:
    """Keys of the rows of a list."""

    columns: dict[str, _KeyColumn]
    rows: int


@dataclass
class Workspace:
    """Storage of one comparison.

    :param results: directory for the results.
    :param scratch: directory that is removed after the comparison.
    :param buckets: number of buckets; the keys of one fit in memory.
    """

    results: Path
    scratch: Path
    pool: OrderedThreadPool
    budget: int
    buckets: int

    def store(self, name: str) -> FrameStore:
        """Return a store for rows during the comparison."""
        return FrameStore(self.scratch, name, budget=self.budget // 8)

    def keys(
        self,
        name: str,
        values: ValueKeys,
        frames: Iterable[pl.DataFrame],
        *,
        whole_rows_only: bool = False,
        identifying_only: bool = False,
    ) -> KeySet:
        """Return the keys of some rows. Options: see :meth:`ValueKeys.compute`."""
        store = self.store(f"keys-{name}")
        columns: dict[str, _KeyColumn] = {}
        start = 0
        for keys in self.pool.map(
            lambda frame: values.compute(
                frame, whole_rows_only=whole_rows_only, identifying_only=identifying_only
            ),
            frames,
        ):
            for column in keys.columns:
                if column not in columns:
                    columns[column] = _KeyColumn(store, self.buckets, self.budget // 8 // keys.width)
                columns[column].add(keys[column], start)
            start += keys.height
        for each in columns.values():
            each.divide()
        return KeySet(columns, start)

    def contains(self, keys: KeySet, others: KeySet, key: str) -> Mask:
        """Return which rows have a key that the other list has, too. Nulls are never contained."""
        mask = np.zeros(keys.rows, dtype=np.bool_)
        if keys.rows and others.rows:
            for bucket in range(self.buckets):
                own = keys.columns[key].bucket(bucket)
                other = others.columns[key].bucket(bucket)
                both = own.filter(pl.col("key").is_in(other["key"].implode()))
                mask[both["number"].to_numpy()] = True
        return mask

    def file(
        self, name: str, encoder: CsvEncoder, frames: Iterable[pl.DataFrame], *, distinct: bool = False
    ) -> CrmFile | None:
        """Return a file of some rows; ``None`` for no row.

        :param distinct: drop rows that equal an earlier one.
        """
        store = FrameStore(self.results, name, budget=self.budget // 8)
        prints = FrameStore(self.scratch, f"{name}-fingerprints", budget=self.budget // 16)
        size = 0
        for frame in concat_small(frames):
            store.add(frame)
            prints.add(frame.select(fingerprint(encoder.names)))
            size += encoder.size(frame)
        if not len(store):
            return None
        dropped: dict[int, pl.Series] = {}
        if distinct:
            duplicates = find_duplicates(store, prints, budget=max(1, self.budget // 2))
            dropped = duplicates.by_frame
            size -= sum(encoder.size(frame) for frame in duplicates.frames)
        content = ContentId(encoder)
        for index, frame in enumerate(prints.all()):
            content.add(drop_rows(frame["fingerprint"], dropped.get(index)))
        return CrmFile(encoder, store, self.pool, dropped=dropped, content_id=content.hexdigest(), size=size)
