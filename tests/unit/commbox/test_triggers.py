"""Waiting for a count: one look for all, at the vendor's pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base import triggers as base_triggers
from audience_onboarding.base.triggers import Look
from audience_onboarding.commbox import triggers
from audience_onboarding.commbox.hooks import CommBoxHook
from audience_onboarding.commbox.models import Audience
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.commbox.triggers import CommBoxUserCountTrigger, audiences_by_id
from audience_onboarding.errors import (
    AuthenticationError,
    RateLimitedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.orchestration import polling
from tests.unit.commbox.conftest import dynamic, static

START = 1000.0
FAR = START + 200_000.0


class Clock:
    """Time that moves only when everybody sleeps; who sleeps shortest wakes first."""

    def __init__(self) -> None:
        self.now = START
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        self._sleepers.append((self.now + seconds, self._count, waker))
        await waker

    async def wait_for(self, awaitable: Any, timeout: float | None) -> Any:
        """As the one of asyncio, by this clock."""
        wanted = asyncio.ensure_future(awaitable)
        late = asyncio.ensure_future(self.sleep(0.0 if timeout is None else timeout))
        await asyncio.wait(
            {wanted} if timeout is None else {wanted, late}, return_when=asyncio.FIRST_COMPLETED
        )
        late.cancel()
        if wanted.done():
            return await wanted
        wanted.cancel()
        raise asyncio.TimeoutError

    async def run(self, scene: Coroutine[Any, Any, Any]) -> Any:
        """Run a scene; time goes on when nothing else does."""
        task = asyncio.ensure_future(scene)
        while not task.done():
            for _ in range(12):
                await asyncio.sleep(0)
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
            if self._sleepers and not task.done():
                first = min(self._sleepers, key=lambda sleeper: sleeper[:2])
                self.now = max(self.now, first[0])
                for moment, _, waker in self._sleepers:
                    if moment <= self.now and not waker.done():
                        waker.set_result(None)
        return task.result()


class Vendor:
    """Shows one list after the other; the last stays. ``asked`` holds the moments of the calls."""

    def __init__(self, clock: Clock) -> None:
        self.settings = CommBoxSettings(base_url="https://vendor.example", key="k")
        self.clock = clock
        self.shows: list[Any] = [[]]
        self.asked: list[float] = []

    def list_audiences(self) -> list[Audience]:
        self.asked.append(self.clock.now - START)
        found = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(found, Exception):
            raise found
        return [Audience.model_validate(item) for item in found]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Vendor:
    made = Vendor(clock)

    async def aget_connection(conn_id: str) -> str:
        return conn_id

    async def at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def client_of(connection: str) -> Vendor:
        assert connection == "a_connection"
        return made

    stopped = SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now)
    ours = SimpleNamespace(
        sleep=clock.sleep,
        wait_for=clock.wait_for,
        TimeoutError=asyncio.TimeoutError,
        create_task=asyncio.create_task,
        shield=asyncio.shield,
        get_running_loop=asyncio.get_running_loop,
    )
    monkeypatch.setattr(base_triggers.BaseHook, "aget_connection", aget_connection)
    monkeypatch.setattr(CommBoxHook, "client_of", staticmethod(client_of))
    monkeypatch.setattr(triggers, "in_thread", at_once)
    for module in (base_triggers, triggers, polling):
        monkeypatch.setattr(module, "time", stopped)
        monkeypatch.setattr(module, "asyncio", ours)
    return made


def trigger(**changes: Any) -> CommBoxUserCountTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "a_connection",
        "audience_id": "1",
        "rows": 100,
        "minimum_share": 1.0,
        "poll_interval": 60.0,
        "deadline": FAR,
    }
    return CommBoxUserCountTrigger(**{**arguments, **changes})


async def event_of(waiting: CommBoxUserCountTrigger) -> dict[str, Any]:
    """The one event of a trigger."""
    (event,) = [event.payload async for event in waiting.run()]
    assert json.loads(json.dumps(event)) == event
    found: dict[str, Any] = event
    return found


def counts(**by_id: int | None) -> list[dict[str, Any]]:
    return [static(audience_id[1:], f"List {audience_id[1:]}", count) for audience_id, count in by_id.items()]


# --- what is stored -----------------------------------------------------------------------------------------


def test_a_trigger_is_stored_as_json_and_comes_back_the_same() -> None:
    before = trigger(rows=None, minimum_share=0.9)
    path, arguments = before.serialize()
    stored = json.loads(json.dumps(arguments))

    assert (
        stored
        == arguments
        == {
            "conn_id": "a_connection",
            "audience_id": "1",
            "rows": None,
            "minimum_share": 0.9,
            "poll_interval": 60.0,
            "deadline": FAR,
        }
    )
    assert path == "audience_onboarding.commbox.triggers.CommBoxUserCountTrigger"
    assert CommBoxUserCountTrigger(**stored).serialize() == (path, arguments)


# --- how a count is judged ----------------------------------------------------------------------------------


def judged(count: int | None, *, rows: int | None = 100, share: float = 1.0) -> Look:
    shown = {"1": Audience.model_validate(static("1", "Alerts", count))}
    return trigger(rows=rows, minimum_share=share).judge(shown)


@pytest.mark.parametrize(
    ("count", "rows", "share", "enough"),
    [
        (100, 100, 1.0, True),
        (99, 100, 1.0, False),
        (101, 100, 1.0, False),
        (0, 100, 1.0, False),
        (1_000_000, 100, 0.01, False),
        (90, 100, 0.9, True),
        (89, 100, 0.9, False),
        (100, 100, 0.9, True),
        (101, 100, 0.9, False),
        (1, 1, 1.0, True),
        (0, 1, 0.5, False),
        (2, 3, 0.67, False),
        (1, 3, 0.33, True),
        (0, None, 1.0, True),
        (7, None, 1.0, True),
        (None, None, 1.0, False),
        (None, 100, 1.0, False),
    ],
)
def test_how_a_count_is_judged(count: int | None, rows: int | None, share: float, enough: bool) -> None:
    look = judged(count, rows=rows, share=share)

    assert (look.event is not None) is enough
    assert look.known


@pytest.mark.parametrize("percent", range(1, 101))
@pytest.mark.parametrize("rows", [100, 10_000])
def test_a_share_is_exact(percent: int, rows: int) -> None:
    enough = rows * percent // 100

    # 0.55 * 100 is 55.00000000000001.
    assert judged(enough, rows=rows, share=percent / 100).event is not None
    assert judged(enough - 1, rows=rows, share=percent / 100).event is None


def test_a_success_says_what_was_counted() -> None:
    assert judged(100).event == {
        "status": "success",
        "result": {"audience_id": "1", "audience_name": "Alerts", "user_count": 100},
    }


@pytest.mark.parametrize(
    ("count", "state", "reason"),
    [
        (
            1_200,
            "1200 customers",
            "user_count is 1,200, 2,400 were sent; if CommBox leaves some out for good, lower 'minimum_share'",
        ),
        (3_000, "3000 customers", "user_count is 3,000, 2,400 were sent"),
        (None, "no count", "the list shows no user_count for this Static audience"),
    ],
)
def test_what_is_not_enough_says_why(count: int | None, state: str, reason: str) -> None:
    look = judged(count, rows=2_400)

    assert (look.state, look.reason) == (state, reason)


def test_an_audience_that_is_not_listed_or_dynamic_is_waited_for() -> None:
    assert trigger().judge({}).reason == "audience 1 is not in the list"
    look = trigger(rows=None).judge({"1": Audience.model_validate(dynamic("1"))})
    assert look.event is None
    assert "Dynamic" in look.reason


# --- one wait -----------------------------------------------------------------------------------------------


def test_it_looks_until_the_count_is_there(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [[], counts(a1=0), counts(a1=50), counts(a1=100)]

    event = asyncio.run(clock.run(event_of(trigger())))

    assert event["status"] == "success"
    # Never in the moment in which the task has deferred.
    assert vendor.asked == [5.0, 65.0, 125.0, 185.0]


@pytest.mark.parametrize("interval", [20.0, 60.0, 300.0])
def test_the_deadline_is_reported_with_the_last_count_and_what_to_do(
    vendor: Vendor, clock: Clock, interval: float
) -> None:
    vendor.shows = [counts(a1=50), counts(a1=90)]

    event = asyncio.run(clock.run(event_of(trigger(poll_interval=interval, deadline=START + 330.0))))

    assert event == {
        "status": "timeout",
        "state": "90 customers",
        "message": "user_count is 90, 100 were sent; if CommBox leaves some out for good, lower 'minimum_share'",
    }
    assert clock.now <= START + 330.0 + triggers.LAST_LOOK


def test_a_deadline_in_the_middle_of_a_long_interval_keeps_what_was_seen(
    vendor: Vendor, clock: Clock
) -> None:
    vendor.shows = [counts(a1=90)]

    event = asyncio.run(clock.run(event_of(trigger(poll_interval=3600.0, deadline=START + 100.0))))

    assert event["state"] == "90 customers"
    assert "minimum_share" in event["message"]
    assert vendor.asked == [5.0]


def test_there_is_a_look_even_after_the_deadline(vendor: Vendor, clock: Clock) -> None:
    # The triggerer was gone for a while.
    vendor.shows = [counts(a1=100)]

    assert asyncio.run(clock.run(event_of(trigger(deadline=0.0))))["status"] == "success"
    assert vendor.asked == [5.0]


def test_a_deadline_without_a_single_good_look_says_why(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [VendorUnavailableError(what="No answer in time")]

    event = asyncio.run(clock.run(event_of(trigger(deadline=START + 10.0))))

    assert (event["status"], event["state"]) == ("timeout", "unknown")
    assert "No answer in time" in event["message"]


@pytest.mark.parametrize(
    "error",
    [AuthenticationError(what="The key has expired", status=401), UnexpectedResponseError(what="HTML")],
    ids=lambda error: error.what,
)
def test_an_error_that_stays_is_reported(vendor: Vendor, clock: Clock, error: Exception) -> None:
    vendor.shows = [counts(a1=0), error]

    assert asyncio.run(clock.run(event_of(trigger()))) == {
        "status": "error",
        "error": type(error).__name__,
        "message": str(error),
    }


@pytest.mark.parametrize(
    ("asked_for", "next_look"),
    [(None, 65.0), (10.0, 65.0), (60.0, 65.0), (300.0, 310.0), (3600.0, 3610.0)],
)
def test_a_pause_that_the_vendor_asks_for_is_kept(
    vendor: Vendor, clock: Clock, asked_for: float | None, next_look: float
) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=asked_for), counts(a1=100)]

    assert asyncio.run(clock.run(event_of(trigger())))["status"] == "success"
    assert vendor.asked == [5.0, next_look]
    assert next_look - 5.0 >= (asked_for or 0.0)


def test_no_pause_goes_far_beyond_the_deadline(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=86_400.0), counts(a1=0)]

    event = asyncio.run(clock.run(event_of(trigger(deadline=START + 500.0))))

    assert event["status"] == "timeout"
    assert clock.now <= START + 500.0 + triggers.LAST_LOOK


# --- many waits ---------------------------------------------------------------------------------------------


def test_a_thousand_waits_are_one_call_per_interval(vendor: Vendor, clock: Clock) -> None:
    half = {f"a{number}": 100 if number % 2 else 0 for number in range(1000)}
    vendor.shows = [
        counts(**dict.fromkeys(half, 0)),
        counts(**half),
        counts(**dict.fromkeys(half, 100)),
    ]

    async def scene() -> list[dict[str, Any]]:
        return await asyncio.gather(*(event_of(trigger(audience_id=str(number))) for number in range(1000)))

    events = asyncio.run(clock.run(scene()))

    assert {event["status"] for event in events} == {"success"}
    assert [event["result"]["audience_id"] for event in events] == [str(number) for number in range(1000)]
    assert vendor.asked == [5.0, 65.0, 125.0]


def test_who_comes_later_gets_a_look_that_began_later(vendor: Vendor, clock: Clock) -> None:
    # What was seen before the upload says nothing about it: the count was the same before.
    vendor.shows = [counts(a1=100, a2=100), counts(a1=100, a2=0), counts(a1=100, a2=100)]

    async def late() -> tuple[float, dict[str, Any]]:
        await clock.sleep(5.0)
        event = await event_of(trigger(audience_id="2"))
        return clock.now - START, event

    async def scene() -> Any:
        return await asyncio.gather(event_of(trigger()), late())

    early, (moment, event) = asyncio.run(clock.run(scene()))

    assert early["status"] == event["status"] == "success"
    assert vendor.asked == [5.0, 65.0, 125.0]
    assert moment == 125.0


def test_an_error_is_everybodys_and_nobodys_end(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [VendorUnavailableError(what="Down"), counts(a1=100, a2=100, a3=100)]

    async def scene() -> list[dict[str, Any]]:
        return await asyncio.gather(*(event_of(trigger(audience_id=str(number))) for number in (1, 2, 3)))

    events = asyncio.run(clock.run(scene()))

    assert [event["status"] for event in events] == ["success"] * 3
    assert vendor.asked == [5.0, 65.0]


def test_a_pause_that_the_vendor_asks_for_is_kept_by_all_who_heard_of_it(
    vendor: Vendor, clock: Clock
) -> None:
    vendor.shows = [
        RateLimitedError(what="Slower", retry_after=300.0),
        counts(**{f"a{n}": 100 for n in range(50)}),
    ]

    async def scene() -> list[dict[str, Any]]:
        return await asyncio.gather(*(event_of(trigger(audience_id=str(number))) for number in range(50)))

    events = asyncio.run(clock.run(scene()))

    assert {event["status"] for event in events} == {"success"}
    assert vendor.asked == [5.0, 310.0]


def test_an_expired_key_ends_all_waits(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [AuthenticationError(what="The key has expired", status=401)]

    async def scene() -> list[dict[str, Any]]:
        return await asyncio.gather(*(event_of(trigger(audience_id=str(number))) for number in range(20)))

    events = asyncio.run(clock.run(scene()))

    assert {event["error"] for event in events} == {"AuthenticationError"}
    assert len(vendor.asked) == 1


def test_waits_of_different_intervals_look_for_themselves(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [counts(a1=0), counts(a1=0), counts(a1=100)]

    async def scene() -> list[dict[str, Any]]:
        return await asyncio.gather(
            event_of(trigger(poll_interval=60.0)), event_of(trigger(poll_interval=30.0))
        )

    asyncio.run(clock.run(scene()))

    assert vendor.asked[:3] == [5.0, 5.0, 35.0]


def test_a_wait_that_is_cancelled_leaves_the_look_to_the_others(vendor: Vendor, clock: Clock) -> None:
    vendor.shows = [counts(a1=100, a2=100)]

    async def scene() -> Any:
        gone = asyncio.ensure_future(event_of(trigger()))
        stays = asyncio.ensure_future(event_of(trigger(audience_id="2")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(clock.run(scene()))["status"] == "success"


# --- the look by itself -------------------------------------------------------------------------------------


def test_a_list_is_read_by_id(vendor: Vendor) -> None:
    vendor.shows = [counts(a1=1, a2=2)]

    found = audiences_by_id(vendor)  # type: ignore[arg-type]

    assert {key: audience.user_count for key, audience in found.items()} == {"1": 1, "2": 2}


def test_one_look_for_the_poke_mode(vendor: Vendor) -> None:
    vendor.shows = [counts(a1=100)]

    assert trigger().look(vendor).event is not None  # type: ignore[arg-type]


def test_a_look_that_hangs_is_given_up_some_time_after_the_deadline(
    vendor: Vendor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*arguments: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(triggers, "in_thread", hang)

    async def scene() -> dict[str, Any]:
        return await event_of(trigger(deadline=START + 100.0))

    event = asyncio.run(clock.run(scene()))

    assert event["status"] == "timeout"
    assert "The time is over before the first look" in event["message"]
