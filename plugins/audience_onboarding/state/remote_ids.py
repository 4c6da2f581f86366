"""Parsing of the vendors' ids: numbers at one vendor, text at others; a template makes text of each."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from audience_onboarding.exceptions import ConfigurationError

Id = TypeVar("Id", int, str)


def is_missing(value: Any) -> bool:
    """Return whether a templated id is missing; a template renders ``None`` as text."""
    return value is None or (isinstance(value, str) and value in {"", "None"})


def parse_int_id(value: Any) -> int:
    """Parse an id that is a number.

    :raises ConfigurationError: the id is invalid.
    """
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise _invalid_id(value, "Give the number that the vendor shows")
    return int(value)


def parse_str_id(value: Any) -> str:
    """Parse an id that is text: letters, digits, dashes and underscores, so that a URL path can hold it.

    :raises ConfigurationError: the id is invalid.
    """
    text = str(value).strip()
    if isinstance(value, bool) or is_missing(text) or re.fullmatch(r"[A-Za-z0-9_-]{1,200}", text) is None:
        raise _invalid_id(value, "Give the id that the vendor shows")
    return text


def _invalid_id(value: Any, next_step: str) -> ConfigurationError:
    return ConfigurationError(what=f"Invalid id {value!r}", next_step=next_step)
