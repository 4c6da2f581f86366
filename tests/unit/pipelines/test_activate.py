"""The activation DAG."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG

from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_activation_dag
from tests.unit.pipelines.conftest import (
    GOOD,
    REMOVE,
    check_form,
    definition,
    outlets_of,
    rendered,
    upstream_of,
)
from tests.unit.state.helpers import check

FIRST = GOOD["activation"]["targets"][0]
SECOND = {"key": "xandr", "account": {"id": 9}, "segment_name": "Other name", "description": "d"}
SECOND |= {"duration_days": 10, "poll_interval_seconds": 5, "timeout_hours": 2}


def build(**changes: Any) -> DAG:
    return build_activation_dag(definition(**changes))


EACH_BY_ITSELF: dict[str, set[str]] = {
    "activate_dv360": set(),
    "wait_until_active_dv360": {"activate_dv360"},
    "activate_xandr": set(),
    "wait_until_active_xandr": {"activate_xandr"},
}


def test_each_target_is_activated_and_waited_for_by_itself() -> None:
    assert upstream_of(build(activation__targets=[FIRST, SECOND])) == EACH_BY_ITSELF


def test_the_target_reaches_the_tasks() -> None:
    general = {"conn_id": "a_connection", "id": 7, "retries": 5, "retry_delay_seconds": 7}
    dag = build(activation__targets=[FIRST, SECOND], **general)
    first: Any = dag.get_task("activate_dv360")
    second: Any = dag.get_task("activate_xandr")
    wait: Any = dag.get_task("wait_until_active_xandr")

    assert (first.platform, first.account_name, first.account_id) == ("DV360", "Example NL", None)
    assert (second.platform, second.account_name, second.account_id) == (None, None, 9)
    assert (first.target, second.target) == ("dv360", "xandr")
    assert (second.segment_name, second.description, second.audience_id) == ("Other name", "d", 7)
    assert (wait.poke_interval, wait.timeout) == (5, 7200)
    assert {task.digital_audience_conn_id for task in dag.tasks} == {"a_connection"}
    for task in dag.tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert (task.retries, task.retry_delay.total_seconds(), task.owner) == (5, 7, "crm-team")


def test_a_run_follows_each_published_day_and_announces_segments() -> None:
    dag = build()
    activate = dag.get_task("activate_dv360")

    assert [asset.name for asset in activate.inlets] == ["audience/newsletter"]
    assert outlets_of(dag) == {"wait_until_active_dv360": ["segment/newsletter/dv360"]}
    # Two runs do not activate at the same time.
    assert activate.max_active_tis_per_dag == 1
    timetable: Any = dag.timetable
    assert type(timetable).__name__ == "PartitionedAssetTimetable"
    assert timetable.asset_condition.name == "audience/newsletter"


def test_days_and_load_date_come_from_the_form_first_and_never_from_the_clock() -> None:
    task: Any = build(activation__targets=[SECOND]).get_task("activate_xandr")
    check(lambda given: rendered(task.days, params={"days": given}), [(None, "10"), (3, "3")])

    def load_date(case: tuple[str | None, str | None]) -> str:
        chosen, partition = case
        context = {"params": {"load_date": chosen}, "dag_run": {"partition_key": partition}}
        return rendered(task.load_date, **context)

    cases: list[tuple[tuple[str | None, str | None], str]] = [
        ((None, "2026-11-20"), "2026-11-20"),
        (("2026-11-18", "2026-11-20"), "2026-11-18"),
        ((None, None), ""),
    ]
    check(load_date, cases)


def test_the_form_refuses_wrong_days() -> None:
    load_dates = ([None, "2026-11-18"], ["2026-02-30"])
    check_form(build(), {"days": ([None, 1], [0, -1, "3", 2.5]), "load_date": load_dates})


def test_an_audience_without_activation_has_no_such_dag() -> None:
    with pytest.raises(ValueError, match="newsletter has no activation"):
        build(activation=REMOVE)


def test_the_dag_describes_itself() -> None:
    dag = build()

    assert (dag.dag_id, dag.dag_display_name) == ("activate_newsletter", "Activate: Newsletter")
    assert {"audience-onboarding", "digital_audience", "activation"} <= dag.tags
    assert "onboard_newsletter" in str(dag.doc_md)


# --- approval, until, the load date -------------------------------------------------------------------------


def test_only_a_target_with_an_approval_has_a_task_for_it() -> None:
    dag = build(activation__targets=[FIRST, {**SECOND, "approval": {"timeout_hours": 2}}])
    approve: Any = dag.get_task("approve_xandr")
    activate: Any = dag.get_task("activate_xandr")

    assert upstream_of(dag) == {
        **EACH_BY_ITSELF,
        "approve_xandr": set(),
        "activate_xandr": {"approve_xandr"},
    }
    # Both have to mean the same segment.
    for name in ("segment_name", "account_id", "days", "until", "load_date", "naming", "target", "asset"):
        assert getattr(approve, name) == getattr(activate, name)
    assert approve.response_timeout.total_seconds() == 7200
    assert dag.get_task("activate_dv360").approval is None


def test_the_form_offers_to_ask_again_if_there_is_an_approval() -> None:
    for approval in (True, False):
        assert ("ask_again" in build(activation__targets__0__approval=approval).params) is approval


def test_the_last_day_reaches_the_task_as_a_moment() -> None:
    task: Any = build(activation__targets__0__until="2026-12-31").get_task("activate_dv360")

    assert task.until == "2026-12-31T23:59:59+01:00"
