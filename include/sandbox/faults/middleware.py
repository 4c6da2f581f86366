"""Carries out the faults for the vendors' APIs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.exchanges import Exchange
from sandbox.faults.answers import answer_of, change, has_body
from sandbox.faults.book import API, Fault, FaultBook
from sandbox.faults.transport import Connection
from sandbox.vendor import Vendor

_PAUSE: Final = 0.02


@dataclass
class _Call:
    """A call with a fault in store for it."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    vendor: Vendor
    operation: str | None
    fault: Fault
    exchange: Exchange
    details: Any
    kept: list[Message] = field(default_factory=list)
    """The vendor's answer."""

    async def cut(self, *, reset: bool) -> None:
        """End the connection without an answer."""
        await self.scope[Connection.RESET_KEY if reset else Connection.SCOPE_KEY]()

    async def work(self) -> int:
        """Have the vendor do it, keep its answer, and return the answer's status."""

        async def keep(message: Message) -> None:
            self.kept.append(message)

        await self.app(self.scope, self.receive, keep)
        return next((item["status"] for item in self.kept if "status" in item), 500)

    async def give(self) -> None:
        """Send the answer that was kept."""
        for message in self.kept:
            await self.send(message)

    def body(self) -> bytes:
        """Return the body that was kept."""
        return b"".join(item.get("body", b"") for item in self.kept)

    def headers(self) -> dict[str, str]:
        """Return the headers that were kept."""
        raw: list[tuple[bytes, bytes]] = next(
            (item["headers"] for item in self.kept if "headers" in item), []
        )
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


class FaultMiddleware:
    """Numbers every call, and carries out its fault. Stands inside the journal, so that the journal sees it."""

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
        exchange, fault = self._book.arrive(
            vendor=vendor.name,
            operation=operation,
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            paths=[scope["path"]],
        )

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                if self._book.before_answer(API):
                    message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        try:
            if fault is None:
                await self._app(scope, receive, answer)
                return
            details = scope["sandbox.call"]
            answered = fault.order.action == "answer" or (
                fault.order.action == "change" and "status" in fault.order.model_fields_set
            )
            details.fault = exchange.fault = fault.note(fault.order.status if answered else None)
            call = _Call(self._app, scope, receive, answer, vendor, operation, fault, exchange, details)
            await {"before": self._before, "during": self._during, "after": self._after}[fault.order.when](
                call
            )
        finally:
            self._book.exchanges.end(exchange)

    def _vendor(self, path: str) -> Vendor:
        for item in self._vendors:
            if path == item.mount or path.startswith(f"{item.mount}/"):
                return item
        # "OPTIONS *", for one: what no mount takes goes to the root, the last
        return self._vendors[-1]

    async def _before(self, call: _Call) -> None:
        action = call.fault.order.action
        if action in {"delay", "hold"}:
            messages = await _read(call.receive)
            if await self._wait(call):
                await call.app(call.scope, _replay(messages, call.receive), call.send)
            else:
                _not_done(call, 0)
                await self._end(call, reset=False)
            return
        if action == "expire" and call.vendor.has_sessions:
            call.vendor.expire_sessions()
            await call.app(call.scope, call.receive, call.send)
            return
        # all of it, or a sender of something long would see a reset instead of what was ordered
        await _read(call.receive)
        if action in {"drop", "reset"}:
            _not_done(call, 0)
            await self._end(call, reset=action == "reset")
        elif action == "expire":
            await self._refuse_key(call)
        else:
            _not_done(call, None)
            await self._answer(call)

    async def _during(self, call: _Call) -> None:
        length = Headers(scope=call.scope).get("content-length", "0")
        half, read = int(length) / 2, 0
        while read < half:
            message = await call.receive()
            read += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        _not_done(call, 0)
        await self._end(call, reset=True)

    async def _after(self, call: _Call) -> None:
        action = call.fault.order.action
        status = await call.work()
        call.details.note(status)
        if action in {"delay", "hold"}:
            if await self._wait(call):
                await call.give()
            else:
                await self._end(call, reset=False)
        elif action == "expire":
            call.vendor.expire_sessions()
            await call.give()
        elif action == "change":
            await self._change(call, status)
        elif action in {"drop", "reset"}:
            await self._end(call, reset=action == "reset")
        else:
            await self._answer(call)

    async def _answer(self, call: _Call) -> None:
        await _send(call.send, *answer_of(call.fault.order, call.vendor.error))

    async def _refuse_key(self, call: _Call) -> None:
        """A vendor without sessions: its key is not good, for this one call."""
        own = call.vendor.error(HTTPStatus.UNAUTHORIZED)
        call.details.fault = call.exchange.fault = call.fault.note(HTTPStatus.UNAUTHORIZED.value)
        _not_done(call, None)
        await _send(call.send, HTTPStatus.UNAUTHORIZED.value, dict(own.headers), own.body)

    async def _change(self, call: _Call, status: int) -> None:
        changed = change(call.fault.order, status, call.headers(), call.body())
        if call.fault.order.set or call.fault.order.remove:
            call.exchange.changed = changed.places
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in changed.headers]
        await call.send({"type": "http.response.start", "status": changed.status, "headers": raw})
        await call.send({"type": "http.response.body", "body": changed.body, "more_body": changed.closes})
        if changed.closes:
            await call.cut(reset=False)

    async def _end(self, call: _Call, *, reset: bool) -> None:
        self._book.before_answer(API)
        await call.cut(reset=reset)

    async def _wait(self, call: _Call) -> bool:
        """Hold a call up; tell whether it is to go on."""
        order = call.fault.order
        wait = self._book.hold(call.fault, call.exchange.number)
        gone = asyncio.ensure_future(_gone(call.receive))
        try:
            while length := wait():
                if not gone.done():
                    await asyncio.wait({gone}, timeout=length)
                elif order.ends_abandoned:
                    break
                else:
                    await asyncio.sleep(length)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone
            self._book.let_go(call.fault, call.exchange.number)
        lost = gone.done() and not gone.cancelled()
        # what the vendor has done already is answered, though nobody may be there to hear it
        return not wait.dropped and (order.when == "after" or not (lost and order.ends_abandoned))


def _not_done(call: _Call, status: int | None) -> None:
    """Tell the journal of a call that the vendor never sees; with a status, at once."""
    details = call.details
    details.vendor, details.operation, details.success = call.vendor.name, call.operation, False
    details.message = "fault"
    if status is not None:
        details.note(status)


async def _read(receive: Receive) -> list[Message]:
    """Read the whole body, as messages."""
    messages = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body"):
            return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    left = deque(messages)

    async def again() -> Message:
        return left.popleft() if left else await receive()

    return again


async def _gone(receive: Receive) -> None:
    """Return when the caller has gone."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(_PAUSE)


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    if has_body(status):
        headers = {**headers, "content-length": str(len(body))}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
