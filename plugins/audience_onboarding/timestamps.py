"""How a moment is written for people."""

from __future__ import annotations

from datetime import datetime, timezone


def format_utc(moment: datetime) -> str:
    """A moment to the minute: ``2026-11-20 03:00 UTC``.

    :param moment: with a time zone, whichever.
    """
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
