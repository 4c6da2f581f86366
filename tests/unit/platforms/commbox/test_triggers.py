"""How CommBox's trigger judges a count, and how all waits share one look at the list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from audience_onboarding.base.triggers import PollResult
from audience_onboarding.exceptions import AuthenticationError, RateLimitedError, VendorUnavailableError
from audience_onboarding.platforms.commbox import triggers
from audience_onboarding.platforms.commbox.models import Audience
from audience_onboarding.platforms.commbox.triggers import CommBoxUserCountTrigger, audiences_by_id
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.commbox.conftest import dynamic, static
from tests.unit.platforms.kits import COMMBOX
from tests.unit.platforms.waiting import FAR, START, Clock, Scripted, event_of, scripted, together


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return scripted(COMMBOX, monkeypatch)


@pytest.fixture
def clock(vendor: Scripted) -> Clock:
    return vendor.clock


def trigger(**changes: Any) -> CommBoxUserCountTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "a_connection",
        "audience_id": "1",
        "rows": 100,
        "minimum_ratio": 1.0,
        "poll_interval": 60.0,
        "deadline": FAR,
    }
    return CommBoxUserCountTrigger(**{**arguments, **changes})


def counts(by_id: dict[int, int | None]) -> list[Audience]:
    return [Audience.model_validate(static(str(key), f"List {key}", count)) for key, count in by_id.items()]


async def waits(*ids: int) -> list[dict[str, Any]]:
    """Wait for several audiences at the same time."""
    return await together(*(event_of(trigger(audience_id=str(number))) for number in ids))


# --- how a count is judged ----------------------------------------------------------------------------------


def judged(count: int | None, *, rows: int | None = 100, share: float = 1.0) -> PollResult:
    shown = {"1": Audience.model_validate(static("1", "Alerts", count))}
    return trigger(rows=rows, minimum_ratio=share).evaluate(shown)


def test_how_a_count_is_judged() -> None:
    with every_case() as case:
        for count, rows, share, enough in (
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
        ):
            with case((count, rows, share)):
                look = judged(count, rows=rows, share=share)
                assert (look.event is not None) is enough
                assert look.known


def test_a_share_is_exact() -> None:
    with every_case() as case:
        for rows in (100, 10_000):
            for percent in range(1, 101):
                enough = rows * percent // 100
                with case((rows, percent)):
                    # 0.55 * 100 is 55.00000000000001.
                    assert judged(enough, rows=rows, share=percent / 100).event is not None
                    assert judged(enough - 1, rows=rows, share=percent / 100).event is None


def test_a_look_without_success_says_why() -> None:
    with every_case() as case:
        for count, state, reason in (
            (
                1_200,
                "1200 customers",
                "user_count is 1,200, 2,400 were sent; if CommBox omits some permanently, lower 'minimum_ratio'",
            ),
            (3_000, "3000 customers", "user_count is 3,000, 2,400 were sent"),
            (None, "no count", "the list shows no user_count for this Static audience"),
        ):
            with case(state):
                look = judged(count, rows=2_400)
                assert (look.state, look.reason) == (state, reason)


def test_an_audience_that_is_not_listed_or_dynamic_is_waited_for() -> None:
    assert trigger().evaluate({}).reason == "audience 1 is not in the list"
    look = trigger(rows=None).evaluate({"1": Audience.model_validate(dynamic("1"))})
    assert look.event is None
    assert "Dynamic" in look.reason


def test_a_list_is_read_by_id(vendor: Scripted) -> None:
    vendor.shows = [counts({1: 1, 2: 2})]

    found = audiences_by_id(vendor)  # type: ignore[arg-type]

    assert {key: audience.user_count for key, audience in found.items()} == {"1": 1, "2": 2}


# --- one wait -----------------------------------------------------------------------------------------------


def test_the_looks_keep_the_interval(vendor: Scripted) -> None:
    vendor.shows = [[], counts({1: 0}), counts({1: 50}), counts({1: 100})]

    assert vendor.event_of(trigger())["status"] == "success"
    assert vendor.times == [5.0, 65.0, 125.0, 185.0]


@pytest.mark.parametrize("interval", [20.0, 60.0, 300.0])
def test_a_deadline_is_kept_whatever_the_interval(vendor: Scripted, clock: Clock, interval: float) -> None:
    vendor.shows = [counts({1: 50}), counts({1: 90})]

    event = vendor.event_of(trigger(poll_interval=interval, deadline=START + 330.0))

    assert (event["status"], event["state"]) == ("timeout", "90 customers")
    assert clock.now <= START + 330.0 + triggers.LAST_POLL_TIMEOUT


def test_a_deadline_in_the_middle_of_a_long_interval_keeps_what_was_seen(vendor: Scripted) -> None:
    vendor.shows = [counts({1: 90})]

    event = vendor.event_of(trigger(poll_interval=3600.0, deadline=START + 100.0))

    assert event["state"] == "90 customers"
    assert "minimum_ratio" in event["message"]
    assert vendor.times == [5.0]


@pytest.mark.parametrize(
    ("asked_for", "poll_after"),
    [(None, 65.0), (10.0, 65.0), (60.0, 65.0), (300.0, 310.0), (3600.0, 3610.0)],
)
def test_a_pause_that_the_vendor_asks_for_is_kept(
    vendor: Scripted, asked_for: float | None, poll_after: float
) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=asked_for), counts({1: 100})]

    assert vendor.event_of(trigger())["status"] == "success"
    assert vendor.times == [5.0, poll_after]


def test_no_pause_goes_far_beyond_the_deadline(vendor: Scripted, clock: Clock) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=86_400.0), counts({1: 0})]

    assert vendor.event_of(trigger(deadline=START + 500.0))["status"] == "timeout"
    assert clock.now <= START + 500.0 + triggers.LAST_POLL_TIMEOUT


def test_a_look_that_hangs_is_given_up_some_time_after_the_deadline(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*arguments: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(triggers.asyncio, "to_thread", hang)

    event = vendor.event_of(trigger(deadline=START + 100.0))

    assert event["status"] == "timeout"
    assert "Timed out before the first list" in event["message"]


# --- many waits ---------------------------------------------------------------------------------------------


def test_a_thousand_waits_are_one_call_per_interval(vendor: Scripted) -> None:
    everything = range(1000)
    vendor.shows = [
        counts(dict.fromkeys(everything, 0)),
        counts({number: 100 if number % 2 else 0 for number in everything}),
        counts(dict.fromkeys(everything, 100)),
    ]

    events = vendor.run(waits(*everything))

    assert {event["status"] for event in events} == {"success"}
    assert [event["result"]["audience_id"] for event in events] == [str(number) for number in everything]
    assert vendor.times == [5.0, 65.0, 125.0]


def test_a_later_wait_gets_a_look_that_began_later(vendor: Scripted, clock: Clock) -> None:
    # What was seen before the upload says nothing about it: the count was the same before.
    vendor.shows = [counts({1: 100, 2: 100}), counts({1: 100, 2: 0}), counts({1: 100, 2: 100})]

    async def late() -> tuple[float, dict[str, Any]]:
        await clock.sleep(5.0)
        event = await event_of(trigger(audience_id="2"))
        return clock.now - START, event

    early, (moment, event) = vendor.run(together(event_of(trigger()), late()))

    assert early["status"] == event["status"] == "success"
    assert vendor.times == [5.0, 65.0, 125.0]
    assert moment == 125.0


def test_errors_are_shared_by_all_waits(vendor: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    down = VendorUnavailableError(what="Down")
    slower = RateLimitedError(what="Slower", retry_after=300.0)
    expired = AuthenticationError(what="The key has expired", status=401)
    done = counts(dict.fromkeys(range(50), 100))
    with every_case() as case:
        for error, ends, times in (
            (down, {("success", None)}, [5.0, 65.0]),
            (slower, {("success", None)}, [5.0, 310.0]),
            (expired, {("error", "AuthenticationError")}, [5.0]),
        ):
            with case(error.what):
                shown = scripted(COMMBOX, monkeypatch)
                shown.shows = [error, done]
                events = shown.run(waits(*range(50)))
                assert {(event["status"], event.get("error")) for event in events} == ends
                assert shown.times == times


def test_waits_of_different_intervals_look_for_themselves(vendor: Scripted) -> None:
    vendor.shows = [counts({1: 0}), counts({1: 0}), counts({1: 100})]

    vendor.run(together(event_of(trigger(poll_interval=60.0)), event_of(trigger(poll_interval=30.0))))

    assert vendor.times[:3] == [5.0, 5.0, 35.0]


def test_a_wait_that_is_cancelled_leaves_the_look_to_the_others(vendor: Scripted) -> None:
    vendor.shows = [counts({1: 100, 2: 100})]

    async def scene() -> Any:
        gone = asyncio.ensure_future(event_of(trigger()))
        stays = asyncio.ensure_future(event_of(trigger(audience_id="2")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert vendor.run(scene())["status"] == "success"
