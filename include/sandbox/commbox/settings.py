"""CommBox's settings. "[I]" marks what its pages do not say."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PendingCount = Literal["zero", "absent"]
BadPhone = Literal["ignore", "refuse"]
Duplicates = Literal["once", "each"]
EmptyFile = Literal["refuse", "accept"]
UnknownParts = Literal["refuse", "ignore"]
RetryAfter = Literal["none", "seconds", "date"]
Times = Literal["zulu", "bare"]


class CommBoxSettings(BaseModel):
    """Every knob of CommBox."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commbox_api_key: str = Field(default="sandbox-commbox-key", min_length=1, description="CommBox's API key")
    commbox_expired_api_key: str = Field(
        default="expired-commbox-key", min_length=1, description="an API key that used to be good: 401"
    )
    commbox_processing_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds until user_count shows what a file brought"
    )
    commbox_pending_count: PendingCount = Field(
        default="zero", description="[I] user_count of a new audience until then: 0, or no such field"
    )
    commbox_bad_phone: BadPhone = Field(
        default="ignore",
        description="[I] a phone1 that is not 8 to 15 digits with a country code: row ignored, or file refused",
    )
    commbox_duplicates: Duplicates = Field(
        default="once", description="[I] a phone1 that occurs again: counted once, or each time"
    )
    commbox_empty_file: EmptyFile = Field(default="refuse", description="[I] a file that leaves no customer")
    commbox_unknown_fields: UnknownParts = Field(
        default="refuse", description="[I] form fields that the page does not name"
    )
    commbox_rate_limit: int = Field(
        default=0, ge=0, description="[I] calls per minute; 0 is no limit, as the pages name no number"
    )
    commbox_retry_after: RetryAfter = Field(
        default="none", description="[I] Retry-After of a 429; the pages name none"
    )
    commbox_times: Times = Field(
        default="zulu", description="[I] times with Z as on the pages, or bare: an account option adds the Z"
    )


START_ONLY: Final = frozenset({"commbox_api_key", "commbox_expired_api_key"})
SECRET: Final = frozenset({"commbox_api_key", "commbox_expired_api_key"})
