"""The DAG that loads a range of days: its form, its refusals, and the run of the other DAG."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    DagRunTriggerException,
    ParamValidationError,
    TaskDeferred,
)
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from audience_onboarding.base.prerequisites import filter_unfinished
from audience_onboarding.pipelines import build_load_range_dag
from audience_onboarding.pipelines.load_range import TriggerRangeLoadOperator
from tests.fakes import task_context
from tests.unit.pipelines.conftest import (
    NO_FLAGS,
    check_form,
    definition,
    fill_in,
    minimal,
    onboarding,
    run_task,
    upstream_of,
)
from tests.unit.state.helpers import check_refused

RUN = "manual__history_2026-11-01_2026-11-20_opt-in_1a2b3c4d"
OPTIONS = {"mode": "opt-in", "dry_run": False, "overwrite": True, "ignore_guards": False}
OPTIONS |= {"activate_on_backfill": False}
FORM = {"audience": "newsletter", "from": "2026-11-01", "to": "2026-11-20", **OPTIONS}


FANS = minimal("fanfare", "fans")
ALERTS = minimal("commbox", "alerts")
ALERTS_WITH_STATE = minimal("commbox", "alerts_kept", snapshots={"path": "state"})
ALL = [definition(), FANS, ALERTS, ALERTS_WITH_STATE]


def plan(*, run_id: str = "manual__1", **changes: Any) -> dict[str, Any]:
    definitions = [definition(), FANS, ALERTS_WITH_STATE, definition("one_file", source__path="crm/all.csv")]
    context = task_context(run_id=run_id, **{**FORM, **changes})
    found: dict[str, Any] = run_task(build_load_range_dag(definitions), "validate_params", context)
    return found


# --- the DAG ------------------------------------------------------------------------------------------------


def test_the_form_is_checked_before_anything_is_started() -> None:
    dag = build_load_range_dag(ALL)
    load: Any = dag.get_task("trigger_onboarding")

    assert upstream_of(dag) == {"validate_params": set(), "trigger_onboarding": {"validate_params"}}
    assert load.render_template(load.trigger_dag_id, {"params": FORM}) == "onboard_newsletter"
    assert not dag.timetable.can_be_scheduled


def test_it_can_be_started_for_audiences_whose_modes_allow_it() -> None:
    form = build_load_range_dag(ALL).params.get_param("audience").schema
    without = build_load_range_dag([ALERTS])

    assert form["enum"] == ["alerts_kept", "fans", "newsletter"]
    assert form["values_display"]["fans"] == "The fans (fans, fanfare)"
    assert "enum" not in without.params.get_param("audience").schema
    with pytest.raises(AirflowFailException, match=r"^ConfigurationError: .*Choose one of: none"):
        run_task(without, "validate_params", task_context(**FORM))


def test_the_form_takes_good_values_and_refuses_others() -> None:
    dag = build_load_range_dag(ALL)
    flags = ("dry_run", "overwrite", "ignore_guards", "activate_on_backfill")
    check_form(
        dag,
        {
            "audience": (["newsletter", "fans"], [None, "", "alerts"]),
            "from": (["2026-11-01"], [None, "", "01-11-2026", 20261101]),
            "to": (["2026-11-20"], [None, "", "2026-02-30"]),
            "mode": (["opt-in", "opt-out"], [None, "replace", "mirror"]),
            **dict.fromkeys(flags, ([True, False], NO_FLAGS)),
        },
    )
    check_refused(
        lambda name: fill_in(dag, {key: value for key, value in FORM.items() if key != name}),
        ["audience", "from", "to"],
        ParamValidationError,
    )
    assert fill_in(dag, FORM) == FORM


# --- the run that is started --------------------------------------------------------------------------------


def test_a_form_becomes_a_run_of_the_audiences_dag() -> None:
    found = plan()

    assert found["conf"] == {"load_date": "2026-11-20", "range_start": "2026-11-01", **OPTIONS}
    # The DAG takes it.
    dag = onboarding()
    assert set(found["conf"]) <= set(dag.params)
    fill_in(dag, found["conf"])


def test_the_run_has_the_same_name_in_each_try_and_another_in_each_run() -> None:
    first = plan()["run_id"]

    assert first.startswith("manual__history_2026-11-01_2026-11-20_opt-in_")
    assert plan()["run_id"] == first
    assert plan(run_id="manual__2")["run_id"] != first
    # It waits for no other run, and no other run for it.
    states = {first: {"upload": "running"}, "scheduled__x__2026-11-20__y": {"upload": "running"}}
    assert filter_unfinished(states, run_id=first) == []
    assert filter_unfinished(states, run_id="scheduled__x__2026-11-21__y") == ["scheduled__x__2026-11-20__y"]


def test_the_first_try_refuses_a_range_that_cannot_be_loaded() -> None:
    # The messages about the days are those of range_dates().
    for changes, message in (
        (
            {"audience": "gone"},
            "No audience 'gone' supports a date range. Choose one of: alerts_kept, fans, newsletter, one_file.",
        ),
        (
            {"audience": "fans", "mode": "opt-out"},
            "The definition of 'fans' does not allow 'opt-out' (fanfare): its API cannot remove people from a list, an "
            "import only adds them. Choose one of: opt-in.",
        ),
        (
            {"audience": "one_file"},
            "The source of 2026-11-02 is that of 2026-11-01, so a range would read it repeatedly "
            "(crm/all.csv). Give each day its own source, by {load_date} in its path, or run one day alone, without a "
            "first day.",
        ),
        (
            {"from": "2026-11-21"},
            "The range start 2026-11-21 is after the last date 2026-11-20. Swap the two dates.",
        ),
    ):
        with pytest.raises(AirflowFailException) as caught:
            plan(**changes)
        assert str(caught.value) == (
            f"ConfigurationError: {message} See docs/how-to/troubleshooting.md#configurationerror"
        )
    for changes, start in (
        ({"from": "2020-11-20"}, "The range has 2,192"),
        ({"mode": "replace"}, "A date range"),
    ):
        with pytest.raises(AirflowFailException, match=f"^ConfigurationError: {start}"):
            plan(**changes)


# --- starting it, once --------------------------------------------------------------------------------------


class State(str, Enum):
    """As the execution API's client gives it: equal to its text, which is not what ``str()`` makes of it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class Airflow:
    """Answers what the operator asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: dict[str, str] = {}
        self.is_paused = False
        asked = {
            "get_dr_count": lambda dag_id, run_ids: sum(run_id in self.runs for run_id in run_ids),
            "get_dagrun_state": lambda dag_id, run_id: State(self.runs[run_id]),
        }
        for name, answer in asked.items():
            monkeypatch.setattr(RuntimeTaskInstance, name, staticmethod(answer))

    def execute(self) -> dict[str, Any]:
        pushed: dict[str, Any] = {}
        ti = SimpleNamespace(
            get_dag=lambda dag_id: SimpleNamespace(is_paused=self.is_paused),
            xcom_push=lambda key, value: pushed.update({key: value}),
        )
        operator().execute({"ti": ti})
        return pushed


def operator() -> TriggerRangeLoadOperator:
    return TriggerRangeLoadOperator(
        task_id="trigger_onboarding",
        trigger_dag_id="onboard_newsletter",
        trigger_run_id=RUN,
        conf={"mode": "opt-in"},
    )


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    return Airflow(monkeypatch)


def test_the_run_is_started_and_awaited_in_the_triggerer(airflow: Airflow) -> None:
    with pytest.raises(DagRunTriggerException) as caught:
        airflow.execute()

    asked = caught.value
    assert (asked.trigger_dag_id, asked.dag_run_id) == ("onboard_newsletter", RUN)
    assert asked.conf == {"mode": "opt-in"}
    assert (asked.wait_for_completion, asked.deferrable, asked.reset_dag_run) == (True, True, False)
    # A date would be one of two loads that cannot have the same.
    assert asked.logical_date is None
    # A run of a paused DAG would never begin.
    airflow.is_paused = True
    with pytest.raises(AirflowFailException, match="The DAG onboard_newsletter is paused"):
        airflow.execute()


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_later_try_goes_on_waiting_for_the_run_that_is_there(airflow: Airflow, state: str) -> None:
    airflow.runs[RUN] = state
    airflow.is_paused = True  # It is under way already.

    with pytest.raises(TaskDeferred) as caught:
        airflow.execute()

    trigger: Any = caught.value.trigger
    assert (trigger.dag_id, trigger.run_ids) == ("onboard_newsletter", [RUN])
    assert sorted(trigger.states) == ["failed", "success"]
    assert caught.value.method_name == "execute_complete"


def test_a_run_that_has_ended_meanwhile_is_not_waited_for(airflow: Airflow) -> None:
    airflow.runs[RUN] = "success"
    pushed = airflow.execute()
    assert [value.partition("/dags/")[2] for value in pushed.values()] == [f"onboard_newsletter/runs/{RUN}"]

    airflow.runs[RUN] = "failed"
    with pytest.raises(AirflowFailException, match="has failed"):
        airflow.execute()


def test_it_ends_as_the_run_has_ended() -> None:
    def end(state: str) -> None:
        operator().execute_complete({}, ("a.class", {"run_ids": [RUN], RUN: state}))

    end("success")
    with pytest.raises(AirflowFailException) as caught:
        end("failed")
    message = str(caught.value)
    assert f"The run {RUN} of onboard_newsletter has failed: " in message
    assert f"/dags/onboard_newsletter/runs/{RUN}. Fix the cause, and clear its failed task" in message
