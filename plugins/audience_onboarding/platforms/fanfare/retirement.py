"""Retirement of an audience of Fanfare: its API archives instead of deleting.

Source: https://docs.fanfare.io/api/admin-api/audiences ("Delete (archive)")
"""

from __future__ import annotations

import logging

from audience_onboarding.base.retirement import AudienceInventory, ensure_unchanged, inspect_audience
from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
from audience_onboarding.platforms.fanfare.erasure import find_audience_id
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.state.store import StateStore

log = logging.getLogger(__name__)

_HOW = "It is archived: Fanfare's API has no other way. Its consumers stay in the organization."
_TRIED = "tried"


def state_keys(definition: FanfareDefinition, store: StateStore) -> list[str]:  # noqa: ARG001 - the platform's interface
    """Return the state-store keys that are this platform's own: none, imports belong to their loads."""
    return []


def inspect(definition: FanfareDefinition, store: StateStore) -> AudienceInventory:
    """Return the audience as it is at the vendor.

    :raises NotFoundError: the vendor does not know the definition's id.
    """
    return inspect_audience(
        find_audience_id(definition, store),
        lambda audience_id: _load(FanfareHook(definition.conn_id).client, audience_id),
        is_given=definition.id is not None,
    )


def _load(client: FanfareClient, audience_id: str) -> AudienceInventory:
    audience = client.get_audience(audience_id)
    if audience.archived:
        return AudienceInventory(audience_id, audience.name, exists=False, consequence=_HOW)
    return AudienceInventory(audience_id, audience.name, client.count(audience_id), consequence=_HOW)


def delete(
    definition: FanfareDefinition, store: StateStore, progress: StateStore, approved: AudienceInventory
) -> str:
    """Archive it.

    :raises StaleApprovalError: the audience differs from the approved one.
    :raises NotFoundError: it is gone, and not by this task.
    """
    if approved.audience_id is None or not approved.exists:
        return "There was nothing to archive"
    audience_id = str(approved.audience_id)
    client = FanfareHook(definition.conn_id).client
    done = f"Audience {audience_id} is archived"
    try:
        now = _load(client, find_audience_id(definition, store) or audience_id)
    except NotFoundError:
        if not progress.get(_TRIED):
            raise
        return done
    ensure_unchanged(approved, now)
    if now.exists:
        progress.set(_TRIED, [f"audience {audience_id}"])
        client.archive_audience(audience_id)
    log.info("%s (%s)", done, approved.name)
    return done
