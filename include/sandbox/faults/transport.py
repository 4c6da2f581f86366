"""What HTTP frameworks have no word for: cutting and resetting connections, and refusing them.

Made for uvicorn on asyncio's own loop with the h11 protocol, which :class:`ApiServer` insists on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

_TIMEOUT: Final = 10.0
_BACKLOG: Final = 2048


def linger_none(connection: Any) -> None:
    """Have the connection end with a reset (RST) instead of an end (FIN) when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """The outermost layer: gives the layers inside ways to end the connection.

    ASGI knows no such thing, so this takes hold of uvicorn's transport by way of its ``send``.
    """

    SCOPE_KEY: Final = "sandbox.cut"
    """Close the connection behind what was sent."""
    RESET_KEY: Final = "sandbox.reset"
    """Reset the connection; what was sent and has not arrived is lost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            transport = getattr(getattr(send, "__self__", None), "transport", None)

            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            async def cut() -> None:
                _needed(transport).close()
                await gone()

            async def reset() -> None:
                found = _needed(transport)
                linger_none(found.get_extra_info("socket"))
                found.abort()
                await gone()

            scope[self.SCOPE_KEY], scope[self.RESET_KEY] = cut, reset
        await self._app(scope, receive, send)


def _needed(transport: Any) -> Any:
    if transport is None:
        raise RuntimeError("this server has no connection to cut")
    return transport


def bound(family: int, address: Any) -> socket.socket:
    """Return a socket bound to an address but not listening: connections are refused, and the port stays ours.

    :raises OSError: the port is taken, or the address not ours.
    """
    # named as TCP, or asyncio would not switch Nagle's algorithm off, which costs 40 ms a call
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


class ApiServer(uvicorn.Server):
    """The API's server: it can close its port for a while. The admin API has a port of its own, always open."""

    def __init__(self, app: ASGIApp, api: socket.socket, admin: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._sockets = api, admin
        self._family, self._address = api.family, api.getsockname()
        self._parked: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Begin to listen, on its own two sockets."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=list(self._sockets))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Stop listening, also where only the port was kept."""
        if self._parked is not None:
            self._parked.close()
        await super().shutdown(sockets=list(self._sockets))

    def close(self) -> None:
        """Refuse connections from now on, and end those that nothing is going on in. Of any thread."""
        self._in_loop(self._close)

    def open(self) -> None:
        """Take connections again. Of any thread but the loop's own."""
        self._in_loop(self._open)

    def _in_loop(self, action: Callable[[], Awaitable[None] | None]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if _running_loop() is loop:
            # only ever _close, which does not wait for anything
            action()
            return

        async def run() -> None:
            waiting = action()
            if waiting is not None:
                await waiting

        future: Future[None] = asyncio.run_coroutine_threadsafe(run(), loop)
        future.result(_TIMEOUT)

    def _close(self) -> None:
        if self._parked is not None or self.should_exit:
            return
        # the first of the two is the API's
        self.servers[0].close()
        self._parked = bound(self._family, self._address)
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            if connection.server and connection.server[1] == self._address[1]:
                connection.shutdown()

    async def _open(self) -> None:
        parked, self._parked = self._parked, None
        if parked is None or self.should_exit:
            return
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            made: Any = self.config.http_protocol_class
            protocol: asyncio.Protocol = made(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
            )
            return protocol

        self.servers[0] = await loop.create_server(protocol, sock=parked, backlog=_BACKLOG)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class ListeningPort:
    """The port of a server with a loop of its own (S3's), which keeps polling one and the same file descriptor."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self.listening = threading.Event()
        """Set while the port is open."""
        self.listening.set()

    def close(self) -> None:
        """Refuse connections from now on."""
        with self._lock:
            if not self.listening.is_set():
                return
            self.listening.clear()
            address = self._listener.getsockname()
            # whoever polls it keeps the socket alive below us, and listening, unless it is told to stop
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            with socket.socket(self._listener.family, socket.SOCK_STREAM) as fresh:
                fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # the listening socket is closed by this, and a new one stands in its place
                os.dup2(fresh.fileno(), self._listener.fileno(), inheritable=False)
            self._listener.bind(address)

    def open(self) -> None:
        """Take connections again."""
        with self._lock:
            if not self.listening.is_set():
                self._listener.listen(_BACKLOG)
                self.listening.set()
