"""The Airflow connection to Digital Audience."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from airflow.sdk import BaseHook
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.log import mask_secret

from audience_onboarding.digital_audience.client import DigitalAudienceClient, shared_client
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.errors import AudienceOnboardingError


def client_of(connection: Connection) -> DigitalAudienceClient:
    """The client of this process for a connection of type ``digital_audience``.

    The session cookie and the platform tokens that it meets are masked in the logs.

    :raises ConfigurationError: the connection lacks something or holds something that cannot be.
    """
    settings = DigitalAudienceSettings.from_options(
        host=_address(connection),
        user_name=connection.login or "",
        password=connection.password or "",
        options=connection.extra_dejson,
    )
    return shared_client(settings, on_secret=mask_secret)


def _address(connection: Connection) -> str:
    """The address of a connection, which may give scheme and port in fields of their own."""
    host = (connection.host or "").strip()
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    try:
        parts = urlsplit(host)
        if connection.port and parts.hostname and parts.port is None:
            host = urlunsplit(parts._replace(netloc=f"{parts.netloc}:{connection.port}"))
    except ValueError:
        # Not an address at all, which the settings say in one message.
        return host
    return host


class DigitalAudienceHook(BaseHook):
    """Talk to Digital Audience with the account of a connection.

    ``client`` has one typed method per operation of the vendor's API. It logs in by itself, keeps the session
    cookie in memory only, and is shared by all hooks of a process for the same account.

    :param digital_audience_conn_id: a connection of type ``digital_audience``.
    """

    conn_name_attr = "digital_audience_conn_id"
    default_conn_name = "digital_audience_default"
    conn_type = "digital_audience"
    hook_name = "Digital Audience"

    def __init__(self, digital_audience_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id

    @cached_property
    def client(self) -> DigitalAudienceClient:
        """The API, one typed method per operation."""
        return client_of(self.get_connection(self.digital_audience_conn_id))

    def get_conn(self) -> DigitalAudienceClient:
        """Airflow's name for :attr:`client`."""
        return self.client

    def test_connection(self) -> tuple[bool, str]:
        """Log in and list the platform accounts; changes nothing at the vendor."""
        try:
            self.client.login()
            accounts = self.client.load_platform_accounts()
        except AudienceOnboardingError as error:
            return False, str(error)
        user = self.client.settings.user_name
        return True, f"Logged in as {user}; the organisation has {len(accounts)} platform accounts"
