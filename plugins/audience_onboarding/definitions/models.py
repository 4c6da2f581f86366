"""The models behind ``include/audiences/*.yaml``. One file is one audience; its name is the audience's key."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args
from zoneinfo import available_timezones

import pendulum
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from audience_onboarding.crm.guards import WHOLE_LIST, Guards
from audience_onboarding.crm.output.profiles import FileProfile, Identifier, SourceColumn
from audience_onboarding.crm.sources.options import Format, OnMissing, SourceOptions

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=100)]
"""Lower-case letters, digits and underscores: it becomes part of DAG and task ids."""

Text = Annotated[str, Field(min_length=1, max_length=250)]


def _no_template(value: str) -> str:
    # It becomes a templated field of an operator, and would mean something else there.
    if any(mark in value for mark in ("{{", "{%", "{#")):
        raise ValueError("a text may not hold {{, {% or {#: templates are not rendered here")
    return value


Name = Annotated[Text, AfterValidator(_no_template)]
"""A text that is sent to the vendor as it is."""

Query = Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(_no_template)]

Header = Annotated[str, Field(pattern=r'^[^",\r\n]+$', max_length=100)]
"""Of a column in the file; one that needs no quotes."""


def _one_character(value: str) -> str:
    if value != "auto" and (len(value) != 1 or value in "\r\n"):
        raise ValueError("give one character, or 'auto' to have it found out")
    return value


Character = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(_one_character)]
"""``auto`` or one character; a tab is one as well."""


def _part_of_the_whole(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("a share is between 0 and 1: 0.3 is 30 percent")
    return value


Share = Annotated[
    float,
    AfterValidator(_part_of_the_whole),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]

Tag = Annotated[str, Field(min_length=1, max_length=100)]
"""Airflow refuses a DAG with a longer one."""


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


RemoteId = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(pattern=r"^[A-Za-z0-9_-]{1,200}$"),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^[A-Za-z0-9_-]{1,200}$"}),
]
"""An id that is text; YAML takes one of digits for a number."""

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)]

_CSV_FIELDS = ("delimiter", "encoding", "quote")
_LINE_ENDINGS = {"crlf": "\r\n", "lf": "\n"}
_IN_WORDS = {
    Identifier.EMAIL: "e-mail addresses",
    Identifier.PHONE: "phone numbers",
    Identifier.POSTAL_CODE: "postal codes",
    Identifier.HOUSE_NUMBER: "house numbers",
    Identifier.EXTENSION: "what follows house numbers",
    Identifier.APARTMENT: "apartments",
    Identifier.STREET: "streets",
    Identifier.PERSONAL_ID: "personal ids",
    Identifier.AAID: "Android advertising ids",
    Identifier.IDFA: "Apple advertising ids",
    Identifier.CUSTOM: "ids of your own",
}
CRON_FIELDS = 5
CRON_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


class Model(BaseModel):
    """The base of all parts of a definition: no unknown fields, no changes."""

    # Built when it is first used: a part of a definition never is on its own, and building takes time.
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, defer_build=True)

    null_is_a_value: ClassVar[bool] = False
    """Whether ``null`` means something of its own in its fields, and does not only take a default away."""


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _known_scheme(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if separator and (scheme not in ("s3", "file") or not rest.strip("/")):
        raise ValueError("give a path, file:///path or s3://bucket/key")
    return value


def _load_date_only(value: str) -> str:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
        if not names <= {"load_date"}:
            raise ValueError
        value.format(load_date=date(2000, 1, 1))
    except (KeyError, IndexError, ValueError):
        raise ValueError("the only placeholder is {load_date}, or {load_date:%Y%m%d}") from None
    return value


def resolved(path: str, base: Path) -> str:
    """A path or URL of a definition.

    :param base: what a relative path counts from.
    """
    if "://" in path:
        return path
    # A Path forgets that it is a folder.
    return f"{base / path}/" if path.endswith("/") else str(base / path)


class Column(Model):
    """A column of the source."""

    column: Text
    """Its name in the header; case and white space do not matter."""
    hashed: bool = False
    """It holds SHA-256 hashes of normalised values already, in either case of the digits."""


def _by_name(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("name the column")
        return {"column": value}
    if isinstance(value, (bool, int, float)):
        raise ValueError("put the name of the column in quotes: YAML takes it for a number, or for yes or no")
    if value is not None and not isinstance(value, (Mapping, Column)):
        raise ValueError("give the name of a column as text, or {column: name, hashed: true}")
    return value


ColumnOf = Annotated[Column | None, BeforeValidator(_by_name, json_schema_input_type=str | Column | None)]
"""``E-mail``, or ``{column: E-mail, hashed: true}``."""


class Columns(Model):
    """Which column of the source holds which identifier. What a platform takes is in its file profile."""

    email: ColumnOf = None
    phone: ColumnOf = None
    postal_code: ColumnOf = None
    house_number: ColumnOf = None
    extension: ColumnOf = None
    """What follows a house number."""
    apartment: ColumnOf = None
    street: ColumnOf = None
    personal_id: ColumnOf = None
    """The Swedish personal identity number."""
    aaid: ColumnOf = None
    """Android advertising id."""
    idfa: ColumnOf = None
    """Apple advertising id."""
    custom: ColumnOf = None
    """The advertiser's own id of a person."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Columns:
        if not self.by_identifier():
            raise ValueError("name at least one column, for example 'email'")
        return self

    def by_identifier(self) -> dict[str, str | SourceColumn]:
        """Identifier to column: its name, or more where there is more to say."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: SourceColumn(column.column, hashed=True) if column.hashed else column.column
            for name, column in found.items()
            if column is not None
        }


class Source(Model):
    """The list: a file of the load date, several of them, or a query."""

    path: Text | None = None
    """A path or ``s3://`` URL with ``{load_date}``, or ``{load_date:%Y%m%d}`` for another spelling. A relative path
    counts from the folder above the definitions. One that ends in ``/`` is a folder; ``*``, ``?``, ``[...]`` stand for
    characters: all files that fit are read, by name."""
    query: Query | None = None
    """SQL that gives the rows. ``:load_date`` is bound as a parameter, never put into the text."""
    conn_id: Name | None = None
    """The Airflow connection of the database."""
    columns: Columns
    format: Format = "auto"
    """``auto`` goes by the end of the name."""
    delimiter: Character = ","
    encoding: Literal["auto", "utf-8", "cp1252", "latin-1", "utf-16"] = "utf-8"
    """``utf-8`` with or without a byte order mark."""
    quote: Character = '"'
    sheet: Annotated[int, Field(ge=1)] | Name | None = None
    """Of an XLSX file: its name, or its place from 1; default the first one that is not hidden."""
    phone_region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "NL"
    """ISO 3166 code that a phone number without country code belongs to."""
    aws_conn_id: Name | None = None
    """For an ``s3://`` path; default ``aws_default``, or for Digital Audience the connection of ``upload``."""
    on_missing: OnMissing = "fail"
    """What a load does whose file is not there: fail, skip the tasks of the run, or wait in the triggerer."""
    wait_timeout_hours: Hours = 12.0
    """With ``wait``: until it fails."""
    poll_interval_seconds: Seconds = 60.0
    """With ``wait``: seconds between two looks at most."""

    @field_validator("path")
    @classmethod
    def _known_place(cls, value: str | None) -> str | None:
        return None if value is None else _load_date_only(_known_scheme(value))

    @field_validator("query")
    @classmethod
    def _bound_date(cls, value: str | None) -> str | None:
        if value is not None and "{load_date" in value:
            raise ValueError("write :load_date in a query, without quotes: it is bound as a parameter")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Source:
        if (self.path is None) == (self.query is None):
            raise ValueError("give either 'path' (of a file) or 'query' (and 'conn_id')")
        if self.query is not None and self.conn_id is None:
            raise ValueError("'query' needs 'conn_id': the Airflow connection of the database")
        for fields, has_meaning, condition in (
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
            given = [name for name in fields if name in self.model_fields_set]
            if given and not has_meaning:
                raise ValueError(f"{_named(given)} has a meaning {condition} only")
        if self.delimiter == self.quote != "auto":
            raise ValueError("'delimiter' and 'quote' are the same")
        return self

    def options(self, path: str) -> SourceOptions:
        """Return the options that operators and readers use.

        :param path: resolved, or a template for it.
        """
        return SourceOptions(
            path=path,
            query=self.query or "",
            conn_id=self.conn_id,
            format=self.format,
            delimiter=self.delimiter,
            encoding=self.encoding,
            quote=self.quote,
            sheet=self.sheet,
            phone_region=self.phone_region,
            aws_conn_id=self.aws_conn_id,
            on_missing=self.on_missing,
            wait_timeout=timedelta(hours=self.wait_timeout_hours).total_seconds(),
            poll_interval=self.poll_interval_seconds,
        )

    def resolve(self, base: Path) -> str:
        """The path or URL, placeholders untouched; empty for a query.

        :param base: what a relative path counts from.
        """
        return "" if self.path is None else resolved(self.path, base)

    @property
    def label(self) -> str:
        """What people call it."""
        return self.path if self.path is not None else f"query on connection {self.conn_id}"


class Headers(Model):
    """Headers of the file, by identifier, for the case that the vendor wants others than its pages say."""

    email: Header | None = None
    phone: Header | None = None
    postal_code: Header | None = None
    house_number: Header | None = None
    extension: Header | None = None
    apartment: Header | None = None
    street: Header | None = None
    personal_id: Header | None = None
    aaid: Header | None = None
    idfa: Header | None = None
    custom: Header | None = None

    def by_identifier(self) -> dict[str, str]:
        """Identifier to header, of those that are given."""
        return {name: header for name, header in self.model_dump().items() if header is not None}


class OutputFile(Model):
    """What the file for the vendor looks like, where the platform's profile leaves it open."""

    hash_case: Literal["lower", "upper"] | None = None
    """Of hexadecimal hashes."""
    strip_plus_tag: bool | None = None
    """Drop ``+tag`` from the local part of e-mail addresses before they are hashed."""
    line_ending: Literal["crlf", "lf"] | None = None
    compression: Literal["none", "gzip"] | None = None
    headers: Headers = Headers()

    def applied_to(self, profile: FileProfile) -> FileProfile:
        """The profile with what is given here.

        :raises ValueError: something that has no meaning for it.
        """
        headers = self.headers.by_identifier()
        hashed = {column.identifier for column in profile.columns if column.transform == "sha256"}
        if self.hash_case is not None and not hashed:
            raise ValueError(
                "output_file.hash_case has no meaning here: this platform's file holds no hashes"
            )
        if self.strip_plus_tag is not None and Identifier.EMAIL not in hashed:
            raise ValueError(
                "output_file.strip_plus_tag has no meaning here: this platform gets no hashed addresses"
            )
        unknown = sorted(set(headers) - {column.identifier.value for column in profile.columns})
        if unknown:
            raise ValueError(f"output_file.headers: this platform's file has no column for {_named(unknown)}")
        columns = tuple(
            replace(column, header=headers.get(column.identifier.value, column.header))
            for column in profile.columns
        )
        if len({column.header for column in columns}) < len(columns):
            raise ValueError("output_file.headers: two columns would have the same header")
        return replace(
            profile,
            columns=columns,
            hash_case=self.hash_case or profile.hash_case,
            strip_plus_tag=profile.strip_plus_tag if self.strip_plus_tag is None else self.strip_plus_tag,
            line_ending=_LINE_ENDINGS[self.line_ending] if self.line_ending else profile.line_ending,
            compression=self.compression or profile.compression,
        )


class GuardLimits(Model):
    """What has to hold before anything is sent, see :class:`..crm.guards.Guards`. ``null`` turns a guard off."""

    null_is_a_value: ClassVar[bool] = True

    min_rows: Annotated[int, Field(ge=1)] | None = 1
    """Rows to send at least."""
    max_row_drop: Share | None = None
    """Which part fewer rows than the last confirmed load may be sent. Default: 0.5 for ``replace`` and ``mirror``, off
    for the other modes."""
    max_rejected_ratio: Share | None = 0.3
    """Which part of the rows may be rejected."""
    max_invalid_ratio: Share | None = 0.5
    """Of each identifier, which part of the values may be invalid."""
    min_filled_ratio: Share | None = 0.01
    """Of each identifier, which part of the rows has to have a value."""
    max_hash_mismatch_ratio: Share | None = 0.01
    """Which part of the values may be hashes in a plain column, or plain in a column of hashes."""
    min_rows_for_ratios: int = Field(100, ge=1)
    """From how many rows on shares are judged at all, but for ``max_hash_mismatch_ratio``, which always is."""
    on_empty: Literal["fail", "skip"] = "fail"
    """What a load does whose source has no row: fail, or skip the tasks of the run."""

    def guards(self) -> Guards:
        """The guards."""
        values = self.model_dump()
        # Left out is not the same as null: "by_mode" against "off".
        return Guards(
            **values if "max_row_drop" in self.model_fields_set else {**values, "max_row_drop": "by_mode"}
        )


def _own_folder(value: str) -> str:
    if "{" in value or "}" in value:
        raise ValueError("no placeholders here: the load date is part of the file's name")
    return _known_scheme(value)


class OwnFolder(Model):
    """A folder of the owner's that each audience has a folder of its own in."""

    path: Annotated[Name, AfterValidator(_own_folder)]
    """A folder or ``s3://bucket/prefix``."""
    aws_conn_id: Name | None = None
    """For an ``s3://`` path; default ``aws_default``."""

    def folder(self, base: Path, key: str) -> str:
        """The folder of an audience.

        :param base: what a relative path counts from.
        :param key: the audience's.
        """
        return f"{resolved(self.path, base).rstrip('/')}/{key}"


class Rejects(OwnFolder):
    """Where the list of rejected rows and fields of each load goes; it holds masked samples only. The file is
    ``<path>/<audience key>/<load date>-<run>.csv``."""

    def folder(self, base: Path, key: str) -> str:
        """As any folder of the owner's; one that is here without ``..``, as people read and copy it."""
        folder = super().folder(base, key)
        return folder if "://" in folder else os.path.normpath(folder)


class State(OwnFolder):
    """Where a snapshot of what the audience holds is kept after each confirmed load: hashes, or where the platform
    takes values as they are, these. The file is ``<path>/<audience key>/<load date>-<content>.parquet``."""

    retain: int = Field(2, ge=2)
    """How many confirmed snapshots are kept: the last one, and those before it."""


Mode = Literal["opt-in", "opt-out", "replace", "mirror"]


class Upload(Model):
    """What happens to the extract."""

    mode: Mode | None = None
    """What a load does to the audience; default the platform's first. Not each platform has each of them."""
    wait_for_earlier_loads: Literal["confirmed", "uploaded", "never"] = "confirmed"
    """Until when a scheduled or backfilled load waits for those of earlier days: until the vendor has taken them in, so
    that each wait is about one upload, or only until they are sent. Never: only where each load adds people to the
    audience or takes people out of it, and no ``snapshots`` are kept."""
    memory_limit_mib: int = Field(1024, ge=128)
    """Memory of the engine in MiB, beyond which it spills to disk."""


class Schedule(Model):
    """When the extract of a day is loaded."""

    cron: Text
    timezone: Text = "UTC"
    """Name of the tz database; also decides which day it is."""
    start: date
    """First load date; backfills may go back to any date."""
    end: date | None = None
    """Last load date."""

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            pendulum.timezone(value)
        except Exception:
            close = get_close_matches(value, available_timezones(), n=1)
            raise ValueError(
                "not a time zone of the tz database, for example Europe/Amsterdam"
                + (f"; did you mean '{close[0]}'?" if close else "")
            ) from None
        return value

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        # Airflow's own judge of cron expressions; imported here, as checking definitions needs no Airflow.
        from croniter import croniter

        if value not in CRON_PRESETS and not (len(value.split()) == CRON_FIELDS and croniter.is_valid(value)):
            raise ValueError(
                f"a cron expression has five fields, for example '0 3 * * *'; {', '.join(CRON_PRESETS)} work as well"
            )
        return value

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Schedule:
        if self.end is not None and self.end < self.start:
            raise ValueError("'end' is before 'start'")
        return self


class Wait(Model):
    """How the vendor's processing is waited for."""

    poll_interval_seconds: Seconds = 60.0
    timeout_hours: Hours = 48.0


AlertKind = Literal["failure", "guard", "late", "match_rate"]
ALERT_KINDS: tuple[AlertKind, ...] = get_args(AlertKind)


class Alert(Model):
    """Whom to tell what, by one of Airflow's notifiers."""

    notifier: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", max_length=250)]
    """Dotted path of a notifier's class."""
    arguments: dict[str, JsonValue] = {}
    """Its arguments. The notifier renders templates in those that it calls template fields."""
    # Not "on": that is YAML for "yes".
    events: Annotated[tuple[AlertKind, ...], Field(min_length=1)] = ALERT_KINDS
    """What is told: that a run has failed, that a guard has stopped it, that it is late, that match rates are low."""
    late_after_hours: Hours | None = None
    """A run is late that has not succeeded so many hours after it was queued. Without it, none is."""

    @model_validator(mode="after")
    def _late_has_hours(self) -> Alert:
        if self.late_after_hours is not None and "late" not in self.events:
            raise ValueError("'late_after_hours' has a meaning with 'late' in 'events' only")
        if self.late_after_hours is None and "late" in self.events and "events" in self.model_fields_set:
            raise ValueError("'late' needs 'late_after_hours': so many hours after the run was queued")
        return self


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, (Mapping, Alert)) else value


class Audit(Model):
    """A row for each run in a table of the owner's."""

    conn_id: Name
    """The Airflow connection of the database."""
    table: Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62}){0,2}$")] = (
        "audience_onboarding_audit"
    )
    """Its name, with its schema if it needs one."""
    create: bool = False
    """Create the table if it is not there."""


class AudienceDefinition(Model):
    """One audience: what all platforms share. Each platform's own model adds its fields, see :mod:`..platforms`."""

    modes: ClassVar[Mapping[str, str]]
    """What a load can do to an audience of the platform, and how the form says it; the first is usual."""
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset()
    """Those of them that need ``snapshots``."""
    why_not: ClassVar[str] = ""
    """Why the platform has no other modes."""
    found_by_name: ClassVar[bool] = False
    """Whether the audience is looked up at the vendor by its name, so that no two definitions may share one."""
    profile: ClassVar[FileProfile]
    """What the platform's file looks like, and so which identifiers it takes, hashed or as they are."""
    compressions: ClassVar[tuple[str, ...]] = ("none",)
    """How the file may be compressed, as far as the vendor can be expected to read it."""

    key: Key
    """The file's name without ``.yaml``."""
    platform: str
    conn_id: Text
    """The connection to the vendor."""
    name: Name
    """What the audience is called at the vendor."""
    description: Name | None = None
    id: int | str | None = None
    """An existing audience: then none is created."""
    owner: Text
    tags: tuple[Tag, ...] = ()
    source: Source
    allow_unhashed: bool = False
    """For platforms that take identifiers which are not hashed: that this is meant to be."""
    output_file: OutputFile = OutputFile()
    guards: GuardLimits = GuardLimits()
    rejects: Rejects | None = None
    """Without it, the rejected rows are counted only."""
    snapshots: State | None = None
    """Needed by modes that compare a list with what the audience holds."""
    upload: Upload = Upload()
    schedule: Schedule | None = None
    """Without one, it is loaded by hand only."""
    wait: Wait = Wait()
    retries: int = Field(3, ge=0)
    """How often a task is tried again after an error that may go away."""
    retry_delay_seconds: Seconds = 60.0
    """Until the first of these tries; each pause after that is twice as long, up to an hour."""
    alerts: Annotated[
        tuple[Alert, ...],
        BeforeValidator(_one_or_more, json_schema_input_type=Alert | tuple[Alert, ...]),
    ] = ()
    """Who is told that something is wrong; one of them, or a list."""
    audit: Audit | None = None
    """Without it, the history of the loads is in Airflow alone."""

    @model_validator(mode="before")
    @classmethod
    def _match_rates_are_told(cls, values: Any) -> Any:
        # Here, as elsewhere it would only be a field that nobody knows.
        if isinstance(values, Mapping) and "match_rates" in values and "match_rates" not in cls.model_fields:
            raise ValueError(
                f"match_rates: {values.get('platform')} tells no match rates, so there is nothing to watch"
            )
        return values

    @model_validator(mode="after")
    def _file_is_one_that_the_vendor_takes(self) -> AudienceDefinition:
        if self.file_profile.compression not in self.compressions:
            raise ValueError(f"output_file.compression: this platform takes {_named(self.compressions)}")
        return self

    @model_validator(mode="after")
    def _mode_is_one_of_the_platform(self) -> AudienceDefinition:
        wanted, allowed = self.upload.mode, _named(self.allowed_modes)
        if self.snapshots is not None and not self.modes_with_snapshots:
            raise ValueError(
                f"snapshots: {self.platform} has no mode that compares a list with the one before; allowed is {allowed}"
            )
        if wanted is None or wanted in self.allowed_modes:
            return self
        if wanted in self.modes:
            raise ValueError(
                f"upload.mode: on {self.platform}, '{wanted}' needs 'snapshots', a folder for snapshots of what the "
                f"audience holds; without it, allowed is {allowed}"
            )
        raise ValueError(
            f"upload.mode: {self.platform} has no '{wanted}', as {self.why_not}; allowed is {allowed}"
        )

    @model_validator(mode="after")
    def _order_does_not_matter(self) -> AudienceDefinition:
        if self.upload.wait_for_earlier_loads == "never":
            if self.mode in WHOLE_LIST:
                raise ValueError(
                    f"upload.wait_for_earlier_loads: with '{self.mode}', loads have to go out one after the other, as "
                    "the last list is what the audience is"
                )
            if self.snapshots is not None:
                raise ValueError(
                    "upload.wait_for_earlier_loads: with 'snapshots', loads have to go out one after the other, as "
                    "each snapshot is made of the one before"
                )
        return self

    @model_validator(mode="after")
    def _columns_fit_the_platform(self) -> AudienceDefinition:
        mapped = self.source.columns.by_identifier()
        taken = {column.identifier.value: column for column in self.profile.columns}
        if unknown := sorted(set(mapped) - set(taken)):
            raise ValueError(
                f"source.columns: this platform takes {_named(taken)}, and nothing else; not {_named(unknown)}"
            )
        for name, column in mapped.items():
            if not isinstance(column, str) and taken[name].transform != "sha256":
                raise ValueError(
                    f"source.columns.{name}: this platform takes it as it is, so it cannot be hashed"
                )
        for part, whole in self.profile.required_by:
            if part.value in mapped and whole.value not in mapped:
                raise ValueError(f"source.columns.{part.value} has no meaning without '{whole.value}'")
        sets = [[identifier.value for identifier in together] for together in self.profile.identified_by]
        if not any(set(together) <= set(mapped) for together in sets):
            raise ValueError(
                f"source.columns: {_named(mapped)} alone identify nobody; add, for example, 'house_number' or 'street'"
            )
        return self

    @model_validator(mode="after")
    def _raw_is_meant(self) -> AudienceDefinition:
        raw = [
            _IN_WORDS[column.identifier]
            for column in self.profile.columns
            if column.transform == "raw" and column.identifier.value in self.source.columns.by_identifier()
        ]
        if raw and not self.allow_unhashed:
            raise ValueError(
                f"this platform takes {' and '.join(raw)} as they are, not hashed: if your data protection "
                "officer agrees, give 'allow_unhashed: true'"
            )
        if self.allow_unhashed and not raw:
            raise ValueError("'allow_unhashed' has no meaning here: all that is sent is hashed")
        return self

    @property
    def file_profile(self) -> FileProfile:
        """What the file for the vendor looks like."""
        return self.output_file.applied_to(self.profile)

    @property
    def allowed_modes(self) -> dict[str, str]:
        """The modes that a run may choose from, and how the form says them."""
        without = self.modes_with_snapshots if self.snapshots is None else frozenset()
        return {mode: label for mode, label in self.modes.items() if mode not in without}

    @property
    def mode(self) -> str:
        """What a load does to the audience, unless a run says otherwise."""
        return self.upload.mode or next(iter(self.modes))

    def describe_audience(self) -> str:
        """Return the audience that is loaded, and whether a load may create it."""
        raise NotImplementedError

    def describe_load(self, load_date: date | None) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - most have none
        """Yield what the platform adds to the plan of a load: subject and text.

        :param load_date: of the next load; ``None`` if there is none.
        """
        yield from ()

    @property
    def timezone(self) -> str:
        """In which a moment becomes a load date."""
        return self.schedule.timezone if self.schedule else "UTC"


def is_key(text: str) -> bool:
    """Whether a file's name can be an audience's key."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", text) is not None
