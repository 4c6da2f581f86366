"""The DAG that compares what is at the vendors with the definitions, and mends what it is told to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.links import AudiencesPageLink, with_links
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import TerminalError, TransientError
from audience_onboarding.pipelines.common import (
    DRIFT_DAG_ID,
    PACKAGE_TAG,
    default_args,
    format_table,
    get_asset,
    is_retired,
    optional_audience_param,
    select_pool,
)
from audience_onboarding.pipelines.dag_docs import all_audiences
from audience_onboarding.pipelines.task_docs import DRIFT, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.drift import Difference
from audience_onboarding.state.store import get_state_store

log = logging.getLogger(__name__)

REPORT = "report"
"""XCom key of the differences; the same as what the task returns, and there also where it fails."""


def build_drift_dag(definitions: Sequence[AudienceDefinition]) -> DAG:
    """The DAG that reports, daily or by hand, what differs from the definitions.

    :param definitions: all that are good.
    """
    by_key = {item.key: item for item in definitions}
    with DAG(
        dag_id=DRIFT_DAG_ID,
        dag_display_name="Check for drift",
        description="Compare audiences and segments at the vendors with the definitions",
        doc_md=f"{_DOCUMENTATION}\n{all_audiences()}\n",
        tags=[PACKAGE_TAG, "maintenance"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        # After the upkeep: what that does is no drift.
        schedule="0 7 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        # Several may run at once: what they read is theirs, and what they mend they would mend alike.
        catchup=False,
        params={
            "audience": optional_audience_param(sorted(by_key)),
            "apply": Param(
                False,
                type="boolean",
                title="Apply",
                description_md="Set what differs at the vendor to what the definition says, as far as the API can: "
                "name and description of an audience, end dates forward. Nothing is ever deleted or shortened.",
            ),
            "fail_on_drift": Param(
                False,
                type="boolean",
                title="Fail on drift",
                description_md="Fail if something differs that was not mended.",
                section="Options",
            ),
        },
    ) as dag:

        @task(inlets=[get_asset(item) for item in by_key.values()], pool=select_pool(by_key.values()))
        @fail_on_terminal_error
        def detect_drift() -> list[dict[str, Any]]:
            """Compare all, mend what can be if told to, and return the differences there were."""
            context: Any = get_current_context()
            params = context["params"]
            rows: list[dict[str, Any]] = []
            problems: list[str] = []
            to_retry: TransientError | None = None
            for definition in by_key.values():
                if params["audience"] in (None, definition.key):
                    try:
                        found = _differences(definition, context)
                    except TerminalError as error:
                        problems.append(f"{definition.key}: {error.labelled_message()}")
                        continue
                    except TransientError as error:
                        # The others are compared all the same; all of it is tried again.
                        log.warning("%s cannot be compared now: %s", definition.key, error)
                        to_retry = error
                        continue
                    wrong = _mend(found) if params["apply"] else {}
                    problems += [f"{definition.key}, {message}" for message in set(wrong.values())]
                    for difference in found:
                        is_mended = params["apply"] and difference.apply not in (None, *wrong)
                        rows.append({**difference.to_dict(definition.key), "applied": is_mended})
            open_ones = [row for row in rows if not row["applied"]]
            if rows:
                log.warning("%s differences\n%s", len(rows), format_table(rows, none=""))
            else:
                log.info("Nothing differs from the definitions")
            # Before the failure: that returns nothing.
            context["ti"].xcom_push(key=REPORT, value=rows)
            if to_retry is not None:
                raise to_retry
            if problems:
                raise AirflowFailException(" | ".join(problems))
            if open_ones and params["fail_on_drift"]:
                raise AirflowFailException(f"{len(open_ones)} differences are left; the log lists them")
            return rows

        with_links(detect_drift(), AudiencesPageLink())
        set_task_docs(dag, DRIFT)
    return dag


def _differences(definition: AudienceDefinition, context: Any) -> list[Difference]:
    if is_retired(definition, context):
        return []
    asset = get_asset(definition)
    now = pendulum.instance(context["dag_run"].run_after)
    found: list[Difference] = get_platform(definition.platform).reconciliation.differences(
        definition, asset, get_state_store(context, asset), now
    )
    return found


def _mend(found: Sequence[Difference]) -> dict[Any, str]:
    """Mend what can be; returns what could not, with the reason."""
    wrong = {}
    # One request may mend several differences, such as name and description.
    for apply, what in {item.apply: item.what for item in found if item.apply is not None}.items():
        try:
            apply()
        except TerminalError as error:
            wrong[apply] = f"{what}: {error.labelled_message()}"
    return wrong


_DOCUMENTATION = """\
Compares each audience, and on Digital Audience its segments, with its definition, and only reads unless *Apply* is
ticked. What differs is a warning in the log of `detect_drift`, and its XCom: audience, what, field, at_vendor,
in_definition, can_be_applied, applied. It is no failure unless *Fail on drift* is ticked.

Campaigns are not compared: the vendor has no operation that shows one. An audience that was never created is no drift.
"""
