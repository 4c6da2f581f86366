"""How a source file is read, and how URLs and patterns of sources are parsed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from audience_onboarding.exceptions import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from audience_onboarding.crm.sources.base import Source

Format = Literal["auto", "csv", "parquet", "xlsx"]
FORMATS: tuple[Format, ...] = get_args(Format)

ClientFactory = Callable[[], "S3Client"]
"""Makes the client; called for ``s3://`` only."""

CHECK_PATH = "Check the path in the definition, and that the export of this date has run"

WILDCARDS = frozenset("*?[")
_FORMATS: dict[str, Format] = {".parquet": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xlsx"}
_HIDDEN = (".", "_")


@dataclass(frozen=True)
class SourceSpec:
    """How a file is read.

    :param format: ``auto``: by extension, ``.parquet``; ``.xlsx``, ``.xlsm``, ``.xls``; CSV otherwise.
    :param delimiter: of a CSV file, or ``auto``.
    :param encoding: of a CSV file, or ``auto``.
    :param quote: of a CSV file, or ``auto``.
    :param sheet: of a workbook: name, or number from 1; ``None``: the first visible one.
    """

    format: str = "auto"
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    sheet: str | int | None = None

    def get_format(self, name: str) -> str:
        """Return the format of a file of this name.

        :raises ConfigurationError: unknown format.
        """
        if self.format == "auto":
            return _FORMATS.get(os.path.splitext(name)[1].lower(), "csv")
        if self.format not in FORMATS:
            raise ConfigurationError(
                what=f"Unknown format {self.format!r} of a source",
                next_step=f"Allowed are {', '.join(FORMATS)}",
            )
        return self.format

    def open_table(self, format_: str, path: Path, label: str) -> Source:
        """Return the source for a Parquet file or a workbook."""
        if format_ == "parquet":
            from audience_onboarding.crm.sources.parquet_file import ParquetSource

            return ParquetSource(path, label)

        from audience_onboarding.crm.sources.excel_file import XlsxSource

        return XlsxSource(path, label, self.sheet)


DEFAULT_SPEC = SourceSpec()


def split_url(url: str) -> tuple[str, str]:
    """Return the scheme of a URL and the part after ``://``; ``file`` and the path for a path."""
    scheme, separator, rest = url.partition("://")
    return (scheme, rest) if separator else ("file", url)


def is_wild(text: str) -> bool:
    """Return whether a path or a part of it contains a wildcard."""
    return not WILDCARDS.isdisjoint(text)


def matches(name: str, pattern: str) -> bool:
    """Return whether one part of a path matches one part of a pattern."""
    if not is_wild(pattern):
        return name == pattern
    hidden = name.startswith(_HIDDEN) and not pattern.startswith(name[0])
    return not hidden and fnmatchcase(name, pattern)
