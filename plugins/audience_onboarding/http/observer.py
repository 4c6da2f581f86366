"""Callbacks that report client activity. No Airflow in here: the hooks connect them to Airflow's metrics."""

from __future__ import annotations

from typing import Protocol


class ClientObserver(Protocol):
    """Receives each exchange with a vendor, in the thread that makes it.

    No method may raise or block: they run in the middle of a load.
    """

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        """A request has ended.

        :param operation: one word of a short list; never an id or a path.
        :param status: HTTP status; ``None`` without a complete answer.
        :param seconds: from the first try to the complete answer, with retries and their delays, but without the wait
            for the first slot.
        """

    def on_retry(self, operation: str) -> None:
        """The transport retries a request, after a network error or a 502, 503 or 504."""

    def on_throttle(self, limit: str, seconds: float) -> None:
        """A request has waited for a slot.

        :param limit: ``connection``, the configured rate limit, or ``vendor``, the limit in the vendor's headers.
        """

    def on_login(self, outcome: str) -> None:
        """A login has ended: ``ok``, ``refused``, or ``broken`` if the outcome is unknown."""


class NullObserver:
    """Observer that does nothing."""

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        """Do nothing."""

    def on_retry(self, operation: str) -> None:
        """Do nothing."""

    def on_throttle(self, limit: str, seconds: float) -> None:
        """Do nothing."""

    def on_login(self, outcome: str) -> None:
        """Do nothing."""


NULL_OBSERVER: ClientObserver = NullObserver()
"""Default of clients without metrics."""
