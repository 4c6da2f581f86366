"""Onboarding DAG of an audience: ensure, upload, confirm, record, publish. All platforms have the same tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, CronPartitionTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base import load_events
from audience_onboarding.base.failure_xcom import push_failure
from audience_onboarding.base.links import AudiencePageLink, StoredLink, with_links
from audience_onboarding.base.load import RejectsLocation
from audience_onboarding.base.pools import connection_pool
from audience_onboarding.base.prerequisites import LoadPrerequisitesSensor
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.snapshot_diff import SnapshotLocation, confirm_snapshot
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.dag_ids import ONBOARDING_NAME
from audience_onboarding.definitions import AudienceDefinition, Schedule, SourceConfig
from audience_onboarding.pipelines.alerts import dag_arguments, notify_match_rates
from audience_onboarding.pipelines.audit import audit_task
from audience_onboarding.pipelines.common import (
    dag_tags,
    default_args,
    finalize_dag,
    flag_param,
    get_asset,
    onboarding_dag_id,
    snapshot_location,
)
from audience_onboarding.pipelines.dag_docs import documentation
from audience_onboarding.pipelines.load_record import build_load_record, format_load_record, merge_last_load
from audience_onboarding.pipelines.task_docs import ONBOARDING, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.load_date import BACKFILL, MAX_RANGE_DAYS, run_type
from audience_onboarding.state.match_rates import (
    LoadStats,
    MatchRateLimits,
    evaluate_match_rates,
    raise_if_blocked,
)
from audience_onboarding.state.store import (
    LAST_LOAD_KEY,
    StateStore,
    get_state_store,
    load_key,
    record_period,
)

log = logging.getLogger(__name__)

PREREQUISITES_TASK = "wait_for_prerequisites"
UPLOAD_TASK = "upload"
RECORD_TASK = "record_load"
RANGE_START = "{{ params.range_start or '' }}"

LAST_TASKS = {
    "confirmed": RECORD_TASK,
    "uploaded": UPLOAD_TASK,
    # The mode may differ between runs.
    "never": f"{{{{ '{RECORD_TASK}' if params.mode in {sorted(FULL_LIST_MODES)} else '' }}}}",
}
"""Task that later loads wait for, by ``upload.wait_for_earlier_loads``."""


def build_onboarding_dag(definition: AudienceDefinition, *, base: Path, auto_register: bool = True) -> DAG:
    """Build the DAG that loads one audience: scheduled, manual and backfill runs.

    :param definition: the audience.
    :param base: folder of relative paths of the source.
    :param auto_register: whether Airflow registers the DAG for the file that it parses.
    """
    asset = get_asset(definition)
    tasks = get_platform(definition.platform).tasks
    source = source_of(definition.source, base)
    snapshots = snapshot_location(definition, base)
    with DAG(
        dag_id=onboarding_dag_id(definition.key),
        auto_register=auto_register,
        dag_display_name=f"{ONBOARDING_NAME}{definition.name}",
        description=f"Load the CRM extract of {definition.name!r} into its audience",
        doc_md=documentation(definition),
        tags=dag_tags(definition, "onboarding"),
        default_args={
            **default_args(
                owner=definition.owner,
                retries=definition.retries,
                retry_delay=timedelta(seconds=definition.retry_delay_seconds),
            ),
            "on_failure_callback": push_failure,
        },
        catchup=False,
        schedule=_timetable(definition.schedule),
        **_start_and_end(definition.schedule),
        **dag_arguments(definition),
    ) as dag:
        prerequisites = LoadPrerequisitesSensor(
            task_id=PREREQUISITES_TASK,
            source=source,
            aws_conn_id=getattr(definition.upload, "aws_conn_id", "aws_default"),
            timezone=definition.timezone,
            range_start=RANGE_START,
            is_dry_run="{{ params.dry_run }}",
            wait_for_task_id=LAST_TASKS[definition.upload.wait_for_earlier_loads],
            audience_key=definition.key,
        )
        ensured = tasks.ensure_audience(definition, asset)
        upload = tasks.upload(
            definition,
            task_id=UPLOAD_TASK,
            source=source,
            columns=definition.source.columns.by_identifier(),
            profile=definition.file_profile,
            guards=definition.guards,
            rejects=_rejects(definition, base),
            snapshots=snapshots,
            audience_id=ensured.audience_id,
            mode="{{ params.mode }}",
            allow_unhashed=definition.allow_unhashed,
            memory_limit_mib=definition.upload.memory_limit_mib,
            asset=asset,
            timezone=definition.timezone,
            range_start=RANGE_START,
            overwrite="{{ params.overwrite }}",
            is_dry_run="{{ params.dry_run }}",
            ignore_guards="{{ params.ignore_guards }}",
            # A backfill ignores the DAG's max_active_runs, but not this. Deferred instances count, too, so the sensor
            # in front waits and not this task.
            max_active_tis_per_dag=1,
            pool=connection_pool(definition.conn_id),
        )
        confirmed = tasks.wait_for_confirmation(
            definition,
            upload=upload.output,
            audience_key=definition.key,
            poke_interval=definition.wait.poll_interval_seconds,
            timeout=timedelta(hours=definition.wait.timeout_hours).total_seconds(),
        )
        recorded = _record_load(definition, asset, upload, confirmed, snapshots=snapshots)
        published = _publish_load(definition, asset, recorded)

        [prerequisites, *ensured.by] >> upload
        if definition.audit is not None:
            published >> audit_task(definition, upload=UPLOAD_TASK, record=RECORD_TASK)
        set_task_docs(dag, ONBOARDING)
    return finalize_dag(dag, _form(definition))


def _record_load(
    definition: AudienceDefinition,
    asset: Any,
    upload: Any,
    confirmed: Any,
    *,
    snapshots: SnapshotLocation | None,
) -> Any:
    """Return the task that stores a confirmed load and returns its record."""
    upload_links = [
        link
        for link in upload.operator_extra_links
        if isinstance(link, StoredLink) and not isinstance(link, AudiencePageLink)
    ]
    limits: MatchRateLimits | None = getattr(definition, "match_rates", None)

    @task(task_id=RECORD_TASK, inlets=[asset], max_active_tis_per_dag=1, multiple_outputs=False)
    @fail_on_terminal_error
    def record_load(load: dict[str, Any], confirmation: dict[str, Any]) -> dict[str, Any]:
        """Store the confirmed load, and log its counts."""
        context = get_current_context()
        for link in upload_links:
            link.copy_from(context.get("task"), context["ti"], task_id=UPLOAD_TASK)
        store = get_state_store(context, asset)
        before = store.get(load_key(record_period(load), load["mode"]))
        record = build_load_record(load, confirmation, context, definition=definition, before=before)
        if limits is not None:
            record["watch"] = _check_match_rates(definition, limits, record, confirmation, context, store)
        store.set(load_key(record_period(record), record["mode"]), record)
        last = store.get(LAST_LOAD_KEY) or {}
        # A full list is the last load even if a run overwrites with an older date. Without 'overwrite', it was sent
        # before the newer one and is only confirmed after it.
        is_overwrite = record["mode"] in FULL_LIST_MODES and context["params"].get("overwrite")
        if is_overwrite or record["load_date"] >= last.get("load_date", ""):
            store.set(LAST_LOAD_KEY, merge_last_load(record, last))
        if snapshots is not None:
            confirm_snapshot(record, location=snapshots, store=store)
        log.info("%s", format_load_record(record, confirmation))
        load_events.log_event(load_events.CONFIRMED, record, audience=definition.key)
        if limits is not None:
            _report_match_rates(definition, record, context)
        return record

    outputs: Any = (upload.output, confirmed.output)
    return with_links(record_load(*outputs), *upload_links, AudiencePageLink(), audience_key=definition.key)


def _publish_load(definition: AudienceDefinition, asset: Any, recorded: Any) -> Any:
    """Return the task that emits the asset event of a load, which starts the activation."""

    @task(outlets=[asset])
    @fail_on_terminal_error
    def publish_load(record: dict[str, Any]) -> None:
        """Emit the asset event of the load."""
        context: Any = get_current_context()
        raise_if_blocked(record.get("watch"))
        is_historical = run_type(context) == BACKFILL or "range_start" in record
        if is_historical and not context["params"]["activate_on_backfill"]:
            raise AirflowSkipException(
                "A historical load starts no activation. To start it, set 'activate_on_backfill'"
            )
        events = context["outlet_events"][asset]
        events.extra = record
        # A manual run has no partition key, and an event without one triggers no partitioned DAG.
        events.add_partitions(record["load_date"])

    return with_links(publish_load(recorded), AudiencePageLink(), audience_key=definition.key)


def source_of(source: SourceConfig, base: Path) -> dict[str, Any]:
    """Return the source of a definition as an argument of operators; a run may override its path.

    :param base: folder of relative paths.
    """
    # repr() returns a valid Jinja string for every path.
    path = repr(source.resolve(base))
    return {
        **asdict(source.options(f"{{{{ params.source or {path} }}}}")),
        "own_path": f"{{{{ {path} }}}}",
        "override_folder": source.resolve_override_folder(base),
    }


def _check_match_rates(
    definition: AudienceDefinition,
    limits: MatchRateLimits,
    record: Mapping[str, Any],
    confirmation: Mapping[str, Any],
    context: Any,
    store: StateStore,
) -> dict[str, Any]:
    """Evaluate the match rates of a load.

    Only this task writes the state that the evaluation needs. ``publish_load`` fails on a violation, as it is the first
    task that a violation may block.
    """
    rows = confirmation.get("total_rows")
    stats = LoadStats(
        load_date=record["load_date"],
        is_range="range_start" in record,
        rows_sent=record["rows_sent"],
        rows=record["rows_sent"] if rows is None else rows,
        rates=get_platform(definition.platform).match_rates(confirmation),
    )
    is_ignored = bool(context["params"].get("ignore_match_rates"))
    return evaluate_match_rates(stats, limits, store=store, mode=record["mode"], is_ignored=is_ignored)


def _report_match_rates(definition: AudienceDefinition, record: Mapping[str, Any], context: Any) -> None:
    watched = record["watch"]
    for finding in watched["findings"]:
        log.warning("%s%s", "Ignored: " if watched["ignored"] else "", finding)
    # A violation that blocks the load is reported by the failure of the run.
    if watched["findings"] and not watched["stops"] and not watched["ignored"]:
        notify_match_rates(context, watched, load_date=record["load_date"], definition=definition)


def _rejects(definition: AudienceDefinition, base: Path) -> RejectsLocation | None:
    if definition.rejects is None:
        return None
    folder = definition.rejects.folder(base, definition.key)
    return RejectsLocation(folder, definition.rejects.aws_conn_id or "aws_default")


def _timetable(schedule: Schedule | None) -> CronPartitionTimetable | None:
    if schedule is None:
        return None
    return CronPartitionTimetable(schedule.cron, timezone=schedule.timezone, key_format="%Y-%m-%d")


def _start_and_end(schedule: Schedule | None) -> dict[str, Any]:
    if schedule is None:
        return {}
    timezone = pendulum.timezone(schedule.timezone)
    return {
        "start_date": datetime.combine(schedule.start, time.min, tzinfo=timezone),
        "end_date": schedule.end and datetime.combine(schedule.end, time.max, tzinfo=timezone),
    }


def _form(definition: AudienceDefinition) -> dict[str, Param]:
    form = {
        "load_date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Load date",
            description_md="Date of the extract to load. Empty: the date of the run. Leave it empty in a backfill.",
        ),
        "range_start": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Range start",
            description_md="Load all dates from this one to the load date, merged in one load: for *opt-in* and "
            f"*opt-out*, at most {MAX_RANGE_DAYS:,} days. Empty: the load date alone. Leave it empty in a backfill.",
        ),
        "mode": Param(
            definition.mode,
            type="string",
            enum=list(definition.allowed_modes),
            values_display=definition.allowed_modes,
            title="Mode",
            description_md="Effect on the members of the audience. A mode other than the definition's is for this run "
            "only.",
        ),
        "source": Param(
            None,
            type=["null", "string"],
            title="Source",
            description_md="Another file or *s3://* URL for this run, in the folder of the definition's source. "
            "*{load_date}* is replaced by the load date. Empty: the definition's source.",
        ),
        "dry_run": flag_param(
            "Dry run",
            "Create, send and write nothing. The log of *upload* shows the counts and the guards that would fail.",
        ),
        "ignore_guards": flag_param(
            "Ignore guards",
            "Send although a guard fails. Check the source first. The record of the load lists the ignored guards.",
            section="Exceptions",
        ),
        "overwrite": flag_param(
            "Overwrite",
            "Overwrite the upload of this date and mode if the content differs; without it, the task fails. Also lets "
            "*replace* and *mirror* load an older date than the last confirmed one; without it, the load is skipped.",
            section="Exceptions",
        ),
        "activate_on_backfill": flag_param(
            "Activate after backfill",
            "In a backfill, or with a date range, let each load start the activation.",
            section="Exceptions",
        ),
    }
    if getattr(definition, "match_rates", None) is not None:
        form["ignore_match_rates"] = flag_param(
            "Ignore match rates",
            "Publish the load although its match rates are outside the limits. Check the source first. The load counts "
            "for the mean of later loads.",
            section="Exceptions",
        )
    return form
