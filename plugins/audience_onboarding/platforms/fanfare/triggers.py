"""Triggers that poll Fanfare. They only send GET requests."""

from __future__ import annotations

from typing import Any

from audience_onboarding.base.triggers import PollingTrigger, PollResult
from audience_onboarding.http import is_one_of, vendor_value
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.imports import (
    FAILURE_STATUSES,
    PENDING_STATUSES,
    SUCCESS_STATUSES,
    outcome,
)
from audience_onboarding.platforms.fanfare.models import AudienceStatus, Import, SyncStatus
from audience_onboarding.timestamps import parse_iso_datetime


def poll_import(client: FanfareClient, audience_id: str, import_id: str) -> PollResult:
    """Load an import and evaluate its status."""
    job = client.find_import(audience_id, import_id)
    if job is None:
        return PollResult("not shown", f"Fanfare does not show import {import_id}")
    if is_one_of(job.status, SUCCESS_STATUSES):
        members = client.count(audience_id)
        return PollResult.success(job.status, {"import_id": job.id, "members": members, **outcome(job)})
    reason = _format_progress(job)
    if is_one_of(job.status, FAILURE_STATUSES):
        return PollResult.failure(job.status, reason)
    return PollResult(job.status, reason, known=is_one_of(job.status, PENDING_STATUSES))


def _format_progress(job: Import) -> str:
    parts = [f"import {job.id} is {job.status}"]
    if job.progress is not None:
        parts.append(f"progress {job.progress:g}")
    if job.processed_consumers is not None:
        of = "" if job.total_consumers is None else f" of {job.total_consumers:,}"
        parts.append(f"{job.processed_consumers:,}{of} consumers")
    if job.error_count:
        rows = "; ".join(f"row {error.row}: {', '.join(error.issues)}" for error in (job.errors or ())[:3])
        parts.append(f"{job.error_count:,} errors{f' ({rows})' if rows else ''}")
    return ", ".join(parts)


class _FanfareTrigger(PollingTrigger[FanfareClient]):
    hook_class = FanfareHook

    def __init__(self, *, audience_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id


class FanfareImportTrigger(_FanfareTrigger):
    """Trigger that fires when an import has finished or failed.

    Arguments in addition to those of :class:`..base.triggers.PollingTrigger`:

    :param audience_id: the audience.
    :param import_id: the import.
    """

    def __init__(self, *, import_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.import_id = import_id

    def poll(self, client: FanfareClient) -> PollResult:
        """Load the import and evaluate its status."""
        return poll_import(client, self.audience_id, self.import_id)

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments in addition to those of the base class."""
        return {"audience_id": self.audience_id, "import_id": self.import_id}


class FanfareAudienceStatusTrigger(_FanfareTrigger):
    """Trigger that fires when an audience is up to date and newer than a baseline.

    Arguments in addition to those of :class:`..base.triggers.PollingTrigger`:

    :param audience_id: the audience.
    :param baseline: earlier status, see :func:`baseline_of`; ``None`` accepts any audience that is up to date.
    """

    def __init__(self, *, baseline: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.baseline = baseline

    def poll(self, client: FanfareClient) -> PollResult:
        """Load the status and evaluate it."""
        return evaluate_status(client.status(self.audience_id), self.baseline)

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments in addition to those of the base class."""
        return {"audience_id": self.audience_id, "baseline": self.baseline}


def baseline_of(status: AudienceStatus) -> dict[str, Any]:
    """Return the fields that identify a newer status, as JSON values."""
    return status.model_dump(mode="json", include={"version", "last_synced_at", "last_refreshed_at"})


def evaluate_status(status: AudienceStatus, baseline: dict[str, Any] | None) -> PollResult:
    """Evaluate the status of an audience."""
    state = vendor_value(status.sync_status) if status.sync_status else ("stale" if status.stale else "fresh")
    if status.in_progress or status.sync_status is SyncStatus.PENDING:
        shards = "" if status.pending_shards is None else f", {status.pending_shards} shards pending"
        return PollResult(state, f"the update is in progress{shards}")
    if status.sync_status is SyncStatus.FAILED:
        return PollResult.failure(state, "the last sync failed")
    if status.sync_status not in {None, SyncStatus.SUCCESS}:
        return PollResult(state, f"its last sync is {state}", known=False)
    if status.stale:
        return PollResult(state, "it is stale")
    if baseline is not None and not _is_newer(status, baseline):
        return PollResult(state, "it is up to date, but not newer than the baseline")
    return PollResult.success(state, status.model_dump(mode="json"))


def _is_newer(status: AudienceStatus, baseline: dict[str, Any]) -> bool:
    if status.version != baseline.get("version"):
        return True
    return any(
        timestamp is not None
        and (baseline.get(name) is None or timestamp > parse_iso_datetime(baseline[name]))
        for name, timestamp in (
            ("last_synced_at", status.last_synced_at),
            ("last_refreshed_at", status.last_refreshed_at),
        )
    )
