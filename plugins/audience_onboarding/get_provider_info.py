"""Provider metadata for Airflow: the connection types and their forms."""

from __future__ import annotations

from typing import Any

from audience_onboarding import __version__
from audience_onboarding.platform_registry import PLATFORMS, get_platform


def get_provider_info() -> dict[str, Any]:
    """Return the metadata for the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-audience-onboarding",
        "name": "Audience onboarding",
        "description": "Turn CRM lists into ad audiences.",
        "versions": [__version__],
        "connection-types": [get_platform(platform).connection_type() for platform in PLATFORMS],
    }
