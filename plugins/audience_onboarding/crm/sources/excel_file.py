"""Excel workbooks: XLSX and XLSM, and the older XLS.

Cells are typed: a typed phone number is a number, without its leading zero. Its text is the stored digits.

A sheet is in memory, up to 100 bytes per cell while it is opened, so :data:`MAX_CELLS` limits it. CSV and Parquet have
no such limit.
"""

from __future__ import annotations

import datetime
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import BinaryIO, NoReturn

import python_calamine as calamine

from audience_onboarding.crm.sources.base import (
    NamedSource,
    OpenSource,
    ParsedBatch,
    RowBatch,
    build_frame,
    count_unmapped,
    empty_source_error,
    resolve_columns,
)
from audience_onboarding.crm.sources.coercion import InexactError, format_float
from audience_onboarding.crm.sources.text_stream import open_file
from audience_onboarding.exceptions import SourceFormatError

MAX_CELLS = 10 * 1024 * 1024
"""Cells from A1 to the last filled one: ten columns of the maximum height of a sheet."""

_MAX_SHARED_TEXT = 256 * 1024 * 1024
_EXCEL_DIGITS = 1e15
"""Excel stores 15 digits of a number, and zeros for the others."""

_ZIP = b"PK\x03\x04"
_XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PROTECTED = "EncryptedPackage".encode("utf-16-le")
"""Stream of a protected XLSX in an OLE file. An XLS is an OLE file, too."""

_SCAN_BLOCK = 1024 * 1024
_LONGEST_TAG = 4096
# A filled cell: "<c .../>" has a style only.
_FILLED_CELL = re.compile(rb"<(?:\w+:)?c\s(?:[^>]*?\s)?r=[\"']([A-Z]{1,3})(\d{1,7})[\"'][^>]*(?<!/)>")
_SHEET = re.compile(r"<(?:\w+:)?sheet\s[^>]*?\w+:id=[\"']([^\"']+)[\"']")
_RELATION = re.compile(r"<(?:\w+:)?Relationship\s[^>]*>")
_ATTRIBUTE = re.compile(r"(\w+)=[\"']([^\"']*)[\"']")

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta


@dataclass(frozen=True)
class XlsxSource(NamedSource):
    """One sheet of a workbook. The header is its first row that is not blank; blank rows do not count.

    The text of an integer is its digits, of a date ISO 8601, of a boolean ``TRUE`` or ``FALSE``. A cell with an error
    such as ``#N/A`` is empty. Of merged cells, the first one has the value.

    :param path: the local file.
    :param label: name for messages, such as its S3 URL; default: the path.
    :param sheet: its name, or its position from 1; default: the first one that is not hidden.
    :param block_rows: rows per block.
    """

    path: Path
    label: str = ""
    sheet: str | int | None = None
    block_rows: int = 50_000

    @contextmanager
    def open(self, columns: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Open it, see :class:`.Source`."""
        del workdir
        with open_file(self.path, self.name) as stream:
            rows = self._rows(stream)
        numbered = enumerate(_filled_rows(rows))
        _, header = next(numbered, (0, None))
        if header is None:
            raise empty_source_error(
                self.name,
                "the sheet is empty",
                next_step="Check the export, or name the sheet in the definition",
            )
        names = [self._header_text(cell) for cell in header]
        # A sheet is as wide as its widest row.
        while not names[-1].strip():
            names.pop()
        positions = resolve_columns(names, columns, self.name)
        yield OpenSource(count_unmapped(names, positions), self._blocks(numbered, names, positions))

    # --- the file ---

    def _rows(self, stream: BinaryIO) -> Iterator[list[Cell]]:
        """Return all rows of the sheet, from A1."""
        start = stream.read(len(_XLS))
        stream.seek(0)
        if start.startswith(_ZIP):
            self._check_parts(stream)
        elif start != _XLS:
            self._refuse("it is not an Excel workbook, or damaged")
        elif _PROTECTED in stream.read():
            self._refuse("it is protected by a password")
        stream.seek(0)
        problem = ""
        try:
            book = calamine.CalamineWorkbook.from_filelike(stream)
            index = self._find_sheet(book)
            if start.startswith(_ZIP):
                stream.seek(0)
                self._check_size(stream, index)
            return book.get_sheet_by_index(index).iter_rows()
        except calamine.PasswordError:
            problem = "it is protected by a password"
        except (calamine.CalamineError, OSError, ValueError, OverflowError):
            problem = "it is damaged or cut off"
        except BaseException as error:
            # Raised by the library for an unexpected file.
            if type(error).__name__ != "PanicException":
                raise
            problem = "it is damaged"
        self._refuse(problem)

    def _refuse(self, why: str) -> NoReturn:
        raise SourceFormatError(
            what="The CRM file cannot be read as an Excel workbook",
            where=self.name,
            why=why,
            next_step="Save it as XLSX without a password, or export it as CSV and set the format of the source",
        )

    def _find_sheet(self, book: calamine.CalamineWorkbook) -> int:
        """Return the index of the sheet in the workbook, from 0."""
        sheets = [
            (index, sheet)
            for index, sheet in enumerate(book.sheets_metadata)
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        if self.sheet is None:
            visible = [index for index, sheet in sheets if sheet.visible == calamine.SheetVisibleEnum.Visible]
            indexes = [*visible, *(index for index, _ in sheets)][:1]
        elif isinstance(self.sheet, int):
            indexes = [index for index, _ in sheets][self.sheet - 1 : self.sheet] if self.sheet > 0 else []
        else:
            # In Excel, names of sheets differ in more than case.
            name = self.sheet.strip().casefold()
            indexes = [index for index, sheet in sheets if sheet.name.strip().casefold() == name][:1]
        if indexes:
            return indexes[0]
        raise SourceFormatError(
            what="The CRM file has no sheet" + ("" if self.sheet is None else f" {self.sheet!r}"),
            where=self.name,
            why=f"its sheets are {', '.join(repr(sheet.name) for _, sheet in sheets)}" if sheets else "",
            next_step="Correct the name of the sheet in the definition",
        )

    # --- limits ---

    def _check_parts(self, stream: BinaryIO) -> None:
        """Refuse archives that calamine would read, too, but of which the size is unknown."""
        sizes: dict[str, int] = {}
        with suppress(zipfile.BadZipFile, OSError, ValueError), zipfile.ZipFile(stream) as archive:
            sizes = {part.filename: part.file_size for part in archive.infolist()}
        if not sizes:
            self._refuse("it is damaged or cut off")
        if "xl/workbook.xml" not in sizes:
            self._refuse("it is an archive of another kind")
        text = sizes.get("xl/sharedStrings.xml", 0)
        if text > _MAX_SHARED_TEXT:
            self._refuse_size(f"it has {text // 1024**2} MiB of text")

    def _check_size(self, stream: BinaryIO, index: int) -> None:
        """Refuse a sheet beyond :data:`MAX_CELLS`: with one distant cell, calamine allocates all memory."""
        cells: int | None = None
        broken = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
        with suppress(*broken), zipfile.ZipFile(stream) as archive:
            cells = _span(archive, _sheet_part(archive, index))
        if cells is None:
            self._refuse("it is damaged or cut off")
        if cells > MAX_CELLS:
            self._refuse_size(f"its sheet spans {cells:,} cells, maximum {MAX_CELLS:,}")

    def _refuse_size(self, why: str) -> NoReturn:
        raise SourceFormatError(
            what="The CRM file is too large for an Excel workbook",
            where=self.name,
            why=why,
            next_step="Export it as CSV or Parquet. If the table is smaller, delete the rows and columns around a"
            " distant filled cell",
        )

    # --- rows ---

    def _header_text(self, cell: Cell) -> str:
        try:
            return _text(cell) or ""
        except InexactError:
            return str(cell)

    def _blocks(
        self, rows: Iterator[tuple[int, list[Cell]]], names: Sequence[str], positions: Sequence[int]
    ) -> Iterator[ParsedBatch]:
        columns: list[list[str | None]] = [[] for _ in positions]
        first = 1
        number = 0
        for number, row in rows:
            for column, position in zip(columns, positions, strict=True):
                column.append(self._text(row[position], number, names[position]))
            if number - first + 1 == self.block_rows:
                yield ParsedBatch(RowBatch(build_frame(columns), first))
                columns = [[] for _ in positions]
                first = number + 1
        if number >= first:
            yield ParsedBatch(RowBatch(build_frame(columns), first))

    def _text(self, cell: Cell, number: int, column: str) -> str | None:
        try:
            return _text(cell)
        except InexactError:
            pass
        raise SourceFormatError(
            what=f"Row {number} of the CRM file has a number of more than 15 digits in column {column!r}",
            where=self.name,
            why="Excel stores 15 digits of a number, so the last ones are wrong",
            next_step="Format the column as text before entering values, or export the list as CSV",
        )


def _filled_rows(rows: Iterable[list[Cell]]) -> Iterator[list[Cell]]:
    for row in rows:
        if any(cell != "" and not (isinstance(cell, str) and cell.isspace()) for cell in row):
            yield row


def _text(cell: Cell) -> str | None:
    """Return the text of a cell.

    :raises InexactError: more digits than Excel stores.
    """
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):  # before int: a bool is one
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, (int, float)):
        return format_float(float(cell), _EXCEL_DIGITS)
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    return cell.isoformat()


def _sheet_part(archive: zipfile.ZipFile, index: int) -> str:
    """Return the name of the part with a sheet; empty if the workbook lacks it."""
    try:
        sheets = _SHEET.findall(archive.read("xl/workbook.xml").decode("utf-8", "replace"))
        relations = archive.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
    except KeyError:
        return ""
    if index >= len(sheets):
        return ""
    for relation in _RELATION.findall(relations):
        attributes = dict(_ATTRIBUTE.findall(relation))
        if attributes.get("Id") == sheets[index]:
            # Relative to the workbook, or to the archive.
            return posixpath.normpath(posixpath.join("/xl", unescape(attributes.get("Target", "")))).lstrip(
                "/"
            )
    return ""


def _span(archive: zipfile.ZipFile, part: str) -> int:
    """Return the number of cells from A1 to the last filled row and column; 0 for a missing part."""
    if part not in archive.namelist():
        return 0
    columns: set[bytes] = set()
    last_row = 0
    rest = b""
    with archive.open(part) as xml:
        while block := xml.read(_SCAN_BLOCK):
            block = rest + block
            cells = _FILLED_CELL.findall(block)
            if cells:
                columns.update(column for column, _ in cells)
                last_row = max(last_row, int(cells[-1][1]))
            rest = block[max(block.rfind(b"<"), len(block) - _LONGEST_TAG) :]
    return last_row * max(map(_column_number, columns), default=0)


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
