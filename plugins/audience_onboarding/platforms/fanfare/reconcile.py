"""Comparison of Fanfare with the definitions and with unfinished creates."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Asset

from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.models import AudienceChanges, AudienceType
from audience_onboarding.state.create_once import get_audience_id
from audience_onboarding.state.drift import GONE, Difference, of_audience
from audience_onboarding.state.reconcile import PendingCreate, RemoteObject
from audience_onboarding.state.remote_ids import parse_str_id
from audience_onboarding.state.store import StateStore


def pending_creates(definition: FanfareDefinition, asset: Asset) -> list[PendingCreate]:
    """The audience, unless the definition gives its id.

    :param asset: of the audience.
    """

    def client() -> FanfareClient:
        return FanfareHook(definition.conn_id).client

    def inspect(audience_id: int | str, _: StateStore) -> RemoteObject:
        audience = client().get_audience(parse_str_id(audience_id))
        return RemoteObject(client().check_type(audience, AudienceType.STATIC_LIST).name)

    def find(_: StateStore) -> str | None:
        audience = client().find_audience(definition.name, AudienceType.STATIC_LIST)
        return None if audience is None else audience.id

    def account() -> str:
        return client().settings.account

    if definition.id is not None:
        return []
    return [PendingCreate("audience", asset, parse_str_id, account, inspect=inspect, find=find)]


def differences(
    definition: FanfareDefinition,
    asset: Asset,  # noqa: ARG001 - the same for all platforms
    store: StateStore,
    now: datetime,  # noqa: ARG001
) -> list[Difference]:
    """Compare name and description; read-only. Return no difference while the audience has no id."""
    client = FanfareHook(definition.conn_id).client
    audience_id = get_audience_id(
        definition.id, store, account=lambda: client.settings.account, read=parse_str_id
    )
    if audience_id is None:
        return []
    try:
        audience = client.get_audience(audience_id)
    except NotFoundError:
        return [Difference("audience", "presence", None, audience_id, GONE)]
    archived = []
    if audience.archived:
        note = "It accepts no list anymore; the API cannot restore it"
        archived.append(Difference("audience", "archived", "yes", "no", note))
    # The vendor clears a field that is sent as None.
    changes = AudienceChanges(name=definition.name)
    if definition.description is not None:
        changes = AudienceChanges(name=definition.name, description=definition.description)
    return archived + of_audience(
        at_vendor=(audience.name, audience.description),
        in_definition=(definition.name, definition.description),
        update=None if audience.archived else lambda: client.update_audience(audience_id, changes),
    )
