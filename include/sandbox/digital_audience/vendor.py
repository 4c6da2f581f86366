"""Digital Audience as a vendor of the core: its inventory, and its part of the admin API under ``/_sandbox``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from sandbox.bucket import Bucket, BucketWatcher
from sandbox.clock import iso
from sandbox.digital_audience import VENDOR
from sandbox.digital_audience.files import member_columns
from sandbox.digital_audience.processor import UploadProcessor
from sandbox.digital_audience.routes import Context, build_routes, canonical_path, error_answer
from sandbox.digital_audience.state import Audience, DigitalAudienceState
from sandbox.digital_audience.views import segment_status
from sandbox.inventory import Inventory, Item, MemberPage, accepted_files, with_members
from sandbox.vendor import BucketReader, Services, Vendor, operation_finder

Json = dict[str, Any]


def build_digital_audience(services: Services, bucket: Bucket, watcher: BucketWatcher) -> Vendor:
    """Build the vendor; it owns the root of the URL space, and reads the customer's bucket."""
    state = DigitalAudienceState(services)
    processor = UploadProcessor(services, state, bucket)
    app = build_routes(Context(services, state, processor))
    find = operation_finder(app.routes)

    def reset() -> None:
        processor.reset()
        state.reset()

    return Vendor(
        name=VENDOR,
        mount="",
        app=app,
        admin=_build_admin(state, services),
        reset=reset,
        operation_of=lambda method, path: find(method, canonical_path(path)),
        error=error_answer,
        inventory=lambda show: _inventory(state, services, show=show),
        reader=BucketReader(watcher, processor.prefix, processor.process),
        expire_sessions=state.expire_sessions,
    )


def _inventory(state: DigitalAudienceState, services: Services, *, show: bool) -> Inventory:
    """Return campaigns, audiences with their members, and segments of both organisations."""
    now = services.clock.now()
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
    # outside the lock: many members take long
    counted = [with_members(item, map(member_columns, members), show=show) for item, members in audiences]
    files = accepted_files(services.journal.entries(kind="object")[0], VENDOR)
    return Inventory(created=created, items=[*campaigns, *counted, *segments], files=files)


def _build_admin(state: DigitalAudienceState, services: Services) -> APIRouter:
    """Build the admin routes; the README describes the answers."""
    router = APIRouter()

    def find(ident: int) -> Audience:
        audience = state.audiences.get(ident)
        if audience is None:
            raise HTTPException(404, f"no audience {ident}")
        return audience

    @router.get("/campaigns")
    def campaigns() -> list[Json]:
        with state.lock:
            return [
                {"id": item.id, "name": item.name, "user": item.user.name, "created": iso(item.created)}
                for item in state.campaigns.values()
            ]

    @router.get("/segments")
    def segments() -> list[Json]:
        names = ("segment_id", "record_id", "audience_id", "name", "upload_count", "uploads")
        with state.lock:
            return [
                {
                    **{name: getattr(item, name) for name in names},
                    "account_id": item.account.id,
                    "status": segment_status(item, services.clock.now()),
                    "start_date": iso(item.start),
                    "end_date": iso(item.end),
                }
                for item in state.segments.values()
            ]

    @router.get("/audiences")
    def audiences() -> list[Json]:
        with state.lock:
            return [
                {
                    **{name: getattr(item, name) for name in ("id", "name", "state", "usable_members")},
                    "user": item.user.name,
                    "campaign_id": item.campaign.id,
                    "data_updated": iso(item.data_updated) if item.data_updated else None,
                    "events": item.crm_data.total_events if item.crm_data else 0,
                    "members": len(item.members),
                    "segment_ids": list(item.segments),
                }
                for item in state.audiences.values()
            ]

    @router.get("/audiences/{ident}/members")
    def members(ident: int, page: Annotated[MemberPage, Query()]) -> Json:
        return page.cut(ident, sorted(find(ident).members), member_columns)

    @router.get("/audiences/{ident}/log")
    def log(ident: int) -> list[Json]:
        with state.lock:
            return [
                {"time": iso(line.time), "event": line.event, "message": line.message, "key": line.key}
                for line in find(ident).log
            ]

    return router
