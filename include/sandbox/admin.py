"""The admin API under ``/_sandbox``: the true state, faults, settings. Not part of any vendor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sandbox.bucket import Bucket
from sandbox.clock import MovableClock, iso
from sandbox.exchanges import ExchangePage
from sandbox.faults import S3, FaultLine, FaultOrder
from sandbox.faults.presets import PRESETS
from sandbox.journal import ApiCall, ObjectEvent, S3Request
from sandbox.settings import StartOnlySettingError

if TYPE_CHECKING:
    from sandbox.runtime import Sandbox
    from sandbox.vendor import Vendor

Json = dict[str, Any]


class JournalPage(BaseModel):
    """Answer of GET /_sandbox/journal."""

    entries: list[Annotated[ApiCall | S3Request | ObjectEvent, Field(discriminator="kind")]]
    last_seq: int


class ClockChange(BaseModel):
    """Body of POST /_sandbox/clock."""

    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime


class Work(BaseModel):
    """Body of POST /_sandbox/work."""

    model_config = ConfigDict(extra="forbid")

    steps: int | None = Field(default=None, ge=0, description="maximum number of actions; null: all")
    scan: bool = Field(default=True, description="scan the buckets first")


def build_admin(sandbox: Sandbox, bucket: Bucket, vendors: Sequence[Vendor]) -> APIRouter:
    """Build the routes, those of the vendors included; the README describes the answers."""
    router = APIRouter()
    clock, settings, faults = sandbox.services.clock, sandbox.services.settings, sandbox.faults
    for vendor in vendors:
        router.include_router(vendor.admin)

    @router.get("/health")
    def health() -> Json:
        names = [vendor.name for vendor in vendors]
        return {"status": "ok", "time": iso(clock.now()), "vendors": names, "bucket": bucket.name}

    @router.get("/clock")
    def read_clock() -> Json:
        return {"time": iso(clock.now())}

    @router.post("/clock")
    def set_clock(change: ClockChange) -> Json:
        if not isinstance(clock, MovableClock):
            raise HTTPException(409, "the clock of this sandbox is set by its owner")
        clock.set(change.at)
        sandbox.wake()
        return read_clock()

    @router.get("/journal")
    def read_journal(
        since: Annotated[int, Query(ge=0)] = 0,
        operation: str | None = None,
        kind: Literal["api", "s3", "object"] | None = None,
        vendor: str | None = None,
    ) -> JournalPage:
        entries, last = sandbox.services.journal.entries(since, operation, kind, vendor)
        return JournalPage(entries=entries, last_seq=last)

    @router.get("/summary")
    def summary() -> Json:
        return sandbox.services.journal.summary()

    @router.get("/objects")
    def objects() -> Json:
        listed = [
            {
                "key": info.key,
                "etag": info.etag,
                "size": info.size,
                "last_modified": iso(info.last_modified),
                "metadata": bucket.metadata(info.key),
            }
            for info in bucket.list_objects()
        ]
        uploads = [{"key": key, "upload_id": upload_id} for key, upload_id in bucket.open_uploads()]
        return {"bucket": bucket.name, "objects": listed, "open_uploads": uploads}

    @router.get("/settings")
    def read_settings() -> Json:
        return settings.visible()

    @router.patch("/settings")
    def change_settings(changes: Annotated[Json, Body()]) -> Json:
        try:
            settings.patch(changes)
        except StartOnlySettingError as error:
            raise HTTPException(400, str(error)) from error
        except ValidationError as error:
            raise HTTPException(400, error.errors(include_url=False, include_input=False)) from error
        sandbox.wake()
        return settings.visible()

    @router.post("/expire-sessions")
    def expire_sessions() -> dict[str, int]:
        return {"expired": sum(vendor.expire_sessions() for vendor in vendors if vendor.expire_sessions)}

    @router.post("/reset")
    def reset() -> Json:
        sandbox.reset()
        return {"status": "ok"}

    @router.get("/state")
    def read_state(hashes: bool = False) -> Json:
        return sandbox.state(hashes=hashes)

    @router.post("/work")
    def work(body: Work) -> dict[str, int]:
        ran, left = sandbox.work(body.steps, scan=body.scan)
        return {"ran": ran, "left": left}

    # --- faults -----------------------------------------------------------------------------------------

    @router.post("/faults")
    def add_fault(order: FaultOrder) -> FaultLine:
        names = [*(vendor.name for vendor in vendors), S3]
        if order.vendor is not None and order.vendor not in names:
            raise HTTPException(400, f"unknown vendor; known are {', '.join(names)}")
        return faults.add(order)

    @router.get("/faults")
    def read_faults() -> list[FaultLine]:
        return faults.lines()

    @router.delete("/faults")
    def clear_faults() -> dict[str, int]:
        return {"cleared": faults.clear()}

    @router.get("/faults/presets")
    def presets() -> dict[str, Json]:
        return PRESETS

    @router.post("/faults/{ident}/release")
    def release(ident: int) -> dict[str, int]:
        released = faults.release(ident)
        if released is None:
            raise HTTPException(404, f"no fault {ident}")
        return {"released": released}

    @router.get("/exchanges")
    def exchanges(
        since: Annotated[int, Query(ge=0)] = 0, vendor: str | None = None, operation: str | None = None
    ) -> ExchangePage:
        return faults.exchanges.page(since, vendor, operation)

    return router
