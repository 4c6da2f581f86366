"""The part of the admin API that orders faults, and shows what they were for and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from sandbox.exchanges import ExchangePage
from sandbox.faults import S3, FaultBook, FaultLine, FaultOrder
from sandbox.faults.presets import PRESETS
from sandbox.inventory import State

if TYPE_CHECKING:
    from sandbox.vendor import Vendor


class Cleared(BaseModel):
    """Answer of DELETE /_sandbox/faults."""

    cleared: int


class Released(BaseModel):
    """Answer of POST /_sandbox/faults/{id}/release."""

    released: int = Field(description="calls that were held, or 1 for a refusal that was going on")


class Work(BaseModel):
    """Body of POST /_sandbox/work."""

    model_config = ConfigDict(extra="forbid")

    steps: int | None = Field(default=None, ge=0, description="things to do at most; null: all there are")
    scan: bool = Field(default=True, description="look into the buckets first")


class Worked(BaseModel):
    """Answer of POST /_sandbox/work."""

    ran: int = Field(description="things done, due or not")
    left: int = Field(description="things still to come")


def build_fault_admin(
    faults: FaultBook,
    vendors: Sequence[Vendor],
    *,
    state: Callable[[bool], State],
    work: Callable[[int | None, bool], tuple[int, int]],
) -> APIRouter:
    """Build the routes.

    :param state: what there is; with True, the hashes of all members as well.
    :param work: does what the vendors have to do; returns how much was done and how much is left.
    """
    router = APIRouter()
    names = [*(vendor.name for vendor in vendors), S3]

    @router.post("/faults")
    def add_fault(order: FaultOrder) -> FaultLine:
        if order.vendor is not None and order.vendor not in names:
            raise HTTPException(400, f"vendor is none of {', '.join(names)}")
        return faults.add(order)

    @router.get("/faults")
    def read_faults() -> list[FaultLine]:
        return faults.lines()

    @router.delete("/faults")
    def clear_faults() -> Cleared:
        return Cleared(cleared=faults.clear())

    @router.get("/faults/presets")
    def presets() -> dict[str, dict[str, Any]]:
        return PRESETS

    @router.post("/faults/{ident}/release")
    def release(ident: int) -> Released:
        released = faults.release(ident)
        if released is None:
            raise HTTPException(404, f"no fault {ident}")
        return Released(released=released)

    @router.get("/exchanges")
    def exchanges(
        since: Annotated[int, Query(ge=0)] = 0, vendor: str | None = None, operation: str | None = None
    ) -> ExchangePage:
        return faults.exchanges.page(since, vendor, operation)

    @router.get("/state")
    def read_state(hashes: bool = False) -> State:
        return state(hashes)

    @router.post("/work")
    def do_work(body: Work) -> Worked:
        ran, left = work(body.steps, body.scan)
        return Worked(ran=ran, left=left)

    return router
