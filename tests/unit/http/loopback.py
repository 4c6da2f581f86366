"""HTTP server on the loopback interface with scripted answers, good or bad."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int = 200
    body: Any = None
    """Text or bytes as they are, all else as JSON, ``None``: empty."""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    """A ``Content-Length`` that may be a lie."""

    def payload(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class Reset:
    """Close the connection with a TCP reset, after the request was read."""


class Hang:
    """Say nothing until the server closes."""


class Noise:
    """Bytes that are no TLS, in the middle of a TLS connection."""


Action = Reply | Reset | Hang | Noise
Script = Callable[[Seen], Action]


class Loopback:
    """Runs while the ``with`` block does.

    :param script: called with each request, in the thread that serves it.
    :param tls: serve https.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self._closing = closing = threading.Event()
        self._arrival = arrival = threading.Condition()
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one packet: apart, the second waits 40 ms for the client's acknowledgement.
            wbufsize = -1
            disable_nagle_algorithm = True

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Seen(self.command, self.path, dict(self.headers.items()), body)
                with arrival:
                    seen.append(request)
                    arrival.notify_all()
                action = script(request)
                if isinstance(action, Reply):
                    self.answer(action)
                    return
                self.close_connection = True
                if isinstance(action, Hang):
                    closing.wait()
                elif isinstance(action, Reset):
                    # Zero seconds of linger: the kernel sends RST instead of FIN.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                else:
                    with socket.socket(fileno=socket.dup(self.connection.fileno())) as below:
                        below.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)

            def answer(self, reply: Reply) -> None:
                payload = reply.payload()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if "Content-Type" not in reply.headers:
                    self.send_header("Content-Type", "application/json")
                self.send_header(
                    "Content-Length", str(len(payload) if reply.length is None else reply.length)
                )
                self.end_headers()
                self.wfile.write(payload)
                self.wfile.flush()
                self.close_connection = reply.length is not None

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve  # noqa: N815 - the names http.server wants

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args: object) -> None:
                """A client that goes away is what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def arrived(self, count: int) -> list[Seen]:
        """Wait until so many requests have arrived: a client may give up before its request is read."""
        with self._arrival:
            assert self._arrival.wait_for(lambda: len(self.seen) >= count, timeout=60)
        return self.seen

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
