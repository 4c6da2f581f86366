"""Definition of an audience on Fanfare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from audience_onboarding.crm.output.profiles import FANFARE_IMPORT, FileProfile
from audience_onboarding.definitions.fields import RemoteId, Text
from audience_onboarding.definitions.models import AudienceDefinition, UploadConfig

# Source: https://docs.fanfare.io/dashboard/audiences/import-consumers, about the dashboard. That the API has the
# same limits is an inference.
MAX_ROWS = 100_000
"""Rows of one import, assumed to exclude the header."""

MAX_BYTES = 10_000_000
"""Bytes of one import. The page has "10 MB"; this is the smaller interpretation."""


class ImportUploadConfig(UploadConfig):
    """Upload of a load as imports."""

    rows_per_import: int = Field(MAX_ROWS, ge=1, le=MAX_ROWS)
    """Maximum rows of one import. A longer list is sent as several imports, one after the other."""


class FanfareDefinition(AudienceDefinition):
    """A static list on Fanfare; each load adds its consumers."""

    modes: ClassVar[Mapping[str, str]] = {"opt-in": "opt-in: add the consumers"}
    missing_modes_reason: ClassVar[str] = "its API cannot remove people from a list, an import only adds them"
    found_by_name: ClassVar[bool] = True
    profile: ClassVar[FileProfile] = FANFARE_IMPORT

    platform: Literal["fanfare"]
    conn_id: Text = "fanfare_default"
    id: RemoteId | None = None
    upload: ImportUploadConfig = ImportUploadConfig()
