"""Transport faults that ASGI does not support: closing, resetting and refusing connections.

Requires uvicorn on asyncio's own loop with the h11 protocol, as :class:`ApiServer` configures it.
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


def reset_on_close(connection: Any) -> None:
    """Make the later close of a connection send a reset (RST) instead of an end (FIN)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """Outermost middleware: lets the inner ones end the connection.

    ASGI has no message for that, so this uses uvicorn's transport, which it gets from uvicorn's ``send``.
    """

    CLOSE_KEY: Final = "sandbox.close"
    """Close the connection after the data sent so far."""
    RESET_KEY: Final = "sandbox.reset"
    """Reset the connection; data that has not arrived is lost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            transport = getattr(getattr(send, "__self__", None), "transport", None)

            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

            async def close() -> None:
                _needed(transport).close()
                await gone()

            async def reset() -> None:
                connection = _needed(transport)
                reset_on_close(connection.get_extra_info("socket"))
                connection.abort()
                await gone()

            scope[self.CLOSE_KEY], scope[self.RESET_KEY] = close, reset
        await self._app(scope, receive, send)


def _needed(transport: Any) -> Any:
    if transport is None:
        raise RuntimeError("Cannot end the connection: this server does not expose it")
    return transport


def bind_socket(family: int, address: Any) -> socket.socket:
    """Return a socket bound to an address but not listening: it reserves the port and refuses connections.

    :raises OSError: the port is in use, or the address not of this machine.
    """
    # explicitly TCP, or asyncio does not switch Nagle's algorithm off, which costs 40 ms a call
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


class ApiServer(uvicorn.Server):
    """The API's server. Its API port can be closed and opened again; the admin port stays open."""

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
        """Start to listen on its own two sockets."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=list(self._sockets))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Stop to listen, and free a port that is only reserved."""
        if self._parked is not None:
            self._parked.close()
        await super().shutdown(sockets=list(self._sockets))

    def close(self) -> None:
        """Refuse new connections, and end idle ones. Any thread may call this."""
        self._in_loop(self._close)

    def open(self) -> None:
        """Accept connections again. Any thread except the loop's own may call this."""
        self._in_loop(self._open)

    def _in_loop(self, action: Callable[[], Awaitable[None] | None]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if _running_loop() is loop:
            # only _close, which awaits nothing
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
        self._parked = bind_socket(self._family, self._address)
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
    """The port of a server with its own loop (S3's), which polls the same file descriptor all the time."""

    def __init__(self, listener: socket.socket) -> None:
        # a closed port polls as readable, so that the server accepts without a connection to accept
        listener.setblocking(False)
        self._listener = listener
        self._lock = threading.Lock()
        self.listening = threading.Event()
        """Set while the port is open."""
        self.listening.set()

    def close(self) -> None:
        """Refuse new connections."""
        with self._lock:
            if not self.listening.is_set():
                return
            self.listening.clear()
            address = self._listener.getsockname()
            # the poll of the server's loop keeps the socket alive and listening until a shutdown
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            with socket.socket(self._listener.family, socket.SOCK_STREAM) as replacement:
                replacement.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                replacement.setblocking(False)
                # closes the listening socket, and replaces it by a new one
                os.dup2(replacement.fileno(), self._listener.fileno(), inheritable=False)
            self._listener.bind(address)

    def open(self) -> None:
        """Accept connections again."""
        with self._lock:
            if not self.listening.is_set():
                self._listener.listen(_BACKLOG)
                self.listening.set()
