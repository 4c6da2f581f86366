"""Deleting an audience of Digital Audience: its segments first, then itself. Never a campaign, which others share.

Source: the vendor's pages "Audience API" (DELETE /audience/delete: "and all connected data") and "Segment API".
"""

from __future__ import annotations

import logging

from audience_onboarding.base.retirement import Seen, SeenSegment, check_same, looked_at
from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.platforms.digital_audience.erasure import find_audience_id
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.state.store import (
    ERASURE_UPLOAD_LOG_KEY,
    UPLOAD_LOG_KEY,
    Memory,
    dated_segments_key,
    refusal_key,
    segment_key,
)

log = logging.getLogger(__name__)

_TRIED = "tried"


def state_keys(definition: DigitalAudienceDefinition, memory: Memory) -> list[str]:
    """Keys of the audience's memory that are this platform's own."""
    found = [UPLOAD_LOG_KEY, ERASURE_UPLOAD_LOG_KEY]
    for target in definition.activation.targets if definition.activation else ():
        dated = dated_segments_key(target.key)
        # That list last: who is interrupted needs it again.
        found += [segment_key(target.key), refusal_key(target.key), *(memory.get(dated) or ()), dated]
    return found


def inspect(definition: DigitalAudienceDefinition, memory: Memory) -> Seen:
    """What is there.

    :raises NotFoundError: the vendor does not know the id that the definition gives.
    """
    return looked_at(
        find_audience_id(definition, memory),
        lambda audience_id: _seen(DigitalAudienceHook(definition.conn_id).client, audience_id),
        is_given=definition.id is not None,
    )


def _seen(client: DigitalAudienceClient, audience_id: int) -> Seen:
    audience = client.load_audience(audience_id)
    segments = client.load_audience_segments(audience_id)
    return Seen(
        audience_id,
        audience.name or "",
        audience.crm_data.size if audience.crm_data else None,
        tuple(
            SeenSegment(
                item.segment_id,
                item.name or "",
                item.status or "",
                item.end_date.isoformat() if item.end_date else "",
            )
            for item in sorted(segments, key=lambda item: item.segment_id)
        ),
        how="It is deleted with all connected data, and cannot be brought back. Its campaign stays.",
    )


def delete(definition: DigitalAudienceDefinition, memory: Memory, progress: Memory, approved: Seen) -> str:
    """Delete the segments that were approved, then the audience.

    That something is gone is fine where this task has tried to delete it, and got no answer.

    :raises StaleApprovalError: there is something that nobody has approved; nothing more was deleted.
    :raises NotFoundError: the audience is gone, and not by this task.
    """
    if approved.audience_id is None or not approved.is_there:
        return "There was nothing to delete"
    audience_id = int(approved.audience_id)
    client = DigitalAudienceHook(definition.conn_id).client
    tried = set(progress.get(_TRIED) or ())
    try:
        now = _seen(client, find_audience_id(definition, memory) or 0)
    except NotFoundError:
        if f"audience {audience_id}" not in tried:
            raise
        log.info("Audience %s is gone: an earlier try has deleted it", audience_id)
        return f"Audience {audience_id} and its {len(approved.segments)} segments are deleted"
    check_same(approved, now)
    for segment in now.segments:
        _note(progress, tried, f"segment {segment.id}")
        client.delete_segment(segment.id)
        log.info("Segment %s (%s) is deleted", segment.id, segment.name)
    # Once more: the audience takes with it whatever is there.
    check_same(approved, _seen(client, audience_id))
    _note(progress, tried, f"audience {audience_id}")
    client.delete_audience(audience_id)
    log.info("Audience %s (%s) is deleted", audience_id, approved.name)
    return f"Audience {audience_id} and its {len(approved.segments)} segments are deleted"


def _note(progress: Memory, tried: set[str], what: str) -> None:
    tried.add(what)
    progress.set(_TRIED, sorted(tried))
