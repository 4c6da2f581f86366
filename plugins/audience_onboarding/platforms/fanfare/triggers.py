"""Waiting for Fanfare in the triggerer. Triggers only GET; they change nothing."""

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
    """Ask for an import and judge it by its status."""
    found = client.find_import(audience_id, import_id)
    if found is None:
        return PollResult("not shown", f"Fanfare does not show import {import_id}")
    if is_one_of(found.status, SUCCESS_STATUSES):
        members = client.count(audience_id)
        return PollResult.success(found.status, {"import_id": found.id, "members": members, **outcome(found)})
    reason = _words(found)
    if is_one_of(found.status, FAILURE_STATUSES):
        return PollResult.failure(found.status, reason)
    return PollResult(found.status, reason, known=is_one_of(found.status, PENDING_STATUSES))


def _words(found: Import) -> str:
    words = [f"import {found.id} is {found.status}"]
    if found.progress is not None:
        words.append(f"progress {found.progress:g}")
    if found.processed_consumers is not None:
        of = "" if found.total_consumers is None else f" of {found.total_consumers:,}"
        words.append(f"{found.processed_consumers:,}{of} consumers")
    if found.error_count:
        rows = "; ".join(f"row {error.row}: {', '.join(error.issues)}" for error in (found.errors or ())[:3])
        words.append(f"{found.error_count:,} errors{f' ({rows})' if rows else ''}")
    return ", ".join(words)


class _FanfareTrigger(PollingTrigger[FanfareClient]):
    hook_class = FanfareHook

    def __init__(self, *, audience_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id


class FanfareImportTrigger(_FanfareTrigger):
    """Fires when an import is through or has failed, or the deadline has passed.

    Arguments beside those of :class:`..base.triggers.PollingTrigger`:

    :param audience_id: which audience.
    :param import_id: which import.
    """

    def __init__(self, *, import_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.import_id = import_id

    def poll(self, client: FanfareClient) -> PollResult:
        """Ask for the import and judge it."""
        return poll_import(client, self.audience_id, self.import_id)

    def trigger_kwargs(self) -> dict[str, Any]:
        """The arguments beside those of every wait."""
        return {"audience_id": self.audience_id, "import_id": self.import_id}


class FanfareAudienceStatusTrigger(_FanfareTrigger):
    """Fires when an audience is up to date, newer than a baseline, or the deadline has passed.

    Arguments beside those of :class:`..base.triggers.PollingTrigger`:

    :param audience_id: which audience.
    :param baseline: what was there before, see :func:`baseline_of`; ``None``: any state that is up to date will do.
    """

    def __init__(self, *, baseline: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.baseline = baseline

    def poll(self, client: FanfareClient) -> PollResult:
        """Ask for the status and judge it."""
        return evaluate_status(client.status(self.audience_id), self.baseline)

    def trigger_kwargs(self) -> dict[str, Any]:
        """The arguments beside those of every wait."""
        return {"audience_id": self.audience_id, "baseline": self.baseline}


def baseline_of(status: AudienceStatus) -> dict[str, Any]:
    """What tells a later state of an audience from this one; JSON."""
    return status.model_dump(mode="json", include={"version", "last_synced_at", "last_refreshed_at"})


def evaluate_status(status: AudienceStatus, baseline: dict[str, Any] | None) -> PollResult:
    """Judge one look at an audience's status."""
    state = vendor_value(status.sync_status) if status.sync_status else ("stale" if status.stale else "fresh")
    if status.in_progress or status.sync_status is SyncStatus.PENDING:
        shards = "" if status.pending_shards is None else f", {status.pending_shards} shards to go"
        return PollResult(state, f"it is being worked on{shards}")
    if status.sync_status is SyncStatus.FAILED:
        return PollResult.failure(state, "the last sync has failed")
    if status.sync_status not in {None, SyncStatus.SUCCESS}:
        return PollResult(state, f"its last sync is {state}", known=False)
    if status.stale:
        return PollResult(state, "it is stale")
    if baseline is not None and not _is_newer(status, baseline):
        return PollResult(state, "it is up to date, but nothing is newer than before")
    return PollResult.success(state, status.model_dump(mode="json"))


def _is_newer(status: AudienceStatus, baseline: dict[str, Any]) -> bool:
    if status.version != baseline.get("version"):
        return True
    return any(
        moment is not None and (baseline.get(name) is None or moment > parse_iso_datetime(baseline[name]))
        for name, moment in (
            ("last_synced_at", status.last_synced_at),
            ("last_refreshed_at", status.last_refreshed_at),
        )
    )
