"""Threads that work ahead, a little, while their results are taken in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class OrderedThreadPool:
    """A few threads. Polars and the hashing in them run outside Python's lock, so that they do share the cores.

    :param threads: how many; by default one per core that this process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or _cores()
        self._closed = False
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="crm-engine")

    def map(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results in the order of the tasks. At most one more than there are threads is under way or waiting.

        Where the caller stops before the end, what has not begun is called off and what has is waited for.
        """
        if self._closed:
            raise RuntimeError("the load is closed: use it inside the with block of prepare()")
        under_way: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                under_way.append(self._pool.submit(work, task))
                if len(under_way) > self.threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    def close(self) -> None:
        """End the threads, when they are through with what they have begun."""
        self._closed = True
        self._pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
