"""The part of a definition that is Fanfare's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from audience_onboarding.crm.output.profiles import FANFARE_IMPORT, FileProfile
from audience_onboarding.definitions.models import AudienceDefinition, RemoteId, Text, Upload

# Source: https://docs.fanfare.io/dashboard/audiences/import-consumers, about the dashboard. That the API has the
# same limits is an inference.
MAX_ROWS = 100_000
"""Rows of one import, assumed to exclude the header."""

MAX_BYTES = 10_000_000
"""Bytes of one import. The page says "10 MB", of which this is the smaller reading."""


class ImportUpload(Upload):
    """How the list is sent."""

    rows_per_import: int = Field(MAX_ROWS, ge=1, le=MAX_ROWS)
    """A longer list is sent as several imports, one after the other."""


class FanfareDefinition(AudienceDefinition):
    """A static list on Fanfare; each load adds its consumers."""

    modes: ClassVar[Mapping[str, str]] = {"opt-in": "opt-in: add the consumers"}
    why_not: ClassVar[str] = (
        "its API has no operation that takes people out of a list, an import only adds them"
    )
    found_by_name: ClassVar[bool] = True
    profile: ClassVar[FileProfile] = FANFARE_IMPORT

    platform: Literal["fanfare"]
    conn_id: Text = "fanfare_default"
    id: RemoteId | None = None
    upload: ImportUpload = ImportUpload()

    def describe_audience(self) -> str:
        """Return the audience that is loaded, and whether a load may create it."""
        if self.id is not None:
            return f"the existing one with id {self.id}; none is created"
        return f"the one that is called {self.name!r}; created if there is none"
