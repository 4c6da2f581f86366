"""How to talk to one Fanfare organization: what the connection form holds, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from audience_onboarding.connection_form import connection_form, form_field
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http import BearerSettings

VENDOR = "Fanfare"
PRODUCTION = "https://admin.fanfare.io/api"
"""The server of the vendor's API description. Its hand-written pages show ``/api/v1`` below it, which can be given as
host of the connection."""


@dataclass(frozen=True, kw_only=True)
class FanfareSettings(BearerSettings):
    """One organization.

    :param key: the secret key, ``sk_live_...`` or ``sk_test_...``.
    :param organization: id of the organization that the key has to belong to; empty: whichever it is.
    :param static_list_type: how the API spells the type of a fixed list: ``STATIC_LIST``, as its description says, or
        ``STATIC``, as the hand-written pages do.
    """

    vendor: ClassVar[str] = VENDOR
    default_host: ClassVar[str] = PRODUCTION
    default_requests_per_minute: ClassVar[float] = 500
    """Of the smallest plan (https://docs.fanfare.io/api/rate-limiting)."""
    own_options: ClassVar[frozenset[str]] = frozenset({"organization", "static_list_type"})

    organization: str = ""
    static_list_type: str = "STATIC_LIST"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.key.startswith("pk_"):
            raise ConfigurationError(
                what="The key of the connection is a publishable one (pk_...)",
                where=VENDOR,
                why="it is for browsers; the Admin API takes the secret key",
                next_step="Put the secret key (sk_...) into the Password of the connection (Admin > Connections)",
            )

        if self.static_list_type not in {"STATIC_LIST", "STATIC"}:
            raise ConfigurationError(
                what=f"'static_list_type' of the connection is {self.static_list_type!r}",
                where=VENDOR,
                next_step="It is STATIC_LIST or STATIC",
            )

    @property
    def account(self) -> str:
        """Host and, where given, organization."""
        return f"{self.base_url} organization {self.organization}" if self.organization else self.base_url


def connection_type() -> dict[str, Any]:
    """The connection type ``fanfare``."""
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
                description="How the API spells it. Empty: STATIC_LIST, as its description says; STATIC, as the "
                "hand-written pages say, if audiences are refused for their type.",
            ),
            "organization": form_field(
                "Organization",
                description="Id of the organization that the key has to belong to; with another one, nothing is sent. "
                "Empty: whichever it is.",
            ),
        },
    )
