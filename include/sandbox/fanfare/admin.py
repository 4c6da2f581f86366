"""Fanfare's part of the admin API, under ``/_sandbox/fanfare``. Types and states are those of the spec."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from sandbox.clock import iso
from sandbox.fanfare.files import COLUMNS, IDENTIFIERS
from sandbox.fanfare.records import Audience, PlannedFailure
from sandbox.fanfare.state import FanfareState
from sandbox.inventory import MemberPage

Json = dict[str, Any]


class Consumers(BaseModel):
    """Body of POST /_sandbox/fanfare/consumers and of PUT /_sandbox/fanfare/audiences/{id}/source."""

    model_config = ConfigDict(extra="forbid")

    consumers: list[Json] = Field(description="fields as an import file names them")
    audience_id: str | None = Field(default=None, description="audience to add them to")


class ImportFailure(BaseModel):
    """Body of POST /_sandbox/fanfare/fail-import."""

    model_config = ConfigDict(extra="forbid")

    audience_id: str | None = Field(default=None, description="omitted: imports of any audience")
    skip: int = Field(default=0, ge=0, description="imports with a file to skip before")
    times: int = Field(default=1, ge=1, description="imports that fail")
    reason: str = Field(default="Import failed", min_length=1)


def build_admin(state: FanfareState) -> APIRouter:
    """Build the routes; the README describes the answers."""
    router = APIRouter(prefix="/fanfare")

    def find(ident: str) -> Audience:
        for audience in state.all_audiences():
            if audience.id == ident:
                return audience
        raise HTTPException(404, f"no audience {ident}")

    @router.get("/audiences")
    def audiences() -> list[Json]:
        with state.lock:
            return [
                {
                    **{name: getattr(item, name) for name in ("id", "name", "type", "archived")},
                    **{name: getattr(item, name) for name in ("version", "stale", "in_progress")},
                    "organization": item.organization.name,
                    "members": len(item.members),
                    "imports": len(item.imports),
                }
                for item in state.all_audiences()
            ]

    @router.get("/audiences/{ident}/members")
    def members(ident: str, page: Annotated[MemberPage, Query()]) -> Json:
        with state.lock:
            return page.cut(ident, find(ident).members_in_order(), lambda item: dict(item.profile))

    @router.put("/audiences/{ident}/source")
    def set_source(ident: str, body: Consumers) -> dict[str, int]:
        source = find(ident).sync_source
        if source is None:
            raise HTTPException(400, "the audience has no sync source")
        source.profiles = _checked(body.consumers)
        return {"count": len(source.profiles)}

    @router.get("/imports")
    def imports() -> list[Json]:
        names = ("id", "status", "s3_key", "total", "good", "error_count", "reason")
        with state.lock:
            return [
                {
                    **{name: getattr(item, name) for name in names},
                    "audience_id": audience.id,
                    "created": iso(item.created),
                }
                for audience in state.all_audiences()
                for item in audience.imports
            ]

    @router.get("/consumers")
    def consumers() -> list[Json]:
        with state.lock:
            return [dict(item.profile) for one in state.organizations for item in one.consumers.values()]

    @router.post("/consumers")
    def add_consumers(body: Consumers) -> dict[str, int]:
        profiles = _checked(body.consumers)
        if body.audience_id is not None:
            state.add_members(find(body.audience_id), profiles)
        else:
            state.upsert(state.organizations[0], profiles)
            with state.lock:
                state.refresh_dynamic(state.organizations[0])
        return {"count": len(profiles)}

    @router.post("/fail-import")
    def fail_import(body: ImportFailure) -> dict[str, int]:
        with state.lock:
            state.failures.append(PlannedFailure(body.audience_id, body.skip, body.times, body.reason))
            return {"count": len(state.failures)}

    @router.post("/rotate-key")
    def rotate_key() -> dict[str, str]:
        with state.lock:
            return {"secret_key": state.rotate_key()}

    return router


def _checked(profiles: list[Json]) -> list[Json]:
    for profile in profiles:
        if not set(profile) <= set(COLUMNS) or not set(profile) & set(IDENTIFIERS):
            raise HTTPException(400, f"fields are {', '.join(COLUMNS)}; one of the first three is required")
    return profiles
