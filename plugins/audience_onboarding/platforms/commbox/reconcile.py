"""Comparison of CommBox with the definitions and with unfinished creates."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import Asset

from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.state.create_once import get_audience_id
from audience_onboarding.state.drift import GONE, Difference, of_audience
from audience_onboarding.state.reconcile import PendingCreate, RemoteObject
from audience_onboarding.state.remote_ids import parse_str_id
from audience_onboarding.state.store import StateStore


def pending_creates(definition: CommBoxDefinition, asset: Asset) -> list[PendingCreate]:
    """The audience, unless the definition gives its id.

    :param asset: of the audience.
    """

    def client() -> CommBoxClient:
        return CommBoxHook(definition.conn_id).client

    def inspect(audience_id: int | str, _: StateStore) -> RemoteObject:
        return RemoteObject(client().check_static(client().load_audience(parse_str_id(audience_id))).name)

    def find(_: StateStore) -> str | None:
        audience = client().find_audience(definition.name)
        return None if audience is None else audience.id

    def account() -> str:
        return client().settings.account

    if definition.id is not None:
        return []
    return [PendingCreate("audience", asset, parse_str_id, account, inspect=inspect, find=find)]


def differences(
    definition: CommBoxDefinition,
    asset: Asset,  # noqa: ARG001 - the same for all platforms
    store: StateStore,
    now: datetime,  # noqa: ARG001
) -> list[Difference]:
    """Compare the name; read-only. Return no difference while the audience has no id."""
    client = CommBoxHook(definition.conn_id).client
    audience_id = get_audience_id(
        definition.id, store, account=lambda: client.settings.account, read=parse_str_id
    )
    if audience_id is None:
        return []
    try:
        audience = client.load_audience(audience_id)
    except NotFoundError:
        return [Difference("audience", "presence", None, audience_id, GONE)]
    return of_audience(
        at_vendor=(audience.name, None),
        in_definition=(definition.name, None),
        update=None,
        note="The API cannot rename it; rename it in CommBox's console, or change the definition",
    )
