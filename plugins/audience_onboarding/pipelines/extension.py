"""Maintenance DAGs of end dates: one extends segments that end soon, one sets an end date manually."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta, timezone
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.links import AudiencePageLink, AudiencesPageLink, with_links
from audience_onboarding.base.retry_policy import fail_on_terminal_error, to_fail_exception
from audience_onboarding.exceptions import ConfigurationError, MaintenanceIncompleteError, TerminalError
from audience_onboarding.pipelines.common import (
    EXTENSION_DAG_ID,
    SET_END_DATE_DAG_ID,
    audience_param,
    choices_schema,
    find_definition,
    flag_param,
    format_table,
    get_asset,
    is_retired,
    optional_audience_param,
    persist_page_link,
    select_pool,
    shared_dag_arguments,
)
from audience_onboarding.pipelines.task_docs import EXTENSION, EXTENSION_FORM, set_task_docs
from audience_onboarding.platforms.digital_audience.activation_targets import ResolvedTarget, resolve_target
from audience_onboarding.platforms.digital_audience.definition import (
    ActivationTarget,
    DigitalAudienceDefinition,
    ExtensionConfig,
)
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.models import Segment
from audience_onboarding.platforms.digital_audience.segment_operators import (
    DigitalAudienceExtendSegmentEndDateOperator,
    move_end_date,
)
from audience_onboarding.state.create_once import get_audience_id
from audience_onboarding.state.load_date import parse_load_date
from audience_onboarding.state.remote_ids import parse_int_id
from audience_onboarding.state.store import get_state_store

log = logging.getLogger(__name__)

ERRORS_KEY = "errors"
"""XCom key of the errors of audiences and targets whose segments were not checked."""
CHECKED_SEGMENTS_KEY = "checked_segments"
"""XCom key of all segments of the targets, each with its decision."""

EXTEND = "extend"
UNCHANGED = "unchanged"
EXPIRED = "expired"

_OVERRIDES = "Overrides of the definition"


def build_extension_dag(definitions: Sequence[DigitalAudienceDefinition]) -> DAG:
    """Build the DAG that extends the segments of audiences with ``activation.extend``, daily or manually.

    :param definitions: all definitions of the platform.
    """
    extended = [item for item in definitions if item.activation and item.activation.extend]
    with DAG(
        dag_id=EXTENSION_DAG_ID,
        dag_display_name="Extend segment end dates",
        description="Move the end date of segments that end soon",
        schedule="0 6 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        max_active_runs=1,
        params={
            "audience": optional_audience_param(item.key for item in extended),
            "within_days": Param(
                None,
                type=["null", "integer"],
                minimum=0,
                title="Within days",
                description_md="Extend segments that end within this number of days. Empty: the definition's.",
                section=_OVERRIDES,
            ),
            "days": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Days",
                description_md="New end date, in days from now, but never after the target's *until*. Empty: the "
                "definition's.",
                section=_OVERRIDES,
            ),
        },
        **shared_dag_arguments(_EXTENSION_DOCUMENTATION, tag="maintenance"),
    ) as dag:

        @task(inlets=[get_asset(item) for item in extended], pool=select_pool(extended))
        @fail_on_terminal_error
        def find_segments() -> list[dict[str, Any]]:
            """Return the segments to extend, as arguments of the operator."""
            return _find_segments(extended, get_current_context())

        # It runs after failures, too, and so has to fail itself: the last task decides about the run.
        @task(trigger_rule="all_done")
        @fail_on_terminal_error
        def report() -> list[dict[str, Any]]:
            """Return the result of each segment, and fail if an audience or a segment failed."""
            return _report(get_current_context()["ti"])

        segments: Any = with_links(find_segments(), AudiencesPageLink())
        extension = DigitalAudienceExtendSegmentEndDateOperator.partial(
            task_id="extend", map_index_template="{{ task.segment_name }}", pool=select_pool(extended)
        ).expand_kwargs(segments)
        [segments, extension] >> with_links(report(), AudiencesPageLink())
        set_task_docs(dag, EXTENSION)
    return dag


def _find_segments(definitions: Iterable[DigitalAudienceDefinition], context: Any) -> list[dict[str, Any]]:
    requested = context["params"]["audience"]
    checked: list[dict[str, Any]] = []
    errors: list[str] = []
    conn_ids = {}
    for definition in definitions:
        if requested in (None, definition.key):
            conn_ids[definition.key] = definition.conn_id
            try:
                checked += _check_segments(definition, context, errors)
            except TerminalError as error:
                errors.append(f"{definition.key}: {error.labelled_message()}")
    to_extend = [
        {
            "segment_id": item["segment_id"],
            "segment_name": item["segment"],
            "new_end_date": item["to"],
            "audience_key": item["audience"],
            "digital_audience_conn_id": conn_ids[item["audience"]],
        }
        for item in checked
        if item["outcome"] == EXTEND
    ]
    context["ti"].xcom_push(key=ERRORS_KEY, value=errors)
    context["ti"].xcom_push(key=CHECKED_SEGMENTS_KEY, value=checked)
    log.info("%s segments to extend, %s errors", len(to_extend), len(errors))
    return to_extend


def _report(ti: Any) -> list[dict[str, Any]]:
    checked = ti.xcom_pull(task_ids="find_segments", key=CHECKED_SEGMENTS_KEY)
    if checked is None:
        raise to_fail_exception(
            MaintenanceIncompleteError(
                what="No segment was checked",
                why="find_segments has failed",
                next_step="Fix the error in its log, and clear find_segments",
            )
        )
    moves: dict[int, dict[str, Any]] = {}
    for index in range(sum(item["outcome"] == EXTEND for item in checked)):
        move = ti.xcom_pull(task_ids="extend", map_indexes=index)
        if move:
            moves[move["segment_id"]] = move
    rows = [_with_result(item, moves.get(item["segment_id"])) for item in checked]
    errors = ti.xcom_pull(task_ids="find_segments", key=ERRORS_KEY) or []
    log.info("%s", format_table(rows, none="No segments"))
    for error in errors:
        log.error("%s", error)
    # Before the failure, which returns no value.
    ti.xcom_push(key="report", value=rows)
    if errors:
        # find_segments has succeeded, so that the other segments are extended; it has to run again.
        raise AirflowFailException(f"{' | '.join(errors)} | Fix the cause, and clear find_segments")
    if failed := [row["segment"] for row in rows if row["outcome"] == "failed"]:
        raise to_fail_exception(
            MaintenanceIncompleteError(
                what=f"Not extended: {', '.join(failed)}",
                next_step="Fix the error in the log of extend, and clear extend",
            )
        )
    return rows


def _with_result(item: dict[str, Any], move: dict[str, Any] | None) -> dict[str, Any]:
    if item["outcome"] != EXTEND:
        return item
    if move is None:
        return {**item, "outcome": "failed", "why": "see the log of extend"}
    return {
        **item,
        "outcome": "extended" if move["changed"] else UNCHANGED,
        "from": move["end_date_before"],
        "to": move["end_date"],
        "why": item["why"] if move["changed"] else "it already had this end date or a later one",
    }


def _stored_audience_id(definition: DigitalAudienceDefinition, context: Any) -> int | None:
    return get_audience_id(
        definition.id,
        get_state_store(context, get_asset(definition)),
        account=lambda: DigitalAudienceHook(definition.conn_id).client.settings.account,
        read=parse_int_id,
    )


def _check_segments(
    definition: DigitalAudienceDefinition, context: Any, errors: list[str]
) -> list[dict[str, Any]]:
    """Return the segments of all targets of a definition, each with its decision.

    :param errors: collects the error of a target, so that the other targets are still checked.
    """
    activation = definition.activation
    if activation is None or activation.extend is None or is_retired(definition, context):
        return []
    audience_id = _stored_audience_id(definition, context)
    if audience_id is None:
        log.info("%s has no audience yet", definition.key)
        return []
    client = DigitalAudienceHook(definition.conn_id).client
    segments = client.load_audience_segments(audience_id)
    accounts = client.load_platform_accounts()
    params = context["params"]
    overrides = {"within_days": params["within_days"], "extend_by_days": params["days"]}
    rule = activation.extend.model_copy(
        update={name: value for name, value in overrides.items() if value is not None}
    )
    # From the run, not from the clock: a retry requests the same end date.
    now = pendulum.instance(context["dag_run"].run_after)
    checked = []
    for target in activation.targets:
        try:
            resolved = resolve_target(definition, target, accounts)
        except ConfigurationError as error:
            errors.append(f"{definition.key}, target {target.key}: {error.labelled_message()}")
            continue
        for segment in resolved.own_segments(segments):
            decision, new_end, reason = decide_extension(segment, rule, now=now, until=resolved.until)
            checked.append(
                {
                    "audience": definition.key,
                    "target": target.key,
                    "segment": segment.name,
                    "segment_id": segment.segment_id,
                    "outcome": decision,
                    "from": segment.end_date.isoformat() if segment.end_date else None,
                    "to": new_end.isoformat() if new_end else None,
                    "why": reason,
                }
            )
    return checked


def decide_extension(
    segment: Segment, rule: ExtensionConfig, *, now: datetime, until: datetime | None = None
) -> tuple[str, datetime | None, str]:
    """Return the decision about a segment, its new end if it is extended, and the reason.

    :param until: last datetime of the target.
    """
    end = segment.end_date
    if end is None:
        return UNCHANGED, None, "it has no end date"
    if end < now:
        return EXPIRED, None, "it has ended"
    if until is not None and end >= until:
        return EXPIRED, None, f"its target ends on {until.isoformat()}"
    new_end = now + timedelta(days=rule.extend_by_days)
    if until is not None:
        new_end = min(new_end, until)
    if end > now + timedelta(days=rule.within_days):
        return UNCHANGED, None, f"it does not end within {rule.within_days} days"
    if end >= new_end:
        return UNCHANGED, None, "its end date is later than the new one"
    return EXTEND, new_end, f"it ends within {rule.within_days} days"


def build_set_end_date_dag(definitions: Sequence[DigitalAudienceDefinition]) -> DAG:
    """Build the DAG with which a user sets the end date of one segment.

    :param definitions: all definitions of the platform.
    """
    by_key = {item.key: item for item in definitions if item.activation}
    with DAG(
        dag_id=SET_END_DATE_DAG_ID,
        dag_display_name="Set a segment's end date",
        description="Set the end date of one segment",
        schedule=None,
        params=_end_date_form(by_key.values()),
        **shared_dag_arguments(
            "Sets the end date of one segment, manually. The end date is not moved back unless *Allow to shorten* is "
            "set, and never beyond the target's *until*.\n",
            tag="maintenance",
        ),
    ) as dag:

        @task(
            task_id="extend",
            inlets=[get_asset(item) for item in by_key.values()],
            pool=select_pool(by_key.values()),
            multiple_outputs=False,
        )
        @fail_on_terminal_error
        def extend() -> dict[str, Any]:
            """Set the end date, and return it with the one before."""
            context: Any = get_current_context()
            definition = find_definition(by_key, context["params"]["audience"], dag_id=SET_END_DATE_DAG_ID)
            persist_page_link(context, definition.key)
            return _set_end_date(definition, context["params"], context)

        with_links(extend(), AudiencePageLink())
        set_task_docs(dag, EXTENSION_FORM)
    return dag


def _targets(definition: DigitalAudienceDefinition) -> dict[str, ActivationTarget]:
    return {target.key: target for target in (definition.activation.targets if definition.activation else ())}


def _set_end_date(definition: DigitalAudienceDefinition, params: Any, context: Any) -> dict[str, Any]:
    client = DigitalAudienceHook(definition.conn_id).client
    audience_id = _stored_audience_id(definition, context)
    if audience_id is None:
        raise _invalid_form(f"{definition.key} has no audience yet")
    targets = _targets(definition)
    target = targets.get(params["segment"])
    if target is None:
        raise _invalid_form(
            f"The audience {definition.key!r} has no target {params['segment']!r}",
            why=f"its targets are {', '.join(map(repr, targets))}",
        )
    resolved = resolve_target(definition, target, client.load_platform_accounts())
    segment = _single_segment(resolved, client.load_audience_segments(audience_id), params.get("segment_id"))
    day = parse_load_date(params["end_date"], where="end_date")
    end = datetime.combine(day, time(23, 59, 59), tzinfo=pendulum.timezone(definition.timezone))
    if resolved.until is not None and end > resolved.until:
        raise ConfigurationError(
            what=f"The end date {day} is after the end of the target {target.key!r}, {target.until}",
            where=f"the definition of {definition.key!r}",
            next_step="Change 'until' there first",
        )
    is_dry_run = params["dry_run"]
    move = move_end_date(
        client, segment.segment_id, end, allow_shorten=params["allow_shorten"], is_dry_run=is_dry_run
    )
    return {
        "audience": definition.key,
        "target": target.key,
        "segment": segment.name,
        **move,
        "dry_run": is_dry_run,
    }


def _single_segment(resolved: ResolvedTarget, segments: Iterable[Segment], segment_id: int | None) -> Segment:
    candidates = resolved.own_segments(segments)
    matching = [item for item in candidates if segment_id is None or item.segment_id == segment_id]
    if len(matching) == 1:
        return matching[0]
    labels = "; ".join(f"{item.segment_id}: {item.name}" for item in candidates[:20])
    raise _invalid_form(
        f"{len(matching) or 'No'} segments of the target {resolved.key!r} match",
        why=f"its segments are {labels}; give the id of one of them"
        if candidates
        else "it has none at the vendor",
    )


def _invalid_form(what: str, *, why: str = "") -> ConfigurationError:
    return ConfigurationError(
        what=what, why=why, next_step="Nothing was changed. Correct the form, and trigger the DAG again"
    )


def _end_date_form(definitions: Iterable[DigitalAudienceDefinition]) -> dict[str, Param]:
    definitions = list(definitions)
    return {
        "audience": audience_param(
            definitions, "Audience of the segment. Only audiences with targets are listed."
        ),
        "segment": Param(
            type="string",
            **choices_schema({key for item in definitions for key in _targets(item)}),
            title="Target",
            description_md="Key of the target in the definition.",
        ),
        "segment_id": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Segment id",
            description_md="Required if the target has several segments, for example with a load date in their names.",
            section="Options",
        ),
        "end_date": Param(
            type="string",
            format="date",
            title="New end date",
            description_md="Last day of the segment, in the time zone of the definition.",
        ),
        "allow_shorten": flag_param("Allow to shorten", "Also move the end date back.", section="Options"),
        "dry_run": flag_param("Dry run", "Report the new end date, and change nothing."),
    }


_EXTENSION_DOCUMENTATION = """\
For each audience with `activation.extend`: segments of its targets that end within `within_days` get an end date `days`
from now, but never after the target's `until`. An end date is never moved back. The task `report` lists all segments
with their results.
"""
