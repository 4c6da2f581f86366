"""The base of a platform's hook: a connection, and the one client of this process for it."""

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
    """Talk to a platform with the account of a connection.

    ``client`` has one typed method per operation of the vendor's API, and is shared by all hooks of a process for
    the same account.
    """

    conn_type: ClassVar[str]
    """The connection's type, which is the platform's name in metrics, too."""
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
        """The account that a connection describes.

        :param host: the connection's address, with scheme and port wherever they were given.
        :raises ConfigurationError: the connection lacks something or holds something that cannot be.
        """

    @abstractmethod
    def connection_summary(self) -> str:
        """Ask the vendor for something that changes nothing, and say in a sentence what came of it."""

    @classmethod
    def client_of(cls, connection: Connection) -> Client:
        """The client of this process for a connection. Secrets that it meets are masked in the logs.

        :raises ConfigurationError: the connection lacks something or holds something that cannot be.
        """
        settings = cls.settings_of(connection, host=_address(connection))
        client: Client = shared_client(  # type: ignore[assignment]
            cls.client_type, settings, on_secret=mask_secret, observer=ApiMetrics(cls.conn_type)
        )
        return client

    @cached_property
    def client(self) -> Client:
        """The API, one typed method per operation."""
        return self.client_of(self.get_connection(self.conn_id))

    def get_conn(self) -> Client:
        """Airflow's name for :attr:`client`."""
        return self.client

    def test_connection(self) -> tuple[bool, str]:
        """Whether the vendor takes the connection; changes nothing there.

        :return: and in words, what was seen or what has failed: name and address of the host, TLS, credentials,
            permission, path, answer, rate limit, or a field of the form. No secret is in them.
        """
        try:
            # A client of its own: nothing is repeated, as somebody waits for the answer.
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
                # Nothing is asked for by its id here: what is not known is the path.
                error.prefix_subject("", next_step=self.client_type.hint)
            elif isinstance(error, VendorUnavailableError):
                # Nobody tries this again by himself.
                error.next_step = _TO_DO.get(error_subject(error), "")
                error.prefix_subject("")
            return False, f"{error_subject(error)}: {error}"


class BearerHook(PlatformHook[Client]):
    """The base of a hook whose connection holds a key as its Password."""

    settings_type: ClassVar[type[BearerSettings]]

    @classmethod
    def settings_of(cls, connection: Connection, *, host: str) -> ClientSettings:
        """The account that a connection describes."""
        settings: ClientSettings = cls.settings_type.from_options(
            host=host, key=connection.password or "", options=connection.extra_dejson
        )
        return settings


def pluralize(number: int, thing: str) -> str:
    """``1 audience``, ``2 audiences``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def error_subject(error: AudienceOnboardingError) -> str:
    """What has failed, in a word or two, for the first words of a message."""
    if isinstance(error, ConfigurationError):
        return "TLS" if error.what == UNTRUSTED else "Settings"
    if isinstance(error, VendorUnavailableError) and error.status is None:
        return "Rate limit" if isinstance(error, RateLimitedError) else "Host"
    return next((subject for kind, subject in _SUBJECTS if isinstance(error, kind)), "Answer")


_TO_DO = {
    "Host": "Check host and port of the connection, and whether a proxy or firewall is in between",
    "Vendor": "The connection may be right: try again later",
    "Rate limit": "The connection may be right: try again in a minute",
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
