"""The part of a definition that is CommBox's own."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from audience_onboarding.crm.profiles import COMMBOX_AUDIENCE
from audience_onboarding.definitions.models import AudienceDefinition, RemoteId, Text, Wait


class CountWait(Wait):
    """How the vendor's counting is waited for."""

    minimum_share: float = Field(1.0, gt=0, le=1)
    """Which part of the customers sent ``user_count`` has to show."""


class CommBoxDefinition(AudienceDefinition):
    """A static audience on CommBox; each load replaces its customers."""

    modes: ClassVar = {"replace": "replace: replace all customers of the audience"}
    found_by_name: ClassVar[bool] = True
    profile: ClassVar = COMMBOX_AUDIENCE

    platform: Literal["commbox"]
    connection: Text = "commbox_default"
    id: RemoteId | None = None
    wait: CountWait = CountWait()

    @model_validator(mode="after")
    def _no_description(self) -> CommBoxDefinition:
        if self.description is not None:
            raise ValueError("description: this platform's audiences have none")
        return self


DEFINITION = CommBoxDefinition
