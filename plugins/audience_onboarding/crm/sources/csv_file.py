"""Read delimited text so that every row is accounted for.

Polars parses CSV fast, but repairs, merges or skips rows of a broken file silently. So the text is read in blocks of
whole records, in one of two ways:

* Polars parses blocks in which :class:`.CsvStructure` finds a regular structure, and must return the same number of
  rows.
* All other blocks (malformed rows, broken or unusual quoting, lone carriage returns, NUL bytes) are divided into small
  ones, and the strict CSV reader of the standard library reads those that are still irregular. It is slower, and its
  result *defines* the rows.

Blank lines are not rows. A row with another number of fields than the header, or with broken quoting, is *malformed*:
counted, never repaired. After broken quoting, reading continues at the next line, so one stray quote costs one row. A
quote that is still open at the end of the file (or after 128 KiB) makes the file unreadable.

The text is streamed: a source from an object storage or an archive is never a local file.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import polars as pl

from audience_onboarding.crm.sources.base import (
    BlockReader,
    LazyBatch,
    NamedSource,
    OpenSource,
    ParsedBatch,
    RowBatch,
    build_frame,
    count_unmapped,
    empty_source_error,
    resolve_columns,
)
from audience_onboarding.crm.sources.csv_buffer import MAX_RECORD, Buffer, Lines, read_up_to
from audience_onboarding.crm.sources.csv_dialect import AUTO, SAMPLE_SIZE, Dialect, sniff
from audience_onboarding.crm.sources.csv_structure import MAX_FIELD, CsvStructure
from audience_onboarding.crm.sources.text_stream import (
    ENCODINGS,
    as_utf8,
    decompressed,
    encoding_error,
    open_file,
    prefixed,
)
from audience_onboarding.exceptions import ConfigurationError, SourceFormatError

log = logging.getLogger(__name__)

BLOCK_SIZE = 8 * 1024 * 1024
"""Bytes of text per block."""

_SMALL_BLOCK_SIZE = 64 * 1024


@dataclass(frozen=True)
class CsvSource(NamedSource):
    """Delimited text with a header row, plain or compressed with gzip or zstd.

    :param path: the local file; not needed with ``stream``.
    :param delimiter: one ASCII character between fields, or ``auto``.
    :param encoding: one of :data:`.text_stream.ENCODINGS` or an alias, or ``auto``. ``utf-8`` allows a BOM.
    :param quote: one ASCII character around fields with delimiters, doubled inside; or ``auto``.
    :param label: name for messages, such as its S3 URL; default: the path.
    :param stream: opens the bytes if they are not those of a local file.
    :param block_size: bytes of text per block.
    :raises ConfigurationError: the delimiter, quote or encoding is invalid.
    """

    path: Path | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    label: str = ""
    stream: Callable[[], AbstractContextManager[BinaryIO]] | None = None
    block_size: int = BLOCK_SIZE

    def __post_init__(self) -> None:
        if self.path is None and self.stream is None:
            raise ConfigurationError(what="A CSV source needs a path or a stream")
        for name, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if value != AUTO and (len(value) != 1 or not value.isascii() or value in "\r\n\0"):
                raise ConfigurationError(
                    what=f"The {name} of a CSV source must be one ASCII character",
                    where=self.name,
                    why=repr(value),
                )
        if self.delimiter == self.quote != AUTO:
            raise ConfigurationError(what="A CSV source has the same delimiter and quote", where=self.name)
        supported = self.encoding == AUTO
        with suppress(LookupError):
            supported = supported or codecs.lookup(self.encoding).name in ENCODINGS
        if not supported:
            raise ConfigurationError(
                what="The encoding of a CSV source is not supported",
                where=self.name,
                why=repr(self.encoding),
                next_step=f"Use one of: {', '.join(ENCODINGS)}, or {AUTO}",
            )

    @contextmanager
    def open(self, columns: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Open it, see :class:`.Source`."""
        del workdir  # the text is not written to disk
        with self._open_bytes() as stream:
            plain = decompressed(stream, self.name)
            dialect = Dialect(self.delimiter, self.encoding, self.quote)
            if AUTO in (self.delimiter, self.encoding, self.quote):
                sample = read_up_to(plain, SAMPLE_SIZE)
                dialect = sniff(
                    sample,
                    delimiter=self.delimiter,
                    encoding=self.encoding,
                    quote=self.quote,
                    where=self.name,
                    complete=len(sample) < SAMPLE_SIZE,
                )
                log.info("%s: read as %s", self.name, dialect)
                plain = prefixed(sample, plain)
            text = as_utf8(plain, dialect.encoding, self.name)
            reader = _Reader(Buffer(text), dialect, self.name, self.block_size)
            header = reader.read_header()
            positions = resolve_columns(header, columns, self.name)
            yield OpenSource(count_unmapped(header, positions), reader.blocks(positions))

    def _open_bytes(self) -> AbstractContextManager[BinaryIO]:
        if self.stream is not None:
            return self.stream()
        assert self.path is not None  # noqa: S101 - checked in __post_init__
        return open_file(self.path, self.name)


class _Reader:
    """Reads a text, from its header to its end."""

    def __init__(self, buffer: Buffer, dialect: Dialect, name: str, block_size: int) -> None:
        self._buffer = buffer
        self._dialect = dialect
        self._name = name
        self._block_size = block_size
        self._small = min(_SMALL_BLOCK_SIZE, block_size)
        self._lines_before = 0
        self._next_row = 1

    def read_header(self) -> tuple[str, ...]:
        """Return the names as written.

        :raises EmptySourceError: there is no line.
        :raises SourceFormatError: it cannot be read.
        """
        for row in self._records(Lines(self._buffer)):
            if row is None:
                raise self._quoting_error("The header row of the CRM file has broken quoting")
            if row:
                self._fields = len(row)
                self._structure = CsvStructure(self._dialect, self._fields)
                return tuple(name.strip("\ufeff") for name in row)
        raise empty_source_error(self._name, "it has no line")

    def blocks(self, positions: Sequence[int]) -> Iterator[BlockReader]:
        """Return the blocks after the header."""
        small_until = consumed = 0
        while size := self._buffer.fill(self._small if consumed < small_until else self._block_size):
            cut = self._find_records_end(size)
            regular = self._structure.check(self._buffer.peek(cut)) if cut else None
            if regular is not None:
                parse = partial(self._parse, regular.text, self._next_row, regular.rows, positions)
                self._next_row += regular.rows
                self._lines_before += regular.lines
                self._buffer.skip(cut)
                consumed += cut
                yield LazyBatch(parse)
            elif size > self._small:
                small_until = consumed + (cut or size)
            else:
                exact, rows = self._read_exact(positions, at_least=cut or size)
                consumed += exact
                yield ParsedBatch(rows)

    def _find_records_end(self, size: int) -> int:
        """Return the end of the last whole record within that many bytes, 0 for none.

        It is right only if all quoting is; a wrong one is harmless.
        """
        if self._buffer.ended and self._buffer.fill(size + 1) == size:
            return size
        quote = self._dialect.quote.encode("ascii")
        end = self._buffer.find_last(b"\n", size) + 1
        quotes = self._buffer.count(quote, 0, end)
        while end and quotes % 2:
            before = self._buffer.find_last(b"\n", end - 1) + 1
            quotes -= self._buffer.count(quote, before, end)
            end = before
        return end

    def _parse(self, text: bytes, first: int, rows: int, positions: Sequence[int]) -> RowBatch:
        """Parse a regular block with Polars."""
        frame: pl.DataFrame | None = None
        # The error may quote data; the exact reader finds the reason. OSError: Polars reads text that begins with "x"
        # and certain characters as a zlib stream.
        with suppress(pl.exceptions.PolarsError, OSError):
            frame = pl.read_csv(
                text,
                has_header=False,
                columns=sorted(set(positions)),
                schema={f"column_{index + 1}": pl.String for index in range(self._fields)},
                separator=self._dialect.delimiter,
                quote_char=self._dialect.quote,
                encoding="utf8",
                glob=False,
            )
        if frame is None or frame.height != rows:
            return self.exact_rows(text, first, positions)
        return RowBatch(
            frame.select(
                pl.col(f"column_{position + 1}").alias(str(index)) for index, position in enumerate(positions)
            ),
            first,
            size=len(text),
        )

    # --- the exact reader

    def _read_exact(self, positions: Sequence[int], *, at_least: int) -> tuple[int, RowBatch]:
        """Read the records that start within that many bytes; return their bytes and rows."""
        lines = Lines(self._buffer)

        def records() -> Iterator[list[str] | None]:
            for row in self._records(lines):
                yield row
                if lines.bytes_read >= at_least and not lines.holds_any:
                    return

        rows = self._collect(records(), positions, self._next_row)
        self._next_row += rows.frame.height + len(rows.malformed)
        return lines.bytes_read, rows

    def exact_rows(self, text: bytes, first: int, positions: Sequence[int]) -> RowBatch:
        """Parse a block with the exact reader."""
        buffer = Buffer(io.BytesIO(text))
        reader = _Reader(buffer, self._dialect, self._name, self._block_size)
        return self._collect(reader._records(Lines(buffer)), positions, first)

    def _collect(self, records: Iterable[list[str] | None], positions: Sequence[int], first: int) -> RowBatch:
        columns: list[list[str]] = [[] for _ in positions]
        numbers: list[int] = []
        malformed: list[int] = []
        for number, row in enumerate((row for row in records if row != []), first):  # without blank lines
            if row is None or len(row) != self._fields:
                malformed.append(number)
                continue
            for column, position in zip(columns, positions, strict=True):
                column.append(row[position])
            numbers.append(number)
        return RowBatch(build_frame(columns), first, pl.Series(numbers, dtype=pl.UInt64), tuple(malformed))

    def _records(self, lines: Lines) -> Iterator[list[str] | None]:
        """Return the fields of each record, ``None`` for broken quoting, an empty list for a blank line."""
        problem = ""
        line = 0
        reader = csv.reader(
            lines, delimiter=self._dialect.delimiter, quotechar=self._dialect.quote, strict=True
        )
        while True:
            line = lines.number
            lines.start_record()
            row: list[str] | None = None
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                # Texts of csv.Error are constants of the standard library; they are compared, never passed on.
                if lines.too_long or lines.undecodable:
                    break
                where = f"the record at line {self._lines_before + 1} of the CRM file"
                if lines.ended:
                    problem = f"Unclosed quote in {where}"
                    break
                if "field limit" in str(error):
                    problem = f"Field longer than {MAX_FIELD} characters, or unclosed quote, in {where}"
                    break
                lines.keep_first_line()
            self._lines_before += lines.number - line
            yield row
        # Raised outside the handler, so that no exception of the readers, which hold data, is its context.
        if lines.undecodable:
            raise encoding_error("utf-8", self._lines_before + lines.number - line + 1, self._name)
        if lines.too_long:
            raise SourceFormatError(
                what=f"The record at line {self._lines_before + 1} of the CRM file is longer than {MAX_RECORD} "
                "characters",
                where=self._name,
                next_step="Check that this is a CSV file",
            )
        if problem:
            raise self._quoting_error(problem)

    def _quoting_error(self, what: str) -> SourceFormatError:
        return SourceFormatError(
            what=what,
            where=self._name,
            next_step="Correct the export's quoting, or the quote character in the definition",
        )
