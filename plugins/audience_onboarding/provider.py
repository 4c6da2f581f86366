"""What Airflow reads when it discovers the package as a provider: the connection types and their forms."""

from __future__ import annotations

from typing import Any

from audience_onboarding import __version__
from audience_onboarding.digital_audience.settings import (
    DEFAULT_PATHS,
    DEFAULT_SESSION_EXPIRED_PATTERN,
)


def get_provider_info() -> dict[str, Any]:
    """The answer to the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-audience-onboarding",
        "name": "Audience onboarding",
        "description": "Turn CRM lists into ad audiences.",
        "versions": [__version__],
        "connection-types": [_digital_audience()],
    }


def _field(label: str, *, kind: str = "string", description: str = "", **schema: Any) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": [kind, "null"], **schema},
    }


def _digital_audience() -> dict[str, Any]:
    return {
        "connection-type": "digital_audience",
        "hook-class-name": "audience_onboarding.digital_audience.hooks.DigitalAudienceHook",
        "hook-name": "Digital Audience",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "extra"],
            "relabeling": {
                "host": "API address",
                "login": "User name",
                "password": "Password",
                "port": "Port (if not in the address)",
            },
            "placeholders": {
                "host": "https://host, as the vendor gave it to you",
                "login": "the e-mail address you log in to the portal with",
            },
        },
        "conn-fields": {
            "api_prefix": _field(
                "API prefix",
                description="Put before every path. Some of the vendor's examples show /api. Empty: none.",
            ),
            "verify_tls": _field(
                "Verify TLS",
                description="true, false, or the path of a CA bundle on the workers. Empty: true.",
            ),
            "connect_timeout": _field(
                "Connect time-out (s)", kind="number", minimum=0.1, description="Empty: 10."
            ),
            "read_timeout": _field("Read time-out (s)", kind="number", minimum=0.1, description="Empty: 60."),
            "portal_url": _field(
                "Portal link",
                description="Address of an audience in the vendor's portal, with {audience_id} and, where wanted, "
                "{segment_id}. Empty: tasks show no link.",
            ),
            "paths": _field(
                "Paths",
                format="multiline",
                description="JSON object that overrides paths by operation, as the vendor's pages spell some of "
                f"them in two ways. Operations: {', '.join(sorted(DEFAULT_PATHS))}.",
            ),
            "session_expired_pattern": _field(
                "Session expired pattern",
                description="A refusal with HTTP 200 whose message matches this regular expression means an "
                f"expired session. Empty: {DEFAULT_SESSION_EXPIRED_PATTERN}",
            ),
        },
    }
