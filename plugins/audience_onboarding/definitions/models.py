"""Models of ``include/audiences/*.yaml``. One file is one audience; the file name is the audience's key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args
from zoneinfo import available_timezones

import pendulum
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, field_validator, model_validator

from audience_onboarding.crm.guards import FULL_LIST_MODES, Guards
from audience_onboarding.crm.output.profiles import FileProfile, Identifier
from audience_onboarding.definitions.fields import (
    Header,
    Hours,
    Key,
    Model,
    Name,
    Seconds,
    Tag,
    Text,
    check_scheme,
    quote_names,
    resolve_path,
)
from audience_onboarding.definitions.source import SourceConfig

_LINE_ENDINGS = {"crlf": "\r\n", "lf": "\n"}
CRON_FIELDS = 5
CRON_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
"""Cron expression of each preset, as Airflow expands it."""


class Headers(Model):
    """Headers of the file by identifier, if the vendor's differ from its documentation."""

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
        """Return the given headers by identifier."""
        return {name: header for name, header in self.model_dump().items() if header is not None}


class OutputFile(Model):
    """Format of the file for the vendor. Each field overrides the profile of the platform."""

    hash_case: Literal["lower", "upper"] | None = None
    """Case of hexadecimal hashes."""
    strip_plus_tag: bool | None = None
    """Drop ``+tag`` from the local part of e-mail addresses before hashing."""
    line_ending: Literal["crlf", "lf"] | None = None
    compression: Literal["none", "gzip"] | None = None
    headers: Headers = Headers()

    def apply_to(self, profile: FileProfile) -> FileProfile:
        """Return a profile with these fields.

        :raises ValueError: a field does not apply to the profile.
        """
        headers = self.headers.by_identifier()
        hashed = {column.identifier for column in profile.columns if column.transform == "sha256"}
        if self.hash_case is not None and not hashed:
            raise ValueError("output_file.hash_case: not supported, because this platform receives no hashes")
        if self.strip_plus_tag is not None and Identifier.EMAIL not in hashed:
            raise ValueError(
                "output_file.strip_plus_tag: not supported, because this platform receives no hashed e-mail addresses"
            )
        unknown = sorted(set(headers) - {column.identifier.value for column in profile.columns})
        if unknown:
            raise ValueError(
                f"output_file.headers: this platform's file has no column for {quote_names(unknown)}"
            )
        columns = tuple(
            replace(column, header=headers.get(column.identifier.value, column.header))
            for column in profile.columns
        )
        if len({column.header for column in columns}) < len(columns):
            raise ValueError("output_file.headers: two columns have the same header")
        return replace(
            profile,
            columns=columns,
            hash_case=self.hash_case or profile.hash_case,
            strip_plus_tag=profile.strip_plus_tag if self.strip_plus_tag is None else self.strip_plus_tag,
            line_ending=_LINE_ENDINGS[self.line_ending] if self.line_ending else profile.line_ending,
            compression=self.compression or profile.compression,
        )


def _without_placeholder(value: str) -> str:
    if "{" in value or "}" in value:
        raise ValueError("must not contain placeholders. The file name has the load date already")
    return check_scheme(value)


class StorageLocation(Model):
    """Folder of the owner with one subfolder per audience."""

    path: Annotated[Name, AfterValidator(_without_placeholder)]
    """Folder or ``s3://bucket/prefix``."""
    aws_conn_id: Name | None = None
    """Airflow connection of an ``s3://`` path. Default: ``aws_default``."""

    def folder(self, base: Path, key: str) -> str:
        """Return the folder of an audience.

        :param base: folder that relative paths start from.
        :param key: key of the audience.
        """
        return f"{resolve_path(self.path, base).rstrip('/')}/{key}"


class RejectsConfig(StorageLocation):
    """Location of the rejected rows and fields of each load, as masked samples. The file is
    ``<path>/<audience key>/<load date>-<run>.csv``."""

    def folder(self, base: Path, key: str) -> str:
        """Return the folder of an audience; a local one without ``..``, because people read and copy it."""
        folder = super().folder(base, key)
        return folder if "://" in folder else os.path.normpath(folder)


class SnapshotConfig(StorageLocation):
    """Location of a snapshot of the audience after each confirmed load. It holds hashes or, if the platform receives
    unhashed values, these values. The file is ``<path>/<audience key>/<load date>-<content>.parquet``."""

    retain: int = Field(2, ge=2)
    """Number of confirmed snapshots to keep, the last one included."""


Mode = Literal["opt-in", "opt-out", "replace", "mirror"]


class UploadConfig(Model):
    """Upload of a load."""

    mode: Mode | None = None
    """Effect of a load on the audience. Platforms support different modes. Default: the first mode of the platform."""
    wait_for_earlier_loads: Literal["confirmed", "uploaded", "never"] = "confirmed"
    """Status of earlier dates that a scheduled or backfilled load waits for: ``confirmed`` by the vendor, so that each
    confirmation is for one upload, or only ``uploaded``. ``never`` is valid for modes ``opt-in`` and ``opt-out``
    without ``snapshots``."""
    memory_limit_mib: int = Field(1024, ge=128)
    """Memory limit of the engine in MiB; above it, the engine spills to disk."""


class Schedule(Model):
    """Schedule of the loads."""

    cron: Text
    timezone: Text = "UTC"
    """Name in the tz database; also defines the load date."""
    start: date
    """First load date; backfills may load earlier dates."""
    end: date | None = None
    """Last load date."""

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, value: str) -> str:
        try:
            pendulum.timezone(value)
        except Exception:
            close = get_close_matches(value, available_timezones(), n=1)
            raise ValueError(
                "unknown time zone. Use a name of the tz database, for example Europe/Amsterdam"
                + (f". Did you mean '{close[0]}'?" if close else "")
            ) from None
        return value

    @field_validator("cron")
    @classmethod
    def _cron_is_valid(cls, value: str) -> str:
        # Airflow validates with this library; imported here, because checking definitions needs no Airflow.
        from croniter import croniter

        if value not in CRON_PRESETS and not (len(value.split()) == CRON_FIELDS and croniter.is_valid(value)):
            raise ValueError(
                "invalid cron expression. Use five fields, for example '0 3 * * *', or one of "
                + ", ".join(CRON_PRESETS)
            )
        return value

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Schedule:
        if self.end is not None and self.end < self.start:
            raise ValueError("'end' is before 'start'")
        return self


class WaitConfig(Model):
    """Wait for the vendor's processing."""

    poll_interval_seconds: Seconds = 60.0
    timeout_hours: Hours = 48.0


AlertEvent = Literal["failure", "guard", "late", "match_rate"]
ALERT_EVENTS: tuple[AlertEvent, ...] = get_args(AlertEvent)


class AlertConfig(Model):
    """Notification by one of Airflow's notifiers."""

    notifier: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", max_length=250)]
    """Dotted path of the notifier class."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the class. The notifier renders templates in its template fields."""
    events: Annotated[tuple[AlertEvent, ...], Field(min_length=1)] = ALERT_EVENTS
    """Events to notify: a failed run, a run stopped by a guard, a late run, low match rates."""
    late_after_hours: Hours | None = None
    """Hours after queueing until a run without success is late. Without it, no run is late."""

    @model_validator(mode="after")
    def _late_has_hours(self) -> AlertConfig:
        if self.late_after_hours is not None and "late" not in self.events:
            raise ValueError("'late_after_hours' is only valid with 'late' in 'events'")
        if self.late_after_hours is None and "late" in self.events and "events" in self.model_fields_set:
            raise ValueError("'late' needs 'late_after_hours', the hours after the run was queued")
        return self


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, (Mapping, AlertConfig)) else value


class AuditConfig(Model):
    """One row per run in a table of the owner."""

    conn_id: Name
    """Airflow connection of the database."""
    table: Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62}){0,2}$")] = (
        "audience_onboarding_audit"
    )
    """Name of the table, with its schema if needed."""
    create: bool = False
    """Create the table if it does not exist."""


class AudienceDefinition(Model):
    """One audience: the fields that all platforms share. The model of each platform adds its own, see
    :mod:`..platforms`."""

    modes: ClassVar[Mapping[str, str]]
    """Modes of the platform with their labels in the form; the first is the default."""
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset()
    """Modes that need ``snapshots``."""
    missing_modes_reason: ClassVar[str] = ""
    """Reason why the platform does not support the other modes."""
    found_by_name: ClassVar[bool] = False
    """Whether the audience is looked up at the vendor by its name, so that names must be unique."""
    profile: ClassVar[FileProfile]
    """File format of the platform, with the identifiers that it accepts, hashed or unhashed."""
    compressions: ClassVar[tuple[str, ...]] = ("none",)
    """Compressions of the file that the vendor is known to read."""

    key: Key
    """File name without ``.yaml``."""
    platform: str
    conn_id: Text
    """Airflow connection of the vendor."""
    name: Name
    """Name of the audience at the vendor."""
    description: Name | None = None
    id: int | str | None = None
    """Id of an existing audience; no audience is created then."""
    owner: Text
    tags: tuple[Tag, ...] = ()
    source: SourceConfig
    allow_unhashed: bool = False
    """Confirms that unhashed identifiers may be sent. Required by platforms that only accept unhashed data."""
    output_file: OutputFile = OutputFile()
    guards: Guards = Guards()
    rejects: RejectsConfig | None = None
    """Without it, rejected rows are only counted."""
    snapshots: SnapshotConfig | None = None
    """Required by modes that compare a list with the members of the audience."""
    upload: UploadConfig = UploadConfig()
    schedule: Schedule | None = None
    """Without it, loads are triggered manually only."""
    wait: WaitConfig = WaitConfig()
    retries: int = Field(3, ge=0)
    """Retries of a task after a transient error."""
    retry_delay_seconds: Seconds = 60.0
    """Delay before the first retry. It doubles with each retry, up to an hour."""
    alerts: Annotated[
        tuple[AlertConfig, ...],
        BeforeValidator(_as_tuple, json_schema_input_type=AlertConfig | tuple[AlertConfig, ...]),
    ] = ()
    """Notifications about errors: one, or a list."""
    audit: AuditConfig | None = None
    """Without it, only Airflow keeps the history of the loads."""

    @model_validator(mode="before")
    @classmethod
    def _match_rates_are_reported(cls, values: Any) -> Any:
        # Without this reason, it would be reported as an unknown field.
        if isinstance(values, Mapping) and "match_rates" in values and "match_rates" not in cls.model_fields:
            raise ValueError(
                f"match_rates: not supported, because {values.get('platform')} reports no match rates"
            )
        return values

    @model_validator(mode="after")
    def _file_is_supported(self) -> AudienceDefinition:
        if self.file_profile.compression not in self.compressions:
            allowed = quote_names(self.compressions)
            raise ValueError(f"output_file.compression: not supported on this platform. Allowed: {allowed}")
        return self

    @model_validator(mode="after")
    def _mode_is_supported(self) -> AudienceDefinition:
        mode, allowed = self.upload.mode, quote_names(self.allowed_modes)
        if self.snapshots is not None and not self.modes_with_snapshots:
            raise ValueError(
                f"snapshots: not supported, because no mode of {self.platform} compares lists. Allowed modes: {allowed}"
            )
        if mode is None or mode in self.allowed_modes:
            return self
        if mode in self.modes:
            raise ValueError(
                f"upload.mode: '{mode}' on {self.platform} needs 'snapshots', a folder for snapshots of the audience. "
                f"Without it, allowed: {allowed}"
            )
        raise ValueError(
            f"upload.mode: '{mode}' is not supported on {self.platform}, because {self.missing_modes_reason}. "
            f"Allowed: {allowed}"
        )

    @model_validator(mode="after")
    def _loads_need_no_order(self) -> AudienceDefinition:
        if self.upload.wait_for_earlier_loads != "never":
            return self
        reason = ""
        if self.mode in FULL_LIST_MODES:
            reason = f"mode '{self.mode}', because the last list defines the audience"
        elif self.snapshots is not None:
            reason = "'snapshots', because each snapshot is built on the one before"
        if reason:
            raise ValueError(f"upload.wait_for_earlier_loads: must not be 'never' with {reason}")
        return self

    @model_validator(mode="after")
    def _columns_fit_the_platform(self) -> AudienceDefinition:
        mapped = self.source.columns.by_identifier()
        accepted = {column.identifier.value: column for column in self.profile.columns}
        if unknown := sorted(set(mapped) - set(accepted)):
            raise ValueError(
                f"source.columns: this platform does not accept {quote_names(unknown)}. "
                f"Allowed: {quote_names(accepted)}"
            )
        for name, column in mapped.items():
            if not isinstance(column, str) and accepted[name].transform != "sha256":
                raise ValueError(
                    f"source.columns.{name}: must not be hashed, because this platform accepts it unhashed only"
                )
        for part, whole in self.profile.required_by:
            if part.value in mapped and whole.value not in mapped:
                raise ValueError(f"source.columns.{part.value}: is only valid with '{whole.value}'")
        sets = [[identifier.value for identifier in together] for together in self.profile.identified_by]
        if not any(set(together) <= set(mapped) for together in sets):
            raise ValueError(
                f"source.columns: {quote_names(mapped)} alone do not identify a person. Add, for example, "
                "'house_number' or 'street'"
            )
        return self

    @model_validator(mode="after")
    def _unhashed_is_allowed(self) -> AudienceDefinition:
        mapped = self.source.columns.by_identifier()
        unhashed = [
            column.identifier.value
            for column in self.profile.columns
            if column.transform == "raw" and column.identifier.value in mapped
        ]
        if unhashed and not self.allow_unhashed:
            raise ValueError(
                f"allow_unhashed: required, because this platform receives {quote_names(unhashed)} unhashed. If your "
                "data protection officer agrees, set it to true"
            )
        if self.allow_unhashed and not unhashed:
            raise ValueError("allow_unhashed: not applicable, because all identifiers are sent hashed")
        return self

    @property
    def file_profile(self) -> FileProfile:
        """File format of the platform with the fields of ``output_file``."""
        return self.output_file.apply_to(self.profile)

    @property
    def allowed_modes(self) -> dict[str, str]:
        """Modes that a run may use, with their labels in the form."""
        excluded = self.modes_with_snapshots if self.snapshots is None else frozenset()
        return {mode: label for mode, label in self.modes.items() if mode not in excluded}

    @property
    def mode(self) -> str:
        """Default mode of a run."""
        return self.upload.mode or next(iter(self.modes))

    @property
    def timezone(self) -> str:
        """Time zone of the load dates."""
        return self.schedule.timezone if self.schedule else "UTC"

    def describe_audience(self) -> str:
        """Return which audience is loaded, and whether a load may create it."""
        if self.id is not None:
            return f"existing, id {self.id}; never created"
        return f"found by its name {self.name!r}; created if missing"

    def describe_load(self, load_date: date | None) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - most have none
        """Yield the platform's own lines in the plan of a load: subject and text.

        :param load_date: of the next load; ``None`` if there is none.
        """
        yield from ()
