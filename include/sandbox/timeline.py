"""Things that happen later: a heap of due times, run by the worker."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import datetime


class Timeline:
    """Actions with the time they are due. Any thread may schedule; only the worker runs them."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self.on_change = on_change

    def schedule(self, due: datetime, action: Callable[[], None]) -> None:
        """Run ``action`` at ``due`` or as soon as possible after it."""
        with self._lock:
            heapq.heappush(self._heap, (due, next(self._order), action))
        self.on_change()

    def next_due(self) -> datetime | None:
        """Return when the next action is due; None when there is none."""
        with self._lock:
            return self._heap[0][0] if self._heap else None

    def run_due(self, now: datetime) -> int:
        """Run everything due at ``now`` in order of time, also what that adds; return how many ran."""
        ran = 0
        while True:
            with self._lock:
                if not self._heap or self._heap[0][0] > now:
                    return ran
                _, _, action = heapq.heappop(self._heap)
            action()
            ran += 1

    def run_next(self) -> bool:
        """Run the next action whether or not it is due; tell whether there was one."""
        with self._lock:
            if not self._heap:
                return False
            _, _, action = heapq.heappop(self._heap)
        action()
        return True

    def __len__(self) -> int:
        """Return how many actions are still to come."""
        with self._lock:
            return len(self._heap)

    def clear(self) -> None:
        """Drop everything that is not yet due."""
        with self._lock:
            self._heap.clear()
