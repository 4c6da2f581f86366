"""What every kind of source gives the engine: rows of text, in blocks, each row with its number.

Importing this module brings in Polars; no DAG file does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from audience_onboarding.exceptions import EmptySourceError, MissingColumnError

_MAX_PRINTED_NAMES = 50
_MAX_PRINTED_LENGTH = 60
_DATA_DIGITS = 6


@dataclass(frozen=True)
class RowBatch:
    """Some rows of a source, as text: a phone number or a postal code is never a number.

    :param frame: String columns ``"0"``, ``"1"``, ... in the order in which they were wanted; null is an empty field.
    :param first: number of the first row. 1 is the first row after the header; malformed rows count, blank lines do
        not.
    :param numbers: UInt64, the number of each row of ``frame`` where these are not ``first``, ``first + 1``, ...
    :param malformed: numbers of the rows that have another number of fields than the header, or broken quoting. They
        are not in ``frame``.
    :param file: which file of several, for the list of rejects; empty where there is one only.
    :param size: bytes of text that they took, where that is known.
    """

    frame: pl.DataFrame
    first: int
    numbers: pl.Series | None = None
    malformed: Sequence[int] = ()
    file: str = ""
    size: int = 0

    def row_numbers(self) -> pl.Series:
        """The number of each row of ``frame``."""
        if self.numbers is not None:
            return self.numbers
        return pl.int_range(self.first, self.first + self.frame.height, dtype=pl.UInt64, eager=True)


class BlockReader(Protocol):
    """A stretch of a source that is yet to be parsed."""

    def read(self) -> RowBatch:
        """Parse it. Called once, and maybe in another thread.

        :raises SourceFormatError: it cannot be read.
        """


@dataclass
class OpenSource:
    """A source that is being read.

    :param ignored: names of its columns that nobody wanted.
    :param blocks: in the order of the source.
    """

    ignored: tuple[str, ...]
    blocks: Iterator[BlockReader]


class Source(Protocol):
    """Where the rows of a load come from."""

    @property
    def name(self) -> str:
        """What messages call it: a path, a URL, never data."""

    def open(self, wanted: Sequence[str], workdir: Path) -> AbstractContextManager[OpenSource]:
        """Begin to read it.

        :param wanted: names of columns.
        :param workdir: a private directory that is gone after the load.
        :raises SourceNotFoundError: it is not there.
        :raises SourceFormatError: it cannot be read.
        :raises MissingColumnError: a name fits no column, or more than one.
        :raises EmptySourceError: it holds no header.
        """


class NamedSource:
    """What messages call a source that is a file: its label, such as its S3 URL; the path where that is empty."""

    path: Path | None
    label: str

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self.label or str(self.path)


def empty_source_error(
    where: str,
    why: str,
    *,
    next_step: str = "Check the export of this date; nothing was sent",
    rows_read: int = 0,
) -> EmptySourceError:
    """The error for a source of which no row can be sent.

    :param where: name of the source.
    """
    return EmptySourceError(
        rows_read=rows_read,
        what="the CRM file holds nothing to send",
        where=where,
        why=why,
        next_step=next_step,
    )


@dataclass(frozen=True)
class ParsedBatch:
    """A block that needed no parsing."""

    rows: RowBatch

    def read(self) -> RowBatch:
        """The rows."""
        return self.rows


def resolve_columns(header: Sequence[str], wanted: Sequence[str], where: str) -> list[int]:
    """Positions of the wanted columns: by exact name, else by name without regard to case and white space.

    :param where: name of the source, for messages.
    :raises MissingColumnError: a name fits no column, or more than one.
    """
    return [_find_column(header, name, where) for name in wanted]


def unmapped_columns(header: Sequence[str], positions: Sequence[int]) -> tuple[str, ...]:
    """Names of the other columns; none of them if the header looks like data."""
    if _looks_like_data(header):
        return ()
    return tuple(_printable(name) for index, name in enumerate(header) if index not in positions)


def _find_column(header: Sequence[str], wanted: str, where: str) -> int:
    def loose(name: str) -> str:
        return "".join(name.split()).casefold()

    for same in (lambda name: name == wanted, lambda name: loose(name) == loose(wanted)):
        found = [index for index, name in enumerate(header) if same(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise MissingColumnError(
                what=f"{len(found)} columns of the CRM file fit {wanted!r}",
                where=where,
                why=_describe(header),
                next_step="Rename one of them in the export",
            )
    raise MissingColumnError(
        what=f"the CRM file has no column {wanted!r}",
        where=where,
        why=_describe(header),
        next_step="Correct the column name or the delimiter in the definition, or the export",
    )


def _looks_like_data(header: Sequence[str]) -> bool:
    return any("@" in name or sum(map(str.isdigit, name)) >= _DATA_DIGITS for name in header)


def _describe(header: Sequence[str]) -> str:
    # A file without a header has a person in its first line, which must not be printed.
    if _looks_like_data(header):
        return "the first line looks like data, not like column names; does the export write a header row?"
    names = [_printable(name) for name in header[:_MAX_PRINTED_NAMES]]
    more = f" and {len(header) - len(names)} more" if len(header) > len(names) else ""
    return f"it has {len(header)} column(s): {', '.join(map(repr, names))}{more}"


def _printable(name: str) -> str:
    text = " ".join(name.split())
    return text if len(text) <= _MAX_PRINTED_LENGTH else f"{text[:_MAX_PRINTED_LENGTH]}..."
