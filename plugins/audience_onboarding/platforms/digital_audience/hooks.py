"""The Airflow connection to Digital Audience."""

from __future__ import annotations

from typing import Any

from airflow.sdk.definitions.connection import Connection

from audience_onboarding.base.hooks import PlatformHook, pluralize
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings


class DigitalAudienceHook(PlatformHook[DigitalAudienceClient]):
    """Talk to Digital Audience with the account of a connection.

    ``client`` logs in by itself and keeps the session cookie in memory only.

    :param digital_audience_conn_id: a connection of type ``digital_audience``.
    """

    conn_name_attr = "digital_audience_conn_id"
    default_conn_name = "digital_audience_default"
    conn_type = "digital_audience"
    hook_name = "Digital Audience"
    client_type = DigitalAudienceClient

    def __init__(self, digital_audience_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(digital_audience_conn_id, **kwargs)

    @classmethod
    def settings_of(cls, connection: Connection, *, host: str) -> DigitalAudienceSettings:
        """Return the settings that a connection describes."""
        return DigitalAudienceSettings.from_options(
            host=host,
            user_name=connection.login or "",
            password=connection.password or "",
            options=connection.extra_dejson,
        )

    def connection_summary(self) -> str:
        """Log in and list the platform accounts."""
        self.client.login()
        accounts = self.client.load_platform_accounts()
        user = self.client.settings.user_name
        return f"Logged in as {user}; the organisation has " + pluralize(len(accounts), "platform account")
