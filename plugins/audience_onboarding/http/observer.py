"""What a client tells of its work, for whoever measures it. No Airflow in here: the hooks connect it to Airflow's."""

from __future__ import annotations

from typing import Protocol


class ClientObserver(Protocol):
    """Told of each exchange with a vendor, by whichever thread makes it.

    None of these may raise, or take long: they are called in the middle of a load.
    """

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        """A request has ended.

        :param operation: what it was to do, one word of a short list: never an id, never a path.
        :param status: HTTP status of the answer; ``None`` where no complete answer came.
        :param seconds: from sending it to the end of the answer's head, with its repeats and their pauses, but without
            the wait for its first turn.
        """

    def on_retry(self, operation: str) -> None:
        """A request is sent once more by the transport, after a network error or a 502, 503 or 504."""

    def on_throttle(self, limit: str, seconds: float) -> None:
        """A request has waited for its turn.

        :param limit: ``connection``, the configured rate limit, or ``vendor``, what the vendor's headers allow.
        """

    def on_login(self, outcome: str) -> None:
        """A login has ended: ``ok``, ``refused``, or ``broken`` where nobody knows."""


class NullObserver:
    """Tells nobody."""

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        """Nothing."""

    def on_retry(self, operation: str) -> None:
        """Nothing."""

    def on_throttle(self, limit: str, seconds: float) -> None:
        """Nothing."""

    def on_login(self, outcome: str) -> None:
        """Nothing."""


NULL_OBSERVER: ClientObserver = NullObserver()
"""For clients that nobody measures."""
