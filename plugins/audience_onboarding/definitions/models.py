"""The models behind ``include/audiences/*.yaml``. One file is one audience; its name is the audience's key."""

from __future__ import annotations

import re
import string
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import pendulum
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

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

Tag = Annotated[str, Field(min_length=1, max_length=100)]
"""Airflow refuses a DAG with a longer one."""

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)]

CRON_FIELDS = 5
CRON_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Campaign(_Model):
    """The campaign that the audience belongs to; several audiences may share one."""

    name: Name | None = None
    """Created under this name if it is not there yet."""
    id: int | None = Field(None, gt=0)
    """An existing campaign: then none is created."""

    @model_validator(mode="after")
    def _one_of(self) -> Campaign:
        if (self.name is None) == (self.id is None):
            raise ValueError("give either 'name' (to create it) or 'id' (to use an existing one)")
        return self


class Columns(_Model):
    """Which column of the extract holds which identifier, by the name in its header."""

    email: Text | None = None
    phone: Text | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Columns:
        if not self.by_identifier():
            raise ValueError("name at least one column: 'email' or 'phone'")
        return self

    def by_identifier(self) -> dict[str, str]:
        """Identifier to column name."""
        return {name: column for name, column in self.model_dump().items() if column is not None}


class Source(_Model):
    """The CRM extract."""

    path: Text
    """A path or ``s3://`` URL with ``{load_date}``, or ``{load_date:%Y%m%d}`` for another spelling. A relative path
    counts from the folder above the definitions."""
    columns: Columns
    delimiter: Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1)] = ","
    encoding: Literal["utf-8", "cp1252", "latin-1", "utf-16"] = "utf-8"
    """``utf-8`` with or without a byte order mark."""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "NL"
    """ISO 3166 code that a phone number without country code belongs to."""
    aws_connection: Text | None = None
    """For an ``s3://`` path; default the connection of ``upload``."""

    @field_validator("path")
    @classmethod
    def _placeholders(cls, value: str) -> str:
        try:
            names = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
            if not names <= {"load_date"}:
                raise ValueError
            value.format(load_date=date(2000, 1, 1))
        except (KeyError, IndexError, ValueError):
            raise ValueError("the only placeholder is {load_date}, or {load_date:%Y%m%d}") from None
        return value

    def resolve(self, base: Path) -> str:
        """The path or URL, placeholders untouched.

        :param base: what a relative path counts from.
        """
        return self.path if "://" in self.path else str(base / self.path)


class Upload(_Model):
    """Where the hashed file goes and what it does there."""

    aws_connection: Text = "audience_s3"
    """The connection of type ``aws`` for the vendor's bucket."""
    bucket: Text | None = None
    """Default: the one that the AWS connection names."""
    mode: Literal["opt-in", "opt-out", "replace"] = "opt-in"
    """``opt-in`` adds the records, ``opt-out`` removes them, ``replace`` replaces the entire record set."""
    wait_for_earlier_loads: Literal["confirmed", "uploaded"] = "confirmed"
    """Until when a scheduled or backfilled load waits for those of earlier days: until the vendor has taken them in, so
    that each wait is about one upload, or only until they are sent."""
    memory_limit_mib: int = Field(1024, ge=128)
    """Memory of the engine in MiB, beyond which it spills to disk."""


class Schedule(_Model):
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
            raise ValueError("not a time zone of the tz database, for example Europe/Amsterdam") from None
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


class Wait(_Model):
    """How the vendor's processing is waited for. State names are settings, as the vendor's pages name hardly any."""

    success_states: tuple[Text, ...] = ("READY",)
    failure_states: tuple[Text, ...] = ("FAILED", "ERROR")
    pending_states: tuple[Text, ...] = ("NODATA", "PROCESSING")
    confirm_by: Literal["auto", "data_updated", "history"] = "auto"
    poll_seconds: Seconds = 60.0
    timeout_hours: Hours = 48.0


class Account(_Model):
    """A platform account, by id, or by platform and name."""

    id: int | None = Field(None, gt=0)
    platform: Text | None = None
    name: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Account:
        if self.id is None and self.name is None and self.platform is None:
            raise ValueError("give 'id', or 'platform' and 'name'")
        return self


class ActivationTarget(_Model):
    """One segment: the audience on one platform account."""

    key: Key
    """Names the tasks of this target."""
    account: Account
    segment_name: Name
    description: Name
    days: int = Field(30, ge=1)
    """How long the segment runs from the day it is created."""
    poll_seconds: Seconds = 60.0
    timeout_hours: Hours = 96.0


class ExtendEndDates(_Model):
    """Upkeep of the segments' end dates."""

    within_days: int = Field(7, ge=0)
    """Segments that end within so many days are extended."""
    days: int = Field(30, ge=1)
    """They then end so many days from now."""


class Activation(_Model):
    """What happens once a load is confirmed."""

    targets: tuple[ActivationTarget, ...] = Field(min_length=1)
    extend: ExtendEndDates | None = None

    @field_validator("targets")
    @classmethod
    def _different_keys(cls, value: tuple[ActivationTarget, ...]) -> tuple[ActivationTarget, ...]:
        keys = [target.key for target in value]
        if len(set(keys)) < len(keys):
            raise ValueError("two targets have the same key")
        return value


class AudienceDefinition(_Model):
    """One audience."""

    key: Key
    """The file's name without ``.yaml``."""
    platform: Literal["digital_audience"]
    connection: Text = "digital_audience_default"
    """The connection to the vendor."""
    name: Name
    """What the audience is called at the vendor."""
    description: Name | None = None
    id: int | None = Field(None, gt=0)
    """An existing audience: then none is created."""
    owner: Text
    tags: tuple[Tag, ...] = ()
    campaign: Campaign | None = None
    source: Source
    upload: Upload = Upload()
    schedule: Schedule | None = None
    """Without one, it is loaded by hand only."""
    wait: Wait = Wait()
    activation: Activation | None = None
    retries: int = Field(3, ge=0)
    """How often a task is tried again after an error that may go away."""

    @model_validator(mode="after")
    def _campaign_or_id(self) -> AudienceDefinition:
        if self.id is None and self.campaign is None:
            raise ValueError("give 'campaign' (to create the audience in) or 'id' (of an existing audience)")
        return self

    @property
    def timezone(self) -> str:
        """In which a moment becomes a load date."""
        return self.schedule.timezone if self.schedule else "UTC"


def is_key(text: str) -> bool:
    """Whether a file's name can be an audience's key."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", text) is not None
