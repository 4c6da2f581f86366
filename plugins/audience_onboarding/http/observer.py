"""What a client tells of its work, for whoever measures it. No Airflow in here: the hooks connect it to Airflow's."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Told of each exchange with a vendor, by whichever thread makes it.

    None of these may raise, or take long: they are called in the middle of a load.
    """

    def answered(self, operation: str, status: int | None, seconds: float) -> None:
        """A request has ended.

        :param operation: what it was to do, one word of a short list: never an id, never a path.
        :param status: HTTP status of the answer; ``None`` where no complete answer came.
        :param seconds: from sending it to the end of the answer's head, with its repeats and their pauses, but without
            the wait for its first turn.
        """

    def repeated(self, operation: str) -> None:
        """A request is sent once more by the transport, after a network error or a 502, 503 or 504."""

    def waited(self, ceiling: str, seconds: float) -> None:
        """A request has waited for its turn.

        :param ceiling: ``pace``, that of the connection, or ``vendor``, what the vendor's headers allow.
        """

    def logged_in(self, outcome: str) -> None:
        """A login has ended: ``ok``, ``refused``, or ``broken`` where nobody knows."""


class Unobserved:
    """Tells nobody."""

    def answered(self, operation: str, status: int | None, seconds: float) -> None:
        """Nothing."""

    def repeated(self, operation: str) -> None:
        """Nothing."""

    def waited(self, ceiling: str, seconds: float) -> None:
        """Nothing."""

    def logged_in(self, outcome: str) -> None:
        """Nothing."""


UNOBSERVED: Observer = Unobserved()
"""For clients that nobody measures."""
