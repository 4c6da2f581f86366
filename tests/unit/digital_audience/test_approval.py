"""The approval of an activation: when a person is asked, what is shown, and what the answer does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
)

from audience_onboarding.digital_audience.approval import DigitalAudienceApproveActivationOperator
from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.definition import Approval
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.models import PlatformAccount, Segment
from audience_onboarding.digital_audience.operators import DigitalAudienceActivateAudienceOperator
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from tests.fakes import AssetStores, TaskInstance, task_context

HOST = "https://vendor.example"
ASSET = Asset("audience/list")
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


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(base_url=HOST, user_name="u", password="p")
    made.load_audience_segments.return_value = []
    made.find_platform_account.return_value = PlatformAccount(
        id=8, name="Example | NL", platform_display_name="DV360"
    )
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Airflow was told to ask."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **details: found.append(details))
    return found


@pytest.fixture
def stores() -> AssetStores:
    made = AssetStores()
    made[ASSET].set("last_load", LOAD)
    return made


class Instance(TaskInstance):
    """One with what Airflow's operator reads."""

    id = "an id"
    map_index = -1


def context(stores: AssetStores, **options: Any) -> dict[str, Any]:
    made = task_context(stores=stores, **options)
    instance = Instance("a_dag", made["run_id"])
    return {**made, "ti": instance, "task_instance": instance}


def approve(*, rule: Approval | None = None, **changes: Any) -> Any:
    with DAG("a_dag", schedule=None):
        operator = DigitalAudienceApproveActivationOperator(
            task_id="approve", audience_name="The list", rule=rule, **{**SEGMENT, **changes}
        )
        after = DigitalAudienceActivateAudienceOperator(task_id="activate", **SEGMENT)
        operator >> after
    return operator


def answer(option: str | None, *, by: str | None = "Anna") -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": AT,
        "responded_by_user": {"id": "anna", "name": by} if by else None,
    }


def refuse(stores: AssetStores, **changes: Any) -> None:
    """A person refuses, in a run of its own."""
    first = context(stores, run_id="first")
    operator = approve(**changes)
    with pytest.raises(TaskAwaitingInput):
        operator.execute(first)
    with pytest.raises(DownstreamTasksSkipped):
        operator.execute_complete({**first, "task": operator}, answer("Reject"))


def test_a_person_is_shown_what_will_be_created(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    with pytest.raises(TaskAwaitingInput) as waiting:
        approve(days="10").execute(context(stores))

    (question,) = asked
    assert question["subject"] == "Activate The list on DV360?"
    assert (question["options"], question["defaults"]) == (["Approve", "Reject"], ["Reject"])
    for line in (
        "| Audience | The list (7) |",
        "| Last load | 2026-11-19 |",
        "| Members | 12,345 |",
        "| Match rates | EMAIL 50.0%, PHONE unknown |",
        "| Account | Example \\| NL on DV360 (8) |",
        "| Segment | Segment |",
        "| From | 2026-11-20 03:00 UTC |",
        "| To | 2026-11-30 03:00 UTC |",
    ):
        assert line in question["body"]
    assert waiting.value.timeout == timedelta(hours=24)
    assert client.activate_audience.call_count == 0


def test_who_may_answer_and_for_how_long_is_the_rules(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    rule = Approval(assigned_users=("anna", "ben"), within_hours=2, on_timeout="fail")

    with pytest.raises(TaskAwaitingInput) as waiting:
        approve(rule=rule).execute(context(stores))

    assert [user["id"] for user in asked[0]["assigned_users"]] == ["anna", "ben"]
    assert asked[0]["defaults"] is None
    assert waiting.value.timeout == timedelta(hours=2)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_nobody_is_asked_about_a_segment_that_is_there(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores, is_remembered: bool
) -> None:
    if is_remembered:
        stores[ASSET].set("segment.dv360", {"id": 5, "account": HOST})
    else:
        client.load_audience_segments.return_value = [Segment(segment_id=5, name="Segment", account_id=8)]

    assert approve().execute(context(stores)) == {"asked": False}
    assert asked == []


def test_a_segment_of_somebody_else_is_not_there(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    client.load_audience_segments.return_value = [Segment(segment_id=5, name="Segment", account_id=9)]

    with pytest.raises(TaskAwaitingInput):
        approve().execute(context(stores))


def test_nobody_is_asked_about_a_target_that_is_let_go(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    with pytest.raises(AirflowSkipException, match="it is let go"):
        approve(until="2026-11-20T03:00:00+00:00").execute(context(stores))

    assert asked == []


def test_an_approval_lets_the_next_task_run(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    refuse(stores)
    run, operator = context(stores, run_id="second", ask_again=True), approve()
    with pytest.raises(TaskAwaitingInput):
        operator.execute(run)

    result = operator.execute_complete({**run, "task": operator}, answer("Approve"))

    assert result == {"asked": True, "approved": True, "by": "Anna", "at": AT.isoformat()}
    assert "refused.dv360" not in stores[ASSET].values


def test_a_refusal_skips_the_next_task_and_is_remembered(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    refuse(stores)

    with pytest.raises(AirflowSkipException, match=r"Anna has refused it 2026-11-20T09.*in run first"):
        approve().execute(context(stores, run_id="second"))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("changes", "run"),
    [
        pytest.param({}, {"run_id": "second", "ask_again": True}, id="the form says so"),
        pytest.param({}, {"run_id": "first"}, id="the task is cleared"),
        pytest.param({"segment_name": "Other"}, {"run_id": "second"}, id="another segment"),
        pytest.param({"days": 99}, {"run_id": "second"}, id="for another time"),
    ],
)
def test_what_was_refused_is_asked_again(
    client: Any,
    asked: list[dict[str, Any]],
    stores: AssetStores,
    changes: dict[str, Any],
    run: dict[str, Any],
) -> None:
    refuse(stores)

    with pytest.raises(TaskAwaitingInput):
        approve(**changes).execute(context(stores, **run))


def test_no_answer_in_time_is_no_refusal_to_remember(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    run, operator = context(stores), approve()
    with pytest.raises(TaskAwaitingInput):
        operator.execute(run)

    with pytest.raises(DownstreamTasksSkipped) as skipped:
        operator.execute_complete({**run, "task": operator}, answer("Reject", by=None))

    assert list(skipped.value.tasks) == ["activate"]
    assert "refused.dv360" not in stores[ASSET].values
    assert run["ti"].pushed["return_value"]["approved"] is False


def test_no_answer_in_time_can_be_a_failure(
    client: Any, asked: list[dict[str, Any]], stores: AssetStores
) -> None:
    run, operator = context(stores), approve(rule=Approval(on_timeout="fail"))
    event = {"error": "too late", "error_type": "timeout"}

    with pytest.raises(AirflowFailException, match="Clear this task to ask again"):
        operator.execute_complete({**run, "task": operator}, event)
