"""How often to look, and who looks for whom."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.errors import VendorUnavailableError
from audience_onboarding.orchestration import polling
from audience_onboarding.orchestration.polling import (
    FIRST_PAUSE,
    SharedLooks,
    asked_together,
    growing_pauses,
    in_step,
    shared_looks,
)


@pytest.mark.parametrize(
    ("longest", "pauses"),
    [
        (60.0, [5, 10, 20, 40, 60, 60]),
        (10.0, [5, 10, 10]),
        (1.0, [1, 1, 1]),
        (0.25, [0.25, 0.25, 0.25]),
    ],
)
def test_pauses_double_up_to_the_longest(longest: float, pauses: list[float]) -> None:
    assert list(islice(growing_pauses(longest), len(pauses))) == pauses


# --- waking up together ---------------------------------------------------------------------------------------


def _in_step(now: float, pause: float, monkeypatch: pytest.MonkeyPatch) -> float:
    loop = SimpleNamespace(time=lambda: now)
    monkeypatch.setattr(polling, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    return in_step(pause)


@pytest.mark.parametrize("pause", [0.25, 5.0, 40.0, 60.0, 3600.0])
@pytest.mark.parametrize("now", [0.0, 12.3, 12.9, 4711.49, 123456.789])
def test_a_pause_is_hardly_shorter_and_ends_on_a_step(
    pause: float, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = _in_step(now, pause, monkeypatch)

    assert pause * 59 / 60 - 1e-6 <= paused <= pause + 1e-6
    steps = (now + paused) / (pause / 60)
    assert steps == pytest.approx(round(steps), abs=1e-4)


def test_what_a_look_takes_does_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    for _ in range(50):
        now += _in_step(now, 60.0, monkeypatch) + 0.3

    assert now == pytest.approx(100 + 50 * 60 + 0.3)


def test_no_pause_is_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _in_step(12.3, 0.0, monkeypatch) == 0


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
    monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(
        polling,
        "asyncio",
        SimpleNamespace(
            sleep=made.sleep,
            create_task=asyncio.create_task,
            shield=asyncio.shield,
            get_running_loop=asyncio.get_running_loop,
        ),
    )
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


async def until(condition: Callable[[], bool]) -> None:
    """Give the others their turns until it holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def run(scene: Awaitable[Any]) -> Any:
    """Run a scene, in which no error may go unseen."""
    unseen: list[Any] = []

    async def watched() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
        found = await scene
        gc.collect()
        await asyncio.sleep(0)
        return found

    found = asyncio.run(watched())
    gc.collect()
    assert unseen == []
    return found


def test_a_thousand_waits_are_one_look_per_interval(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)

        async def wait() -> list[int]:
            return [await looks.next() for _ in range(3)]

        found = await asyncio.gather(*(wait() for _ in range(1000)))

        assert found == [[1, 2, 3]] * 1000
        assert vendor.started == [1005.0, 1065.0, 1125.0]

    run(scene())


def test_the_first_look_comes_soon_but_not_at_once(clock: Clock) -> None:
    async def scene() -> None:
        await SharedLooks(Vendor().look, interval=3600.0).next()
        await SharedLooks(Vendor().look, interval=0.5).next()

    run(scene())

    assert clock.pauses == [FIRST_PAUSE, 0.5]


def test_a_look_that_took_long_does_not_bring_the_next_one_forward(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)
        for late in (0.0, 10.0, 59.0, 500.0):
            clock.now += late
            await looks.next()
        # At least an interval between two, and the first pause at least for each question.
        assert vendor.started == [1005.0, 1065.0, 1129.0, 1634.0]

    run(scene())


def test_who_asks_while_a_look_is_under_way_gets_the_next_one(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)
        vendor.gate.clear()
        early = asyncio.ensure_future(looks.next())
        await until(lambda: len(vendor.started) == 1)
        late = [asyncio.ensure_future(looks.next()) for _ in range(10)]
        await asyncio.sleep(0)
        vendor.gate.set()

        # What the first look has seen may be older than the question of those who came later.
        assert await early == 1
        assert await asyncio.gather(*late) == [2] * 10
        assert len(vendor.started) == 2

    run(scene())


def test_a_look_that_hangs_holds_up_those_who_asked_for_it_only(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)
        vendor.gate.clear()
        hanging = asyncio.ensure_future(looks.next())
        await until(lambda: len(vendor.started) == 1)
        gate, vendor.gate = vendor.gate, asyncio.Event()
        vendor.gate.set()

        assert await looks.next() == 2
        assert not hanging.done()
        gate.set()
        assert await hanging == 1

    run(scene())


def test_an_error_is_everybodys_and_the_next_look_is_a_new_one(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        vendor.fails_with = [VendorUnavailableError(what="Down", retry_after=7.0)]
        looks = SharedLooks(vendor.look, interval=60.0)

        found = await asyncio.gather(*(looks.next() for _ in range(100)), return_exceptions=True)

        assert {type(error) for error in found} == {VendorUnavailableError}
        assert {error.retry_after for error in found if isinstance(error, VendorUnavailableError)} == {7.0}
        assert await asyncio.gather(*(looks.next() for _ in range(100))) == [2] * 100
        assert vendor.started == [1005.0, 1065.0]

    run(scene())


@pytest.mark.parametrize("when", ["before the look", "during the look"])
def test_a_wait_that_is_cancelled_leaves_the_look_to_the_others(clock: Clock, when: str) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)
        vendor.gate.clear()
        # The first one is the one that has started the look.
        cancelled, *others = [asyncio.ensure_future(looks.next()) for _ in range(3)]
        if when == "during the look":
            await until(lambda: len(vendor.started) == 1)
        else:
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.sleep(0)
        vendor.gate.set()

        assert await asyncio.gather(*others) == [1, 1]
        assert cancelled.cancelled()

    run(scene())


@pytest.mark.parametrize("error", [None, VendorUnavailableError(what="Down")], ids=["success", "error"])
def test_when_all_are_cancelled_nothing_is_left_behind(clock: Clock, error: Exception | None) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        vendor.fails_with = [error] if error else []
        looks = SharedLooks(vendor.look, interval=60.0)
        waits = [asyncio.ensure_future(looks.next()) for _ in range(3)]
        await asyncio.sleep(0)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await until(lambda: len(vendor.started) == 1 and vendor.at_once == 0)

        # Who comes later is not bothered by it.
        assert await looks.next() == 2

    run(scene())


def test_a_cancelled_wait_with_a_time_out_does_not_take_the_look_along(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)
        vendor.gate.clear()
        other = asyncio.ensure_future(looks.next())
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(looks.next(), timeout=0.01)
        vendor.gate.set()

        assert await other == 1

    run(scene())


def test_looks_of_one_kind_never_pile_up(clock: Clock) -> None:
    async def scene() -> None:
        vendor = Vendor(clock)
        looks = SharedLooks(vendor.look, interval=60.0)

        async def wait(times: int) -> None:
            for _ in range(times):
                await looks.next()

        await asyncio.gather(*(wait(times) for times in range(50)))

        assert vendor.most_at_once == 1
        assert len(vendor.started) == 49
        gaps = {later - earlier for earlier, later in zip(vendor.started, vendor.started[1:], strict=False)}
        assert gaps == {60.0}

    run(scene())


# --- who shares ---------------------------------------------------------------------------------------------


def test_the_same_question_is_shared_and_another_is_not() -> None:
    async def scene() -> None:
        first, second = Vendor(), Vendor()

        looks = shared_looks("account", first.look, interval=0.01)

        assert shared_looks("account", second.look, interval=0.01) is looks
        assert shared_looks("another account", second.look, interval=0.01) is not looks
        assert shared_looks("account", second.look, interval=0.02) is not looks
        await asyncio.gather(looks.next(), shared_looks("account", second.look, interval=0.01).next())
        assert (len(first.started), len(second.started)) == (1, 0)

    run(scene())


def test_two_event_loops_share_nothing() -> None:
    kept: list[SharedLooks[int]] = []

    async def scene() -> int:
        kept.append(shared_looks("account", Vendor().look, interval=0.01))
        return await kept[-1].next()

    assert [run(scene()), run(scene())] == [1, 1]
    assert kept[0] is not kept[1]


def test_a_loop_that_is_gone_is_forgotten() -> None:
    async def scene() -> None:
        await shared_looks("account", Vendor().look, interval=0.01).next()

    gc.collect()
    before = len(polling._shared)
    run(scene())
    gc.collect()

    assert len(polling._shared) <= before


# --- one question for all -------------------------------------------------------------------------------------


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
        return asyncio.create_task(asked_together(about, lambda: self.answer(about)))


async def _all_have_asked() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_asks_while_another_does_gets_the_same_answer() -> None:
    async def check() -> None:
        office = Office()
        waiting = [office.task(), office.task("y"), office.task(), office.task()]
        await _all_have_asked()
        office.open.set()

        assert await asyncio.gather(*waiting) == ["x 1", "y 2", "x 1", "x 1"]
        assert office.asked == ["x", "y"]

    asyncio.run(check())


def test_who_asks_later_asks_anew() -> None:
    async def check() -> None:
        office = Office()
        office.open.set()

        assert [await office.task(), await office.task()] == ["x 1", "x 2"]

    asyncio.run(check())


def test_an_error_is_everybodys_and_the_next_one_asks_anew() -> None:
    async def check() -> None:
        office = Office()
        office.fails_with = KeyError("x")
        waiting = [office.task(), office.task()]
        await _all_have_asked()
        office.open.set()

        assert await asyncio.gather(*waiting, return_exceptions=True) == [office.fails_with] * 2
        assert office.asked == ["x"]
        office.fails_with = None
        assert await office.task() == "x 2"

    asyncio.run(check())


def test_an_error_that_nobody_else_waits_for_is_no_error_of_the_loop() -> None:
    async def check() -> list[Any]:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        office = Office()
        office.open.set()
        office.fails_with = KeyError("x")
        with pytest.raises(KeyError):
            await office.task()
        gc.collect()
        await asyncio.sleep(0)
        return told

    assert asyncio.run(check()) == []


def test_where_the_one_who_asks_is_cancelled_another_asks() -> None:
    async def check() -> None:
        office = Office()
        first, *others = office.task(), office.task(), office.task()
        await _all_have_asked()
        first.cancel()
        await _all_have_asked()
        office.open.set()

        assert await asyncio.gather(*others) == ["x 2", "x 2"]
        assert first.cancelled()

    asyncio.run(check())


def test_who_is_cancelled_leaves_the_answer_to_the_others() -> None:
    async def check() -> None:
        office = Office()
        first, second, third = office.task(), office.task(), office.task()
        await _all_have_asked()
        second.cancel()
        await _all_have_asked()
        office.open.set()

        assert await asyncio.gather(first, third) == ["x 1", "x 1"]
        assert second.cancelled()

    asyncio.run(check())
