"""What is wrong with a definition, and where: one record for each problem, printed as one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

_LONGEST_NAME = 60
_SHOWN = 3
"""So many files that inherit a problem are named."""

Path = tuple[str | int, ...]
"""Of a field: names, and places from 0 in lists."""

ROOT: Path = ()


@dataclass(frozen=True)
class Place:
    """Where a value stands.

    :param file: the file's name, without its folder.
    :param line: from 1; ``None`` where the file as a whole is meant.
    :param column: from 1.
    :param path: of the field as it is written there, ``environments`` and ``platforms`` included.
    """

    file: str
    line: int | None = None
    column: int | None = None
    path: Path = ROOT


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    :param file: the name of the file to correct, without its folder.
    :param line: from 1; ``None`` where the file as a whole is meant.
    :param column: from 1.
    :param field: for example ``activation.targets[0].days``; empty for the definition as a whole.
    :param message: what is wrong, in one sentence. It never repeats a value.
    :param allowed: what may be there instead, where that can be listed.
    :param meant: what is nearest to what is given.
    :param environments: in which environments it is wrong; empty for the one that is chosen.
    :param inherited_by: the files that are wrong because of it, where it stands in the defaults.
    """

    file: str
    line: int | None
    column: int | None
    field: str
    message: str
    allowed: tuple[str, ...] = ()
    meant: str = ""
    environments: tuple[str, ...] = ()
    inherited_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        if self.field:
            text += f"{self.field}: "
        text += self.message
        if self.allowed:
            text += f"; allowed is {', '.join(map(repr, self.allowed))}"
        if self.meant:
            text += f"; did you mean {self.meant!r}?"
        if others := [name for name in self.environments if not self._is_in_section(name)]:
            text += f" (environment {', '.join(others)})"
        if self.inherited_by:
            text += f" (inherited by {_told(self.inherited_by)})"
        return text

    def _is_in_section(self, environment: str) -> bool:
        return self.field.startswith(field_name(("environments", environment)))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def problem_at(place: Place, message: str, *, allowed: Iterable[str] = (), meant: str = "") -> Problem:
    """A problem with what stands at a place."""
    return Problem(
        place.file, place.line, place.column, field_name(place.path), message, tuple(allowed), meant
    )


def field_name(path: Path) -> str:
    """A path as people write it: ``activation.targets[0].days``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{printable(part)}" if text else printable(part)
    return text


def printable(name: str) -> str:
    """The name of a field as a message may repeat it: on one line, and short."""
    name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of some names that was probably meant; empty if none is near."""
    known = list(names)
    plain = {re.sub(r"[\s-]", "_", item.lower()): item for item in reversed(known)}
    wanted = re.sub(r"[\s-]", "_", name.strip().lower())
    if wanted in plain:
        return plain[wanted]
    close = get_close_matches(wanted, plain, n=1)
    return plain[close[0]] if close else ""


def _told(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file and line. What is wrong in the environment that is chosen is wrong in the others as
    well, most of the time, and is not said again."""
    environments: dict[Problem, dict[str, None]] = {}
    heirs: dict[Problem, dict[str, None]] = {}
    everywhere = set()
    for problem in problems:
        alone = replace(problem, environments=(), inherited_by=())
        environments.setdefault(alone, {}).update(dict.fromkeys(problem.environments))
        heirs.setdefault(alone, {}).update(dict.fromkeys(problem.inherited_by))
        if not problem.environments:
            everywhere.add(alone)
    found = [
        replace(
            problem,
            environments=() if problem in everywhere else tuple(names),
            inherited_by=tuple(heirs[problem]),
        )
        for problem, names in environments.items()
    ]
    return sorted(
        found, key=lambda item: (item.file, item.line or 0, item.column or 0, item.field, item.message)
    )


def in_environment(problems: Sequence[Problem], name: str) -> list[Problem]:
    """Problems that are there in an environment which is not the one that is chosen."""
    return [replace(problem, environments=(name,)) for problem in problems]
