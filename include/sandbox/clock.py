"""The clock of the sandbox, and the actions that are due at a time on it."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Protocol


class Clock(Protocol):
    """Source of the current time; always aware and in UTC."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...


class MovableClock:
    """The machine's clock plus an offset."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(timezone.utc) + self._offset

    def set(self, time: datetime) -> None:
        """Make ``time``, an aware one, the current time; the clock runs on from it."""
        self._offset = time - datetime.now(timezone.utc)

    def reset(self) -> None:
        """Return to the machine's time."""
        self._offset = timedelta()


class ManualClock:
    """A clock that moves only by :meth:`advance`; for tests."""

    def __init__(
        self, start: datetime = datetime(2025, 12, 15, 11, 36, 16, 489708, tzinfo=timezone.utc)
    ) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the time set last."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock by ``seconds`` (may be fractional)."""
        with self._lock:
            self._now += timedelta(seconds=seconds)


def iso(time: datetime) -> str:
    """Format a time with six fractional digits and ``Z``.

    Page: Audience API, response of POST /audience/createcrmaudience (``2025-12-15T11:36:16.489708Z``).
    """
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso_ms(time: datetime) -> str:
    """Format a time with three fractional digits and ``Z``.

    Page: CommBox, Create New Audiences (``2025-02-06T07:51:52.258Z``).
    """
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Timeline:
    """Actions with the time they are due. Any thread may schedule; only the worker runs them."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self.on_change: Callable[[], None] = lambda: None

    def schedule(self, due: datetime, action: Callable[[], None]) -> None:
        """Run ``action`` at ``due`` or as soon as possible after it."""
        with self._lock:
            heapq.heappush(self._heap, (due, next(self._order), action))
        self.on_change()

    def next_due(self) -> datetime | None:
        """Return the due time of the next action; None if there is none."""
        with self._lock:
            return self._heap[0][0] if self._heap else None

    def run_next(self, until: datetime | None = None) -> bool:
        """Run the next action, if it is due by ``until``; None runs it whether or not it is due.

        :returns: whether an action ran.
        """
        with self._lock:
            if not self._heap or (until is not None and self._heap[0][0] > until):
                return False
            _, _, action = heapq.heappop(self._heap)
        action()
        return True

    def __len__(self) -> int:
        """Return the number of pending actions."""
        with self._lock:
            return len(self._heap)

    def clear(self) -> None:
        """Drop all pending actions."""
        with self._lock:
            self._heap.clear()
