"""Validation issues, in the shape of the spec's 400 answers.

``{kind, type, expected, received, message, path: [{type, origin, input, key}]}``. They quote the data sent, as real
ones may: clients must keep them out of logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sandbox.api import ApiFailure

Json = dict[str, Any]


class InvalidRequest(ApiFailure):
    """A request with issues."""

    def __init__(self, issues: list[Json]) -> None:
        super().__init__(400, "Validation failed")
        self.issues = issues


def step(key: str | int, parent: Any, *, missing: bool = False) -> Json:
    """One step of a path: ``key`` of ``parent``."""
    return {
        "type": "array" if isinstance(parent, list) else "object",
        "origin": "key" if missing else "value",
        "input": parent,
        "key": key,
    }


def shown(value: Any) -> str:
    """Return a value as an issue quotes it."""
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return json.dumps(value, ensure_ascii=False)


def wrong(type_: str, expected: str, value: Any, path: Sequence[Json], *, kind: str = "schema") -> Json:
    """An issue about a value of the wrong type (``schema``) or with the wrong content (``validation``)."""
    received = shown(value)
    subject = "type" if kind == "schema" else type_.replace("_", " ")
    message = f"Invalid {subject}: Expected {expected} but received {received}"
    return _issue(kind, type_, expected, received, message, path)


def missing(key: str, parent: Any, path: Sequence[Json]) -> Json:
    """An issue about a missing field."""
    return _wrong_key("object", f'"{key}"', "undefined", [*path, step(key, parent, missing=True)])


def unexpected(key: str, parent: Any, path: Sequence[Json]) -> Json:
    """An issue about an unknown field."""
    return _wrong_key("strict_object", "never", f'"{key}"', [*path, step(key, parent, missing=True)])


def whole(message: str, type_: str = "import") -> Json:
    """An issue about a whole import or request."""
    return _issue("validation", type_, None, "unknown", message, [])


def _wrong_key(type_: str, expected: str, received: str, path: Sequence[Json]) -> Json:
    message = f"Invalid key: Expected {expected} but received {received}"
    return _issue("schema", type_, expected, received, message, path)


def _issue(
    kind: str, type_: str, expected: str | None, received: str, message: str, path: Sequence[Json]
) -> Json:
    return {
        "kind": kind,
        "type": type_,
        "expected": expected,
        "received": received,
        "message": message,
        "path": list(path),
    }
