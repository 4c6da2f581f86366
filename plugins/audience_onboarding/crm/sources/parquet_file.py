"""Parquet files, read in blocks of rows.

Each block is decoded on its own: memory does not depend on the size of the file and its row groups, and several blocks
are decoded at once. (A batch of Polars holds a whole row group, which may be the whole file.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from audience_onboarding.crm.runtime.frame_store import POLARS_ERRORS
from audience_onboarding.crm.sources.base import (
    LazyBatch,
    NamedSource,
    OpenSource,
    RowBatch,
    count_unmapped,
    empty_source_error,
    resolve_columns,
)
from audience_onboarding.crm.sources.text_stream import open_file
from audience_onboarding.exceptions import SourceFormatError

Result = TypeVar("Result")

# Limits from which an integer in floating point may be wrong.
_EXACT = {pl.Float16: 2.0**11, pl.Float32: 2.0**24, pl.Float64: 2.0**53}


@dataclass(frozen=True)
class ParquetSource(NamedSource):
    """A Parquet file.

    Values of all types become text: integers, also in floating-point and decimal columns, their digits; dates and times
    ISO 8601; bytes UTF-8.

    :param path: the local file.
    :param label: name for messages, such as its S3 URL; default: the path.
    :param block_rows: rows per block.
    """

    path: Path
    label: str = ""
    block_rows: int = 100_000

    @contextmanager
    def open(self, columns: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Open it, see :class:`.Source`."""
        del workdir
        version = self._version()
        schema = self._try(lambda: self._scan().collect_schema())
        header = schema.names()
        if not header:
            raise empty_source_error(self.name, "it has no column", next_step="Check the export")
        positions = resolve_columns(header, columns, self.name)
        names = [header[position] for position in positions]
        for column in names:
            if schema[column].is_nested() or schema[column].is_object():
                raise SourceFormatError(
                    what=f"Column {column!r} of the CRM file has more than one value per row",
                    where=self.name,
                    why=f"it is a {schema[column].base_type()}",
                    next_step="Export one value per row and column",
                )
        height = self._try(lambda: int(self._scan().select(pl.len()).collect().item()))
        yield OpenSource(
            count_unmapped(header, positions),
            (
                LazyBatch(partial(self._read, names, start, min(self.block_rows, height - start), version))
                for start in range(0, height, self.block_rows)
            ),
        )

    def _read(self, columns: Sequence[str], start: int, height: int, version: tuple[int, ...]) -> RowBatch:
        """Return some rows.

        :param start: index of the first row, from 0.
        :param version: of the file when it was opened.
        :raises SourceFormatError: it cannot be read, or has changed.
        """
        distinct = list(dict.fromkeys(columns))
        frame = self._try(lambda: self._scan().select(distinct).slice(start, height).collect())
        # Blocks of two versions would lose or duplicate rows.
        if frame.height != height or self._version() != version:
            raise SourceFormatError(
                what="The CRM file changed while it was read",
                where=self.name,
                next_step="Let the export write under another name, and rename the file when it is complete",
            )
        texts = {column: self._text(frame[column]) for column in distinct}
        return RowBatch(
            pl.DataFrame([texts[column].alias(str(index)) for index, column in enumerate(columns)]),
            first=start + 1,
        )

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.path, glob=False, hive_partitioning=False)  # no pattern in any path

    def _version(self) -> tuple[int, ...]:
        with open_file(self.path, self.name) as stream:
            stat = os.fstat(stream.fileno())
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _try(self, read: Callable[[], Result]) -> Result:
        try:
            return read()
        except (*POLARS_ERRORS, OSError):
            pass
        # Outside the handler: Polars may quote values.
        raise SourceFormatError(
            what="The CRM file cannot be read as Parquet",
            where=self.name,
            why="it is damaged, cut off, encrypted, or not a Parquet file",
            next_step="Check that the export has finished writing, and the format of the source in the definition",
        )

    def _text(self, values: pl.Series) -> pl.Series:
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
                what=f"Column {values.name!r} of the CRM file has integers that are not exact",
                where=self.name,
                why=f"{values.dtype} does not store so many digits",
                next_step="Export the column as text; pandas converts integers to floats if a value is missing",
            )
        value = pl.col("value")
        return (
            pl.when(whole)
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            # NaN is a missing value in some libraries.
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
            what=f"Column {values.name!r} of the CRM file has bytes that are not UTF-8",
            where=self.name,
            next_step="Export the column as text; hashes as 64 hexadecimal digits",
        )
