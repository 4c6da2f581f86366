"""Settings of one account at a platform, read from a connection and validated."""

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
"""Extra fields of every connection form of the package."""

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """Settings of one account.

    :param base_url: ``https://host[:port][/path]``, without a trailing slash.
    :param verify_tls: ``True``, ``False``, or the path of a CA bundle.
    :param connect_timeout: seconds until the connection must be open.
    :param read_timeout: seconds that the vendor may stay silent.
    :param portal_url: template of an audience's page in the vendor's portal, see :attr:`portal_placeholders`;
        empty: no link.
    :param max_requests_per_minute: rate limit of one process for the account, all requests included; 0:
        :attr:`default_requests_per_minute`.
    """

    vendor: ClassVar[str]
    """The vendor's name, for messages."""
    default_host: ClassVar[str] = ""
    """Used for an empty host; empty if the vendor's pages give none."""
    default_requests_per_minute: ClassVar[float] = 1200
    """Rate limit of a connection without one."""
    own_options: ClassVar[frozenset[str]] = frozenset()
    """Extra fields of the connection beside the common ones."""
    portal_placeholders: ClassVar[frozenset[str]] = frozenset({"audience_id"})
    """Placeholders that ``portal_url`` may hold in braces."""

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
            valid = placeholders(self.portal_url) <= self.portal_placeholders
        except ValueError:
            valid = False
        if not valid:
            raise ConfigurationError(
                what="Unknown placeholder in 'portal_url' of the connection",
                where=self.vendor,
                next_step=f"Allowed are {', '.join(f'{{{name}}}' for name in sorted(self.portal_placeholders))}",
            )

    @property
    def account(self) -> str:
        """Identity of the account. An id of one account is never used at another."""
        return self.base_url

    @property
    def transport(self) -> TransportSettings:
        """Settings of the transport."""
        return TransportSettings(
            base_url=self.base_url,
            verify_tls=self.verify_tls,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )

    def portal_link(self, **ids: int | str | None) -> str | None:
        """Return the portal's page of an object, ``None`` without a template or if an id of it is missing.

        :param ids: values of the placeholders; ``None``: missing.
        """
        given = {name for name, value in ids.items() if value is not None}
        if not self.portal_url or placeholders(self.portal_url) - given:
            return None
        return self.portal_url.format(**ids)

    @classmethod
    def require(cls, values: Mapping[str, str]) -> None:
        """Raise if a field of the connection is empty.

        :param values: content of the fields by label.
        :raises ConfigurationError: a field is empty.
        """
        for label, value in values.items():
            if not value:
                raise ConfigurationError(
                    what=f"The connection has no {label}",
                    where=cls.vendor,
                    next_step="Set it under Admin > Connections",
                )

    @classmethod
    def parse_common(cls, *, host: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that all platforms share, as arguments of the class.

        :param host: ``https://host[:port]``; the default scheme is https.
        :param options: extra fields of the connection; an unknown one is an error, as it would be a typo.
        :raises ConfigurationError: a field is missing or invalid.
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
        values = non_empty(options)
        return {
            "base_url": (host if "://" in host else f"https://{host}").rstrip("/"),
            "verify_tls": _parse_verify_tls(values.get("verify_tls", True)),
            "connect_timeout": cls._parse_positive(values, "connect_timeout", "seconds", cls.connect_timeout),
            "read_timeout": cls._parse_positive(values, "read_timeout", "seconds", cls.read_timeout),
            "max_requests_per_minute": cls._parse_positive(
                values, "max_requests_per_minute", "requests", cls.default_requests_per_minute
            ),
            "portal_url": str(values.get("portal_url", "")),
        }

    @classmethod
    def _parse_positive(cls, options: Mapping[str, Any], name: str, unit: str, default: float) -> float:
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
    """Settings of an account with a bearer key.

    :param key: sent as ``Authorization: Bearer <key>``; the Password field of the connection.
    """

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require({"key (Password)": self.key})
        if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
            # Not quoted: it is a secret nevertheless.
            raise ConfigurationError(
                what="Invalid key of the connection",
                where=self.vendor,
                why="it contains a space, a line end or another character that no key has",
                next_step="Copy it into the Password field again (Admin > Connections)",
            )

    @classmethod
    def from_options(cls, *, host: str, key: str, options: Mapping[str, Any]) -> Any:
        """Read the settings from a connection.

        :param host: empty: the vendor's.
        :param key: the Password field.
        :param options: extra fields of the connection.
        :raises ConfigurationError: a field is missing or invalid.
        """
        own: dict[str, Any] = {
            name: str(value) for name, value in non_empty(options).items() if name in cls.own_options
        }
        return cls(key=key.strip(), **cls.parse_common(host=host, options=options), **own)


def non_empty(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra fields that have a value: a form sends empty ones, too."""
    return {name: value for name, value in options.items() if value not in (None, "")}


def placeholders(template: str) -> set[str]:
    """Return the names in braces.

    :raises ValueError: unbalanced braces.
    """
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def _parse_verify_tls(value: Any) -> bool | str:
    text = str(value).strip()
    return _BOOLEANS.get(text.lower(), text)
