"""How to talk to one CommBox account: what the connection form holds, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from audience_onboarding.http import BearerSettings

VENDOR = "CommBox"
PRODUCTION = "https://api.commbox.io"
"""The production server that the vendor's API description names."""


@dataclass(frozen=True, kw_only=True)
class CommBoxSettings(BearerSettings):
    """One account.

    :param key: the API key of the management console (Settings > API), or the JWT that wraps it.
    """

    vendor: ClassVar[str] = VENDOR
    default_host: ClassVar[str] = PRODUCTION
    usual_requests_per_minute: ClassVar[float] = 600
    """The pages say that there is a limit (HTTP 429), and not which."""
