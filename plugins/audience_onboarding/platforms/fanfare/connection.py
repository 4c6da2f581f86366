"""Settings and connection form of a Fanfare organization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from audience_onboarding.connection_form import connection_form, form_field
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http import BearerSettings

VENDOR = "Fanfare"
PRODUCTION = "https://admin.fanfare.io/api"
"""Server in the vendor's API description. Its hand-written pages show ``/api/v1`` below it, which can be part of the
connection's host."""


@dataclass(frozen=True, kw_only=True)
class FanfareSettings(BearerSettings):
    """Settings of one organization.

    :param key: the secret key, ``sk_live_...`` or ``sk_test_...``.
    :param organization: id of the organization that the key must belong to; empty: not checked.
    :param static_list_type: spelling of the type of a fixed list: ``STATIC_LIST`` (API description) or ``STATIC``
        (hand-written pages).
    """

    vendor: ClassVar[str] = VENDOR
    default_host: ClassVar[str] = PRODUCTION
    default_requests_per_minute: ClassVar[float] = 500
    """Limit of the smallest plan (https://docs.fanfare.io/api/rate-limiting)."""
    own_options: ClassVar[frozenset[str]] = frozenset({"organization", "static_list_type"})

    organization: str = ""
    static_list_type: str = "STATIC_LIST"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key.startswith("pk_"):
            raise ConfigurationError(
                what="The key of the connection is a publishable one (pk_...)",
                where=VENDOR,
                why="it is for browsers; the Admin API needs the secret key",
                next_step="Set the secret key (sk_...) as Password of the connection (Admin > Connections)",
            )

        if self.static_list_type not in {"STATIC_LIST", "STATIC"}:
            raise ConfigurationError(
                what=f"Invalid 'static_list_type' {self.static_list_type!r} of the connection",
                where=VENDOR,
                next_step="Allowed are STATIC_LIST and STATIC",
            )

    @property
    def account(self) -> str:
        """Host and, if set, organization."""
        return f"{self.base_url} organization {self.organization}" if self.organization else self.base_url


def connection_type() -> dict[str, Any]:
    """Return the connection type ``fanfare``."""
    return connection_form(
        conn_type="fanfare",
        hook="audience_onboarding.platforms.fanfare.hooks.FanfareHook",
        name="Fanfare",
        hidden=("login",),
        relabeling={"password": "Password (secret key)"},
        default_requests=FanfareSettings.default_requests_per_minute,
        placeholders={"host": f"empty: {PRODUCTION}", "password": "sk_live_... or sk_test_..."},
        fields={
            "static_list_type": form_field(
                "Type of a fixed list",
                enum=["STATIC_LIST", "STATIC", None],
                description="Its spelling in the API. Empty: STATIC_LIST, as in the API description. Try STATIC, as on "
                "the hand-written pages, if audiences are refused because of their type.",
            ),
            "organization": form_field(
                "Organization",
                description="Id of the organization that the key must belong to; otherwise nothing is sent. "
                "Empty: not checked.",
            ),
        },
    )
