"""Excel workbooks: XLSX and XLSM, and the older XLS.

A workbook is no format for exports, but people do export them. Its cells are typed: a phone number that somebody typed
is a number, without its leading zero. What comes out here are the digits that are there.

A sheet is held in memory, up to 100 bytes a cell while it is opened, so it may not span more than
:data:`MAX_CELLS`. CSV and Parquet know no such limit.
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

import polars as pl
import python_calamine as calamine

from audience_onboarding.crm.sources.base import (
    NamedSource,
    OpenSource,
    ParsedBatch,
    RowBatch,
    empty_source_error,
    resolve_columns,
    unmapped_columns,
)
from audience_onboarding.crm.sources.coercion import InexactError, format_float
from audience_onboarding.crm.sources.text_stream import open_file
from audience_onboarding.exceptions import SourceFormatError

MAX_CELLS = 10 * 1024 * 1024
"""Cells from A1 to the last one that is filled: ten columns down to the last row that Excel has."""

_MAX_SHARED_TEXT = 256 * 1024 * 1024
_EXCEL_DIGITS = 1e15
"""Excel keeps 15 digits of a number and writes noughts for the others."""

_ZIP = b"PK\x03\x04"
_XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PROTECTED = "EncryptedPackage".encode("utf-16-le")
"""What a protected XLSX is inside an OLE file, which is what an XLS is too."""

_SCAN_BLOCK = 1024 * 1024
_LONGEST_TAG = 4096
# A cell that is not empty: "<c .../>" has a style only.
_FILLED_CELL = re.compile(rb"<(?:\w+:)?c\s(?:[^>]*?\s)?r=[\"']([A-Z]{1,3})(\d{1,7})[\"'][^>]*(?<!/)>")
_SHEET = re.compile(r"<(?:\w+:)?sheet\s[^>]*?\w+:id=[\"']([^\"']+)[\"']")
_RELATION = re.compile(r"<(?:\w+:)?Relationship\s[^>]*>")
_ATTRIBUTE = re.compile(r"(\w+)=[\"']([^\"']*)[\"']")

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.datetime | datetime.timedelta


@dataclass(frozen=True)
class XlsxSource(NamedSource):
    """One sheet of a workbook. The header is its first row that is not blank; blank rows are none.

    A whole number becomes its digits, a date ISO 8601, a truth value ``TRUE`` or ``FALSE``. A cell that shows an error
    such as ``#N/A`` is empty. Of merged cells the first one has the value, the others are empty.

    :param path: the local file.
    :param label: what messages call it, such as its S3 URL; the path where empty.
    :param sheet: its name, or its place (from 1); the first one that is not hidden where ``None``.
    :param block_rows: rows that are given at once.
    """

    path: Path
    label: str = ""
    sheet: str | int | None = None
    block_rows: int = 50_000

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Begin to read it, see :class:`~audience_onboarding.crm.sources.base.Source`."""
        del workdir
        with open_file(self.path, self.name) as stream:
            rows = self._rows(stream)
        numbered = ((number, row) for number, row in enumerate(self._filled(rows)))
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
        positions = resolve_columns(names, wanted, self.name)
        yield OpenSource(
            tuple(name for name in unmapped_columns(names, positions) if name),
            self._blocks(numbered, names, positions),
        )

    # --- the file ---

    def _rows(self, stream: BinaryIO) -> Iterator[list[Cell]]:
        """All rows of the sheet, from A1."""
        start = stream.read(len(_XLS))
        stream.seek(0)
        if start.startswith(_ZIP):
            self._check_parts(stream)
        elif start != _XLS:
            self._refuse("it is no Excel workbook, or a damaged one")
        elif _PROTECTED in stream.read():
            self._refuse("it is protected by a password")
        stream.seek(0)
        problem = ""
        try:
            book = calamine.CalamineWorkbook.from_filelike(stream)
            place = self._place(book)
            if start.startswith(_ZIP):
                stream.seek(0)
                self._check_size(stream, place)
            return book.get_sheet_by_index(place).iter_rows()
        except calamine.PasswordError:
            problem = "it is protected by a password"
        except (calamine.CalamineError, OSError, ValueError, OverflowError):
            problem = "it is damaged or cut off"
        except BaseException as error:
            # The library's own way to say that it did not expect this.
            if type(error).__name__ != "PanicException":
                raise
            problem = "it is damaged"
        self._refuse(problem)

    def _refuse(self, why: str) -> NoReturn:
        raise SourceFormatError(
            what="the CRM file cannot be read as an Excel workbook",
            where=self.name,
            why=why,
            next_step="Save it as XLSX without a password, or export it as CSV and set the format of the source",
        )

    def _place(self, book: calamine.CalamineWorkbook) -> int:
        """Place of the wanted sheet in the workbook, from 0."""
        sheets = [
            (place, sheet)
            for place, sheet in enumerate(book.sheets_metadata)
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        if self.sheet is None:
            visible = [place for place, sheet in sheets if sheet.visible == calamine.SheetVisibleEnum.Visible]
            found = [*visible, *(place for place, _ in sheets)][:1]
        elif isinstance(self.sheet, int):
            found = [place for place, _ in sheets][self.sheet - 1 : self.sheet] if self.sheet > 0 else []
        else:
            # Excel has no two sheets whose names differ in case only.
            wanted = self.sheet.strip().casefold()
            found = [place for place, sheet in sheets if sheet.name.strip().casefold() == wanted][:1]
        if found:
            return found[0]
        raise SourceFormatError(
            what="the CRM file has no sheet"
            if self.sheet is None
            else f"the CRM file has no sheet {self.sheet!r}",
            where=self.name,
            why=f"its sheets are {', '.join(repr(sheet.name) for _, sheet in sheets)}" if sheets else "",
            next_step="Correct the name of the sheet in the definition",
        )

    # --- what would be too large ---

    def _check_parts(self, stream: BinaryIO) -> None:
        """Refuse what calamine would read as well, but without our knowing how large it is."""
        sizes: dict[str, int] = {}
        with suppress(zipfile.BadZipFile, OSError, ValueError), zipfile.ZipFile(stream) as archive:
            sizes = {part.filename: part.file_size for part in archive.infolist()}
        if not sizes:
            self._refuse("it is damaged or cut off")
        if "xl/workbook.xml" not in sizes:
            self._refuse("it is another kind of archive")
        text = sizes.get("xl/sharedStrings.xml", 0)
        if text > _MAX_SHARED_TEXT:
            self._refuse_size(f"it holds {text // 1024**2} MiB of text")

    def _check_size(self, stream: BinaryIO, place: int) -> None:
        """Refuse a sheet beyond :data:`MAX_CELLS`: a single far-away cell makes calamine take all memory there is."""
        cells: int | None = None
        broken = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
        with suppress(*broken), zipfile.ZipFile(stream) as archive:
            cells = _span(archive, _sheet_part(archive, place))
        if cells is None:
            self._refuse("it is damaged or cut off")
        if cells > MAX_CELLS:
            self._refuse_size(f"its sheet spans {cells:,} cells, {MAX_CELLS:,} are allowed")

    def _refuse_size(self, why: str) -> NoReturn:
        raise SourceFormatError(
            what="the CRM file is too large for an Excel workbook",
            where=self.name,
            why=why,
            next_step="Export it as CSV or Parquet. If there are fewer rows and columns than that, something is in a"
            " cell far away from them: delete the rows and columns around it",
        )

    # --- its rows ---

    def _filled(self, rows: Iterable[list[Cell]]) -> Iterator[list[Cell]]:
        for row in rows:
            if any(cell != "" and not (isinstance(cell, str) and cell.isspace()) for cell in row):
                yield row

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
                yield _block(columns, first)
                columns = [[] for _ in positions]
                first = number + 1
        if number >= first:
            yield _block(columns, first)

    def _text(self, cell: Cell, number: int, column: str) -> str | None:
        try:
            return _text(cell)
        except InexactError:
            pass
        raise SourceFormatError(
            what=f"row {number} of the CRM file has a number of more than 15 digits in column {column!r}",
            where=self.name,
            why="Excel keeps 15 digits of a number, so the last ones are wrong",
            next_step="Format the column as text before the values go in, or export the list as CSV",
        )


def _block(columns: Sequence[list[str | None]], first: int) -> ParsedBatch:
    frame = pl.DataFrame(
        [pl.Series(str(index), column, dtype=pl.String) for index, column in enumerate(columns)]
    )
    return ParsedBatch(RowBatch(frame, first=first))


def _text(cell: Cell) -> str | None:
    """The value of a cell as text.

    :raises InexactError: more digits than Excel keeps.
    """
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):  # before int, which it is too
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, (int, float)):
        return format_float(float(cell), _EXCEL_DIGITS)
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    return cell.isoformat()


def _sheet_part(archive: zipfile.ZipFile, place: int) -> str:
    """Name of the part that holds a sheet; empty where the workbook does not tell."""
    try:
        sheets = _SHEET.findall(archive.read("xl/workbook.xml").decode("utf-8", "replace"))
        relations = archive.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")
    except KeyError:
        return ""
    if place >= len(sheets):
        return ""
    for relation in _RELATION.findall(relations):
        attributes = dict(_ATTRIBUTE.findall(relation))
        if attributes.get("Id") == sheets[place]:
            # Relative to the workbook, or to the whole archive.
            return posixpath.normpath(posixpath.join("/xl", unescape(attributes.get("Target", "")))).lstrip(
                "/"
            )
    return ""


def _span(archive: zipfile.ZipFile, part: str) -> int:
    """Cells of a sheet from A1 to the last row and column that hold something; 0 if it is not there."""
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
