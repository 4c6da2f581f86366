"""Fanfare's settings. "[I]" marks what its pages do not say."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

DocsGeneration = Literal["spec", "handwritten"]
ErrorShape = Literal["spec", "errors_page", "troubleshooting"]
RetryAfterForm = Literal["seconds", "date"]
EmptyFields = Literal["null", "omit"]
UnknownNames = Literal["refuse", "ignore"]
LastPage = Literal["cursor", "null"]
ArchivedAnswer = Literal["404", "object"]
RowErrors = Literal["skip", "fail"]
ParallelImports = Literal["allow", "conflict"]
SyncResult = Literal["SUCCESS", "FAILED"]


class FanfareSettings(BaseModel):
    """Every knob of Fanfare."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    fanfare_docs_generation: DocsGeneration = Field(
        default="spec",
        description="which generation of the pages answers, where they contradict each other",
    )
    fanfare_error_shape: ErrorShape = Field(
        default="spec", description="which of the three pages on errors gives the error bodies"
    )
    fanfare_rate_limit: int = Field(
        default=1000, ge=0, description="calls per minute and organization (Admin API: 1000)"
    )
    fanfare_retry_after: RetryAfterForm = Field(
        default="seconds", description="form of Retry-After; the page allows both"
    )
    fanfare_forbidden: str = Field(
        default="",
        description="[I] operations answered with 403, separated by commas, as the journal names them "
        "(fanfare.postAudiences)",
    )
    fanfare_empty_fields: EmptyFields = Field(
        default="null", description="[I] optional fields without a value: null, or left out"
    )
    fanfare_unknown_fields: UnknownNames = Field(
        default="refuse", description="[I] body fields that the page does not name"
    )
    fanfare_last_page: LastPage = Field(
        default="cursor", description="[I] endCursor of a last page that has items: a cursor, or null"
    )
    fanfare_archived_answer: ArchivedAnswer = Field(
        default="404", description="[I] an archived audience asked for by its id; no list shows it"
    )
    fanfare_upload_url_lifetime: float = Field(
        default=900.0, gt=0, le=604800, description="[I] seconds an uploadUrl is valid, rounded up"
    )
    fanfare_pending_delay: float = Field(
        default=0.0, ge=0, description="[I] seconds an import stays PENDING after its file has been found"
    )
    fanfare_import_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds an import shows as PROCESSING"
    )
    fanfare_max_bytes: int = Field(
        default=10_000_000, ge=1, description="[I] bytes of an import file (the page says 10 MB)"
    )
    fanfare_max_rows: int = Field(default=100_000, ge=1, description="data rows of an import file")
    fanfare_unknown_columns: UnknownNames = Field(
        default="refuse",
        description="[I] columns that the page does not name: import fails, or they are ignored",
    )
    fanfare_row_errors: RowErrors = Field(
        default="skip", description="[I] a row with an error: left out, or the whole import fails"
    )
    fanfare_error_limit: int = Field(
        default=1000, ge=0, description="[I] row errors listed in an import; errorCount counts all"
    )
    fanfare_refused_domains: str = Field(
        default="", description="[I] e-mail domains whose rows are errors, separated by commas"
    )
    fanfare_parallel_imports: ParallelImports = Field(
        default="allow", description="[I] POST import while another one of the audience is under way: or 409"
    )
    fanfare_refresh_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds a dynamic audience is stale after a change"
    )
    fanfare_sync_delay: float = Field(
        default=1.0, ge=0, description="[I] seconds a sync of a synced list takes"
    )
    fanfare_sync_result: SyncResult = Field(default="SUCCESS", description="[I] how syncs end")


START_ONLY: Final = frozenset(
    {"fanfare_secret_key", "fanfare_foreign_secret_key", "fanfare_organization_id", "fanfare_bucket"}
)
SECRET: Final = frozenset({"fanfare_secret_key", "fanfare_foreign_secret_key"})
