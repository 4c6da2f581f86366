"""How to talk to one Digital Audience account: what the connection form holds, read and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from audience_onboarding.connection_form import connection_form, form_field
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http import ClientSettings
from audience_onboarding.http.settings import non_empty, placeholders

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


@dataclass(frozen=True, kw_only=True)
class DigitalAudienceSettings(ClientSettings):
    """One account. The vendor's pages give no host: it is asked for.

    :param user_name: sent as ``userName``.
    :param password: of that user.
    :param api_prefix: put before every path, for example ``/api``. Some of the vendor's examples have it.
    :param paths: overrides of :data:`DEFAULT_PATHS` by operation.
    :param session_expired_pattern: see :data:`DEFAULT_SESSION_EXPIRED_PATTERN`.
    """

    vendor: ClassVar[str] = VENDOR
    default_requests_per_minute: ClassVar[float] = 1200
    """No page states a limit."""
    own_options: ClassVar[frozenset[str]] = frozenset({"api_prefix", "paths", "session_expired_pattern"})
    portal_placeholders: ClassVar[frozenset[str]] = frozenset({"audience_id", "segment_id"})

    user_name: str
    password: str = field(repr=False)
    api_prefix: str = ""
    paths: tuple[tuple[str, str], ...] = ()
    session_expired_pattern: str = DEFAULT_SESSION_EXPIRED_PATTERN

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require({"user name (Login)": self.user_name, "password": self.password})
        for operation, path in self.paths:
            _check_path(operation, path)
        try:
            re.compile(self.session_expired_pattern)
        except re.error as error:
            raise ConfigurationError(
                what="'session_expired_pattern' of the connection is not a regular expression",
                where=VENDOR,
                why=str(error),
                next_step="Correct it under Admin > Connections, or leave it empty for the usual one",
            ) from None

    def path(self, operation: str, **ids: int) -> str:
        """The path of an operation, API prefix included.

        :param operation: a key of :data:`DEFAULT_PATHS`.
        :param ids: ``audience_id`` or ``segment_id``, where the operation has one.
        """
        template = dict(self.paths).get(operation, DEFAULT_PATHS[operation])
        prefix = self.api_prefix.strip("/")
        return f"{'/' + prefix if prefix else ''}{template.format(**ids)}"

    @classmethod
    def from_options(
        cls, *, host: str, user_name: str, password: str, options: Mapping[str, Any]
    ) -> DigitalAudienceSettings:
        """Read what a connection holds.

        :param host: ``https://host[:port]``; without a scheme, https is meant.
        :param options: the connection's extra fields; an unknown one is an error, as it would be a typo.
        :raises ConfigurationError: something is missing or wrong.
        """
        common = cls.parse_common(host=host, options=options)
        given = non_empty(options)
        return cls(
            user_name=user_name,
            password=password,
            api_prefix=str(given.get("api_prefix", "")),
            paths=_paths(given.get("paths")),
            session_expired_pattern=str(
                given.get("session_expired_pattern", DEFAULT_SESSION_EXPIRED_PATTERN)
            ),
            **common,
        )


def _check_path(operation: str, path: str) -> None:
    if operation not in DEFAULT_PATHS:
        raise ConfigurationError(
            what=f"'paths' of the connection names an unknown operation {operation!r}",
            where=VENDOR,
            next_step=f"Allowed are {', '.join(sorted(DEFAULT_PATHS))}",
        )
    allowed = placeholders(DEFAULT_PATHS[operation])
    try:
        found = placeholders(path)
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
        default_requests=DigitalAudienceSettings.default_requests_per_minute,
        portal_ids="{audience_id}, and a segment's by {segment_id}",
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
