"""Models of Digital Audience's answers.

Field names are the vendor's, in snake case (``audienceState`` is ``audience_state``). Fields that the pages call
optional, and all that no operation here needs, may be missing: the pages show hardly any complete answer.
Sources: the vendor's "Audience API", "Segment API" and "Organization API" pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from audience_onboarding.http import ResponseModel, UtcDateTime


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        # pydantic reads True as 1, and the vendor sometimes answers "data: true".
        raise ValueError("a boolean is not an id")
    return value


RemoteNumber = Annotated[int, Field(gt=0), BeforeValidator(_no_boolean)]
"""An id."""

_NONE_IS_EMPTY = BeforeValidator(lambda value: {} if value is None else value)


class DataSetCounts(ResponseModel):
    """Values of one data type in one upload."""

    total: int | None = Field(None, alias="TOTAL")
    unique: int | None = Field(None, alias="UNIQUE")
    match: int | None = Field(None, alias="MATCH")
    usable_match: int | None = Field(None, alias="UMATCH")
    """Matches that are usable on the platforms."""
    no_match: int | None = Field(None, alias="NOMATCH")


class HistoryEntry(ResponseModel):
    """One upload as the vendor processed it."""

    audience_id: int | None = None
    mode: str | None = None
    total_rows: int | None = None
    created: UtcDateTime | None = None
    data_set: Annotated[dict[str, DataSetCounts], _NONE_IS_EMPTY] = Field(default_factory=dict)
    """By data type, for example EMAIL, PHONE, POSTALADDRESS, SECURITYNUMBER, AAID."""
    match_rates: Annotated[dict[str, float | None], _NONE_IS_EMPTY] = Field(default_factory=dict)
    """By data type, 0.0 to 1.0."""


class CrmHistory(ResponseModel):
    """All uploads of an audience."""

    total_events: int | None = None
    history: Annotated[dict[str, HistoryEntry | list[HistoryEntry]], _NONE_IS_EMPTY] = Field(
        default_factory=dict
    )
    """By upload date. The pages do not show whether a date has one entry or a list: both are accepted."""

    def entries(self) -> Iterator[HistoryEntry]:
        """Yield all entries."""
        for value in self.history.values():
            yield from value if isinstance(value, list) else (value,)


class CrmData(ResponseModel):
    """State of the uploaded records."""

    insights_state: str | None = None
    size: int | None = None
    """Rows in the uploaded data set."""
    history: CrmHistory | None = None


class Audience(ResponseModel):
    """An audience. ``id`` is the number that also names its folder in S3."""

    id: RemoteNumber
    name: str | None = None
    description: str | None = None
    campaign_id: int | None = None
    campaign_name: str | None = None
    created: UtcDateTime | None = None
    updated: UtcDateTime | None = None
    data_updated: UtcDateTime | None = None
    """Last successful upload or refresh; ``None`` if there was none."""
    start_date: UtcDateTime | None = None
    end_date: UtcDateTime | None = None
    activation_status: str | None = None
    lifetime_status: str | None = None
    audience_state: str | None = None
    """The pages name ``NODATA`` and ``PROCESSING``, and no value for success or failure."""
    type: str | None = None
    has_segments: bool | None = None
    crm_data: CrmData | None = None

    def uploads(self) -> list[HistoryEntry]:
        """Return the uploads in the history, oldest first; those without a time come first."""
        if self.crm_data is None or self.crm_data.history is None:
            return []
        oldest = datetime.min.replace(tzinfo=timezone.utc)
        return sorted(self.crm_data.history.entries(), key=lambda entry: entry.created or oldest)


class Campaign(ResponseModel):
    """A campaign. The pages show no answer of the create call, so only the id is required."""

    id: RemoteNumber
    name: str | None = None


class Activation(ResponseModel):
    """Answer to an activation."""

    segment_id: RemoteNumber
    flow_id: str | None = None
    """GUID "for tracking or correlating"."""


class Segment(ResponseModel):
    """A segment: an audience on one platform account for a limited time.

    ``segment_id`` and ``id`` differ; operations take ``segment_id``, which the activation returns.
    """

    segment_id: int
    id: int | None = None
    name: str | None = None
    description: str | None = None
    audience_id: int | None = None
    account_id: int | None = None
    platform_id: Any = None
    active: bool | None = None
    extend: bool | None = None
    """Whether the vendor extends the segment automatically."""
    start_date: UtcDateTime | None = None
    end_date: UtcDateTime | None = None
    status: str | None = None
    """The pages name only ``Active``."""
    total_ready_count: int | None = None
    total_processing_count: int | None = None
    total_pending_count: int | None = None
    total_upload_count: int | None = None
    total_failed_count: int | None = None
    total_no_data_count: int | None = None
    total_segment_upload_count: int | None = None
    created: UtcDateTime | None = None
    updated: UtcDateTime | None = None


class PlatformAccount(ResponseModel):
    """An ad platform account of the user's organisation, without the ``accessToken`` in the vendor's answer."""

    id: int
    name: str | None = None
    platform_id: Any = None
    platform_name: str | None = None
    platform_display_name: str | None = None
    agency_name: str | None = None
    account_type_name: str | None = None
    client_id: Any = None

    @property
    def platform(self) -> str:
        """Name of the platform."""
        return str(self.platform_display_name or self.platform_name or self.platform_id or "")

    def is_on(self, platform: str) -> bool:
        """Return whether ``platform`` is one of the vendor's three names of it, ignoring case."""
        return any(
            str(name).casefold() == platform.casefold()
            for name in (self.platform_id, self.platform_name, self.platform_display_name)
            if name is not None
        )
