"""Parquet files and workbooks that are broken, and several files of which one is."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from audience_onboarding.crm.sources.base import Source
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.crm.sources.excel_file import XlsxSource
from audience_onboarding.crm.sources.multi_file import MultiFileSource
from audience_onboarding.crm.sources.parquet_file import ParquetSource
from tests.unit.crm.malformed.case import (
    GOOD,
    Case,
    Fails,
    Gives,
    csv_bytes,
    flipped,
    mail,
    malformed,
    no_column,
    nothing,
    phone,
    table,
    unreadable,
)
from tests.unit.crm.workbooks import Raw, Value, compound, rows_xml, xls, xlsx, zipped


@dataclass(frozen=True)
class TableCase:
    """A case that is not CSV.

    :param open: makes the source, given the path of the file.
    :param case: the content, the outcome, and the rest.
    """

    case: Case
    open: Callable[[Path], Source]

    @property
    def name(self) -> str:
        """The name of the case."""
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


def with_phones(phones: object) -> bytes:
    """Three people with phones of some type."""
    return parquet({"email": MAILS, "phone": phones})


MANY = parquet(
    {
        "email": [mail(number) for number in range(3000)],
        "phone": [phone(number % 100) for number in range(3000)],
    }
)
ZSTD = b"\x28\xb5\x2f\xfd"
ABOVE_FLOAT = 2.0**53

BROKEN_PARQUET = {
    "an empty file": b"",
    "its first letters only": b"PAR1",
    "its first and last letters only": b"PAR1" + bytes(20) + b"PAR1",
    "a CSV file": table(*GOOD),
    "cut off": MANY[:-200],
    "cut off by one byte": MANY[:-1],
    "cut off in the middle": MANY[: len(MANY) // 2],
    "cut at the start": MANY[200:],
    # Changed bytes that still decompress are undetectable: checksums are optional in Parquet, and Polars ignores them.
    "a page that does not unpack": flipped(MANY, MANY.index(ZSTD)),
    "a page that is overwritten": MANY[:100] + b"\xff" * 1000 + MANY[1100:],
    "a footer with changed bytes": flipped(MANY, *range(len(MANY) - 120, len(MANY) - 40)),
    "a footer with a length of 2 GB": MANY[:-8] + b"\xff\xff\xff\x7fPAR1",
    "a footer of length 0": MANY[:-8] + b"\0\0\0\0PAR1",
    "encrypted": MANY[:-4] + b"PARE",
    "after a transfer in text mode": MANY.replace(b"\n", b"\r\n"),
    "two files behind each other": parquet({"x": ["canary"]}) + with_phones(PHONES),
}

PARQUET = [
    *(
        Case(f"parquet: {name}", content, unreadable("cannot be read as Parquet"))
        for name, content in BROKEN_PARQUET.items()
    ),
    Case("parquet", with_phones(PHONES), Gives(3, 3)),
    Case(
        "parquet, of row groups of one row",
        parquet({"email": MAILS, "phone": PHONES}, row_group_size=1),
        Gives(3, 3),
    ),
    Case("parquet: no column", parquet({}), nothing("no column")),
    Case(
        "parquet: no row",
        parquet({"email": pl.Series([], dtype=pl.String), "phone": pl.Series([], dtype=pl.String)}),
        nothing(""),
    ),
    Case("parquet: a column is missing", parquet({"email": MAILS}), no_column("no column 'phone'")),
    Case(
        "parquet: two columns that nearly fit",
        parquet({"E mail": MAILS, "EMAIL": MAILS, "phone": PHONES}),
        no_column("2 columns"),
    ),
    Case("parquet: phones as whole numbers", with_phones([687654301, 31687654302, None]), Gives(3, 3)),
    Case("parquet: phones as floats", with_phones([687654301.0, float("nan"), None]), Gives(3, 3)),
    Case(
        "parquet: phones as floats that are not exact",
        with_phones([687654301.0, ABOVE_FLOAT * 64, None]),
        unreadable("not exact"),
    ),
    Case(
        "parquet: phones as floats, infinite and broken",
        with_phones([float("inf"), 687654301.5, -687654302.0]),
        Gives(3, 3, invalid={"phone": {"invalid_phone": 2}}),
    ),
    Case("parquet: phones as lists", with_phones([PHONES, [], None]), unreadable("more than one value")),
    Case(
        "parquet: phones as structures",
        with_phones([{"mobile": phone(1)}] * 3),
        unreadable("more than one value"),
    ),
    Case(
        "parquet: bytes", parquet({"email": [each.encode() for each in MAILS], "phone": PHONES}), Gives(3, 3)
    ),
    Case(
        "parquet: bytes that are no text",
        parquet({"email": [b"canary\xff", b"", None], "phone": PHONES}),
        unreadable("not UTF-8"),
    ),
    Case(
        "parquet: nothing but nulls",
        parquet({"email": [None, None], "phone": [None, None]}),
        nothing("no_identifier 2"),
    ),
    Case(
        "parquet: dates and truth values",
        parquet({"email": [date(2026, 11, 16), None, None], "phone": [True, False, None]}),
        nothing("invalid_email 1"),
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

SHEET = "xl/worksheets/sheet1.xml"
HEAD: list[Value] = ["email", "phone"]
PEOPLE: list[list[Value]] = [HEAD, [mail(1), phone(1)], [mail(2), phone(2)], [mail(3), phone(3)]]
PLAIN = xlsx(PEOPLE)
LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "canary">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(8))
    + "]>"
)


def with_cell(cell: str) -> bytes:
    """The people, and a row with one more cell."""
    return xlsx(rows_xml(PEOPLE) + cell)


NO_WORKBOOK = {
    "an empty file": b"",
    "a CSV file": table(*GOOD),
    "a web page, as many programs write .xls": b"<html><table><tr><td>email</td></tr></table></html>",
}
DAMAGED = {
    "cut off": PLAIN[:-100],
    "cut off by one byte": PLAIN[:-1],
    "cut off in the middle": PLAIN[: len(PLAIN) // 2],
    "changed bytes in the sheet": flipped(
        PLAIN, *range(PLAIN.index(SHEET.encode()) + 40, PLAIN.index(SHEET.encode()) + 60)
    ),
    "an old workbook that is none": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000),
    "an old workbook, cut off": xls([["email"], [mail(1)]])[:1500],
    "another compound file": compound("Something", b"canary"),
    "a list of sheets that breaks off": xlsx([["a"]], parts={"xl/workbook.xml": "<workbook><sheets><sheet"}),
    "a sheet that breaks off": xlsx("<row r='1'><c r='A1'><v>"),
    "a shared text that is not there": xlsx('<row r="1"><c r="A1" t="s"><v>7</v></c></row>'),
    "XML that breaks off": xlsx([], parts={SHEET: f"<worksheet><sheetData>{rows_xml(PEOPLE)[:-60]}"}),
    "entities that grow": xlsx(
        [],
        parts={
            SHEET: f'<?xml version="1.0"?>{LAUGHS}<worksheet><sheetData>{rows_xml(PEOPLE)}'
            '<row r="9"><c r="A9" t="inlineStr"><is><t>&i;</t></is></c></row></sheetData></worksheet>'
        },
    ),
    "without its sheet": xlsx(PEOPLE, parts={SHEET: ""}),
    "a place that cannot be": with_cell('<row r="9"><c r="ZZZZZZ99999999999"><v>1</v></c></row>'),
}
OTHER_ARCHIVES = {
    "an archive without a workbook": xlsx(PEOPLE, parts={"xl/workbook.xml": ""}),
    "an archive of a CSV file": zipped({"crm.csv": table(*GOOD).decode()}),
    "an OpenDocument sheet": zipped(
        {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<x/>"}
    ),
}

XLSX = [
    *(
        Case(f"xlsx: {name}", content, unreadable(says))
        for says, contents in (
            ("not an Excel workbook", NO_WORKBOOK),
            ("damaged", DAMAGED),
            ("an archive of another kind", OTHER_ARCHIVES),
        )
        for name, content in contents.items()
    ),
    Case("xlsx: protected", compound("EncryptedPackage", b"canary"), unreadable("password")),
    Case("xlsx", PLAIN, Gives(3, 3)),
    Case("xlsx: nothing in the sheet", xlsx([]), nothing("sheet is empty")),
    Case("xlsx: only a header", xlsx([HEAD]), nothing("header row only")),
    Case("xlsx: no header", xlsx(PEOPLE[1:]), no_column("none has a similar name")),
    Case("xlsx: a title above the header", xlsx([["Export"], [], *PEOPLE]), no_column("it has 1 column(s)")),
    Case("xlsx: blank rows", xlsx([[], *PEOPLE[:2], [], [" ", None], *PEOPLE[2:], []]), Gives(3, 3)),
    Case(
        "xlsx: phones as numbers",
        xlsx([HEAD, [mail(1), 687654301], [mail(2), 31687654302], [mail(3), 687654303.0]]),
        Gives(3, 3),
    ),
    Case("xlsx: a phone of 16 digits", xlsx([HEAD, [mail(1), 3168765430168765]]), unreadable("15 digits")),
    Case(
        "xlsx: phones with a fraction",
        xlsx([HEAD, [mail(1), 687654301.5], [mail(2), 687654302.25]]),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 2}}),
    ),
    Case(
        "xlsx: errors instead of values",
        xlsx(
            [
                ["id", *HEAD],
                [1, mail(1), Raw("#N/A", "e")],
                [2, Raw("#REF!", "e"), phone(2)],
                [3, Raw("#NAME?", "e"), Raw("#VALUE!", "e")],
            ]
        ),
        Gives(3, 2, rejected={"no_identifier": 1}),
    ),
    # The library returns no value for an error, so a row of errors only is blank.
    Case(
        "xlsx: a row of errors only",
        xlsx([*PEOPLE, [Raw("#NAME?", "e"), Raw("#VALUE!", "e")]]),
        Gives(3, 3),
    ),
    Case(
        "xlsx: truth values",
        xlsx([HEAD, [True, phone(1)], [mail(2), False]]),
        Gives(2, 2, invalid={"email": {"invalid_email": 1}, "phone": {"invalid_phone": 1}}),
    ),
    Case(
        "xlsx: rows that are too short and too long",
        xlsx([HEAD, [mail(1)], [mail(2), phone(2), "more"], [None, phone(3)]]),
        Gives(3, 3),
    ),
    Case(
        "xlsx: a cell far away",
        with_cell('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
        unreadable("too large"),
    ),
]

# --- several files


def several(name: str, outcome: Fails | Gives, *contents: bytes) -> TableCase:
    """Files beside the path that the definition names."""

    def opened(path: Path) -> Source:
        parts = [path.with_name(f"part-{number}.csv") for number in range(len(contents))]
        for part, content in zip(parts, contents, strict=True):
            part.write_bytes(content)
        return MultiFileSource([CsvSource(part) for part in parts], str(path))

    return TableCase(Case(f"several files: {name}", b"", outcome), opened)


ONE, TWO, ALL = table(GOOD[0]), table(GOOD[1]), table(*GOOD)
IN_SECOND = "part-1.csv"
SEVERAL = [
    several("all good", Gives(3, 3), *(table(row) for row in GOOD)),
    several("the same one twice", Gives(6, 3, duplicates=3), ALL, ALL),
    several(
        "one with columns in another order",
        Gives(2, 2),
        ONE,
        csv_bytes("phone,email", f"{phone(2)},{mail(2)}"),
    ),
    several("one without a column", no_column(IN_SECOND), ONE, csv_bytes("email", mail(2))),
    several("one without header", no_column(IN_SECOND), ONE, csv_bytes(*GOOD[1:])),
    several("one is empty", unreadable(IN_SECOND), ONE, b"", TWO),
    several("all are empty", nothing("2 files"), b"", b"\n"),
    several("one has a header only", Gives(2, 2), table(*GOOD[:2]), table()),
    several("a short row in each", malformed(4, 2, 2, 2), table(GOOD[0], "short"), table(GOOD[1], "short")),
    several("an open quote in the last", unreadable(IN_SECOND), ALL, table(f'{mail(4)},"')),
    several("one that is no text", unreadable(IN_SECOND), ALL, b"PK\x03\x04" + bytes(40)),
    several(
        "of different encodings", unreadable(IN_SECOND), ALL, table(f"zo\u00eb.{mail(4)},", encoding="cp1252")
    ),
]

TABLES = [
    *(TableCase(case, lambda path: ParquetSource(path, block_rows=2)) for case in PARQUET),
    *(TableCase(case, lambda path: XlsxSource(path, block_rows=2)) for case in XLSX),
    *SEVERAL,
]
