"""CommBox's part of the admin API, under ``/_sandbox/commbox``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from sandbox.clock import iso
from sandbox.commbox.state import Audience, CommBoxState


class AudienceLine(BaseModel):
    """An item of GET /_sandbox/commbox/audiences."""

    id: str
    name: str
    type: str
    created: str
    user_count: int | None = Field(description="null until the first file has been taken in")
    members: int = Field(description="different numbers")
    uploads: int = Field(description="files accepted")
    pending: int = Field(description="of these, files not yet taken in")


class Members(BaseModel):
    """Answer of GET /_sandbox/commbox/audiences/{id}/members."""

    audience_id: str
    count: int = Field(description="all members, not only those on this page")
    members: list[str] = Field(description="phone numbers, in the order of the file")


class DynamicAudience(BaseModel):
    """Body of POST /_sandbox/commbox/audiences."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)


class Expired(BaseModel):
    """Answer of POST /_sandbox/commbox/expire-key."""

    expired: bool


def build_admin(state: CommBoxState) -> APIRouter:
    """Build the routes."""
    router = APIRouter(prefix="/commbox")

    @router.get("/audiences")
    def audiences() -> list[AudienceLine]:
        with state.lock:
            return [_line(item) for item in state.audiences.values()]

    @router.post("/audiences")
    def create_dynamic(body: DynamicAudience) -> AudienceLine:
        return _line(state.create_dynamic(body.name))

    @router.get("/audiences/{ident}/members")
    def members(
        ident: str,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int | None, Query(ge=1)] = None,
    ) -> Members:
        audience = state.audiences.get(ident)
        if audience is None:
            raise HTTPException(404, f"no audience {ident}")
        everyone = audience.members
        page = everyone[offset : None if limit is None else offset + limit]
        return Members(audience_id=ident, count=len(everyone), members=list(page))

    @router.post("/expire-key")
    def expire_key() -> Expired:
        expired, state.key_expired = not state.key_expired, True
        return Expired(expired=expired)

    return router


def _line(item: Audience) -> AudienceLine:
    return AudienceLine(
        id=item.id,
        name=item.name,
        type=item.type,
        created=iso(item.created),
        user_count=item.user_count,
        members=len(item.members),
        uploads=item.uploads,
        pending=item.uploads - item.taken_in,
    )
