"""Models of the requests and answers of Fanfare's Admin API.

Field names are the vendor's, in snake case (``syncStatus`` is ``sync_status``). Sources: the vendor's API description
(api/openapi/admin-api.json) and https://docs.fanfare.io/api/admin-api/audiences. Where they contradict each other, both
are accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from audience_onboarding.crm.identifiers.normalize import (
    Rejected,
    normalize_email,
    normalize_phone,
    sha256_hex,
)
from audience_onboarding.http import ResponseModel, UtcDateTime, redacted_excerpt

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""UUID in the API description, ``aud_01HXYZ...`` on the hand-written pages."""

MAX_SHOWN_ISSUES = 5
"""Issues shown per row."""

MAX_ISSUE = 200
"""Characters shown per issue."""


class AudienceType(str, Enum):
    """How an audience gets its members."""

    STATIC_LIST = "STATIC_LIST"
    """A list that imports add to."""
    DYNAMIC = "DYNAMIC"
    """Rules select the members."""
    SYNCED_LIST = "SYNCED_LIST"
    """A list in another system."""


def _either_spelling(value: Any) -> Any:
    # The hand-written pages have STATIC.
    return AudienceType.STATIC_LIST if value == "STATIC" else value


Known: Any = Field(union_mode="left_to_right")
"""A member of the enum, or else the vendor's string: a new value on one audience must not stop the others."""


class GroupType(str, Enum):
    """How a group of audiences is built."""

    SEGMENTED_VALUE = "SEGMENTED_VALUE"
    RFM = "RFM"


class SyncStatus(str, Enum):
    """Result of the last sync of an audience."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class RuleOperator(str, Enum):
    """Comparison of a rule."""

    EQUALS = "EQUALS"
    NOT_EQUALS = "NOT_EQUALS"
    GREATER_THAN = "GREATER_THAN"
    GREATER_THAN_OR_EQUAL = "GREATER_THAN_OR_EQUAL"
    LESS_THAN = "LESS_THAN"
    LESS_THAN_OR_EQUAL = "LESS_THAN_OR_EQUAL"
    BETWEEN = "BETWEEN"
    CONTAINS = "CONTAINS"
    NOT_CONTAINS = "NOT_CONTAINS"
    IN = "IN"
    NOT_IN = "NOT_IN"
    EXISTS = "EXISTS"
    NOT_EXISTS = "NOT_EXISTS"


# --- requests -----------------------------------------------------------------------------------------------------


class _Request(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", use_enum_values=True
    )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON for the vendor: its names, and only fields that are set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class RuleDraft(_Request):
    """Rule to add."""

    field: str = Field(min_length=1)
    operator: RuleOperator
    values: tuple[str | int | float | bool | None, ...]
    group_id: str | None = None
    position: int | None = None


class SyncSourceDraft(_Request):
    """Source of a synced list; ``sync_source`` is for example ``klaviyo:list``."""

    sync_source: str = Field(min_length=1)
    sync_source_id: str = Field(min_length=1)
    source_data: Mapping[str, Any] | None = None


class AudienceChanges(_Request):
    """Body of ``PUT /audiences/{audienceId}``; fields that are not set stay unchanged."""

    name: str | None = Field(None, min_length=1)
    type: AudienceType | None = None
    description: str | None = None
    group_id: str | None = None
    group_name: str | None = None
    group_type: GroupType | None = None
    icon_name: str | None = None
    metadata: Mapping[str, Any] | None = None
    refresh_interval_seconds: float | None = None


class AudienceDraft(AudienceChanges):
    """Body of ``POST /audiences``. The page's example omits ``type``, which its schema requires."""

    name: str = Field(min_length=1)
    type: AudienceType
    primary_sync_source: SyncSourceDraft | None = None
    rules: tuple[RuleDraft, ...] | None = None


class LoyaltyTier(_Request):
    """Tier of ``POST /audiences/loyalty-tiers``."""

    name: str = Field(min_length=1)
    order: int
    start_value: float
    end_value: float | None = None
    icon_name: str | None = None


# --- answers ------------------------------------------------------------------------------------------------------


class RowError(ResponseModel):
    """Rejected row of an import, without its values."""

    row: int
    issues: tuple[str, ...] = ()

    @classmethod
    def redact(cls, value: Any) -> Any:
        """Reduce the vendor's issues, which quote the rejected values, to non-personal text."""
        if not isinstance(value, Mapping):
            return value
        issues = value.get("issues")
        issues = issues if isinstance(issues, (list, tuple)) else []
        return {"row": value.get("row"), "issues": [issue_text(item) for item in issues[:MAX_SHOWN_ISSUES]]}


def issue_text(issue: Any) -> str:
    """Return an issue of the vendor's validation as text: field and expectation, never the received value."""
    if not isinstance(issue, Mapping):
        return redacted_excerpt(issue if isinstance(issue, str) else "not accepted", MAX_ISSUE)
    path = issue.get("path")
    parts = path if isinstance(path, (list, tuple)) else [path]
    keys = [part.get("key") if isinstance(part, Mapping) else part for part in parts]
    field = ".".join(str(key) for key in keys if isinstance(key, (str, int))) or _text(issue.get("field"))
    expected = _text(issue.get("expected"))
    wanted = f"expected {expected}" if expected else _text(issue.get("type")) or _text(issue.get("kind"))
    wanted = wanted or "not accepted"
    return redacted_excerpt(f"{field}: {wanted}" if field else wanted, MAX_ISSUE)


def _text(value: Any) -> str:
    # An object may hold the whole row.
    return value if isinstance(value, str) else ""


class Import(ResponseModel):
    """One import of consumers."""

    id: Id
    audience_id: Id | None = None
    status: str
    """``PENDING``, ``PROCESSING``, ``COMPLETED`` (hand-written pages: ``SUCCESS``) or ``FAILED``."""
    progress: float | None = None
    """The pages do not state the scale."""
    processed_consumers: int | None = None
    total_consumers: int | None = None
    error_count: int | None = None
    errors: tuple[Annotated[RowError, BeforeValidator(RowError.redact)], ...] | None = None
    created_at: UtcDateTime | None = None


class ImportStarted(Import):
    """Import that waits for its file. ``upload_url`` is a secret: it grants write access."""

    upload_url: str = Field(repr=False, min_length=1)


class Rule(ResponseModel):
    """A rule of a dynamic audience."""

    id: Id
    field: str
    operator: str | None = None
    values: tuple[Any, ...] = ()
    group_id: str | None = None
    position: int | None = None


class SyncSource(ResponseModel):
    """Source of a synced list, and the result of the last sync."""

    sync_source: str
    sync_source_id: str
    last_synced_at: UtcDateTime | None = None
    sync_status: Annotated[SyncStatus | str, Known] | None = None


class Audience(ResponseModel):
    """An audience."""

    id: Id
    name: str
    type: Annotated[AudienceType | str, Known, BeforeValidator(_either_spelling)]
    organization_id: str | None = None
    archived: bool = False
    description: str | None = None
    created_at: UtcDateTime | None = None
    updated_at: UtcDateTime | None = None
    last_refreshed_at: UtcDateTime | None = None
    refresh_interval_seconds: float | None = None
    group_id: str | None = None
    group_name: str | None = None
    group_type: str | None = None
    icon_name: str | None = None
    metadata: Mapping[str, Any] | None = None
    primary_sync_source: SyncSource | None = None
    imports: tuple[Import, ...] | None = None
    rules: tuple[Rule, ...] | None = None


class AudienceCount(ResponseModel):
    """Number of members of an audience."""

    audience_id: Id | None = None
    count: int


class AudienceStatus(ResponseModel):
    """Whether an audience is up to date."""

    audience_id: Id | None = None
    version: int | str | None = None
    stale: bool
    in_progress: bool
    last_refreshed_at: UtcDateTime | None = None
    last_synced_at: UtcDateTime | None = None
    pending_shards: int | None = None
    refresh_interval_seconds: float | None = None
    sync_status: Annotated[SyncStatus | str, Known] | None = None


class SyncStarted(ResponseModel):
    """Answer of ``POST /audiences/{audienceId}/sync``."""

    success: bool
    sync_source_id: str | None = None
    status: str | None = None


class Member(ResponseModel):
    """Member of an audience, without the name, address, phone and verification code that the vendor sends."""

    id: Id


class LoyaltyTiers(ResponseModel):
    """Answer of ``POST /audiences/loyalty-tiers``."""

    tier_group: Any = None
    audiences: tuple[Audience, ...] = ()


def _hash_of(normalized: str | Rejected) -> str | None:
    return sha256_hex(normalized) if isinstance(normalized, str) else None


def _text_only(value: Any) -> Any:
    # A value that is not a string is no address or number; it must not make the answer invalid.
    return value if isinstance(value, str) else None


class MemberContact(ResponseModel):
    """Identifiers of a member, for comparison only; never stored or shown."""

    email: Annotated[str | None, BeforeValidator(_text_only)] = Field(None, repr=False)
    phone: Annotated[str | None, BeforeValidator(_text_only)] = Field(None, repr=False)

    def is_one_of(self, emails: Collection[str], phones: Collection[str]) -> bool:
        """Return whether one of its hashes is in these collections of lower-case hashes."""
        return (bool(self.email) and _hash_of(normalize_email(self.email or "")) in emails) or (
            bool(self.phone) and _hash_of(normalize_phone(self.phone or "")) in phones
        )


class PageInfo(ResponseModel):
    """Cursors of a page; the vendor has no ``hasNextPage``."""

    start_cursor: str | None = None
    end_cursor: str | None = None
