"""Fanfare's part of the admin API, under ``/_sandbox/fanfare``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from sandbox.clock import iso
from sandbox.fanfare.files import COLUMNS, IDENTIFIERS
from sandbox.fanfare.state import Audience, FanfareState, Import, PlannedFailure

Json = dict[str, Any]


class AudienceLine(BaseModel):
    """An item of GET /_sandbox/fanfare/audiences."""

    id: str
    name: str
    type: str = Field(description="as the spec names it, whatever generation is set")
    organization: str = Field(description="first or foreign")
    archived: bool
    members: int
    version: int
    stale: bool
    in_progress: bool
    imports: int


class ImportLine(BaseModel):
    """An item of GET /_sandbox/fanfare/imports."""

    id: str
    audience_id: str
    status: str = Field(description="as the spec names it, whatever generation is set")
    s3_key: str
    created: str
    total: int | None
    good: int
    error_count: int
    reason: str | None = Field(description="why it failed; names lines and columns, never values")


class Members(BaseModel):
    """Answer of GET /_sandbox/fanfare/audiences/{id}/members."""

    audience_id: str
    count: int = Field(description="all members, not only those on this page")
    members: list[Json] = Field(description="fields with a value, as an import file names them; oldest first")


class Consumers(BaseModel):
    """Body of POST /_sandbox/fanfare/consumers and of PUT /_sandbox/fanfare/audiences/{id}/source."""

    model_config = ConfigDict(extra="forbid")

    consumers: list[Json] = Field(description="fields as an import file names them")
    audience_id: str | None = Field(default=None, description="audience to make them members of")


class ImportFailure(BaseModel):
    """Body of POST /_sandbox/fanfare/fail-import."""

    model_config = ConfigDict(extra="forbid")

    audience_id: str | None = Field(default=None, description="left out: imports of any audience")
    skip: int = Field(default=0, ge=0, description="imports whose files are let pass before")
    times: int = Field(default=1, ge=1, description="imports that fail")
    reason: str = Field(default="Import failed", min_length=1)


class Key(BaseModel):
    """Answer of POST /_sandbox/fanfare/rotate-key."""

    secret_key: str


class Counted(BaseModel):
    """Answer of what only has a number to tell."""

    count: int


def build_admin(state: FanfareState) -> APIRouter:
    """Build the routes."""
    router = APIRouter(prefix="/fanfare")

    def everything() -> list[Audience]:
        return [audience for one in state.organizations for audience in one.audiences.values()]

    def find(ident: str) -> Audience:
        for audience in everything():
            if audience.id == ident:
                return audience
        raise HTTPException(404, f"no audience {ident}")

    @router.get("/audiences")
    def audiences() -> list[AudienceLine]:
        with state.lock:
            return [_audience_line(item) for item in everything()]

    @router.get("/audiences/{ident}/members")
    def members(
        ident: str,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int | None, Query(ge=1)] = None,
    ) -> Members:
        with state.lock:
            everyone = find(ident).members_in_order()
            page = everyone[offset : None if limit is None else offset + limit]
            return Members(
                audience_id=ident, count=len(everyone), members=[dict(item.profile) for item in page]
            )

    @router.put("/audiences/{ident}/source")
    def set_source(ident: str, body: Consumers) -> Counted:
        source = find(ident).sync_source
        if source is None:
            raise HTTPException(400, "the audience has no sync source")
        source.profiles = _checked(body.consumers)
        return Counted(count=len(source.profiles))

    @router.get("/imports")
    def imports() -> list[ImportLine]:
        with state.lock:
            return [_import_line(item, audience) for audience in everything() for item in audience.imports]

    @router.get("/consumers")
    def consumers() -> list[Json]:
        with state.lock:
            return [dict(item.profile) for one in state.organizations for item in one.consumers.values()]

    @router.post("/consumers")
    def add_consumers(body: Consumers) -> Counted:
        profiles = _checked(body.consumers)
        if body.audience_id is not None:
            state.add_members(find(body.audience_id), profiles)
            return Counted(count=len(profiles))
        state.upsert(state.organizations[0], profiles)
        with state.lock:
            state.consumers_changed(state.organizations[0])
        return Counted(count=len(profiles))

    @router.post("/fail-import")
    def fail_import(body: ImportFailure) -> Counted:
        with state.lock:
            state.failures.append(PlannedFailure(body.audience_id, body.skip, body.times, body.reason))
            return Counted(count=len(state.failures))

    @router.post("/rotate-key")
    def rotate_key() -> Key:
        with state.lock:
            return Key(secret_key=state.rotate_key())

    return router


def _checked(profiles: list[Json]) -> list[Json]:
    for profile in profiles:
        if not set(profile) <= set(COLUMNS) or not set(profile) & set(IDENTIFIERS):
            raise HTTPException(400, f"fields are {', '.join(COLUMNS)}; one of the first three is needed")
    return profiles


def _audience_line(item: Audience) -> AudienceLine:
    return AudienceLine(
        id=item.id,
        name=item.name,
        type=item.type,
        organization=item.organization.name,
        archived=item.archived,
        members=len(item.members),
        version=item.version,
        stale=item.stale,
        in_progress=item.in_progress,
        imports=len(item.imports),
    )


def _import_line(item: Import, owner: Audience) -> ImportLine:
    return ImportLine(
        id=item.id,
        audience_id=owner.id,
        status=item.status,
        s3_key=item.s3_key,
        created=iso(item.created),
        total=item.total,
        good=item.good,
        error_count=item.error_count,
        reason=item.reason,
    )
