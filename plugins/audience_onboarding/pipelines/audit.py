"""Audit of runs: one row per run in the audit table, whether the run succeeded or failed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from airflow.sdk import get_current_context, task

from audience_onboarding import __version__
from audience_onboarding.base.connections import database
from audience_onboarding.base.failure_xcom import pull_failures, push_failure
from audience_onboarding.base.links import AudiencePageLink, with_links
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.pipelines.alerts import AUDIT_TASK, alert_context, alerts_of, notify_audit_failure
from audience_onboarding.state.load_date import resolve_load_date, run_type

log = logging.getLogger(__name__)

CONFIRMED = "confirmed"
UNCHANGED = "unchanged"
SKIPPED = "skipped"
DRY_RUN = "dry_run"
FAILED = "failed"

_LOAD_FIELDS = (
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


def audit_task(definition: AudienceDefinition, *, upload: str, record: str) -> Any:
    """Return the last task of an onboarding DAG, which writes the audit row.

    It is a teardown: Airflow runs it after successes and failures, and derives the state of the run from the other
    tasks. (With ``on_failure_fail_dagrun`` this task alone would decide, and a failed load would be a success.) So its
    own failure is reported by a callback of its own.

    :param upload: id of the upload task.
    :param record: id of the task that records the load.
    """
    config = definition.audit
    if config is None:
        raise ValueError("the definition has no audit")
    notify = partial(notify_audit_failure, alerts=alerts_of(definition), about=alert_context(definition))

    @task(task_id=AUDIT_TASK, on_failure_callback=[push_failure, notify])
    @fail_on_terminal_error
    def audit() -> None:
        """Write the row of this run."""
        from audience_onboarding.storage.audit_table import write_row

        context: Any = get_current_context()
        ti = context["ti"]
        row = audit_row(
            run_record(context),
            {
                "dag_id": ti.dag_id,
                "audience_key": definition.key,
                "platform": definition.platform,
                "connection": definition.conn_id,
                "load_date": _requested_date(context, definition),
                "load_mode": context["params"]["mode"],
            },
            record=ti.xcom_pull(task_ids=record),
            load=ti.xcom_pull(task_ids=upload),
            dry_run=ti.xcom_pull(task_ids=upload, key="dry_run_report"),
            failures=pull_failures(ti),
        )
        write_row(
            database(config.conn_id, used_by="the audit"),
            row,
            table=config.table,
            label=f"connection {config.conn_id}",
            create=config.create,
        )
        log.info("The run is in %s: %s", config.table, row["outcome"])

    return with_links(audit(), AudiencePageLink(), audience_key=definition.key).as_teardown()


def run_record(context: Any, *, now: datetime | None = None) -> dict[str, Any]:
    """Return the facts about a run: trigger, start, end and duration so far.

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


def audit_row(
    run: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    record: Mapping[str, Any] | None,
    load: Mapping[str, Any] | None,
    dry_run: Mapping[str, Any] | None,
    failures: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Return the row of a run, for :func:`..storage.audit_table.write_row`.

    :param run: result of :func:`run_record`.
    :param about: ``dag_id``, ``audience_key``, ``platform``, ``connection``, and ``load_date`` and ``load_mode`` as
        requested.
    :param record: of the confirmed load, if any.
    :param load: result of the upload, if any.
    :param dry_run: report of a dry run.
    :param failures: by failed task.
    """
    facts = record or load or dry_run or {}
    # The longest message is that of the cause; other tasks fail because of it.
    task_id, failure = max(failures.items(), key=lambda item: len(item[1]["message"]), default=("", None))
    rates = facts.get("match_rates")
    record_json = json.dumps(record, sort_keys=True) if record else None
    return {
        **about,
        **{name: run[name] for name in ("run_id", "run_type", "triggered_by", "package_version")},
        **{name: facts.get(name) for name in _LOAD_FIELDS},
        "load_date": facts.get("load_date") or about["load_date"],
        "load_mode": facts.get("mode") or about["load_mode"],
        "audience_id": None if facts.get("audience_id") is None else str(facts["audience_id"]),
        "outcome": _outcome(record, dry_run, failures),
        "error": None if failure is None else failure["error"] or f"{task_id} failed",
        "error_message": None if failure is None else failure["message"] or None,
        "match_rates": json.dumps(rates, sort_keys=True) if rates else None,
        "started_at": _as_sql(run["started_at"]),
        "ended_at": _as_sql(run["ended_at"]),
        "duration_seconds": run["duration_seconds"],
        "record": record_json
        if record_json is not None and len(record_json.encode()) <= MAX_RECORD
        else None,
    }


def _outcome(
    record: Mapping[str, Any] | None, dry_run: Mapping[str, Any] | None, failures: Mapping[str, Any]
) -> str:
    if failures:
        return FAILED
    if dry_run is not None:
        return DRY_RUN
    return SKIPPED if record is None else str(record.get("outcome", CONFIRMED))


def _requested_date(context: Any, definition: AudienceDefinition) -> str | None:
    try:
        return resolve_load_date(context, timezone=definition.timezone).isoformat()
    except ConfigurationError:
        return None


def _as_sql(timestamp: str | None) -> str | None:
    """Format in UTC without a time zone: all databases parse it."""
    if timestamp is None:
        return None
    return datetime.fromisoformat(timestamp).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
