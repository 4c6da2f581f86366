"""What a YAML file gives: its values, and of each the line where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import yaml

from audience_onboarding.definitions.problems import (
    ROOT,
    Path,
    Place,
    Problem,
    problem_at,
)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_SCALARS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_MERGE = f"{_TAG}merge"
_VALUE = f"{_TAG}value"
MAX_VALUES = 20_000
"""In one file. Aliases of aliases make more values of a few lines than any machine can hold."""

MAX_DEPTH = 50
"""Of values in values."""


@dataclass(frozen=True)
class Given:
    """A value with its place: text, a number and the like; a ``dict`` or ``list`` holds more of these."""

    value: Any
    place: Place

    @property
    def is_mapping(self) -> bool:
        """Whether it is a group of fields."""
        return isinstance(self.value, dict)

    def plain(self) -> Any:
        """The value alone."""
        if isinstance(self.value, dict):
            return {name: item.plain() for name, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def get(self, name: str | int) -> Given | None:
        """What is in it under a name, or at a place in a list; ``None`` if there is nothing."""
        if isinstance(self.value, dict):
            return self.value.get(name)
        if isinstance(self.value, list) and isinstance(name, int) and 0 <= name < len(self.value):
            found: Given = self.value[name]
            return found
        return None

    def without(self, *names: str) -> Given:
        """A mapping without some of its fields."""
        return Given({name: item for name, item in self.value.items() if name not in names}, self.place)

    def place_of(self, path: Path) -> Place:
        """Where a field stands; for one that is not there, the place of what it should be in, under its own name."""
        here = self
        for number, part in enumerate(path):
            inner = here.get(part)
            if inner is None:
                place = here.place
                return Place(place.file, place.line, place.column, (*place.path, *path[number:]))
            here = inner
        return here.place


def merged(under: Given, over: Given, *, keeps_null: Callable[[Path], bool], path: Path = ROOT) -> Given:
    """A value, and another that goes before it. Mappings are merged, field by field; all else is replaced. ``null``
    takes away what is under it.

    :param keeps_null: whether ``null`` is a value of its own in a field.
    """
    if not (under.is_mapping and over.is_mapping):
        return over
    values = dict(under.value)
    for name, item in over.value.items():
        inner = (*path, name)
        if name not in values:
            values[name] = item
        elif item.value is None and not keeps_null(inner):
            del values[name]
        else:
            values[name] = merged(values[name], item, keeps_null=keeps_null, path=inner)
    return Given(values, over.place)


def read_yaml(path: FilePath) -> tuple[Given | None, list[Problem]]:
    """Read a file.

    :return: what it gives, as far as it can be read, ``None`` if that is no group of fields; and what is wrong.
    """
    whole = Place(path.name)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return None, [problem_at(Place(path.name, line, 1), "not UTF-8 text; save the file in this encoding")]
    except IsADirectoryError:
        return None, [problem_at(whole, "cannot be read: it is a folder")]
    except FileNotFoundError:
        return None, [problem_at(whole, "cannot be read: it is not there")]
    except OSError as error:
        return None, [problem_at(whole, f"cannot be read: {type(error).__name__}")]
    return _Reader(path.name).read(text)


class _Reader:
    """Makes values of the nodes of a file. Goes on after an error, so that all of them are told at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._count = 0
        self._open: list[Any] = []

    def read(self, text: str) -> tuple[Given | None, list[Problem]]:
        self._loader = _Loader(text)
        try:
            node = self._loader.get_single_node()
            if node is None:
                self._add(Place(self.file), "is empty; a definition is a group of fields")
                return None, self.problems
            given = self._value(node, Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1))
        except yaml.YAMLError as error:
            self.problems.append(_no_yaml(error, self.file, text))
            return None, self.problems
        except _TooMuchError as error:
            self.problems.append(error.problem)
            return None, self.problems
        finally:
            self._loader.dispose()
        if not given.is_mapping:
            self._add(Place(self.file, given.place.line, given.place.column), "must be a group of fields")
            return None, self.problems
        return given, self.problems

    def _add(self, place: Place, message: str, **more: Any) -> None:
        self.problems.append(problem_at(place, message, **more))

    def _value(self, node: Any, place: Place) -> Given:
        self._count += 1
        if any(node is outer for outer in self._open):
            raise _TooMuchError(problem_at(place, "an alias stands inside of what it stands for"))
        if self._count > MAX_VALUES:
            raise _TooMuchError(problem_at(Place(self.file), f"holds more than {MAX_VALUES:,} values"))
        if len(self._open) > MAX_DEPTH:
            raise _TooMuchError(problem_at(Place(self.file, place.line), f"is more than {MAX_DEPTH} deep"))
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return Given(self._mapping(node, place), place)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                items = [
                    self._value(item, self._at(item, (*place.path, number)))
                    for number, item in enumerate(node.value)
                ]
                return Given(items, place)
        finally:
            self._open.pop()
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return Given(self._scalar(node, place), place)
        if isinstance(node, yaml.ScalarNode) and node.tag == _VALUE:
            return Given(node.value, place)
        self._add(place, "a tag (a word that begins with '!') has no meaning here")
        return Given(None, place)

    def _at(self, node: Any, path: Path) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1, path)

    def _scalar(self, node: Any, place: Place) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, OverflowError):
            # Of a date such as 2026-02-30, or a number of thousands of digits.
            what = "is no date of the calendar" if node.tag == f"{_TAG}timestamp" else "is no number"
            self._add(place, what)
            return None

    def _mapping(self, node: Any, place: Place) -> dict[str, Given]:
        own: dict[str, Given] = {}
        inherited: dict[str, Given] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for name, item in self._merge_key(value, self._at(key, place.path)):
                    inherited.setdefault(name, item)
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in {f"{_TAG}str", _VALUE}:
                self._add(
                    self._at(key, place.path), "the name of a field is text; put it in quotes if it is meant"
                )
                continue
            at = self._at(key, (*place.path, key.value))
            if key.value in own:
                self._add(at, f"is given twice; first in line {own[key.value].place.line}")
                continue
            own[key.value] = self._value(value, at)
        return {**inherited, **own}

    def _merge_key(self, node: Any, place: Place) -> Iterator[tuple[str, Given]]:
        """What ``<<`` brings along: the fields of a mapping, or of several, of which the first goes before."""
        found = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for item in found:
            if not isinstance(item, yaml.MappingNode):
                self._add(place, "'<<' takes an alias of a group of fields, or a list of these")
                return
            given = self._value(item, place)
            yield from (given.value or {}).items()


class _TooMuchError(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


_IN_WORDS = {
    "found character that cannot start any token": "no text begins with this character, unless it is in quotes",
    "mapping values are not allowed in this context": "a second ':' in a line, or lines that are indented "
    "differently; put text with ': ' in quotes",
    "could not find expected ':'": "a ':' is missing after the name of a field",
    "but found another document": "a second document begins here; one file is one definition",
    "found unexpected end of stream": "a quote is not closed",
    "found undefined alias": "an alias ('*name') of which there is no anchor ('&name')",
    "did not find expected key": "a field is expected here; look at the indentation, and for a missing quote",
    "did not find expected '-' indicator": "an entry of a list ('- ...') is expected here; look at the indentation",
    "did not find expected ',' or ']'": "a ',' or ']' is missing",
    "did not find expected ',' or '}'": "a ',' or '}' is missing",
    "did not find expected node content": "a value is missing",
    "did not find expected <document start>": "text that belongs to no field; look at the indentation",
    "control characters are not allowed": "a character that text does not have",
}


def _indentation(text: str, line: int) -> str:
    whole = [*text.split("\n"), ""][line]
    return whole[: len(whole) - len(whole.lstrip())]


def _no_yaml(error: yaml.YAMLError, file: str, text: str) -> Problem:
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    begins = getattr(error, "context_mark", None)
    place = Place(file)
    if mark is not None:
        # What is missing at the end of a file is missing in its last line.
        last = max(len(text.splitlines()), 1)
        place = Place(file, min(mark.line + 1, last), mark.column + 1)
    elif isinstance(position := getattr(error, "position", None), int):
        # libyaml counts bytes, and names no line.
        before = text.encode()[:position]
        place = Place(file, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
    if "exceeded max depth" in said or "nesting" in said:
        return problem_at(Place(file, place.line), f"is more than {MAX_DEPTH} deep")
    words = _IN_WORDS.get(said, said)
    if mark is not None and "\t" in _indentation(text, mark.line):
        words = "a tab; indent with spaces"
    if (
        begins is not None
        and mark is not None
        and begins.line + 1 < (place.line or 0)
        and "document" not in words
    ):
        words += f" (what is not finished begins in line {begins.line + 1})"
    return problem_at(place, f"not YAML: {words}")
