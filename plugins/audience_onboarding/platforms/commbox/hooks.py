"""The Airflow connection to CommBox."""

from __future__ import annotations

from typing import Any

from audience_onboarding.base.hooks import BearerHook, pluralize
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.connection import CommBoxSettings


class CommBoxHook(BearerHook[CommBoxClient]):
    """Talk to CommBox with the API key of a connection.

    :param commbox_conn_id: a connection of type ``commbox``.
    """

    conn_name_attr = "commbox_conn_id"
    default_conn_name = "commbox_default"
    conn_type = "commbox"
    hook_name = "CommBox"
    client_type = CommBoxClient
    settings_type = CommBoxSettings

    def __init__(self, commbox_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(commbox_conn_id, **kwargs)

    def connection_summary(self) -> str:
        """List the audiences."""
        return "The key is accepted; the account has " + pluralize(
            len(self.client.list_audiences()), "audience"
        )
