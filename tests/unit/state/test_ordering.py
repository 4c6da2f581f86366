"""Loads of one audience go out in the order of their load dates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pendulum
import pytest
from airflow.sdk.serde import deserialize, serialize

from audience_onboarding.state import ordering
from audience_onboarding.state.ordering import EarlierLoadsTrigger, earlier_unfinished
from tests.unit.state.helpers import check

MOMENT = pendulum.datetime(2026, 11, 20, 3)


def scheduled(load_date: str, suffix: str = "Xy9z") -> str:
    return f"scheduled__{load_date}T03:00:00+00:00__{load_date}__{suffix}"


def backfill(load_date: str, suffix: str = "aB3d") -> str:
    return f"backfill__{load_date}T03:00:00+00:00__{load_date}__{suffix}"


def manual(load_date: str) -> str:
    return f"manual__{load_date}T03:00:00+00:00__Qw2e"


def states(*runs: str, state: str | None = None) -> dict[str, dict[str, str | None]]:
    return {run: {"record_load": state} for run in runs}


def waited_for(case: tuple[list[str], str]) -> list[str]:
    others, own = case
    return earlier_unfinished(states(own, *others), run_id=own)


def test_a_load_waits_for_earlier_loads_of_its_kind() -> None:
    a_day_earlier = scheduled("2026-11-19")
    days = [backfill(f"2026-11-{day:02}") for day in (3, 1, 2, 5)]
    another_making = ["anything", "scheduled__2026-11-01T03:00:00+00:00"]
    cases: list[tuple[tuple[list[str], str], list[str]]] = [
        (([], scheduled("2026-11-20")), []),
        (([a_day_earlier], scheduled("2026-11-20")), [a_day_earlier]),
        (([scheduled("2026-11-21")], scheduled("2026-11-20")), []),
        # Another run of the same day.
        (([scheduled("2026-11-20", "other")], scheduled("2026-11-20")), []),
        # The other days of a backfill, oldest first.
        ((days, backfill("2026-11-04")), [days[1], days[2], days[0]]),
        # A scheduled run passes a backfill, a backfill waits for a scheduled run.
        (([backfill("2026-11-01")], scheduled("2026-11-20")), []),
        (([a_day_earlier], backfill("2026-11-20")), [a_day_earlier]),
        # No run waits for a manual one, nor the other way round.
        (([manual("2026-11-01")], scheduled("2026-11-20")), []),
        (([scheduled("2026-11-01")], manual("2026-11-20")), []),
        (([*another_making, "asset_triggered__x__2026-11-01__y"], scheduled("2026-11-20")), []),
        (([scheduled("2025-12-31")], scheduled("2026-01-01")), [scheduled("2025-12-31")]),
    ]
    check(waited_for, cases)


def test_only_unfinished_runs_are_waited_for() -> None:
    earlier, own = scheduled("2026-11-19"), scheduled("2026-11-20")
    finished = ["success", "failed", "skipped", "upstream_failed", "removed"]
    unfinished = [None, "scheduled", "queued", "running", "deferred", "up_for_retry"]
    unfinished += ["up_for_reschedule", "restarting"]
    check(
        lambda state: earlier_unfinished(states(earlier, state=state), run_id=own),
        [(state, []) for state in finished] + [(state, [earlier]) for state in unfinished],
    )


def test_run_ids_are_read_as_airflow_makes_them() -> None:
    from airflow.timetables.trigger import CronPartitionTimetable
    from airflow.utils.types import DagRunType

    timetable = CronPartitionTimetable("0 3 * * *", timezone="Europe/Amsterdam", key_format="%Y-%m-%d")
    for kind in (DagRunType.SCHEDULED, DagRunType.BACKFILL_JOB):
        made = timetable.generate_run_id(
            run_type=kind, run_after=MOMENT, data_interval=None, partition_key="2026-11-20"
        )
        assert earlier_unfinished(states(made), run_id=backfill("2026-11-21")) == [made]


# --- the trigger --------------------------------------------------------------------------------------------


WAITING = {"dag_id": "onboard_x", "awaited_task_id": "record_load", "run_id": backfill("2026-11-20")}


def trigger(*, deadline: float = float("inf"), poll_interval: float = 0.001) -> EarlierLoadsTrigger:
    return EarlierLoadsTrigger(**WAITING, poll_interval=poll_interval, deadline=deadline)


def events_of(waiting: EarlierLoadsTrigger) -> list[Any]:
    async def collect() -> list[Any]:
        return [event.payload async for event in waiting.run()]

    return asyncio.run(collect())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """Answers of Airflow, one look after the other; the last answer stays."""
    queue: list[list[str]] = []

    def ask(*, dag_id: str, task_id: str, run_id: str) -> list[str]:
        assert (dag_id, task_id, run_id) == ("onboard_x", "record_load", backfill("2026-11-20"))
        return queue.pop(0) if len(queue) > 1 else queue[0]

    monkeypatch.setattr(ordering, "ask_airflow", ask)
    return queue


def test_it_fires_once_no_run_is_left_or_at_the_deadline(answers: list[list[str]]) -> None:
    answers += [["a", "b"], ["b"], []]
    assert events_of(trigger()) == [{"waiting_for": []}]

    # At the deadline, the event names the runs that are left; a passed deadline alone is no failure.
    assert events_of(trigger(deadline=0)) == [{"waiting_for": []}]
    answers[:] = [["a"]]
    assert events_of(trigger(deadline=0)) == [{"waiting_for": ["a"]}]


def test_a_run_whose_turn_comes_soon_looks_more_often(
    answers: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers += [["a", "b", "c", "d", "e", "f"], ["a", "b"], ["b"], []]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(ordering.asyncio, "sleep", sleep)

    events_of(trigger(poll_interval=10))

    assert pauses == [5, 10, 4, 2]


def test_it_is_stored_as_json_and_comes_back_the_same() -> None:
    before = trigger(deadline=1234.5)
    path, arguments = before.serialize()

    assert path == "audience_onboarding.state.ordering.EarlierLoadsTrigger"
    assert json.loads(json.dumps(arguments)) == arguments == deserialize(serialize(arguments))
    assert EarlierLoadsTrigger(**arguments).serialize() == before.serialize()


def test_airflow_is_asked_for_the_one_task_that_ends_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def get_task_states(**arguments: Any) -> dict[str, dict[str, str | None]]:
        asked.append(arguments)
        return states(scheduled("2026-11-19"))

    monkeypatch.setattr(ordering.RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))

    found = ordering.ask_airflow(dag_id="onboard_x", task_id="record_load", run_id=scheduled("2026-11-20"))

    assert found == [scheduled("2026-11-19")]
    assert asked == [{"dag_id": "onboard_x", "task_ids": ["record_load"]}]
