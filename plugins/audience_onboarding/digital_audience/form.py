"""The connection form of Digital Audience."""

from __future__ import annotations

from typing import Any

from audience_onboarding.digital_audience.settings import (
    DEFAULT_PATHS,
    DEFAULT_SESSION_EXPIRED_PATTERN,
    DigitalAudienceSettings,
)
from audience_onboarding.forms import connection_form, form_field


def connection_type() -> dict[str, Any]:
    """The connection type ``digital_audience``."""
    return connection_form(
        conn_type="digital_audience",
        hook="audience_onboarding.digital_audience.hooks.DigitalAudienceHook",
        name="Digital Audience",
        relabeling={"login": "User name", "password": "Password"},
        placeholders={
            "host": "https://host, as the vendor gave it to you",
            "login": "the e-mail address you log in to the portal with",
        },
        usual_requests=DigitalAudienceSettings.usual_requests_per_minute,
        portal_ids="{audience_id} and, where wanted, {segment_id}",
        fields={
            "api_prefix": form_field(
                "API prefix",
                description="Put before every path. Some of the vendor's examples show /api. Empty: none.",
            ),
            "paths": form_field(
                "Paths",
                format="multiline",
                description="JSON object that overrides paths by operation, as the vendor's pages spell some of "
                f"them in two ways. Operations: {', '.join(sorted(DEFAULT_PATHS))}.",
            ),
            "session_expired_pattern": form_field(
                "Session expired pattern",
                description="A refusal with HTTP 200 whose message matches this regular expression means an "
                f"expired session. Empty: {DEFAULT_SESSION_EXPIRED_PATTERN}",
            ),
        },
    )
