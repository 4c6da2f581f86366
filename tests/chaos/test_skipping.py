"""The imitation of Airflow skips tasks, and passes over skipped ones, as Airflow does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.small_airflow import Run, World

PASSING = "none_failed_min_one_success"


class Task(BaseOperator):
    """Does what it is told."""

    def __init__(self, *, does: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.does = does

    def execute(self, context: Any) -> None:
        if self.does == "skip":
            raise AirflowSkipException("skipped")
        if self.does == "fail":
            raise AirflowFailException("failed")


class Skipping(BaseOperator, SkipMixin):
    """Skips tasks after it."""

    _can_skip_downstream = True

    def __init__(self, *, which: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.which = which

    def execute(self, context: Any) -> None:
        dag: Any = self.get_dag()
        self.skip(context["ti"], [dag.get_task(name) for name in self.which])


def run_of(which: Sequence[str] = (), *, creates: str = "", turn: str = "") -> Run:
    """A run of the shape that an onboarding DAG of Digital Audience has."""
    with DAG("a_dag", schedule=None) as dag:
        look = Skipping(which=which, task_id="a_look")
        first = Task(does=creates, task_id="first")
        second = Task(task_id="second", trigger_rule=PASSING)
        there = EmptyOperator(task_id="there", trigger_rule=PASSING)
        look >> first >> second >> there >> Task(task_id="upload")
        look >> [second, there]
        Task(does=turn, task_id="turn") >> dag.get_task("upload")
    return Run(dag, World())


def states(run: Run) -> dict[str, str]:
    run.states.clear()
    return {name: state for name, state in run.execute().states.items() if state != "success"}


@pytest.mark.parametrize("which", [[], ["first"], ["first", "second"]])
def test_what_is_skipped_is_passed_over(which: list[str]) -> None:
    assert states(run_of(which)) == dict.fromkeys(which, "skipped")


def test_what_has_failed_is_not_passed_over() -> None:
    not_run = dict.fromkeys(["second", "there", "upload"], "upstream_failed")

    assert states(run_of(creates="fail")) == {"first": "failed", **not_run}


def test_a_skip_that_is_not_passed_over_goes_on() -> None:
    assert states(run_of(["first"], turn="skip")) == dict.fromkeys(["first", "turn", "upload"], "skipped")


def test_a_task_that_has_run_is_not_skipped_any_more() -> None:
    run = run_of(["first"])
    run.states["first"] = "success"

    assert run.execute().states["first"] == "success"


def test_a_task_that_was_skipped_is_skipped_again_where_it_is_cleared_by_itself() -> None:
    run = run_of(["first"]).execute()
    del run.states["first"]

    assert run.execute().states["first"] == "skipped"
