"""The connection form of Digital Audience."""

from __future__ import annotations

from typing import Any

from audience_onboarding.connection_form import connection_form, form_field
from audience_onboarding.platforms.digital_audience.connection import (
    DEFAULT_PATHS,
    DEFAULT_SESSION_EXPIRED_PATTERN,
    DigitalAudienceSettings,
)


def connection_type() -> dict[str, Any]:
    """The connection type ``digital_audience``."""
    return connection_form(
        conn_type="digital_audience",
        hook="audience_onboarding.platforms.digital_audience.hooks.DigitalAudienceHook",
        name="Digital Audience",
        relabeling={"login": "Login (user name)", "password": "Password"},
        placeholders={
            "host": "https://host, as the vendor gave it to you",
            "login": "the e-mail address that you log in to the portal with",
            "password": "the one that you log in to the portal with",
        },
        usual_requests=DigitalAudienceSettings.usual_requests_per_minute,
        portal_ids="{audience_id} and, where wanted, {segment_id}",
        fields={
            "api_prefix": form_field(
                "API prefix",
                description="Put before every path, for example /api, which some of the vendor's examples show. If the "
                "test says 'Path', try that. Empty: none.",
            ),
            "paths": form_field(
                "Paths",
                format="multiline",
                description="Rarely needed: the vendor's pages spell some paths in two ways. A JSON object of those "
                'that differ, for example {"create_campaign": "/campaign/create"}. Empty: none differs. '
                f"Operations: {', '.join(sorted(DEFAULT_PATHS))}.",
            ),
            "session_expired_pattern": form_field(
                "Session expired pattern",
                description="Rarely needed: a refusal with HTTP 200 whose message matches this regular expression "
                f"means an expired session. Empty: {DEFAULT_SESSION_EXPIRED_PATTERN}",
            ),
        },
    )
