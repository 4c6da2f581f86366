"""The part of a definition that is Digital Audience's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, ClassVar, Literal, get_args

import pendulum
from pydantic import Field, field_validator, model_validator

from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, FileProfile
from audience_onboarding.definitions.models import (
    AudienceDefinition,
    Hours,
    Key,
    Model,
    Name,
    Seconds,
    Share,
    Text,
    Upload,
    Wait,
)
from audience_onboarding.platforms.digital_audience.segment_names import checked_template

VENDOR_PREFIX = "onboard/"
"""Where the vendor looks for files in its bucket."""


def is_read_by_the_vendor(url: str, *, bucket: str) -> bool:
    """Whether an ``s3://`` URL lies where the vendor looks for files; a path never does.

    :param bucket: the vendor's.
    """
    scheme, _, rest = url.partition("://")
    its_bucket, _, key = rest.partition("/")
    # Slashes too many make another key for S3, but not for a person or most tools.
    key = re.sub(r"/+", "/", key).removeprefix("/")
    return scheme == "s3" and its_bucket == bucket and key.startswith(VENDOR_PREFIX)


def object_key(
    audience_id: int | str, mode: str, load_date: date, *, is_gzip: bool = False, is_range: bool = False
) -> str:
    """The key of a load, as the vendor's page "Updating audiences via S3" wants it.

    The id is written as the API returns it. The page's example pads it with zeros (``00001``), but no rule says so.

    :param audience_id: or what stands for one that is not known yet.
    :param is_range: the load is about a range of days that ends on ``load_date``, and not about that day alone.
    """
    end = ".csv.gz" if is_gzip else ".csv"
    moment = "235959" if is_range else "000000"
    return f"{VENDOR_PREFIX}audience={audience_id}/{mode}/{load_date:%Y%m%d}_{moment}{end}"


class Campaign(Model):
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


class S3Upload(Upload):
    """Where the hashed file goes and what it does there."""

    aws_conn_id: Text = "audience_s3"
    """The connection of type ``aws`` for the vendor's bucket."""
    bucket: Text | None = None
    """Default: the one that the AWS connection names."""
    on_second_daily_file: Literal["warn", "fail", "wait"] = "warn"
    """What a load does where another one has put a file for the audience on the same day (UTC): the vendor recommends
    one at most."""


class ConfirmationRules(Model):
    """Evidence that confirms an upload. States are settings, as the vendor's pages name hardly any; in any case."""

    success_states: tuple[Text, ...] = ("READY",)
    """The portal calls an audience "ready"; that the API does too is an inference."""
    failure_states: tuple[Text, ...] = ("FAILED", "ERROR")
    """Inferred: the vendor's pages name no failure state."""
    pending_states: tuple[Text, ...] = ("NODATA", "PROCESSING")
    """Stated by the vendor's "Audience API" page. Others are logged once, and the wait continues."""
    confirm_by: Literal["auto", "data_updated", "history"] = "auto"
    """``data_updated``: a newer ``dataUpdated`` is enough. ``history``: the vendor's history must list an upload with
    our mode and row count that is newer than the baseline. ``auto``: a newer ``dataUpdated``; if the history lists
    newer uploads, ours must be one of them."""


class StateWait(Wait, ConfirmationRules):
    """Wait for the vendor to process an upload."""


class Account(Model):
    """A platform account, by id, or by platform and name."""

    id: int | None = Field(None, gt=0)
    platform: Text | None = None
    name: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Account:
        if self.id is None and self.name is None and self.platform is None:
            raise ValueError("give 'id', or 'platform' and 'name'")
        return self


class Approval(Model):
    """A person has to approve before a segment is created; one that is there is not asked about again."""

    assigned_users: tuple[Text, ...] = ()
    """Ids of those who may answer; none: whoever may answer in this Airflow."""
    timeout_hours: Hours = 24.0
    """How long the answer is waited for."""
    on_timeout: Literal["reject", "fail"] = "reject"
    """What no answer means: the target is skipped, and the next load asks again, or the run fails."""


class ActivationTarget(Model):
    """One segment: the audience on one platform account."""

    key: Key
    """Names the tasks of this target."""
    account: Account
    segment_name: Name
    """May hold placeholders, see :data:`.segment_names.KNOWN`."""
    description: Name
    duration_days: int = Field(30, ge=1)
    """How long the segment runs from the day it is created."""
    until: date | None = None
    """The last day of the segment, in the definition's time zone: it never ends later, and is let go after it."""
    approval: bool | Approval = False
    """Whether a person has to approve before the segment is created."""
    poll_interval_seconds: Seconds = 60.0
    timeout_hours: Hours = 96.0

    @field_validator("segment_name")
    @classmethod
    def _known_placeholders(cls, value: str) -> str:
        return checked_template(value)

    @property
    def approval_rule(self) -> Approval | None:
        """How it is approved, ``None`` if it need not be."""
        if isinstance(self.approval, Approval):
            return self.approval
        return Approval() if self.approval else None

    def last_moment(self, timezone: str) -> datetime | None:
        """The end of the last day.

        :param timezone: of the definition.
        """
        if self.until is None:
            return None
        return datetime.combine(self.until, time(23, 59, 59), tzinfo=pendulum.timezone(timezone))


class ExtendEndDates(Model):
    """Upkeep of the segments' end dates."""

    within_days: int = Field(7, ge=0)
    """Segments that end within so many days are extended."""
    extend_by_days: int = Field(30, ge=1)
    """They then end so many days from now."""


class Activation(Model):
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

    @field_validator("targets")
    @classmethod
    def _different_segments(cls, value: tuple[ActivationTarget, ...]) -> tuple[ActivationTarget, ...]:
        segments = [(target.account, target.segment_name.replace("{target}", target.key)) for target in value]
        for number, segment in enumerate(segments):
            if segment in segments[:number]:
                raise ValueError(
                    f"two targets have the same account and segment_name {segment[1]!r}: they would be one segment"
                )
        return value


RatedIdentifier = Literal["email", "phone", "postal_code", "personal_id", "aaid"]
"""Identifiers that the vendor tells match rates of; ``postal_code`` stands for addresses."""

MOST_LOADS_COMPARED = 60


class MatchRates(Model):
    """What the match rates of a load are compared with, see :class:`.state.match_rates.Limits`."""

    window: int = Field(7, ge=1, le=MOST_LOADS_COMPARED)
    """A load is compared with the mean of so many loads before it."""
    min_history: int = Field(3, ge=1, le=MOST_LOADS_COMPARED)
    """With fewer than so many before it, it is compared with none."""
    min_rate: Share | dict[RatedIdentifier, Share] | None = None
    """The least that may match: one share for all identifiers, or one each."""
    max_drop: Share | None = 0.2
    """Which part lower than the mean a rate may be."""
    max_rows_deviation: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Which part more or fewer rows than the mean may be sent."""
    min_rows: int = Field(100, ge=1)
    """Uploads of fewer rows are neither judged nor compared with."""
    on_violation: Literal["warn", "fail"] = "warn"
    """What becomes of a load outside the limits: it is told, or it is not activated either."""

    @model_validator(mode="after")
    def _enough_loads(self) -> MatchRates:
        if self.min_history > self.window:
            raise ValueError("'min_history' is more than 'window': no load would ever be compared")
        return self

    @property
    def min_rates(self) -> dict[str, float]:
        """By identifier."""
        if self.min_rate is None:
            return {}
        if isinstance(self.min_rate, Mapping):
            return {str(name): share for name, share in self.min_rate.items()}
        return dict.fromkeys(get_args(RatedIdentifier), self.min_rate)


class DigitalAudienceDefinition(AudienceDefinition):
    """An audience on Digital Audience."""

    modes: ClassVar[Mapping[str, str]] = {
        "opt-in": "opt-in: add the records",
        "opt-out": "opt-out: remove the matching records",
        "replace": "replace: replace the entire record set",
        "mirror": "mirror: add and remove what has changed since the last confirmed load",
    }
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset({"mirror"})
    profile: ClassVar[FileProfile] = DIGITAL_AUDIENCE_S3
    compressions: ClassVar[tuple[str, ...]] = ("none", "gzip")

    platform: Literal["digital_audience"]
    conn_id: Text = "digital_audience_default"
    id: int | None = Field(None, gt=0)
    campaign: Campaign | None = None
    upload: S3Upload = S3Upload()
    wait: StateWait = StateWait()
    activation: Activation | None = None
    match_rates: MatchRates | None = None
    """Without it, the match rates are only recorded."""

    @model_validator(mode="after")
    def _floors_are_of_what_is_sent(self) -> DigitalAudienceDefinition:
        if self.match_rates is None or not isinstance(self.match_rates.min_rate, Mapping):
            return self
        sent = self.source.columns.by_identifier()
        if missing := [name for name in self.match_rates.min_rate if name not in sent]:
            names = ", ".join(f"'{name}'" for name in missing)
            raise ValueError(f"match_rates.min_rate: {names} is in no column of 'source.columns'")
        return self

    @model_validator(mode="after")
    def _campaign_or_id(self) -> DigitalAudienceDefinition:
        if self.id is None and self.campaign is None:
            raise ValueError("give 'campaign' (to create the audience in) or 'id' (of an existing audience)")
        return self

    @model_validator(mode="after")
    def _own_folders_are_not_the_vendors(self) -> DigitalAudienceDefinition:
        for name, place in (("rejects", self.rejects), ("snapshots", self.snapshots)):
            if place is None or self.upload.bucket is None:
                continue
            if is_read_by_the_vendor(f"{place.path.rstrip('/')}/{self.key}/", bucket=self.upload.bucket):
                raise ValueError(
                    f"{name}.path: the vendor reads {VENDOR_PREFIX} in this bucket; use another place"
                )
        return self

    def describe_audience(self) -> str:
        """Return the audience that is loaded, and whether a load may create it."""
        if self.id is not None:
            return f"the existing one with id {self.id}; none is created"
        campaign, place = self.campaign, ""
        if campaign is not None and campaign.id is not None:
            place = f" in the existing campaign {campaign.id}"
        elif campaign is not None:
            place = f" in the campaign {campaign.name!r}, which is created if need be"
        return f"created as {self.name!r}{place}, unless an earlier load has created it"

    def describe_load(self, load_date: date | None) -> Iterator[tuple[str, str]]:
        """Yield file, activation targets and extension of a load: subject and text."""
        if load_date is not None:
            modes = ("opt-out", "opt-in") if self.mode == "mirror" else (self.mode,)
            is_gzip = self.file_profile.compression == "gzip"
            place = "<id>" if self.id is None else self.id
            yield "file", ", ".join(object_key(place, mode, load_date, is_gzip=is_gzip) for mode in modes)
        if self.activation is None:
            return
        for target in self.activation.targets:
            yield "activation", _describe_target(target, load_date)
        extend = self.activation.extend
        if extend is None:
            yield "extension", "none: segments end when they end"
        else:
            yield (
                "extension",
                f"segments that end within {extend.within_days} days are extended to {extend.extend_by_days} days "
                "from then",
            )


def _describe_target(target: ActivationTarget, load_date: date | None) -> str:
    account = target.account
    named = [
        *([f"account {account.id}"] if account.id is not None else []),
        *([account.platform] if account.platform is not None else []),
        *([repr(account.name)] if account.name is not None else []),
    ]
    text = f"{target.key}: {target.segment_name!r} on {', '.join(named)}, for {target.duration_days} days"
    if load_date is None:
        return text
    return f"{text}: until {load_date + timedelta(days=target.duration_days)} if it is created with the next load"
