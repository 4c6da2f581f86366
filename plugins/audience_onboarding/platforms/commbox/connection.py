"""Settings and connection form of a CommBox account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from audience_onboarding.connection_form import connection_form
from audience_onboarding.http import BearerSettings

VENDOR = "CommBox"
PRODUCTION = "https://api.commbox.io"
"""The production server that the vendor's API description names."""


@dataclass(frozen=True, kw_only=True)
class CommBoxSettings(BearerSettings):
    """Settings of one account.

    :param key: the API key of the management console (Settings > API), or the JWT that wraps it.
    """

    vendor: ClassVar[str] = VENDOR
    default_host: ClassVar[str] = PRODUCTION
    default_requests_per_minute: ClassVar[float] = 600
    """The pages mention a limit (HTTP 429) without a number."""


def connection_type() -> dict[str, Any]:
    """Return the connection type ``commbox``."""
    return connection_form(
        conn_type="commbox",
        hook="audience_onboarding.platforms.commbox.hooks.CommBoxHook",
        name="CommBox",
        hidden=("login",),
        relabeling={"password": "Password (API key)"},
        default_requests=CommBoxSettings.default_requests_per_minute,
        placeholders={
            "host": f"empty: {PRODUCTION}",
            "password": "from the management console, Settings > API; or the JWT around it",
        },
    )
