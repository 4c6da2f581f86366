"""Audience definitions: the YAML files that users edit."""

from __future__ import annotations

from audience_onboarding.definitions.loader import (
    definitions_folder,
    problems_of,
    read_definition,
    read_definitions,
)
from audience_onboarding.definitions.models import AudienceDefinition, Schedule, Source
from audience_onboarding.definitions.problems import Problem
from audience_onboarding.definitions.resolver import BrokenDefinition

__all__ = [
    "AudienceDefinition",
    "BrokenDefinition",
    "Problem",
    "Schedule",
    "Source",
    "definitions_folder",
    "problems_of",
    "read_definition",
    "read_definitions",
]
