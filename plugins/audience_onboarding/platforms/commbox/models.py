"""What CommBox's API answers, as types.

Sources: https://help.commbox.io/apidocs/create-new-audiences, .../get-audiences, .../update-static-audience
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from audience_onboarding.http import ResponseModel, UtcDateTime


def _as_text(value: Any) -> Any:
    # The pages show text; a number means the same.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


AudienceId = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""The pages show digits in quotes, for example ``"312345"``."""


class AudienceType(str, Enum):
    """How the members of an audience come about."""

    STATIC = "Static"
    """A fixed list, which a file replaces."""
    DYNAMIC = "Dynamic"
    """A filter that is evaluated when a campaign starts; takes no file and has no count."""


class Audience(ResponseModel):
    """An item of the list of audiences."""

    # The vendor's names are in snake case already.
    model_config = ConfigDict(alias_generator=None)

    id: AudienceId
    name: str
    # A type that the pages do not name is no reason to stop the loads of all others.
    type: AudienceType | str = Field(union_mode="left_to_right")
    user_count: int | None = None
    """Customers in it; of static audiences only."""
    created_time: UtcDateTime | None = None


class AudienceCreated(ResponseModel):
    """``data`` of a created or replaced audience."""

    id: AudienceId
