"""Retirement of an audience of CommBox: a user deletes it in the console, as the API cannot.

Source: https://help.commbox.io/apidocs/get-audiences and the two other pages about audiences
"""

from __future__ import annotations

from audience_onboarding.base.retirement import AudienceInventory, ensure_unchanged, inspect_audience
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.erasure import find_audience_id
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.operators import LAST_SENT_KEY
from audience_onboarding.state.store import StateStore

MANUAL_ACTION = "CommBox's API cannot delete an audience: delete it by hand in CommBox's console"


def state_keys(definition: CommBoxDefinition, store: StateStore) -> list[str]:  # noqa: ARG001 - the platform's interface
    """Return the state-store keys that are this platform's own."""
    return [LAST_SENT_KEY]


def inspect(definition: CommBoxDefinition, store: StateStore) -> AudienceInventory:
    """Return the audience as it is at the vendor.

    :raises NotFoundError: the vendor does not know the definition's id.
    """
    return inspect_audience(
        find_audience_id(definition, store),
        lambda audience_id: _load(CommBoxHook(definition.conn_id).client, audience_id),
        is_given=definition.id is not None,
    )


def _load(client: CommBoxClient, audience_id: str) -> AudienceInventory:
    audience = client.load_audience(audience_id)
    return AudienceInventory(
        audience.id,
        audience.name,
        audience.user_count,
        manual_action=MANUAL_ACTION,
        consequence=f"{MANUAL_ACTION}. Approving only clears the state stored here.",
    )


def delete(
    definition: CommBoxDefinition,
    store: StateStore,
    progress: StateStore,  # noqa: ARG001 - the platforms' interface
    approved: AudienceInventory,
) -> str:
    """Delete nothing, and report that.

    :raises StaleApprovalError: the audience differs from the approved one.
    """
    if approved.audience_id is None or not approved.exists:
        return "There was nothing to delete"
    ensure_unchanged(approved, inspect(definition, store))
    return f"Audience {approved.audience_id} still exists. {MANUAL_ACTION}"
