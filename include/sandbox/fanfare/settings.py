"""Fanfare's settings. "[I]" marks the sandbox's own choices, on which the vendor's pages are silent."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

DocsGeneration = Literal["spec", "handwritten"]


class FanfareStartSettings(BaseModel):
    """Settings that apply only at start."""

    fanfare_secret_key: str = Field(
        default="sk_test_sandbox_fanfare",
        pattern=r"^sk_(test|live)_\w+$",
        description="Fanfare's secret key of the first organization",
    )
    fanfare_foreign_secret_key: str = Field(
        default="sk_test_foreign_fanfare",
        pattern=r"^sk_(test|live)_\w+$",
        description="secret key of a second organization",
    )
    fanfare_organization_id: str = Field(
        default="0b6a4c52-7f1e-4d3a-9c55-2e8f1a7d6b90",
        min_length=1,
        description="id of the first organization",
    )
    fanfare_bucket: str | None = Field(
        default=None, description="Fanfare's own bucket for imports (default: the bucket's name and -fanfare)"
    )


class FanfareSettings(BaseModel):
    """Settings that can be changed at run time."""

    fanfare_docs_generation: DocsGeneration = Field(
        default="spec", description="generation of the pages to follow if they contradict each other"
    )
    fanfare_error_shape: Literal["spec", "errors_page", "troubleshooting"] = Field(
        default="spec", description="the page on errors that gives the error bodies"
    )
    fanfare_rate_limit: int = Field(
        default=1000, ge=0, description="calls per minute and organization (Admin API: 1000)"
    )
    fanfare_retry_after: Literal["seconds", "date"] = Field(
        default="seconds", description="form of Retry-After; the page allows both"
    )
    fanfare_forbidden: str = Field(
        default="",
        description="[I] operations answered with 403, separated by commas, as the journal names them "
        "(fanfare.postAudiences)",
    )
    fanfare_empty_fields: Literal["null", "omit"] = Field(
        default="null", description="[I] optional fields without a value: null, or omitted"
    )
    fanfare_unknown_fields: Literal["refuse", "ignore"] = Field(
        default="refuse", description="[I] body fields that the page does not name"
    )
    fanfare_last_page: Literal["cursor", "null"] = Field(
        default="cursor", description="[I] endCursor of a last page that has items: a cursor, or null"
    )
    fanfare_archived_answer: Literal["404", "object"] = Field(
        default="404", description="[I] answer to the id of an archived audience; no list shows it"
    )
    fanfare_upload_url_lifetime: float = Field(
        default=900.0, gt=0, le=604800, description="[I] seconds an uploadUrl is valid, rounded up"
    )
    fanfare_pending_delay: float = Field(
        default=0.0, ge=0, description="[I] seconds an import stays PENDING after its file was detected"
    )
    fanfare_import_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds an import shows as PROCESSING"
    )
    fanfare_max_bytes: int = Field(
        default=10_000_000, ge=1, description="[I] bytes of an import file (10 MB on the page)"
    )
    fanfare_max_rows: int = Field(default=100_000, ge=1, description="data rows of an import file")
    fanfare_unknown_columns: Literal["refuse", "ignore"] = Field(
        default="refuse", description="[I] unknown columns: the import fails, or they are ignored"
    )
    fanfare_row_errors: Literal["skip", "fail"] = Field(
        default="skip", description="[I] a row with an error: skipped, or the whole import fails"
    )
    fanfare_error_limit: int = Field(
        default=1000, ge=0, description="[I] row errors listed in an import; errorCount counts all"
    )
    fanfare_refused_domains: str = Field(
        default="", description="[I] e-mail domains whose rows are errors, separated by commas"
    )
    fanfare_parallel_imports: Literal["allow", "conflict"] = Field(
        default="allow", description="[I] POST import while another one of the audience is under way: or 409"
    )
    fanfare_refresh_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds a dynamic audience is stale after a change"
    )
    fanfare_sync_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds a sync of a synced list takes"
    )
    fanfare_sync_result: Literal["SUCCESS", "FAILED"] = Field(
        default="SUCCESS", description="[I] result of syncs"
    )
