"""Parquet: the exported digits for all types."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from audience_onboarding.crm.sources.parquet_file import ParquetSource
from audience_onboarding.exceptions import (
    MissingColumnError,
    SourceFormatError,
    SourceNotFoundError,
)
from tests.children import child_env
from tests.profiles import THOROUGH
from tests.unit.crm.reading import column, read

NOON = datetime.datetime(2026, 11, 16, 12)  # noqa: DTZ001 - databases have such, too


def write(path: Path, frame: pl.DataFrame, **options: Any) -> ParquetSource:
    frame.write_parquet(path, **options)
    return ParquetSource(path)


def test_parquet_source_rows_have_numbers_in_order(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"x": range(10), "E-mail": [f"u{n}@x.example" for n in range(10)], "phone": ["06"] * 10}
    )
    frame.write_parquet(tmp_path / "crm.parquet", row_group_size=4)
    source = ParquetSource(tmp_path / "crm.parquet", block_rows=3)
    result = read(source, ["phone", "e-mail"], tmp_path)
    assert result.rows == [("06", f"u{n}@x.example") for n in range(10)]
    assert result.numbers == list(range(1, 11))
    assert result.heights == [3, 3, 3, 1]
    assert result.unmapped == 1
    assert set(result.files) == {""}


def test_parquet_source_blocks_in_any_order_are_equal(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", pl.DataFrame({"a": [str(n) for n in range(10)]}))
    with ParquetSource(tmp_path / "x.parquet", block_rows=4).open(["a"], tmp_path) as reading:
        blocks = list(reading.blocks)
    assert [block.read().first for block in reversed(blocks)] == [9, 5, 1]
    assert blocks[1].read().frame["0"].to_list() == ["4", "5", "6", "7"]


@pytest.mark.parametrize(
    ("values", "dtype", "texts"),
    [
        (["0612", "", None], pl.String, ["0612", "", None]),
        ([612345678, None], pl.Int64, ["612345678", None]),
        ([2**63], pl.UInt64, ["9223372036854775808"]),
        ([1], pl.Int8, ["1"]),
        # pandas stores integers so if one is missing.
        ([31612345678.0, None, float("nan"), 0.5, -0.0], pl.Float64, ["31612345678", None, None, "0.5", "0"]),
        ([float("inf")], pl.Float64, ["inf"]),
        ([12.0, 0.5], pl.Float32, ["12", "0.5"]),
        ([Decimal("612345678.00"), Decimal("1.50"), None], pl.Decimal(12, 2), ["612345678", "1.5", None]),
        ([Decimal("100")], pl.Decimal(5, 0), ["100"]),
        ([True, False, None], pl.Boolean, ["true", "false", None]),
        ([datetime.date(2026, 11, 16)], pl.Date, ["2026-11-16"]),
        ([NOON], pl.Datetime("ms"), ["2026-11-16T12:00:00.000"]),
        ([datetime.time(1, 2, 3)], pl.Time, ["01:02:03"]),
        ([b"a@x.example", "é".encode(), None], pl.Binary, ["a@x.example", "é", None]),
        (["a", "b"], pl.Categorical, ["a", "b"]),
        (["a"], pl.Enum(["a", "b"]), ["a"]),
        ([None, None], pl.Null, [None, None]),
    ],
)  # fmt: skip
def test_parquet_source_each_type_becomes_text(
    tmp_path: Path, values: list[Any], dtype: Any, texts: list[Any]
) -> None:
    source = write(tmp_path / "x.parquet", pl.DataFrame({"v": pl.Series(values, dtype=dtype)}))
    assert column(source, "v", tmp_path) == texts


def test_parquet_source_one_column_for_two_identifiers_is_read(tmp_path: Path) -> None:
    source = write(tmp_path / "x.parquet", pl.DataFrame({"a": ["1"], "b": ["2"]}))
    assert read(source, ["a", "b", "a"], tmp_path).rows == [("1", "2", "1")]


@pytest.mark.parametrize(
    ("values", "dtype"), [([2.0**53], pl.Float64), ([2.0**24, 1.0], pl.Float32), ([None, -1e300], pl.Float64)]
)
def test_parquet_source_inexact_floats_raise(tmp_path: Path, values: list[Any], dtype: Any) -> None:
    source = write(tmp_path / "x.parquet", pl.DataFrame({"id": pl.Series(values, dtype=dtype)}))
    with pytest.raises(SourceFormatError, match=r"'id'.*not exact") as caught:
        read(source, ["id"], tmp_path)
    assert "16777216" not in str(caught.value)


@pytest.mark.parametrize(("values", "kind"), [([["a"]], "List"), ([{"a": "b"}], "Struct")])
def test_parquet_source_nested_column_raises(tmp_path: Path, values: list[Any], kind: str) -> None:
    source = write(tmp_path / "x.parquet", pl.DataFrame({"n": values, "a": ["x"]}))
    with pytest.raises(SourceFormatError, match=f"'n'.*more than one value.*{kind}"):
        read(source, ["n"], tmp_path)
    assert column(source, "a", tmp_path) == ["x"]


def test_parquet_source_missing_file_or_column_raises(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.parquet", "no such file"), (tmp_path, "directory")):
        with pytest.raises(SourceNotFoundError, match=why):
            read(ParquetSource(path), ["a"], tmp_path)


def test_parquet_source_pattern_in_path_is_literal(tmp_path: Path) -> None:
    folder = tmp_path / "load_date=2026-11-16"
    folder.mkdir()
    source = write(folder / "crm[1]*?.parquet", pl.DataFrame({"a": ["x"]}))
    assert read(source, ["a"], tmp_path).rows == [("x",)]
    with pytest.raises(MissingColumnError):
        read(source, ["load_date"], tmp_path)


def test_parquet_source_unreadable_file_error_names_source(tmp_path: Path) -> None:
    """Every kind of damage: ``BROKEN_PARQUET`` of the corpus."""
    path = tmp_path / "x.parquet"
    path.write_bytes(b"email\nsecret@x.example\n")
    with pytest.raises(SourceFormatError, match="cannot be read as Parquet") as caught:
        read(ParquetSource(path, label="s3://b/x.parquet"), ["email"], tmp_path)
    assert caught.value.where == "s3://b/x.parquet"
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_parquet_source_replaced_while_reading_raises(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write(path, pl.DataFrame({"a": ["x"] * 10}))
    with ParquetSource(path, block_rows=5).open(["a"], tmp_path) as reading:
        blocks = list(reading.blocks)
        assert blocks[0].read().frame.height == 5
        write(tmp_path / "new", pl.DataFrame({"a": ["y"] * 10}))
        (tmp_path / "new").rename(path)
        with pytest.raises(SourceFormatError, match="changed while it was read"):
            blocks[1].read()


MEASURE = """
import sys
import polars as pl
from pathlib import Path
from audience_onboarding.crm.sources.parquet_file import ParquetSource

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

path = Path(sys.argv[1])
before = peak()
rows = 0
with ParquetSource(path).open(["email", "phone"], path.parent) as reading:
    for block in reading.blocks:
        rows += block.read().frame.height
print(rows, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_parquet_source_large_row_group_bounds_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.parquet"
    rows, limit = (2_000_000, 130) if THOROUGH else (1_000_000, 85)
    number = pl.int_range(rows)
    pl.select(
        email=pl.format("user{}-{}@mail.example", number, number.hash()),
        phone=(number + 31_600_000_000).cast(pl.Float64),
        filler=pl.format("{}{}{}", number.hash(1), number.hash(2), number.hash(3)),
    ).write_parquet(path, row_group_size=rows)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True,
        env=child_env(base={}, POLARS_MAX_THREADS="2"),
    )  # fmt: skip
    read, mib = map(int, done.stdout.split())
    assert read == rows
    # Most of that is the file itself, mapped. A whole row group takes 170, or 100 in the quick profile.
    assert mib < limit
