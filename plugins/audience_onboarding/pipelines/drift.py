"""DAG that compares the objects at the vendors with the definitions, and optionally applies the definitions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import pendulum
from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.links import AudiencesPageLink, with_links
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import TerminalError, TransientError
from audience_onboarding.pipelines.common import (
    DRIFT_DAG_ID,
    flag_param,
    format_table,
    get_asset,
    is_retired,
    optional_audience_param,
    select_pool,
    shared_dag_arguments,
)
from audience_onboarding.pipelines.task_docs import DRIFT, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.drift import Difference
from audience_onboarding.state.store import get_state_store

log = logging.getLogger(__name__)

REPORT = "report"
"""XCom key of the differences, as returned by the task; also set if the task fails."""


def build_drift_dag(definitions: Sequence[AudienceDefinition]) -> DAG:
    """Build the DAG that reports differences from the definitions, daily or manually.

    :param definitions: all valid definitions.
    """
    by_key = {item.key: item for item in definitions}
    with DAG(
        dag_id=DRIFT_DAG_ID,
        dag_display_name="Check for drift",
        description="Compare audiences and segments at the vendors with the definitions",
        # After the extension, so that its changes are no drift.
        schedule="0 7 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        # Concurrent runs are safe: they apply the same values.
        **shared_dag_arguments(_DOCUMENTATION, tag="maintenance"),
        params={
            "audience": optional_audience_param(sorted(by_key)),
            "apply": flag_param(
                "Apply",
                "Apply the definition at the vendor, as far as the API supports it: name and description of an "
                "audience, later end dates. Nothing is deleted or shortened.",
            ),
            "fail_on_drift": flag_param(
                "Fail on drift", "Fail if a difference was not applied.", section="Options"
            ),
        },
    ) as dag:

        @task(inlets=[get_asset(item) for item in by_key.values()], pool=select_pool(by_key.values()))
        @fail_on_terminal_error
        def detect_drift() -> list[dict[str, Any]]:
            """Compare all audiences, apply the definitions if requested, and return the differences."""
            context: Any = get_current_context()
            params = context["params"]
            rows: list[dict[str, Any]] = []
            errors: list[str] = []
            transient: TransientError | None = None
            for definition in by_key.values():
                if params["audience"] in (None, definition.key):
                    try:
                        differences = _differences(definition, context)
                    except TerminalError as error:
                        errors.append(f"{definition.key}: {error.labelled_message()}")
                        continue
                    except TransientError as error:
                        # Compare the others first; Airflow retries the whole task.
                        log.warning("Comparing %s failed: %s", definition.key, error)
                        transient = error
                        continue
                    failed = _apply(differences) if params["apply"] else {}
                    errors += [f"{definition.key}, {message}" for message in set(failed.values())]
                    for difference in differences:
                        is_applied = params["apply"] and difference.apply not in (None, *failed)
                        rows.append({**difference.to_dict(definition.key), "applied": is_applied})
            remaining = [row for row in rows if not row["applied"]]
            if rows:
                log.warning("%s differences\n%s", len(rows), format_table(rows, none=""))
            else:
                log.info("No differences from the definitions")
            # Before the failure, which returns no value.
            context["ti"].xcom_push(key=REPORT, value=rows)
            if transient is not None:
                raise transient
            if errors:
                raise AirflowFailException(" | ".join(errors))
            if remaining and params["fail_on_drift"]:
                raise AirflowFailException(f"{len(remaining)} differences remain; the log lists them")
            return rows

        with_links(detect_drift(), AudiencesPageLink())
        set_task_docs(dag, DRIFT)
    return dag


def _differences(definition: AudienceDefinition, context: Any) -> list[Difference]:
    if is_retired(definition, context):
        return []
    asset = get_asset(definition)
    now = pendulum.instance(context["dag_run"].run_after)
    reconciliation = get_platform(definition.platform).reconciliation
    return list(reconciliation.differences(definition, asset, get_state_store(context, asset), now))


def _apply(differences: Sequence[Difference]) -> dict[Any, str]:
    """Apply the definition of each difference, and return the failures with their messages."""
    failed = {}
    # One request may apply several differences, such as name and description.
    for apply, label in {item.apply: item.what for item in differences if item.apply is not None}.items():
        try:
            apply()
        except TerminalError as error:
            failed[apply] = f"{label}: {error.labelled_message()}"
    return failed


_DOCUMENTATION = """\
Compares each audience, and its segments on Digital Audience, with its definition. It only reads unless *Apply* is set.
The log of `detect_drift` warns about the differences, and its XCom lists them: `audience`, `what`, `field`,
`at_vendor`, `in_definition`, `can_be_applied`, `applied`. Differences are no failure unless *Fail on drift* is set.

Campaigns are not compared: the vendor has no operation that reads one. An audience that was never created is no drift.
"""
