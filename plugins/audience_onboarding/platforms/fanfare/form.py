"""The connection form of Fanfare."""

from __future__ import annotations

from typing import Any

from audience_onboarding.connection_form import connection_form, form_field
from audience_onboarding.platforms.fanfare.connection import PRODUCTION, FanfareSettings


def connection_type() -> dict[str, Any]:
    """The connection type ``fanfare``."""
    return connection_form(
        conn_type="fanfare",
        hook="audience_onboarding.platforms.fanfare.hooks.FanfareHook",
        name="Fanfare",
        hidden=("login",),
        relabeling={"password": "Password (secret key)"},
        usual_requests=FanfareSettings.usual_requests_per_minute,
        placeholders={"host": f"empty: {PRODUCTION}", "password": "sk_live_... or sk_test_..."},
        fields={
            "static_list_type": form_field(
                "Type of a fixed list",
                enum=["STATIC_LIST", "STATIC", None],
                description="How the API spells it. Empty: STATIC_LIST, as its description says; STATIC, as the "
                "hand-written pages say, if audiences are refused for their type.",
            ),
            "organization": form_field(
                "Organization",
                description="Id of the organization that the key has to belong to; with another one, nothing is sent. "
                "Empty: whichever it is.",
            ),
        },
    )
