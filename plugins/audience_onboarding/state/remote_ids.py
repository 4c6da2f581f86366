"""Ids that the vendors give: numbers at one, text at others, and always text where they came through a template."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from audience_onboarding.exceptions import ConfigurationError

Id = TypeVar("Id", int, str)


def is_missing(value: Any) -> bool:
    """Whether a templated id is none: a template makes text of it."""
    return value is None or (isinstance(value, str) and value in {"", "None"})


def parse_int_id(value: Any) -> int:
    """An id that is a number.

    :raises ConfigurationError: it is none.
    """
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise _no_id(value, "Give the number that the vendor shows")
    return int(value)


def parse_str_id(value: Any) -> str:
    """An id that is text: letters, digits, dashes and underscores, so that it can stand in a path.

    :raises ConfigurationError: it is none.
    """
    text = str(value).strip()
    if isinstance(value, bool) or is_missing(text) or re.fullmatch(r"[A-Za-z0-9_-]{1,200}", text) is None:
        raise _no_id(value, "Give the id that the vendor shows")
    return text


def _no_id(value: Any, next_step: str) -> ConfigurationError:
    return ConfigurationError(what=f"{value!r} is no id", next_step=next_step)
