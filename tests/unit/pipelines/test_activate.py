"""The activation DAG."""

from __future__ import annotations

import json
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
    assert {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets} == {
        "wait_until_active_dv360": ["segment/newsletter/dv360"]
    }


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


# --- approval, until, the load date --------------------------------------------------------------------------


def test_only_what_is_to_be_approved_has_a_task_for_it() -> None:
    dag = build(activation__targets=[FIRST, {**SECOND, "approval": {"within_hours": 2}}])
    approve: Any = dag.get_task("approve_xandr")
    activate: Any = dag.get_task("activate_xandr")

    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "activate_dv360": set(),
        "wait_until_active_dv360": {"activate_dv360"},
        "approve_xandr": set(),
        "activate_xandr": {"approve_xandr"},
        "wait_until_active_xandr": {"activate_xandr"},
    }
    # Both have to mean the same segment.
    for name in ("segment_name", "account_id", "days", "until", "load_date", "naming", "target", "asset"):
        assert getattr(approve, name) == getattr(activate, name)
    assert approve.response_timeout.total_seconds() == 7200
    assert dag.get_task("activate_dv360").approval is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(("approval", "has_field"), [(True, True), (False, False)])
def test_to_ask_again_is_offered_where_somebody_is_asked(approval: bool, has_field: bool) -> None:
    form = build(activation__targets__0__approval=approval).params

    assert ("ask_again" in form) is has_field


def test_the_last_day_reaches_the_task_as_a_moment() -> None:
    task: Any = build(activation__targets__0__until="2026-12-31").get_task("activate_dv360")

    assert task.until == "2026-12-31T23:59:59+01:00"


@pytest.mark.parametrize(
    ("chosen", "partition", "day"),
    [
        (None, "2026-11-20", "2026-11-20"),
        ("2026-11-18", "2026-11-20", "2026-11-18"),
        (None, None, ""),
    ],
)
def test_the_load_date_is_the_forms_or_the_runs_and_never_the_clocks(
    chosen: str | None, partition: str | None, day: str
) -> None:
    task: Any = build().get_task("activate_dv360")
    context = {"params": {"load_date": chosen}, "dag_run": {"partition_key": partition}}

    assert jinja2.Template(task.load_date).render(**context) == day


def test_the_form_refuses_a_load_date_that_is_none() -> None:
    with pytest.raises(ParamValidationError):
        build().params.get_param("load_date").resolve("2026-02-30")


def test_a_dag_with_an_approval_can_be_stored_and_is_the_same_each_time() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    first, second = (
        json.dumps(
            DagSerialization.to_dict(
                build(
                    activation__targets__0__approval={"assigned_users": ["anna"]},
                    activation__targets__0__until="2026-12-31",
                )
            ),
            sort_keys=True,
        )
        for _ in range(2)
    )

    assert first == second
