"""The one clock of the sandbox: every time stamp and every delay is read from it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Protocol


class Clock(Protocol):
    """Source of the current time; always aware and in UTC."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...


class MovableClock:
    """The machine's clock, put forward or back; it goes on from there."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(timezone.utc) + self._offset

    def put(self, moment: datetime) -> None:
        """Let it be ``moment``, an aware one, now."""
        self._offset = moment - datetime.now(timezone.utc)

    def reset(self) -> None:
        """Go with the machine again."""
        self._offset = timedelta()


class ManualClock:
    """A clock that only moves when it is told to; for tests."""

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


def iso(moment: datetime) -> str:
    """Format a time the way the vendor's create response does: UTC, six fractional digits, ``Z``.

    Page: Audience API, response of POST /audience/createcrmaudience (``2025-12-15T11:36:16.489708Z``).
    """
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def iso_ms(moment: datetime) -> str:
    """Format a time with three fractional digits and ``Z``.

    Page: CommBox, Create New Audiences (``2025-02-06T07:51:52.258Z``).
    """
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
