"""Workbooks: text of typed cells, and bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.crm.sources.excel_file import MAX_CELLS, XlsxSource
from audience_onboarding.exceptions import (
    SourceFormatError,
    SourceNotFoundError,
)
from tests.unit.crm.reading import column, read
from tests.unit.crm.workbooks import DATE, DATE_TIME, DURATION, Raw, xls, xlsx


def write(path: Path, content: bytes, **options: Any) -> XlsxSource:
    path.write_bytes(content)
    return XlsxSource(path, **options)


def test_xlsx_source_rows_have_numbers(tmp_path: Path) -> None:
    rows = [["E-mail", "x", "phone"], *([f"u{n}@x.example", n, "06"] for n in range(10))]
    source = write(tmp_path / "crm.xlsx", xlsx(rows), block_rows=4)
    result = read(source, ["phone", "e-mail"], tmp_path)
    assert result.rows == [("06", f"u{n}@x.example") for n in range(10)]
    assert result.numbers == list(range(1, 11))
    assert result.heights == [4, 4, 2]
    assert result.unmapped == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0612345678", "0612345678"),
        (" a&b <é€😀> ", " a&b <é€😀> "),
        (612345678.0, "612345678"),
        (612345678, "612345678"),
        (Raw("6.12345678E8"), "612345678"),
        (Raw("3.1612345678E10"), "31612345678"),
        (999999999999999, "999999999999999"),
        (0, "0"),
        (0.1, "0.1"),
        (True, "TRUE"),
        (False, "FALSE"),
        (Raw("#N/A", "e"), None),
        (Raw("a@x.example", "str"), "a@x.example"),
        (Raw("46342", style=DATE), "2026-11-16"),
        (Raw("46342.5", style=DATE_TIME), "2026-11-16T12:00:00"),
        (Raw("1.5", style=DURATION), "1 day, 12:00:00"),
        (None, None),
        ("", None),
    ],
)
def test_xlsx_source_each_cell_type_becomes_text(tmp_path: Path, value: Any, text: str | None) -> None:
    source = write(tmp_path / "x.xlsx", xlsx([["v", "w"], [value, "x"]]))
    assert column(source, "v", tmp_path) == [text]


@pytest.mark.parametrize("value", [1234567890123456, Raw("8.9310400001234E15"), Raw("1E300"), -1e15])
def test_xlsx_source_inexact_numbers_raise(tmp_path: Path, value: Any) -> None:
    source = write(tmp_path / "x.xlsx", xlsx([["id", "email"], [1, "a"], [value, "b"]]))
    with pytest.raises(SourceFormatError, match=r"Row 2 .*more than 15 digits in column 'id'") as caught:
        read(source, ["id"], tmp_path)
    assert "123456789" not in str(caught.value)
    assert column(source, "email", tmp_path) == ["a", "b"]


def test_xlsx_source_blank_rows_and_offset_table_are_skipped(tmp_path: Path) -> None:
    rows = [
        [],
        ["  ", None],
        ["", "", "email", "phone"],
        [],
        ["", "", "a", 1],
        ["", None, "", "  "],
        ["", "", "b"],
    ]
    result = read(write(tmp_path / "x.xlsx", xlsx(rows)), ["email", "phone"], tmp_path)
    assert result.rows == [("a", "1"), ("b", None)]
    assert result.numbers == [1, 2]
    assert result.unmapped == 0


def test_xlsx_source_merged_cells_have_one_value(tmp_path: Path) -> None:
    content = xlsx(
        [["email", "city"], ["a", "Delft"], ["b"]], more='<mergeCells><mergeCell ref="B2:B3"/></mergeCells>'
    )
    assert read(write(tmp_path / "x.xlsx", content), ["email", "city"], tmp_path).rows == [
        ("a", "Delft"),
        ("b", None),
    ]


def test_xlsx_source_sheet_option_selects_sheet(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(
        xlsx(
            [["a"], ["hidden"]],
            [["a"], ["second"]],
            [["a"], ["R&D"]],
            names=["Lists", "Customers", "R&D"],
            hidden=[0],
        )
    )
    assert column(XlsxSource(path), "a", tmp_path) == ["second"]
    assert column(XlsxSource(path, sheet="R&D"), "a", tmp_path) == ["R&D"]
    assert column(XlsxSource(path, sheet=" customers "), "a", tmp_path) == ["second"]
    assert column(XlsxSource(path, sheet="Lists"), "a", tmp_path) == ["hidden"]
    assert column(XlsxSource(path, sheet=3), "a", tmp_path) == ["R&D"]
    wrong: list[str | int] = ["Sheet1", 4, 0, -1]
    for sheet in wrong:
        with pytest.raises(SourceFormatError, match=r"no sheet.*'Lists', 'Customers', 'R&D'"):
            read(XlsxSource(path, sheet=sheet), ["a"], tmp_path)


def test_xlsx_source_hidden_sheets_only_reads_the_first(tmp_path: Path) -> None:
    assert column(write(tmp_path / "x.xlsx", xlsx([["a"], ["b"]], hidden=[0])), "a", tmp_path) == ["b"]


def test_xlsx_source_numeric_column_names_are_found(tmp_path: Path) -> None:
    source = write(tmp_path / "x.xlsx", xlsx([[2026, "email", 1e300], ["x", "a", "y"]]))
    assert read(source, ["2026"], tmp_path).rows == [("x",)]


def test_xlsx_source_missing_file_sheet_or_column_raises(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.xlsx", "no such file"), (tmp_path, "directory")):
        with pytest.raises(SourceNotFoundError, match=why):
            read(XlsxSource(path), ["a"], tmp_path)


def test_xlsx_source_xls_is_read(tmp_path: Path) -> None:
    content = xls([["email", "phone"], ["é@x.example", 612345678.0], ["b", "06"]])
    source = write(tmp_path / "crm.xls", content)
    assert read(source, ["phone", "email"], tmp_path).rows == [("612345678", "é@x.example"), ("06", "b")]
    # With any file name.
    assert column(write(tmp_path / "crm.xlsx", content), "email", tmp_path) == ["é@x.example", "b"]


def test_xlsx_source_unreadable_file_error_names_source(tmp_path: Path) -> None:
    """Every kind of damage: ``DAMAGED`` of the corpus."""
    source = write(tmp_path / "x.xlsx", xlsx([["email"], ["secret"]])[:-1], label="s3://b/x.xlsx")
    with pytest.raises(SourceFormatError, match="cannot be read as an Excel workbook") as caught:
        read(source, ["email"], tmp_path)
    assert "damaged or cut off" in caught.value.why
    assert caught.value.where == "s3://b/x.xlsx"
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


STRAY = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'


@pytest.mark.parametrize(
    "rows",
    [
        STRAY,
        '<row r="1"><c r="A1"><v>1</v></c><c s="0" r="XFD1"><v>1</v></c></row>'
        '<row r="2000"><c r="A2000"><v>1</v></c></row>',
        "<x:row r='1'><x:c r='A1'><x:v>1</x:v></x:c></x:row>"
        "<x:row r='9'><x:c r='ZZZ900000'><x:v>1</x:v></x:c></x:row>",
    ],
)
def test_xlsx_source_distant_cell_raises_before_allocating(tmp_path: Path, rows: str) -> None:
    with pytest.raises(SourceFormatError, match=f"too large.*{MAX_CELLS:,}.*distant"):
        read(write(tmp_path / "x.xlsx", xlsx(rows)), ["a"], tmp_path)


def test_xlsx_source_distant_empty_cell_is_ignored(tmp_path: Path) -> None:
    rows = (
        '<row r="1"><c r="A1" t="str"><v>a</v></c><c r="XFD1" s="1"/></row>'
        '<row r="2"><c r="A2"><v>5</v></c></row>'
        '<row r="1048576" s="1"><c r="A1048576" s="1"/></row>'
    )
    assert column(write(tmp_path / "x.xlsx", xlsx(rows)), "a", tmp_path) == ["5"]


def test_xlsx_source_limit_applies_to_selected_sheet_only(tmp_path: Path) -> None:
    stray = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    path = tmp_path / "x.xlsx"
    path.write_bytes(xlsx([["a"], ["b"]], stray))
    assert column(XlsxSource(path), "a", tmp_path) == ["b"]
    with pytest.raises(SourceFormatError, match="too large"):
        read(XlsxSource(path, sheet=2), ["a"], tmp_path)


def test_xlsx_source_distant_cell_at_any_block_border_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "x.xlsx", xlsx(STRAY))
    for size in range(10, 60):
        monkeypatch.setattr("audience_onboarding.crm.sources.excel_file._SCAN_BLOCK", size)
        with pytest.raises(SourceFormatError, match="too large"):
            read(source, ["a"], tmp_path)


def test_xlsx_source_too_much_shared_text_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audience_onboarding.crm.sources.excel_file._MAX_SHARED_TEXT", 10)
    content = xlsx([["a"]], parts={"xl/sharedStrings.xml": "<sst></sst>"})
    with pytest.raises(SourceFormatError, match="too large"):
        read(write(tmp_path / "x.xlsx", content), ["a"], tmp_path)
