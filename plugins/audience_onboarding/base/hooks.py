"""Base of the platforms' hooks: a connection, and the client that the process shares for it."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

from airflow.sdk import BaseHook
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.log import mask_secret

from audience_onboarding.base.metrics import ApiMetrics
from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    VendorUnavailableError,
)
from audience_onboarding.http import ApiClient, BearerSettings, ClientSettings, shared_client
from audience_onboarding.http.error_mapping import UNTRUSTED

Client = TypeVar("Client", bound=ApiClient[Any])


class PlatformHook(BaseHook, Generic[Client]):
    """Hook for a platform account.

    ``client`` has one typed method per operation of the vendor's API. All hooks of a process for the same account
    share it.
    """

    conn_type: ClassVar[str]
    """The connection's type, also the platform's name in metrics."""
    client_type: ClassVar[type[ApiClient[Any]]]
    conn_name_attr: ClassVar[str]
    """Name of the argument of operators and sensors that takes the connection id."""
    default_conn_name: ClassVar[str]
    hook_name: ClassVar[str]

    def __init__(self, conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id

    @classmethod
    @abstractmethod
    def settings_of(cls, connection: Connection, *, host: str) -> ClientSettings:
        """Return the client settings of a connection.

        :param host: the connection's address, with scheme and port if the connection has them.
        :raises ConfigurationError: a field of the connection is missing or invalid.
        """

    @abstractmethod
    def connection_summary(self) -> str:
        """Send read-only requests to the vendor and return a sentence about the account."""

    @classmethod
    def client_of(cls, connection: Connection) -> Client:
        """Return the process's client for a connection. Its secrets are masked in the logs.

        :raises ConfigurationError: a field of the connection is missing or invalid.
        """
        settings = cls.settings_of(connection, host=_address(connection))
        client: Client = shared_client(  # type: ignore[assignment]
            cls.client_type, settings, on_secret=mask_secret, observer=ApiMetrics(cls.conn_type)
        )
        return client

    @cached_property
    def client(self) -> Client:
        """API client, one typed method per operation."""
        return self.client_of(self.get_connection(self.conn_id))

    def get_conn(self) -> Client:
        """Return :attr:`client`; the name is Airflow's."""
        return self.client

    def test_connection(self) -> tuple[bool, str]:
        """Check whether the vendor accepts the connection; changes nothing there.

        :return: the result, and a message about the account or about the failed part: host, TLS, credentials,
            permission, path, response, rate limit, or a field of the form. It holds no secret.
        """
        try:
            # A separate client without retries: a user waits for the result.
            connection = self.get_connection(self.conn_id)
            settings = self.settings_of(connection, host=_address(connection))
            client: Client = self.client_type(  # type: ignore[assignment]
                settings, on_secret=mask_secret, observer=ApiMetrics(self.conn_type)
            )
            client.disable_retries()
            self.__dict__["client"] = client
            return True, f"{self.connection_summary()} [{settings.base_url}]"
        except AudienceOnboardingError as error:
            if isinstance(error, NotFoundError):
                # No request of the test holds an id, so the path is wrong.
                error.prefix_subject("", next_step=self.client_type.hint)
            elif isinstance(error, VendorUnavailableError):
                # The default next step promises a retry, which the test does not have.
                error.next_step = _TO_DO.get(error_subject(error), "")
                error.prefix_subject("")
            return False, f"{error_subject(error)}: {error}"


class BearerHook(PlatformHook[Client]):
    """Base of a hook whose connection holds an API key in the Password."""

    settings_type: ClassVar[type[BearerSettings]]

    @classmethod
    def settings_of(cls, connection: Connection, *, host: str) -> ClientSettings:
        """Return the client settings of a connection."""
        settings: ClientSettings = cls.settings_type.from_options(
            host=host, key=connection.password or "", options=connection.extra_dejson
        )
        return settings


def pluralize(number: int, thing: str) -> str:
    """Format a count: ``1 audience``, ``2 audiences``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def error_subject(error: AudienceOnboardingError) -> str:
    """Return the part of the connection test that failed, as the first words of its message."""
    if isinstance(error, ConfigurationError):
        return "TLS" if error.what == UNTRUSTED else "Settings"
    if isinstance(error, VendorUnavailableError) and error.status is None:
        return "Rate limit" if isinstance(error, RateLimitedError) else "Host"
    return next((subject for kind, subject in _SUBJECTS if isinstance(error, kind)), "Answer")


_TO_DO = {
    "Host": "Check host and port of the connection, and whether a proxy or firewall blocks the request",
    "Vendor": "The connection may be correct: try again later",
    "Rate limit": "The connection may be correct: try again in a minute",
}

_SUBJECTS: tuple[tuple[type[AudienceOnboardingError], str], ...] = (
    (AuthenticationError, "Credentials"),
    (PermissionDeniedError, "Permission"),
    (NotFoundError, "Path"),
    (RateLimitedError, "Rate limit"),
    (VendorUnavailableError, "Vendor"),
    (RequestRejectedError, "Request"),
)


def _address(connection: Connection) -> str:
    """Return the address of a connection, which may have scheme and port in separate fields."""
    host = (connection.host or "").strip()
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    try:
        parts = urlsplit(host)
        if connection.port and parts.hostname and parts.port is None:
            host = urlunsplit(parts._replace(netloc=f"{parts.netloc}:{connection.port}"))
    except ValueError:
        # Not a URL: the settings report it in one message.
        return host
    return host
