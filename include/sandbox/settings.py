"""Settings of the sandbox: one field per command-line option, most of them changeable at run time."""

from __future__ import annotations

import threading
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from sandbox.commbox.settings import CommBoxSettings, CommBoxStartSettings
from sandbox.fanfare.settings import FanfareSettings, FanfareStartSettings

Quoting = Literal["refuse", "rfc4180"]


class StartSettings(FanfareStartSettings, CommBoxStartSettings):
    """Settings that apply only at start."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to bind")
    advertise_host: str | None = Field(
        default=None, description="host name in the URLs of the ready file (default: the bound address)"
    )
    port: int = Field(default=0, ge=0, le=65535, description="port of the vendor API; 0 selects a free one")
    admin_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="second port of the API, which no fault closes, for the admin API; 0 selects a free one",
    )
    s3_port: int = Field(
        default=0, ge=0, le=65535, description="port of the S3 endpoint; 0 selects a free one"
    )
    bucket: str = Field(default="audience-onboarding", min_length=3, description="bucket created at start")
    more_buckets: str = Field(
        default="", description="further buckets, separated by commas; no vendor reads them"
    )
    region: str = Field(default="eu-west-1", min_length=1, description="region of the bucket")
    aws_access_key_id: str = Field(
        default="sandbox-access-key", min_length=1, description="the only key S3 accepts"
    )
    aws_secret_access_key: str = Field(
        default="sandbox-secret-key",
        min_length=1,
        description="its secret; the sandbox verifies signatures in URLs, not those in headers",
    )
    username: str = Field(
        default="sandbox@example.com", min_length=1, description="user of the first organisation"
    )
    password: str = Field(default="sandbox-password", min_length=1, description="password of that user")
    foreign_username: str = Field(
        default="foreign@example.com",
        min_length=1,
        description="user of a second organisation, without a bucket",
    )
    foreign_password: str = Field(
        default="foreign-password", min_length=1, description="password of that user"
    )
    journal_limit: int = Field(
        default=200_000, ge=1, description="entries kept in the journal; counts stay exact"
    )


class SandboxSettings(StartSettings, FanfareSettings, CommBoxSettings):
    """All settings.

    Descriptions that start with "[I]" mark the sandbox's own choices, on which the vendors' pages are silent; the
    README lists them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_lifetime: float = Field(
        default=3600.0,
        gt=0,
        description="[I] seconds a session cookie is valid, counted from login, not sliding",
    )
    processing_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds an upload shows as PROCESSING"
    )
    insights_delay: float = Field(
        default=0.0, ge=0, description="[I] seconds insightsState stays PENDING after the audience is ready"
    )
    scan_interval: float = Field(default=0.5, gt=0, description="[I] seconds between scans of the bucket")
    activation_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds a segment stays pending once its audience has data"
    )
    match_percent: float = Field(
        default=65.0, ge=0, le=100, description="[I] share of identifiers matched, decided by the hash itself"
    )
    usable_percent: float = Field(
        default=90.0,
        ge=0,
        le=100,
        description="[I] share of the matched identifiers that a platform can use (UMATCH)",
    )
    ready_state: str = Field(
        default="READY", min_length=1, description="[I] audienceState after a good upload"
    )
    failure_state: str = Field(
        default="FAILED", min_length=1, description="[I] audienceState after a refused file"
    )
    expired_session_answer: Literal["401", "403", "redirect", "envelope"] = Field(
        default="401", description="[I] answer to a missing or expired session"
    )
    failed_login_answer: Literal["401", "envelope"] = Field(
        default="401", description="[I] answer to a wrong user or password"
    )
    history_key: Literal["timestamp", "date"] = Field(
        default="timestamp",
        description="[I] key of crmData.history.history: the event's created time, or its date",
    )
    campaign_answer: Literal["object", "id"] = Field(
        default="object",
        description="[I] data of the create-campaign response: an object with id, or the bare id",
    )
    undocumented_data: Literal["object", "true"] = Field(
        default="object",
        description="[I] data if the page leaves the response empty (update audience, update end date)",
    )
    quoting: Quoting = Field(
        default="refuse", description="[I] double quotes in a file: refused, or read as RFC 4180 quoting"
    )


START_ONLY: Final = frozenset(StartSettings.model_fields)
SECRET: Final = frozenset(name for name in START_ONLY if name.endswith(("_key", "password")))


class StartOnlySettingError(ValueError):
    """A setting that applies only at start cannot be changed."""


class SettingsStore:
    """Current settings; replaced as a whole, so that a reader never gets half a change."""

    def __init__(self, initial: SandboxSettings) -> None:
        self._initial = initial
        self._current = initial
        self._lock = threading.Lock()

    @property
    def current(self) -> SandboxSettings:
        """The current settings."""
        return self._current

    def patch(self, changes: dict[str, Any]) -> SandboxSettings:
        """Change some settings at run time.

        :raises StartOnlySettingError: a named setting applies only at start.
        :raises pydantic.ValidationError: unknown setting or value out of range; nothing was changed.
        """
        fixed = sorted(START_ONLY & changes.keys())
        if fixed:
            raise StartOnlySettingError(f"can only be set at start: {', '.join(fixed)}")
        with self._lock:
            self._current = SandboxSettings.model_validate({**self._current.model_dump(), **changes})
            return self._current

    def reset(self) -> None:
        """Return to the settings given at start."""
        with self._lock:
            self._current = self._initial

    def visible(self) -> dict[str, Any]:
        """Return all settings except passwords and secrets."""
        return self._current.model_dump(exclude=set(SECRET))
