"""Threads for calls that block, beside an event loop that must not: as many as keep up, and no more."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MOST_THREADS = 16
"""For all calls of an event loop together."""

PATIENCE = 0.02
"""Seconds that a call waits for a thread before more of them come to help."""


@dataclass(eq=False)
class _Call(Generic[T]):
    """:ivar asked: when it was asked for, by ``time.monotonic()``."""

    function: Callable[..., T]
    arguments: tuple[Any, ...]
    future: asyncio.Future[T]
    asked: float = field(default_factory=time.monotonic)
    result: T | None = None
    error: BaseException | None = None

    def make(self) -> None:
        """In a thread."""
        try:
            self.result = self.function(*self.arguments)
        except StopIteration as error:
            # No future takes it.
            self.error = RuntimeError(f"{self.function} has raised StopIteration: {error}")
        except BaseException as error:
            self.error = error

    def tell(self) -> None:
        """In the event loop."""
        if self.future.done():
            # Who asked was cancelled.
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class ElasticThreads:
    """Makes calls in threads: in one, while that is quick enough, and in up to ``most``, while calls have to wait.

    Threads that run at the same time take the interpreter from each other at every step: sixteen of them take half as
    much processor time again for the same quick answers as one that gets them one after the other. Where answers are
    slow, nothing but more threads helps. So their number doubles while calls wait longer than :data:`PATIENCE`, and
    they go when there is nothing left to do. What came of several calls is told together, within that time.

    All calls come from one event loop.

    :param most: threads at once.
    """

    def __init__(self, most: int = MOST_THREADS) -> None:
        self._most = most
        self._pool = ThreadPoolExecutor(max_workers=most, thread_name_prefix="blocking-calls")
        self._lock = threading.Lock()
        self._waiting: deque[_Call[Any]] = deque()
        self._made: list[_Call[Any]] = []
        self._at_work = 0
        self._is_watched = False

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns, or raises, in one of the threads."""
        loop = asyncio.get_running_loop()
        call: _Call[T] = _Call(function, arguments, loop.create_future())
        with self._lock:
            self._waiting.append(call)
            is_only = not self._at_work
            self._at_work += is_only
            watches, self._is_watched = not self._is_watched, True
        if is_only:
            self._pool.submit(self._work)
        if watches:
            loop.call_later(PATIENCE, self._watch)
        return await call.future

    def _watch(self) -> None:
        """In the event loop, as long as calls wait: tell what was made, and send help."""
        with self._lock:
            made, self._made = self._made, []
            waits = self._waiting and time.monotonic() - self._waiting[0].asked >= PATIENCE
            more = min(self._at_work, self._most - self._at_work) if waits else 0
            self._at_work += more
            goes_on = self._is_watched = bool(self._waiting)
        for _ in range(more):
            self._pool.submit(self._work)
        if goes_on:
            asyncio.get_running_loop().call_later(PATIENCE, self._watch)
        _tell(made)

    def _work(self) -> None:
        """In a thread: make what waits."""
        call: _Call[Any] | None = None
        while True:
            with self._lock:
                if call is not None:
                    self._made.append(call)
                call = self._waiting.popleft() if self._waiting else None
                told: list[_Call[Any]] = []
                if call is None or not self._is_watched:
                    told, self._made = self._made, []
                self._at_work -= call is None
            if told:
                # Of a loop that is closed by now, nobody waits, and the pool keeps the error to itself.
                told[0].future.get_loop().call_soon_threadsafe(_tell, told)
            if call is None:
                return
            if not call.future.cancelled():
                call.make()


def _tell(calls: list[_Call[Any]]) -> None:
    for call in calls:
        call.tell()


_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ElasticThreads] = weakref.WeakKeyDictionary()


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call something that blocks, beside the event loop; all calls of a loop share the threads."""
    loop = asyncio.get_running_loop()
    threads = _of_loop.get(loop)
    if threads is None:
        threads = _of_loop[loop] = ElasticThreads()
    return await threads.call(function, *arguments)
