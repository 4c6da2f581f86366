"""Find equal rows among more rows than fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import polars as pl

from audience_onboarding.crm.output.crm_file import local_indexes
from audience_onboarding.crm.runtime.frame_store import MIB, FrameStore

_BYTES_PER_KEY = 24  # a fingerprint, its copy, and the memory of sorting
_BYTES_PER_CANDIDATE = 200
_ALL_BITS = 2**64 - 1


@dataclass(frozen=True)
class Duplicates:
    """Rows that equal an earlier one.

    :param by_frame: indexes of the rows, by the index of their frame in the store.
    :param count: number of rows.
    :param frames: their values.
    """

    by_frame: dict[int, pl.Series] = field(default_factory=dict)
    count: int = 0
    frames: Sequence[pl.DataFrame] = ()


def find_duplicates(values: FrameStore, fingerprints: FrameStore, *, budget: int) -> Duplicates:
    """Return all rows that equal an earlier row in every value.

    First, fingerprints are sorted with the row number in their lower bits. Rows with equal upper bits are neighbours
    then: the candidates, of which a few differ. Second, the values of the candidates are compared.

    :param values: frames of the rows.
    :param fingerprints: frames of one UInt64 column ``fingerprint``, of the same number and heights as ``values``.
    :param budget: bytes of memory to use, roughly.
    """
    rows = sum(fingerprints.heights)
    parts = list(_candidates(fingerprints, rows, budget))
    candidates = pl.concat(parts).sort() if parts else pl.Series(dtype=pl.UInt64)
    if candidates.is_empty():
        return Duplicates()
    buckets = 1 + len(candidates) * _BYTES_PER_CANDIDATE // budget
    equal = [_equal_rows(values, fingerprints, candidates, bucket, buckets) for bucket in range(buckets)]
    numbers = pl.concat([frame["number"] for frame in equal]).sort()
    return Duplicates(
        dict(local_indexes(numbers, values.heights)),
        len(numbers),
        [frame.drop("number") for frame in equal if frame.height],
    )


def _candidates(fingerprints: FrameStore, rows: int, budget: int) -> Iterator[pl.Series]:
    """Return numbers of rows that share the upper bits of their fingerprint with another row."""
    low = (1 << max(1, rows.bit_length())) - 1
    high = pl.lit(_ALL_BITS ^ low, dtype=pl.UInt64)
    buckets = 1 + rows * _BYTES_PER_KEY // max(budget, MIB)
    for bucket in range(buckets):
        keys: list[pl.Series] = []
        start = 0
        for frame in fingerprints.all():
            numbers = pl.int_range(start, start + frame.height, dtype=pl.UInt64)
            key = (pl.col("fingerprint") & high) | numbers
            chosen = frame.select(key.alias("key"), "fingerprint")
            if buckets > 1:
                chosen = chosen.filter(_in_bucket("fingerprint", bucket, buckets))
            keys.append(chosen["key"])
            start += frame.height
        in_order = pl.concat(keys).sort().to_frame() if keys else pl.DataFrame({"key": []})
        keys.clear()
        upper = pl.col("key") & high
        same = (upper == upper.shift(1)).fill_null(value=False)
        yield (
            in_order.filter(same | same.shift(-1).fill_null(value=False))
            .select(pl.col("key") & pl.lit(low, dtype=pl.UInt64))
            .to_series()
        )


def _equal_rows(
    values: FrameStore, fingerprints: FrameStore, candidates: pl.Series, bucket: int, buckets: int
) -> pl.DataFrame:
    """Return the candidates of a bucket that equal an earlier one, with their ``number``."""
    frames: list[pl.DataFrame] = []
    starts = [0, *accumulate(values.heights)]
    for index, local in local_indexes(candidates, values.heights):
        if buckets > 1:
            prints = fingerprints.get(index)["fingerprint"].gather(local)
            local = local.filter(  # noqa: PLW2901
                prints.to_frame().select(_in_bucket("fingerprint", bucket, buckets)).to_series()
            )
        # Concatenated with the empty string, and so copied: gathered rows alone keep their whole frame in memory.
        frame = values.get(index)[local].select(pl.all() + pl.lit(""))
        frames.append(frame.with_columns((local.cast(pl.UInt64) + starts[index]).alias("number")))
    rows = pl.concat(frames)
    first = rows.select(pl.struct(pl.exclude("number")).is_first_distinct()).to_series()
    return rows.filter(~first)


def _in_bucket(column: str, bucket: int, buckets: int) -> pl.Expr:
    # Equal fingerprints are in the same bucket.
    return pl.col(column) % buckets == bucket
