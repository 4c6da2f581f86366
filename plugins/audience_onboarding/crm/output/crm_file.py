"""Rows of a load, hashed and encoded while they are sent."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import polars as pl

from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.report import accounting_error
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool

FrameOrSeries = TypeVar("FrameOrSeries", pl.DataFrame, pl.Series)

_GZIP = 31  # window bits of the gzip format; zlib writes no time into its header


@dataclass(frozen=True)
class FilePart:
    """A part of a load as a file of its own.

    :param number: from 1.
    :param rows: without the header.
    :param body: header line and rows.
    """

    number: int
    rows: int
    body: bytes = field(repr=False)


class CrmFile:
    """Rows that are ready to be sent, as the vendor's CSV.

    :ivar rows: number of rows.
    :ivar size: number of bytes that :meth:`chunks` returns; ``None`` for a compressed file.
    :ivar content_id: hexadecimal digest, equal exactly if the bytes are equal, and known before they are made: see
        :class:`~audience_onboarding.crm.output.encoder.ContentId`.
    """

    def __init__(
        self,
        encoder: CsvEncoder,
        store: FrameStore,
        pool: OrderedThreadPool,
        *,
        dropped: dict[int, pl.Series],
        content_id: str,
        size: int,
    ) -> None:
        self.encoder = encoder
        self.store = store
        self._pool = pool
        self._dropped = dropped
        self.rows = sum(store.heights) - sum(map(len, dropped.values()))
        self.content_id = content_id
        self._plain_size = len(encoder.header()) + size
        self.size = self._plain_size if encoder.profile.compression == "none" else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rows={self.rows}, content_id={self.content_id!r})"

    def chunks(self, size: int) -> Iterator[bytes]:
        """Return the file, header line and rows. Each call returns the same bytes.

        :param size: bytes of each chunk; the last one may be shorter.
        :raises AccountingError: the bytes are not as many as were counted: a bug, do not complete the upload.
        """
        if size < 1:
            raise ValueError("size must be at least 1 byte")
        pieces: list[bytes | memoryview] = []
        held = 0
        for block in compress(chain.from_iterable(self._blocks()), self.encoder.profile.compression):
            rest = memoryview(block)
            while held + len(rest) >= size:
                missing = size - held
                yield b"".join([*pieces, rest[:missing]])
                pieces, held, rest = [], 0, rest[missing:]
            if rest:
                pieces.append(rest)
                held += len(rest)
        if pieces:
            yield b"".join(pieces)

    def parts(self, *, max_rows: int, max_bytes: int) -> Iterator[FilePart]:
        """Return the rows in order as several files, each with a header. Each call returns the same parts.

        :param max_rows: of a part, without the header.
        :param max_bytes: of a part, with the header. A single row above the limit is a part nevertheless.
        """
        if max_rows < 1 or max_bytes < 1:
            raise ValueError("a part has at least one row and one byte")
        header = self.encoder.header()
        rows: list[bytes] = []
        size, number = len(header), 1
        blocks = self._blocks()
        next(blocks)
        for block in blocks:
            for row in b"".join(block).splitlines(keepends=True):
                if rows and (len(rows) == max_rows or size + len(row) > max_bytes):
                    yield FilePart(number, len(rows), header + b"".join(rows))
                    rows, size, number = [], len(header), number + 1
                rows.append(row)
                size += len(row)
        yield FilePart(number, len(rows), header + b"".join(rows))

    def frames(self) -> Iterator[pl.DataFrame]:
        """Return the rows as frames of normalized values, a String column per identifier."""
        return map(self._frame, range(len(self.store)))

    def _frame(self, index: int) -> pl.DataFrame:
        return drop_rows(self.store.get(index), self._dropped.get(index))

    def _blocks(self) -> Iterator[list[bytes]]:
        """Return the header, and the rows in blocks of some MiB, each in pieces."""
        header = self.encoder.header()
        yield [header]
        size = len(header)
        for block in self._pool.map(
            lambda index: self.encoder.lines(self._frame(index)), range(len(self.store))
        ):
            size += sum(map(len, block))
            yield block
        if size != self._plain_size:
            raise accounting_error("Encoded bytes differ from the count", f"{size} of {self._plain_size}")


def compress(pieces: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """Return the bytes as they are (``none``) or in the format ``gzip``, the same for the same content."""
    if compression == "none":
        yield from pieces
        return
    packer = zlib.compressobj(wbits=_GZIP)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def drop_rows(rows: FrameOrSeries, dropped: pl.Series | None) -> FrameOrSeries:
    """Return the rows without some.

    :param dropped: their indexes; ``None`` for none.
    """
    if dropped is None:
        return rows
    kept: FrameOrSeries = rows.filter(pl.repeat(True, len(rows), eager=True).scatter(dropped, False))
    return kept


def local_indexes(numbers: pl.Series, heights: Sequence[int]) -> Iterator[tuple[int, pl.Series]]:
    """Return for ascending row numbers the index of each frame that has some, and their indexes in it."""
    values = numbers.to_numpy()
    start = begin = 0
    for index, height in enumerate(heights):
        end = int(values.searchsorted(start + height))
        if end > begin:
            yield index, pl.Series(values[begin:end] - start, dtype=pl.UInt32)
        begin, start = end, start + height
