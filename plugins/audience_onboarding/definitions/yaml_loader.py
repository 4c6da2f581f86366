"""YAML loader that keeps the file, line and column of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import yaml

from audience_onboarding.definitions.diagnostics import ROOT, Diagnostic, Path, SourceLocation

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_SCALARS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_MERGE = f"{_TAG}merge"
_VALUE = f"{_TAG}value"
MAX_VALUES = 20_000
"""Limit per file. A few lines with aliases of aliases can hold more values than any machine can."""

MAX_DEPTH = 50
"""Limit of nesting."""


@dataclass(frozen=True)
class YamlNode:
    """A value and its location: a scalar, or a ``dict`` or ``list`` of nodes."""

    value: Any
    location: SourceLocation

    @property
    def is_mapping(self) -> bool:
        """Whether it holds fields."""
        return isinstance(self.value, dict)

    def to_plain(self) -> Any:
        """Return the value without locations."""
        if isinstance(self.value, dict):
            return {name: item.to_plain() for name, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.to_plain() for item in self.value]
        return self.value

    def get(self, name: str | int) -> YamlNode | None:
        """Return the node of a field, or at an index of a list; ``None`` if there is none."""
        node: YamlNode | None = None
        if isinstance(self.value, dict):
            node = self.value.get(name)
        elif isinstance(self.value, list) and isinstance(name, int) and 0 <= name < len(self.value):
            node = self.value[name]
        return node

    def find(self, path: Path) -> YamlNode | None:
        """Return the node at a path, ``None`` if there is none."""
        node: YamlNode | None = self
        for part in path:
            node = node.get(part) if node is not None else None
        return node

    def without(self, *names: str) -> YamlNode:
        """Return a mapping without some of its fields."""
        return YamlNode({name: item for name, item in self.value.items() if name not in names}, self.location)

    def locate(self, path: Path) -> SourceLocation:
        """Return the location of a field; for a missing field, that of its parent under the field's name."""
        node = self
        for number, part in enumerate(path):
            inner = node.get(part)
            if inner is None:
                parent = node.location
                return SourceLocation(parent.file, parent.line, parent.column, (*parent.path, *path[number:]))
            node = inner
        return node.location


def deep_merge(
    base: YamlNode, override: YamlNode, *, keeps_null: Callable[[Path], bool], path: Path = ROOT
) -> YamlNode:
    """Merge mappings field by field; any other value replaces the one of the base. ``null`` removes it.

    :param keeps_null: whether ``null`` is a valid value of a field, which then replaces the base's.
    """
    if not (base.is_mapping and override.is_mapping):
        return override
    values = dict(base.value)
    for name, item in override.value.items():
        inner = (*path, name)
        if name not in values:
            values[name] = item
        elif item.value is None and not keeps_null(inner):
            del values[name]
        else:
            values[name] = deep_merge(values[name], item, keeps_null=keeps_null, path=inner)
    return YamlNode(values, override.location)


def load_yaml(path: FilePath) -> tuple[YamlNode | None, list[Diagnostic]]:
    """Read a file.

    :return: the readable part of the file, ``None`` if it is no mapping; and the diagnostics.
    """
    whole = SourceLocation(path.name)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        location = SourceLocation(path.name, line, 1)
        return None, [Diagnostic.at(location, "not UTF-8 text. Save the file in this encoding")]
    except IsADirectoryError:
        return None, [Diagnostic.at(whole, "cannot be read: it is a folder")]
    except FileNotFoundError:
        return None, [Diagnostic.at(whole, "cannot be read: not found")]
    except OSError as error:
        return None, [Diagnostic.at(whole, f"cannot be read: {type(error).__name__}")]
    return _Reader(path.name).read(text)


class _Reader:
    """Builds the nodes of a file. It continues after an error, so that one pass reports all errors."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.diagnostics: list[Diagnostic] = []
        self._count = 0
        self._ancestors: list[Any] = []

    def read(self, text: str) -> tuple[YamlNode | None, list[Diagnostic]]:
        self._loader = _Loader(text)
        try:
            root = self._loader.get_single_node()
            if root is None:
                self._add(SourceLocation(self.file), "is empty. A definition is a mapping of fields")
                return None, self.diagnostics
            document = self._build(root, self._locate(root, ROOT))
        except yaml.YAMLError as error:
            self.diagnostics.append(_syntax_diagnostic(error, self.file, text))
            return None, self.diagnostics
        except _LimitError as error:
            self.diagnostics.append(error.diagnostic)
            return None, self.diagnostics
        finally:
            self._loader.dispose()
        if not document.is_mapping:
            self._add(document.location, "must be a mapping of fields")
            return None, self.diagnostics
        return document, self.diagnostics

    def _add(self, location: SourceLocation, message: str) -> None:
        self.diagnostics.append(Diagnostic.at(location, message))

    def _build(self, node: Any, location: SourceLocation) -> YamlNode:
        self._check_limits(node, location)
        self._ancestors.append(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return YamlNode(self._mapping(node, location), location)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                items = [
                    self._build(item, self._locate(item, (*location.path, number)))
                    for number, item in enumerate(node.value)
                ]
                return YamlNode(items, location)
        finally:
            self._ancestors.pop()
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return YamlNode(self._scalar(node, location), location)
        if isinstance(node, yaml.ScalarNode) and node.tag == _VALUE:
            return YamlNode(node.value, location)
        self._add(location, "unknown tag (a word that begins with '!'). Remove it")
        return YamlNode(None, location)

    def _check_limits(self, node: Any, location: SourceLocation) -> None:
        self._count += 1
        if any(node is ancestor for ancestor in self._ancestors):
            raise _LimitError(Diagnostic.at(location, "alias of a value that contains the alias"))
        if self._count > MAX_VALUES:
            raise _LimitError(
                Diagnostic.at(SourceLocation(self.file), f"has more than {MAX_VALUES:,} values")
            )
        if len(self._ancestors) > MAX_DEPTH:
            raise _LimitError(_too_deep(SourceLocation(self.file, location.line)))

    def _locate(self, node: Any, path: Path) -> SourceLocation:
        return SourceLocation(self.file, node.start_mark.line + 1, node.start_mark.column + 1, path)

    def _scalar(self, node: Any, location: SourceLocation) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, OverflowError):
            # A date such as 2026-02-30, or a number of thousands of digits.
            self._add(location, f"not a valid {'date' if node.tag == f'{_TAG}timestamp' else 'number'}")
            return None

    def _mapping(self, node: Any, location: SourceLocation) -> dict[str, YamlNode]:
        own: dict[str, YamlNode] = {}
        inherited: dict[str, YamlNode] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for name, item in self._merge_key(value, self._locate(key, location.path)):
                    inherited.setdefault(name, item)
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag not in {f"{_TAG}str", _VALUE}:
                self._add(
                    self._locate(key, location.path),
                    "the name of a field must be text. Quote it if it is intended",
                )
                continue
            field = self._locate(key, (*location.path, key.value))
            if key.value in own:
                self._add(field, f"duplicate field, first in line {own[key.value].location.line}")
                continue
            own[key.value] = self._build(value, field)
        return {**inherited, **own}

    def _merge_key(self, node: Any, location: SourceLocation) -> Iterator[tuple[str, YamlNode]]:
        """Yield the fields that ``<<`` adds, from one mapping or several; the first has precedence."""
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(item, yaml.MappingNode):
                self._add(location, "'<<' needs an alias of a mapping, or a list of these")
                return
            yield from (self._build(item, location).value or {}).items()


class _LimitError(Exception):
    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(str(diagnostic))


_SYNTAX_MESSAGES = {
    "found character that cannot start any token": "text cannot begin with this character. Quote it",
    "mapping values are not allowed in this context": "a second ':' in a line, or inconsistent indentation. Quote text "
    "with ': '",
    "could not find expected ':'": "missing ':' after the name of a field",
    "but found another document": "a second document begins here. One file is one definition",
    "found unexpected end of stream": "missing closing quote",
    "found undefined alias": "an alias ('*name') without an anchor ('&name')",
    "did not find expected key": "expected a field. Check the indentation and the quotes",
    "did not find expected '-' indicator": "expected an entry of a list ('- ...'). Check the indentation",
    "did not find expected ',' or ']'": "missing ',' or ']'",
    "did not find expected ',' or '}'": "missing ',' or '}'",
    "did not find expected node content": "missing value",
    "did not find expected <document start>": "text outside of any field. Check the indentation",
    "control characters are not allowed": "control character",
}
"""Message by the message of the YAML parser."""


def _too_deep(location: SourceLocation) -> Diagnostic:
    return Diagnostic.at(location, f"is nested more than {MAX_DEPTH} levels deep")


def _indentation(text: str, line: int) -> str:
    whole = [*text.split("\n"), ""][line]
    return whole[: len(whole) - len(whole.lstrip())]


def _syntax_diagnostic(error: yaml.YAMLError, file: str, text: str) -> Diagnostic:
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable")
    start = getattr(error, "context_mark", None)
    mark = getattr(error, "problem_mark", None) or start
    location = SourceLocation(file)
    if mark is not None:
        # The parser reports the end of the file one line below the last one.
        last = max(len(text.splitlines()), 1)
        location = SourceLocation(file, min(mark.line + 1, last), mark.column + 1)
    elif isinstance(position := getattr(error, "position", None), int):
        # libyaml counts bytes and reports no line.
        before = text.encode()[:position]
        location = SourceLocation(file, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
    if "exceeded max depth" in reason or "nesting" in reason:
        return _too_deep(SourceLocation(file, location.line))
    message = _SYNTAX_MESSAGES.get(reason, reason)
    if mark is not None and "\t" in _indentation(text, mark.line):
        message = "tab character. Indent with spaces"
    if start is not None and start.line + 1 < (location.line or 0) and "document" not in message:
        message += f" (the value begins in line {start.line + 1})"
    return Diagnostic.at(location, f"invalid YAML: {message}")
