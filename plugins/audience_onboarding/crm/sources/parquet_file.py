"""Parquet files, read in stretches of rows.

Each stretch is decoded on its own, so that memory stays the same however large the file and its row groups are, and
several can be decoded at once. (Polars' own batches hold a whole row group, which may be the whole file.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import polars as pl

from audience_onboarding.crm.sources.base import (
    NamedSource,
    OpenSource,
    RowBatch,
    empty_source_error,
    resolve_columns,
    unmapped_columns,
)
from audience_onboarding.crm.sources.text_stream import open_file
from audience_onboarding.exceptions import SourceFormatError

Result = TypeVar("Result")

# A float holds this many binary digits exactly.
_EXACT = {pl.Float16: 2.0**11, pl.Float32: 2.0**24, pl.Float64: 2.0**53}


@dataclass(frozen=True)
class ParquetSource(NamedSource):
    """A Parquet file.

    Whatever the type of a column, its values become text: whole numbers their digits (also where the column is of
    floating point or decimal), dates and times ISO 8601, bytes UTF-8.

    :param path: the local file.
    :param label: what messages call it, such as its S3 URL; the path where empty.
    :param block_rows: rows that are decoded at once.
    """

    path: Path
    label: str = ""
    block_rows: int = 100_000

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Begin to read it, see :class:`~audience_onboarding.crm.sources.base.Source`."""
        del workdir
        version = self._version()
        schema = self._try(lambda: self._scan().collect_schema())
        header = schema.names()
        if not header:
            raise empty_source_error(self.name, "it has no column", next_step="Check the export")
        columns = [header[position] for position in resolve_columns(header, wanted, self.name)]
        for column in columns:
            if schema[column].is_nested() or schema[column].is_object():
                raise SourceFormatError(
                    what=f"column {column!r} of the CRM file holds more than one value a row",
                    where=self.name,
                    why=f"it is a {schema[column].base_type()}",
                    next_step="Export one value a row and column",
                )
        height = self._try(lambda: int(self._scan().select(pl.len()).collect().item()))
        ignored = unmapped_columns(header, [header.index(column) for column in columns])
        yield OpenSource(
            ignored,
            (
                _Block(self, tuple(columns), start, min(self.block_rows, height - start), version)
                for start in range(0, height, self.block_rows)
            ),
        )

    def read(self, columns: Sequence[str], start: int, height: int, version: tuple[int, ...]) -> RowBatch:
        """Some rows.

        :param start: number of the first, from 0.
        :param version: of the file, as it was when it was opened.
        :raises SourceFormatError: it cannot be read, or is another file by now.
        """
        distinct = list(dict.fromkeys(columns))
        frame = self._try(lambda: self._scan().select(distinct).slice(start, height).collect())
        # Stretches of two files would make rows disappear, or come twice.
        if frame.height != height or self._version() != version:
            raise SourceFormatError(
                what="the CRM file changed while it was read",
                where=self.name,
                next_step="Let the export write under another name, and rename the file when it is complete",
            )
        texts = {column: self._text(frame[column]) for column in distinct}
        return RowBatch(
            pl.DataFrame([texts[column].alias(str(index)) for index, column in enumerate(columns)]),
            first=start + 1,
        )

    def _scan(self) -> pl.LazyFrame:
        # A path is a path here, whatever characters are in it.
        return pl.scan_parquet(self.path, glob=False, hive_partitioning=False)

    def _version(self) -> tuple[int, ...]:
        with open_file(self.path, self.name) as stream:
            stat = os.fstat(stream.fileno())
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _try(self, read: Callable[[], Result]) -> Result:
        try:
            return read()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            pass
        # Out here, as Polars may quote values.
        raise SourceFormatError(
            what="the CRM file cannot be read as Parquet",
            where=self.name,
            why="it is damaged, cut off, encrypted, or no Parquet file",
            next_step="Check that the export has finished writing; set the format of the source in the definition"
            " if it is another one",
        )

    def _text(self, values: pl.Series) -> pl.Series:
        """A column as text."""
        dtype = values.dtype
        value = pl.col("value")
        text = value.cast(pl.String)
        if dtype == pl.Binary:
            return self._binary_text(values)
        if dtype.is_float():
            text = self._float_text(values)
        elif dtype.is_decimal():
            # "612345678.00"
            text = text.str.replace(r"^(.*\..*?)0+$", "$1").str.strip_suffix(".")
        elif dtype in (pl.Datetime, pl.Duration):
            text = value.dt.to_string("iso:strict")
        return self._try(lambda: values.alias("value").to_frame().select(text).to_series())

    def _float_text(self, values: pl.Series) -> pl.Expr:
        whole = values.is_finite() & (values == values.floor())
        if (whole & (values.abs() >= _EXACT[values.dtype.base_type()])).any():
            raise SourceFormatError(
                what=f"column {values.name!r} of the CRM file holds whole numbers that are not exact",
                where=self.name,
                why=f"they are {values.dtype}, which has no room for so many digits",
                next_step="Export the column as text; a missing value makes pandas turn whole numbers into floats",
            )
        value = pl.col("value")
        return (
            pl.when(whole)
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            # What is missing, where a library has no other way to say so.
            .when(value.is_not_nan())
            .then(value.cast(pl.String))
        )

    def _binary_text(self, values: pl.Series) -> pl.Series:
        try:
            text: pl.Series = values.cast(pl.String)
            return text
        except pl.exceptions.PolarsError:
            pass
        raise SourceFormatError(
            what=f"column {values.name!r} of the CRM file holds bytes that are no UTF-8 text",
            where=self.name,
            next_step="Export the column as text; hashes as 64 hexadecimal digits",
        )


@dataclass(frozen=True)
class _Block:
    source: ParquetSource
    columns: tuple[str, ...]
    start: int
    height: int
    version: tuple[int, ...]

    def read(self) -> RowBatch:
        """Decode it."""
        return self.source.read(self.columns, self.start, self.height, self.version)
