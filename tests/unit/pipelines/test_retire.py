"""The DAG that retires an audience: its form, its question, and which way it goes."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError

from audience_onboarding.base.retiring import Seen, SeenSegment, check_same
from audience_onboarding.digital_audience import retiring
from audience_onboarding.errors import ApprovalOutdatedError
from audience_onboarding.orchestration.ensure import RETIRE_DAG_ID
from audience_onboarding.orchestration.memory import RETIRED_KEY
from audience_onboarding.pipelines import build_retire_dag, retire
from audience_onboarding.pipelines.common import asset_of
from audience_onboarding.pipelines.retire import RetirementApprovalOperator
from tests.fakes import AssetStores, task_context
from tests.unit.orchestration.helpers import check_refused
from tests.unit.pipelines.conftest import BASE, definition, fill_in, run_task

SEEN = Seen(5, "The audience", 3, (SeenSegment(11, "One", "Active", "2026-12-01T00:00:00+00:00"),))


def dag_of(*keys: str) -> DAG:
    return build_retire_dag([definition(key=key) for key in keys or ("newsletter",)], base=BASE)


def context_of(stores: AssetStores, dag: DAG, **conf: Any) -> Any:
    context = task_context(stores=stores, **fill_in(dag, {"audience": "newsletter", **conf}))
    context["dag_run"].triggering_user_name = "anna"
    return context


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> AssetStores:
    monkeypatch.setattr(retiring, "look", lambda definition, memory: SEEN)
    return AssetStores()


def test_it_is_started_by_hand_only_and_asks_between_look_and_delete() -> None:
    dag = dag_of()

    assert (dag.dag_id, dag.timetable.can_be_scheduled) == (RETIRE_DAG_ID, False)
    assert dag.get_task("delete").upstream_task_ids == {"look", "approve"}
    assert dag.get_task("close").upstream_task_ids == {"look", "delete"}
    assert dag.get_task("approve").upstream_task_ids == {"look"}
    approve: Any = dag.get_task("approve")
    # What nobody answers is rejected.
    assert (approve.defaults, approve.fail_on_reject) == ([ApprovalOperator.REJECT], False)


def test_no_audience_gets_an_event_that_it_is_not_about() -> None:
    close = dag_of("one", "two").get_task("close")

    assert [type(outlet).__name__ for outlet in close.outlets] == ["AssetAlias"]


def test_wrong_input_is_refused_before_the_run() -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"audience": "nobody"},
        {"audience": "newsletter", "action": "delete"},
        {"audience": "newsletter", "approve_within_hours": 0},
        {"audience": "newsletter", "approve_within_hours": "soon"},
    ]
    check_refused(lambda conf: fill_in(dag_of(), conf), wrong, ParamValidationError)


def test_the_question_shows_all_that_would_be_deleted(here: AssetStores) -> None:
    dag = dag_of()

    shown = run_task(dag, "look", context_of(here, dag))

    for word in ("newsletter", "The audience", "id 5", "members: 3", "One (11, Active, ends 2026-12-01"):
        assert word in shown["text"]
    assert Seen.from_dict(shown["seen"]) == SEEN
    body: Any = dag.get_task("approve")
    assert "ti.xcom_pull(task_ids='look')['text']" in body.body


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


def test_each_action_skips_what_is_the_others(here: AssetStores) -> None:
    dag = dag_of()

    with pytest.raises(AirflowSkipException):
        run_task(dag, "look", context_of(here, dag, action="reopen"))
    with pytest.raises(AirflowSkipException):
        run_task(dag, "reopen", context_of(here, dag, action="retire"))


def test_opening_again_forgets_the_record_and_returns_it(here: AssetStores) -> None:
    dag, record = dag_of(), {"audience": "newsletter", "audience_id": 5}
    memory = here[asset_of(definition())]
    memory.set(RETIRED_KEY, record)

    assert run_task(dag, "reopen", context_of(here, dag, action="reopen")) == record
    assert memory.get(RETIRED_KEY) is None
    with pytest.raises(AirflowFailException, match="is not retired"):
        run_task(dag, "reopen", context_of(here, dag, action="reopen"))


def test_what_was_shown_is_what_the_platform_deletes_and_the_event_is_the_record(
    here: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = dag_of()
    context = context_of(here, dag)
    shown = run_task(dag, "look", context)
    deleted: list[Seen] = []
    monkeypatch.setattr(retiring, "delete", lambda of, memory, progress, seen: deleted.append(seen) or "gone")
    events: list[Any] = []
    context["outlet_events"] = {
        retire.RETIREMENTS: SimpleNamespace(add=lambda *a, **k: events.append((a, k)))
    }
    context["ti"].xcom_pull = lambda **_: None

    done = run_task(dag, "delete", context, shown)
    record = run_task(dag, "close", context, shown, done)

    assert deleted == [SEEN]
    assert (record["done"], record["by"], record["approved_by"]) == ("gone", "anna", "unknown")
    assert here[asset_of(definition())].get(RETIRED_KEY) == record
    assert events == [((asset_of(definition()),), {"extra": record})]


def test_anything_else_than_the_approved_objects_is_not_deleted() -> None:
    segments = SEEN.segments
    cases = [
        (Seen(6, "The audience"), "the audience is 6"),
        (Seen(5, "Another"), "is called 'Another'"),
        (Seen(5, "The audience", 3, (*segments, SeenSegment(12, "Two"))), "not approved: Two"),
        (Seen(5, "The audience", 3, (SeenSegment(11, "Renamed"),)), "not approved: Renamed"),
    ]
    check_refused(lambda case: check_same(SEEN, case[0]), cases, ApprovalOutdatedError, lambda case: case[1])
    # Fewer objects, or other members, are fine.
    check_same(SEEN, Seen(5, "The audience", 99))
    check_same(SEEN, Seen(5, "", is_there=False))
