"""Base of the models of all vendors' answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


UtcDateTime = Annotated[datetime, AfterValidator(_as_utc)]
"""Time in UTC. The vendors' pages show a trailing Z; a time without zone is UTC."""


def vendor_value(value: Enum | str) -> str:
    """Return the vendor's value of a field that is an enum member or, if the pages do not name it, a string."""
    return str(value.value) if isinstance(value, Enum) else value


def is_one_of(value: str, candidates: Iterable[str]) -> bool:
    """Compare a vendor's value with others, ignoring case."""
    return value.casefold() in {candidate.casefold() for candidate in candidates}


class ResponseModel(BaseModel):
    """Object in a vendor's answer: snake_case names for the vendor's camelCase; unknown fields are dropped."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")
