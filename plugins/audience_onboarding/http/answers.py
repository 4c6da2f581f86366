"""What the models of all platforms' answers share."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


UtcDateTime = Annotated[datetime, AfterValidator(_as_utc)]
"""A moment in UTC. The vendors' pages show a trailing Z on times; one without is taken as UTC."""


def word(value: Enum | str) -> str:
    """The vendor's word, whether it is one that its pages name or not."""
    return str(value.value) if isinstance(value, Enum) else value


class Answer(BaseModel):
    """An object of a vendor's answer: names in Python's spelling for the vendor's, unknown fields left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
