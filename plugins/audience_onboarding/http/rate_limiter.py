"""Rate limits: the configured one, shared by all threads of a process, and the one in the vendor's headers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from audience_onboarding.exceptions import RateLimitedError

log = logging.getLogger(__name__)

BURST_RATIO = 0.1
"""Share of a minute's requests that may be sent at once after an idle time. The rest is spread over the minute, so
that no minute exceeds the limit."""

MAX_WAIT = 60.0
"""Longest time, in seconds, that a request waits for a slot. Beyond it the task fails and Airflow retries it."""

LOG_WAIT_THRESHOLD = 5.0
"""Waits from this many seconds on are logged."""

MAX_BLOCKING_WAIT = 10.0
"""Longest time, in seconds, that a call blocks a worker until the vendor's next rate limit window."""

LATEST_RESET = 32_503_680_000.0
"""Unix time of the year 3000. A later reset is not in seconds."""

RATE_LIMIT_REACHED = "Rate limit reached"
RATE_LIMIT_HINT = "Airflow retries automatically; a smaller pool for this connection makes it rarer"


class RateLimiter:
    """Token-bucket rate limiter; requests are served in FIFO order.

    :param per_minute: the rate limit; every request counts, including logins and retries.
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
        self.per_minute = per_minute
        self._tokens = self.burst
        self._refilled_at = clock()

    @property
    def burst(self) -> float:
        """Requests that may be sent at once; at least 1."""
        return max(1.0, self.per_minute * BURST_RATIO)

    @property
    def per_second(self) -> float:
        """Average rate while requests queue."""
        return max(self.per_minute - self.burst, self.per_minute / 2) / 60

    def tighten_to(self, per_minute: float) -> None:
        """Lower the limit. Connections to one account may name different limits; the lowest applies."""
        with self._lock:
            self._refill()
            if per_minute < self.per_minute:
                self.per_minute = per_minute
                self._tokens = min(self._tokens, self.burst)

    def acquire(self, request_label: str) -> float:
        """Wait until the next request may be sent, and return the seconds waited.

        :raises RateLimitedError: the wait would exceed :data:`MAX_WAIT`; nothing was sent.
        """
        with self._lock:
            self._refill()
            # A negative number of tokens is the queue of waiting requests.
            delay = max(0.0, (1 - self._tokens) / self.per_second)
            if delay <= MAX_WAIT:
                self._tokens -= 1
        if delay > MAX_WAIT:
            raise RateLimitedError(
                what="Rate limit queue is full",
                where=request_label,
                why=f"{self.per_minute:g} requests/min, next slot in {delay:.0f} s",
                next_step="Airflow retries automatically. To avoid it, raise 'max_requests_per_minute' of the "
                "connection if the vendor allows more, or lower the slots of the connection's pool",
                retry_after=delay,
            )
        if delay > LOG_WAIT_THRESHOLD:
            log.info("%s waits %.0f s for a slot (%g requests/min)", request_label, delay, self.per_minute)
        if delay > 0:
            self._sleep(delay)
        return delay

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._refilled_at) * self.per_second)
        self._refilled_at = now


class RateLimitHeaders:
    """Limit in the vendor's ``X-RateLimit-*`` headers, shared by all threads; no headers, no limit.

    Source: https://docs.fanfare.io/api/rate-limiting
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._remaining: int | None = None
        self._reset = 0.0

    def update(self, headers: Mapping[str, str]) -> None:
        """Store the limit in the headers of an answer."""
        try:
            remaining, reset = int(headers["X-RateLimit-Remaining"]), float(headers["X-RateLimit-Reset"])
        except (KeyError, ValueError):
            return
        # float() accepts "nan" and "inf"; a time in milliseconds is beyond the limit.
        if not 0 <= reset < LATEST_RESET:
            return
        with self._lock:
            self._remaining, self._reset = remaining, reset

    def acquire(self, request_label: str) -> float:
        """Wait until the next request may be sent, and return the seconds waited.

        :raises RateLimitedError: the wait would exceed :data:`MAX_BLOCKING_WAIT`; nothing was sent.
        """
        with self._lock:
            reset = self._reset
            delay = reset - time.time()
            if self._remaining is None or delay <= 0:
                self._remaining = None
                return 0.0
            if self._remaining > 0:
                # Requests in flight count.
                self._remaining -= 1
                return 0.0
        if delay > MAX_BLOCKING_WAIT:
            until = datetime.fromtimestamp(reset, timezone.utc)
            raise RateLimitedError(
                what=RATE_LIMIT_REACHED,
                where=request_label,
                why=f"the vendor allows no request until {until:%H:%M:%S} UTC",
                next_step=RATE_LIMIT_HINT,
                retry_after=delay,
            )
        self._sleep(delay)
        return delay
