"""One account at a platform: what every connection form holds, read and checked the same way."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http.transport import TransportSettings

COMMON_OPTIONS = frozenset(
    {"verify_tls", "connect_timeout", "read_timeout", "portal_url", "max_requests_per_minute"}
)
"""The extra fields that every connection form of the package has."""

_BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """One account.

    :param base_url: ``https://host[:port][/path]``, without a trailing slash.
    :param verify_tls: ``True``, ``False``, or the path of a CA bundle.
    :param connect_timeout: seconds until a connection must stand.
    :param read_timeout: seconds that the vendor may stay silent.
    :param portal_url: template of an audience's page in the vendor's portal, see :attr:`portal_placeholders`;
        empty: no link.
    :param max_requests_per_minute: the most that one process sends to the account in any minute, whatever it is;
        others wait for their turn. 0: :attr:`default_requests_per_minute`.
    """

    vendor: ClassVar[str]
    """The vendor's name, for messages."""
    default_host: ClassVar[str] = ""
    """What an empty host means; empty where the vendor's pages give none."""
    default_requests_per_minute: ClassVar[float] = 1200
    """The ceiling of requests where the connection names none."""
    own_options: ClassVar[frozenset[str]] = frozenset()
    """Extra fields of the connection beside the common ones."""
    portal_placeholders: ClassVar[frozenset[str]] = frozenset({"audience_id"})
    """What ``portal_url`` may hold in braces."""

    base_url: str
    verify_tls: bool | str = True
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    portal_url: str = ""
    max_requests_per_minute: float = 0.0

    def __post_init__(self) -> None:
        if not self.max_requests_per_minute:
            object.__setattr__(self, "max_requests_per_minute", float(self.default_requests_per_minute))
        try:
            found = placeholders(self.portal_url)
        except ValueError:
            found = {"?"}
        if not found <= self.portal_placeholders:
            raise ConfigurationError(
                what="'portal_url' of the connection has a placeholder that is not known",
                where=self.vendor,
                next_step=f"Allowed are {', '.join(f'{{{name}}}' for name in sorted(self.portal_placeholders))}",
            )

    @property
    def account(self) -> str:
        """What tells this account from others: an id of one account is never taken for one of another."""
        return self.base_url

    @property
    def transport(self) -> TransportSettings:
        """What the shared transport needs to know."""
        return TransportSettings(
            base_url=self.base_url,
            verify_tls=self.verify_tls,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )

    def portal_link(self, **ids: int | str | None) -> str | None:
        """The portal's page of an object, ``None`` without a template that fits.

        :param ids: values of the placeholders; ``None`` for one that is not there.
        """
        there = {name for name, value in ids.items() if value is not None}
        if not self.portal_url or placeholders(self.portal_url) - there:
            return None
        return self.portal_url.format(**ids)

    @classmethod
    def require(cls, values: Mapping[str, str]) -> None:
        """Check that fields of the connection are filled in.

        :param values: what they hold, by name.
        :raises ConfigurationError: one is empty.
        """
        for name, value in values.items():
            if not value:
                raise ConfigurationError(
                    what=f"The connection has no {name}",
                    where=cls.vendor,
                    next_step="Fill it in under Admin > Connections",
                )

    @classmethod
    def parse_common(cls, *, host: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Read the fields that all platforms share, as arguments of the class.

        :param host: ``https://host[:port]``; without a scheme, https is meant.
        :param options: the connection's extra fields; an unknown one is an error, as it would be a typo.
        :raises ConfigurationError: something is missing or wrong.
        """
        host = host.strip() or cls.default_host
        if not host:
            raise ConfigurationError(
                what="The connection has no host",
                where=cls.vendor,
                next_step="Ask the vendor for the address of your API and give it as https://host",
            )
        allowed = COMMON_OPTIONS | cls.own_options
        unknown = sorted(set(options) - allowed)
        if unknown:
            raise ConfigurationError(
                what=f"The connection has unknown options: {', '.join(unknown)}",
                where=cls.vendor,
                next_step=f"Allowed are {', '.join(sorted(allowed))}",
            )
        given = non_empty(options)
        return {
            "base_url": (host if "://" in host else f"https://{host}").rstrip("/"),
            "verify_tls": _parse_verify_tls(given.get("verify_tls", True)),
            "connect_timeout": cls._parse_positive(given, "connect_timeout", "seconds", default=10.0),
            "read_timeout": cls._parse_positive(given, "read_timeout", "seconds", default=60.0),
            "max_requests_per_minute": cls._parse_positive(
                given, "max_requests_per_minute", "requests", default=cls.default_requests_per_minute
            ),
            "portal_url": str(given.get("portal_url", "")),
        }

    @classmethod
    def _parse_positive(cls, options: Mapping[str, Any], name: str, unit: str, *, default: float) -> float:
        try:
            number = float(options.get(name, default))
        except (TypeError, ValueError):
            number = -1.0
        if not 0 < number < float("inf"):
            raise ConfigurationError(
                what=f"{name!r} of the connection is not a positive number of {unit}",
                where=cls.vendor,
                next_step=f"Correct it under Admin > Connections, or leave it empty for {default:g}",
            )
        return number


@dataclass(frozen=True, kw_only=True)
class BearerSettings(ClientSettings):
    """An account that is told by a bearer key.

    :param key: sent as ``Authorization: Bearer <key>``; the Password field of the connection.
    """

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require({"key (Password)": self.key})
        if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
            # Not quoted back: it is a secret all the same.
            raise ConfigurationError(
                what="The key of the connection holds a space, a line end or another sign that no key has",
                where=self.vendor,
                next_step="Copy it once more into the Password field (Admin > Connections)",
            )

    @classmethod
    def from_options(cls, *, host: str, key: str, options: Mapping[str, Any]) -> Any:
        """Read what a connection holds.

        :param host: the address; empty: the vendor's.
        :param key: the Password field.
        :param options: the connection's extra fields.
        :raises ConfigurationError: something is missing or wrong.
        """
        own: dict[str, Any] = {
            name: str(value) for name, value in non_empty(options).items() if name in cls.own_options
        }
        return cls(key=key.strip(), **cls.parse_common(host=host, options=options), **own)


def non_empty(options: Mapping[str, Any]) -> dict[str, Any]:
    """The extra fields that hold something: a form sends empty ones, too."""
    return {name: value for name, value in options.items() if value not in (None, "")}


def placeholders(template: str) -> set[str]:
    """The names in braces.

    :raises ValueError: the braces do not fit together.
    """
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def _parse_verify_tls(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    text = str(value).strip()
    return _BOOLEANS.get(text.lower(), text)
