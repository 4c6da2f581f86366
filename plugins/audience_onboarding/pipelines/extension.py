"""Upkeep: the DAG that extends segments that end soon, and the one that gives a segment an end date by hand."""

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
    PACKAGE_TAG,
    SET_END_DATE_DAG_ID,
    choices_schema,
    default_args,
    format_table,
    get_asset,
    is_retired,
    optional_audience_param,
    persist_page_link,
    select_pool,
)
from audience_onboarding.pipelines.dag_docs import all_audiences
from audience_onboarding.pipelines.task_docs import EXTENSION, EXTENSION_FORM, set_task_docs
from audience_onboarding.platforms.digital_audience.activation_targets import ResolvedTarget, resolve_target
from audience_onboarding.platforms.digital_audience.definition import (
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
"""XCom key of the audiences and targets that could not be looked at."""
CHECKED_SEGMENTS_KEY = "checked_segments"
"""XCom key of all segments of ours, and what is to be done with each."""

EXTEND = "extend"
UNCHANGED = "unchanged"
EXPIRED = "expired"


def build_extension_dag(definitions: Sequence[DigitalAudienceDefinition]) -> DAG:
    """The DAG that extends the segments of all audiences whose definition says so, daily or by hand.

    :param definitions: all definitions; those without ``activation.extend`` are left alone.
    """
    kept_alive = [item for item in definitions if item.activation and item.activation.extend]
    with DAG(
        dag_id=EXTENSION_DAG_ID,
        dag_display_name="Extend segment end dates",
        description="Move the end date of segments that end soon",
        doc_md="For each audience with `activation.extend`: the segments of its targets that end within "
        "`within_days` then end `days` from now, but never after the target's `until`. An end date is never moved "
        "back. The task `report` lists all segments that were looked at, and what became of each.\n\n"
        f"{all_audiences()}",
        tags=[PACKAGE_TAG, "maintenance"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule="0 6 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        params={
            "audience": optional_audience_param(item.key for item in kept_alive),
            "within_days": Param(
                None,
                type=["null", "integer"],
                minimum=0,
                title="Within days",
                description_md="Extend what ends within so many days. Empty: the definition's.",
                section="Instead of what the definition says",
            ),
            "days": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Days",
                description_md="So many days from now it ends then, but not after the target's *until*. Empty: the "
                "definition's.",
                section="Instead of what the definition says",
            ),
        },
    ) as dag:

        @task(inlets=[get_asset(item) for item in kept_alive], pool=select_pool(kept_alive))
        @fail_on_terminal_error
        def find_segments() -> list[dict[str, Any]]:
            """The segments to extend, as arguments of the operator."""
            context: Any = get_current_context()
            chosen = context["params"]["audience"]
            seen: list[dict[str, Any]] = []
            problems: list[str] = []
            for definition in kept_alive:
                if chosen in (None, definition.key):
                    try:
                        seen += _looked_at(definition, context, problems)
                    except TerminalError as error:
                        problems.append(f"{definition.key}: {error.labelled_message()}")
            connections = {item.key: item.conn_id for item in kept_alive}
            found = [
                {
                    "segment_id": item["segment_id"],
                    "segment_name": item["segment"],
                    "new_end_date": item["to"],
                    "audience_key": item["audience"],
                    "digital_audience_conn_id": connections[item["audience"]],
                }
                for item in seen
                if item["outcome"] == EXTEND
            ]
            context["ti"].xcom_push(key=ERRORS_KEY, value=problems)
            context["ti"].xcom_push(key=CHECKED_SEGMENTS_KEY, value=seen)
            log.info("%s segments to extend, %s audiences with a problem", len(found), len(problems))
            return found

        # It runs whatever became of the others, and so has to fail where they have: the last task decides about a run.
        @task(trigger_rule="all_done")
        @fail_on_terminal_error
        def report() -> list[dict[str, Any]]:
            """Show what became of each segment. Fail if something could not be looked at or extended: all others are
            extended all the same."""
            ti: Any = get_current_context()["ti"]
            seen = ti.xcom_pull(task_ids="find_segments", key=CHECKED_SEGMENTS_KEY)
            if seen is None:
                raise to_fail_exception(
                    MaintenanceIncompleteError(
                        what="No segment was looked at",
                        why="find_segments has failed",
                        next_step="Its log says why. Once that is mended, clear find_segments",
                    )
                )
            done: dict[int, dict[str, Any]] = {}
            for index in range(sum(item["outcome"] == EXTEND for item in seen)):
                moved = ti.xcom_pull(task_ids="extend", map_indexes=index)
                if moved:
                    done[moved["segment_id"]] = moved
            rows = [_came_of(item, done.get(item["segment_id"])) for item in seen]
            problems = ti.xcom_pull(task_ids="find_segments", key=ERRORS_KEY) or []
            log.info("%s", format_table(rows, none="There is no segment of ours"))
            for problem in problems:
                log.error("%s", problem)
            # Before the failure: that returns nothing.
            ti.xcom_push(key="report", value=rows)
            if problems:
                # The task that looks has succeeded, for the sake of all others: it is that one that looks again.
                raise AirflowFailException(
                    f"{' | '.join(problems)} | Once that is mended, clear find_segments"
                )
            if failed := [row["segment"] for row in rows if row["outcome"] == "failed"]:
                raise to_fail_exception(
                    MaintenanceIncompleteError(
                        what=f"Not extended: {', '.join(failed)}",
                        next_step="The log of extend says why. Once that is mended, clear extend",
                    )
                )
            return rows

        found: Any = with_links(find_segments(), AudiencesPageLink())
        extended = DigitalAudienceExtendSegmentEndDateOperator.partial(
            task_id="extend", map_index_template="{{ task.segment_name }}", pool=select_pool(kept_alive)
        ).expand_kwargs(found)
        [found, extended] >> with_links(report(), AudiencesPageLink())
        set_task_docs(dag, EXTENSION)
    return dag


def _came_of(item: dict[str, Any], moved: dict[str, Any] | None) -> dict[str, Any]:
    if item["outcome"] != EXTEND:
        return item
    if moved is None:
        return {**item, "outcome": "failed", "why": "see the log of extend"}
    return {
        **item,
        "outcome": "extended" if moved["changed"] else UNCHANGED,
        "from": moved["end_date_before"],
        "to": moved["end_date"],
        "why": item["why"] if moved["changed"] else "it ended so late already",
    }


def _audience_id_of(definition: DigitalAudienceDefinition, context: Any) -> int | None:
    return get_audience_id(
        definition.id,
        get_state_store(context, get_asset(definition)),
        account=lambda: DigitalAudienceHook(definition.conn_id).client.settings.account,
        read=parse_int_id,
    )


def _looked_at(
    definition: DigitalAudienceDefinition, context: Any, problems: list[str]
) -> list[dict[str, Any]]:
    """The segments of all targets of a definition, and what is to be done with each.

    :param problems: takes what is wrong with one target, so that the others are looked at all the same.
    """
    activation = definition.activation
    if activation is None or activation.extend is None or is_retired(definition, context):
        return []
    audience_id = _audience_id_of(definition, context)
    if audience_id is None:
        log.info("%s has no audience yet", definition.key)
        return []
    client = DigitalAudienceHook(definition.conn_id).client
    segments = client.load_audience_segments(audience_id)
    accounts = client.load_platform_accounts()
    rule = _rule(activation.extend, context["params"])
    # From the run, not from the clock: a retry asks for the same end date.
    now = pendulum.instance(context["dag_run"].run_after)
    seen = []
    for target in activation.targets:
        try:
            there = resolve_target(definition, target, accounts)
        except ConfigurationError as error:
            problems.append(f"{definition.key}, target {target.key}: {error.labelled_message()}")
            continue
        for segment in there.of(segments):
            outcome, new_end, why = decide_extension(segment, rule, now=now, until=there.until)
            seen.append(
                {
                    "audience": definition.key,
                    "target": target.key,
                    "segment": segment.name,
                    "segment_id": segment.segment_id,
                    "outcome": outcome,
                    "from": segment.end_date.isoformat() if segment.end_date else None,
                    "to": new_end.isoformat() if new_end else None,
                    "why": why,
                }
            )
    return seen


def _rule(rule: ExtensionConfig, params: Any) -> ExtensionConfig:
    fields = {"within_days": params["within_days"], "extend_by_days": params["days"]}
    return rule.model_copy(update={name: value for name, value in fields.items() if value is not None})


def decide_extension(
    segment: Segment, rule: ExtensionConfig, *, now: datetime, until: datetime | None = None
) -> tuple[str, datetime | None, str]:
    """What is to be done with a segment, its new end if there is one, and why.

    A segment that is over already is left alone: it was let go. So is one whose end lies beyond the new one.

    :param until: its last moment.
    """
    end = segment.end_date
    if end is None:
        return UNCHANGED, None, "it has no end date"
    if end < now:
        return EXPIRED, None, "it is over"
    if until is not None and end >= until:
        return EXPIRED, None, f"it is to run until {until.isoformat()}"
    new_end = now + timedelta(days=rule.extend_by_days)
    if until is not None:
        new_end = min(new_end, until)
    if end > now + timedelta(days=rule.within_days):
        return UNCHANGED, None, f"it does not end within {rule.within_days} days"
    if end >= new_end:
        return UNCHANGED, None, "it ends later than it would then"
    return EXTEND, new_end, f"it ends within {rule.within_days} days"


def build_set_end_date_dag(definitions: Sequence[DigitalAudienceDefinition]) -> DAG:
    """The DAG with which a person gives one segment an end date.

    :param definitions: all definitions.
    """
    activated = {item.key: item for item in definitions if item.activation}
    targets = sorted(
        {
            target.key
            for item in activated.values()
            for target in (item.activation.targets if item.activation else ())
        }
    )
    with DAG(
        dag_id=SET_END_DATE_DAG_ID,
        dag_display_name="Set a segment's end date",
        description="Give one segment an end date",
        doc_md="Moves the end date of one segment to a day, by hand only. It is not moved back unless *Allow to "
        f"shorten* is ticked, and never beyond the target's *until*.\n\n{all_audiences()}",
        tags=[PACKAGE_TAG, "maintenance"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule=None,
        catchup=False,
        params={
            "audience": Param(
                type="string",
                **choices_schema(activated),
                values_display={key: f"{item.name} ({key})" for key, item in sorted(activated.items())},
                title="Audience",
                description_md="Whose segment it is. Those with targets can be chosen.",
            ),
            "segment": Param(
                type="string",
                **choices_schema(targets),
                title="Target",
                description_md="The key of the target, as the definition has it.",
            ),
            "segment_id": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Segment id",
                description_md="Only where the target has several segments, as with a load date in their names.",
                section="Options",
            ),
            "end_date": Param(
                type="string",
                format="date",
                title="New end date",
                description_md="The last day of the segment, in the time zone of the definition.",
            ),
            "allow_shorten": Param(
                False,
                type="boolean",
                title="Allow to shorten",
                description_md="Also move the end date back.",
                section="Options",
            ),
            "dry_run": Param(
                False,
                type="boolean",
                title="Dry run",
                description_md="Only say what would be done.",
            ),
        },
    ) as dag:

        @task(
            task_id="extend",
            inlets=[get_asset(item) for item in activated.values()],
            pool=select_pool(activated.values()),
            multiple_outputs=False,
        )
        @fail_on_terminal_error
        def extend() -> dict[str, Any]:
            """Move it, and return the end date before and after."""
            context: Any = get_current_context()
            params = context["params"]
            definition = activated.get(params["audience"])
            if definition is None:
                # The form knew it a moment ago.
                raise _not_there(f"The definition of the audience {params['audience']!r} is gone or broken")
            persist_page_link(context, definition.key)
            return _extend_by_hand(definition, params, context)

        with_links(extend(), AudiencePageLink())
        set_task_docs(dag, EXTENSION_FORM)
    return dag


def _extend_by_hand(definition: DigitalAudienceDefinition, params: Any, context: Any) -> dict[str, Any]:
    client = DigitalAudienceHook(definition.conn_id).client
    audience_id = _audience_id_of(definition, context)
    if audience_id is None:
        raise _not_there(f"{definition.key} has no audience yet")
    target = _target_called(params["segment"], definition)
    there = resolve_target(definition, target, client.load_platform_accounts())
    segment = _only(there, client.load_audience_segments(audience_id), params.get("segment_id"))
    day = parse_load_date(params["end_date"], where="end_date")
    wanted = datetime.combine(day, time(23, 59, 59), tzinfo=pendulum.timezone(definition.timezone))
    if there.until is not None and wanted > there.until:
        raise ConfigurationError(
            what=f"The target {target.key!r} is to run until {target.until}, and not until {day}",
            where=f"the definition of {definition.key!r}",
            next_step="Change 'until' there first",
        )
    moved = move_end_date(
        client,
        segment.segment_id,
        wanted,
        allow_shorten=params["allow_shorten"],
        is_dry_run=params["dry_run"],
    )
    return {
        "audience": definition.key,
        "target": target.key,
        "segment": segment.name,
        **moved,
        "dry_run": params["dry_run"],
    }


def _target_called(key: str, definition: DigitalAudienceDefinition) -> Any:
    targets = {
        target.key: target for target in (definition.activation.targets if definition.activation else ())
    }
    if key not in targets:
        raise _not_there(
            f"The audience {definition.key!r} has no target {key!r}, but {', '.join(map(repr, targets))}"
        )
    return targets[key]


def _only(there: ResolvedTarget, segments: Iterable[Segment], given: int | None) -> Segment:
    ours = there.of(segments)
    fitting = [segment for segment in ours if given is None or segment.segment_id == given]
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(f"{segment.segment_id}: {segment.name}" for segment in ours[:20])
    raise _not_there(
        f"{len(fitting) or 'No'} segments of the target {there.key!r} fit",
        why=f"its segments are {listed}; give the id of one of them" if ours else "it has none at the vendor",
    )


def _not_there(what: str, *, why: str = "") -> ConfigurationError:
    return ConfigurationError(
        what=what, why=why, next_step="Nothing was changed. Correct the form, and trigger the DAG again"
    )
