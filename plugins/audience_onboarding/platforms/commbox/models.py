"""Models of CommBox's answers.

Sources: https://help.commbox.io/apidocs/create-new-audiences, .../get-audiences, .../update-static-audience
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from audience_onboarding.http import ResponseModel, UtcDateTime


def _as_text(value: Any) -> Any:
    # The pages show strings; a number is accepted, too.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


AudienceId = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""Digits in quotes on the pages, for example ``"312345"``."""


class AudienceType(str, Enum):
    """How an audience gets its members."""

    STATIC = "Static"
    """A fixed list, replaced by a file."""
    DYNAMIC = "Dynamic"
    """A filter, evaluated when a campaign starts; accepts no file and has no count."""


class Audience(ResponseModel):
    """Item of the list of audiences."""

    # The vendor's names are in snake case.
    model_config = ConfigDict(alias_generator=None)

    id: AudienceId
    name: str
    # An unknown type of one audience must not stop the loads of the others.
    type: AudienceType | str = Field(union_mode="left_to_right")
    user_count: int | None = None
    """Customers; static audiences only."""
    created_time: UtcDateTime | None = None


class AudienceCreated(ResponseModel):
    """``data`` of a created or replaced audience."""

    id: AudienceId
