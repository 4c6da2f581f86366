"""Validation issues, in the shape of the spec's 400 answers.

``{kind, type, expected, received, message, path: [{type, origin, input, key}]}``. They quote what was sent, as real
ones may: whoever reads them has to keep them out of logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def step(key: str | int, parent: Any, *, missing: bool = False) -> Json:
    """One step of a path: ``key`` of ``parent``."""
    return {
        "type": "array" if isinstance(parent, list) else "object",
        "origin": "key" if missing else "value",
        "input": parent,
        "key": key,
    }


def shown(value: Any) -> str:
    """Return how an issue quotes a value."""
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return json.dumps(value, ensure_ascii=False)


def wrong(type_: str, expected: str, value: Any, path: Sequence[Json], *, kind: str = "schema") -> Json:
    """An issue about a value of the wrong type (``schema``) or with the wrong content (``validation``)."""
    received = shown(value)
    what = "type" if kind == "schema" else type_.replace("_", " ")
    return {
        "kind": kind,
        "type": type_,
        "expected": expected,
        "received": received,
        "message": f"Invalid {what}: Expected {expected} but received {received}",
        "path": list(path),
    }


def missing(key: str, parent: Any, path: Sequence[Json]) -> Json:
    """An issue about a field that is not there."""
    return {
        "kind": "schema",
        "type": "object",
        "expected": f'"{key}"',
        "received": "undefined",
        "message": f'Invalid key: Expected "{key}" but received undefined',
        "path": [*path, step(key, parent, missing=True)],
    }


def unexpected(key: str, parent: Any, path: Sequence[Json]) -> Json:
    """An issue about a field that nobody knows."""
    return {
        "kind": "schema",
        "type": "strict_object",
        "expected": "never",
        "received": f'"{key}"',
        "message": f'Invalid key: Expected never but received "{key}"',
        "path": [*path, step(key, parent, missing=True)],
    }


def whole(message: str, type_: str = "import") -> Json:
    """An issue about the whole of something."""
    return {
        "kind": "validation",
        "type": type_,
        "expected": None,
        "received": "unknown",
        "message": message,
        "path": [],
    }
