"""An S3 endpoint that swallows bytes: as much of the protocol as an upload needs, as cheap as can be.

It shares the machine with the measured process, so it has no framework, parses next to nothing and discards bodies
unread. It keeps only their number, which ``GET /swallowed`` returns.

    python -m benchmarks.sink

prints the port on 127.0.0.1 and serves until it is ended.
"""

from __future__ import annotations

import re
import socket
import sys
import threading

_BUFFER = 1024 * 1024
# Linux can drop received bytes instead of copying them.
_DROP = socket.MSG_TRUNC if sys.platform == "linux" else 0
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:\s*100-continue", re.IGNORECASE)
_ETAG = b'"00000000000000000000000000000000"'
_ID = b"<UploadId>1</UploadId>"


class Sink:
    """Counts the bytes of objects and parts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._swallowed = 0

    def serve(self, listener: socket.socket) -> None:
        """Serve each connection in a thread, for ever."""
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection: socket.socket) -> None:
        buffer = bytearray(_BUFFER)
        pending = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in pending:
                    more = connection.recv(65536)
                    if not more:
                        return
                    pending += more
                head, _, pending = pending.partition(b"\r\n\r\n")
                found = _LENGTH.search(head)
                length = int(found[1]) if found else 0
                if _EXPECT.search(head):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                missing = length - len(pending)
                pending = pending[length:] if missing < 0 else b""
                while missing > 0:
                    taken = connection.recv_into(buffer, min(missing, _BUFFER), _DROP)
                    if not taken:
                        return
                    missing -= taken
                method, target, _ = head.split(b" ", 2)
                connection.sendall(self._answer(method, target, length))

    def _answer(self, method: bytes, target: bytes, length: int) -> bytes:  # noqa: PLR0911 (one per request)
        path, _, query = target.partition(b"?")
        if method == b"GET" and path == b"/swallowed":
            with self._lock:
                return _response(b"200 OK", b"%d" % self._swallowed)
        if method == b"PUT":  # UploadPart and PutObject
            with self._lock:
                self._swallowed += length
            return _response(b"200 OK", headers=b"ETag: " + _ETAG + b"\r\n")
        if method == b"POST" and query.startswith(b"uploads"):
            return _response(b"200 OK", _xml(b"InitiateMultipartUploadResult", _ID))
        if method == b"POST":
            return _response(
                b"200 OK", _xml(b"CompleteMultipartUploadResult", b"<ETag>" + _ETAG + b"</ETag>")
            )
        if method == b"DELETE":
            return _response(b"204 No Content")
        if method == b"GET" and b"uploads" in query:
            return _response(
                b"200 OK", _xml(b"ListMultipartUploadsResult", b"<IsTruncated>false</IsTruncated>")
            )
        if method == b"HEAD" and path.strip(b"/").count(b"/") == 0:  # the bucket
            return _response(b"200 OK")
        return _response(b"404 Not Found")


def _response(status: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def _xml(name: bytes, content: bytes) -> bytes:
    return (
        b'<?xml version="1.0" encoding="UTF-8"?><%b xmlns="http://s3.amazonaws.com/doc/2006-03-01/">%b</%b>'
        % (name, content, name)
    )


def main() -> None:
    """Serve on a free port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        Sink().serve(listener)


if __name__ == "__main__":
    main()
