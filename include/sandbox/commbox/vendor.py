"""CommBox as a vendor of the core: its inventory, and its part of the admin API under ``/_sandbox/commbox``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from sandbox.api import CallsPerMinute
from sandbox.clock import iso
from sandbox.commbox import MOUNT, VENDOR
from sandbox.commbox.files import COLUMN
from sandbox.commbox.routes import Context, build_routes, error_answer
from sandbox.commbox.state import Audience, CommBoxState
from sandbox.inventory import AcceptedFile, Inventory, Item, MemberPage, count_files, with_members
from sandbox.vendor import Services, Vendor, operation_finder

Json = dict[str, Any]


class DynamicAudience(BaseModel):
    """Body of POST /_sandbox/commbox/audiences."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)


def build_commbox(services: Services) -> Vendor:
    """Build the vendor."""
    state = CommBoxState(services)
    context = Context(services, state, CallsPerMinute(services.clock))
    app = build_routes(context)

    def reset() -> None:
        state.reset()
        context.calls.clear()

    return Vendor(
        name=VENDOR,
        mount=MOUNT,
        app=app,
        admin=_build_admin(state),
        reset=reset,
        operation_of=operation_finder(app.routes),
        error=lambda status: error_answer(context, status),
        inventory=lambda show: _inventory(state, show=show),
    )


def _inventory(state: CommBoxState, *, show: bool) -> Inventory:
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
                AcceptedFile(audience_id=one.id, sha256=sha256, rows=rows)
                for one in audiences
                for sha256, rows in one.files
            ),
        )


def _build_admin(state: CommBoxState) -> APIRouter:
    """Build the admin routes; the README describes the answers."""
    router = APIRouter(prefix="/commbox")

    @router.get("/audiences")
    def audiences() -> list[Json]:
        with state.lock:
            return [_line(item) for item in state.audiences.values()]

    @router.post("/audiences")
    def create_dynamic(body: DynamicAudience) -> Json:
        return _line(state.create_dynamic(body.name))

    @router.get("/audiences/{ident}/members")
    def members(ident: str, page: Annotated[MemberPage, Query()]) -> Json:
        audience = state.audiences.get(ident)
        if audience is None:
            raise HTTPException(404, f"no audience {ident}")
        return page.cut(ident, audience.members, str)

    @router.post("/expire-key")
    def expire_key() -> dict[str, bool]:
        expired, state.key_expired = not state.key_expired, True
        return {"expired": expired}

    return router


def _line(item: Audience) -> Json:
    return {
        **{name: getattr(item, name) for name in ("id", "name", "type", "user_count", "uploads")},
        "created": iso(item.created),
        "members": len(item.members),
        "pending": item.uploads - item.processed,
    }
