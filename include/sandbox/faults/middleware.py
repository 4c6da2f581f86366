"""Faults for the vendors' APIs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.api import CallDetails, call_details
from sandbox.exchanges import Exchange
from sandbox.faults.answers import build_answer, change, has_body
from sandbox.faults.book import API, Fault, FaultBook
from sandbox.faults.orders import FaultOrder
from sandbox.faults.transport import Connection
from sandbox.vendor import Vendor

_POLL_INTERVAL: Final = 0.02


@dataclass
class _FaultyCall:
    """A call that gets a fault."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    book: FaultBook
    vendor: Vendor
    operation: str | None
    fault: Fault
    exchange: Exchange
    details: CallDetails

    @property
    def order(self) -> FaultOrder:
        """The order of the fault."""
        return self.fault.order

    async def handle(self) -> None:
        """Apply the fault."""
        self.details.fault = self.exchange.fault = self.fault.note()
        await {"before": self._before, "during": self._during, "after": self._after}[self.order.when]()

    async def _before(self) -> None:
        action = self.order.action
        if action in {"delay", "hold"}:
            messages = await _read(self.receive)
            if await self._wait():
                await self.app(self.scope, _replay(messages, self.receive), self.send)
            else:
                self._not_done(0)
                await self._end(reset=False)
            return
        if action == "expire" and self.vendor.expire_sessions:
            self.vendor.expire_sessions()
            await self.app(self.scope, self.receive, self.send)
            return
        # the whole body, or the sender of a long one would get a reset instead of the ordered answer
        await _read(self.receive)
        if action in {"drop", "reset"}:
            self._not_done(0)
            await self._end(reset=action == "reset")
            return
        self._not_done(None)
        if action == "expire":
            # a vendor without sessions refuses its key, for this one call
            status = HTTPStatus.UNAUTHORIZED.value
            self.details.fault = self.exchange.fault = self.fault.note(status)
            own = self.vendor.error(status)
            await self._send(status, dict(own.headers), own.body)
        else:
            await self._send(*build_answer(self.order, self.vendor.error))

    async def _during(self) -> None:
        length = Headers(scope=self.scope).get("content-length", "0")
        half, read = int(length) / 2, 0
        while read < half:
            message = await self.receive()
            read += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        self._not_done(0)
        await self._end(reset=True)

    async def _after(self) -> None:
        action = self.order.action
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self.app(self.scope, self.receive, keep)
        status = next((item["status"] for item in kept if "status" in item), 500)
        self.details.note(status)
        if action == "change":
            await self._change(status, kept)
        elif action == "answer":
            await self._send(*build_answer(self.order, self.vendor.error))
        elif action in {"drop", "reset"} or (action in {"delay", "hold"} and not await self._wait()):
            await self._end(reset=action == "reset")
        else:
            if action == "expire" and self.vendor.expire_sessions:
                self.vendor.expire_sessions()
            for message in kept:
                await self.send(message)

    async def _change(self, status: int, kept: list[Message]) -> None:
        encoded: list[tuple[bytes, bytes]] = next((item["headers"] for item in kept if "headers" in item), [])
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in encoded}
        body = b"".join(item.get("body", b"") for item in kept)
        changed = change(self.order, status, headers, body)
        if self.order.set or self.order.remove:
            self.exchange.changed = changed.places
        await self._send(changed.status, dict(changed.headers), changed.body, more_body=changed.closes)
        if changed.closes:
            await self.scope[Connection.CLOSE_KEY]()

    async def _end(self, *, reset: bool) -> None:
        """End the connection without an answer."""
        self.book.before_answer(API)
        await self.scope[Connection.RESET_KEY if reset else Connection.CLOSE_KEY]()

    async def _wait(self) -> bool:
        """Hold the call; return whether it proceeds."""
        gone = asyncio.ensure_future(_caller_gone(self.receive))
        with self.book.hold(self.fault, self.exchange.number) as wait:
            try:
                while length := wait():
                    if not gone.done():
                        await asyncio.wait({gone}, timeout=length)
                    elif self.order.ends_abandoned:
                        break
                    else:
                        await asyncio.sleep(length)
            finally:
                gone.cancel()
                with suppress(asyncio.CancelledError):
                    await gone
        return self.fault.proceeds(wait, gone=gone.done() and not gone.cancelled())

    def _not_done(self, status: int | None) -> None:
        """Note a call that the vendor does not get; with a status, write the entry at once."""
        details = self.details
        details.vendor, details.operation, details.success = self.vendor.name, self.operation, False
        details.message = "fault"
        if status is not None:
            details.note(status)

    async def _send(
        self, status: int, headers: dict[str, str], body: bytes, *, more_body: bool = False
    ) -> None:
        if has_body(status):
            headers = {"content-length": str(len(body)), **headers}
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body, "more_body": more_body})


class FaultMiddleware:
    """Numbers every call, and applies its fault. Inside the journal, so that the journal records it."""

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
        path = scope["path"]
        mounted = (item for item in self._vendors if path == item.mount or path.startswith(f"{item.mount}/"))
        # the root, the last, gets all other paths, such as that of "OPTIONS *"
        vendor = next(mounted, self._vendors[-1])
        operation = vendor.operation_of(scope["method"], path.removeprefix(vendor.mount))
        exchange, fault = self._book.arrive(
            vendor=vendor.name,
            operation=operation,
            method=scope["method"],
            path=path,
            query=scope["query_string"].decode("latin-1"),
            paths=[path],
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
            details = call_details(scope)
            await _FaultyCall(
                self._app, scope, receive, answer, self._book, vendor, operation, fault, exchange, details
            ).handle()
        finally:
            self._book.exchanges.end(exchange)


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

    async def next_message() -> Message:
        return left.popleft() if left else await receive()

    return next_message


async def _caller_gone(receive: Receive) -> None:
    """Return when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(_POLL_INTERVAL)
