"""The Airflow connection to Fanfare."""

from __future__ import annotations

from typing import Any

from audience_onboarding.base.hooks import BearerHook, pluralize
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings


class FanfareHook(BearerHook[FanfareClient]):
    """Talk to Fanfare's Admin API with the secret key of a connection.

    :param fanfare_conn_id: a connection of type ``fanfare``.
    """

    conn_name_attr = "fanfare_conn_id"
    default_conn_name = "fanfare_default"
    conn_type = "fanfare"
    hook_name = "Fanfare"
    client_type = FanfareClient
    settings_type = FanfareSettings

    def __init__(self, fanfare_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(fanfare_conn_id, **kwargs)

    def connection_summary(self) -> str:
        """Ask for the first audiences."""
        found = self.client.first_audiences()
        if not found:
            return "The key is accepted; its organization has no audiences yet"
        whose = found[0].organization_id
        belongs = f"it belongs to organization {whose}, which" if whose else "its organization"
        some = pluralize(len(found), "audience")
        return f"The key is accepted; {belongs} has {some} on the first page of its list"
