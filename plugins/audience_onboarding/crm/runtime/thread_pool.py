"""Threads that work a little ahead, and return their results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class OrderedThreadPool:
    """Threads with ordered results. Polars and its hashing release Python's lock, so the threads share the cores.

    :param threads: their number; default: one per core that this process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or _count_cores()
        self._closed = False
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="crm-engine")

    def map(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Return results in the order of the tasks. At most one task more than threads is running or waiting.

        If the caller stops early, tasks that have not started are cancelled.
        """
        if self._closed:
            raise RuntimeError("the load is closed: use it inside the with block of prepare()")
        pending: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                pending.append(self._pool.submit(work, task))
                if len(pending) > self.threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Wait for running tasks and end the threads."""
        self._closed = True
        self._pool.shutdown(cancel_futures=True)


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
