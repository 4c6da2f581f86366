"""The part of a definition that is CommBox's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from audience_onboarding.crm.output.profiles import COMMBOX_AUDIENCE, FileProfile
from audience_onboarding.definitions.models import AudienceDefinition, RemoteId, Text, Wait


class CountWait(Wait):
    """How the vendor's counting is waited for."""

    minimum_ratio: float = Field(1.0, gt=0, le=1)
    """Which part of the customers sent ``user_count`` has to show."""


class CommBoxDefinition(AudienceDefinition):
    """A static audience on CommBox. What is sent replaces its customers, whatever the mode: to add to them or take some
    out, the list that results is made here."""

    modes: ClassVar[Mapping[str, str]] = {
        "replace": "replace: replace all customers of the audience",
        "mirror": "mirror: the same, but nothing is sent where nothing has changed",
        "opt-in": "opt-in: add the customers",
        "opt-out": "opt-out: take the customers out",
    }
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset({"opt-in", "opt-out"})
    found_by_name: ClassVar[bool] = True
    profile: ClassVar[FileProfile] = COMMBOX_AUDIENCE

    platform: Literal["commbox"]
    conn_id: Text = "commbox_default"
    id: RemoteId | None = None
    wait: CountWait = CountWait()

    @model_validator(mode="after")
    def _no_description(self) -> CommBoxDefinition:
        if self.description is not None:
            raise ValueError("description: this platform's audiences have none")
        return self

    @model_validator(mode="after")
    def _one_after_the_other(self) -> CommBoxDefinition:
        if self.snapshots is not None and self.upload.wait_for_earlier_loads != "confirmed":
            raise ValueError(
                "upload.wait_for_earlier_loads: with 'snapshots', it has to be 'confirmed': each list is made of the "
                "last confirmed one"
            )
        return self

    def describe_audience(self) -> str:
        """Return the audience that is loaded, and whether a load may create it."""
        if self.id is not None:
            return f"the existing one with id {self.id}; none is created"
        return f"the one that is called {self.name!r}; created if there is none"
