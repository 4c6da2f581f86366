"""The onboarding DAG of an audience: ensure, upload, wait, record, publish. The same shape on every platform."""

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

from audience_onboarding.base import load_events as events
from audience_onboarding.base.failure_xcom import push_failure
from audience_onboarding.base.links import AudiencePageLink, StoredLink, with_links
from audience_onboarding.base.load import RejectsLocation
from audience_onboarding.base.pools import connection_pool
from audience_onboarding.base.prerequisites import LoadPrerequisitesSensor
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.snapshot_diff import confirm_snapshot
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.dag_ids import ONBOARDING_NAME
from audience_onboarding.definitions import AudienceDefinition, Schedule, SourceConfig
from audience_onboarding.pipelines.alerts import dag_arguments, notify_match_rates
from audience_onboarding.pipelines.audit import audit_task
from audience_onboarding.pipelines.common import (
    dag_tags,
    default_args,
    finalize_dag,
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

LAST_TASKS = {
    "confirmed": RECORD_TASK,
    "uploaded": UPLOAD_TASK,
    # One run may have a mode of its own.
    "never": f"{{{{ '{RECORD_TASK}' if params.mode in {sorted(FULL_LIST_MODES)} else '' }}}}",
}
"""The task that later loads wait for, by what they wait for."""


def build_onboarding_dag(definition: AudienceDefinition, *, base: Path, auto_register: bool = True) -> DAG:
    """The DAG that loads one audience, by schedule, by hand and by backfill.

    :param definition: the audience.
    :param base: what a relative path of the source counts from.
    :param auto_register: whether Airflow takes the DAG for one of the file that is being parsed.
    """
    asset = get_asset(definition)
    platform = get_platform(definition.platform)
    snapshots = snapshot_location(definition, base)
    limits: MatchRateLimits | None = getattr(definition, "match_rates", None)
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
        start_date=_first_moment(definition.schedule),
        end_date=_last_moment(definition.schedule),
        **dag_arguments(definition),
    ) as dag:
        source = source_of(definition.source, base)
        range_start = "{{ params.range_start or '' }}"
        prerequisites = LoadPrerequisitesSensor(
            task_id=PREREQUISITES_TASK,
            source=source,
            aws_conn_id=getattr(definition.upload, "aws_conn_id", "aws_default"),
            timezone=definition.timezone,
            range_start=range_start,
            is_dry_run="{{ params.dry_run }}",
            wait_for_task_id=LAST_TASKS[definition.upload.wait_for_earlier_loads],
            audience_key=definition.key,
        )
        ensured = platform.tasks.ensure_audience(definition, asset)
        upload = platform.tasks.upload(
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
            range_start=range_start,
            overwrite="{{ params.overwrite }}",
            is_dry_run="{{ params.dry_run }}",
            ignore_guards="{{ params.ignore_guards }}",
            # A backfill ignores the DAG's max_active_runs, but not this. Deferred instances count, too, so the sensor
            # in front waits and not this task.
            max_active_tis_per_dag=1,
            pool=connection_pool(definition.conn_id),
        )
        [prerequisites, *ensured.by] >> upload
        upload_links = [
            link
            for link in upload.operator_extra_links
            if isinstance(link, StoredLink) and not isinstance(link, AudiencePageLink)
        ]
        ready = platform.tasks.wait_for_confirmation(
            definition,
            upload=upload.output,
            audience_key=definition.key,
            poke_interval=definition.wait.poll_interval_seconds,
            timeout=timedelta(hours=definition.wait.timeout_hours).total_seconds(),
        )

        @task(task_id=RECORD_TASK, inlets=[asset], max_active_tis_per_dag=1, multiple_outputs=False)
        @fail_on_terminal_error
        def record_load(load: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
            """Remember the confirmed load, and show what came of it."""
            context = get_current_context()
            for link in upload_links:
                link.copy_from(context.get("task"), context["ti"], task_id=UPLOAD_TASK)
            store = get_state_store(context, asset)
            before = store.get(load_key(record_period(load), load["mode"]))
            record = build_load_record(
                load, seen, context, definition=definition, before=before, more=platform.record_fields
            )
            if limits is not None:
                record["watch"] = _watch(definition, limits, record, seen, context, store)
            store.set(load_key(record_period(record), record["mode"]), record)
            last = store.get(LAST_LOAD_KEY) or {}
            # What has replaced everything is the last load, also where a run went back to an older day on purpose.
            # Without that purpose, it was sent before the newer one, and is only confirmed after it.
            went_back = record["mode"] in FULL_LIST_MODES and context["params"].get("overwrite")
            if went_back or record["load_date"] >= last.get("load_date", ""):
                store.set(LAST_LOAD_KEY, merge_last_load(record, last))
            if snapshots is not None:
                confirm_snapshot(record, location=snapshots, store=store)
            log.info("%s", format_load_record(record, seen))
            events.log_event(events.CONFIRMED, record, audience=definition.key)
            if limits is not None:
                _tell_watched(definition, record, context)
            return record

        @task(outlets=[asset])
        @fail_on_terminal_error
        def publish_load(record: dict[str, Any]) -> None:
            """Publish the load as an event of the audience's asset, which starts the activation."""
            context: Any = get_current_context()
            raise_if_blocked(record.get("watch"))
            is_historical = run_type(context) == BACKFILL or "range_start" in record
            if is_historical and not context["params"]["activate_on_backfill"]:
                raise AirflowSkipException(
                    "A historical load starts no activation. To have it do so, set 'activate_on_backfill'"
                )
            events = context["outlet_events"][asset]
            events.extra = record
            # A manual run has no partition key of its own, and without one nobody hears of the event.
            events.add_partitions(record["load_date"])

        # TaskFlow takes outputs of tasks where the functions name what these will be.
        outputs: Any = (upload.output, ready.output)
        recorded: Any = with_links(
            record_load(*outputs), *upload_links, AudiencePageLink(), audience_key=definition.key
        )
        published = with_links(publish_load(recorded), AudiencePageLink(), audience_key=definition.key)
        if definition.audit is not None:
            published >> audit_task(definition, upload=UPLOAD_TASK, record=RECORD_TASK)
        set_task_docs(dag, ONBOARDING)
    return finalize_dag(dag, _form(definition))


def source_of(source: SourceConfig, base: Path) -> dict[str, Any]:
    """Return the source of a definition as an argument of operators, a run's own path first.

    :param base: folder of relative paths.
    """
    # repr() makes it a Jinja string, whatever the path holds.
    return asdict(source.options(f"{{{{ params.source or {source.resolve(base)!r} }}}}"))


def _watch(
    definition: AudienceDefinition,
    limits: MatchRateLimits,
    record: Mapping[str, Any],
    seen: Mapping[str, Any],
    context: Any,
    store: StateStore,
) -> dict[str, Any]:
    """Judge the match rates of a load. Here, as it needs the memory that this task alone writes; what comes of it is
    up to ``publish_load``, the first task that a load may be kept from."""
    rows = seen.get("total_rows")
    judged = LoadStats(
        load_date=record["load_date"],
        is_range="range_start" in record,
        rows_sent=record["rows_sent"],
        rows=record["rows_sent"] if rows is None else rows,
        rates=get_platform(definition.platform).match_rates(seen),
    )
    is_ignored = bool(context["params"].get("ignore_match_rates"))
    return evaluate_match_rates(judged, limits, store=store, mode=record["mode"], is_ignored=is_ignored)


def _tell_watched(definition: AudienceDefinition, record: Mapping[str, Any], context: Any) -> None:
    watched = record["watch"]
    for finding in watched["findings"]:
        log.warning("%s%s", "Ignored: " if watched["ignored"] else "", finding)
    # What is stopped is told when the run has failed of it.
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


def _first_moment(schedule: Schedule | None) -> datetime | None:
    if schedule is None:
        return None
    return datetime.combine(schedule.start, time.min, tzinfo=pendulum.timezone(schedule.timezone))


def _last_moment(schedule: Schedule | None) -> datetime | None:
    if schedule is None or schedule.end is None:
        return None
    return datetime.combine(schedule.end, time.max, tzinfo=pendulum.timezone(schedule.timezone))


def _form(definition: AudienceDefinition) -> dict[str, Param]:
    form = {
        "load_date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Load date",
            description_md="Which day's extract to load. Empty: the day of the run. Leave it empty in a backfill.",
        ),
        "range_start": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Range start",
            description_md="Load all days from this one to the load date, merged in one load: for *opt-in* and "
            f"*opt-out*, at most {MAX_RANGE_DAYS:,} days. Empty: the load date alone. Leave it empty in a backfill.",
        ),
        "mode": Param(
            definition.mode,
            type="string",
            enum=list(definition.allowed_modes),
            values_display=definition.allowed_modes,
            title="Mode",
            description_md="What becomes of the audience's members. Another one than the definition's is for this "
            "run alone.",
        ),
        "source": Param(
            None,
            type=["null", "string"],
            title="Source",
            description_md="Another file or *s3://* URL for this run, read as the definition says. *{load_date}* "
            "stands for the load date. Empty: the definition's.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Do everything but create, send and write: the log of *upload* shows the counts, and which "
            "guards would stop the load.",
        ),
        "ignore_guards": Param(
            False,
            type="boolean",
            title="Ignore guards",
            description_md="Send although a guard says no: for somebody who has looked into the source. What was "
            "ignored is kept in the record of the load.",
            section="Exceptions",
        ),
        "overwrite": Param(
            False,
            type="boolean",
            title="Overwrite",
            description_md="Overwrite what was sent for this day and mode, if the content differs; without it, that "
            "is an error. Also lets *replace* and *mirror* go back to an older day than the last confirmed one, which "
            "is skipped otherwise.",
            section="Exceptions",
        ),
        "activate_on_backfill": Param(
            False,
            type="boolean",
            title="Activate after backfill",
            description_md="In a backfill, or with a range of days, let each load start the activation.",
            section="Exceptions",
        ),
    }
    if getattr(definition, "match_rates", None) is not None:
        form["ignore_match_rates"] = Param(
            False,
            type="boolean",
            title="Ignore match rates",
            description_md="Let the load through although its match rates are outside the limits: for somebody who has "
            "looked into the source. It counts for the mean of later loads.",
            section="Exceptions",
        )
    return form
