"""Definition of an audience on CommBox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from audience_onboarding.crm.output.profiles import COMMBOX_AUDIENCE, FileProfile
from audience_onboarding.definitions.fields import RemoteId, Text
from audience_onboarding.definitions.models import AudienceDefinition, WaitConfig


class CountWaitConfig(WaitConfig):
    """Wait for the vendor's count of the customers."""

    minimum_ratio: float = Field(1.0, gt=0, le=1)
    """Minimum of ``user_count``, as a ratio of the customers sent."""


class CommBoxDefinition(AudienceDefinition):
    """A static audience on CommBox. Each upload replaces its customers: modes that add or remove customers build the
    resulting list from the last snapshot."""

    modes: ClassVar[Mapping[str, str]] = {
        "replace": "replace: replace all customers of the audience",
        "mirror": "mirror: the same, but send nothing if nothing has changed",
        "opt-in": "opt-in: add the customers",
        "opt-out": "opt-out: remove the customers",
    }
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset({"opt-in", "opt-out"})
    found_by_name: ClassVar[bool] = True
    profile: ClassVar[FileProfile] = COMMBOX_AUDIENCE

    platform: Literal["commbox"]
    conn_id: Text = "commbox_default"
    id: RemoteId | None = None
    wait: CountWaitConfig = CountWaitConfig()

    @model_validator(mode="after")
    def _has_no_description(self) -> CommBoxDefinition:
        if self.description is not None:
            raise ValueError("description: not supported, because CommBox audiences have none")
        return self

    @model_validator(mode="after")
    def _loads_are_confirmed_in_order(self) -> CommBoxDefinition:
        if self.snapshots is not None and self.upload.wait_for_earlier_loads != "confirmed":
            raise ValueError(
                "upload.wait_for_earlier_loads: must be 'confirmed' with 'snapshots', because each list is built on "
                "the last confirmed one"
            )
        return self
