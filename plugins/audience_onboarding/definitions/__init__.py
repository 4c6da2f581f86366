"""Audience definitions: the YAML files that users edit."""

from __future__ import annotations

from audience_onboarding.definitions.files import (
    BrokenDefinition,
    definitions_folder,
    read_definition,
    read_definitions,
)
from audience_onboarding.definitions.models import AudienceDefinition, Schedule, Source

__all__ = [
    "AudienceDefinition",
    "BrokenDefinition",
    "Schedule",
    "Source",
    "definitions_folder",
    "read_definition",
    "read_definitions",
]
