"""Workbooks, written by hand: no library of ours writes any, and some are meant to be odd."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_CONTENT_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"

DATE, DATE_TIME, DURATION = 1, 2, 3
"""Styles of cells."""


@dataclass(frozen=True)
class Raw:
    """A cell as it stands in the file.

    :param value: between ``<v>`` and ``</v>``.
    :param kind: ``n`` number, ``b`` truth value, ``e`` error, ``str`` result of a formula.
    """

    value: str
    kind: str = "n"
    style: int = 0


Value = str | float | bool | Raw | None


def column_letters(number: int) -> str:
    """``A`` for 0."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def cell(row: int, column: int, value: Value) -> str:
    """A cell; ``None`` is one that has a style only."""
    place = f'r="{column_letters(column)}{row + 1}"'
    if value is None:
        return f'<c {place} s="1"/>'
    if isinstance(value, Raw):
        return f'<c {place} s="{value.style}" t="{value.kind}"><v>{value.value}</v></c>'
    if isinstance(value, bool):
        return f'<c {place} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        return f'<c {place} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f"<c {place}><v>{value!r}</v></c>"


def rows_xml(rows: Sequence[Sequence[Value]]) -> str:
    """Rows; one that is empty is left out, as Excel does."""
    return "".join(
        f'<row r="{number + 1}">{"".join(cell(number, at, value) for at, value in enumerate(row))}</row>'
        for number, row in enumerate(rows)
        if row
    )


def xlsx(
    *sheets: Sequence[Sequence[Value]] | str,
    names: Sequence[str] = (),
    hidden: Sequence[int] = (),
    more: str = "",
    parts: dict[str, str] | None = None,
) -> bytes:
    """A workbook.

    :param sheets: rows of each, or the XML of its rows.
    :param names: of the sheets; default ``Sheet1`` and so on.
    :param hidden: places of sheets, from 0.
    :param more: XML after the rows of each sheet.
    :param parts: files of the archive, in place of or besides the usual ones; an empty text leaves a file out.
    """
    names = names or [f"Sheet{number + 1}" for number in range(len(sheets))]
    state = dict.fromkeys(hidden, ' state="hidden"')
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{at + 1}"{state.get(at, "")} r:id="rId{at + 1}"/>'
        for at, name in enumerate(names)
    )
    related = "".join(
        f'<Relationship Id="rId{at + 1}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{at + 1}.xml"/>'
        for at in range(len(sheets))
    )
    files = {
        "[Content_Types].xml": f'<Types xmlns="{_CONTENT_TYPES}">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">{related}'
        f'<Relationship Id="rId99" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet {_MAIN}><cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="14"/>'
        '<xf numFmtId="22"/><xf numFmtId="46"/></cellXfs></styleSheet>',
    }  # fmt: skip
    for at, rows in enumerate(sheets):
        xml = rows if isinstance(rows, str) else rows_xml(rows)
        files[f"xl/worksheets/sheet{at + 1}.xml"] = (
            f'<?xml version="1.0"?><worksheet {_MAIN}><sheetData>{xml}</sheetData>{more}</worksheet>'
        )
    return zipped({name: text for name, text in {**files, **(parts or {})}.items() if text})


def zipped(files: dict[str, str]) -> bytes:
    """An archive of texts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def xls(rows: Sequence[Sequence[str | float]]) -> bytes:
    """A workbook of Excel 97 to 2003 with one sheet (BIFF8)."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def begin(kind: int) -> bytes:
        return record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0x0DBB, 1996, 0, 6))

    end = record(0x000A, b"")
    sheet = begin(0x0010)
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            place = struct.pack("<HHH", row, column, 0)
            if isinstance(value, str):
                sheet += record(0x0204, place + struct.pack("<HB", len(value), 1) + value.encode("utf-16-le"))
            else:
                sheet += record(0x0203, place + struct.pack("<d", value))
    sheet += end
    name = b"Old"
    listed = struct.pack("<BBBB", 0, 0, len(name), 0) + name
    start = len(begin(0x0005)) + 4 + 4 + len(listed) + len(end)
    return compound(
        "Workbook", begin(0x0005) + record(0x0085, struct.pack("<I", start) + listed) + end + sheet
    )


def compound(name: str, stream: bytes) -> bytes:
    """An OLE compound file with one stream. A protected XLSX is one, with a stream ``EncryptedPackage``."""
    size, free, end, none = 512, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF
    stream = stream.ljust(4096, b"\0")  # shorter ones are kept in another way
    stream += b"\0" * (-len(stream) % size)
    sectors = len(stream) // size
    fat = [0xFFFFFFFD, end, *range(3, 2 + sectors), end]
    assert len(fat) <= size // 4
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0,
    )  # fmt: skip
    header += struct.pack("<109I", 0, *[free] * 108)

    def entry(title: str, kind: int, child: int, first: int, length: int) -> bytes:
        text = (title + "\0").encode("utf-16-le")
        return struct.pack(
            "<64sHBBIII16xI16xIQ", text, len(text), kind, 1, none, none, child, 0, first, length
        )

    directory = entry("Root Entry", 5, 1, end, 0) + entry(name, 2, none, 2, len(stream)) + bytes(256)
    return header + struct.pack("<128I", *fat, *[free] * (128 - len(fat))) + directory + stream
