"""The task that writes a run's row into the audit table."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from airflow.sdk import get_current_context, task

from audience_onboarding.base.connections import database
from audience_onboarding.base.failure_xcom import pull_failures, push_failure
from audience_onboarding.base.links import AudiencePageLink, with_links
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.pipelines.alerts import AUDIT_TASK, alert_context, alerts_of, notify_audit_failure
from audience_onboarding.state.audit import audit_row, run_record
from audience_onboarding.state.load_date import resolve_load_date

log = logging.getLogger(__name__)


def audit_task(definition: AudienceDefinition, *, upload: str, record: str) -> Any:
    """The task, as the last one of an onboarding DAG.

    It is a teardown: Airflow runs it whatever became of the tasks before it, and judges the run by these alone. (With
    ``on_failure_fail_dagrun`` it would judge by this one alone, and a load that has failed would be a success.) So it
    tells by itself when it fails.

    :param upload: id of the task that sends.
    :param record: id of the task that records.
    """
    wanted = definition.audit
    if wanted is None:
        raise ValueError("the definition has no audit")

    tell = partial(notify_audit_failure, alerts=alerts_of(definition), about=alert_context(definition))

    @task(task_id=AUDIT_TASK, on_failure_callback=[push_failure, tell])
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
                "load_date": _asked_date(context, definition),
                "load_mode": context["params"]["mode"],
            },
            record=ti.xcom_pull(task_ids=record),
            load=ti.xcom_pull(task_ids=upload),
            dry_run=ti.xcom_pull(task_ids=upload, key="dry_run_report"),
            stops=pull_failures(ti),
        )
        write_row(
            database(wanted.conn_id, used_by="the audit"),
            row,
            table=wanted.table,
            label=f"connection {wanted.conn_id}",
            create=wanted.create,
        )
        log.info("The run is in %s: %s", wanted.table, row["outcome"])

    return with_links(audit(), AudiencePageLink(), audience_key=definition.key).as_teardown()


def _asked_date(context: Any, definition: AudienceDefinition) -> str | None:
    try:
        return resolve_load_date(context, timezone=definition.timezone).isoformat()
    except ConfigurationError:
        return None
