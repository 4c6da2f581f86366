"""Retiring an audience of CommBox, whose API deletes none: a person has to, in its console.

Source: https://help.commbox.io/apidocs/get-audiences and the two other pages about audiences
"""

from __future__ import annotations

from audience_onboarding.base.retirement import Seen, check_same, looked_at
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.erasure import find_audience_id
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.operators import LAST_SENT_KEY
from audience_onboarding.state.store import Memory

BY_HAND = "CommBox's API cannot delete an audience: delete it by hand in CommBox's console"


def state_keys(definition: CommBoxDefinition, memory: Memory) -> list[str]:  # noqa: ARG001 - the platform's interface
    """Keys of the audience's memory that are this platform's own."""
    return [LAST_SENT_KEY]


def inspect(definition: CommBoxDefinition, memory: Memory) -> Seen:
    """What is there.

    :raises NotFoundError: the vendor does not know the id that the definition gives.
    """
    return looked_at(
        find_audience_id(definition, memory),
        lambda audience_id: _seen(CommBoxHook(definition.conn_id).client, audience_id),
        is_given=definition.id is not None,
    )


def _seen(client: CommBoxClient, audience_id: str) -> Seen:
    audience = client.load_audience(audience_id)
    return Seen(
        audience.id,
        audience.name,
        audience.user_count,
        by_hand=BY_HAND,
        how=f"{BY_HAND}. Approving closes what is remembered of it here.",
    )


def delete(
    definition: CommBoxDefinition,
    memory: Memory,
    progress: Memory,  # noqa: ARG001 - the platforms' interface
    approved: Seen,
) -> str:
    """Delete nothing, and say so.

    :raises StaleApprovalError: it is not what was approved.
    """
    if approved.audience_id is None or not approved.is_there:
        return "There was nothing to delete"
    check_same(approved, inspect(definition, memory))
    return f"Audience {approved.audience_id} is still there. {BY_HAND}"
