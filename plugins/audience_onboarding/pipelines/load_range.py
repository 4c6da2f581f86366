"""The DAG that loads a range of days of any audience at once: it checks the form, and starts the audience's own DAG."""

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
    PACKAGE_TAG,
    default_args,
    onboarding_dag_id,
    persist_page_link,
)
from audience_onboarding.pipelines.dag_docs import all_audiences
from audience_onboarding.pipelines.task_docs import LOAD_RANGE, set_task_docs
from audience_onboarding.state.load_date import MAX_RANGE_DAYS, parse_load_date, range_dates

log = logging.getLogger(__name__)

MODES = ("opt-in", "opt-out")
"""What a range of days can do to an audience, see :func:`..orchestration.history.range_dates`."""

FORWARDED_PARAMS = ("dry_run", "overwrite", "ignore_guards", "activate_on_backfill")
"""Fields of the form that are those of the audience's own DAG."""

POLL_SECONDS = 15
"""Between two looks at the run that was started."""

SUCCESS = "success"
ENDED = (SUCCESS, "failed")
"""States in which a run has come to its end."""


class TriggerRangeLoadOperator(TriggerDagRunOperator):
    """Start a run of an audience's DAG, wait for its end in the triggerer, and fail if it has failed.

    Airflow's own operator fails for good where the run is there already. A later try of this one, or a clear, waits for
    the run that an earlier try has started. Its wait has no end of its own: those of the run that it waits for have.

    :param trigger_dag_id: which DAG (templated).
    :param trigger_run_id: of the run, the same in each try (templated).
    :param conf: of the run (templated).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            wait_for_completion=True, deferrable=True, poke_interval=POLL_SECONDS, logical_date=None, **kwargs
        )

    def execute(self, context: Any) -> None:
        """Start the run, or go on waiting for it.

        :raises AirflowFailException: the DAG is paused, so that the run would never begin; or the run has failed.
        """
        dag_id, run_id = self.trigger_dag_id, str(self.trigger_run_id)
        if not RuntimeTaskInstance.get_dr_count(dag_id=dag_id, run_ids=[run_id]):
            if context["ti"].get_dag(dag_id).is_paused:
                raise AirflowFailException(
                    f"The DAG {dag_id} is paused, so that the load would never begin. Unpause it, and clear this task"
                )
            super().execute(context)
            return
        self.log.info("The run %s of %s is there already, it is waited for", run_id, dag_id)
        # XComs of earlier tries are gone.
        context["ti"].xcom_push(
            key=TriggerDagRunLink().xcom_key, value=build_airflow_dagrun_url(dag_id=dag_id, run_id=run_id)
        )
        state = RuntimeTaskInstance.get_dagrun_state(dag_id=dag_id, run_id=run_id)
        # A trigger that fires at once can be too quick for the scheduler of Airflow 3.3.
        if state in ENDED:
            self._judge(state)
            return
        from airflow.providers.standard.triggers.external_task import DagStateTrigger

        self.defer(
            trigger=DagStateTrigger(
                dag_id=dag_id,
                states=[DagRunState(state) for state in ENDED],
                run_ids=[run_id],
                poll_interval=POLL_SECONDS,
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Any, event: tuple[str, dict[str, Any]]) -> None:  # noqa: ARG002
        """End as the run has ended.

        :raises AirflowFailException: it has failed.
        """
        self._judge(event[1].get(str(self.trigger_run_id)))

    def _judge(self, state: str | None) -> None:
        """:param state: text, or an enumeration of texts; its ``str()`` would be another text."""
        url = build_airflow_dagrun_url(dag_id=self.trigger_dag_id, run_id=str(self.trigger_run_id))
        if state != SUCCESS:
            raise AirflowFailException(
                f"The run {self.trigger_run_id} of {self.trigger_dag_id} has failed: {url}. Clear its failed task once "
                "the cause is gone, then clear this one: it waits for the same run"
            )
        self.log.info("The run has ended well: %s", url)


def build_load_range_dag(definitions: Sequence[AudienceDefinition]) -> DAG:
    """The DAG that loads a range of days of an audience, by hand.

    :param definitions: all definitions; those without a mode that a range has a meaning in are left out.
    """
    by_key = {item.key: item for item in definitions if any(mode in item.allowed_modes for mode in MODES)}
    with DAG(
        dag_id=LOAD_RANGE_DAG_ID,
        dag_display_name="Load a date range",
        description="Load a range of days of an audience, merged in one load",
        doc_md=f"{DOCUMENTATION}\n{all_audiences()}\n",
        tags=[PACKAGE_TAG, "history"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule=None,
        catchup=False,
        params=_form(by_key),
    ) as dag:

        @task(multiple_outputs=True)
        @fail_on_terminal_error
        def validate_params() -> dict[str, Any]:
            """What to start: id of the run, and its conf. What cannot be is said here, before anything runs."""
            context: Any = get_current_context()
            persist_page_link(context, context["params"]["audience"])
            found = plan_run(by_key, context["params"], run_id=context["run_id"])
            log.info(
                "To start: run %s of %s", found["run_id"], onboarding_dag_id(context["params"]["audience"])
            )
            return found

        plan: Any = with_links(validate_params(), AudiencePageLink())
        TriggerRangeLoadOperator(
            task_id="trigger_onboarding",
            # No output of a task: what starts which DAG is stored with this one, as text.
            trigger_dag_id=onboarding_dag_id("{{ params.audience }}"),
            trigger_run_id=plan["run_id"],
            conf=plan["conf"],
        )
        set_task_docs(dag, LOAD_RANGE)
    return dag


def plan_run(by_key: dict[str, AudienceDefinition], params: Any, *, run_id: str) -> dict[str, Any]:
    """What a filled-in form stands for.

    :param by_key: the audiences that can be chosen.
    :param params: the form.
    :param run_id: of the run of this DAG: the run that it starts is named after it, so that a retry starts no other.
    :return: ``run_id`` and ``conf`` of the run of the audience's DAG.
    :raises ConfigurationError: the audience cannot be loaded so.
    """
    definition, mode = by_key.get(params["audience"]), params["mode"]
    if definition is None:
        raise ConfigurationError(
            what=f"There is no audience {params['audience']!r} that a range of days could be loaded into",
            next_step=f"There are: {', '.join(sorted(by_key)) or 'none'}",
        )
    if mode not in definition.allowed_modes:
        allowed = [name for name in definition.allowed_modes if name not in FULL_LIST_MODES]
        needs_state = mode in definition.modes and mode in definition.modes_with_snapshots
        raise ConfigurationError(
            what=f"The definition of {definition.key!r} does not allow {mode!r}",
            where=definition.platform,
            why="it needs 'snapshots', a folder for snapshots of what the audience holds"
            if needs_state
            else definition.missing_modes_reason,
            next_step=f"Allowed is {', '.join(allowed)}",
        )
    first = parse_load_date(str(params["from"]), where="from")
    last = parse_load_date(str(params["to"]), where="to")
    source = definition.source
    options = source.options(source.path or "")
    check_days(options, range_dates(first, last, mode=mode))
    own = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return {
        "run_id": f"manual__history_{first}_{last}_{mode}_{own}",
        "conf": {
            "load_date": last.isoformat(),
            "range_start": first.isoformat(),
            "mode": mode,
            **{name: params[name] for name in FORWARDED_PARAMS},
        },
    }


def _form(by_key: dict[str, AudienceDefinition]) -> dict[str, Param]:
    names = {key: f"{item.name} ({key})" for key, item in sorted(by_key.items())}
    # No choice is no valid form; without any audience, the first task says so.
    choice: dict[str, Any] = {"enum": list(names), "values_display": names} if names else {}
    return {
        "audience": Param(
            type="string",
            title="Audience",
            description_md="Those whose modes allow it: in *replace* and *mirror*, only the newest list counts.",
            **choice,
        ),
        "from": Param(
            type="string",
            format="date",
            title="From",
            description_md=f"The first day. At most {MAX_RANGE_DAYS:,} days are one load.",
        ),
        "to": Param(type="string", format="date", title="To", description_md="The last day."),
        "mode": Param(
            MODES[0],
            type="string",
            enum=list(MODES),
            values_display={"opt-in": "opt-in: add the people", "opt-out": "opt-out: take the people out"},
            title="Mode",
            description_md="What becomes of the people in the range.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Do everything but create, send and write: the log of *upload* of the run that is started "
            "shows the counts.",
        ),
        "overwrite": Param(
            False,
            type="boolean",
            title="Overwrite",
            description_md="Overwrite what was sent for this range and mode, if the content differs; without it, that "
            "is an error.",
            section="Exceptions",
        ),
        "ignore_guards": Param(
            False,
            type="boolean",
            title="Ignore guards",
            description_md="Send although a guard says no: for somebody who has looked into the sources.",
            section="Exceptions",
        ),
        "activate_on_backfill": Param(
            False,
            type="boolean",
            title="Activate after backfill",
            description_md="Let the load start the activation.",
            section="Exceptions",
        ),
    }


DOCUMENTATION = """\
### Load a date range
Loads all days from *From* to *To* into an audience, merged in one load: what is on several days is sent once. It starts
a run of the audience's own DAG, which shows a link to it and does the work, and fails if that fails.

Run again with the same range, it sends nothing if the sources are unchanged, and stops with `UploadConflictError` if
they are not, unless *Overwrite* is ticked. It waits for no other load, and none waits for it. To send each day as a
file of its own instead, in order, use a backfill of the audience's DAG.
"""
