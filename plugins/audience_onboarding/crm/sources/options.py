"""Options of a source: the one declaration that definitions, operators and readers share."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from audience_onboarding.exceptions import ConfigurationError

if TYPE_CHECKING:
    from audience_onboarding.crm.sources.base import Source

Format = Literal["auto", "csv", "parquet", "xlsx"]
OnMissing = Literal["fail", "skip", "wait"]

_PLACEHOLDER = re.compile(r"\{load_date(?::((?:%-?[A-Za-z]|[^%{}])+))?\}|(\{|\})\2")
"""A pattern, and not a format string: ``str.format`` reads attributes, and pads to any width."""

_ALLOWED = {"format": get_args(Format), "on_missing": get_args(OnMissing)}
_FORMATS: dict[str, Format] = {".parquet": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xlsx"}


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Location of a list, and how to read it.

    :param path: a path, ``file:///path`` or ``s3://bucket/key``; a folder if it ends in ``/``; with ``*`` and ``?`` for
        several files. ``{load_date}`` stands for the load date, ``{load_date:%Y%m%d}`` for another format of it.
    :param query: SQL that returns the rows, if there is no ``path``; ``:load_date`` is bound as a parameter.
    :param conn_id: the Airflow connection of the database.
    :param format: ``csv``, ``parquet``, ``xlsx``, or ``auto``: by the suffix, ``.parquet``, ``.xlsx``, ``.xlsm``,
        ``.xls``, any other is CSV.
    :param delimiter: of a CSV file, or ``auto``.
    :param encoding: of a CSV file: ``utf-8`` (with or without BOM), ``cp1252``, ``latin-1``, ``utf-16``, or ``auto``.
    :param quote: of a CSV file, or ``auto``.
    :param sheet: of an XLSX file: its name, or its position from 1; default: the first visible one.
    :param phone_region: ISO 3166 code for phone numbers without country code.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` path.
    :param on_missing: if the file does not exist: ``fail``, ``skip``, or ``wait``. A
        :class:`~audience_onboarding.base.prerequisites.LoadPrerequisitesSensor` waits; the upload itself fails then.
    :param wait_timeout: with ``wait``: seconds until the sensor fails.
    :param poll_interval: with ``wait``: seconds between two polls at most; the first intervals are shorter.
    :param own_path: path of the definition. Another ``path``, named by a run, must be below ``override_folder``.
    :param override_folder: folder or ``s3://`` prefix; empty: a run may name no path; ``None``: it may name any.
    :raises ConfigurationError: ``format`` or ``on_missing`` is not an allowed value.
    """

    path: str = ""
    query: str = ""
    conn_id: str | None = None
    format: str = "auto"
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    sheet: str | int | None = None
    phone_region: str = "NL"
    aws_conn_id: str | None = None
    on_missing: str = "fail"
    wait_timeout: float = timedelta(hours=12).total_seconds()
    poll_interval: float = 60.0
    own_path: str = ""
    override_folder: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    what=f"Invalid {name} of a source: {getattr(self, name)!r}",
                    next_step=f"Allowed are {', '.join(allowed)}",
                )

    @classmethod
    def parse(cls, value: str | Mapping[str, Any]) -> SourceOptions:
        """Parse an operator's argument, its templates rendered.

        :param value: a path, or names and values of the fields.
        :raises ConfigurationError: it is invalid.
        """
        values = {"path": value} if isinstance(value, str) else dict(value)
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(
                what=f"Unknown field of a source: {', '.join(map(repr, unknown))}",
                next_step=f"Allowed are {', '.join(known)}",
            )
        options = cls(**values)
        if not options.path and not (options.query and options.conn_id):
            raise ConfigurationError(
                what="A source needs a path, or a query and its connection",
                next_step="Give 'path', or 'query' and 'conn_id'",
            )
        return options

    @property
    def is_query(self) -> bool:
        """Whether the list comes from a database. A path overrides a query: a run may name a file instead."""
        return not self.path

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.path or f"query on connection {self.conn_id}"

    def url(self, load_date: date) -> str:
        """Return the path or URL of a load date; empty for a query.

        :raises ConfigurationError: it has an unknown placeholder, or a run may not name it.
        """
        try:
            url = format_path(self.path, load_date)
        except ValueError as error:
            raise ConfigurationError(
                what=f"Invalid source {self.path!r}", why=str(error), next_step="Correct the path"
            ) from None
        if self.override_folder is not None and self.path != self.own_path:
            self._check_override(url, self.override_folder)
        return url

    @staticmethod
    def _check_override(url: str, folder: str) -> None:
        # Without it, a user who may trigger a DAG could read any file of the worker, or another audience's list.
        if not folder:
            raise ConfigurationError(
                what="This run may not name a source: the definition has no folder for it",
                next_step="Leave 'source' empty, or set 'source.override_folder' in the definition",
            )
        if not _is_below(url, folder):
            raise ConfigurationError(
                what="The source of this run is not in the folder of the definition",
                where=folder,
                next_step="Name a file in it, or set 'source.override_folder' in the definition",
            )

    def get_format(self, name: str) -> str:
        """Return the format of a file with this name."""
        if self.format == "auto":
            return _FORMATS.get(os.path.splitext(name)[1].lower(), "csv")
        return self.format

    def open_csv(self, **location: Any) -> Source:
        """Return the source for a CSV file; ``location`` is ``path``, or ``stream`` and ``label``."""
        from audience_onboarding.crm.sources.csv_file import CsvSource

        return CsvSource(delimiter=self.delimiter, encoding=self.encoding, quote=self.quote, **location)

    def open_table(self, format_: str, path: Path, label: str) -> Source:
        """Return the source for a Parquet file or a workbook."""
        if format_ == "parquet":
            from audience_onboarding.crm.sources.parquet_file import ParquetSource

            return ParquetSource(path, label)

        from audience_onboarding.crm.sources.excel_file import XlsxSource

        return XlsxSource(path, label, self.sheet)


def format_path(path: str, load_date: date) -> str:
    """Return a path with its placeholders replaced: ``{load_date}``, ``{load_date:%Y%m%d}``, ``{{`` for a brace.

    :raises ValueError: it has another placeholder.
    """
    if re.search(r"[{}]", _PLACEHOLDER.sub("", path)):
        raise ValueError("unknown placeholder. Use {load_date} or, for another format, {load_date:%Y%m%d}")
    return _PLACEHOLDER.sub(lambda match: match[2] or format(load_date, match[1] or ""), path)


def _is_below(url: str, folder: str) -> bool:
    """Return whether a path or URL is in a folder; symbolic links are resolved.

    A path with ``..`` is not: behind a wildcard, it could leave the folder through a link.
    """
    if ".." in url.split("/"):
        return False
    remote = [item.startswith("s3://") for item in (url, folder)]
    if any(remote):
        return all(remote) and url.startswith(folder if folder.endswith("/") else f"{folder}/")
    path, parent = (os.path.realpath(item.removeprefix("file://")) for item in (url, folder))
    return os.path.commonpath([path, parent]) == parent
