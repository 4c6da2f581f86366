"""A ceiling of requests per minute, for all threads and waits of a process that talk to one account."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from audience_onboarding.exceptions import RateLimitedError

log = logging.getLogger(__name__)

BURST_RATIO = 0.1
"""The part of a minute's requests that may go at once, after a quiet while. The rest is spread over the minute, so
that in no minute there are more than the ceiling allows."""

MAX_WAIT = 60.0
"""Seconds that a request waits for its turn. Longer than that, the queue is too long for the ceiling: it is said, and
the task tries again."""

LOG_WAIT_THRESHOLD = 5.0
"""Seconds of waiting from which on it is logged."""


class RateLimiter:
    """Gives each request its turn: a token bucket, in which who comes first goes first.

    :param per_minute: the ceiling; it counts every request, also a login and a repeated GET.
    :param clock: monotonic, in seconds.
    """

    def __init__(
        self,
        per_minute: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._per_minute = per_minute
        self._tokens = self.burst
        self._counted = clock()

    @property
    def per_minute(self) -> float:
        """The ceiling."""
        return self._per_minute

    @property
    def burst(self) -> float:
        """How many may go at once; one at least."""
        return max(1.0, self._per_minute * BURST_RATIO)

    @property
    def per_second(self) -> float:
        """How many go on average while there is a queue."""
        return max(self._per_minute - self.burst, self._per_minute / 2) / 60

    def tighten_to(self, per_minute: float) -> None:
        """Lower the ceiling; several connections to one account may name different ones, and the lowest counts."""
        with self._lock:
            self._refill()
            if per_minute < self._per_minute:
                self._per_minute = per_minute
                self._tokens = min(self._tokens, self.burst)

    def acquire(self, request_label: str) -> float:
        """Return when the next request may be sent.

        :param request_label: for the error.
        :return: the seconds that it has waited.
        :raises RateLimitedError: its turn would not come for long; nothing was sent.
        """
        with self._lock:
            self._refill()
            # Below zero, the bucket holds the turns of those who wait already.
            pause = max(0.0, (1 - self._tokens) / self.per_second)
            if pause <= MAX_WAIT:
                self._tokens -= 1
        if pause > MAX_WAIT:
            raise RateLimitedError(
                what=f"More requests wait than {self._per_minute:g} a minute can take",
                where=request_label,
                why=f"the next turn is in {pause:.0f} s",
                next_step="It is tried again by itself. Raise 'max_requests_per_minute' of the connection if the "
                "vendor takes more, or let fewer tasks run at once (the slots of the connection's pool)",
                retry_after=pause,
            )
        if pause > LOG_WAIT_THRESHOLD:
            log.info(
                "%s waits %.0f s for its turn (%g requests a minute)", request_label, pause, self._per_minute
            )
        if pause > 0:
            self._sleep(pause)
        return pause

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._counted) * self.per_second)
        self._counted = now
