"""Settings of the sandbox: one field per command-line option, most of them changeable while it runs."""

from __future__ import annotations

import threading
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from sandbox.commbox import settings as commbox
from sandbox.commbox.settings import CommBoxSettings
from sandbox.fanfare import settings as fanfare
from sandbox.fanfare.settings import FanfareSettings

ExpiredSessionAnswer = Literal["401", "403", "redirect", "envelope"]
FailedLoginAnswer = Literal["401", "envelope"]
HistoryKey = Literal["timestamp", "date"]
CampaignAnswer = Literal["object", "id"]
UndocumentedData = Literal["object", "true"]
Quoting = Literal["refuse", "rfc4180"]


class SandboxSettings(FanfareSettings, CommBoxSettings):
    """Every knob of the sandbox.

    Fields whose description starts with "[I]" stand for something the vendor's pages do not say; the default
    is the sandbox's own choice and the README lists them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", min_length=1, description="address to bind; loopback unless told otherwise"
    )
    advertise_host: str | None = Field(
        default=None,
        description="host name written into the URLs of the ready file (default: the bound address)",
    )
    port: int = Field(default=0, ge=0, le=65535, description="port of the vendor API; 0 picks a free one")
    admin_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="second port of the API, which no fault closes, for the admin API; 0 picks a free one",
    )
    s3_port: int = Field(default=0, ge=0, le=65535, description="port of the S3 endpoint; 0 picks a free one")
    bucket: str = Field(default="audience-onboarding", min_length=3, description="bucket created at start")
    more_buckets: str = Field(
        default="",
        description="names of further buckets, with commas between them, into which no vendor looks",
    )
    region: str = Field(default="eu-west-1", min_length=1, description="region of the bucket")
    aws_access_key_id: str = Field(
        default="sandbox-access-key", min_length=1, description="the only key S3 accepts"
    )
    aws_secret_access_key: str = Field(
        default="sandbox-secret-key",
        min_length=1,
        description="secret handed out; signatures in headers are not verified, those in addresses are",
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
        default=200_000,
        ge=1,
        description="entries kept in the journal; the oldest go first, counts stay exact",
    )

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
    scan_interval: float = Field(default=0.5, gt=0, description="[I] seconds between looks into the bucket")
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
    expired_session_answer: ExpiredSessionAnswer = Field(
        default="401", description="[I] answer to a missing or expired session"
    )
    failed_login_answer: FailedLoginAnswer = Field(
        default="401", description="[I] answer to a wrong user or password"
    )
    history_key: HistoryKey = Field(
        default="timestamp",
        description="[I] key of crmData.history.history: the event's created time, or its date",
    )
    campaign_answer: CampaignAnswer = Field(
        default="object",
        description="[I] data of the create-campaign response: an object with id, or the bare id",
    )
    undocumented_data: UndocumentedData = Field(
        default="object",
        description="[I] data where the page leaves the response empty (update audience, update end date)",
    )
    quoting: Quoting = Field(
        default="refuse", description="[I] double quotes in a file: refused, or read as RFC 4180 quoting"
    )


START_ONLY: Final = frozenset(
    {
        "host",
        "advertise_host",
        "port",
        "admin_port",
        "s3_port",
        "bucket",
        "more_buckets",
        "region",
        "aws_access_key_id",
        "aws_secret_access_key",
        "username",
        "password",
        "foreign_username",
        "foreign_password",
        "journal_limit",
        *fanfare.START_ONLY,
        *commbox.START_ONLY,
    }
)
SECRET: Final = frozenset(
    {"password", "foreign_password", "aws_secret_access_key", *fanfare.SECRET, *commbox.SECRET}
)


class StartOnlySettingError(ValueError):
    """A setting was to be changed that only counts at start."""


class SettingsStore:
    """Holds the settings in force; replaced as a whole, so a reader never sees half a change."""

    def __init__(self, initial: SandboxSettings) -> None:
        self._initial = initial
        self._current = initial
        self._lock = threading.Lock()

    @property
    def current(self) -> SandboxSettings:
        """The settings in force."""
        return self._current

    def patch(self, changes: dict[str, Any]) -> SandboxSettings:
        """Change some settings at run time.

        :raises StartOnlySettingError: a named setting only counts at start.
        :raises pydantic.ValidationError: unknown setting or value out of range; nothing was changed.
        """
        fixed = sorted(START_ONLY & changes.keys())
        if fixed:
            raise StartOnlySettingError(f"can only be set at start: {', '.join(fixed)}")
        with self._lock:
            self._current = SandboxSettings.model_validate({**self._current.model_dump(), **changes})
            return self._current

    def reset(self) -> None:
        """Go back to the settings given at start."""
        with self._lock:
            self._current = self._initial

    def visible(self) -> dict[str, Any]:
        """All settings except passwords and secrets."""
        return self._current.model_dump(exclude=set(SECRET))
