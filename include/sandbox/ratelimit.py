"""Counting calls per minute, and the forms of Retry-After."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Final, Literal

from sandbox.clock import Clock

WINDOW: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Allowance:
    """What is left after a call was counted."""

    limit: int
    remaining: int
    reset: datetime
    allowed: bool
    wait: int
    """Whole seconds until :attr:`reset`, at least 1."""


class CallsPerMinute:
    """[I] A fixed window of one minute that begins with the first call after the one before has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[datetime, int]] = {}
        self._lock = threading.Lock()

    def take(self, who: str, limit: int) -> Allowance:
        """Count a call of ``who``."""
        now = self._clock.now()
        with self._lock:
            reset, used = self._windows.get(who, (now, 0))
            if now >= reset:
                reset, used = now + WINDOW, 0
            # a refused call costs nothing
            allowed = used < limit
            used += allowed
            self._windows[who] = (reset, used)
        wait = max(1, math.ceil((reset - now).total_seconds()))
        return Allowance(limit, max(0, limit - used), reset, allowed, wait)

    def clear(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._windows.clear()


def retry_after(form: Literal["seconds", "date"], wait: int, now: datetime) -> str:
    """Return the value of a Retry-After header: ``wait`` seconds, or that time as an HTTP date."""
    if form == "seconds":
        return str(wait)
    return format_datetime(now + timedelta(seconds=wait), usegmt=True)
