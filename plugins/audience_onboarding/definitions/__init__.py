"""Audience definitions: the YAML files that users edit."""

from __future__ import annotations

from audience_onboarding.definitions.files import (
    BrokenDefinition,
    definitions_folder,
    read_definition,
    read_definitions,
)
from audience_onboarding.definitions.models import (
    ActivationTarget,
    AudienceDefinition,
    ExtendEndDates,
    Schedule,
)

__all__ = [
    "ActivationTarget",
    "AudienceDefinition",
    "BrokenDefinition",
    "ExtendEndDates",
    "Schedule",
    "definitions_folder",
    "read_definition",
    "read_definitions",
]
