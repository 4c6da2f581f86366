"""Puts Fanfare together for the core."""

from __future__ import annotations

from sandbox.bucket import Bucket, BucketWatcher
from sandbox.clock import Clock
from sandbox.fanfare import MOUNT, VENDOR
from sandbox.fanfare.admin import build_admin
from sandbox.fanfare.inventory import inventory_of
from sandbox.fanfare.processor import ImportProcessor
from sandbox.fanfare.routes import Context, build_app, error_answer
from sandbox.fanfare.state import FanfareState
from sandbox.journal import Journal
from sandbox.presigned import UploadUrls
from sandbox.ratelimit import CallsPerMinute
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline
from sandbox.vendor import ErrorAnswer, OwnBucket, Vendor, operation_finder


def build_fanfare(
    *,
    clock: Clock,
    settings: SettingsStore,
    journal: Journal,
    timeline: Timeline,
    bucket: Bucket,
    watcher: BucketWatcher,
    urls: UploadUrls,
) -> Vendor:
    """Build the vendor.

    :param bucket: its own bucket for imports, with its watcher and the maker of addresses into it.
    """
    state = FanfareState(clock, settings, timeline)
    processor = ImportProcessor(state=state, store=bucket, settings=settings, journal=journal)
    context = Context(state, settings, clock, urls, CallsPerMinute(clock))
    app = build_app(context)

    def error(status: int) -> ErrorAnswer:
        return error_answer(context, status)

    def reset() -> None:
        processor.reset()
        state.reset()
        context.calls.clear()

    return Vendor(
        name=VENDOR,
        mount=MOUNT,
        app=app,
        admin=build_admin(state),
        consumers=(),
        reset=reset,
        expire_sessions=lambda: 0,
        operation_of=operation_finder(app.routes),
        error=error,
        own_buckets=(OwnBucket(bucket, watcher, (processor,)),),
        inventory=lambda show: inventory_of(state, journal, show=show),
    )
