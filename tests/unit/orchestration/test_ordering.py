"""Loads of one audience go out in the order of their load dates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pendulum
import pytest
from airflow.sdk.serde import deserialize, serialize

from audience_onboarding.orchestration import ordering
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger, earlier_unfinished


def scheduled(load_date: str, suffix: str = "Xy9z") -> str:
    return f"scheduled__{load_date}T03:00:00+00:00__{load_date}__{suffix}"


def backfill(load_date: str, suffix: str = "aB3d") -> str:
    return f"backfill__{load_date}T03:00:00+00:00__{load_date}__{suffix}"


def manual(load_date: str) -> str:
    return f"manual__{load_date}T03:00:00+00:00__Qw2e"


def states(*runs: str, state: str | None = None) -> dict[str, dict[str, str | None]]:
    return {run: {"record_load": state} for run in runs}


@pytest.mark.parametrize(
    ("others", "own", "expected"),
    [
        pytest.param([], scheduled("2026-11-20"), [], id="alone"),
        pytest.param(
            [scheduled("2026-11-19")], scheduled("2026-11-20"), [scheduled("2026-11-19")], id="a day earlier"
        ),
        pytest.param([scheduled("2026-11-21")], scheduled("2026-11-20"), [], id="a day later"),
        pytest.param(
            [scheduled("2026-11-20", "other")], scheduled("2026-11-20"), [], id="another run of the same day"
        ),
        pytest.param(
            [backfill("2026-11-03"), backfill("2026-11-01"), backfill("2026-11-02"), backfill("2026-11-05")],
            backfill("2026-11-04"),
            [backfill("2026-11-01"), backfill("2026-11-02"), backfill("2026-11-03")],
            id="the other days of a backfill, oldest first",
        ),
        pytest.param(
            [backfill("2026-11-01")], scheduled("2026-11-20"), [], id="a scheduled run passes a backfill"
        ),
        pytest.param(
            [scheduled("2026-11-01")],
            backfill("2026-11-20"),
            [scheduled("2026-11-01")],
            id="a backfill waits for a scheduled run",
        ),
        pytest.param([manual("2026-11-01")], scheduled("2026-11-20"), [], id="nobody waits for a manual run"),
        pytest.param([scheduled("2026-11-01")], manual("2026-11-20"), [], id="a manual run waits for nobody"),
        pytest.param(
            ["anything", "scheduled__2026-11-01T03:00:00+00:00", "asset_triggered__x__2026-11-01__y"],
            scheduled("2026-11-20"),
            [],
            id="runs of another making",
        ),
        pytest.param(
            [scheduled("2025-12-31")], scheduled("2026-01-01"), [scheduled("2025-12-31")], id="new year"
        ),
    ],
)
def test_who_waits_for_whom(others: list[str], own: str, expected: list[str]) -> None:
    assert earlier_unfinished(states(own, *others), run_id=own) == expected


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "upstream_failed", "removed"])
def test_a_run_that_is_through_is_not_waited_for(state: str) -> None:
    others = states(scheduled("2026-11-19"), state=state)

    assert earlier_unfinished(others, run_id=scheduled("2026-11-20")) == []


@pytest.mark.parametrize(
    "state",
    [None, "scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule", "restarting"],
)
def test_a_run_that_is_not_through_is_waited_for(state: str | None) -> None:
    others = states(scheduled("2026-11-19"), state=state)

    assert earlier_unfinished(others, run_id=scheduled("2026-11-20")) == [scheduled("2026-11-19")]


def test_run_ids_are_read_as_airflow_makes_them() -> None:
    from airflow.timetables.trigger import CronPartitionTimetable
    from airflow.utils.types import DagRunType

    timetable = CronPartitionTimetable("0 3 * * *", timezone="Europe/Amsterdam", key_format="%Y-%m-%d")
    for kind in (DagRunType.SCHEDULED, DagRunType.BACKFILL_JOB):
        made = timetable.generate_run_id(
            run_type=kind,
            run_after=pendulum.datetime(2026, 11, 20, 3),
            data_interval=None,
            partition_key="2026-11-20",
        )
        assert earlier_unfinished(states(made), run_id=backfill("2026-11-21")) == [made]


# --- the trigger --------------------------------------------------------------------------------------------


def trigger(*, deadline: float = float("inf")) -> EarlierLoadsTrigger:
    return EarlierLoadsTrigger(
        dag_id="onboard_x",
        awaited_task_id="record_load",
        run_id=backfill("2026-11-20"),
        poll_interval=0.001,
        deadline=deadline,
    )


def events_of(waiting: EarlierLoadsTrigger) -> list[Any]:
    async def collect() -> list[Any]:
        return [event.payload async for event in waiting.run()]

    return asyncio.run(collect())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """What Airflow answers, one look after the other; the last answer stays."""
    queue: list[list[str]] = []

    def ask(*, dag_id: str, task_id: str, run_id: str) -> list[str]:
        assert (dag_id, task_id, run_id) == ("onboard_x", "record_load", backfill("2026-11-20"))
        return queue.pop(0) if len(queue) > 1 else queue[0]

    monkeypatch.setattr(ordering, "ask_airflow", ask)
    return queue


def test_it_fires_once_nobody_is_left(answers: list[list[str]]) -> None:
    answers += [["a", "b"], ["b"], []]

    assert events_of(trigger()) == [{"waiting_for": []}]


def test_who_comes_soon_looks_more_often(answers: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    answers += [["a", "b", "c", "d", "e", "f"], ["a", "b"], ["b"], []]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(ordering.asyncio, "sleep", sleep)
    waiting = trigger()
    waiting.poll_interval = 10

    events_of(waiting)

    assert pauses == [5, 10, 4, 2]


def test_it_gives_up_at_the_deadline_and_names_who_is_left(answers: list[list[str]]) -> None:
    answers += [["a"]]

    assert events_of(trigger(deadline=0)) == [{"waiting_for": ["a"]}]


def test_a_deadline_that_has_passed_is_no_failure_if_nobody_is_left(answers: list[list[str]]) -> None:
    answers += [[]]

    assert events_of(trigger(deadline=0)) == [{"waiting_for": []}]


def test_it_is_stored_as_json_and_comes_back_the_same() -> None:
    before = trigger(deadline=1234.5)
    path, arguments = before.serialize()

    assert path == "audience_onboarding.orchestration.ordering.EarlierLoadsTrigger"
    assert json.loads(json.dumps(arguments)) == arguments == deserialize(serialize(arguments))
    assert EarlierLoadsTrigger(**arguments).serialize() == before.serialize()


def test_airflow_is_asked_for_the_one_task_that_ends_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def get_task_states(**arguments: Any) -> dict[str, dict[str, str | None]]:
        asked.append(arguments)
        return states(scheduled("2026-11-19"))

    monkeypatch.setattr(ordering.RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))

    assert ordering.ask_airflow(
        dag_id="onboard_x", task_id="record_load", run_id=scheduled("2026-11-20")
    ) == [scheduled("2026-11-19")]
    assert asked == [{"dag_id": "onboard_x", "task_ids": ["record_load"]}]
