"""The connection form of CommBox."""

from __future__ import annotations

from typing import Any

from audience_onboarding.connection_form import connection_form
from audience_onboarding.platforms.commbox.connection import PRODUCTION, CommBoxSettings


def connection_type() -> dict[str, Any]:
    """The connection type ``commbox``."""
    return connection_form(
        conn_type="commbox",
        hook="audience_onboarding.platforms.commbox.hooks.CommBoxHook",
        name="CommBox",
        hidden=("login",),
        relabeling={"password": "Password (API key)"},
        usual_requests=CommBoxSettings.usual_requests_per_minute,
        placeholders={
            "host": f"empty: {PRODUCTION}",
            "password": "from the management console, Settings > API; or the JWT around it",
        },
    )
