"""Model of a source: a file of the load date, several files, or a query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from audience_onboarding.crm.output.profiles import SourceColumn
from audience_onboarding.crm.sources.options import Format, OnMissing, SourceOptions
from audience_onboarding.definitions.fields import (
    Character,
    Hours,
    Model,
    Name,
    Query,
    Seconds,
    Text,
    check_load_date,
    check_scheme,
    quote_names,
    resolve_path,
)

_CSV_FIELDS = ("delimiter", "encoding", "quote")
_SHARED_OPTIONS = (*_CSV_FIELDS, "conn_id", "format", "sheet", "phone_region", "aws_conn_id", "on_missing")
"""Fields with the same name in :class:`SourceOptions`."""


class Column(Model):
    """Column of the source."""

    column: Text
    """Its header; case and white space are ignored."""
    hashed: bool = False
    """Whether it holds SHA-256 hashes of normalized values, as upper-case or lower-case hexadecimal digits."""


def _expand_name(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must not be empty. Write the name of the column")
        return {"column": value}
    if isinstance(value, (bool, int, float)):
        raise ValueError(
            "must be text. Quote the name of the column, because YAML reads it as a number or as true or false"
        )
    if value is not None and not isinstance(value, (Mapping, Column)):
        raise ValueError("must be the name of a column, or {column: name, hashed: true}")
    return value


ColumnOf = Annotated[Column | None, BeforeValidator(_expand_name, json_schema_input_type=str | Column | None)]
"""``E-mail``, or ``{column: E-mail, hashed: true}``."""


class Columns(Model):
    """Column of the source for each identifier. The file profile of a platform lists the identifiers it accepts."""

    email: ColumnOf = None
    phone: ColumnOf = None
    postal_code: ColumnOf = None
    house_number: ColumnOf = None
    extension: ColumnOf = None
    """Suffix of the number in an address."""
    apartment: ColumnOf = None
    street: ColumnOf = None
    personal_id: ColumnOf = None
    """Swedish personal identity number."""
    aaid: ColumnOf = None
    """Android advertising id."""
    idfa: ColumnOf = None
    """Apple advertising id."""
    custom: ColumnOf = None
    """The advertiser's own id of a person."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Columns:
        if not self.by_identifier():
            raise ValueError("must map at least one identifier, for example 'email'")
        return self

    def by_identifier(self) -> dict[str, str | SourceColumn]:
        """Return the column of each mapped identifier: its name, or a ``SourceColumn`` if it holds hashes."""
        columns = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: SourceColumn(column.column, hashed=True) if column.hashed else column.column
            for name, column in columns.items()
            if column is not None
        }


class SourceConfig(Model):
    """The list: a file of the load date, several files, or a query."""

    path: Text | None = None
    """Path or ``s3://`` URL with ``{load_date}``, or ``{load_date:%Y%m%d}`` for another format. A relative path starts
    from the folder above the definitions. With a final ``/`` it is a folder; ``*``, ``?`` and ``[...]`` are wildcards.
    All files that match are read, by name."""
    query: Query | None = None
    """SQL query that returns the rows. ``:load_date`` is bound as a parameter."""
    conn_id: Name | None = None
    """Airflow connection of the database."""
    override_folder: Text | None = None
    """Folder or ``s3://`` prefix of the files that a run may name as *Source*. Default: the folder of ``path``, up to
    its first placeholder or wildcard; with a query, a run cannot name a file."""
    columns: Columns
    format: Format = "auto"
    """``auto`` uses the extension of the file name."""
    delimiter: Character = ","
    encoding: Literal["auto", "utf-8", "cp1252", "latin-1", "utf-16"] = "utf-8"
    """``utf-8`` with or without a byte order mark."""
    quote: Character = '"'
    sheet: Annotated[int, Field(ge=1)] | Name | None = None
    """Sheet of an XLSX file: its name, or its number from 1. Default: the first visible sheet."""
    phone_region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "NL"
    """ISO 3166 country code of phone numbers without a country prefix."""
    aws_conn_id: Name | None = None
    """Airflow connection of an ``s3://`` path. Default: ``aws_default``; for Digital Audience the connection of
    ``upload``."""
    on_missing: OnMissing = "fail"
    """Action of a load whose file is missing: fail, skip the tasks of the run, or wait in the triggerer."""
    wait_timeout_hours: Hours = 12.0
    """With ``wait``: hours until the load fails."""
    poll_interval_seconds: Seconds = 60.0
    """With ``wait``: maximum seconds between two polls."""

    @field_validator("override_folder")
    @classmethod
    def _folder_is_valid(cls, value: str | None) -> str | None:
        return None if value is None else check_scheme(value)

    @field_validator("path")
    @classmethod
    def _path_is_valid(cls, value: str | None) -> str | None:
        return None if value is None else check_load_date(check_scheme(value))

    @field_validator("query")
    @classmethod
    def _query_binds_load_date(cls, value: str | None) -> str | None:
        if value is not None and "{load_date" in value:
            raise ValueError(
                "must not contain {load_date}. Write :load_date without quotes, which is bound as a parameter"
            )
        return value

    @model_validator(mode="after")
    def _fields_fit_together(self) -> SourceConfig:
        if (self.path is None) == (self.query is None):
            raise ValueError("needs either 'path' (of a file) or 'query' (with 'conn_id')")
        if self.query is not None and self.conn_id is None:
            raise ValueError("'query' needs 'conn_id', the Airflow connection of the database")
        for names, is_valid, condition in (
            (("conn_id",), self.query is not None, "with 'query'"),
            (("format", "aws_conn_id", "on_missing"), self.path is not None, "with 'path'"),
            (_CSV_FIELDS, self.path is not None and self.format in ("auto", "csv"), "for CSV files"),
            (("sheet",), self.path is not None and self.format in ("auto", "xlsx"), "for XLSX files"),
            (
                ("wait_timeout_hours", "poll_interval_seconds"),
                self.on_missing == "wait",
                "with 'on_missing: wait'",
            ),
        ):
            invalid = [name for name in names if name in self.model_fields_set and not is_valid]
            if invalid:
                verb = "is" if len(invalid) == 1 else "are"
                raise ValueError(f"{quote_names(invalid)} {verb} only valid {condition}")
        if self.delimiter == self.quote != "auto":
            raise ValueError("'delimiter' and 'quote' must differ")
        return self

    def options(self, path: str) -> SourceOptions:
        """Return the options that operators and readers use.

        :param path: resolved, or a template for it.
        """
        return SourceOptions(
            path=path,
            query=self.query or "",
            wait_timeout=timedelta(hours=self.wait_timeout_hours).total_seconds(),
            poll_interval=self.poll_interval_seconds,
            **{name: getattr(self, name) for name in _SHARED_OPTIONS},
        )

    def resolve(self, base: Path) -> str:
        """Return the absolute path or URL with its placeholders; empty for a query.

        :param base: folder that relative paths start from.
        """
        return "" if self.path is None else resolve_path(self.path, base)

    def resolve_override_folder(self, base: Path) -> str:
        """Return the folder of the files that a run may name; empty if it may name none.

        :param base: folder that relative paths start from.
        """
        if self.override_folder is not None:
            return resolve_path(self.override_folder, base)
        folder = re.split(r"[{*?\[]", self.resolve(base))[0].rpartition("/")[0]
        # A list in the root of the file system has no folder of its own.
        return f"{folder}/" if folder.removeprefix("file:").strip("/") not in ("", "s3:") else ""

    @property
    def label(self) -> str:
        """Name of the source in messages."""
        return self.path if self.path is not None else f"query on connection {self.conn_id}"
