"""What can be unclear at CommBox, and how the vendor is asked about it."""

from __future__ import annotations

from airflow.sdk import Asset

from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.state.reconcile import Found, Settleable
from audience_onboarding.state.remote_ids import text_id
from audience_onboarding.state.store import Memory


def settleable(definition: CommBoxDefinition, asset: Asset) -> list[Settleable]:
    """The audience, unless the definition gives its id.

    :param asset: the audience's.
    """

    def client() -> CommBoxClient:
        return CommBoxHook(definition.connection).client

    def look(audience_id: int | str, _: Memory) -> Found:
        return Found(client().check_static(client().load_audience(text_id(audience_id))).name)

    def find(_: Memory) -> str | None:
        audience = client().find_audience(definition.name)
        return None if audience is None else audience.id

    def account() -> str:
        return client().settings.account

    if definition.id is not None:
        return []
    return [Settleable("audience", asset, text_id, account, look=look, find=find)]
