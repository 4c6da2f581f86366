"""Fanfare as a vendor of the core, and its inventory."""

from __future__ import annotations

from sandbox.api import CallsPerMinute
from sandbox.bucket import Bucket, BucketWatcher
from sandbox.fanfare import MOUNT, VENDOR
from sandbox.fanfare.admin import build_admin
from sandbox.fanfare.dispatch import Context, build_routes, error_answer
from sandbox.fanfare.files import IDENTIFIERS
from sandbox.fanfare.processor import ImportProcessor
from sandbox.fanfare.routes import OPERATIONS
from sandbox.fanfare.state import FanfareState
from sandbox.inventory import Inventory, Item, accepted_files, with_members
from sandbox.journal import Journal
from sandbox.presigned import UploadUrls
from sandbox.vendor import BucketReader, Services, Vendor, operation_finder

_ARCHIVED = "ARCHIVED"


def build_fanfare(services: Services, bucket: Bucket, watcher: BucketWatcher, urls: UploadUrls) -> Vendor:
    """Build the vendor.

    :param bucket: its own bucket for imports, with its watcher and the signer of URLs into it.
    """
    state = FanfareState(services)
    processor = ImportProcessor(services, state, bucket)
    context = Context(services, state, urls, CallsPerMinute(services.clock))
    app = build_routes(context, OPERATIONS)

    def reset() -> None:
        processor.reset()
        state.reset()
        context.calls.clear()

    return Vendor(
        name=VENDOR,
        mount=MOUNT,
        app=app,
        admin=build_admin(state),
        reset=reset,
        operation_of=operation_finder(app.routes),
        error=lambda status: error_answer(context, status),
        inventory=lambda show: _inventory(state, services.journal, show=show),
        reader=BucketReader(watcher, processor.prefix, processor.process),
    )


def _inventory(state: FanfareState, journal: Journal, *, show: bool) -> Inventory:
    """Return audiences with their members, and imports, of both organizations. Identifiers make up a member."""
    items: list[Item] = []
    with state.lock:
        created = state.created.lines()
        for audience in state.all_audiences():
            members: list[dict[str, object]] = [
                {name: one.profile[name] for name in IDENTIFIERS if name in one.profile}
                for one in audience.members.values()
            ]
            status = _ARCHIVED if audience.archived else None
            item = Item(kind="audience", id=audience.id, name=audience.name, state=status)
            items.append(with_members(item, members, show=show))
            items += [
                Item(kind="import", id=one.id, parent=audience.id, name=one.s3_key, state=one.status)
                for one in audience.imports
            ]
    files = accepted_files(journal.entries(kind="object")[0], VENDOR)
    return Inventory(created=created, items=items, files=files)
