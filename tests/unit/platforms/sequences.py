"""Loads of an audience, one after the other, as a line of text.

``mon replace abc | tue opt-out? a -> bc``: a day, a mode, the people of the list, and after ``->`` the people in the
audience then. A sign may follow the mode: with ``?`` the load is sent and taken in, but never confirmed; with ``*`` it
is made without snapshots; with ``!`` it supersedes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tests.unit.platforms.cases import every_case

DAYS = {"mon": "2026-11-16", "tue": "2026-11-17", "wed": "2026-11-18", "thu": "2026-11-19"}


class World(Protocol):
    """An audience in memory."""

    @property
    def people(self) -> str:
        """The people in it, each a letter."""

    def write(self, day: str, people: str) -> None:
        """Write the list of a day."""

    def send(self, day: str, *, mode: str, **changes: Any) -> dict[str, Any]:
        """Run the task that sends the list."""

    def taken_in(self) -> None:
        """Let the vendor take in what was sent."""

    def confirm(self, load: dict[str, Any]) -> dict[str, Any]:
        """Run the tasks that wait and record."""


def play(world: World, sequence: str) -> None:
    """Load one list after the other, and compare the audience where the sequence says so."""
    for step in sequence.split("|"):
        what, _, expected = step.partition("->")
        day, mode, people = (*what.split(), "")[:3]
        world.write(DAYS[day], people)
        changes: dict[str, Any] = {"snapshots": None} if "*" in mode else {}
        if "!" in mode:
            changes["overwrite"] = True
        load = world.send(DAYS[day], mode=mode.rstrip("?*!"), **changes)
        if "?" in mode:
            world.taken_in()
        else:
            world.confirm(load)
        if expected:
            assert world.people == expected.strip().replace("nobody", ""), step


def play_all(make: Callable[[object], World], sequences: Mapping[str, str]) -> None:
    """Play each sequence in a world of its own, and report those that fail together."""
    with every_case() as case:
        for number, (name, sequence) in enumerate(sequences.items()):
            with case(name):
                play(make(number), sequence)
