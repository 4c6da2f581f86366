"""Diagnostics of definitions: each names file, line, field and reason, and prints as one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

_MAX_NAME_LENGTH = 60
_MAX_SHOWN_FILES = 3

Path = tuple[str | int, ...]
"""Path of a field: names, and indexes from 0 in lists."""

ROOT: Path = ()


@dataclass(frozen=True)
class SourceLocation:
    """Location of a value.

    :param file: the file's name, without its folder.
    :param line: from 1; ``None`` for the file as a whole.
    :param column: from 1.
    :param path: of the field as the file has it, ``environments`` and ``platforms`` included.
    """

    file: str
    line: int | None = None
    column: int | None = None
    path: Path = ROOT


@dataclass(frozen=True)
class Diagnostic:
    """One error in a definition.

    :param file: the name of the file to correct, without its folder.
    :param line: from 1; ``None`` for the file as a whole.
    :param column: from 1.
    :param field: for example ``activation.targets[0].key``; empty for the definition as a whole.
    :param message: the reason and, if known, the action. It never repeats a value.
    :param allowed: the valid values, if they can be listed.
    :param suggestion: the valid name or value nearest to the given one.
    :param environments: the environments that have the error; empty for the chosen one.
    :param inherited_by: the files that inherit an error of the defaults.
    """

    file: str
    line: int | None
    column: int | None
    field: str
    message: str
    allowed: tuple[str, ...] = ()
    suggestion: str = ""
    environments: tuple[str, ...] = ()
    inherited_by: tuple[str, ...] = ()

    @classmethod
    def at(
        cls, location: SourceLocation, message: str, *, allowed: Iterable[str] = (), suggestion: str = ""
    ) -> Diagnostic:
        """Return a diagnostic of the value at a location."""
        field = field_name(location.path)
        return cls(location.file, location.line, location.column, field, message, tuple(allowed), suggestion)

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        if self.field:
            text += f"{self.field}: "
        text += self.message
        if self.allowed:
            text += f". Allowed: {', '.join(map(repr, self.allowed))}"
        if self.suggestion:
            text += f". Did you mean {self.suggestion!r}?"
        if others := [name for name in self.environments if not self._is_in_section(name)]:
            text += f" (environment {', '.join(others)})"
        if self.inherited_by:
            text += f" (inherited by {_format_files(self.inherited_by)})"
        return text

    def _is_in_section(self, environment: str) -> bool:
        return self.field.startswith(field_name(("environments", environment)))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def field_name(path: Path) -> str:
    """Return the dotted name of a path: ``activation.targets[0].key``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{_printable(part)}" if text else _printable(part)
    return text


def _printable(name: str) -> str:
    """Return the name of a field on one line and shortened, because messages repeat it."""
    name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}..."


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the one of some names that is nearest to a given one; empty if none is near."""
    candidates = {_fold(item): item for item in reversed(list(names))}
    folded = _fold(name.strip())
    close = [folded] if folded in candidates else get_close_matches(folded, candidates, n=1)
    return candidates[close[0]] if close else ""


def _fold(name: str) -> str:
    return re.sub(r"[\s-]", "_", name.lower())


def _format_files(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_SHOWN_FILES])
    hidden = len(names) - _MAX_SHOWN_FILES
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return each diagnostic once, by file and line.

    An error in the chosen environment is not repeated for the others, which usually have it too.
    """
    environments: dict[Diagnostic, dict[str, None]] = {}
    heirs: dict[Diagnostic, dict[str, None]] = {}
    everywhere = set()
    for item in diagnostics:
        alone = replace(item, environments=(), inherited_by=())
        environments.setdefault(alone, {}).update(dict.fromkeys(item.environments))
        heirs.setdefault(alone, {}).update(dict.fromkeys(item.inherited_by))
        if not item.environments:
            everywhere.add(alone)
    merged = [
        replace(
            item, environments=() if item in everywhere else tuple(names), inherited_by=tuple(heirs[item])
        )
        for item, names in environments.items()
    ]
    return sorted(
        merged, key=lambda item: (item.file, item.line or 0, item.column or 0, item.field, item.message)
    )
