"""What there is at Fanfare, for a judge."""

from __future__ import annotations

from sandbox.fanfare import VENDOR
from sandbox.fanfare.files import IDENTIFIERS
from sandbox.fanfare.state import FanfareState
from sandbox.inventory import Inventory, Item, files_of, with_members
from sandbox.journal import Journal

ARCHIVED = "ARCHIVED"


def inventory_of(state: FanfareState, journal: Journal, *, show: bool) -> Inventory:
    """Return audiences with their members, and imports, of both organizations. A member is its identifiers."""
    items: list[Item] = []
    with state.lock:
        created = state.created.lines()
        everything = [audience for one in state.organizations for audience in one.audiences.values()]
        for audience in everything:
            members: list[dict[str, object]] = [
                {name: one.profile[name] for name in IDENTIFIERS if name in one.profile}
                for one in audience.members.values()
            ]
            item = Item(
                kind="audience",
                id=audience.id,
                name=audience.name,
                state=ARCHIVED if audience.archived else None,
            )
            items.append(with_members(item, members, show=show))
            items += [
                Item(kind="import", id=one.id, parent=audience.id, name=one.s3_key, state=one.status)
                for one in audience.imports
            ]
    return Inventory(created=created, items=items, files=files_of(journal.entries(kind="object")[0], VENDOR))
