"""Intervals between looks, and looks and questions that several waits share."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base import polling
from audience_onboarding.base.polling import (
    FIRST_INTERVAL,
    SharedPoller,
    align_to_grid,
    backoff_intervals,
    get_shared_poller,
    single_flight,
)
from audience_onboarding.exceptions import VendorUnavailableError
from tests.unit.state.helpers import check, in_loop


def test_pauses_double_up_to_the_longest() -> None:
    cases = [
        (60.0, [5, 10, 20, 40, 60, 60]),
        (10.0, [5, 10, 10, 10, 10, 10]),
        (1.0, [1] * 6),
        (0.25, [0.25] * 6),
    ]
    check(lambda longest: list(islice(backoff_intervals(longest), 6)), cases)


# --- waking up together -------------------------------------------------------------------------------------


def _in_step(now: float, pause: float, monkeypatch: pytest.MonkeyPatch) -> float:
    loop = SimpleNamespace(time=lambda: now)
    monkeypatch.setattr(polling, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    return align_to_grid(pause)


def test_a_pause_is_hardly_shorter_and_ends_on_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in (0.25, 5.0, 40.0, 60.0, 3600.0):
        for now in (0.0, 12.3, 12.9, 4711.49, 123456.789):
            paused = _in_step(now, pause, monkeypatch)

            assert pause * 59 / 60 - 1e-6 <= paused <= pause + 1e-6, (now, pause)
            steps = (now + paused) / (pause / 60)
            assert steps == pytest.approx(round(steps), abs=1e-4), (now, pause)
    assert _in_step(12.3, 0.0, monkeypatch) == 0


def test_the_time_of_a_look_does_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    for _ in range(50):
        now += _in_step(now, 60.0, monkeypatch) + 0.3

    assert now == pytest.approx(100 + 50 * 60 + 0.3)


# --- one look for all ---------------------------------------------------------------------------------------


class Clock:
    """Time that only pauses move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        # As the real one does: the others have their turn.
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    kept = {name: getattr(asyncio, name) for name in ("create_task", "shield", "get_running_loop")}
    monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(polling, "asyncio", SimpleNamespace(sleep=made.sleep, **kept))
    return made


class Vendor:
    """Shows the number of the look; each look takes as long as ``gate`` is closed."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock
        self.started: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails_with: list[BaseException] = []
        self.at_once = 0
        self.most_at_once = 0

    async def look(self) -> int:
        number = len(self.started) + 1
        self.started.append(self.clock.now if self.clock else 0.0)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.fails_with:
                raise self.fails_with.pop(0)
            return number
        finally:
            self.at_once -= 1


@pytest.fixture
def vendor(clock: Clock) -> Vendor:
    return Vendor(clock)


@pytest.fixture
def looks(vendor: Vendor) -> SharedPoller[int]:
    return SharedPoller(vendor.look, interval=60.0)


async def asking(vendor: Vendor, looks: SharedPoller[int]) -> asyncio.Future[int]:
    """A question whose look is under way, and ends when the gate opens."""
    vendor.gate.clear()
    asked = asyncio.ensure_future(looks.next())
    await until(lambda: len(vendor.started) == 1)
    return asked


async def until(condition: Callable[[], bool]) -> None:
    """Give the others their turns until it holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


@in_loop
async def test_a_thousand_waits_are_one_look_per_interval(vendor: Vendor, looks: SharedPoller[int]) -> None:
    async def wait() -> list[int]:
        return [await looks.next() for _ in range(3)]

    assert await asyncio.gather(*(wait() for _ in range(1000))) == [[1, 2, 3]] * 1000
    assert vendor.started == [1005.0, 1065.0, 1125.0]


@in_loop
async def test_the_first_look_comes_soon_but_not_at_once(clock: Clock) -> None:
    await SharedPoller(Vendor().look, interval=3600.0).next()
    await SharedPoller(Vendor().look, interval=0.5).next()

    assert clock.pauses == [FIRST_INTERVAL, 0.5]


@in_loop
async def test_a_long_look_does_not_bring_the_next_one_forward(
    clock: Clock, vendor: Vendor, looks: SharedPoller[int]
) -> None:
    for late in (0.0, 10.0, 59.0, 500.0):
        clock.now += late
        await looks.next()

    # At least an interval between two, and the first pause at least for each question.
    assert vendor.started == [1005.0, 1065.0, 1129.0, 1634.0]


@in_loop
async def test_a_question_during_a_look_gets_the_next_look(vendor: Vendor, looks: SharedPoller[int]) -> None:
    early = await asking(vendor, looks)
    late = [asyncio.ensure_future(looks.next()) for _ in range(10)]
    await asyncio.sleep(0)
    vendor.gate.set()

    # The first look may be older than the later questions.
    assert await early == 1
    assert await asyncio.gather(*late) == [2] * 10
    assert len(vendor.started) == 2


@in_loop
async def test_a_look_that_hangs_holds_up_its_own_questions_only(
    vendor: Vendor, looks: SharedPoller[int]
) -> None:
    hanging = await asking(vendor, looks)
    gate, vendor.gate = vendor.gate, asyncio.Event()
    vendor.gate.set()

    assert await looks.next() == 2
    assert not hanging.done()
    gate.set()
    assert await hanging == 1


@in_loop
async def test_all_questions_get_the_error_and_the_next_look_is_a_new_one(
    vendor: Vendor, looks: SharedPoller[int]
) -> None:
    vendor.fails_with = [VendorUnavailableError(what="Down", retry_after=7.0)]

    found = await asyncio.gather(*(looks.next() for _ in range(100)), return_exceptions=True)

    assert {(type(error), error.retry_after) for error in found} == {(VendorUnavailableError, 7.0)}
    assert await asyncio.gather(*(looks.next() for _ in range(100))) == [2] * 100
    assert vendor.started == [1005.0, 1065.0]


@pytest.mark.parametrize("when", ["before the look", "during the look", "by a time-out"])
@in_loop
async def test_a_cancelled_wait_leaves_the_look_to_the_others(
    vendor: Vendor, looks: SharedPoller[int], when: str
) -> None:
    vendor.gate.clear()
    # The first one has started the look.
    cancelled, *others = [asyncio.ensure_future(looks.next()) for _ in range(3)]
    if when == "by a time-out":
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(cancelled, timeout=0.01)
    else:
        await until(lambda: bool(vendor.started)) if when == "during the look" else await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
    vendor.gate.set()

    assert await asyncio.gather(*others) == [1, 1]
    assert cancelled.cancelled()


@pytest.mark.parametrize("errors", [[], [VendorUnavailableError(what="Down")]], ids=["success", "error"])
@in_loop
async def test_when_all_are_cancelled_nothing_is_left_behind(
    vendor: Vendor, looks: SharedPoller[int], errors: list[BaseException]
) -> None:
    vendor.fails_with = list(errors)
    waits = [asyncio.ensure_future(looks.next()) for _ in range(3)]
    await asyncio.sleep(0)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await until(lambda: len(vendor.started) == 1 and vendor.at_once == 0)

    assert await looks.next() == 2


@in_loop
async def test_looks_of_one_kind_never_pile_up(vendor: Vendor, looks: SharedPoller[int]) -> None:
    async def wait(times: int) -> None:
        for _ in range(times):
            await looks.next()

    await asyncio.gather(*(wait(times) for times in range(50)))

    assert vendor.most_at_once == 1
    assert vendor.started == [1005.0 + 60.0 * number for number in range(49)]


# --- sharing ------------------------------------------------------------------------------------------------


@in_loop
async def test_the_same_question_is_shared_and_another_is_not() -> None:
    first, second = Vendor(), Vendor()

    looks = get_shared_poller("account", first.look, interval=0.01)

    assert get_shared_poller("account", second.look, interval=0.01) is looks
    assert get_shared_poller("another account", second.look, interval=0.01) is not looks
    assert get_shared_poller("account", second.look, interval=0.02) is not looks
    await asyncio.gather(looks.next(), get_shared_poller("account", second.look, interval=0.01).next())
    assert (len(first.started), len(second.started)) == (1, 0)


def test_event_loops_share_nothing_and_are_forgotten() -> None:
    kept: list[SharedPoller[int]] = []

    async def look() -> int:
        kept.append(get_shared_poller("account", Vendor().look, interval=0.01))
        return await kept[-1].next()

    gc.collect()
    before = len(polling._shared)
    assert [asyncio.run(look()), asyncio.run(look())] == [1, 1]
    assert kept[0] is not kept[1]
    kept.clear()
    gc.collect()

    assert len(polling._shared) <= before


# --- one question for all -----------------------------------------------------------------------------------


class Office:
    """Answers one question at a time, with its number, as soon as it is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.fails_with: Exception | None = None

    async def answer(self, about: str) -> str:
        self.asked.append(about)
        number = len(self.asked)
        await self.open.wait()
        if self.fails_with:
            raise self.fails_with
        return f"{about} {number}"

    def task(self, about: str = "x") -> asyncio.Task[str]:
        return asyncio.create_task(single_flight(about, lambda: self.answer(about)))

    async def waiting(self, *about: str) -> list[asyncio.Task[str]]:
        """Tasks that have asked, and wait for the answer."""
        tasks = [self.task(each) for each in about]
        await _turns()
        return tasks


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@in_loop
async def test_questions_at_the_same_time_get_the_same_answer() -> None:
    office = Office()
    waiting = await office.waiting("x", "y", "x", "x")
    office.open.set()

    assert await asyncio.gather(*waiting) == ["x 1", "y 2", "x 1", "x 1"]
    assert office.asked == ["x", "y"]


@in_loop
async def test_all_get_the_error_and_the_next_question_is_asked_again() -> None:
    office = Office()
    office.fails_with = KeyError("x")
    waiting = await office.waiting("x", "x")
    office.open.set()

    assert await asyncio.gather(*waiting, return_exceptions=True) == [office.fails_with] * 2
    assert office.asked == ["x"]
    # An error without other waits is no error of the loop.
    with pytest.raises(KeyError):
        await office.task()
    office.fails_with = None
    assert [await office.task(), await office.task()] == ["x 3", "x 4"]


@pytest.mark.parametrize(("cancelled", "answer"), [(0, "x 2"), (1, "x 1")], ids=["asking", "waiting"])
@in_loop
async def test_a_cancelled_question_leaves_the_answer_to_the_others(cancelled: int, answer: str) -> None:
    office = Office()
    waiting: list[Any] = await office.waiting("x", "x", "x")
    gone = waiting.pop(cancelled)
    gone.cancel()
    await _turns()
    office.open.set()

    assert await asyncio.gather(*waiting) == [answer, answer]
    assert gone.cancelled()
