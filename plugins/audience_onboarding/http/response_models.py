"""What the models of all platforms' answers share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


UtcDateTime = Annotated[datetime, AfterValidator(_as_utc)]
"""A moment in UTC. The vendors' pages show a trailing Z on times; one without is taken as UTC."""


def vendor_value(value: Enum | str) -> str:
    """The vendor's word, whether it is one that its pages name or not."""
    return str(value.value) if isinstance(value, Enum) else value


def is_one_of(value: str, words: Iterable[str]) -> bool:
    """Whether the vendor's word is among some, in any case."""
    return value.casefold() in {candidate.casefold() for candidate in words}


def parse_iso_datetime(text: str) -> datetime:
    """A moment in ISO 8601, with the Z that Python 3.10 does not read.

    :raises ValueError: it is none.
    """
    # Python 3.10 reads fractions of three or six digits only, and .NET writes seven.
    text = re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", text, count=1)
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class ResponseModel(BaseModel):
    """An object of a vendor's answer: names in Python's spelling for the vendor's, unknown fields left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
