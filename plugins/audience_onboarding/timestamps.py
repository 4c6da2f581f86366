"""Reading and writing of times."""

from __future__ import annotations

import re
from datetime import datetime, timezone


def format_utc(timestamp: datetime) -> str:
    """Format a time with a zone to the minute: ``2026-11-20 03:00 UTC``."""
    return f"{timestamp.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def parse_iso_datetime(text: str) -> datetime:
    """Parse ISO 8601, including the Z that Python 3.10 does not read.

    :raises ValueError: the text is something else.
    """
    # Python 3.10 reads fractions of three or six digits only, and .NET writes seven.
    text = re.sub(r"\.(\d+)", lambda match: f".{match[1][:6]:0<6}", text, count=1)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
