"""CommBox's settings. "[I]" marks the sandbox's own choices, on which the vendor's pages are silent."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class CommBoxStartSettings(BaseModel):
    """Settings that apply only at start."""

    commbox_api_key: str = Field(default="sandbox-commbox-key", min_length=1, description="CommBox's API key")
    commbox_expired_api_key: str = Field(
        default="expired-commbox-key", min_length=1, description="an API key that has expired: 401"
    )


class CommBoxSettings(BaseModel):
    """Settings that can be changed at run time."""

    commbox_processing_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds until user_count reflects a file"
    )
    commbox_pending_count: Literal["zero", "absent"] = Field(
        default="zero", description="[I] user_count of a new audience until then: 0, or no such field"
    )
    commbox_bad_phone: Literal["ignore", "refuse"] = Field(
        default="ignore",
        description="[I] a phone1 that is not 8 to 15 digits with a country code: row ignored, or file refused",
    )
    commbox_duplicates: Literal["once", "each"] = Field(
        default="once", description="[I] a repeated phone1: counted once, or each time"
    )
    commbox_empty_file: Literal["refuse", "accept"] = Field(
        default="refuse", description="[I] a file without a valid customer"
    )
    commbox_unknown_fields: Literal["refuse", "ignore"] = Field(
        default="refuse", description="[I] form fields that the page does not name"
    )
    commbox_rate_limit: int = Field(
        default=0, ge=0, description="[I] calls per minute; 0 is no limit, as the pages name no number"
    )
    commbox_retry_after: Literal["none", "seconds", "date"] = Field(
        default="none", description="[I] Retry-After of a 429; the pages name none"
    )
    commbox_times: Literal["zulu", "bare"] = Field(
        default="zulu", description="[I] times with Z as on the pages, or bare: an account option adds the Z"
    )
