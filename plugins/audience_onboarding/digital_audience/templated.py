"""Values that may come through a template, which makes text of everything."""

from __future__ import annotations

from typing import Any, TypeAlias

from airflow.sdk import XComArg

from audience_onboarding.errors import ConfigurationError

RemoteId: TypeAlias = int | str | XComArg
"""An id: the number, a template that gives it, or another task's output."""


def is_missing(value: Any) -> bool:
    """Whether a templated id is none: a template makes text of it."""
    return value is None or value in {"", "None"}


def remote_number(value: Any) -> int:
    """A templated id as a number.

    :raises ConfigurationError: it is none.
    """
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise ConfigurationError(
            what=f"{value!r} is no id", next_step="Give the number that the vendor shows"
        )
    return int(value)


def as_bool(value: bool | str) -> bool:
    """A boolean that may have come through a template, which makes it text."""
    return value if isinstance(value, bool) else value.strip().lower() in {"true", "1", "yes"}
