"""The admin API under ``/_sandbox``: what really happened, and the knobs. Not part of any vendor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sandbox.bucket import Bucket
from sandbox.clock import Clock, MovableClock, iso
from sandbox.journal import ApiCall, Journal, ObjectEvent, S3Request, Summary
from sandbox.settings import SettingsStore, StartOnlySettingError

if TYPE_CHECKING:
    from sandbox.vendor import Vendor


class Health(BaseModel):
    """Answer of GET /_sandbox/health."""

    status: Literal["ok"] = "ok"
    time: str
    vendors: list[str]
    bucket: str


class JournalPage(BaseModel):
    """Answer of GET /_sandbox/journal."""

    entries: list[Annotated[ApiCall | S3Request | ObjectEvent, Field(discriminator="kind")]]
    last_seq: int = Field(description="pass as 'since' to get only what comes after")


class StoredObject(BaseModel):
    """An object in the bucket."""

    key: str
    etag: str
    size: int
    last_modified: str
    metadata: dict[str, str]


class UnfinishedUpload(BaseModel):
    """A multipart upload left open."""

    key: str
    upload_id: str


class BucketContents(BaseModel):
    """Answer of GET /_sandbox/objects."""

    bucket: str
    objects: list[StoredObject]
    open_uploads: list[UnfinishedUpload]


class Moment(BaseModel):
    """Body of POST /_sandbox/clock."""

    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime


class Time(BaseModel):
    """Answer of GET and POST /_sandbox/clock."""

    time: str


class Expired(BaseModel):
    """Answer of POST /_sandbox/expire-sessions."""

    expired: int


class Done(BaseModel):
    """Answer of POST /_sandbox/reset."""

    status: Literal["ok"] = "ok"


def build_admin(
    *,
    bucket: Bucket,
    clock: Clock,
    journal: Journal,
    settings: SettingsStore,
    vendors: Sequence[Vendor],
    reset: Callable[[], None],
    wake: Callable[[], None],
) -> APIRouter:
    """Build the routes that belong to no vendor."""
    router = APIRouter()

    @router.get("/health")
    def health() -> Health:
        return Health(time=iso(clock.now()), vendors=[vendor.name for vendor in vendors], bucket=bucket.name)

    @router.get("/clock")
    def read_clock() -> Time:
        return Time(time=iso(clock.now()))

    @router.post("/clock")
    def put_clock(moment: Moment) -> Time:
        if not isinstance(clock, MovableClock):
            raise HTTPException(409, "this sandbox was given a clock of its own")
        clock.put(moment.at)
        wake()
        return Time(time=iso(clock.now()))

    @router.get("/journal")
    def read_journal(
        since: Annotated[int, Query(ge=0)] = 0,
        operation: str | None = None,
        kind: Literal["api", "s3", "object"] | None = None,
        vendor: str | None = None,
    ) -> JournalPage:
        entries, last = journal.entries(since, operation, kind, vendor)
        return JournalPage(entries=entries, last_seq=last)

    @router.get("/summary")
    def summary() -> Summary:
        return journal.summary()

    @router.get("/objects")
    def objects() -> BucketContents:
        return BucketContents(
            bucket=bucket.name,
            objects=[
                StoredObject(
                    key=info.key,
                    etag=info.etag,
                    size=info.size,
                    last_modified=iso(info.last_modified),
                    metadata=bucket.metadata(info.key),
                )
                for info in bucket.list_objects()
            ],
            open_uploads=[
                UnfinishedUpload(key=key, upload_id=upload_id) for key, upload_id in bucket.open_uploads()
            ],
        )

    @router.get("/settings")
    def read_settings() -> dict[str, Any]:
        return settings.visible()

    @router.patch("/settings")
    def change_settings(changes: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        try:
            settings.patch(changes)
        except StartOnlySettingError as error:
            raise HTTPException(400, str(error)) from error
        except ValidationError as error:
            raise HTTPException(400, error.errors(include_url=False, include_input=False)) from error
        wake()
        return settings.visible()

    @router.post("/expire-sessions")
    def expire_sessions() -> Expired:
        return Expired(expired=sum(vendor.expire_sessions() for vendor in vendors))

    @router.post("/reset")
    def reset_all() -> Done:
        reset()
        return Done()

    return router
