"""The DAG that retires an audience: its form, its question, and which way it goes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
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
from tests.unit.pipelines.conftest import definition, function_of

BASE = Path("/base")
SEEN = Seen(5, "The audience", 3, (SeenSegment(11, "One", "Active", "2026-12-01T00:00:00+00:00"),))


def dag_of(*keys: str) -> DAG:
    return build_retire_dag([definition(key=key) for key in keys or ("newsletter",)], base=BASE)


def context_of(stores: AssetStores, dag: DAG, **conf: Any) -> Any:
    dag.params.update({"audience": "newsletter", **conf})
    context = task_context(stores=stores, **dag.params.validate())
    context["dag_run"].triggering_user_name = "anna"
    return context


def fill_in(params: Any, conf: dict[str, Any]) -> None:
    """Do with the form what Airflow does before it makes a run."""
    params.update(conf)
    params.validate()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> AssetStores:
    monkeypatch.setattr(retiring, "look", lambda definition, memory: SEEN)
    return AssetStores()


def run(dag: DAG, task_id: str, context: Any, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> Any:
    monkeypatch.setattr(retire, "get_current_context", lambda: context)
    return function_of(dag, task_id)(*arguments)


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


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"audience": "nobody"},
        {"audience": "newsletter", "action": "delete"},
        {"audience": "newsletter", "approve_within_hours": 0},
        {"audience": "newsletter", "approve_within_hours": "soon"},
    ],
    ids=str,
)
def test_wrong_input_is_refused_before_the_run(conf: dict[str, Any]) -> None:
    params = dag_of().params
    with pytest.raises(ParamValidationError):
        fill_in(params, conf)


def test_the_question_shows_all_that_would_be_deleted(
    here: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = dag_of()

    shown = run(dag, "look", context_of(here, dag), monkeypatch)

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


def test_each_action_skips_what_is_the_others(here: AssetStores, monkeypatch: pytest.MonkeyPatch) -> None:
    dag = dag_of()

    with pytest.raises(AirflowSkipException):
        run(dag, "look", context_of(here, dag, action="reopen"), monkeypatch)
    with pytest.raises(AirflowSkipException):
        run(dag, "reopen", context_of(here, dag, action="retire"), monkeypatch)


def test_opening_again_forgets_the_record_and_returns_it(
    here: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag, record = dag_of(), {"audience": "newsletter", "audience_id": 5}
    memory = here[asset_of(definition())]
    memory.set(RETIRED_KEY, record)

    assert run(dag, "reopen", context_of(here, dag, action="reopen"), monkeypatch) == record
    assert memory.get(RETIRED_KEY) is None
    with pytest.raises(AirflowFailException, match="is not retired"):
        run(dag, "reopen", context_of(here, dag, action="reopen"), monkeypatch)


def test_what_was_shown_is_what_the_platform_deletes_and_the_event_is_the_record(
    here: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = dag_of()
    context = context_of(here, dag)
    shown = run(dag, "look", context, monkeypatch)
    deleted: list[Seen] = []
    monkeypatch.setattr(retiring, "delete", lambda of, memory, progress, seen: deleted.append(seen) or "gone")
    events: list[Any] = []
    context["outlet_events"] = {
        retire.RETIREMENTS: SimpleNamespace(add=lambda *a, **k: events.append((a, k)))
    }
    context["ti"].xcom_pull = lambda **_: None

    done = run(dag, "delete", context, monkeypatch, shown)
    record = run(dag, "close", context, monkeypatch, shown, done)

    assert deleted == [SEEN]
    assert (record["done"], record["by"], record["approved_by"]) == ("gone", "anna", "unknown")
    assert here[asset_of(definition())].get(RETIRED_KEY) == record
    assert events == [((asset_of(definition()),), {"extra": record})]


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (Seen(6, "The audience"), "the audience is 6"),
        (Seen(5, "Another"), "is called 'Another'"),
        (Seen(5, "The audience", 3, (*SEEN.segments, SeenSegment(12, "Two"))), "not approved: Two"),
        (Seen(5, "The audience", 3, (SeenSegment(11, "Renamed"),)), "not approved: Renamed"),
    ],
)
def test_something_else_than_what_was_approved_is_not_deleted(now: Seen, why: str) -> None:
    with pytest.raises(ApprovalOutdatedError, match=why):
        check_same(SEEN, now)


def test_less_than_what_was_approved_or_other_members_is_fine() -> None:
    check_same(SEEN, Seen(5, "The audience", 99))
    check_same(SEEN, Seen(5, "", is_there=False))
