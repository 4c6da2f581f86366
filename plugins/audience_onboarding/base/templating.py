"""Values that a template may have rendered as text."""

from __future__ import annotations

from typing import TypeAlias

from airflow.sdk import XComArg

RemoteId: TypeAlias = int | str | XComArg
"""An id: the vendor's number or text, a template that renders it, or the output of another task."""


def as_bool(value: bool | str) -> bool:
    """Return a boolean that a template may have rendered as text."""
    return value if isinstance(value, bool) else value.strip().lower() in {"true", "1", "yes"}
