"""Reading a delimited text file so that every row is accounted for.

DuckDB's CSV reader is fast but may skip, mend or merge rows of a broken file without saying which. So a file is
read on one of two roads:

* The fast road is for files in which :func:`scan`, which looks at structure alone and knows nothing of DuckDB,
  finds nothing wrong: every row has the right number of fields. DuckDB reads them in its strict mode, must not
  find an error either, and must come to the same number of rows.
* Every other file (malformed rows, broken or unusual quoting, mixed line ends, NUL bytes, numbers that differ)
  goes through :func:`rewrite`: the standard library's strict CSV reader, slower, which writes a clean file with
  only the wanted columns into the private directory. This road *defines* what a row is.

What a row is: blank lines are none. A row with another number of fields than the header, or with broken
quoting, is *malformed*: counted, never mended. After broken quoting, reading goes on at the next line, so
that one stray quote costs one row. A quote that is still open at the end of the file (or after 128 KiB) makes
the file unreadable.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from audience_onboarding.errors import (
    ConfigurationError,
    MissingColumnError,
    SourceFormatError,
    SourceNotFoundError,
)

ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "iso8859-1", "iso8859-15", "utf-16", "utf-16-le", "utf-16-be")
"""Encodings of sources by Python's names; aliases such as ``latin-1`` and ``windows-1252`` work."""

MAX_RECORD = 1024 * 1024
"""Longest record in characters. A longer one is no CRM record but another kind of file."""

MAX_FIELD = 128 * 1024
"""Longest quoted field (the standard library's limit). A longer one is a quote that nobody closed."""

_BLOCK = 4 * 1024 * 1024
_GLOB = frozenset("*?[")
_MAX_PRINTED_NAMES = 50
_DATA_DIGITS = 6


@dataclass(frozen=True)
class CsvSource:
    """A delimited text file with a header row.

    :param path: the local file.
    :param delimiter: one ASCII character between fields.
    :param encoding: one of :data:`ENCODINGS` or an alias. ``utf-8`` tolerates a byte order mark.
    :param quote: one ASCII character around fields that hold delimiters; doubled inside.
    :param label: what messages call the file, such as its S3 URL; the path where empty.
    """

    path: Path
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    label: str = ""

    def __post_init__(self) -> None:
        for name, value in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(value) != 1 or not value.isascii() or value in "\r\n\0":
                raise ConfigurationError(
                    what=f"the {name} of a CSV source must be one ASCII character",
                    where=self.name,
                    why=repr(value),
                )
        if self.delimiter == self.quote:
            raise ConfigurationError(what="delimiter and quote of a CSV source are the same", where=self.name)
        try:
            known = codecs.lookup(self.encoding).name in ENCODINGS
        except LookupError:
            known = False
        if not known:
            raise ConfigurationError(
                what="the encoding of a CSV source is not supported",
                where=self.name,
                why=repr(self.encoding),
                next_step=f"Use one of: {', '.join(ENCODINGS)}",
            )

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self.label or str(self.path)


@dataclass(frozen=True)
class CsvText:
    """A source as UTF-8 that the engine may open, with its header read.

    :param path: UTF-8 file; the original where it is UTF-8 already.
    :param header: names as written.
    :param plain_header: the header is the first line and only that.
    """

    source: CsvSource
    path: Path
    header: tuple[str, ...]
    plain_header: bool


@dataclass(frozen=True)
class Scan:
    """What :func:`scan` found in a file without malformed rows.

    :param rows: number of rows.
    :param quoted_newlines: some quoted field holds a line end.
    """

    rows: int
    quoted_newlines: bool


@dataclass(frozen=True)
class Rewritten:
    """What :func:`rewrite` wrote: the good rows' wanted columns, all quoted, with comma and line feed, no header."""

    path: Path
    rows: int
    malformed: int


def open_csv(source: CsvSource, workdir: Path) -> CsvText | None:
    """Check the file, bring it to UTF-8 and read its header; ``None`` where the file holds no line.

    :raises SourceNotFoundError: the file is not there or may not be read.
    :raises SourceFormatError: not text in the encoding, or a broken header.
    """
    problem = ""
    try:
        if source.path.is_dir():
            problem = "it is a directory"
        else:
            with source.path.open("rb") as stream:
                _refuse_binary(stream.read(4), source)
    except FileNotFoundError:
        problem = "no such file"
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else "it cannot be opened"
    if problem:
        raise SourceNotFoundError(
            what="the CRM file cannot be opened",
            where=source.name,
            why=problem,
            next_step="Check the path in the definition and that the export has run",
        )
    path = _as_utf8(source, workdir)
    header, plain = _read_header(source, path)
    return CsvText(source, path, header, plain) if header else None


def find_columns(text: CsvText, wanted: Sequence[str]) -> list[int]:
    """Positions of the wanted columns: by exact name, else by name without regard to case and white space.

    :raises MissingColumnError: a name fits no column, or more than one.
    """
    return [_find_column(text, name) for name in wanted]


def _find_column(text: CsvText, wanted: str) -> int:
    def loose(name: str) -> str:
        return "".join(name.split()).casefold()

    for same in (lambda name: name == wanted, lambda name: loose(name) == loose(wanted)):
        found = [index for index, name in enumerate(text.header) if same(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise MissingColumnError(
                what=f"{len(found)} columns of the CRM file fit {wanted!r}",
                where=text.source.name,
                why=_describe_header(text.header),
                next_step="Rename one of them in the export",
            )
    raise MissingColumnError(
        what=f"the CRM file has no column {wanted!r}",
        where=text.source.name,
        why=_describe_header(text.header),
        next_step="Correct the column name or the delimiter in the definition, or the export",
    )


def _describe_header(header: Sequence[str]) -> str:
    # A file without a header has a person in its first line, which must not be printed.
    if any("@" in name or sum(map(str.isdigit, name)) >= _DATA_DIGITS for name in header):
        return "the first line looks like data, not like column names; does the export write a header row?"
    names = [" ".join(name.split()) for name in header[:_MAX_PRINTED_NAMES]]
    more = f" and {len(header) - len(names)} more" if len(header) > len(names) else ""
    return f"it has {len(header)} column(s): {', '.join(map(repr, names))}{more}"


def _refuse_binary(start: bytes, source: CsvSource) -> None:
    kinds = {b"PK\x03\x04": "a zip archive or an Excel workbook", b"\x1f\x8b": "compressed with gzip"}
    for magic, kind in kinds.items():
        if start.startswith(magic):
            raise SourceFormatError(
                what="the CRM file is not a text file",
                where=source.name,
                why=f"it is {kind}",
                next_step="Export it as plain CSV",
            )


def _bad_encoding(source: CsvSource, line: int) -> SourceFormatError:
    return SourceFormatError(
        what=f"line {line} of the CRM file is not {source.encoding} text",
        where=source.name,
        next_step=f"Set the encoding of the source in the definition; known are {', '.join(ENCODINGS)}",
    )


def _as_utf8(source: CsvSource, workdir: Path) -> Path:
    encoding = codecs.lookup(source.encoding).name
    path = Path(os.path.realpath(source.path))
    if encoding in ("utf-8", "utf-8-sig"):
        if _GLOB.isdisjoint(str(path)):
            return path
        # DuckDB would take such a path for a pattern.
        return Path(shutil.copyfile(path, workdir / "source.csv"))
    target = workdir / "source.csv"
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    bad_line = 0
    with path.open("rb") as stream, target.open("w", encoding="utf-8", newline="") as out:
        while not bad_line:
            block = stream.read(_BLOCK)
            try:
                decoded = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                bad_line = lines + bytes(error.object[: error.start]).decode(encoding, "ignore").count("\n")
                break
            lines += decoded.count("\n")
            # The byte order mark that UTF-16-LE and -BE keep as a character becomes UTF-8's, and is tolerated.
            out.write(decoded)
            if not block:
                break
    if bad_line:
        raise _bad_encoding(source, bad_line)
    return target


class _Lines(Iterator[str]):
    """Lines of a file, remembering those of the current record so that they can be read again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self.size = 0
        self.number = 0
        self.ended = False
        self.too_long = False

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._stream.readline(MAX_RECORD + 1)
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


def _records(source: CsvSource, path: Path) -> Iterator[tuple[int, list[str] | None]]:
    """Line number and fields of each record, ``None`` for broken quoting. Blank lines give an empty list."""
    problem = ""
    start = 1
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        lines = _Lines(stream)
        reader = csv.reader(lines, delimiter=source.delimiter, quotechar=source.quote, strict=True)
        while not problem:
            start = lines.number + 1
            lines.start_record()
            row: list[str] | None = None
            try:
                row = next(reader)
            except StopIteration:
                problem = "end"
                break
            except UnicodeDecodeError:
                problem = "encoding"
                break
            except csv.Error as error:
                # The texts are constants of the standard library; they are looked at, never passed on.
                if lines.too_long:
                    problem = "line"
                elif lines.ended or "field limit" in str(error):
                    problem = "quote"
                else:
                    lines.give_back_all_but_first()
            if not problem:
                yield start, row
        if lines.too_long:
            problem = "line"
    # Raised out here so that no exception of the readers, which hold data, hangs on as context.
    if problem == "encoding":
        raise _bad_encoding(source, _first_undecodable_line(path))
    if problem == "quote":
        raise SourceFormatError(
            what=f"a quote that opens in the record at line {start} of the CRM file is never closed",
            where=source.name,
            next_step="Correct the export's quoting, or the quote character in the definition",
        )
    if problem == "line":
        raise SourceFormatError(
            what=f"the record at line {start} of the CRM file is longer than {MAX_RECORD} characters",
            where=source.name,
            next_step="Check that this is a CSV file",
        )


def _first_undecodable_line(path: Path) -> int:
    number = 1
    with path.open("rb") as stream:
        while block := _read_lines(stream, _BLOCK):
            try:
                block.decode("utf-8")
            except UnicodeDecodeError as error:
                return number + block.count(b"\n", 0, error.start)
            number += block.count(b"\n")
    return number


def _read_header(source: CsvSource, path: Path) -> tuple[tuple[str, ...], bool]:
    for line, row in _records(source, path):
        if row is None:
            raise SourceFormatError(
                what="the header row of the CRM file has broken quoting",
                where=source.name,
                next_step="Correct the export's quoting, or the quote character in the definition",
            )
        if row:
            names = tuple(name.strip("\ufeff") for name in row)
            return names, line == 1 and not any(re.search(r"[\r\n]", name) for name in names)
    return (), False


def _read_lines(stream: BinaryIO, size: int) -> bytes:
    """About ``size`` bytes up to a line feed; without one only at the end, or in a line beyond all bounds."""
    block = stream.read(size)
    if block and not block.endswith(b"\n"):
        block += stream.readline(MAX_RECORD)
    return block


class _UnusualError(Exception):
    """The file needs the exact reader."""


def scan(text: CsvText) -> Scan | None:
    """Count rows by structure alone; ``None`` where the exact reader is needed.

    Quoted text is cut out first: splitting at the quote character leaves every second piece outside quotes,
    doubled quotes included. What remains has a line feed per record and a delimiter between fields.
    """
    if not text.plain_header:
        return None
    counter = _StructureCounter(text)
    try:
        with text.path.open("rb") as stream:
            while block := _read_lines(stream, _BLOCK):
                counter.add(block)
        return counter.finish()
    except _UnusualError:
        return None


class _StructureCounter:
    def __init__(self, text: CsvText) -> None:
        self._delimiter = text.source.delimiter.encode("ascii")
        self._quote = text.source.quote.encode("ascii")
        self._per_row = len(text.header) - 1
        self._before_quote = frozenset(self._delimiter + b"\n")
        self._after_quote = frozenset(self._delimiter + b"\r\n")
        self._first = True
        self._unfinished = False
        self._in_quotes = False
        self._carry = b""
        self._line_feeds = self._carriage_returns = self._both = 0
        self._quoted_newlines = False
        self._rows = 0

    def add(self, block: bytes) -> None:
        if self._first:
            block = block.removeprefix(codecs.BOM_UTF8)
            self._first = False
        if self._unfinished or b"\0" in block or not _is_utf8(block):
            raise _UnusualError
        self._unfinished = not block.endswith(b"\n")
        lines, line_feed, self._carry = (self._carry + self._outside_quotes(block)).rpartition(b"\n")
        self._count(lines + line_feed)

    def finish(self) -> Scan:
        if self._in_quotes or b"\r" in self._carry:
            raise _UnusualError
        if self._carriage_returns != self._both or self._both not in (0, self._line_feeds):
            raise _UnusualError  # lone carriage returns, or line ends of both kinds
        if self._carry:
            self._count(self._carry + b"\n")
        return Scan(self._rows - 1, self._quoted_newlines)  # the header is no row

    def _outside_quotes(self, block: bytes) -> bytes:
        pieces = block.split(self._quote)
        if len(pieces) == 1:
            if self._in_quotes:
                self._check_quoted(pieces)
                return b""
            return block
        first = int(self._in_quotes)
        outside = pieces[first::2]
        self._check_quoted(pieces[1 - first :: 2])
        self._in_quotes = len(pieces) % 2 == first
        # A proper quote opens after a delimiter or line end and closes before one; "nothing" between two
        # quotes is a doubled quote. Sets, because most pieces of a file are the same few.
        opened = outside if self._in_quotes else outside[:-1]
        closed = outside if first else outside[1:]
        if any(piece and piece[-1] not in self._before_quote for piece in set(opened)) or any(
            piece and piece[0] not in self._after_quote for piece in set(closed)
        ):
            raise _UnusualError
        # A quote stands for what was cut out, or a line of one quoted field would look blank.
        return self._quote.join(outside) + (self._quote if self._in_quotes else b"")

    def _check_quoted(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if len(piece) >= MAX_FIELD:
                raise _UnusualError
            if b"\n" in piece or b"\r" in piece:
                self._quoted_newlines = True

    def _count(self, lines: bytes) -> None:
        number = lines.count(b"\n")
        self._line_feeds += number
        if b"\r" in lines:
            self._carriage_returns += lines.count(b"\r")
            self._both += lines.count(b"\r\n")
        if b"\n\n" in lines or b"\n\r\n" in lines or lines.startswith((b"\n", b"\r\n")):
            each = lines.split(b"\n")[:-1]
            number -= each.count(b"") + each.count(b"\r")  # blank lines
        # A short and a long row may cancel out here; DuckDB then stumbles over the short one.
        if lines.count(self._delimiter) != self._per_row * number:
            raise _UnusualError
        self._rows += number


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def rewrite(text: CsvText, positions: Sequence[int], workdir: Path) -> Rewritten:
    """Read with the exact reader and write the wanted columns of the good rows.

    :raises SourceFormatError: not UTF-8, a quote that is never closed, or a record beyond :data:`MAX_RECORD`.
    """
    target = workdir / "rows.csv"
    rows = malformed = 0
    fields = len(text.header)
    records = _records(text.source, text.path)
    for _, header in records:
        if header:
            break
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for _, row in records:
            if row is None:
                malformed += 1
            elif len(row) == fields:
                # White space is white space to every rule, and line ends in fields are what readers stumble over.
                writer.writerow([_one_line(row[position]) for position in positions])
                rows += 1
            elif row:
                malformed += 1
    return Rewritten(target, rows, malformed)


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ") if "\r" in value or "\n" in value else value
