"""Finding equal rows among more rows than fit in memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from audience_onboarding.crm.output.crm_file import local_indexes
from audience_onboarding.crm.runtime.frame_store import MIB, FrameStore

_BYTES_PER_KEY = 24  # a fingerprint, its copy, and what sorting takes
_BYTES_PER_CANDIDATE = 200
_ALL_BITS = 2**64 - 1


@dataclass(frozen=True)
class Duplicates:
    """Rows that equal an earlier one.

    :param by_frame: by the index of a frame in the store, which of its rows.
    :param count: how many.
    :param frames: their values, as some frames.
    """

    by_frame: dict[int, pl.Series] = field(default_factory=dict)
    count: int = 0
    frames: Sequence[pl.DataFrame] = ()


def find_duplicates(values: FrameStore, fingerprints: FrameStore, *, budget: int) -> Duplicates:
    """All rows but the first of those that are equal in every value.

    Two steps. Fingerprints are sorted, each with the number of its row in its lower bits, so that rows with the same
    upper bits come to lie side by side: candidates, among them a few that are not alike. Their values, and only
    theirs, are then compared.

    :param values: frames of the rows.
    :param fingerprints: frames of one UInt64 column ``fingerprint``, as many and as long as those of ``values``.
    :param budget: bytes of memory to use, roughly.
    """
    rows = sum(fingerprints.heights)
    found = list(_candidates(fingerprints, rows, budget))
    candidates = pl.concat(found).sort() if found else pl.Series(dtype=pl.UInt64)
    if candidates.is_empty():
        return Duplicates()
    dropped: list[pl.Series] = []
    frames: list[pl.DataFrame] = []
    buckets = 1 + len(candidates) * _BYTES_PER_CANDIDATE // budget
    for bucket in range(buckets):
        alike = _compared(values, fingerprints, candidates, bucket, buckets)
        if not alike.is_empty():
            dropped.append(alike["number"])
            frames.append(alike.drop("number"))
    if not dropped:
        return Duplicates()
    numbers = pl.concat(dropped).sort()
    return Duplicates(dict(local_indexes(numbers, values.heights)), len(numbers), frames)


def _candidates(fingerprints: FrameStore, rows: int, budget: int) -> Iterator[pl.Series]:
    """Numbers of rows that share the upper bits of their fingerprint with another row."""
    low = (1 << max(1, rows.bit_length())) - 1
    high = _ALL_BITS ^ low
    buckets = 1 + rows * _BYTES_PER_KEY // max(budget, MIB)
    for bucket in range(buckets):
        keys: list[pl.Series] = []
        start = 0
        for frame in fingerprints.all():
            numbers = pl.int_range(start, start + frame.height, dtype=pl.UInt64)
            key = (pl.col("fingerprint") & pl.lit(high, dtype=pl.UInt64)) | numbers
            chosen = frame.select(key.alias("key"), "fingerprint")
            if buckets > 1:
                chosen = chosen.filter(_in_bucket("fingerprint", bucket, buckets))
            keys.append(chosen["key"])
            start += frame.height
        in_order = pl.concat(keys).sort().to_frame() if keys else pl.DataFrame({"key": []})
        keys.clear()
        upper = pl.col("key") & pl.lit(high, dtype=pl.UInt64)
        same = (upper == upper.shift(1)).fill_null(value=False)
        yield (
            in_order.filter(same | same.shift(-1).fill_null(value=False))
            .select(pl.col("key") & pl.lit(low, dtype=pl.UInt64))
            .to_series()
        )


def _compared(
    values: FrameStore, fingerprints: FrameStore, candidates: pl.Series, bucket: int, buckets: int
) -> pl.DataFrame:
    """Those candidates of a bucket that equal an earlier one, with their ``number``."""
    taken: list[pl.DataFrame] = []
    starts = [0]
    for height in values.heights:
        starts.append(starts[-1] + height)
    for index, local in local_indexes(candidates, values.heights):
        if buckets > 1:
            prints = fingerprints.get(index)["fingerprint"].gather(local)
            local = local.filter(  # noqa: PLW2901
                prints.to_frame().select(_in_bucket("fingerprint", bucket, buckets)).to_series()
            )
        # Joined with nothing, and so copied: rows that are only picked out keep their whole frame alive.
        frame = values.get(index)[local].select(pl.all() + pl.lit(""))
        taken.append(frame.with_columns((local.cast(pl.UInt64) + starts[index]).alias("number")))
    together = pl.concat(taken)
    first = together.select(pl.struct(pl.exclude("number")).is_first_distinct()).to_series()
    return together.filter(~first)


def _in_bucket(column: str, bucket: int, buckets: int) -> pl.Expr:
    # By lower bits: rows that share their upper ones spread over all buckets otherwise.
    return pl.col(column) % buckets == bucket
