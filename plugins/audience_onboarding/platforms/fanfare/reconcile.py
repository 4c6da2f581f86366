"""What can be unclear at Fanfare, and how the vendor is asked about it."""

from __future__ import annotations

from airflow.sdk import Asset

from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.models import AudienceType
from audience_onboarding.state.reconcile import Found, Settleable
from audience_onboarding.state.remote_ids import text_id
from audience_onboarding.state.store import Memory


def settleable(definition: FanfareDefinition, asset: Asset) -> list[Settleable]:
    """The audience, unless the definition gives its id.

    :param asset: the audience's.
    """

    def client() -> FanfareClient:
        return FanfareHook(definition.connection).client

    def look(audience_id: int | str, _: Memory) -> Found:
        audience = client().get_audience(text_id(audience_id))
        return Found(client().check_type(audience, AudienceType.STATIC_LIST).name)

    def find(_: Memory) -> str | None:
        audience = client().find_audience(definition.name, AudienceType.STATIC_LIST)
        return None if audience is None else audience.id

    def account() -> str:
        return client().settings.account

    if definition.id is not None:
        return []
    return [Settleable("audience", asset, text_id, account, look=look, find=find)]
