"""What there is at CommBox, for a judge."""

from __future__ import annotations

from sandbox.commbox.files import COLUMN
from sandbox.commbox.state import CommBoxState
from sandbox.inventory import AcceptedFile, Inventory, Item, count_files, with_members


def inventory_of(state: CommBoxState, *, show: bool) -> Inventory:
    """Return audiences with their members."""
    with state.lock:
        audiences = list(state.audiences.values())
        return Inventory(
            created=state.created.lines(),
            items=[
                with_members(
                    Item(kind="audience", id=one.id, name=one.name, state=one.type),
                    ({COLUMN: phone} for phone in one.members),
                    show=show,
                )
                for one in audiences
            ],
            files=count_files(
                AcceptedFile(audience_id=one.id, key=None, mode=None, sha256=sha256, rows=rows, times=1)
                for one in audiences
                for sha256, rows in one.files
            ),
        )
