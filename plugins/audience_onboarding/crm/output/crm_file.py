"""The rows of a load on their way out: hashed and formatted while they are sent."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import polars as pl

from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.exceptions import AccountingError

RowsOfAny = TypeVar("RowsOfAny", pl.DataFrame, pl.Series)

_GZIP = 31  # window bits that make zlib write the gzip format, with no time in its header


@dataclass(frozen=True)
class FilePart:
    """A part of a load that is a file of its own.

    :param number: counts from 1.
    :param rows: without the header.
    :param body: header line and rows.
    """

    number: int
    rows: int
    body: bytes = field(repr=False)


class CrmFile:
    """Rows that are ready to be sent, as the vendor's CSV.

    :ivar rows: number of rows.
    :ivar size: number of bytes that :meth:`chunks` gives; ``None`` for a compressed file.
    :ivar content_id: hexadecimal digest that is the same exactly where the bytes are the same. It is known before the
        bytes are made, see :class:`~audience_onboarding.crm.output.encoder.ContentId`.
    """

    rows: int
    size: int | None
    content_id: str

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
        self._workers = pool
        self._dropped = dropped
        self.rows = sum(store.heights) - sum(map(len, dropped.values()))
        self.content_id = content_id
        self._plain_size = len(encoder.header()) + size
        self.size = self._plain_size if encoder.profile.compression == "none" else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rows={self.rows}, content_id={self.content_id!r})"

    def chunks(self, size: int) -> Iterator[bytes]:
        """The file: header line and rows. Gives the same bytes each time.

        :param size: bytes of each chunk but the last, which may be shorter.
        :raises AccountingError: other bytes came out than were counted: a bug, and the upload must not be completed.
        """
        if size < 1:
            raise ValueError("size must be at least 1 byte")
        pieces: list[bytes | memoryview] = []
        held = 0
        for block in self._packed(self._blocks()):
            rest = memoryview(block)
            while held + len(rest) >= size:
                taken = size - held
                yield b"".join([*pieces, rest[:taken]])
                pieces, held, rest = [], 0, rest[taken:]
            if rest:
                pieces.append(rest)
                held += len(rest)
        if pieces:
            yield b"".join(pieces)

    def parts(self, *, max_rows: int, max_bytes: int) -> Iterator[FilePart]:
        """The rows in order, as several files, each with a header. Gives the same parts each time.

        :param max_rows: of a part, the header not counted.
        :param max_bytes: of a part, the header included; a single row that is larger still is a part.
        """
        if max_rows < 1 or max_bytes < 1:
            raise ValueError("a part needs room for a row")
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
        """The rows as frames of normalised values, a String column per identifier."""
        for index in range(len(self.store)):
            yield self._frame(index)

    def _frame(self, index: int) -> pl.DataFrame:
        return without(self.store.get(index), self._dropped.get(index))

    def _blocks(self) -> Iterator[list[bytes]]:
        """The header, and the rows in blocks of some MiB, each in pieces."""
        header = self.encoder.header()
        yield [header]
        size = len(header)
        for block in self._workers.map(
            lambda index: self.encoder.lines(self._frame(index)), range(len(self.store))
        ):
            size += sum(map(len, block))
            yield block
        if size != self._plain_size:
            raise AccountingError(
                what="other bytes came out than were counted",
                why=f"{size} of {self._plain_size}",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )

    def _packed(self, blocks: Iterator[list[bytes]]) -> Iterator[bytes]:
        pieces = chain.from_iterable(blocks)
        if self.encoder.profile.compression == "none":
            yield from pieces
            return
        packer = zlib.compressobj(wbits=_GZIP)
        for piece in pieces:
            if packed := packer.compress(piece):
                yield packed
        yield packer.flush()


def without(rows: RowsOfAny, dropped: pl.Series | None) -> RowsOfAny:
    """The rows but some.

    :param dropped: indexes of those that are left out; ``None`` for none of them.
    """
    if dropped is None:
        return rows
    kept: RowsOfAny = rows.filter(pl.repeat(True, len(rows), eager=True).scatter(dropped, False))
    return kept


def local_indexes(numbers: pl.Series, heights: Sequence[int]) -> Iterator[tuple[int, pl.Series]]:
    """Which frames, and which rows of each, ascending numbers of rows mean."""
    values = numbers.to_numpy()
    start = begin = 0
    for index, height in enumerate(heights):
        end = int(values.searchsorted(start + height))
        if end > begin:
            yield index, pl.Series(values[begin:end] - start, dtype=pl.UInt32)
        begin, start = end, start + height
