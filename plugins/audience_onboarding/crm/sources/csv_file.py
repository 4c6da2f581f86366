"""Reading delimited text so that every row is accounted for.

Polars parses CSV fast, but mends, merges or misses rows of a broken file without saying so. So the text is read in
blocks of whole records, on one of two roads:

* The fast road is for blocks in which :class:`_Structure`, which looks at structure alone and knows nothing of Polars,
  finds nothing wrong: each row has the right number of fields. Polars parses them, and must come to the same number
  of rows.
* Every other block (malformed rows, broken or unusual quoting, lone carriage returns, NUL bytes) is cut into small
  ones, and those of them that are still not plain go through the standard library's strict CSV reader, slower. This
  road *defines* what a row is.

What a row is: blank lines are none. A row with another number of fields than the header, or with broken quoting, is
*malformed*: counted, never mended. After broken quoting, reading goes on at the next line, so that one stray quote
costs one row. A quote that is still open at the end of the file (or after 128 KiB) makes the file unreadable.

The text is streamed: a source that comes from an object storage or out of an archive is never a file on this machine.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

import numpy as np
import polars as pl

from audience_onboarding.crm.sources.base import (
    BlockReader,
    NamedSource,
    OpenSource,
    ParsedBatch,
    RowBatch,
    empty_source_error,
    resolve_columns,
    unmapped_columns,
)
from audience_onboarding.crm.sources.csv_dialect import AUTO, Dialect, sniff
from audience_onboarding.crm.sources.text_stream import (
    ENCODINGS,
    PrefixedStream,
    as_utf8,
    decompressed,
    open_file,
)
from audience_onboarding.exceptions import (
    ConfigurationError,
    SourceFormatError,
)

if TYPE_CHECKING:
    import numpy.typing as npt

log = logging.getLogger(__name__)

MAX_RECORD = 1024 * 1024
"""Longest record in bytes. A longer one is no CRM record but another kind of file."""

MAX_FIELD = 128 * 1024
"""Longest field (the standard library's limit). A longer one is mostly a quote that nobody closed."""

BLOCK_SIZE = 8 * 1024 * 1024
"""Bytes of text that are parsed at once."""

_SMALL_BLOCK_SIZE = 64 * 1024
_SAMPLE = 256 * 1024
_STRETCH = 256 * 1024
"""Bytes that NumPy looks at in one go: few enough to stay in the processor's cache."""
_LINE_FEED = ord("\n")
_CARRIAGE_RETURN = ord("\r")

_Bytes: TypeAlias = "npt.NDArray[np.uint8]"
_Places: TypeAlias = "npt.NDArray[np.intp]"


@dataclass(frozen=True)
class CsvSource(NamedSource):
    """Delimited text with a header row; compressed with gzip or zstd, too.

    :param path: the local file; not needed where ``stream`` is given.
    :param delimiter: one ASCII character between fields, or ``auto``.
    :param encoding: one of :data:`.text_stream.ENCODINGS` or an alias, or ``auto``. ``utf-8``
        tolerates a byte order mark.
    :param quote: one ASCII character around fields that hold delimiters, doubled inside; or ``auto``.
    :param label: what messages call the source, such as its S3 URL; the path where empty.
    :param stream: opens the bytes, where they are not those of a local file.
    :param block_size: bytes of text that are parsed at once.
    :raises ConfigurationError: a delimiter, quote or encoding that cannot be.
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
            raise ConfigurationError(what="a CSV source needs a path or a stream")
        for name, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if value != AUTO and (len(value) != 1 or not value.isascii() or value in "\r\n\0"):
                raise ConfigurationError(
                    what=f"the {name} of a CSV source must be one ASCII character",
                    where=self.name,
                    why=repr(value),
                )
        if self.delimiter == self.quote != AUTO:
            raise ConfigurationError(what="delimiter and quote of a CSV source are the same", where=self.name)
        if self.encoding != AUTO:
            self._check_encoding()

    def _check_encoding(self) -> None:
        try:
            known = codecs.lookup(self.encoding).name in ENCODINGS
        except LookupError:
            known = False
        if not known:
            raise ConfigurationError(
                what="the encoding of a CSV source is not supported",
                where=self.name,
                why=repr(self.encoding),
                next_step=f"Use one of: {', '.join(ENCODINGS)}, or {AUTO}",
            )

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Begin to read it, see :class:`~audience_onboarding.crm.sources.base.Source`."""
        del workdir  # nothing of the text is written anywhere
        with self._opened() as raw:
            plain = decompressed(raw, self.name)
            dialect = Dialect(self.delimiter, self.encoding, self.quote)
            if AUTO in (self.delimiter, self.encoding, self.quote):
                sample = _read_up_to(plain, _SAMPLE)
                dialect = sniff(
                    sample,
                    delimiter=self.delimiter,
                    encoding=self.encoding,
                    quote=self.quote,
                    where=self.name,
                    complete=len(sample) < _SAMPLE,
                )
                log.info("%s: read as %s", self.name, dialect)
                plain = io.BufferedReader(PrefixedStream(sample, plain))
            text = as_utf8(plain, dialect.encoding, self.name)
            reader = _Reader(_Buffer(text), dialect, self.name, self.block_size)
            header = reader.read_header()
            positions = resolve_columns(header, wanted, self.name)
            yield OpenSource(unmapped_columns(header, positions), reader.blocks(positions))

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if self.stream is not None:
            with self.stream() as stream:
                yield stream
            return
        assert self.path is not None  # noqa: S101 - __post_init__ has seen to it
        with open_file(self.path, self.name) as file:
            yield file


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _read_up_to(stream: _Readable, size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read_into(stream: _Readable, space: memoryview) -> int:
    """Fill the space, unless the stream ends before; how many bytes were read."""
    read_into: Callable[[memoryview], int | None] | None = getattr(stream, "readinto", None)
    done = 0
    while done < len(space):
        if read_into is not None:
            size = read_into(space[done:]) or 0
        else:
            piece = stream.read(len(space) - done)
            size = len(piece)
            space[done : done + size] = piece
        if not size:
            break
        done += size
    return done


class _Buffer:
    """Bytes of a stream that are yet to be taken.

    They are read into the same memory again and again: fresh memory costs more than what is read into it.
    """

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._space = bytearray()
        self._start = self._end = 0
        self.ended = False

    def fill(self, size: int) -> int:
        """Have so many bytes at hand, or more, unless the stream ends before. How many these are, ``size`` at most."""
        missing = size - (self._end - self._start)
        if missing > 0 and not self.ended:
            if self._start + size > len(self._space):
                rest = self._space[self._start : self._end]
                if size > len(self._space):
                    self._space = bytearray(size)
                self._space[: len(rest)] = rest
                self._start, self._end = 0, len(rest)
            with memoryview(self._space) as space:
                more = _read_into(self._stream, space[self._end : self._end + missing])
            self.ended = more < missing
            self._end += more
        return min(size, self._end - self._start)

    def peek(self, size: int) -> bytes:
        size = self.fill(size)
        with memoryview(self._space) as space:
            return bytes(space[self._start : self._start + size])

    def skip(self, size: int) -> None:
        self._start += size

    def find_last(self, byte: bytes, end: int) -> int:
        """The place of the last such byte before a place, of what is at hand, -1 for none; places count from what
        comes next."""
        return max(self._space.rfind(byte, self._start, self._start + end) - self._start, -1)

    def count(self, byte: bytes, start: int, end: int) -> int:
        """How many such bytes there are between two places of what is at hand."""
        return _count(
            np.frombuffer(self._space, np.uint8)[self._start + start : self._start + end], ord(byte)
        )

    def line(self) -> bytes:
        """The next line with its end (``\\n``, ``\\r\\n`` or ``\\r``), at most a little over a record; empty at the
        end of the stream."""
        size = 4096
        while True:
            data = self.peek(min(size, MAX_RECORD + 1))
            end = data.find(b"\n") + 1
            lone = data.find(b"\r", 0, end or None) + 1
            # A carriage return at the edge may have its line feed beyond it.
            if lone and (lone < len(data) or self._at_end(data)) and data[lone : lone + 1] != b"\n":
                end = lone
            if end or self._at_end(data) or len(data) > MAX_RECORD:
                line = data[: end or len(data)]
                self._start += len(line)
                return line
            size *= 4

    def _at_end(self, data: bytes) -> bool:
        return self.ended and len(data) == self._end - self._start


class _Lines(Iterator[str]):
    """Lines of text, remembering those of the current record so that they can be read again."""

    def __init__(self, buffer: _Buffer, name: str) -> None:
        self._buffer = buffer
        self._name = name
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self.size = 0
        self.number = 0
        self.ended = False
        self.too_long = False
        self.undecodable = False

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
        else:
            raw = self._buffer.line()
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError:
                self.undecodable = True
                raise StopIteration from None
        if not line:
            self.ended = True
            raise StopIteration
        self.size += len(line)
        if self.size > MAX_RECORD:
            # Also what bounds memory where somebody in this process has lifted csv's own limit.
            self.too_long = True
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        # Python 3.10's csv refuses NUL; a replacement character is as invalid in any identifier.
        return line.replace("\0", "\ufffd") if "\0" in line else line

    def start_record(self) -> None:
        self.taken.clear()
        self.size = 0

    def give_back_all_but_first(self) -> None:
        rest = self.taken[1:]
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)

    @property
    def holds_any(self) -> bool:
        return bool(self._again)


class _Reader:
    """A text, from its header to its end."""

    def __init__(self, buffer: _Buffer, dialect: Dialect, name: str, block_size: int) -> None:
        self._buffer = buffer
        self._dialect = dialect
        self._name = name
        self._block_size = block_size
        self._small = min(_SMALL_BLOCK_SIZE, block_size)
        self._lines_before = 0
        self._next_row = 1

    def read_header(self) -> tuple[str, ...]:
        """Names as written.

        :raises EmptySourceError: there is no line.
        :raises SourceFormatError: it cannot be read.
        """
        for row in self._records(_Lines(self._buffer, self._name)):
            if row is None:
                raise SourceFormatError(
                    what="the header row of the CRM file has broken quoting",
                    where=self._name,
                    next_step="Correct the export's quoting, or the quote character in the definition",
                )
            if row:
                self._fields = len(row)
                self._structure = _Structure(self._dialect, self._fields)
                return tuple(name.strip("\ufeff") for name in row)
        raise empty_source_error(self._name, "it has no line")

    def blocks(self, positions: Sequence[int]) -> Iterator[BlockReader]:
        """All that follows the header."""
        small_until = taken = 0
        while size := self._buffer.fill(self._small if taken < small_until else self._block_size):
            cut = self._whole_records(size)
            plain = self._structure.plain(self._buffer.peek(cut)) if cut else None
            if plain is not None:
                block = _CsvBlock(plain.text, self._next_row, plain.rows, positions, self)
                self._next_row += plain.rows
                self._lines_before += plain.lines
                self._buffer.skip(cut)
                taken += cut
                yield block
            elif size > self._small:
                small_until = taken + (cut or size)
            else:
                exact, rows = self._exact(positions, at_least=cut or size)
                taken += exact
                yield ParsedBatch(rows)

    def _whole_records(self, size: int) -> int:
        """How far the last whole record reaches within so many bytes, 0 where none does. Right only if all quoting
        is; wrong is harmless."""
        ends = self._buffer.ended and self._buffer.fill(size + 1) == size
        if ends:
            return size
        quote = self._dialect.quote.encode("ascii")
        end = self._buffer.find_last(b"\n", size) + 1
        quotes = self._buffer.count(quote, 0, end)
        while end and quotes % 2:
            before = self._buffer.find_last(b"\n", end - 1) + 1
            quotes -= self._buffer.count(quote, before, end)
            end = before
        return end

    # --- the exact road

    def _exact(self, positions: Sequence[int], *, at_least: int) -> tuple[int, RowBatch]:
        """Read records that start within so many bytes; how many bytes they take, and their rows."""
        counted = _Counted(self._buffer)
        lines = _Lines(counted, self._name)  # type: ignore[arg-type] # it has line()
        gathered = _Gathered(positions, self._fields, self._next_row)
        for row in self._records(lines):
            gathered.add(row)
            if counted.size >= at_least and not lines.holds_any:
                break
        self._next_row = gathered.next_row
        return counted.size, gathered.rows()

    def exact_rows(self, text: bytes, first: int, positions: Sequence[int]) -> RowBatch:
        """The rows of a block by the exact road."""
        reader = _Reader(_Buffer(io.BytesIO(text)), self._dialect, self._name, self._block_size)
        gathered = _Gathered(positions, self._fields, first)
        for row in reader._records(_Lines(reader._buffer, self._name)):
            gathered.add(row)
        return gathered.rows()

    def parse(self, text: bytes, first: int, rows: int, positions: Sequence[int]) -> RowBatch:
        """The rows of a plain block."""
        frame: pl.DataFrame | None = None
        # Its message may quote the data; the exact road tells what is the matter. OSError: Polars takes text that
        # begins with "x" and certain characters for a zlib stream.
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

    def _records(self, lines: _Lines) -> Iterator[list[str] | None]:
        """Fields of each record, ``None`` for broken quoting. Blank lines give an empty list."""
        problem = ""
        begun = 0
        reader = csv.reader(
            lines, delimiter=self._dialect.delimiter, quotechar=self._dialect.quote, strict=True
        )
        while True:
            begun = lines.number
            lines.start_record()
            row: list[str] | None = None
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                # The texts are constants of the standard library; they are looked at, never passed on.
                if lines.too_long or lines.undecodable:
                    break
                where = f"the record at line {self._lines_before + 1} of the CRM file"
                if lines.ended:
                    problem = f"a quote that opens in {where} is never closed"
                    break
                if "field limit" in str(error):
                    problem = f"{where} has a field longer than {MAX_FIELD} characters, or an open quote"
                    break
                lines.give_back_all_but_first()
            self._lines_before += lines.number - begun
            yield row
        # Raised out here so that no exception of the readers, which hold data, hangs on as context.
        if lines.undecodable:
            raise SourceFormatError(
                what=f"line {self._lines_before + lines.number - begun + 1} of the CRM file is not utf-8 text",
                where=self._name,
                next_step="Set the encoding of the source in the definition, or 'auto'",
            )
        if lines.too_long:
            raise SourceFormatError(
                what=f"the record at line {self._lines_before + 1} of the CRM file is longer than {MAX_RECORD} "
                "characters",
                where=self._name,
                next_step="Check that this is a CSV file",
            )
        if problem:
            raise SourceFormatError(
                what=problem,
                where=self._name,
                next_step="Correct the export's quoting, or the quote character in the definition",
            )


class _Counted:
    """A buffer that counts what is taken of it."""

    def __init__(self, buffer: _Buffer) -> None:
        self._buffer = buffer
        self.size = 0

    def line(self) -> bytes:
        line = self._buffer.line()
        self.size += len(line)
        return line


class _Gathered:
    """Rows by the exact road."""

    def __init__(self, positions: Sequence[int], fields: int, first: int) -> None:
        self._positions = positions
        self._fields = fields
        self._first = first
        self.next_row = first
        self._columns: list[list[str]] = [[] for _ in positions]
        self._numbers: list[int] = []
        self._malformed: list[int] = []

    def add(self, row: list[str] | None) -> None:
        if row is not None and not row:
            return  # a blank line
        if row is not None and len(row) == self._fields:
            for column, position in zip(self._columns, self._positions, strict=True):
                column.append(row[position])
            self._numbers.append(self.next_row)
        else:
            self._malformed.append(self.next_row)
        self.next_row += 1

    def rows(self) -> RowBatch:
        frame = pl.DataFrame(
            [pl.Series(str(index), column, dtype=pl.String) for index, column in enumerate(self._columns)]
        )
        numbers = pl.Series(self._numbers, dtype=pl.UInt64)
        return RowBatch(frame, self._first, numbers, tuple(self._malformed))


@dataclass(frozen=True)
class _CsvBlock:
    text: bytes
    first: int
    count: int
    positions: Sequence[int]
    reader: _Reader

    def __repr__(self) -> str:
        return f"_CsvBlock(first={self.first}, count={self.count})"

    def read(self) -> RowBatch:
        return self.reader.parse(self.text, self.first, self.count, self.positions)


@dataclass(frozen=True)
class _Plain:
    """Whole records without anything unusual.

    :param text: without blank lines.
    :param lines: line feeds, those of blank lines and within quotes included.
    """

    text: bytes
    rows: int
    lines: int

    def __repr__(self) -> str:
        return f"_Plain(rows={self.rows})"


class _Structure:
    """Looks at where quotes, delimiters and line ends are, and at nothing else.

    Those that lie between an opening and a closing quote are left out, doubled quotes being a closing and an opening
    one. What remains is a line end per record and the same delimiters in each.

    NumPy does the looking, because it lets go of Python's lock meanwhile.
    """

    def __init__(self, dialect: Dialect, fields: int) -> None:
        self._delimiter = dialect.delimiter.encode("ascii")
        self._quote = dialect.quote.encode("ascii")
        self._fields = fields

    def plain(self, text: bytes) -> _Plain | None:
        """The text, if it is plain."""
        if b"\0" in text or not _is_utf8(text) or not _has_short_lines(text):
            return None
        if not text.endswith(b"\n"):
            text += b"\n"
        plain = self._checked(text)
        if plain is not None or self._quote in text or not _has_blank_lines(text):
            return plain
        lines = text.splitlines(keepends=True)
        plain = self._checked(b"".join(line for line in lines if line.strip(b"\r\n")))
        return None if plain is None else _Plain(plain.text, plain.rows, len(lines))

    def _checked(self, text: bytes) -> _Plain | None:
        if not text:
            return _Plain(text, 0, 0)
        data = np.frombuffer(text, np.uint8)
        marks, kinds = _found(data, self._delimiter + self._quote + (b"\r\n" if b"\r" in text else b"\n"))
        lines = int(np.count_nonzero(kinds == _LINE_FEED))
        quotes = np.flatnonzero(kinds == ord(self._quote))
        if len(quotes):
            if not self._are_proper(data, marks[quotes]):
                return None
            runs = np.diff(quotes, prepend=0, append=len(kinds))
            outside = np.repeat(np.arange(len(runs)) % 2 == 0, runs)
            outside[quotes] = False
            marks, kinds = marks[outside], kinds[outside]
        for line_end in (b"\n", b"\r\n"):
            record = self._delimiter * (self._fields - 1) + line_end
            if kinds.tobytes() == record * (len(kinds) // len(record)):
                break
        else:
            return None
        ends = marks[len(record) - 1 :: len(record)] + 1 - len(line_end)
        if line_end == b"\r\n" and (data[ends] != _CARRIAGE_RETURN).any():
            return None  # a carriage return within the last field
        if self._fields == 1 and (np.diff(ends, prepend=-len(line_end)) == len(line_end)).any():
            return None  # a blank line
        return _Plain(text, len(ends), lines)

    def _are_proper(self, data: _Bytes, quotes: _Places) -> bool:
        """Whether each quote opens after a delimiter or line end and closes before one, or is one of two that stand
        for one.

        :param data: ends with a line feed.
        """
        if len(quotes) % 2:
            return False
        opening, closing = quotes[0::2], quotes[1::2]
        before = data[opening[1:] - 1] if opening[0] == 0 else data[opening - 1]
        return _are_all(before, self._quote + self._delimiter + b"\n") and _are_all(
            data[closing + 1], self._quote + self._delimiter + b"\r\n"
        )


def _found(data: _Bytes, wanted: bytes) -> tuple[_Places, _Bytes]:
    """Where any of these bytes is, and which of them."""
    places, found = [], []
    for start in range(0, len(data), _STRETCH):
        stretch = data[start : start + _STRETCH]
        fits = stretch == wanted[0]
        for byte in wanted[1:]:
            fits |= stretch == byte
        here = np.flatnonzero(fits)
        found.append(stretch[here])
        here += start
        places.append(here)
    return np.concatenate(places), np.concatenate(found)


def _count(data: _Bytes, wanted: int) -> int:
    """How often a byte is there."""
    return sum(
        int(np.count_nonzero(data[start : start + _STRETCH] == wanted))
        for start in range(0, len(data), _STRETCH)
    )


def _are_all(data: _Bytes, allowed: bytes) -> bool:
    return bool(np.isin(data, np.frombuffer(allowed, np.uint8)).all())


def _has_short_lines(text: bytes) -> bool:
    step = MAX_FIELD // 2
    return all(text.find(b"\n", start, start + step) >= 0 for start in range(0, len(text) - step, step))


def _has_blank_lines(text: bytes) -> bool:
    return b"\n\n" in text or b"\n\r\n" in text or text.startswith((b"\n", b"\r\n"))


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
