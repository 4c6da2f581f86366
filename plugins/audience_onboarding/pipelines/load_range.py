"""DAG that loads a date range of an audience at once: validate the form, and trigger the onboarding DAG."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunLink, TriggerDagRunOperator
from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.utils.helpers import build_airflow_dagrun_url
from airflow.utils.state import DagRunState

from audience_onboarding.base.links import AudiencePageLink, with_links
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.source_options import check_days
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.pipelines.common import (
    LOAD_RANGE_DAG_ID,
    audience_param,
    flag_param,
    onboarding_dag_id,
    persist_page_link,
    shared_dag_arguments,
)
from audience_onboarding.pipelines.task_docs import LOAD_RANGE, set_task_docs
from audience_onboarding.state.load_date import MAX_RANGE_DAYS, parse_load_date, range_dates

log = logging.getLogger(__name__)

MODES = ("opt-in", "opt-out")
"""Modes of a date range, see :func:`..state.load_date.range_dates`."""

FORWARDED_PARAMS = ("dry_run", "overwrite", "ignore_guards", "activate_on_backfill")
"""Form fields that are passed to the onboarding DAG."""

POLL_SECONDS = 15
"""Seconds between two polls of the triggered run."""

SUCCESS = "success"
FINISHED_STATES = (SUCCESS, "failed")


class TriggerRangeLoadOperator(TriggerDagRunOperator):
    """Trigger a run of an onboarding DAG, wait for its end in the triggerer, and fail if it failed.

    Airflow's operator fails for good if the run exists. A retry or a cleared task of this operator waits for the run
    that an earlier try has triggered. The wait has no timeout; the tasks of the triggered run have.

    :param trigger_dag_id: id of the DAG (templated).
    :param trigger_run_id: id of the run, equal in each try (templated).
    :param conf: conf of the run (templated).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            wait_for_completion=True, deferrable=True, poke_interval=POLL_SECONDS, logical_date=None, **kwargs
        )

    def execute(self, context: Any) -> None:
        """Trigger the run, or resume waiting for it.

        :raises AirflowFailException: the DAG is paused, so that the run would never start; or the run failed.
        """
        dag_id, run_id = self.trigger_dag_id, str(self.trigger_run_id)
        if not RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run_id]):
            if context["ti"].get_dag(dag_id).is_paused:
                raise AirflowFailException(
                    f"The DAG {dag_id} is paused, so the load would never start. Unpause it, and clear this task"
                )
            super().execute(context)
            return
        self.log.info("Waiting for the existing run %s of %s", run_id, dag_id)
        # Airflow deletes the XComs of earlier tries.
        context["ti"].xcom_push(
            key=TriggerDagRunLink().xcom_key, value=build_airflow_dagrun_url(dag_id=dag_id, run_id=run_id)
        )
        state = RuntimeTaskInstance.get_dagrun_state(dag_id=dag_id, run_id=run_id)
        # A trigger that fires immediately races with the scheduler of Airflow 3.3.
        if state in FINISHED_STATES:
            self._finish(state)
            return
        from airflow.providers.standard.triggers.external_task import DagStateTrigger

        self.defer(
            trigger=DagStateTrigger(
                dag_id=dag_id,
                states=[DagRunState(state) for state in FINISHED_STATES],
                run_ids=[run_id],
                poll_interval=POLL_SECONDS,
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Any, event: tuple[str, dict[str, Any]]) -> None:  # noqa: ARG002
        """Succeed or fail like the run.

        :raises AirflowFailException: the run failed.
        """
        self._finish(event[1].get(str(self.trigger_run_id)))

    def _finish(self, state: str | None) -> None:
        """:param state: string, or a string enumeration; do not format it with ``str()``."""
        url = build_airflow_dagrun_url(dag_id=self.trigger_dag_id, run_id=str(self.trigger_run_id))
        if state != SUCCESS:
            raise AirflowFailException(
                f"The run {self.trigger_run_id} of {self.trigger_dag_id} has failed: {url}. Fix the cause, and clear "
                "its failed task; then clear this task, which waits for the same run"
            )
        self.log.info("The run succeeded: %s", url)


def build_load_range_dag(definitions: Sequence[AudienceDefinition]) -> DAG:
    """Build the DAG that loads a date range of an audience.

    :param definitions: all definitions; those without a mode for ranges are skipped.
    """
    by_key = {item.key: item for item in definitions if any(mode in item.allowed_modes for mode in MODES)}
    with DAG(
        dag_id=LOAD_RANGE_DAG_ID,
        dag_display_name="Load a date range",
        description="Load a date range of an audience, merged in one load",
        schedule=None,
        params=_form(by_key),
        **shared_dag_arguments(DOCUMENTATION, tag="history"),
    ) as dag:

        @task(multiple_outputs=True)
        @fail_on_terminal_error
        def validate_params() -> dict[str, Any]:
            """Return id and conf of the run to trigger, or fail if the form is invalid."""
            context: Any = get_current_context()
            persist_page_link(context, context["params"]["audience"])
            run = plan_run(by_key, context["params"], run_id=context["run_id"])
            log.info(
                "Run to trigger: %s of %s", run["run_id"], onboarding_dag_id(context["params"]["audience"])
            )
            return run

        plan: Any = with_links(validate_params(), AudiencePageLink())
        TriggerRangeLoadOperator(
            task_id="trigger_onboarding",
            # No output of a task: Airflow stores the triggered DAG with this one, as text.
            trigger_dag_id=onboarding_dag_id("{{ params.audience }}"),
            trigger_run_id=plan["run_id"],
            conf=plan["conf"],
        )
        set_task_docs(dag, LOAD_RANGE)
    return dag


def plan_run(by_key: dict[str, AudienceDefinition], params: Any, *, run_id: str) -> dict[str, Any]:
    """Return ``run_id`` and ``conf`` of the run to trigger.

    :param by_key: the audiences of the form.
    :param params: the form.
    :param run_id: of this DAG's run. The id of the triggered run contains its hash, so that a retry triggers no other.
    :raises ConfigurationError: the audience or the mode does not support a range.
    """
    definition, mode = by_key.get(params["audience"]), params["mode"]
    if definition is None:
        raise ConfigurationError(
            what=f"No audience {params['audience']!r} supports a date range",
            next_step=f"Choose one of: {', '.join(sorted(by_key)) or 'none'}",
        )
    if mode not in definition.allowed_modes:
        allowed = [name for name in definition.allowed_modes if name not in FULL_LIST_MODES]
        needs_snapshots = mode in definition.modes and mode in definition.modes_with_snapshots
        raise ConfigurationError(
            what=f"The definition of {definition.key!r} does not allow {mode!r}",
            where=definition.platform,
            why="it needs 'snapshots', a folder for snapshots of the members"
            if needs_snapshots
            else definition.missing_modes_reason,
            next_step=f"Choose one of: {', '.join(allowed)}",
        )
    first = parse_load_date(str(params["from"]), where="from")
    last = parse_load_date(str(params["to"]), where="to")
    source = definition.source
    options = source.options(source.path or "")
    check_days(options, range_dates(first, last, mode=mode))
    suffix = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return {
        "run_id": f"manual__history_{first}_{last}_{mode}_{suffix}",
        "conf": {
            "load_date": last.isoformat(),
            "range_start": first.isoformat(),
            "mode": mode,
            **{name: params[name] for name in FORWARDED_PARAMS},
        },
    }


def _form(by_key: dict[str, AudienceDefinition]) -> dict[str, Param]:
    return {
        "audience": audience_param(
            by_key.values(),
            "Audiences with *opt-in* or *opt-out*. With *replace* and *mirror*, only the newest list counts.",
        ),
        "from": Param(
            type="string",
            format="date",
            title="From",
            description_md=f"First date. At most {MAX_RANGE_DAYS:,} days per load.",
        ),
        "to": Param(type="string", format="date", title="To", description_md="Last date."),
        "mode": Param(
            MODES[0],
            type="string",
            enum=list(MODES),
            values_display={"opt-in": "opt-in: add the people", "opt-out": "opt-out: remove the people"},
            title="Mode",
            description_md="Effect on the people in the range.",
        ),
        "dry_run": flag_param(
            "Dry run",
            "Create, send and write nothing. The log of *upload* of the triggered run shows the counts.",
        ),
        "overwrite": flag_param(
            "Overwrite",
            "Overwrite the upload of this range and mode if the content differs; without it, the task fails.",
            section="Exceptions",
        ),
        "ignore_guards": flag_param(
            "Ignore guards", "Send although a guard fails. Check the sources first.", section="Exceptions"
        ),
        "activate_on_backfill": flag_param(
            "Activate after backfill", "Let the load start the activation.", section="Exceptions"
        ),
    }


DOCUMENTATION = """\
### Load a date range
Loads all dates from *From* to *To* into an audience, merged in one load: a person on several dates is sent once. It
triggers a run of the audience's onboarding DAG, links to it, and fails if that run fails.

A rerun with the same range sends nothing if the sources are unchanged. If they differ, it fails with
`UploadConflictError`, unless *Overwrite* is set. It waits for no other load, and no load waits for it. To send each
date as a file of its own, in order, use a backfill of the onboarding DAG.
"""
