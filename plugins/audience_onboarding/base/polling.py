"""How often to look at something that is waited for."""

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
"""Also before the first look: a trigger that fires in the moment in which its task has deferred lets Airflow (3.3.2)
take the end of that task's process for the end of the resumed task, and fail it."""


def backoff_intervals(longest: float) -> Iterator[float]:
    """Pauses in seconds: short at first, doubling up to ``longest``, which then stays.

    What is quick is seen soon, and what takes a day costs half a dozen looks more than a fixed interval would.
    """
    pause = min(FIRST_INTERVAL, longest)
    while True:
        yield pause
        pause = min(pause * 2, longest)


STEPS = 60
"""How many moments a pause has in which the waits of a process wake up."""


def align_to_grid(pause: float) -> float:
    """A pause, up to a 60th shorter, that ends when those of other waits end.

    To wake a process up for one look takes it longer than the look: 2,000 waits that look once a minute, each in a
    moment of its own, would do so 33 times a second.
    """
    step = pause / STEPS
    if not step:
        return pause
    now = asyncio.get_running_loop().time()
    # Downwards: what the last look took is no longer than a step, mostly, and is made up for.
    return math.floor((now + pause) / step) * step - now


class SharedPoller(Generic[Snapshot]):
    """One look per interval for all who wait for the same, however many they are.

    Each snapshot that somebody gets was taken after they asked for it. All who ask belong to one event loop.

    :param look: takes a snapshot.
    :param interval: seconds between the starts of two looks at least.
    """

    def __init__(self, look: Callable[[], Awaitable[Snapshot]], *, interval: float) -> None:
        self._look = look
        self._interval = interval
        self._last = float("-inf")
        self._next: asyncio.Task[Snapshot] | None = None
        self._under_way: set[asyncio.Task[Snapshot]] = set()

    async def next(self) -> Snapshot:
        """The next snapshot; an error of the look is everybody's."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._take())
            # The loop itself keeps no task from being collected.
            self._under_way.add(self._next)
            self._next.add_done_callback(self._done)
        # Shielded: who is cancelled leaves the look to the others.
        return await asyncio.shield(self._next)

    def _done(self, taken: asyncio.Task[Snapshot]) -> None:
        self._under_way.discard(taken)
        if not taken.cancelled():
            # Looked at here: where all who asked are gone by now, the loop would log it as an error of ours.
            taken.exception()

    async def _take(self) -> Snapshot:
        first_pause = min(FIRST_INTERVAL, self._interval)
        await asyncio.sleep(max(first_pause, self._last + self._interval - time.monotonic()))
        self._last = time.monotonic()
        # From here on, who asks wants a look that has not begun yet.
        self._next = None
        return await self._look()


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, SharedPoller[Any]]] = (
    weakref.WeakKeyDictionary()
)


def get_shared_poller(
    key: Hashable, look: Callable[[], Awaitable[Snapshot]], *, interval: float
) -> SharedPoller[Snapshot]:
    """The one :class:`SharedPoller` of the running event loop for ``key`` and ``interval``.

    :param look: used where there is none yet.
    """
    of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    return of_loop.setdefault((key, interval), SharedPoller(look, interval=interval))


_asking: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Future[Any]]] = (
    weakref.WeakKeyDictionary()
)


async def single_flight(key: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to a question which others of this event loop may be asking just now: one asks for all.

    Nothing is kept: who asks after the answer has come asks anew.

    :param ask: gives an answer that is not ``None``; an error is everybody's.
    """
    loop = asyncio.get_running_loop()
    asking = _asking.setdefault(loop, {})
    while key in asking:
        # Shielded: who is cancelled leaves the answer to the others. There is none where that was the one who asked.
        found: Answer | None = await asyncio.shield(asking[key])
        if found is not None:
            return found
    # Asked right here and not in a task of its own, to which Airflow (3.3.2) would not let a question through that is
    # not asynchronous.
    answer = asking[key] = loop.create_future()
    found = None
    try:
        found = await ask()
        return found
    except Exception as error:
        answer.set_exception(error)
        # Looked at here: where nobody else has asked, the loop would log it as an error of ours.
        answer.exception()
        raise
    finally:
        del asking[key]
        if not answer.done():
            answer.set_result(found)
