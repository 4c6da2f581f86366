"""The sensor in front of an upload: it waits for the source, then for earlier loads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from audience_onboarding.base import prerequisites
from audience_onboarding.base.prerequisites import (
    EarlierLoadsTrigger,
    LoadPrerequisitesSensor,
    SourceAvailableTrigger,
    filter_unfinished,
)
from audience_onboarding.exceptions import StorageAccessError, StorageUnavailableError, TransientError
from audience_onboarding.storage import file_sources
from tests.fakes import task_context
from tests.unit.state.helpers import check

NOW = 1_800_000_000.0
DAY = "2026-11-20"
MOMENT = pendulum.datetime(2026, 11, 20, 3)


# --- the sensor ---------------------------------------------------------------------------------------------


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Unfinished earlier runs."""
    runs: list[str] = []

    def get(*, dag_id: str, task_id: str, run_id: str) -> list[str]:
        assert (dag_id, task_id, run_id) == ("a_dag", "record_load", "manual__1")
        return runs

    monkeypatch.setattr(prerequisites, "get_unfinished_earlier_runs", get)
    return runs


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of a source that exists."""
    (tmp_path / f"{DAY}.csv").touch()
    return str(tmp_path / "{load_date}.csv")


def sensor(
    to: str, *, wait_for_task_id: str | None = "record_load", **changes: Any
) -> LoadPrerequisitesSensor:
    source = {"path": to, "on_missing": "wait", "wait_timeout": 3600, "poll_interval": 30, **changes}
    is_dry_run, range_start = source.pop("is_dry_run", False), source.pop("range_start", None)
    return LoadPrerequisitesSensor(
        task_id="wait",
        source=source,
        aws_conn_id="our_s3",
        load_date=DAY,
        range_start=range_start,
        is_dry_run=is_dry_run,
        wait_for_task_id=wait_for_task_id,
    )


def deferred(run: Callable[[], Any]) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        run()
    return caught.value


NOWHERE = "/nowhere/{load_date}.csv"


def test_sensor_defers_until_a_late_source_exists(
    earlier: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites.time, "time", lambda: NOW)

    found = deferred(lambda: sensor(NOWHERE).execute(task_context()))

    assert isinstance(found.trigger, SourceAvailableTrigger)
    assert found.trigger.serialize()[1] == {
        "url": "/nowhere/2026-11-20.csv",
        "aws_conn_id": "our_s3",
        "poll_interval": 30,
        "deadline": NOW + 3600,
    }
    assert found.method_name == "resume_after_source"
    assert found.timeout is not None
    assert found.timeout.total_seconds() > 3600


def test_sensor_waits_for_no_source_unless_asked_to(earlier: list[str]) -> None:
    for changes in (
        {"on_missing": "fail"},
        {"on_missing": "skip"},
        {"is_dry_run": "True"},
        # Sources of a range are historical: they do not come later.
        {"range_start": "2026-11-01"},
        {"path": "", "query": "SELECT 1", "conn_id": "our_db"},
    ):
        sensor(NOWHERE, **changes).execute(task_context())


def test_sensor_uses_the_connection_of_the_source_first(earlier: list[str]) -> None:
    found = deferred(lambda: sensor(NOWHERE, aws_conn_id="theirs").execute(task_context()))

    assert found.trigger.serialize()[1]["aws_conn_id"] == "theirs"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"status": "timeout"},
            r"SourceNotFoundError.*after 1:00:00 .*\(/nowhere/2026-11-20\.csv\).*clear this task",
        ),
        ({"status": "error", "error": "StorageAccessError", "message": "no"}, "StorageAccessError: no"),
    ],
    ids=["too late", "not allowed"],
)
def test_a_source_that_does_not_come_fails_the_sensor(event: dict[str, Any], message: str) -> None:
    with pytest.raises(AirflowFailException, match=message):
        sensor(NOWHERE).resume_after_source(task_context(), event)


def test_sensor_waits_for_earlier_loads_once_the_source_exists(path: str, earlier: list[str]) -> None:
    waiting, context = sensor(path), task_context()
    goes = (
        lambda: waiting.execute(context),
        lambda: waiting.resume_after_source(context, {"status": "available"}),
    )
    for go in goes:
        go()
    earlier.append("scheduled__x__2026-11-19__y")
    for go in goes:
        found = deferred(go)
        assert isinstance(found.trigger, EarlierLoadsTrigger)
        assert found.method_name == "resume_after_earlier_loads"
    waiting.resume_after_earlier_loads(context, {"waiting_for": []})


@pytest.mark.parametrize(
    "changes", [{"wait_for_task_id": None}, {"wait_for_task_id": ""}, {"is_dry_run": "True"}]
)
def test_sensor_without_order_and_dry_run_ask_for_no_earlier_loads(
    path: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(
        prerequisites, "get_unfinished_earlier_runs", lambda **arguments: pytest.fail("Airflow was asked")
    )

    sensor(path, **changes).execute(task_context())


def test_earlier_loads_that_do_not_finish_fail_the_sensor_for_this_try() -> None:
    with pytest.raises(TransientError, match=r"after 1 day.*run_a, run_b"):
        sensor(NOWHERE).resume_after_earlier_loads(task_context(), {"waiting_for": ["run_a", "run_b"]})


# --- the trigger of the source ------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of a trigger, none of which is waited for: the clock goes on by itself."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(prerequisites.asyncio, "sleep", sleep)
    monkeypatch.setattr(prerequisites.time, "time", lambda: NOW + sum(made))
    return made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """What the looks see, one after the other, and the client that each was given."""

    def are(*seen: Any) -> list[Any]:
        clients: list[Any] = []
        left = list(seen)

        def look(url: str, s3_client: Callable[[], Any]) -> bool:
            clients.append(s3_client())
            found = left.pop(0) if left else False
            if isinstance(found, Exception):
                raise found
            return bool(found)

        monkeypatch.setattr(file_sources, "source_exists", look)
        return clients

    return are


def trigger(**changes: Any) -> SourceAvailableTrigger:
    arguments = {
        "url": "/data/2026-11-20.csv",
        "aws_conn_id": "aws_default",
        "poll_interval": 60.0,
        "deadline": NOW + 3600,
        **changes,
    }
    return SourceAvailableTrigger(**arguments)


def event_of(waiting: SourceAvailableTrigger) -> dict[str, Any]:
    async def first() -> Any:
        return [event.payload async for event in waiting.run()]

    (payload,) = asyncio.run(first())
    assert json.loads(json.dumps(payload)) == payload
    return payload  # type: ignore[no-any-return]


def test_it_fires_when_the_file_is_there(pauses: list[float], looks: Any) -> None:
    clients = looks(False, False, True)

    assert event_of(trigger()) == {"status": "available"}
    assert pauses == [5.0, 10.0, 20.0]
    assert clients == [None, None, None]


def test_it_looks_at_real_files(pauses: list[float], tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()

    assert event_of(trigger(url=f"{tmp_path}/*.csv")) == {"status": "available"}
    assert event_of(trigger(url=f"{tmp_path}/b.csv")) == {"status": "timeout"}


DOWN = StorageUnavailableError(what="down")


@pytest.mark.parametrize(
    ("seen", "wait", "status", "number"),
    [
        ([], 100, "timeout", 5),
        # In time at the last moment.
        ([False, True], 15, "available", 2),
        ([DOWN, DOWN, True], 3600, "available", 3),
        ([DOWN] * 10, 20, "timeout", 3),
    ],
    ids=["a last look at the deadline", "the last moment", "transient errors", "transient errors at the deadline"],
)  # fmt: skip
def test_it_looks_until_the_deadline(
    pauses: list[float], looks: Any, seen: list[Any], wait: float, status: str, number: int
) -> None:
    clients = looks(*seen)

    assert event_of(trigger(deadline=NOW + wait)) == {"status": status}
    assert len(clients) == len(pauses) == number
    assert sum(pauses) == wait or status == "available"


def test_it_reports_what_does_not_pass(pauses: list[float], looks: Any) -> None:
    clients = looks(StorageAccessError(what="the key may not list"), True)

    assert event_of(trigger()) == {
        "status": "error",
        "error": "StorageAccessError",
        "message": "the key may not list.",
    }
    assert len(clients) == 1


def test_a_client_for_s3_is_made_once_and_only_for_s3(
    pauses: list[float], looks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(prerequisites, "s3_client", lambda connection: made.append(connection) or "a client")

    clients = looks(False, True)
    event_of(trigger(url="s3://b/2026-11-20.csv", aws_conn_id="our_s3"))
    assert (made, clients) == (["our_s3"], ["a client", "a client"])

    looks(True)
    event_of(trigger())
    assert made == ["our_s3"]


def test_it_survives_being_stored(pauses: list[float]) -> None:
    path, arguments = trigger(url="s3://b/x", aws_conn_id="our_s3").serialize()

    assert path == "audience_onboarding.base.prerequisites.SourceAvailableTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert SourceAvailableTrigger(**arguments).serialize() == (path, arguments)


# --- which runs are waited for -------------------------------------------------------------------------------


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
    return filter_unfinished(states(own, *others), run_id=own)


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
        lambda state: filter_unfinished(states(earlier, state=state), run_id=own),
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
        assert filter_unfinished(states(made), run_id=backfill("2026-11-21")) == [made]


# --- the trigger of earlier loads ---------------------------------------------------------------------------


WAITING = {"dag_id": "onboard_x", "external_task_id": "record_load", "run_id": backfill("2026-11-20")}


def earlier_trigger(*, deadline: float = float("inf"), poll_interval: float = 0.001) -> EarlierLoadsTrigger:
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

    monkeypatch.setattr(prerequisites, "get_unfinished_earlier_runs", ask)
    return queue


def test_it_fires_once_no_run_is_left_or_at_the_deadline(answers: list[list[str]]) -> None:
    answers += [["a", "b"], ["b"], []]
    assert events_of(earlier_trigger()) == [{"waiting_for": []}]

    # At the deadline, the event names the runs that are left; a passed deadline alone is no failure.
    assert events_of(earlier_trigger(deadline=0)) == [{"waiting_for": []}]
    answers[:] = [["a"]]
    assert events_of(earlier_trigger(deadline=0)) == [{"waiting_for": ["a"]}]


def test_a_run_whose_turn_comes_soon_looks_more_often(
    answers: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers += [["a", "b", "c", "d", "e", "f"], ["a", "b"], ["b"], []]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(prerequisites.asyncio, "sleep", sleep)

    events_of(earlier_trigger(poll_interval=10))

    assert pauses == [5, 10, 4, 2]


def test_trigger_of_earlier_loads_is_stored_as_json_and_comes_back_the_same() -> None:
    before = earlier_trigger(deadline=1234.5)
    path, arguments = before.serialize()

    assert path == "audience_onboarding.base.prerequisites.EarlierLoadsTrigger"
    assert json.loads(json.dumps(arguments)) == arguments == deserialize(serialize(arguments))
    assert EarlierLoadsTrigger(**arguments).serialize() == before.serialize()


def test_airflow_is_asked_for_the_one_task_that_ends_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def get_task_states(**arguments: Any) -> dict[str, dict[str, str | None]]:
        asked.append(arguments)
        return states(scheduled("2026-11-19"))

    monkeypatch.setattr(prerequisites.RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))

    found = prerequisites.get_unfinished_earlier_runs(
        dag_id="onboard_x", task_id="record_load", run_id=scheduled("2026-11-20")
    )

    assert found == [scheduled("2026-11-19")]
    assert asked == [{"dag_id": "onboard_x", "task_ids": ["record_load"]}]
