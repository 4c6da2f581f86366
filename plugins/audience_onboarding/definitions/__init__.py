"""Audience definitions: the YAML files that users edit."""

from __future__ import annotations

from audience_onboarding.definitions.diagnostics import Diagnostic
from audience_onboarding.definitions.loader import (
    collect_diagnostics,
    definitions_folder,
    read_definition,
    read_definitions,
)
from audience_onboarding.definitions.models import AudienceDefinition, Schedule
from audience_onboarding.definitions.resolver import InvalidDefinition
from audience_onboarding.definitions.source import SourceConfig

__all__ = [
    "AudienceDefinition",
    "Diagnostic",
    "InvalidDefinition",
    "Schedule",
    "SourceConfig",
    "collect_diagnostics",
    "definitions_folder",
    "read_definition",
    "read_definitions",
]
