"""Parquet files and workbooks that are broken, and several files of which one is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl

from audience_onboarding.crm.csv_source import CsvSource
from audience_onboarding.crm.many_sources import ManySources
from audience_onboarding.crm.parquet_source import ParquetSource
from audience_onboarding.crm.rows import Source
from audience_onboarding.crm.xlsx_source import XlsxSource
from audience_onboarding.errors import EmptySourceError, MissingColumnError, SourceFormatError
from tests.unit.crm.malformed.case import GOOD, Case, Fails, Gives, csv_bytes, mail, malformed, phone, table


@dataclass(frozen=True)
class TableCase:
    """A case that is no CSV.

    :param open: makes the source, given the path of the file.
    :param case: the content, the outcome, and the rest.
    """

    case: Case
    open: Callable[[Path], Source]

    @property
    def name(self) -> str:
        """What is bad about it."""
        return self.case.name


# --- Parquet

MAILS = [mail(number) for number in (1, 2, 3)]
PHONES = [phone(number) for number in (1, 2, 3)]


def parquet(
    columns: Mapping[str, object], *, compression: str = "zstd", row_group_size: int | None = None
) -> bytes:
    """A file of these columns."""
    out = io.BytesIO()
    pl.DataFrame(columns).write_parquet(out, compression=compression, row_group_size=row_group_size)  # type: ignore[arg-type]
    return out.getvalue()


def flipped(content: bytes, *places: int) -> bytes:
    """With some bytes changed."""
    changed = bytearray(content)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


MANY = parquet(
    {
        "email": [mail(number) for number in range(3000)],
        "phone": [phone(number % 100) for number in range(3000)],
    }
)
ZSTD = b"\x28\xb5\x2f\xfd"
ABOVE_FLOAT = 2.0**53

PARQUET = [
    Case("parquet", parquet({"email": MAILS, "phone": PHONES}), Gives(3, 3)),
    Case(
        "parquet, of row groups of one row",
        parquet({"email": MAILS, "phone": PHONES}, row_group_size=1),
        Gives(3, 3),
    ),
    Case("parquet: an empty file", b"", Fails(SourceFormatError, "Parquet")),
    Case("parquet: its first letters only", b"PAR1", Fails(SourceFormatError, "Parquet")),
    Case("parquet: a CSV file", table(*GOOD), Fails(SourceFormatError, "Parquet")),
    Case("parquet: cut off", MANY[:-200], Fails(SourceFormatError, "Parquet")),
    Case("parquet: cut at the start", MANY[200:], Fails(SourceFormatError, "Parquet")),
    # Changed bytes that still unpack cannot be seen: check sums are optional in Parquet, and Polars looks at none.
    Case(
        "parquet: a page that does not unpack",
        flipped(MANY, MANY.index(ZSTD)),
        Fails(SourceFormatError, "Parquet"),
    ),
    Case(
        "parquet: a footer with changed bytes",
        flipped(MANY, *range(len(MANY) - 120, len(MANY) - 40)),
        Fails(SourceFormatError, "Parquet"),
    ),
    Case(
        "parquet: a footer that says it is 2 GB long",
        MANY[:-8] + b"\xff\xff\xff\x7fPAR1",
        Fails(SourceFormatError, "Parquet"),
    ),
    Case("parquet: a footer of length 0", MANY[:-8] + b"\0\0\0\0PAR1", Fails(SourceFormatError, "Parquet")),
    Case("parquet: encrypted", MANY[:-4] + b"PARE", Fails(SourceFormatError, "Parquet")),
    Case(
        "parquet: after a transfer in text mode",
        MANY.replace(b"\n", b"\r\n"),
        Fails(SourceFormatError, "Parquet"),
    ),
    Case(
        "parquet: two files behind each other",
        parquet({"x": ["canary"]}) + parquet({"email": MAILS, "phone": PHONES}),
        Fails(SourceFormatError, "Parquet"),
    ),
    Case("parquet: no column", parquet({}), Fails(EmptySourceError, "no column")),
    Case(
        "parquet: no row",
        parquet({"email": pl.Series([], dtype=pl.String), "phone": pl.Series([], dtype=pl.String)}),
        Fails(EmptySourceError),
    ),
    Case(
        "parquet: a column is missing",
        parquet({"email": MAILS}),
        Fails(MissingColumnError, "no column 'phone'"),
    ),
    Case(
        "parquet: two columns that nearly fit",
        parquet({"E-mail".replace("-", " "): MAILS, "EMAIL": MAILS, "phone": PHONES}),
        Fails(MissingColumnError, "2 columns"),
    ),
    Case(
        "parquet: phones as whole numbers",
        parquet({"email": MAILS, "phone": [687654301, 31687654302, None]}),
        Gives(3, 3),
    ),
    Case(
        "parquet: phones as floats",
        parquet({"email": MAILS, "phone": [687654301.0, float("nan"), None]}),
        Gives(3, 3),
    ),
    Case(
        "parquet: phones as floats that are not exact",
        parquet({"email": MAILS, "phone": [687654301.0, ABOVE_FLOAT * 64, None]}),
        Fails(SourceFormatError, "not exact"),
    ),
    Case(
        "parquet: phones as floats, infinite and broken",
        parquet({"email": MAILS, "phone": [float("inf"), 687654301.5, -687654302.0]}),
        Gives(3, 3, invalid={"phone": {"invalid_phone": 2}}),
    ),
    Case(
        "parquet: phones as lists",
        parquet({"email": MAILS, "phone": [PHONES, [], None]}),
        Fails(SourceFormatError, "more than one value"),
    ),
    Case(
        "parquet: phones as structures",
        parquet({"email": MAILS, "phone": [{"mobile": phone(1)}] * 3}),
        Fails(SourceFormatError, "more than one value"),
    ),
    Case(
        "parquet: bytes", parquet({"email": [each.encode() for each in MAILS], "phone": PHONES}), Gives(3, 3)
    ),
    Case(
        "parquet: bytes that are no text",
        parquet({"email": [b"canary\xff", b"", None], "phone": PHONES}),
        Fails(SourceFormatError, "no UTF-8"),
    ),
    Case(
        "parquet: nothing but nulls",
        parquet({"email": [None, None], "phone": [None, None]}),
        Fails(EmptySourceError, "no_identifier 2"),
    ),
    Case(
        "parquet: dates and truth values",
        parquet({"email": [date(2026, 11, 16), None, None], "phone": [True, False, None]}),
        Fails(EmptySourceError, "invalid_email 1"),
    ),
    Case(
        "parquet: categories",
        parquet({"email": pl.Series(MAILS, dtype=pl.Categorical), "phone": PHONES}),
        Gives(3, 3),
    ),
    Case(
        "parquet: texts with line ends, quotes and nuls",
        parquet({"email": [f"{mail(1)}\r\n", f'"{mail(2)}"', f"\0{mail(3)}"], "phone": PHONES}),
        Gives(3, 3, invalid={"email": {"invalid_email": 2}}),
    ),
]

# --- workbooks

Value = str | int | float | bool | None
WORKBOOK = (
    '<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="People" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"'
    ' Target="worksheets/sheet1.xml"/></Relationships>'
)
TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
ROOT = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
    ' Target="xl/workbook.xml"/></Relationships>'
)
SHEET = "xl/worksheets/sheet1.xml"


def cell(place: str, value: Value) -> str:
    """One cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, (int, float)):
        return f'<c r="{place}"><v>{value}</v></c>'
    if value.startswith("#"):
        return f'<c r="{place}" t="e"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def sheet(rows: Sequence[Sequence[Value]], *, prolog: str = "", more: str = "") -> str:
    """The XML of a sheet."""
    lines = ""
    for number, row in enumerate(rows, 1):
        cells = "".join(cell(f"{chr(65 + place)}{number}", value) for place, value in enumerate(row))
        lines += f'<row r="{number}">{cells}</row>'
    return (
        f'<?xml version="1.0"?>{prolog}<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{lines}{more}</sheetData></worksheet>"
    )


def workbook(xml: str, **parts: str) -> bytes:
    """An archive with one sheet; other parts instead of the usual ones by their names."""
    usual = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": ROOT,
        "xl/workbook.xml": WORKBOOK,
        "xl/_rels/workbook.xml.rels": RELATIONS,
        SHEET: xml,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**usual, **parts}.items():
            if text:
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


HEAD: list[Value] = ["email", "phone"]
PEOPLE: list[list[Value]] = [HEAD, [mail(1), phone(1)], [mail(2), phone(2)], [mail(3), phone(3)]]
PLAIN = workbook(sheet(PEOPLE))
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "canary">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(8))
    + "]>"
)

XLSX = [
    Case("xlsx", PLAIN, Gives(3, 3)),
    Case("xlsx: an empty file", b"", Fails(SourceFormatError, "no Excel workbook")),
    Case("xlsx: a CSV file", table(*GOOD), Fails(SourceFormatError, "no Excel workbook")),
    Case(
        "xlsx: a web page, as many programs write .xls",
        b"<html><table><tr><td>email</td></tr></table></html>",
        Fails(SourceFormatError, "no Excel workbook"),
    ),
    Case("xlsx: cut off", PLAIN[:-100], Fails(SourceFormatError, "damaged")),
    Case(
        "xlsx: changed bytes in the sheet",
        flipped(PLAIN, *range(PLAIN.index(SHEET.encode()) + 40, PLAIN.index(SHEET.encode()) + 60)),
        Fails(SourceFormatError, "damaged"),
    ),
    Case(
        "xlsx: an old workbook that is none",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000),
        Fails(SourceFormatError, "damaged"),
    ),
    Case(
        "xlsx: another archive",
        workbook(sheet(PEOPLE), **{"xl/workbook.xml": ""}),
        Fails(SourceFormatError, "another kind of archive"),
    ),
    Case("xlsx: without its sheet", workbook(""), Fails(SourceFormatError)),
    Case("xlsx: XML that breaks off", workbook(sheet(PEOPLE)[:-60]), Fails(SourceFormatError)),
    Case(
        "xlsx: entities that grow",
        workbook(
            sheet(
                PEOPLE, prolog=LAUGHS, more='<row r="9"><c r="A9" t="inlineStr"><is><t>&i;</t></is></c></row>'
            )
        ),
        Fails(SourceFormatError),
    ),
    Case("xlsx: nothing in the sheet", workbook(sheet([])), Fails(EmptySourceError, "sheet is empty")),
    Case("xlsx: only a header", workbook(sheet([HEAD])), Fails(EmptySourceError, "header row only")),
    Case("xlsx: no header", workbook(sheet(PEOPLE[1:])), Fails(MissingColumnError, "looks like data")),
    Case(
        "xlsx: a title above the header",
        workbook(sheet([["Export"], [], *PEOPLE])),
        Fails(MissingColumnError, "'Export'"),
    ),
    Case(
        "xlsx: blank rows", workbook(sheet([[], *PEOPLE[:2], [], [" ", None], *PEOPLE[2:], []])), Gives(3, 3)
    ),
    Case(
        "xlsx: phones as numbers",
        workbook(sheet([HEAD, [mail(1), 687654301], [mail(2), 31687654302], [mail(3), 687654303.0]])),
        Gives(3, 3),
    ),
    Case(
        "xlsx: a phone of 16 digits",
        workbook(sheet([HEAD, [mail(1), 3168765430168765]])),
        Fails(SourceFormatError, "15 digits"),
    ),
    Case(
        "xlsx: phones with a fraction",
        workbook(sheet([HEAD, [mail(1), 687654301.5], [mail(2), 687654302.25]])),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 2}}),
    ),
    Case(
        "xlsx: errors instead of values",
        workbook(
            sheet([["id", *HEAD], [1, mail(1), "#N/A"], [2, "#REF!", phone(2)], [3, "#NAME?", "#VALUE!"]])
        ),
        Gives(3, 2, rejected={"no_identifier": 1}),
    ),
    # The library gives nothing for an error, so a row of errors only looks blank.
    Case("xlsx: a row of errors only", workbook(sheet([*PEOPLE, ["#NAME?", "#VALUE!"]])), Gives(3, 3)),
    Case(
        "xlsx: truth values",
        workbook(sheet([HEAD, [True, phone(1)], [mail(2), False]])),
        Gives(2, 2, invalid={"email": {"invalid_email": 1}, "phone": {"invalid_phone": 1}}),
    ),
    Case(
        "xlsx: rows that are too short and too long",
        workbook(sheet([HEAD, [mail(1)], [mail(2), phone(2), "more"], [None, phone(3)]])),
        Gives(3, 3),
    ),
    Case(
        "xlsx: a cell far away",
        workbook(sheet(PEOPLE, more='<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')),
        Fails(SourceFormatError, "too large"),
    ),
    Case(
        "xlsx: a place that cannot be",
        workbook(sheet(PEOPLE, more='<row r="9"><c r="ZZZZZZ99999999999"><v>1</v></c></row>')),
        Fails(SourceFormatError),
    ),
]

# --- several files


def many(*contents: bytes) -> Callable[[Path], Source]:
    """Files beside the path that is named."""

    def opened(path: Path) -> Source:
        parts = [path.with_name(f"part-{number}.csv") for number in range(len(contents))]
        for part, content in zip(parts, contents, strict=True):
            part.write_bytes(content)
        return ManySources([CsvSource(part) for part in parts], str(path))

    return opened


def _case(name: str, outcome: Fails | Gives, *contents: bytes) -> TableCase:
    return TableCase(Case(f"several files: {name}", b"", outcome), many(*contents))


SEVERAL = [
    _case("all good", Gives(3, 3), *(table(row) for row in GOOD)),
    _case("the same one twice", Gives(6, 3, duplicates=3), table(*GOOD), table(*GOOD)),
    _case(
        "one with columns in another order",
        Gives(2, 2),
        table(GOOD[0]),
        csv_bytes("phone,email", f"{phone(2)},{mail(2)}"),
    ),
    _case(
        "one without a column",
        Fails(MissingColumnError, "part-1.csv"),
        table(GOOD[0]),
        csv_bytes("email", mail(2)),
    ),
    _case(
        "one without header", Fails(MissingColumnError, "part-1.csv"), table(GOOD[0]), csv_bytes(*GOOD[1:])
    ),
    _case("one is empty", Fails(SourceFormatError, "part-1.csv"), table(GOOD[0]), b"", table(GOOD[1])),
    _case("all are empty", Fails(EmptySourceError, "2 files"), b"", b"\n"),
    _case("one has a header only", Gives(2, 2), table(*GOOD[:2]), table()),
    _case("a short row in each", malformed(4, 2, 2, 2), table(GOOD[0], "short"), table(GOOD[1], "short")),
    _case(
        "an open quote in the last",
        Fails(SourceFormatError, "part-1.csv"),
        table(*GOOD),
        table(f'{mail(4)},"'),
    ),
    _case(
        "one that is no text", Fails(SourceFormatError, "part-1.csv"), table(*GOOD), b"PK\x03\x04" + bytes(40)
    ),
    _case(
        "of different encodings",
        Fails(SourceFormatError, "part-1.csv"),
        table(*GOOD),
        table(f"zo\u00eb.{mail(4)},", encoding="cp1252"),
    ),
]

TABLES = [
    *(TableCase(case, lambda path: ParquetSource(path, block_rows=2)) for case in PARQUET),
    *(TableCase(case, lambda path: XlsxSource(path, block_rows=2)) for case in XLSX),
    *SEVERAL,
]
