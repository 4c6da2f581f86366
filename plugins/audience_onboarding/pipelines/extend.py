"""The upkeep DAG: segments that end soon are extended, none is ever shortened."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition, ExtendEndDates
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.models import Segment
from audience_onboarding.digital_audience.operators import (
    DigitalAudienceExtendSegmentEndDateOperator,
)
from audience_onboarding.errors import TerminalError
from audience_onboarding.orchestration.ensure import remembered_id
from audience_onboarding.orchestration.ids import number_id
from audience_onboarding.orchestration.memory import AUDIENCE_KEY, memory_of
from audience_onboarding.pipelines.common import (
    EXTENSION_DAG_ID,
    PACKAGE_TAG,
    asset_of,
    default_args,
    pool_of,
)

log = logging.getLogger(__name__)

PROBLEMS = "problems"
"""XCom key of the audiences that could not be looked at."""


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
        "`within_days` then end `days` from now. An end date is never moved back.",
        tags=[PACKAGE_TAG, "upkeep"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule="0 6 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        params={
            "audience": Param(
                None,
                type=["null", "string"],
                enum=[None, *(item.key for item in kept_alive)],
                title="Audience",
                description_md="Only this one. Empty: all.",
            ),
            "within_days": Param(
                None,
                type=["null", "integer"],
                minimum=0,
                title="Within days",
                description_md="Extend what ends within so many days. Empty: the definition's.",
            ),
            "days": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Days",
                description_md="So many days from now it ends then. Empty: the definition's.",
            ),
        },
    ) as dag:

        @task(inlets=[asset_of(item) for item in kept_alive], pool=pool_of(kept_alive))
        def find_segments() -> list[dict[str, Any]]:
            """The segments to extend, as arguments of the operator."""
            context: Any = get_current_context()
            chosen = context["params"]["audience"]
            found: list[dict[str, Any]] = []
            problems: list[str] = []
            for definition in kept_alive:
                if chosen in (None, definition.key):
                    try:
                        found += _segments_of(definition, context)
                    except TerminalError as error:
                        problems.append(f"{definition.key}: {type(error).__name__}: {error}")
            context["ti"].xcom_push(key=PROBLEMS, value=problems)
            log.info("%s segments to extend, %s audiences with a problem", len(found), len(problems))
            return found

        @task
        def report_problems() -> None:
            """Fail if an audience could not be looked at: the segments of all others are extended all the same."""
            problems = get_current_context()["ti"].xcom_pull(task_ids="find_segments", key=PROBLEMS)
            if problems:
                # The task that looks has succeeded, for the sake of all others: it is that one that looks again.
                raise AirflowFailException(f"{' | '.join(problems)} Once that is mended, clear find_segments")

        found: Any = find_segments()
        # Beside "extend", not after it: the last tasks decide about the run, and each has a say.
        found >> report_problems()
        DigitalAudienceExtendSegmentEndDateOperator.partial(
            task_id="extend", map_index_template="{{ task.segment_name }}", pool=pool_of(kept_alive)
        ).expand_kwargs(found)
    return dag


def _segments_of(definition: DigitalAudienceDefinition, context: Any) -> list[dict[str, Any]]:
    if definition.activation is None or definition.activation.extend is None:
        return []
    client = DigitalAudienceHook(definition.connection).client
    audience_id = definition.id or remembered_id(
        memory_of(context, asset_of(definition)),
        AUDIENCE_KEY,
        account=client.settings.account,
        read=number_id,
    )
    if audience_id is None:
        log.info("%s has no audience yet", definition.key)
        return []
    ours = {target.segment_name for target in definition.activation.targets}
    segments = [item for item in client.load_audience_segments(audience_id) if item.name in ours]
    rule = _rule(definition.activation.extend, context["params"])
    # From the run, not from the clock: a retry asks for the same end date.
    now = pendulum.instance(context["dag_run"].run_after)
    return [
        {
            "segment_id": segment.segment_id,
            "segment_name": segment.name,
            "new_end_date": end.isoformat(),
            "digital_audience_conn_id": definition.connection,
        }
        for segment, end in to_extend(segments, rule, now=now)
    ]


def _rule(rule: ExtendEndDates, params: Any) -> ExtendEndDates:
    given = {name: params[name] for name in ("within_days", "days") if params[name] is not None}
    return rule.model_copy(update=given)


def to_extend(
    segments: Iterable[Segment], rule: ExtendEndDates, *, now: datetime
) -> list[tuple[Segment, datetime]]:
    """The segments that end within the window, with their new end.

    A segment that is over already is left alone: it was let go. So is one whose end lies beyond the new one.
    """
    new_end = now + timedelta(days=rule.days)
    horizon = now + timedelta(days=rule.within_days)
    return [
        (segment, new_end)
        for segment in segments
        if segment.end_date is not None and now <= segment.end_date <= horizon and segment.end_date < new_end
    ]
