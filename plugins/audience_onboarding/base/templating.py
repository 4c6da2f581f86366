"""Values that may come through a template, which makes text of everything."""

from __future__ import annotations

from datetime import date
from typing import TypeAlias

from airflow.sdk import XComArg

from audience_onboarding.exceptions import ConfigurationError

RemoteId: TypeAlias = int | str | XComArg
"""An id: the number or text that the vendor shows, a template that gives it, or another task's output."""


def as_bool(value: bool | str) -> bool:
    """A boolean that may have come through a template, which makes it text."""
    return value if isinstance(value, bool) else value.strip().lower() in {"true", "1", "yes"}


def source_url(template: str, load_date: date) -> str:
    """The path or URL of a CRM extract.

    :param template: with ``{load_date}``, or ``{load_date:%Y%m%d}`` for another spelling.
    :raises ConfigurationError: it holds something else in braces.
    """
    try:
        return template.format(load_date=load_date)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        raise ConfigurationError(
            what=f"The source {template!r} has a placeholder that is not known",
            next_step="Only {load_date} is, with a format where wanted: {load_date:%Y%m%d}",
        ) from None
