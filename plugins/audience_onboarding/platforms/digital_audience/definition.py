"""Definition of an audience on Digital Audience."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import ClassVar, Literal

import pendulum
from pydantic import Field, field_validator, model_validator

from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, FileProfile
from audience_onboarding.definitions.fields import Hours, Key, Model, Name, Seconds, Text, quote_names
from audience_onboarding.definitions.models import AudienceDefinition, UploadConfig, WaitConfig
from audience_onboarding.platforms.digital_audience.segment_names import checked_template
from audience_onboarding.state.match_rates import MatchRateLimits

VENDOR_PREFIX = "onboard/"
"""Prefix of the files that the vendor reads in its bucket."""


def is_vendor_path(url: str, *, bucket: str) -> bool:
    """Return whether the vendor reads files at an ``s3://`` URL; it never reads a local path.

    :param bucket: bucket of the vendor.
    """
    scheme, _, rest = url.partition("://")
    url_bucket, _, key = rest.partition("/")
    # For S3, repeated slashes make another key; for people and most tools they do not.
    key = re.sub(r"/+", "/", key).removeprefix("/")
    return scheme == "s3" and url_bucket == bucket and key.startswith(VENDOR_PREFIX)


def object_key(
    audience_id: int | str, mode: str, load_date: date, *, is_gzip: bool = False, is_range: bool = False
) -> str:
    """Return the key of a load, as the vendor's page "Updating audiences via S3" defines it.

    The id is formatted as the API returns it. The page's example pads it with zeros (``00001``), but no rule does.

    :param audience_id: or a placeholder for an unknown id.
    :param is_range: the load has a range of dates that ends on ``load_date``.
    """
    end = ".csv.gz" if is_gzip else ".csv"
    time_of_day = "235959" if is_range else "000000"
    return f"{VENDOR_PREFIX}audience={audience_id}/{mode}/{load_date:%Y%m%d}_{time_of_day}{end}"


class CampaignRef(Model):
    """Campaign of the audience; several audiences may share one."""

    name: Name | None = None
    """Name of the campaign; created if missing."""
    id: int | None = Field(None, gt=0)
    """Id of an existing campaign."""

    @model_validator(mode="after")
    def _one_of(self) -> CampaignRef:
        if (self.name is None) == (self.id is None):
            raise ValueError("needs either 'name' (created if missing) or 'id' (existing)")
        return self


class S3UploadConfig(UploadConfig):
    """Upload of a load to the vendor's bucket."""

    aws_conn_id: Text = "audience_s3"
    """Airflow connection of type ``aws`` for the vendor's bucket."""
    bucket: Text | None = None
    """Default: the bucket of the AWS connection."""
    on_second_daily_file: Literal["warn", "fail", "wait"] = "warn"
    """Action of a load if another load has uploaded a file for the audience on the same day (UTC). The vendor
    recommends at most one."""


class ConfirmationRules(Model):
    """Evidence that confirms an upload. States are settings, because the vendor documents only a few; in any case."""

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


class StateWaitConfig(WaitConfig, ConfirmationRules):
    """Wait for the vendor to process an upload."""


class PlatformAccountRef(Model):
    """Platform account: by id, or by platform and name."""

    id: int | None = Field(None, gt=0)
    platform: Text | None = None
    name: Text | None = None

    @model_validator(mode="after")
    def _any_of(self) -> PlatformAccountRef:
        if self.id is None and self.name is None and self.platform is None:
            raise ValueError("needs 'id', or 'platform' and 'name'")
        return self


class Approval(Model):
    """Approval by a person before a segment is created. Existing segments need none."""

    assigned_users: tuple[Text, ...] = ()
    """Ids of the users that may respond. Default: every user with the permission in Airflow."""
    timeout_hours: Hours = 24.0
    """Hours to wait for a response."""
    on_timeout: Literal["reject", "fail"] = "reject"
    """Action without a response: ``reject`` skips the target, and the next load requests approval again; ``fail``
    fails the run."""


class ActivationTarget(Model):
    """Segment: the audience on one platform account."""

    key: Key
    """Part of the task ids of this target."""
    account: PlatformAccountRef
    segment_name: Name
    """May contain placeholders, see :data:`.segment_names.PLACEHOLDERS`."""
    description: Name
    duration_days: int = Field(30, ge=1)
    """Days from the creation of the segment to its end."""
    until: date | None = None
    """Last day of the segment, in the time zone of the definition. It is never extended beyond it."""
    approval: bool | Approval = False
    """Whether the segment needs an approval, or the settings of the approval."""
    poll_interval_seconds: Seconds = 60.0
    timeout_hours: Hours = 96.0

    @field_validator("segment_name")
    @classmethod
    def _placeholders_are_known(cls, value: str) -> str:
        return checked_template(value)

    @property
    def approval_rule(self) -> Approval | None:
        """Settings of the approval, ``None`` if none is needed."""
        if isinstance(self.approval, Approval):
            return self.approval
        return Approval() if self.approval else None

    def end_of_last_day(self, timezone: str) -> datetime | None:
        """Return the end of the last day, ``None`` without one.

        :param timezone: of the definition.
        """
        if self.until is None:
            return None
        return datetime.combine(self.until, time(23, 59, 59), tzinfo=pendulum.timezone(timezone))


class ExtensionConfig(Model):
    """Extension of the segments' end dates."""

    within_days: int = Field(7, ge=0)
    """Segments that end within this number of days are extended."""
    extend_by_days: int = Field(30, ge=1)
    """New end of an extended segment, in days from now."""


class ActivationConfig(Model):
    """Activation of confirmed loads as segments on platform accounts."""

    targets: tuple[ActivationTarget, ...] = Field(min_length=1)
    extend: ExtensionConfig | None = None

    @field_validator("targets")
    @classmethod
    def _keys_are_unique(cls, value: tuple[ActivationTarget, ...]) -> tuple[ActivationTarget, ...]:
        keys = [target.key for target in value]
        if len(set(keys)) < len(keys):
            raise ValueError("two targets have the same key")
        return value

    @field_validator("targets")
    @classmethod
    def _segments_are_unique(cls, value: tuple[ActivationTarget, ...]) -> tuple[ActivationTarget, ...]:
        segments = [(target.account, target.segment_name.replace("{target}", target.key)) for target in value]
        for number, segment in enumerate(segments):
            if segment in segments[:number]:
                raise ValueError(
                    "two targets have the same account and segment_name, so they would be one segment"
                )
        return value


class DigitalAudienceDefinition(AudienceDefinition):
    """An audience on Digital Audience."""

    modes: ClassVar[Mapping[str, str]] = {
        "opt-in": "opt-in: add the records",
        "opt-out": "opt-out: remove the matching records",
        "replace": "replace: replace the entire record set",
        "mirror": "mirror: add and remove the changes since the last confirmed load",
    }
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset({"mirror"})
    profile: ClassVar[FileProfile] = DIGITAL_AUDIENCE_S3
    compressions: ClassVar[tuple[str, ...]] = ("none", "gzip")

    platform: Literal["digital_audience"]
    conn_id: Text = "digital_audience_default"
    id: int | None = Field(None, gt=0)
    campaign: CampaignRef | None = None
    upload: S3UploadConfig = S3UploadConfig()
    wait: StateWaitConfig = StateWaitConfig()
    activation: ActivationConfig | None = None
    match_rates: MatchRateLimits | None = None
    """Without it, match rates are only recorded."""

    @model_validator(mode="after")
    def _rated_identifiers_are_sent(self) -> DigitalAudienceDefinition:
        if self.match_rates is None or not isinstance(self.match_rates.min_rate, Mapping):
            return self
        sent = self.source.columns.by_identifier()
        if missing := [name for name in self.match_rates.min_rate if name not in sent]:
            raise ValueError(f"match_rates.min_rate: 'source.columns' has no {quote_names(missing)}")
        return self

    @model_validator(mode="after")
    def _has_campaign_or_id(self) -> DigitalAudienceDefinition:
        if self.id is None and self.campaign is None:
            raise ValueError("needs 'campaign' (to create the audience in) or 'id' (of an existing audience)")
        return self

    @model_validator(mode="after")
    def _own_folders_are_not_vendor_paths(self) -> DigitalAudienceDefinition:
        for name, location in (("rejects", self.rejects), ("snapshots", self.snapshots)):
            if location is None or self.upload.bucket is None:
                continue
            if is_vendor_path(f"{location.path.rstrip('/')}/{self.key}/", bucket=self.upload.bucket):
                raise ValueError(
                    f"{name}.path: the vendor reads {VENDOR_PREFIX} in this bucket. Use another path"
                )
        return self

    def describe_audience(self) -> str:
        """Return which audience is loaded, and whether a load may create it."""
        if self.id is not None or self.campaign is None:
            return f"existing, id {self.id}; never created"
        if self.campaign.id is not None:
            campaign = f"existing campaign {self.campaign.id}"
        else:
            campaign = f"campaign {self.campaign.name!r}, created if missing"
        return f"{self.name!r}, created by the first load; {campaign}"

    def describe_load(self, load_date: date | None) -> Iterator[tuple[str, str]]:
        """Yield the file, the activation targets and the extension of a load: subject and text."""
        if load_date is not None:
            modes = ("opt-out", "opt-in") if self.mode == "mirror" else (self.mode,)
            is_gzip = self.file_profile.compression == "gzip"
            audience_id = "<id>" if self.id is None else self.id
            keys = (object_key(audience_id, mode, load_date, is_gzip=is_gzip) for mode in modes)
            yield "file", ", ".join(keys)
        if self.activation is None:
            return
        for target in self.activation.targets:
            yield "activation", _describe_target(target, load_date)
        extend = self.activation.extend
        if extend is None:
            yield "extension", "none, segments end on their end dates"
        else:
            days = extend.extend_by_days
            yield "extension", f"segments that end within {extend.within_days} days, to {days} days from then"


def _describe_target(target: ActivationTarget, load_date: date | None) -> str:
    account = target.account
    labels = (account.id and f"account {account.id}", account.platform, account.name and repr(account.name))
    where = ", ".join(label for label in labels if label)
    text = f"{target.key}: {target.segment_name!r} on {where}, for {target.duration_days} days"
    if load_date is None:
        return text
    return f"{text}: until {load_date + timedelta(days=target.duration_days)} if it is created with the next load"
