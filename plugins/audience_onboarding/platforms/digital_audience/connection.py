"""Settings and connection form of a Digital Audience account."""

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

OPERATIONS: Mapping[str, tuple[str, str]] = {
    "login": ("POST", "/account/login"),
    "create_campaign": ("POST", "/campaign/createcampaign"),
    "create_crm_audience": ("POST", "/audience/createcrmaudience"),
    "update_audience": ("POST", "/audience/update"),
    "load_audience": ("GET", "/audience/loadAudienceById/{audience_id}"),
    "activate_audience": ("POST", "/audience/activate"),
    "delete_audience": ("DELETE", "/audience/delete?audienceId={audience_id}"),
    "load_audience_segments": ("GET", "/segment/audience:{audience_id}"),
    "load_segment": ("GET", "/Segment/loadsegmentbyid/{segment_id}"),
    "update_segment_end_date": ("POST", "/segment/updateenddate"),
    "delete_segment": ("DELETE", "/segment/{segment_id}"),
    "load_platform_accounts": ("GET", "/organisation/loadplatformaccounts"),
}
"""HTTP method and path of each operation, below host and API prefix.

The vendor's pages spell several paths differently in the heading and in the example request. If only the case differs,
or the example is garbled or missing, this is the heading; otherwise the example, which was executed. No page shows how
a delete passes the id: it is a query parameter, named as in the other paths. The connection can override each path.
"""
METHODS = {operation: method for operation, (method, _) in OPERATIONS.items()}
DEFAULT_PATHS = {operation: path for operation, (_, path) in OPERATIONS.items()}

DEFAULT_SESSION_EXPIRED_PATTERN = r"(?i)\b(session|log ?in|unauthori[sz]ed|not authenticated)\b"
"""Message of a refusal with HTTP 200 that means an expired session. The pages do not describe one."""


@dataclass(frozen=True, kw_only=True)
class DigitalAudienceSettings(ClientSettings):
    """Settings of one account. The vendor's pages give no host, so it is required.

    :param user_name: sent as ``userName``.
    :param password: of that user.
    :param api_prefix: prefix of every path, for example ``/api``, as in some of the vendor's examples.
    :param paths: overrides of :data:`DEFAULT_PATHS` by operation.
    :param session_expired_pattern: see :data:`DEFAULT_SESSION_EXPIRED_PATTERN`.
    """

    vendor: ClassVar[str] = VENDOR
    default_requests_per_minute: ClassVar[float] = 1200
    """The pages give no limit."""
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
                next_step="Correct it under Admin > Connections, or leave it empty for the default",
            ) from None

    def path(self, operation: str, **ids: int) -> str:
        """Return the path of an operation, including the API prefix.

        :param operation: a key of :data:`DEFAULT_PATHS`.
        :param ids: ``audience_id`` or ``segment_id``, if the path has one.
        """
        template = dict(self.paths).get(operation, DEFAULT_PATHS[operation])
        prefix = self.api_prefix.strip("/")
        return f"{'/' + prefix if prefix else ''}{template.format(**ids)}"

    @classmethod
    def from_options(
        cls, *, host: str, user_name: str, password: str, options: Mapping[str, Any]
    ) -> DigitalAudienceSettings:
        """Read the settings from a connection; see :meth:`.ClientSettings.parse_common`.

        :raises ConfigurationError: a field is missing or invalid.
        """
        common = cls.parse_common(host=host, options=options)
        values = non_empty(options)
        common |= {
            name: str(values[name]) for name in ("api_prefix", "session_expired_pattern") if name in values
        }
        return cls(user_name=user_name, password=password, paths=_parse_paths(values.get("paths")), **common)


def _check_path(operation: str, path: str) -> None:
    if operation not in DEFAULT_PATHS:
        raise ConfigurationError(
            what=f"'paths' of the connection names an unknown operation {operation!r}",
            where=VENDOR,
            next_step=f"Allowed are {', '.join(sorted(DEFAULT_PATHS))}",
        )
    expected = placeholders(DEFAULT_PATHS[operation])
    try:
        actual = placeholders(path)
    except ValueError:
        actual = {"?"}
    # Without a placeholder, the id of a delete is sent in the body.
    optional = operation == "delete_audience"
    if not path.startswith("/") or not (actual == expected or (optional and not actual)):
        allowed = " and ".join(f"{{{name}}}" for name in sorted(expected)) or "no placeholder"
        raise ConfigurationError(
            what=f"Invalid path {path!r} for {operation}",
            where=VENDOR,
            next_step=f"Start it with a slash and use {allowed}",
        )


def _parse_paths(value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
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
    """Return the connection type ``digital_audience``."""
    return connection_form(
        conn_type="digital_audience",
        hook="audience_onboarding.platforms.digital_audience.hooks.DigitalAudienceHook",
        name="Digital Audience",
        relabeling={"login": "Login (user name)", "password": "Password"},
        placeholders={
            "host": "https://host, from the vendor",
            "login": "e-mail address of the portal's login",
            "password": "password of the portal's login",
        },
        default_requests=DigitalAudienceSettings.default_requests_per_minute,
        portal_ids="{audience_id}, and a segment's by {segment_id}",
        fields={
            "api_prefix": form_field(
                "API prefix",
                description="Prefix of every path, for example /api, as in some of the vendor's examples. Try that if "
                "the test reports 'Path'. Empty: none.",
            ),
            "paths": form_field(
                "Paths",
                format="multiline",
                description="Rarely needed, as the vendor's pages spell some paths in two ways: a JSON object of other "
                'paths, for example {"create_campaign": "/campaign/create"}. Empty: the defaults. '
                f"Operations: {', '.join(sorted(DEFAULT_PATHS))}.",
            ),
            "session_expired_pattern": form_field(
                "Session expired pattern",
                description="Rarely needed: regular expression for the message of a refusal with HTTP 200 that means "
                f"an expired session. Empty: {DEFAULT_SESSION_EXPIRED_PATTERN}",
            ),
        },
    )
