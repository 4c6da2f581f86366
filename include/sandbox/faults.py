"""Faults on order: a call that fits is answered differently, cut off or held up, whichever vendor it is for.

:class:`FaultBook` keeps the orders and says which one a call gets; :class:`FaultMiddleware` carries them out for
the vendors' APIs, the gate in :mod:`sandbox.s3` for S3. One call gets one fault at most, the oldest that fits.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.journal import FaultNote
from sandbox.vendor import ErrorAnswer, Vendor

S3: Final = "s3"
"""Name under which faults for the S3 side are ordered."""

_SLICE: Final = 0.05
_JSON: Final = "application/json"


class FaultOrder(BaseModel):
    """Body of POST /_sandbox/faults. What is left out fits every call; S3 has to be named as the vendor."""

    model_config = ConfigDict(extra="forbid")

    vendor: str | None = Field(default=None, description="name of a vendor, or s3")
    operation: str | None = Field(default=None, description="operation as the journal names it")
    method: str | None = None
    path: str | None = Field(
        default=None,
        description="regular expression for the whole path, with the vendor's mount and without the query; "
        "for S3, for the key or for /bucket/key",
    )
    action: Literal["answer", "drop", "delay"] = "answer"
    when: Literal["before", "after"] = Field(
        default="before", description="after: the vendor does it first, then its answer is replaced"
    )
    status: int = Field(default=500, ge=200, le=599, description="of the answer")
    body: Any = Field(
        default=None,
        description="text as it is, anything else as JSON; left out: the vendor's own error shape for the status",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="added to those of the answer")
    seconds: float = Field(default=1.0, ge=0, description="of the delay, on the machine's clock")
    times: int = Field(default=1, ge=1, description="calls that get it")
    skip: int = Field(default=0, ge=0, description="fitting calls let pass before")

    @field_validator("path")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return value


class FaultLine(FaultOrder):
    """An item of GET /_sandbox/faults."""

    id: int
    times: int = Field(description="calls that will still get it")
    skip: int = Field(description="fitting calls that will still pass before")


@dataclass
class Fault:
    """An order in hand."""

    id: int
    order: FaultOrder
    skip: int
    left: int
    pattern: re.Pattern[str] | None = field(repr=False)

    def fits(self, vendor: str, operation: str | None, method: str, paths: Sequence[str]) -> bool:
        """Tell whether a call is one of those meant."""
        order = self.order
        if order.vendor is None and vendor == S3:
            return False
        return (
            order.vendor in {None, vendor}
            and (order.operation is None or order.operation == operation)
            and (order.method is None or order.method.upper() == method.upper())
            and (self.pattern is None or any(self.pattern.fullmatch(path) for path in paths))
        )

    def note(self, status: int | None = None) -> FaultNote:
        """Return what the journal is to say about a call that got this.

        :param status: the HTTP status the caller got instead of the vendor's; None when it got no other.
        """
        return FaultNote(id=self.id, action=self.order.action, when=self.order.when, status=status)


class FaultBook:
    """All orders not yet carried out."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._next_id = 1
        self._lock = threading.Lock()
        self._cleared = 0

    def add(self, order: FaultOrder) -> FaultLine:
        """Take an order."""
        with self._lock:
            pattern = re.compile(order.path) if order.path is not None else None
            fault = Fault(self._next_id, order, order.skip, order.times, pattern)
            self._next_id += 1
            self._faults.append(fault)
            return _line(fault)

    def take(self, *, vendor: str, operation: str | None, method: str, paths: Sequence[str]) -> Fault | None:
        """Return the fault that this call gets, and count it; None for a call that is left alone."""
        with self._lock:
            for fault in self._faults:
                if not fault.fits(vendor, operation, method, paths):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.left -= 1
                if not fault.left:
                    self._faults.remove(fault)
                return fault
            return None

    def lines(self) -> list[FaultLine]:
        """Return what is left, oldest first."""
        with self._lock:
            return [_line(fault) for fault in self._faults]

    def clear(self) -> int:
        """Forget all orders and end all delays; return how many orders there were."""
        with self._lock:
            count = len(self._faults)
            self._faults.clear()
            self._cleared += 1
            return count

    def delay(self, seconds: float) -> Callable[[], float]:
        """Begin a delay.

        :returns: what to call before each short sleep: its length in seconds, 0 when the delay is over.
        """
        end, cleared = time.monotonic() + seconds, self._cleared

        def pause() -> float:
            return 0.0 if self._cleared != cleared else min(_SLICE, max(0.0, end - time.monotonic()))

        return pause


def _line(fault: Fault) -> FaultLine:
    changes = {"id": fault.id, "times": fault.left, "skip": fault.skip}
    return FaultLine.model_validate({**fault.order.model_dump(), **changes})


def answer_of(order: FaultOrder, error: Callable[[int], ErrorAnswer]) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an ordered answer.

    :param error: gives the vendor's own answer for a status.
    """
    if "body" in order.model_fields_set:
        text = isinstance(order.body, str)
        body = order.body if text else json.dumps(order.body)
        headers = {"content-type": "text/plain; charset=utf-8" if text else _JSON}
        encoded = str(body).encode()
    else:
        own = error(order.status)
        encoded, headers = own.body, dict(own.headers)
    headers.update({name.lower(): value for name, value in order.headers.items()})
    return order.status, headers, encoded


class Connection:
    """The outermost layer: gives the layers inside a way to cut the connection.

    ASGI knows no such thing, so this takes hold of uvicorn's transport by way of its ``send``.
    """

    SCOPE_KEY: Final = "sandbox.cut"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            transport = getattr(getattr(send, "__self__", None), "transport", None)

            async def cut() -> None:
                if transport is None:
                    raise RuntimeError("this server has no connection to cut")
                transport.close()
                while (await receive())["type"] != "http.disconnect":
                    pass

            scope[self.SCOPE_KEY] = cut
        await self._app(scope, receive, send)


class FaultMiddleware:
    """Carries out the faults for the vendors' APIs. Stands inside the journal, so that the journal sees them."""

    def __init__(self, app: ASGIApp, book: FaultBook, vendors: Sequence[Vendor], admin_prefix: str) -> None:
        self._app = app
        self._book = book
        self._vendors = sorted(vendors, key=lambda vendor: -len(vendor.mount))
        self._admin_prefix = admin_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"].startswith(self._admin_prefix):
            await self._app(scope, receive, send)
            return
        vendor = self._vendor(scope["path"])
        operation = vendor.operation_of(scope["method"], scope["path"].removeprefix(vendor.mount))
        fault = self._book.take(
            vendor=vendor.name, operation=operation, method=scope["method"], paths=[scope["path"]]
        )
        if fault is None:
            await self._app(scope, receive, send)
            return
        details = scope["sandbox.call"]
        details.fault = fault.note(fault.order.status if fault.order.action == "answer" else None)
        if fault.order.when == "before":
            if fault.order.action == "delay":
                await self._sleep(fault.order.seconds)
                await self._app(scope, receive, send)
                return
            details.vendor, details.operation, details.success = vendor.name, operation, False
            details.message = "fault"
            # all of it, or a sender of something long would see a reset instead of what was ordered
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
            if fault.order.action == "drop":
                details.note(0)
        else:
            held = await self._hold(scope, receive)
            details.note(next((item["status"] for item in held if "status" in item), 500))
            if fault.order.action == "delay":
                await self._sleep(fault.order.seconds)
                for message in held:
                    await send(message)
                return
        if fault.order.action == "drop":
            await scope[Connection.SCOPE_KEY]()
        else:
            await _send(send, *answer_of(fault.order, vendor.error))

    def _vendor(self, path: str) -> Vendor:
        for item in self._vendors:
            if path == item.mount or path.startswith(f"{item.mount}/"):
                return item
        # "OPTIONS *", for one: what no mount takes goes to the root, the last
        return self._vendors[-1]

    async def _hold(self, scope: Scope, receive: Receive) -> list[Message]:
        held: list[Message] = []

        async def keep(message: Message) -> None:
            held.append(message)

        await self._app(scope, receive, keep)
        return held

    async def _sleep(self, seconds: float) -> None:
        pause = self._book.delay(seconds)
        while length := pause():
            await asyncio.sleep(length)


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    headers = {**headers, "content-length": str(len(body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
