"""Interface of a source: rows of text, in blocks, each row with its number.

Importing this module imports Polars; no DAG file does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

import polars as pl

from audience_onboarding.exceptions import EmptySourceError, MissingColumnError

_MIN_SIMILARITY = 0.7
"""Of a name in a message to the requested one, see :func:`difflib.get_close_matches`."""
_DATA_DIGITS = 4


@dataclass(frozen=True)
class RowBatch:
    """Rows of a source. All values are text, phone numbers and postal codes included.

    :param frame: String columns ``"0"``, ``"1"``, ... in the order of the requested columns; null is an empty field.
    :param first: number of the first row. 1 is the first row after the header; malformed rows count, blank lines do
        not.
    :param numbers: UInt64, the number of each row of ``frame``; ``None``: they are consecutive.
    :param malformed: numbers of the rows with another number of fields than the header, or broken quoting. They are not
        in ``frame``.
    :param file: name of the file, for the list of rejects; empty for a single file.
    :param size: bytes of text; 0 if unknown.
    """

    frame: pl.DataFrame
    first: int
    numbers: pl.Series | None = None
    malformed: Sequence[int] = ()
    file: str = ""
    size: int = 0

    def row_numbers(self) -> pl.Series:
        """Return the number of each row of ``frame``."""
        if self.numbers is not None:
            return self.numbers
        return pl.int_range(self.first, self.first + self.frame.height, dtype=pl.UInt64, eager=True)


class BlockReader(Protocol):
    """A block of a source that is not parsed yet."""

    def read(self) -> RowBatch:
        """Parse it. Called once, from any thread.

        :raises SourceFormatError: it cannot be read.
        """


@dataclass(frozen=True)
class ParsedBatch:
    """A block that is parsed already."""

    rows: RowBatch

    def read(self) -> RowBatch:
        """Return the rows."""
        return self.rows


@dataclass(frozen=True)
class LazyBatch:
    """A block that a function parses. Its repr holds no data."""

    parse: Callable[[], RowBatch] = field(repr=False)

    def read(self) -> RowBatch:
        """Return the rows."""
        return self.parse()


@dataclass
class OpenSource:
    """A source that is being read.

    :param unmapped: number of named columns that are not requested.
    :param blocks: in the order of the source.
    """

    unmapped: int
    blocks: Iterator[BlockReader]


class Source(Protocol):
    """Origin of the rows of a load."""

    @property
    def name(self) -> str:
        """Name for messages: a path or URL, never data."""

    def open(self, columns: Sequence[str], workdir: Path) -> AbstractContextManager[OpenSource]:
        """Open it.

        :param columns: names of the requested columns.
        :param workdir: a private directory that is removed after the load.
        :raises SourceNotFoundError: it does not exist.
        :raises SourceFormatError: it cannot be read.
        :raises MissingColumnError: a name matches no column, or more than one.
        :raises EmptySourceError: it has no header.
        """


class NamedSource:
    """A source that is a file, named by its label, such as an S3 URL, or else its path."""

    path: Path | None
    label: str

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.label or str(self.path)


def empty_source_error(
    where: str,
    why: str,
    *,
    next_step: str = "Check the export of this date; nothing was sent",
    rows_read: int = 0,
) -> EmptySourceError:
    """Return the error for a source without a row that can be sent.

    :param where: name of the source.
    """
    return EmptySourceError(
        rows_read=rows_read,
        what="The CRM file has no row to send",
        where=where,
        why=why,
        next_step=next_step,
    )


def build_frame(columns: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """Return the frame of a :class:`RowBatch` from lists of values."""
    return pl.DataFrame(
        [pl.Series(str(index), column, dtype=pl.String) for index, column in enumerate(columns)]
    )


def resolve_columns(header: Sequence[str], columns: Sequence[str], where: str) -> list[int]:
    """Return the positions of columns: by exact name, else by name without regard to case and white space.

    :param where: name of the source, for messages.
    :raises MissingColumnError: a name matches no column, or more than one.
    """
    return [_resolve_column(header, name, where) for name in columns]


def count_unmapped(header: Sequence[str], positions: Sequence[int]) -> int:
    """Return the number of the other columns that have a name."""
    return sum(bool(name.strip()) for index, name in enumerate(header) if index not in positions)


def _resolve_column(header: Sequence[str], column: str, where: str) -> int:
    for same in (lambda name: name == column, lambda name: _loose(name) == _loose(column)):
        positions = [index for index, name in enumerate(header) if same(name)]
        if len(positions) == 1:
            return positions[0]
        if positions:
            raise MissingColumnError(
                what=f"{len(positions)} columns of the CRM file match {column!r}",
                where=where,
                next_step="Rename one of them in the export",
            )
    raise MissingColumnError(
        what=f"The CRM file has no column {column!r}",
        where=where,
        why=_describe(header, column),
        next_step="Correct the column name or the delimiter in the definition, or the export",
    )


def _loose(name: str) -> str:
    return "".join(name.split()).casefold()


def _describe(header: Sequence[str], column: str) -> str:
    """Describe a header without its names: the first line of a file without a header is personal data.

    The exception is a name that resembles the requested one, in a line without numbers and addresses.
    """
    similar: list[str] = []
    if not any("@" in name or sum(map(str.isdigit, name)) >= _DATA_DIGITS for name in header):
        names = {_loose(name): " ".join(name.split()) for name in header}
        similar = [names[name] for name in get_close_matches(_loose(column), names, cutoff=_MIN_SIMILARITY)]
    count = f"it has {len(header)} column(s)"
    if similar:
        return f"{count}; did you mean {' or '.join(map(repr, similar))}?"
    return f"{count}, and none has a similar name. Its first line must contain the column names"
