"""The approval of an activation: when it is asked for, the question, and the effect of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
)

from audience_onboarding.platforms.digital_audience.approval import DigitalAudienceApproveActivationOperator
from audience_onboarding.platforms.digital_audience.definition import Approval
from audience_onboarding.platforms.digital_audience.models import PlatformAccount, Segment
from audience_onboarding.platforms.digital_audience.segment_operators import (
    DigitalAudienceActivateAudienceOperator,
)
from tests.fakes import AssetStores, TaskInstance, task_context
from tests.unit.platforms.kits import ASSET, DIGITAL_AUDIENCE, HOST

AT = datetime(2026, 11, 20, 9, tzinfo=timezone.utc)
LOAD = {
    "load_date": "2026-11-19",
    "size": 12345,
    "match_rates": {"EMAIL": 0.5, "PHONE": None},
}
SEGMENT = {
    "segment_name": "Segment",
    "description": "d",
    "audience_id": 7,
    "platform": "DV360",
    "account_name": "Example NL",
    "target": "dv360",
    "asset": ASSET,
}


class Instance(TaskInstance):
    """A task instance with the fields that Airflow's operator reads."""

    id = "an id"
    map_index = -1


def approve(*, rule: Approval | None = None, **changes: Any) -> Any:
    with DAG("a_dag", schedule=None):
        operator = DigitalAudienceApproveActivationOperator(
            task_id="approve", audience_name="The list", rule=rule, **{**SEGMENT, **changes}
        )
        after = DigitalAudienceActivateAudienceOperator(task_id="activate", **SEGMENT)
        operator >> after
    return operator


class Scene:
    """Runs of the task.

    :ivar asked: the questions that Airflow was given.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = DIGITAL_AUDIENCE.client(monkeypatch)
        self.client.load_audience_segments.return_value = []
        self.client.find_platform_account.return_value = PlatformAccount(
            id=8, name="Example | NL", platform_display_name="DV360"
        )
        self.asked: list[dict[str, Any]] = []
        monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **details: self.asked.append(details))
        self.stores = AssetStores()
        self.store = self.stores[ASSET]
        self.store.set("last_load", LOAD)

    def context(self, **options: Any) -> dict[str, Any]:
        made = task_context(stores=self.stores, **options)
        instance = Instance("a_dag", made["run_id"])
        return {**made, "ti": instance, "task_instance": instance}

    def run(self, *, run: Mapping[str, Any] = {}, **changes: Any) -> Any:
        return approve(**changes).execute(self.context(**run))

    def asks(self, *, run: Mapping[str, Any] = {}, **changes: Any) -> TaskAwaitingInput:
        with pytest.raises(TaskAwaitingInput) as waiting:
            self.run(run=run, **changes)
        return waiting.value

    def answered(self, option: str, *, by: str | None = "Anna", **run: Any) -> tuple[Any, dict[str, Any]]:
        """Ask and answer in one run; return what the task returns or raises, and its context."""
        context = self.context(**run)
        with pytest.raises(TaskAwaitingInput):
            approve().execute(context)
        # Another process takes up the answer.
        operator = approve()
        event = {
            "chosen_options": [option],
            "params_input": {},
            "responded_at": AT,
            "responded_by_user": {"id": "anna", "name": by} if by else None,
        }
        try:
            return operator.execute_complete({**context, "task": operator}, event), context
        except DownstreamTasksSkipped as skip:
            return skip, context


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_person_is_shown_what_will_be_created(scene: Scene) -> None:
    waiting = scene.asks(days="10")

    (question,) = scene.asked
    assert question["subject"] == "Activate The list on DV360?"
    assert (question["options"], question["defaults"]) == (["Approve", "Reject"], ["Reject"])
    lines = [
        "| Audience | The list (7) |",
        "| Last load | 2026-11-19 |",
        "| Members | 12,345 |",
        "| Match rates | EMAIL 50.0%, PHONE unknown |",
        "| Account | Example \\| NL on DV360 (8) |",
        "| Segment | Segment |",
        "| From | 2026-11-20 03:00 UTC |",
        "| To | 2026-11-30 03:00 UTC |",
    ]
    assert [line for line in lines if line not in question["body"]] == []
    assert waiting.timeout == timedelta(hours=24)
    assert scene.client.activate_audience.call_count == 0


def test_the_rule_says_who_may_answer_and_for_how_long(scene: Scene) -> None:
    waiting = scene.asks(rule=Approval(assigned_users=("anna", "ben"), timeout_hours=2, on_timeout="fail"))

    (question,) = scene.asked
    assert [user["id"] for user in question["assigned_users"]] == ["anna", "ben"]
    assert question["defaults"] is None
    assert waiting.timeout == timedelta(hours=2)


def test_no_question_about_a_segment_that_is_there_or_a_target_that_is_over(scene: Scene) -> None:
    with pytest.raises(AirflowSkipException, match=r"ended on .*; skipping"):
        scene.run(until="2026-11-20T03:00:00+00:00")
    scene.client.load_audience_segments.return_value = [Segment(segment_id=5, name="Segment", account_id=8)]
    assert scene.run() == {"asked": False}
    scene.client.load_audience_segments.return_value = []
    scene.store.set("segment.dv360", {"id": 5, "account": HOST})
    assert scene.run() == {"asked": False}
    assert scene.asked == []


def test_a_segment_on_another_account_is_not_there(scene: Scene) -> None:
    scene.client.load_audience_segments.return_value = [Segment(segment_id=5, name="Segment", account_id=9)]

    scene.asks()


def test_an_approval_lets_the_next_task_run(scene: Scene) -> None:
    scene.answered("Reject", run_id="first")

    result, _ = scene.answered("Approve", run_id="second", ask_again=True)

    assert result == {"asked": True, "approved": True, "by": "Anna", "at": AT.isoformat()}
    assert "approval_rejected.dv360" not in scene.store.values


def test_a_refusal_skips_the_next_task_and_is_remembered(scene: Scene) -> None:
    skip, _ = scene.answered("Reject", run_id="first")
    assert list(skip.tasks) == ["activate"]

    with pytest.raises(AirflowSkipException, match=r"Anna rejected it on 2026-11-20T09.*in run first"):
        scene.run(run={"run_id": "second"})
    assert len(scene.asked) == 1
    # Unless the form says so, the task is cleared, or it is another segment or for another time.
    scene.asks(run={"run_id": "second", "ask_again": True})
    scene.asks(run={"run_id": "first"})
    scene.asks(run={"run_id": "second"}, segment_name="Other")
    scene.asks(run={"run_id": "second"}, days=99)


def test_no_answer_in_time_is_not_remembered_as_a_refusal(scene: Scene) -> None:
    skip, context = scene.answered("Reject", by=None)

    assert list(skip.tasks) == ["activate"]
    assert "approval_rejected.dv360" not in scene.store.values
    assert context["ti"].pushed["return_value"]["approved"] is False


def test_no_answer_in_time_can_be_a_failure(scene: Scene) -> None:
    operator = approve(rule=Approval(on_timeout="fail"))
    event = {"error": "too late", "error_type": "timeout"}

    with pytest.raises(AirflowFailException, match="Clear this task to ask again"):
        operator.execute_complete({**scene.context(), "task": operator}, event)
