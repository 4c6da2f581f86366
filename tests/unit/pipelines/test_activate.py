"""The activation DAG."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_activation_dag
from tests.unit.pipelines.conftest import GOOD, REMOVE, definition

FIRST = GOOD["activation"]["targets"][0]
SECOND = {
    "key": "xandr",
    "account": {"id": 9},
    "segment_name": "Other name",
    "description": "d",
    "days": 10,
    "poll_seconds": 5,
    "timeout_hours": 2,
}


def build(**changes: Any) -> DAG:
    return build_activation_dag(definition(**changes))


def test_each_target_is_activated_and_waited_for_by_itself() -> None:
    dag = build(activation__targets=[FIRST, SECOND])

    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "activate_dv360": set(),
        "wait_until_active_dv360": {"activate_dv360"},
        "activate_xandr": set(),
        "wait_until_active_xandr": {"activate_xandr"},
    }


def test_the_target_reaches_the_tasks() -> None:
    dag = build(activation__targets=[FIRST, SECOND], connection="a_connection", id=7)
    first: Any = dag.get_task("activate_dv360")
    second: Any = dag.get_task("activate_xandr")
    wait: Any = dag.get_task("wait_until_active_xandr")

    assert (first.platform, first.account_name, first.account_id) == ("DV360", "Example NL", None)
    assert (second.platform, second.account_name, second.account_id) == (None, None, 9)
    assert (first.target, second.target) == ("dv360", "xandr")
    assert (second.segment_name, second.description, second.audience_id) == ("Other name", "d", 7)
    assert (wait.poke_interval, wait.timeout) == (5, 7200)
    assert {task.digital_audience_conn_id for task in dag.tasks} == {"a_connection"}  # type: ignore[attr-defined]


def test_two_runs_do_not_activate_at_the_same_time() -> None:
    assert build().get_task("activate_dv360").max_active_tis_per_dag == 1


def test_the_audience_is_remembered_but_not_announced() -> None:
    dag = build()

    assert [asset.name for asset in dag.get_task("activate_dv360").inlets] == ["audience/newsletter"]
    assert not any(task.outlets for task in dag.tasks)


def test_it_runs_for_each_day_that_is_published() -> None:
    timetable: Any = build().timetable

    assert type(timetable).__name__ == "PartitionedAssetTimetable"
    assert timetable.asset_condition.name == "audience/newsletter"


def test_every_task_follows_our_rules_of_retrying() -> None:
    for task in build(retries=5, retry_delay_seconds=7).tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert (task.retries, task.retry_delay.total_seconds(), task.owner) == (5, 7, "crm-team")


@pytest.mark.parametrize(("given", "days"), [(None, "10"), (3, "3")])
def test_the_days_come_from_the_form_or_the_definition(given: int | None, days: str) -> None:
    task: Any = build(activation__targets=[SECOND]).get_task("activate_xandr")

    assert jinja2.Template(task.days).render(params={"days": given}) == days


@pytest.mark.parametrize("days", [0, -1, "3", 2.5])
def test_the_form_refuses_days_that_are_none(days: Any) -> None:
    with pytest.raises(ParamValidationError):
        build().params.get_param("days").resolve(days)


def test_an_audience_without_activation_has_no_such_dag() -> None:
    with pytest.raises(ValueError, match="newsletter has no activation"):
        build(activation=REMOVE)


def test_the_dag_says_what_it_is() -> None:
    dag = build()

    assert (dag.dag_id, dag.dag_display_name) == ("activate_newsletter", "Activate: Newsletter")
    assert {"audience-onboarding", "digital_audience", "activation"} <= dag.tags
    assert "onboard_newsletter" in str(dag.doc_md)
