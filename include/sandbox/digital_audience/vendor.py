"""Puts Digital Audience together for the core."""

from __future__ import annotations

from sandbox.bucket import ObjectStore
from sandbox.clock import Clock
from sandbox.digital_audience.admin import build_admin
from sandbox.digital_audience.inventory import inventory_of
from sandbox.digital_audience.processor import UploadProcessor
from sandbox.digital_audience.routes import VENDOR, Context, build_app, error_answer, usual_path
from sandbox.digital_audience.state import DigitalAudienceState
from sandbox.journal import Journal
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline
from sandbox.vendor import Vendor, operation_finder


def build_digital_audience(
    *, clock: Clock, settings: SettingsStore, journal: Journal, timeline: Timeline, store: ObjectStore
) -> Vendor:
    """Build the vendor; it owns the root of the URL space."""
    state = DigitalAudienceState(clock, settings)
    processor = UploadProcessor(
        state=state,
        store=store,
        timeline=timeline,
        clock=clock,
        settings=settings,
        journal=journal,
        vendor=VENDOR,
    )

    app = build_app(Context(state, processor, settings, clock))
    find = operation_finder(app.routes)

    def operation_of(method: str, path: str) -> str | None:
        return find(method, usual_path(path))

    def reset() -> None:
        processor.reset()
        state.reset()

    return Vendor(
        name=VENDOR,
        mount="",
        app=app,
        admin=build_admin(state, clock),
        consumers=(processor,),
        reset=reset,
        expire_sessions=state.expire_sessions,
        operation_of=operation_of,
        error=error_answer,
        has_sessions=True,
        inventory=lambda show: inventory_of(state, journal, clock, show=show),
    )
