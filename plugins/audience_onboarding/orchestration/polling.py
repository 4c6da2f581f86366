"""How often to look at something that is waited for."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_PAUSE = 5.0
"""Also before the first look: a trigger that fires in the moment in which its task has deferred lets Airflow (3.3.2)
take the end of that task's process for the end of the resumed task, and fail it."""


def growing_pauses(longest: float) -> Iterator[float]:
    """Pauses in seconds: short at first, doubling up to ``longest``, which then stays.

    What is quick is seen soon, and what takes a day costs half a dozen looks more than a fixed interval would.
    """
    pause = min(FIRST_PAUSE, longest)
    while True:
        yield pause
        pause = min(pause * 2, longest)
