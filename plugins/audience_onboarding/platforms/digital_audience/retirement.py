"""Retirement of an audience of Digital Audience: deletes its segments, then the audience; never a shared campaign.

Source: the vendor's pages "Audience API" (DELETE /audience/delete: "and all connected data") and "Segment API".
"""

from __future__ import annotations

import logging

from audience_onboarding.base.retirement import (
    AudienceInventory,
    SegmentSummary,
    ensure_unchanged,
    inspect_audience,
)
from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.platforms.digital_audience.erasure import find_audience_id
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.models import Segment
from audience_onboarding.state.store import (
    ERASURE_UPLOAD_LOG_KEY,
    UPLOAD_LOG_KEY,
    StateStore,
    rejection_key,
    segment_key,
    segment_keys_key,
)

log = logging.getLogger(__name__)

_TRIED = "tried"


def state_keys(definition: DigitalAudienceDefinition, store: StateStore) -> list[str]:
    """Return the state-store keys that are this platform's own."""
    keys = [UPLOAD_LOG_KEY, ERASURE_UPLOAD_LOG_KEY]
    for target in definition.activation.targets if definition.activation else ():
        dated = segment_keys_key(target.key)
        # The list of keys comes last: a retry needs it.
        keys += [segment_key(target.key), rejection_key(target.key), *(store.get(dated) or ()), dated]
    return keys


def inspect(definition: DigitalAudienceDefinition, store: StateStore) -> AudienceInventory:
    """Return the audience as it is at the vendor.

    :raises NotFoundError: the vendor does not know the definition's id.
    """
    return inspect_audience(
        find_audience_id(definition, store),
        lambda audience_id: _load(DigitalAudienceHook(definition.conn_id).client, audience_id),
        is_given=definition.id is not None,
    )


def _load(client: DigitalAudienceClient, audience_id: int) -> AudienceInventory:
    audience = client.load_audience(audience_id)
    segments = client.load_audience_segments(audience_id)
    return AudienceInventory(
        audience_id,
        audience.name or "",
        audience.crm_data.size if audience.crm_data else None,
        tuple(map(_summarize, sorted(segments, key=lambda item: item.segment_id))),
        consequence="It is deleted with all connected data, and cannot be brought back. Its campaign stays.",
    )


def _summarize(segment: Segment) -> SegmentSummary:
    end = segment.end_date.isoformat() if segment.end_date else ""
    return SegmentSummary(segment.segment_id, segment.name or "", segment.status or "", end)


def delete(
    definition: DigitalAudienceDefinition,
    store: StateStore,
    progress: StateStore,
    approved: AudienceInventory,
) -> str:
    """Delete the segments that were approved, then the audience.

    An object may be gone if an earlier try of this task sent its deletion and got no response.

    :raises StaleApprovalError: there is an unapproved segment; nothing more was deleted.
    :raises NotFoundError: the audience is gone, and not by this task.
    """
    if approved.audience_id is None or not approved.exists:
        return "There was nothing to delete"
    audience_id = int(approved.audience_id)
    client = DigitalAudienceHook(definition.conn_id).client
    result = f"Audience {audience_id} and its {len(approved.segments)} segments are deleted"
    tried = set(progress.get(_TRIED) or ())
    try:
        now = _load(client, find_audience_id(definition, store) or 0)
    except NotFoundError:
        if f"audience {audience_id}" not in tried:
            raise
        log.info("Audience %s is gone: an earlier try has deleted it", audience_id)
        return result
    ensure_unchanged(approved, now)
    for segment in now.segments:
        _record_attempt(progress, tried, f"segment {segment.id}")
        client.delete_segment(segment.id)
        log.info("Segment %s (%s) is deleted", segment.id, segment.name)
    # Again: deleting the audience deletes all of its segments.
    ensure_unchanged(approved, _load(client, audience_id))
    _record_attempt(progress, tried, f"audience {audience_id}")
    client.delete_audience(audience_id)
    log.info("Audience %s (%s) is deleted", audience_id, approved.name)
    return result


def _record_attempt(progress: StateStore, tried: set[str], name: str) -> None:
    tried.add(name)
    progress.set(_TRIED, sorted(tried))
