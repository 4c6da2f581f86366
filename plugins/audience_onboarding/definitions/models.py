"""The models behind ``include/audiences/*.yaml``. One file is one audience; its name is the audience's key."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pendulum
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
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


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


RemoteId = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
"""An id that is text; YAML takes one of digits for a number."""

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)]

CRON_FIELDS = 5
CRON_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


class Model(BaseModel):
    """The base of all parts of a definition: no unknown fields, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Columns(Model):
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


class Source(Model):
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
    """For an ``s3://`` path; default ``aws_default``, or for Digital Audience the connection of ``upload``."""

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


class Upload(Model):
    """What happens to the extract."""

    wait_for_earlier_loads: Literal["confirmed", "uploaded"] = "confirmed"
    """Until when a scheduled or backfilled load waits for those of earlier days: until the vendor has taken them in, so
    that each wait is about one upload, or only until they are sent."""
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


class Wait(Model):
    """How the vendor's processing is waited for."""

    poll_seconds: Seconds = 60.0
    timeout_hours: Hours = 48.0


class AudienceDefinition(Model):
    """One audience: what all platforms share. Each platform's own model adds its fields, see :mod:`..platforms`."""

    modes: ClassVar[Mapping[str, str]]
    """What a load can do to an audience of the platform, and how the form says it; the first is usual."""
    found_by_name: ClassVar[bool] = False
    """Whether the audience is looked up at the vendor by its name, so that no two definitions may share one."""
    raw_values: ClassVar[tuple[str, ...]] = ()
    """What the platform takes as it is, not hashed."""

    key: Key
    """The file's name without ``.yaml``."""
    platform: str
    connection: Text
    """The connection to the vendor."""
    name: Name
    """What the audience is called at the vendor."""
    description: Name | None = None
    id: int | str | None = None
    """An existing audience: then none is created."""
    owner: Text
    tags: tuple[Tag, ...] = ()
    source: Source
    allow_raw: bool = False
    """For platforms that take identifiers which are not hashed: that this is meant to be."""
    upload: Upload = Upload()
    schedule: Schedule | None = None
    """Without one, it is loaded by hand only."""
    wait: Wait = Wait()
    retries: int = Field(3, ge=0)
    """How often a task is tried again after an error that may go away."""
    retry_delay_seconds: Seconds = 60.0
    """Until the first of these tries; each pause after that is twice as long, up to an hour."""

    @model_validator(mode="after")
    def _raw_is_meant(self) -> AudienceDefinition:
        if self.raw_values and not self.allow_raw:
            raise ValueError(
                f"this platform takes {' and '.join(self.raw_values)} as they are, not hashed: if your data protection "
                "officer agrees, give 'allow_raw: true'"
            )
        if self.allow_raw and not self.raw_values:
            raise ValueError("'allow_raw' has no meaning here: this platform gets hashed values only")
        return self

    @property
    def mode(self) -> str:
        """What a load does to the audience, unless a run says otherwise."""
        return str(getattr(self.upload, "mode", next(iter(self.modes))))

    @property
    def timezone(self) -> str:
        """In which a moment becomes a load date."""
        return self.schedule.timezone if self.schedule else "UTC"


def is_key(text: str) -> bool:
    """Whether a file's name can be an audience's key."""
    return re.fullmatch(r"[a-z0-9][a-z0-9_]{0,99}", text) is not None
