"""What there is at Digital Audience, for a judge."""

from __future__ import annotations

from sandbox.clock import Clock, iso
from sandbox.digital_audience.files import member_columns
from sandbox.digital_audience.routes import VENDOR
from sandbox.digital_audience.state import DigitalAudienceState
from sandbox.digital_audience.views import segment_status
from sandbox.inventory import Inventory, Item, files_of, with_members
from sandbox.journal import Journal


def inventory_of(state: DigitalAudienceState, journal: Journal, clock: Clock, *, show: bool) -> Inventory:
    """Return campaigns, audiences with their members, and segments of both organisations."""
    now = clock.now()
    with state.lock:
        created = state.created.lines()
        campaigns = [Item(kind="campaign", id=str(one.id), name=one.name) for one in state.campaigns.values()]
        segments = [
            Item(
                kind="segment",
                id=str(one.segment_id),
                parent=str(one.audience_id),
                name=one.name,
                state=segment_status(one, now),
                end=iso(one.end),
            )
            for one in state.segments.values()
        ]
        audiences = [
            (
                Item(
                    kind="audience",
                    id=str(one.id),
                    parent=str(one.campaign.id),
                    name=one.name,
                    state=one.state,
                ),
                one.members,
            )
            for one in state.audiences.values()
        ]
    shown = [with_members(item, map(member_columns, members), show=show) for item, members in audiences]
    return Inventory(
        created=created,
        items=[*campaigns, *shown, *segments],
        files=files_of(journal.entries(kind="object")[0], VENDOR),
    )
