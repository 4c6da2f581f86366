"""Calls that block, beside an event loop: how many threads make them, and what becomes of them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from audience_onboarding.orchestration import threads
from audience_onboarding.orchestration.threads import ElasticThreads, in_thread
from scripts.local_stack import wait_for

SOON = 30.0
"""Seconds after which what should have happened has not."""


@pytest.fixture
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call ever waits for too long."""
    monkeypatch.setattr(threads, "PATIENCE", 3600.0)


def test_who_asks_gets_what_the_call_returns_or_raises() -> None:
    def refuse(word: str) -> None:
        raise ValueError(word)

    async def run() -> None:
        assert await in_thread(lambda one, two: one + two, 20, 22) == 42
        with pytest.raises(ValueError, match="no"):
            await in_thread(refuse, "no")

    asyncio.run(run())


def test_the_event_loop_goes_on_meanwhile() -> None:
    async def run() -> None:
        event = threading.Event()
        asyncio.get_running_loop().call_later(0.01, event.set)
        assert await in_thread(event.wait, SOON)

    asyncio.run(run())


@pytest.mark.usefixtures("endless_patience")
def test_one_thread_makes_calls_that_are_quick_enough() -> None:
    all_wait = threading.Event()

    def call() -> int:
        # A thread that has nothing left to do goes, and the next call may get another one.
        assert all_wait.wait(SOON)
        return threading.get_ident()

    async def run() -> list[int]:
        calls = ElasticThreads()
        asked = [asyncio.ensure_future(calls.call(call)) for _ in range(200)]
        await asyncio.sleep(0)
        all_wait.set()
        return list(await asyncio.gather(*asked))

    made_by = asyncio.run(run())

    assert len(made_by) == 200
    assert len(set(made_by)) == 1
    assert threading.get_ident() not in made_by


@pytest.mark.usefixtures("endless_patience")
def test_each_call_is_made_once_and_they_begin_in_their_order() -> None:
    made: list[int] = []

    async def run() -> None:
        calls = ElasticThreads()
        await asyncio.gather(*(calls.call(made.append, number) for number in range(200)))

    asyncio.run(run())

    assert made == list(range(200))


def test_slow_calls_are_made_by_as_many_threads_as_there_may_be() -> None:
    async def run() -> None:
        calls = ElasticThreads(8)
        # Nobody passes it before all eight are there.
        barrier = threading.Barrier(8)
        await asyncio.gather(*(calls.call(barrier.wait, SOON) for _ in range(8)))

    asyncio.run(run())


def test_there_are_never_more_threads_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE", 0.001)
    lock = threading.Lock()
    # Whoever comes waits for two others, so that no thread gets all calls, and there is always somebody to help.
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

    async def run() -> None:
        calls = ElasticThreads(3)
        await asyncio.gather(*(calls.call(call) for _ in range(39)))

    asyncio.run(run())

    assert most == 3


def test_a_call_that_hangs_holds_nobody_up() -> None:
    async def run() -> None:
        calls = ElasticThreads()
        released = threading.Event()
        quick = asyncio.ensure_future(calls.call(int))
        hanging = asyncio.ensure_future(calls.call(released.wait, SOON))
        later = asyncio.ensure_future(calls.call(int))
        assert await asyncio.wait_for(asyncio.gather(quick, later), SOON / 2) == [0, 0]
        assert not hanging.done()
        released.set()
        assert await hanging

    asyncio.run(run())


def test_threads_go_and_come_again() -> None:
    async def run() -> None:
        calls = ElasticThreads(4)
        for _ in range(3):
            barrier = threading.Barrier(4)
            await asyncio.gather(*(calls.call(barrier.wait, SOON) for _ in range(4)))
            assert await calls.call(int) == 0

    asyncio.run(run())


@pytest.mark.usefixtures("endless_patience")
def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    made: list[str] = []

    async def run() -> None:
        calls = ElasticThreads(1)
        begun, released = threading.Event(), threading.Event()

        def first() -> None:
            begun.set()
            released.wait(SOON)
            made.append("first")

        under_way = asyncio.ensure_future(calls.call(first))
        cancelled = asyncio.ensure_future(calls.call(made.append, "cancelled"))
        last = asyncio.ensure_future(calls.call(made.append, "last"))
        await asyncio.sleep(0)
        cancelled.cancel()
        released.set()
        await asyncio.gather(under_way, last)

    asyncio.run(run())

    assert made == ["first", "last"]


def test_a_call_whose_asker_was_cancelled_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        calls = ElasticThreads()
        begun, released = threading.Event(), threading.Event()

        def first() -> None:
            begun.set()
            released.wait(SOON)

        under_way = asyncio.ensure_future(calls.call(first))
        await in_thread(begun.wait, SOON)
        under_way.cancel()
        released.set()
        assert await asyncio.wait_for(calls.call(int), SOON) == 0

    asyncio.run(run())


def test_even_a_stop_iteration_is_told() -> None:
    """A future does not take it, and who asks would wait for ever."""

    async def run() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(in_thread(next, iter(())), SOON)

    asyncio.run(run())


def _in_loop(ask: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return await in_thread(ask)

    return asyncio.run(run())


def test_loops_have_threads_of_their_own_which_end_with_them() -> None:
    before = set(threading.enumerate())
    first = _in_loop(threading.current_thread)
    assert _in_loop(threading.current_thread) is not first

    def are_gone() -> bool:
        gc.collect()
        return set(threading.enumerate()) <= before

    wait_for(are_gone, "The end of the threads", timeout=SOON)
