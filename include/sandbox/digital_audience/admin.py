"""Digital Audience's part of the admin API: what the vendor really holds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from sandbox.clock import Clock, iso
from sandbox.digital_audience.files import member_columns
from sandbox.digital_audience.state import Audience, DigitalAudienceState
from sandbox.digital_audience.views import segment_status


class CampaignLine(BaseModel):
    """An item of GET /_sandbox/campaigns."""

    id: int
    name: str
    user: str
    created: str


class SegmentLine(BaseModel):
    """An item of GET /_sandbox/segments."""

    segment_id: int
    record_id: int = Field(description="the segment's other id, 'id' on the wire")
    audience_id: int
    account_id: int
    name: str
    status: str
    start_date: str
    end_date: str
    upload_count: int
    uploads: int


class AudienceLine(BaseModel):
    """An item of GET /_sandbox/audiences."""

    id: int
    name: str
    user: str
    campaign_id: int
    state: str
    data_updated: str | None
    events: int
    members: int
    usable_members: int
    segment_ids: list[int]


class Members(BaseModel):
    """Answer of GET /_sandbox/audiences/{id}/members."""

    audience_id: int
    count: int = Field(description="all members, not only those on this page")
    members: list[dict[str, str]] = Field(description="header -> value, hashes in lower case, sorted")


class LogEntry(BaseModel):
    """An item of GET /_sandbox/audiences/{id}/log."""

    time: str
    event: str
    message: str
    key: str | None


def build_admin(state: DigitalAudienceState, clock: Clock) -> APIRouter:
    """Build the routes."""
    router = APIRouter()

    def find(ident: int) -> Audience:
        audience = state.audiences.get(ident)
        if audience is None:
            raise HTTPException(404, f"no audience {ident}")
        return audience

    @router.get("/campaigns")
    def campaigns() -> list[CampaignLine]:
        with state.lock:
            return [
                CampaignLine(id=item.id, name=item.name, user=item.user.name, created=iso(item.created))
                for item in state.campaigns.values()
            ]

    @router.get("/segments")
    def segments() -> list[SegmentLine]:
        with state.lock:
            return [
                SegmentLine(
                    segment_id=item.segment_id,
                    record_id=item.record_id,
                    audience_id=item.audience_id,
                    account_id=item.account.id,
                    name=item.name,
                    status=segment_status(item, clock.now()),
                    start_date=iso(item.start),
                    end_date=iso(item.end),
                    upload_count=item.upload_count,
                    uploads=item.uploads,
                )
                for item in state.segments.values()
            ]

    @router.get("/audiences")
    def audiences() -> list[AudienceLine]:
        with state.lock:
            return [
                AudienceLine(
                    id=item.id,
                    name=item.name,
                    user=item.user.name,
                    campaign_id=item.campaign.id,
                    state=item.state,
                    data_updated=iso(item.data_updated) if item.data_updated else None,
                    events=item.crm_data.total_events if item.crm_data else 0,
                    members=len(item.members),
                    usable_members=item.usable_members,
                    segment_ids=list(item.segments),
                )
                for item in state.audiences.values()
            ]

    @router.get("/audiences/{ident}/members")
    def members(
        ident: int,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int | None, Query(ge=1)] = None,
    ) -> Members:
        everyone = find(ident).members
        page = sorted(everyone)[offset : None if limit is None else offset + limit]
        return Members(
            audience_id=ident, count=len(everyone), members=[member_columns(item) for item in page]
        )

    @router.get("/audiences/{ident}/log")
    def log(ident: int) -> list[LogEntry]:
        with state.lock:
            return [
                LogEntry(time=iso(line.time), event=line.event, message=line.message, key=line.key)
                for line in find(ident).log
            ]

    return router
