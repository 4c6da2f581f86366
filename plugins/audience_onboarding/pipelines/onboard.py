"""The onboarding DAG of an audience: ensure, upload, wait, record, publish. The same shape on every platform."""

from __future__ import annotations

import logging
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, CronPartitionTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base.comparing import StateFolder, confirm_snapshot
from audience_onboarding.base.onboarding import Rejects
from audience_onboarding.base.turn import WaitForTurnOperator
from audience_onboarding.crm.guards import WHOLE_LIST
from audience_onboarding.definitions import AudienceDefinition, Schedule, Source
from audience_onboarding.orchestration.history import MAX_HISTORY_DAYS
from audience_onboarding.orchestration.load_date import BACKFILL, run_type
from audience_onboarding.orchestration.memory import (
    LAST_LOAD_KEY,
    LAST_OF_A_DAY,
    days_of,
    load_key,
    memory_of,
)
from audience_onboarding.orchestration.pools import connection_pool
from audience_onboarding.pipelines.common import (
    asset_of,
    default_args,
    onboarding_dag_id,
    tags_of,
)
from audience_onboarding.platforms import part_of

log = logging.getLogger(__name__)

KEPT_IF_KNOWN = (
    "history_from",
    "days_missing",
    "invalid_values",
    "hash_mismatches",
    "files",
    "ignored_columns",
    "rejects_file",
    "guards",
    "changes",
    "members",
    "snapshot",
    "s3_keys",
    "same_day_files",
)
"""What the record of a load keeps as well; a task that ran before an update may not have said it."""

TURN_TASK = "wait_for_turn"
UPLOAD_TASK = "upload"
RECORD_TASK = "record_load"

LAST_TASKS = {"confirmed": RECORD_TASK, "uploaded": UPLOAD_TASK}
"""The task that later loads wait for, by what they wait for."""


def build_onboarding_dag(definition: AudienceDefinition, *, base: Path, auto_register: bool = True) -> DAG:
    """The DAG that loads one audience, by schedule, by hand and by backfill.

    :param definition: the audience.
    :param base: what a relative path of the source counts from.
    :param auto_register: whether Airflow takes the DAG for one of the file that is being parsed.
    """
    asset = asset_of(definition)
    steps = part_of(definition.platform, "steps")
    state = _state(definition, base)
    with DAG(
        dag_id=onboarding_dag_id(definition.key),
        auto_register=auto_register,
        dag_display_name=f"Onboard: {definition.name}",
        description=f"Load the CRM extract of {definition.name!r} into its audience",
        doc_md=_documentation(definition),
        tags=tags_of(definition, "onboarding"),
        default_args=default_args(
            owner=definition.owner,
            retries=definition.retries,
            retry_delay=timedelta(seconds=definition.retry_delay_seconds),
        ),
        catchup=False,
        params=_form(definition),
        schedule=_timetable(definition.schedule),
        start_date=_first_moment(definition.schedule),
        end_date=_last_moment(definition.schedule),
    ) as dag:
        source = source_of(definition.source, base)
        history_from = "{{ params.history_from or '' }}"
        turn = WaitForTurnOperator(
            task_id=TURN_TASK,
            source=source,
            aws_conn_id=getattr(definition.upload, "aws_connection", "aws_default"),
            timezone=definition.timezone,
            history_from=history_from,
            is_dry_run="{{ params.dry_run }}",
            in_order_of=LAST_TASKS[definition.upload.wait_for_earlier_loads],
        )
        upload = steps.send(
            definition,
            task_id=UPLOAD_TASK,
            source=source,
            columns=definition.source.columns.by_identifier(),
            profile=definition.file_profile,
            guards=definition.guards.guards(),
            rejects=_rejects(definition, base),
            state=state,
            audience_id=steps.ensure(definition, asset),
            mode="{{ params.mode }}",
            allow_raw=definition.allow_raw,
            memory_limit_mib=definition.upload.memory_limit_mib,
            asset=asset,
            timezone=definition.timezone,
            history_from=history_from,
            supersede="{{ params.supersede }}",
            is_dry_run="{{ params.dry_run }}",
            ignore_guards="{{ params.ignore_guards }}",
            # A backfill ignores the DAG's max_active_runs, but not this. What waits in the triggerer counts, too, so
            # that it waits for its turn in a task of its own.
            max_active_tis_per_dag=1,
            pool=connection_pool(definition.connection),
        )
        turn >> upload
        ready = steps.wait(
            definition,
            upload=upload.output,
            poke_interval=definition.wait.poll_seconds,
            timeout=timedelta(hours=definition.wait.timeout_hours).total_seconds(),
        )

        @task(task_id=RECORD_TASK, inlets=[asset], max_active_tis_per_dag=1, multiple_outputs=False)
        def record_load(load: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
            """Remember the confirmed load, and show what came of it."""
            context = get_current_context()
            record = _record(load, seen, context, more=steps.RECORDED)
            memory = memory_of(context, asset)
            memory.set(load_key(days_of(record), record["mode"]), record)
            last = memory.get(LAST_LOAD_KEY) or {}
            # What has replaced everything is the last load, also where a run went back to an older day on purpose.
            if record["mode"] in WHOLE_LIST or record["load_date"] >= last.get("load_date", ""):
                memory.set(LAST_LOAD_KEY, _last_load(record, last))
            if state is not None:
                confirm_snapshot(record, state=state, memory=memory)
            log.info("%s", _report(record, seen))
            return record

        @task(task_id="publish", outlets=[asset])
        def publish(record: dict[str, Any]) -> None:
            """Publish the load as an event of the audience's asset, which starts the activation."""
            context: Any = get_current_context()
            is_historical = run_type(context) == BACKFILL or "history_from" in record
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
        recorded: Any = record_load(*outputs)
        publish(recorded)
    return dag


def source_of(source: Source, base: Path) -> dict[str, Any]:
    """The source of a definition, as the operators take it.

    :param base: what a relative path counts from.
    """
    return {
        # repr() makes it a Jinja string, whatever the path holds.
        "path": f"{{{{ params.source or {source.resolve(base)!r} }}}}",
        "query": source.query or "",
        "conn_id": source.connection,
        "format": source.format,
        "delimiter": source.delimiter,
        "encoding": source.encoding,
        "quote": source.quote,
        "sheet": source.sheet,
        "country": source.country,
        "aws_conn_id": source.aws_connection,
        "if_missing": source.if_missing,
        "wait_timeout": timedelta(hours=source.wait_hours).total_seconds(),
        "poll_interval": source.poll_seconds,
    }


def _rejects(definition: AudienceDefinition, base: Path) -> Rejects | None:
    if definition.rejects is None:
        return None
    folder = definition.rejects.folder(base, definition.key)
    return Rejects(folder, definition.rejects.aws_connection or "aws_default")


def _state(definition: AudienceDefinition, base: Path) -> StateFolder | None:
    if definition.state is None:
        return None
    folder = definition.state.folder(base, definition.key)
    return StateFolder(folder, definition.state.aws_connection or "aws_default", definition.state.keep)


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
    return {
        "load_date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Load date",
            description_md="Which day's extract to load. Empty: the day of the run. Leave it empty in a backfill.",
        ),
        "history_from": Param(
            None,
            type=["null", "string"],
            format="date",
            title="First day of a range",
            description_md="Load all days from this one to the load date, merged in one load: for *opt-in* and "
            f"*opt-out*, at most {MAX_HISTORY_DAYS:,} days. Empty: the load date alone. Leave it empty in a backfill.",
        ),
        "mode": Param(
            definition.mode,
            type="string",
            enum=list(definition.allowed_modes),
            values_display=definition.allowed_modes,
            title="Mode",
        ),
        "source": Param(
            None,
            type=["null", "string"],
            title="Source",
            description_md="Another file or `s3://` URL for this run, read as the definition says. `{load_date}` "
            "stands for the load date. Empty: the definition's.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Do everything but create, send and write: the log of `upload` shows the counts, and which "
            "guards would stop the load.",
        ),
        "ignore_guards": Param(
            False,
            type="boolean",
            title="Ignore guards",
            description_md="Send although a guard says no: for somebody who has looked into the source. What was "
            "ignored is kept in the record of the load.",
        ),
        "supersede": Param(
            False,
            type="boolean",
            title="Supersede",
            description_md="Overwrite what was sent for this day and mode, if the content differs; without it, that "
            "is an error. Also lets *replace* and *mirror* go back to an older day than the last confirmed one, which "
            "is skipped otherwise.",
        ),
        "activate_on_backfill": Param(
            False,
            type="boolean",
            title="Activate on a historical load",
            description_md="In a backfill, or with a range of days, let each load start the activation.",
        ),
    }


def _last_load(record: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What is kept as the last load. A range of days says nothing about how long the list of a day should be, so what
    the guards compare those with goes along with it."""
    if "history_from" not in record:
        return record
    of_a_day: dict[str, Any] = (before.get(LAST_OF_A_DAY) if before.get("history_from") else before) or {}
    kept = {name: of_a_day[name] for name in ("load_date", "mode", "rows_sent") if name in of_a_day}
    return {**record, LAST_OF_A_DAY: kept} if kept else record


def _record(
    load: dict[str, Any], seen: dict[str, Any], context: Any, *, more: tuple[str, ...]
) -> dict[str, Any]:
    kept = (
        "audience_id",
        "load_date",
        "mode",
        *more,
        "content_id",
        "rows_read",
        "rows_sent",
        "duplicates",
        "rejected",
        "rejected_by_reason",
    )
    return {
        **{name: load[name] for name in kept},
        **{name: load[name] for name in KEPT_IF_KNOWN if load.get(name) is not None},
        **seen,
        "run_id": context["run_id"],
        "run_type": run_type(context),
    }


def _report(record: dict[str, Any], seen: dict[str, Any]) -> str:
    lines = [
        f"Load {days_of(record)} ({record['mode']}) of audience {record['audience_id']} is confirmed",
        f"  rows read   {record['rows_read']:>10,}",
        f"  sent        {record['rows_sent']:>10,}",
        f"  duplicates  {record['duplicates']:>10,}",
        f"  rejected    {record['rejected']:>10,}",
        *(f"    {reason}: {count:,}" for reason, count in sorted(record["rejected_by_reason"].items())),
        *([f"  days without a source {record['days_missing']:,}"] if record.get("days_missing") else []),
        *([f"  rejects are listed in {record['rejects_file']}"] if record.get("rejects_file") else []),
        *(f"  {name:<12}{count:>10,}" for name, count in record.get("changes", {}).items()),
        *(f"  another file was put on the same day: {key}" for key in record.get("same_day_files", [])),
        *(f"  ignored: {failed}" for failed in record.get("guards", {}).get("failed", [])),
        *(
            f"  match rate {name}: {'unknown' if rate is None else f'{rate:.1%}'}"
            for name, rate in sorted(record.get("match_rates", {}).items())
        ),
        *(
            f"  {name.replace('_', ' ')}: {value}"
            for name, value in seen.items()
            if name != "audience_id" and isinstance(value, (int, str))
        ),
    ]
    return "\n".join(lines)


def _documentation(definition: AudienceDefinition) -> str:
    schedule = definition.schedule
    when = f"`{schedule.cron}` ({schedule.timezone})" if schedule else "by hand only"
    columns = ", ".join(
        f"{name} from *{column}*"
        if isinstance(column, str)
        else f"{name} from *{column.name}* (hashed already)"
        for name, column in definition.source.columns.by_identifier().items()
    )
    if definition.allow_raw:
        treatment = "normalised and, as far as this platform wants it, **sent as they are**, which `allow_raw` permits"
    else:
        treatment = "normalised and hashed before anything leaves this machine"
    return f"""\
### {definition.name}
{definition.description or ""}

| | |
|---|---|
| platform | {definition.platform}, connection `{definition.connection}` |
| source | `{definition.source.label}` |
| identifiers | {columns}; {treatment} |
| mode | {definition.mode} |
| schedule | {when} |
| owner | {definition.owner} |

Made from `include/audiences/{definition.key}.yaml`. A re-run of a day sends nothing if the extract is unchanged,
and stops with `UploadConflictError` if it is not, unless *Supersede* is ticked. A list whose numbers look wrong stops
with `GuardError` before anything is sent, unless *Ignore guards* is ticked.
"""
