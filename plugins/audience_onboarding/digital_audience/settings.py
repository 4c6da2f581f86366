"""How to talk to one Digital Audience account: what the connection form holds, read and checked."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audience_onboarding.errors import ConfigurationError
from audience_onboarding.http import TransportSettings

VENDOR = "Digital Audience"

DEFAULT_PATHS: Mapping[str, str] = {
    "login": "/account/login",
    "create_campaign": "/campaign/createcampaign",
    "create_crm_audience": "/audience/createcrmaudience",
    "update_audience": "/audience/update",
    "load_audience": "/audience/loadAudienceById/{audience_id}",
    "activate_audience": "/audience/activate",
    "delete_audience": "/audience/delete?audienceId={audience_id}",
    "load_audience_segments": "/segment/audience:{audience_id}",
    "load_segment": "/Segment/loadsegmentbyid/{segment_id}",
    "update_segment_end_date": "/segment/updateenddate",
    "delete_segment": "/segment/{segment_id}",
    "load_platform_accounts": "/organisation/loadplatformaccounts",
}
"""The path of each operation below host and API prefix.

The vendor's pages spell several paths in two ways, once in a heading and once in an example request. Where the two
agree but for upper and lower case, the heading is taken; where they differ, the example, as somebody ran it; where
the example is garbled or missing, the heading. How a delete passes the id is shown nowhere: it is sent as a query
parameter of the name that the other paths use. Each path can be overridden in the connection.
"""

DEFAULT_SESSION_EXPIRED_PATTERN = r"(?i)\b(session|log ?in|unauthori[sz]ed|not authenticated)\b"
"""A refusal with HTTP 200 whose message matches this means an expired session. The pages do not describe one."""

_OPTIONS = frozenset(
    {
        "api_prefix",
        "verify_tls",
        "connect_timeout",
        "read_timeout",
        "paths",
        "session_expired_pattern",
        "portal_url",
    }
)


@dataclass(frozen=True)
class DigitalAudienceSettings:
    """One account.

    :param base_url: ``https://host[:port]`` without the prefix. The vendor's pages give no host: it is asked for.
    :param user_name: sent as ``userName``.
    :param password: of that user.
    :param api_prefix: put before every path, for example ``/api``. Some of the vendor's examples have it.
    :param paths: overrides of :data:`DEFAULT_PATHS` by operation.
    :param portal_url: template of an audience's page in the vendor's portal with ``{audience_id}`` and, where
        wanted, ``{segment_id}``; empty: no link.
    """

    base_url: str
    user_name: str
    password: str = field(repr=False)
    api_prefix: str = ""
    verify_tls: bool | str = True
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    paths: tuple[tuple[str, str], ...] = ()
    session_expired_pattern: str = DEFAULT_SESSION_EXPIRED_PATTERN
    portal_url: str = ""

    def __post_init__(self) -> None:
        for name, value in (("user name (Login)", self.user_name), ("password", self.password)):
            if not value:
                raise ConfigurationError(
                    what=f"The connection has no {name}",
                    where=VENDOR,
                    next_step="Fill it in under Admin > Connections",
                )
        for operation, path in self.paths:
            _check_path(operation, path)
        self._check_portal_url()
        try:
            re.compile(self.session_expired_pattern)
        except re.error as error:
            raise ConfigurationError(
                what="'session_expired_pattern' of the connection is not a regular expression",
                where=VENDOR,
                why=str(error),
            ) from None

    def _check_portal_url(self) -> None:
        try:
            found = _placeholders(self.portal_url)
        except ValueError:
            found = {"?"}
        if not found <= {"audience_id", "segment_id"}:
            raise ConfigurationError(
                what="'portal_url' of the connection has a placeholder that is not known",
                where=VENDOR,
                next_step="Only {audience_id} and {segment_id} are",
            )

    @property
    def transport(self) -> TransportSettings:
        """What the shared transport needs to know."""
        return TransportSettings(
            base_url=self.base_url,
            verify_tls=self.verify_tls,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )

    def path(self, operation: str, **ids: int) -> str:
        """The path of an operation, API prefix included.

        :param operation: a key of :data:`DEFAULT_PATHS`.
        :param ids: ``audience_id`` or ``segment_id``, where the operation has one.
        """
        template = dict(self.paths).get(operation, DEFAULT_PATHS[operation])
        prefix = self.api_prefix.strip("/")
        return f"{'/' + prefix if prefix else ''}{template.format(**ids)}"

    def portal_link(self, *, audience_id: int, segment_id: int | None = None) -> str | None:
        """The portal's page of an audience or segment, ``None`` without a template that fits."""
        if not self.portal_url or (segment_id is None and "{segment_id}" in self.portal_url):
            return None
        return self.portal_url.format(audience_id=audience_id, segment_id=segment_id)

    @classmethod
    def from_options(
        cls, *, host: str, user_name: str, password: str, options: Mapping[str, Any]
    ) -> DigitalAudienceSettings:
        """Read what a connection holds.

        :param host: ``https://host[:port]``; without a scheme, https is meant.
        :param options: the connection's extra fields; an unknown one is an error, as it would be a typo.
        :raises ConfigurationError: something is missing or wrong.
        """
        host = host.strip()
        if not host:
            raise ConfigurationError(
                what="The connection has no host",
                where=VENDOR,
                next_step="Ask the vendor for the address of your API and give it as https://host",
            )
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise ConfigurationError(
                what=f"The connection has unknown options: {', '.join(unknown)}",
                where=VENDOR,
                next_step=f"Allowed are {', '.join(sorted(_OPTIONS))}",
            )
        given = {name: value for name, value in options.items() if value not in (None, "")}
        return cls(
            base_url=(host if "://" in host else f"https://{host}").rstrip("/"),
            user_name=user_name,
            password=password,
            api_prefix=str(given.get("api_prefix", "")),
            verify_tls=_boolean_or_path(given.get("verify_tls", True)),
            connect_timeout=_seconds(given, "connect_timeout", default=10.0),
            read_timeout=_seconds(given, "read_timeout", default=60.0),
            paths=_paths(given.get("paths")),
            session_expired_pattern=str(
                given.get("session_expired_pattern", DEFAULT_SESSION_EXPIRED_PATTERN)
            ),
            portal_url=str(given.get("portal_url", "")),
        )


def _check_path(operation: str, path: str) -> None:
    if operation not in DEFAULT_PATHS:
        raise ConfigurationError(
            what=f"'paths' of the connection names an unknown operation {operation!r}",
            where=VENDOR,
            next_step=f"Allowed are {', '.join(sorted(DEFAULT_PATHS))}",
        )
    allowed = _placeholders(DEFAULT_PATHS[operation])
    try:
        found = _placeholders(path)
    except ValueError:
        found = {"?"}
    # The id of a delete may also travel in the body, which a path without a placeholder asks for.
    optional = operation == "delete_audience"
    if not path.startswith("/") or not (found == allowed or (optional and not found)):
        wanted = " and ".join(f"{{{name}}}" for name in sorted(allowed)) or "no placeholder"
        raise ConfigurationError(
            what=f"The path {path!r} for {operation} does not fit",
            where=VENDOR,
            next_step=f"It starts with a slash and has {wanted}",
        )


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def _paths(value: Any) -> tuple[tuple[str, str], ...]:
    if value in (None, ""):
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, Mapping) or not all(isinstance(path, str) for path in value.values()):
        raise ConfigurationError(
            what="'paths' of the connection is not a JSON object of operation and path",
            where=VENDOR,
            next_step='For example {"create_campaign": "/campaign/create"}',
        )
    return tuple(sorted(value.items()))


def _boolean_or_path(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    text = str(value).strip()
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    return words.get(text.lower(), text)


def _seconds(options: Mapping[str, Any], name: str, *, default: float) -> float:
    try:
        seconds = float(options.get(name, default))
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(
            what=f"{name!r} of the connection is not a positive number of seconds", where=VENDOR
        )
    return seconds
