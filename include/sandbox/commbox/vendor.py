"""Puts CommBox together for the core."""

from __future__ import annotations

from sandbox.clock import Clock
from sandbox.commbox import MOUNT, VENDOR
from sandbox.commbox.admin import build_admin
from sandbox.commbox.inventory import inventory_of
from sandbox.commbox.routes import Context, build_app, error_answer
from sandbox.commbox.state import CommBoxState
from sandbox.ratelimit import CallsPerMinute
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline
from sandbox.vendor import ErrorAnswer, Vendor, operation_finder


def build_commbox(*, clock: Clock, settings: SettingsStore, timeline: Timeline) -> Vendor:
    """Build the vendor."""
    state = CommBoxState(clock, settings, timeline)
    context = Context(state, settings, clock, CallsPerMinute(clock))
    app = build_app(context)

    def error(status: int) -> ErrorAnswer:
        return error_answer(context, status)

    def reset() -> None:
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
        inventory=lambda show: inventory_of(state, show=show),
    )
