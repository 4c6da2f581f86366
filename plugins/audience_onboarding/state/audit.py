"""The audit of a run: one structured record of it, whatever became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from audience_onboarding import __version__
from audience_onboarding.state.load_date import run_type

CONFIRMED = "confirmed"
UNCHANGED = "unchanged"
SKIPPED = "skipped"
DRY_RUN = "dry_run"
FAILED = "failed"

_OF_THE_LOAD = (
    "audience_id",
    "load_date",
    "range_start",
    "rows_read",
    "rows_sent",
    "duplicates",
    "rejected",
    "s3_key",
    "content_id",
)

MAX_RECORD = 60_000
"""Bytes of the whole record as JSON; MySQL's TEXT takes 65,535."""


def run_record(context: Any, *, now: datetime | None = None) -> dict[str, Any]:
    """What is to be known of a run: what or who has started it, when, and how long it took so far.

    :param now: for tests.
    """
    dag_run = context["dag_run"]
    started = getattr(dag_run, "start_date", None)
    ended = now or datetime.now(timezone.utc)
    return {
        "run_id": context["run_id"],
        "run_type": run_type(context),
        "triggered_by": getattr(dag_run, "triggering_user_name", None),
        "started_at": started.isoformat() if started else None,
        "ended_at": ended.isoformat(timespec="seconds"),
        "duration_seconds": round((ended - started).total_seconds(), 1) if started else None,
        "package_version": __version__,
    }


def outcome_of(
    *,
    record: Mapping[str, Any] | None,
    dry_run: Mapping[str, Any] | None,
    stops: Mapping[str, Mapping[str, str]],
) -> str:
    """How a run has ended, see the constants above.

    :param record: of the confirmed load, if there is one.
    :param dry_run: what a dry run has reported.
    :param stops: by task that has failed, why.
    """
    if stops:
        return FAILED
    if dry_run is not None:
        return DRY_RUN
    return SKIPPED if record is None else str(record.get("outcome", CONFIRMED))


def audit_row(
    run: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    record: Mapping[str, Any] | None,
    load: Mapping[str, Any] | None,
    dry_run: Mapping[str, Any] | None,
    stops: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """The row of a run, for :func:`..storage.audit_table.write_row`.

    :param run: what :func:`run_record` has given.
    :param about: ``dag_id``, ``audience_key``, ``platform``, ``connection``, and ``load_date`` and ``load_mode`` as the
        run was asked for.
    :param record: of the confirmed load, if there is one.
    :param load: what the upload has returned, if it has.
    :param dry_run: what a dry run has reported.
    :param stops: by task that has failed, why.
    """
    told = record or load or dry_run or {}
    # The one that says most: others fail only because of it.
    task_id, stop = max(stops.items(), key=lambda item: len(item[1]["message"]), default=("", None))
    rates = told.get("match_rates")
    whole = json.dumps(record, sort_keys=True) if record else None
    return {
        **about,
        **{name: run[name] for name in ("run_id", "run_type", "triggered_by", "package_version")},
        **{name: told.get(name) for name in _OF_THE_LOAD},
        "load_date": told.get("load_date") or about["load_date"],
        "load_mode": told.get("mode") or about["load_mode"],
        "audience_id": None if told.get("audience_id") is None else str(told["audience_id"]),
        "outcome": outcome_of(record=record, dry_run=dry_run, stops=stops),
        "error": None if stop is None else stop["error"] or f"{task_id} failed",
        "error_message": None if stop is None else stop["message"] or None,
        "match_rates": json.dumps(rates, sort_keys=True) if rates else None,
        "started_at": _as_sql(run["started_at"]),
        "ended_at": _as_sql(run["ended_at"]),
        "duration_seconds": run["duration_seconds"],
        "record": whole if whole is not None and len(whole.encode()) <= MAX_RECORD else None,
    }


def _as_sql(moment: str | None) -> str | None:
    """In UTC, without a time zone: as text, all databases read it."""
    if moment is None:
        return None
    return datetime.fromisoformat(moment).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
