"""The DAG that retires an audience: its form, its question, and which way it goes."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError

from audience_onboarding.base.retirement import AudienceInventory, SegmentSummary, ensure_unchanged
from audience_onboarding.dag_ids import RETIRE_DAG_ID
from audience_onboarding.exceptions import StaleApprovalError
from audience_onboarding.pipelines import build_retire_dag, retire
from audience_onboarding.pipelines.common import get_asset
from audience_onboarding.pipelines.retire import RetirementApprovalOperator
from audience_onboarding.platforms.digital_audience import retirement
from audience_onboarding.state.store import RETIRED_KEY
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import BASE, definition, fill_in, run_task, upstream_of
from tests.unit.state.helpers import check_refused

SEEN = AudienceInventory(
    5, "The audience", 3, (SegmentSummary(11, "One", "Active", "2026-12-01T00:00:00+00:00"),)
)


def dag_of(*keys: str) -> Any:
    return build_retire_dag([definition(key=key) for key in keys or ("newsletter",)], base=BASE)


def context_of(stores: AssetStores, dag: Any, **conf: Any) -> Any:
    context = task_context(stores=stores, **fill_in(dag, {"audience": "newsletter", **conf}))
    context["dag_run"].triggering_user_name = "anna"
    return context


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> AssetStores:
    monkeypatch.setattr(retirement, "inspect", lambda definition, store: SEEN)
    return AssetStores()


def test_it_is_started_by_hand_only_and_asks_between_look_and_delete() -> None:
    dag = dag_of("one", "two")
    approve: Any = dag.get_task("approve")

    assert (dag.dag_id, dag.timetable.can_be_scheduled) == (RETIRE_DAG_ID, False)
    found = upstream_of(dag)
    assert (found["approve"], found["delete"]) == ({"inspect"}, {"inspect", "approve"})
    assert found["record_retirement"] == {"inspect", "delete"}
    # Without an answer, nothing is deleted.
    assert (approve.defaults, approve.fail_on_reject) == ([ApprovalOperator.REJECT], False)
    # No audience gets an event of another one.
    assert [type(outlet).__name__ for outlet in dag.get_task("record_retirement").outlets] == ["AssetAlias"]


def test_wrong_input_is_refused_before_the_run() -> None:
    chosen = {"audience": "newsletter"}
    wrong = [{}, {"audience": "nobody"}, {**chosen, "action": "delete"}]
    wrong += [{**chosen, "approve_within_hours": hours} for hours in (0, "soon")]
    check_refused(lambda conf: fill_in(dag_of(), conf), wrong, ParamValidationError)


def test_the_time_to_answer_is_that_of_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = dag_of()
    approve: Any = dag.get_task("approve")
    assert isinstance(approve, RetirementApprovalOperator)
    asked: list[timedelta] = []
    monkeypatch.setattr(
        ApprovalOperator, "execute", lambda self, context: asked.append(self.response_timeout)
    )

    approve.execute(context_of(AssetStores(), dag, approve_within_hours=5))
    with pytest.raises(AirflowSkipException):
        approve.execute(context_of(AssetStores(), dag, dry_run=True))

    assert asked == [timedelta(hours=5)]


def test_each_action_skips_the_tasks_of_the_other(here: AssetStores) -> None:
    dag, record = dag_of(), {"audience": "newsletter", "audience_id": 5}
    store = here[get_asset(definition())]
    store.set(RETIRED_KEY, record)

    for task_id, action in (("inspect", "reopen"), ("reopen", "retire")):
        with pytest.raises(AirflowSkipException):
            run_task(dag, task_id, context_of(here, dag, action=action))
    # The one to open it again forgets the record and returns it.
    assert run_task(dag, "reopen", context_of(here, dag, action="reopen")) == record
    assert store.get(RETIRED_KEY) is None
    with pytest.raises(AirflowFailException, match="is not retired"):
        run_task(dag, "reopen", context_of(here, dag, action="reopen"))


def test_the_platform_deletes_the_shown_objects_and_the_event_is_the_record(
    here: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = dag_of()
    context = context_of(here, dag)
    shown = run_task(dag, "inspect", context)
    for word in ("newsletter", "The audience", "id 5", "members: 3", "One (11, Active, ends 2026-12-01"):
        assert word in shown["text"]
    assert AudienceInventory.from_dict(shown["seen"]) == SEEN
    assert "ti.xcom_pull(task_ids='inspect')['text']" in dag.get_task("approve").body
    deleted: list[AudienceInventory] = []
    monkeypatch.setattr(
        retirement, "delete", lambda of, store, progress, seen: deleted.append(seen) or "gone"
    )
    events: list[Any] = []
    context["outlet_events"] = {
        retire.RETIREMENTS: SimpleNamespace(add=lambda *a, **k: events.append((a, k)))
    }
    context["ti"].xcom_pull = lambda **_: None

    done = run_task(dag, "delete", context, shown)
    record = run_task(dag, "record_retirement", context, shown, done)

    assert deleted == [SEEN]
    assert (record["done"], record["by"], record["approved_by"]) == ("gone", "anna", "unknown")
    assert here[get_asset(definition())].get(RETIRED_KEY) == record
    assert events == [((get_asset(definition()),), {"extra": record})]


def test_anything_else_than_the_approved_objects_is_not_deleted() -> None:
    segments = SEEN.segments
    cases = [
        (AudienceInventory(6, "The audience"), "the audience is 6"),
        (AudienceInventory(5, "Another"), "is called 'Another'"),
        (
            AudienceInventory(5, "The audience", 3, (*segments, SegmentSummary(12, "Two"))),
            "not approved: Two",
        ),
        (AudienceInventory(5, "The audience", 3, (SegmentSummary(11, "Renamed"),)), "not approved: Renamed"),
    ]
    check_refused(
        lambda case: ensure_unchanged(SEEN, case[0]), cases, StaleApprovalError, lambda case: case[1]
    )
    # Fewer objects, or other members, are fine.
    ensure_unchanged(SEEN, AudienceInventory(5, "The audience", 99))
    ensure_unchanged(SEEN, AudienceInventory(5, "", exists=False))
