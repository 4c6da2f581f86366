"""Archiving an audience of Fanfare, which is what its API calls deleting.

Source: https://docs.fanfare.io/api/admin-api/audiences ("Delete (archive)")
"""

from __future__ import annotations

import logging

from audience_onboarding.base.retirement import Seen, check_same, looked_at
from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
from audience_onboarding.platforms.fanfare.erasure import find_audience_id
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.state.store import Memory

log = logging.getLogger(__name__)

_HOW = "It is archived: Fanfare's API has no other way. Its consumers stay in the organization."
_TRIED = "tried"


def state_keys(definition: FanfareDefinition, memory: Memory) -> list[str]:  # noqa: ARG001 - the platform's interface
    """Keys of the audience's memory that are this platform's own: imports lie with their loads."""
    return []


def inspect(definition: FanfareDefinition, memory: Memory) -> Seen:
    """What is there.

    :raises NotFoundError: the vendor does not know the id that the definition gives.
    """
    return looked_at(
        find_audience_id(definition, memory),
        lambda audience_id: _seen(FanfareHook(definition.conn_id).client, audience_id),
        is_given=definition.id is not None,
    )


def _seen(client: FanfareClient, audience_id: str) -> Seen:
    audience = client.get_audience(audience_id)
    if audience.archived:
        return Seen(audience_id, audience.name, is_there=False, how=_HOW)
    return Seen(audience_id, audience.name, client.count(audience_id), how=_HOW)


def delete(definition: FanfareDefinition, memory: Memory, progress: Memory, approved: Seen) -> str:
    """Archive it.

    :raises StaleApprovalError: it is not what was approved.
    :raises NotFoundError: it is gone, and not by this task.
    """
    if approved.audience_id is None or not approved.is_there:
        return "There was nothing to archive"
    audience_id = str(approved.audience_id)
    client = FanfareHook(definition.conn_id).client
    done = f"Audience {audience_id} is archived"
    try:
        now = _seen(client, find_audience_id(definition, memory) or audience_id)
    except NotFoundError:
        if not progress.get(_TRIED):
            raise
        return done
    check_same(approved, now)
    if now.is_there:
        progress.set(_TRIED, [f"audience {audience_id}"])
        client.archive_audience(audience_id)
    log.info("%s (%s)", done, approved.name)
    return done
