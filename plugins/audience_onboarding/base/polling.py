"""Poll intervals, and polls that concurrent triggers share."""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

Snapshot = TypeVar("Snapshot")
Answer = TypeVar("Answer")

FIRST_INTERVAL = 5.0
"""Seconds before the first poll. If a trigger fires while its task is still deferring, Airflow (3.3.2) mistakes the end
of that task's process for the end of the resumed task, and fails it."""


def backoff_intervals(longest: float) -> Iterator[float]:
    """Yield intervals in seconds: short at first, doubling up to ``longest``.

    Short waits end early; a wait of a day needs about six polls more than with a fixed interval.
    """
    interval = min(FIRST_INTERVAL, longest)
    while True:
        yield interval
        interval = min(interval * 2, longest)


STEPS = 60
"""Grid points per interval at which the triggers of a process wake up."""


def align_to_grid(interval: float) -> float:
    """Return the interval, up to 1/60 shorter, so that it ends together with those of other triggers.

    Waking the process costs more than a poll. Without a grid, 2,000 triggers that poll once a minute would wake it
    33 times a second.
    """
    step = interval / STEPS
    if not step:
        return interval
    now = asyncio.get_running_loop().time()
    # Rounded down: the last poll usually took less than a step, which this compensates.
    return math.floor((now + interval) / step) * step - now


class SharedPoller(Generic[Snapshot]):
    """One poll per interval, shared by all callers of an event loop.

    Each poll starts after the calls of :meth:`next` that get its snapshot.

    :param poll: returns a snapshot.
    :param interval: minimum seconds between the starts of two polls.
    """

    def __init__(self, poll: Callable[[], Awaitable[Snapshot]], *, interval: float) -> None:
        self._poll = poll
        self._interval = interval
        self._last = float("-inf")
        self._next: asyncio.Task[Snapshot] | None = None
        self._under_way: set[asyncio.Task[Snapshot]] = set()

    async def next(self) -> Snapshot:
        """Return the next snapshot, or raise the error of its poll, to every caller."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._run_poll())
            # The event loop keeps no strong reference to a task.
            self._under_way.add(self._next)
            self._next.add_done_callback(self._done)
        # Shielded: a cancelled caller does not cancel the poll of the others.
        return await asyncio.shield(self._next)

    def _done(self, task: asyncio.Task[Snapshot]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Retrieved here: if all callers were cancelled, the event loop would log the error.
            task.exception()

    async def _run_poll(self) -> Snapshot:
        first_delay = min(FIRST_INTERVAL, self._interval)
        await asyncio.sleep(max(first_delay, self._last + self._interval - time.monotonic()))
        self._last = time.monotonic()
        # Later callers get the next poll: this one starts now.
        self._next = None
        return await self._poll()


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, SharedPoller[Any]]] = (
    weakref.WeakKeyDictionary()
)


def get_shared_poller(
    key: Hashable, poll: Callable[[], Awaitable[Snapshot]], *, interval: float
) -> SharedPoller[Snapshot]:
    """Return the running event loop's :class:`SharedPoller` for ``key`` and ``interval``.

    :param poll: used if there is none yet.
    """
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    return of_loop.setdefault((key, interval), SharedPoller(poll, interval=interval))


_pending: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Future[Any]]] = (
    weakref.WeakKeyDictionary()
)


async def single_flight(key: Hashable, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the result of ``call``; concurrent callers of this event loop with the same key share one call.

    Results are not cached: a caller that comes after the result starts another call.

    :param call: returns a value other than ``None``; all callers get its error.
    """
    loop = asyncio.get_running_loop()
    pending = _pending.setdefault(loop, {})
    while key in pending:
        # Shielded: a cancelled caller does not cancel the others. The value is None if the first caller was cancelled.
        answer: Answer | None = await asyncio.shield(pending[key])
        if answer is not None:
            return answer
    # Called here and not in a task of its own: Airflow (3.3.2) rejects synchronous requests from such a task.
    future = pending[key] = loop.create_future()
    answer = None
    try:
        answer = await call()
        return answer
    except Exception as error:
        future.set_exception(error)
        # Retrieved here: without other callers, the event loop would log the error.
        future.exception()
        raise
    finally:
        del pending[key]
        if not future.done():
            future.set_result(answer)
