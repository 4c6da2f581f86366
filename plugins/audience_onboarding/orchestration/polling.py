"""How often to look at something that is waited for."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_PAUSE = 1.0


def growing_pauses(longest: float) -> Iterator[float]:
    """Pauses in seconds: short at first, doubling up to ``longest``, which then stays.

    What is quick is seen soon, and what takes a day costs half a dozen looks more than a fixed interval would.
    """
    pause = min(FIRST_PAUSE, longest)
    while True:
        yield pause
        pause = min(pause * 2, longest)
