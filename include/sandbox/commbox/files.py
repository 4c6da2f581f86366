"""The file of an audience: CSV with a column ``phone1``.

Page: Create New Audiences. It names "CSV or Excel"; the sandbox refuses Excel files, see the README. If the page is
silent, the strictest reading applies. Reasons name lines and columns, never values.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sandbox.commbox.settings import CommBoxSettings

COLUMN: Final = "phone1"
_PHONE: Final = re.compile(r"[1-9][0-9]{7,14}")
_EXCEL: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_BOM: Final = b"\xef\xbb\xbf"


class _Rows(Protocol):
    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


class FileRefusedError(Exception):
    """The file violates a rule."""


@dataclass(frozen=True)
class Customers:
    """Content of a file."""

    phones: tuple[str, ...]
    """Different numbers, in the order of the file."""
    user_count: int
    rows: int
    ignored: int
    sha256: str = field(default="", compare=False)
    """Of the file's bytes."""


def read_file(content: bytes, settings: CommBoxSettings) -> Customers:
    """Read a file.

    :raises FileRefusedError: with the first violation.
    """
    rows = csv.reader(io.StringIO(_text(content), newline=""), strict=True)
    try:
        header = next(rows, [])
        if header.count(COLUMN) != 1:
            raise FileRefusedError(
                f"header: {COLUMN} is missing" if COLUMN not in header else "header: twice"
            )
        return replace(_customers(rows, header, settings), sha256=hashlib.sha256(content).hexdigest())
    except csv.Error:
        raise FileRefusedError(f"line {rows.line_num}: broken quoting") from None


def _text(content: bytes) -> str:
    if not content:
        raise FileRefusedError("file is empty")
    if content.startswith(_EXCEL):
        raise FileRefusedError("Excel is not simulated")
    if content.startswith(_BOM):
        raise FileRefusedError("file begins with a byte order mark")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise FileRefusedError("not UTF-8") from None


def _customers(rows: _Rows, header: list[str], settings: CommBoxSettings) -> Customers:
    at, width = header.index(COLUMN), len(header)
    phones: dict[str, None] = {}
    total = good = 0
    for row in rows:
        total += 1
        if len(row) != width:
            raise FileRefusedError(f"line {rows.line_num}: {len(row)} fields, header has {width}")
        if _PHONE.fullmatch(row[at]):
            good += 1
            phones[row[at]] = None
        elif settings.commbox_bad_phone == "refuse":
            raise FileRefusedError(f"line {rows.line_num}: {COLUMN} is not digits with a country code")
    if not phones and settings.commbox_empty_file == "refuse":
        raise FileRefusedError("no customer")
    count = good if settings.commbox_duplicates == "each" else len(phones)
    return Customers(tuple(phones), count, total, total - good)
