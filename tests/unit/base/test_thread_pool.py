"""Blocking calls beside an event loop: number of threads, order, and cancellation."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from audience_onboarding.base import thread_pool
from audience_onboarding.base.thread_pool import ElasticThreads, in_thread
from scripts.local_stack import wait_for
from tests.unit.state.helpers import in_loop

SOON = 60.0
"""Deadline in seconds of everything that should happen; nothing waits for it to pass."""


@pytest.fixture
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call ever waits for too long."""
    monkeypatch.setattr(thread_pool, "PATIENCE", 3600.0)


@in_loop
async def test_a_call_returns_or_raises_as_its_function_does() -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    assert await in_thread(lambda one, two: one + two, 20, 22) == 42
    with pytest.raises(ValueError, match="no"):
        await in_thread(refuse, "no")
    # A future does not take this one, and the caller would wait for ever.
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(in_thread(next, iter(())), SOON)


@in_loop
async def test_the_event_loop_goes_on_meanwhile() -> None:
    event = threading.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)

    assert await in_thread(event.wait, SOON)


@pytest.mark.usefixtures("endless_patience")
@in_loop
async def test_one_thread_makes_quick_calls_once_each_in_their_order() -> None:
    all_wait = threading.Event()
    made: list[int] = []

    def call(number: int) -> int:
        # An idle thread goes, and the next call may get another one.
        assert all_wait.wait(SOON)
        made.append(number)
        return threading.get_ident()

    calls = ElasticThreads()
    asked = [asyncio.ensure_future(calls.call(call, number)) for number in range(200)]
    await asyncio.sleep(0)
    all_wait.set()
    made_by = await asyncio.gather(*asked)

    assert made == list(range(200))
    assert len(set(made_by)) == 1
    assert threading.get_ident() not in made_by


@in_loop
async def test_slow_calls_get_up_to_the_most_threads_which_go_and_come_again() -> None:
    calls = ElasticThreads(8)
    for _ in range(3):
        # No call passes it before all eight are there.
        barrier = threading.Barrier(8)
        await asyncio.gather(*(calls.call(barrier.wait, SOON) for _ in range(8)))
        assert await calls.call(int) == 0


@in_loop
async def test_there_are_never_more_threads_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "PATIENCE", 0.001)
    lock = threading.Lock()
    # Each call waits for two others, so that no thread gets all calls, and help is always wanted.
    barrier = threading.Barrier(3)
    now, most = 0, 0

    def call() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        barrier.wait(SOON)
        with lock:
            now -= 1

    calls = ElasticThreads(3)
    await asyncio.gather(*(calls.call(call) for _ in range(39)))

    assert most == 3


@in_loop
async def test_a_call_that_hangs_holds_up_no_other() -> None:
    calls = ElasticThreads()
    released = threading.Event()
    quick = asyncio.ensure_future(calls.call(int))
    hanging = asyncio.ensure_future(calls.call(released.wait, SOON))
    later = asyncio.ensure_future(calls.call(int))

    assert await asyncio.wait_for(asyncio.gather(quick, later), SOON / 2) == [0, 0]
    assert not hanging.done()
    released.set()
    assert await hanging


class Held:
    """A call that has begun when ``begun`` is set, and ends when ``released`` is."""

    def __init__(self, made: list[str]) -> None:
        self.made, self.begun, self.released = made, threading.Event(), threading.Event()

    def call(self) -> None:
        self.begun.set()
        self.released.wait(SOON)
        self.made.append("held")


@pytest.mark.usefixtures("endless_patience")
@in_loop
async def test_a_cancelled_call_is_not_begun() -> None:
    made: list[str] = []
    calls, held = ElasticThreads(1), Held(made)
    first = asyncio.ensure_future(calls.call(held.call))
    cancelled = asyncio.ensure_future(calls.call(made.append, "cancelled"))
    last = asyncio.ensure_future(calls.call(made.append, "last"))
    await asyncio.sleep(0)
    cancelled.cancel()
    held.released.set()
    await asyncio.gather(first, last)

    assert made == ["held", "last"]


@in_loop
async def test_a_call_that_is_cancelled_under_way_takes_nothing_from_the_others() -> None:
    calls, held = ElasticThreads(), Held([])
    under_way = asyncio.ensure_future(calls.call(held.call))
    await in_thread(held.begun.wait, SOON)
    under_way.cancel()
    held.released.set()

    assert await asyncio.wait_for(calls.call(int), SOON) == 0


def test_loops_have_threads_of_their_own_which_end_with_them() -> None:
    async def ask() -> threading.Thread:
        return await in_thread(threading.current_thread)

    before = set(threading.enumerate())
    first = asyncio.run(ask())
    assert asyncio.run(ask()) is not first

    def are_gone() -> bool:
        gc.collect()
        return set(threading.enumerate()) <= before

    wait_for(are_gone, "The end of the threads", timeout=SOON)
