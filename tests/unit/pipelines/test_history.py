"""The DAG that loads a range of days: its form, what it refuses, and how it starts and awaits the other DAG's run."""

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

from audience_onboarding.commbox.definition import CommBoxDefinition
from audience_onboarding.fanfare.definition import FanfareDefinition
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.orchestration.ordering import earlier_unfinished
from audience_onboarding.pipelines import build_history_dag, build_onboarding_dag, history
from audience_onboarding.pipelines.history import LoadRangeOperator
from tests.fakes import task_context
from tests.unit.pipelines.conftest import definition, function_of
from tests.unit.pipelines.test_onboard import BASE

RUN = "manual__history_2026-11-01_2026-11-20_opt-in_1a2b3c4d"
FORM = {
    "audience": "newsletter",
    "from": "2026-11-01",
    "to": "2026-11-20",
    "mode": "opt-in",
    "dry_run": False,
    "supersede": True,
    "ignore_guards": False,
    "activate_on_backfill": False,
}


def other(kind: Any, key: str, column: str, **changes: Any) -> Any:
    return kind.model_validate(
        {
            "key": key,
            "platform": "fanfare" if kind is FanfareDefinition else "commbox",
            "name": f"The {key}",
            "owner": "crm-team",
            "allow_raw": True,
            "source": {"path": "crm/{load_date}.csv", "columns": {column: "Column"}},
            **changes,
        }
    )


FANS = other(FanfareDefinition, "fans", "email")
ALERTS = other(CommBoxDefinition, "alerts", "phone")
ALERTS_WITH_STATE = other(CommBoxDefinition, "alerts_kept", "phone", state={"path": "state"})
ALL = [definition(), FANS, ALERTS, ALERTS_WITH_STATE]


def plan(monkeypatch: pytest.MonkeyPatch, *, run_id: str = "manual__1", **changes: Any) -> dict[str, Any]:
    context = task_context(run_id=run_id, **{**FORM, **changes})
    monkeypatch.setattr(history, "get_current_context", lambda: context)
    definitions = [definition(), FANS, ALERTS_WITH_STATE, definition("one_file", source__path="crm/all.csv")]
    found: dict[str, Any] = function_of(build_history_dag(definitions), "check_form")()
    return found


# --- the DAG ------------------------------------------------------------------------------------------------


def test_the_form_is_checked_before_anything_is_started() -> None:
    dag = build_history_dag(ALL)

    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "check_form": set(),
        "load": {"check_form"},
    }
    load: Any = dag.get_task("load")
    assert load.render_template(load.trigger_dag_id, {"params": FORM}) == "onboard_newsletter"
    assert not dag.timetable.can_be_scheduled
    assert all(isinstance(task.retry_policy, OnboardingRetryPolicy) for task in dag.tasks)


def test_it_can_be_started_for_audiences_whose_modes_allow_it() -> None:
    form = build_history_dag(ALL).params.get_param("audience").schema

    assert form["enum"] == ["alerts_kept", "fans", "newsletter"]
    assert form["values_display"]["fans"] == "The fans (fans)"


def test_without_any_audience_there_is_a_dag_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = build_history_dag([ALERTS])

    assert "enum" not in dag.params.get_param("audience").schema
    context = task_context(**FORM)
    monkeypatch.setattr(history, "get_current_context", lambda: context)
    with pytest.raises(AirflowFailException, match=r"^ConfigurationError: .*There are: none"):
        function_of(dag, "check_form")()


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("audience", ["newsletter", "fans"], [None, "", "alerts"]),
        ("from", ["2026-11-01"], [None, "", "01-11-2026", 20261101]),
        ("to", ["2026-11-20"], [None, "", "2026-02-30"]),
        ("mode", ["opt-in", "opt-out"], [None, "replace", "mirror"]),
        ("dry_run", [True, False], [None, "yes"]),
        ("supersede", [True, False], [None, "yes"]),
        ("ignore_guards", [True, False], [None, "yes"]),
        ("activate_on_backfill", [True, False], [None, "yes"]),
    ],
)
def test_the_form_takes_what_is_meant_and_refuses_the_rest(
    name: str, good: list[Any], bad: list[Any]
) -> None:
    param = build_history_dag(ALL).params.get_param(name)

    for value in good:
        assert param.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


@pytest.mark.parametrize("name", ["audience", "from", "to"])
def test_what_cannot_be_guessed_has_to_be_given(name: str) -> None:
    params = build_history_dag(ALL).params
    params.update({key: value for key, value in FORM.items() if key != name})

    with pytest.raises(ParamValidationError):
        params.validate()
    params.update(FORM)
    assert params.validate() == FORM


# --- what is started ----------------------------------------------------------------------------------------


def test_a_form_becomes_a_run_of_the_audiences_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    found = plan(monkeypatch)

    assert found["conf"] == {
        "load_date": "2026-11-20",
        "history_from": "2026-11-01",
        "mode": "opt-in",
        "dry_run": False,
        "supersede": True,
        "ignore_guards": False,
        "activate_on_backfill": False,
    }
    # And is one that the DAG takes.
    dag = build_onboarding_dag(definition(), base=BASE)
    assert set(found["conf"]) <= set(dag.params)
    dag.params.update(found["conf"])
    dag.params.validate()


def test_the_run_has_the_same_name_in_each_try_and_another_in_each_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = plan(monkeypatch)["run_id"]

    assert first.startswith("manual__history_2026-11-01_2026-11-20_opt-in_")
    assert plan(monkeypatch)["run_id"] == first
    assert plan(monkeypatch, run_id="manual__2")["run_id"] != first
    # It waits for nobody, and nobody waits for it.
    states = {first: {"upload": "running"}, "scheduled__x__2026-11-20__y": {"upload": "running"}}
    assert earlier_unfinished(states, run_id=first) == []
    assert earlier_unfinished(states, run_id="scheduled__x__2026-11-21__y") == ["scheduled__x__2026-11-20__y"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"audience": "gone"},
            "There is no audience 'gone' that a range of days could be loaded into. There are: alerts_kept, fans, "
            "newsletter, one_file.",
        ),
        (
            {"audience": "fans", "mode": "opt-out"},
            "The definition of 'fans' does not allow 'opt-out' (fanfare): its API has no operation that takes people "
            "out of a list, an import only adds them. Allowed is opt-in.",
        ),
        (
            {"from": "2026-11-21"},
            "The first day of the range, 2026-11-21, is after its last one, 2026-11-20. Give them the other way "
            "round.",
        ),
        (
            {"from": "2020-11-20"},
            "The range has 2,192 days, more than 1,100 (2020-11-20..2026-11-20). Load it as several ranges, one after "
            "the other.",
        ),
        (
            {"mode": "replace"},
            "A range of days cannot be loaded with mode 'replace': each list says who is in the audience, so only "
            "that of the newest day counts (2026-11-01..2026-11-20). Run 2026-11-20 alone, without a first day.",
        ),
        (
            {"audience": "one_file"},
            "The source of 2026-11-02 is that of 2026-11-01, so a range of days would read it again and again "
            "(crm/all.csv). Give each day a source of its own, by {load_date} in its path, or run one day alone, "
            "without a first day.",
        ),
    ],
)
def test_what_cannot_be_is_said_at_the_first_try(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException) as caught:
        plan(monkeypatch, **changes)

    assert str(caught.value) == (
        f"ConfigurationError: {message} See docs/troubleshooting.md#configurationerror"
    )


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


def operator() -> LoadRangeOperator:
    return LoadRangeOperator(
        task_id="load", trigger_dag_id="onboard_newsletter", trigger_run_id=RUN, conf={"mode": "opt-in"}
    )


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    return Airflow(monkeypatch)


def test_the_run_is_started_and_awaited_in_the_triggerer(airflow: Airflow) -> None:
    with pytest.raises(DagRunTriggerException) as caught:
        airflow.execute()

    asked = caught.value
    assert (asked.trigger_dag_id, asked.dag_run_id, asked.conf) == (
        "onboard_newsletter",
        RUN,
        {"mode": "opt-in"},
    )
    assert (asked.wait_for_completion, asked.deferrable, asked.reset_dag_run) == (True, True, False)
    # A date would be one of two loads that cannot have the same.
    assert asked.logical_date is None


def test_a_run_that_would_never_begin_is_not_started(airflow: Airflow) -> None:
    airflow.is_paused = True

    with pytest.raises(AirflowFailException, match="The DAG onboard_newsletter is paused"):
        airflow.execute()


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_later_try_goes_on_waiting_for_the_run_that_is_there(airflow: Airflow, state: str) -> None:
    airflow.runs[RUN] = state
    airflow.is_paused = True  # which is not asked: it is under way

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
    assert f"/dags/onboard_newsletter/runs/{RUN}. Clear its failed task once the cause is gone" in message
