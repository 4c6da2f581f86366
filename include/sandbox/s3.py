"""A real S3 endpoint: moto's server on a port of its own, in this process."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

from sandbox.bucket import INTERNAL_ACCESS_KEY
from sandbox.faults import S3, Fault, FaultBook, answer_of
from sandbox.journal import FaultNote, Journal
from sandbox.presigned import S3RefusedError, check, is_presigned, refuse_second_signature
from sandbox.vendor import ErrorAnswer

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
_SPOOL_BYTES = str(1 << 20)
_DRAIN_CHUNK = 1 << 20
_READ_ONLY = frozenset({"GET", "HEAD", "OPTIONS"})

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass(frozen=True)
class UploadAccess:
    """A bucket that only presigned addresses lead into, and the access key they are signed with."""

    bucket: str
    access_key: str
    secret: str = field(repr=False)


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: one line per request would bury the sandbox's own output."""


class _Gate:
    """Stands before moto: checks what moto does not, carries out faults, and notes every write.

    Access keys are checked, each for its buckets; signatures and expiry only in presigned addresses
    (:mod:`sandbox.presigned` says what exactly).
    """

    def __init__(
        self,
        app: Any,
        *,
        secrets: Mapping[str, str],
        uploads: UploadAccess,
        journal: Journal,
        faults: FaultBook,
        on_write: Callable[[], None],
    ) -> None:
        self._app = app
        self._secrets = {**secrets, uploads.access_key: uploads.secret}
        self._uploads = uploads
        self._journal = journal
        self._faults = faults
        self._on_write = on_write

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = str(environ["REQUEST_METHOD"])
        access_key = _access_key(environ)
        if access_key == INTERNAL_ACCESS_KEY:
            body: Iterable[bytes] = self._app(environ, start_response)
            if method not in _READ_ONLY:
                self._on_write()
            return body
        bucket, _, key = environ.get("PATH_INFO", "").lstrip("/").partition("/")
        request = _Request(environ, method, bucket, key, _operation(environ, key))
        fault = self._faults.take(
            vendor=S3, operation=request.operation, method=method, paths=[key, f"/{bucket}/{key}"]
        )
        if fault is not None:
            return self._with_fault(request, fault, start_response, access_key)
        answer = self._answer(request, access_key)
        self._written(request, answer)
        return answer.give(start_response)

    def _answer(self, request: _Request, access_key: str | None) -> _Answer:
        """Have the request done, or refuse it."""
        try:
            self._check(request, access_key)
        except S3RefusedError as error:
            _drain(request.environ)
            return _refusal(error)
        answer = _Answer()

        def take(line: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            answer.line, answer.headers = line, headers
            return lambda _: None

        answer.body = self._app(request.environ, take)
        return answer

    def _check(self, request: _Request, access_key: str | None) -> None:
        query = dict(parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True))
        presigned = is_presigned(query)
        if presigned:
            # before the key: that a second signature came along is what a sender has to learn
            refuse_second_signature(request.environ)
        if access_key is None:
            raise S3RefusedError(403, "AccessDenied", "Access Denied")
        if access_key not in self._secrets:
            raise S3RefusedError(403, "InvalidAccessKeyId", "The access key does not exist in the sandbox")
        if (request.bucket == self._uploads.bucket) != (access_key == self._uploads.access_key):
            raise S3RefusedError(403, "AccessDenied", "Access Denied")
        if presigned:
            check(request.environ, self._secrets[access_key], datetime.now(timezone.utc))
        elif access_key == self._uploads.access_key:
            # nobody outside has its secret, and signatures in headers are not verified here
            raise S3RefusedError(403, "AccessDenied", "Access Denied")

    def _with_fault(
        self, request: _Request, fault: Fault, start_response: StartResponse, access_key: str | None
    ) -> Iterable[bytes]:
        order = fault.order
        note = fault.note(order.status if order.action == "answer" else None)
        if order.when == "before":
            if order.action == "delay":
                self._sleep(order.seconds)
                answer = self._answer(request, access_key)
                self._written(request, answer, note)
                return answer.give(start_response)
            _drain(request.environ)
            self._note(request, order.status if order.action == "answer" else 0, fault=note)
        else:
            answer = self._answer(request, access_key)
            # before anything is said about it, it has to be done
            answer.body = list(answer.body)
            self._written(request, answer, note)
            if order.action == "delay":
                self._sleep(order.seconds)
                return answer.give(start_response)
        if order.action == "drop":
            connection: socket.socket = request.environ["werkzeug.socket"]
            connection.shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("cut off by a fault")
        status, headers, body = answer_of(order, _error)
        # a body ends where its length says: the connection may be used again
        headers["content-length"] = str(len(body))
        start_response(f"{status} {_phrase(status)}", list(headers.items()))
        return [body]

    def _written(self, request: _Request, answer: _Answer, fault: FaultNote | None = None) -> None:
        # after the app has answered, so that the write is there when someone looks
        self._note(request, answer.status, message=answer.refusal, fault=fault)
        if request.method not in _READ_ONLY:
            self._on_write()

    def _note(
        self,
        request: _Request,
        status: int,
        *,
        message: str | None = None,
        fault: FaultNote | None = None,
    ) -> None:
        if request.method in _READ_ONLY:
            return
        environ = request.environ
        length = environ.get("CONTENT_LENGTH")
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        self._journal.s3(
            operation=request.operation,
            method=request.method,
            bucket=request.bucket,
            key=request.key,
            http_status=status,
            success=0 < status < HTTPStatus.BAD_REQUEST,
            size=int(length) if length else None,
            if_none_match=environ.get("HTTP_IF_NONE_MATCH"),
            presigned=is_presigned(query),
            authorization="HTTP_AUTHORIZATION" in environ,
            message=message,
            fault=fault,
        )

    def _sleep(self, seconds: float) -> None:
        pause = self._faults.delay(seconds)
        while length := pause():
            time.sleep(length)


@dataclass(frozen=True)
class _Request:
    environ: Environ
    method: str
    bucket: str
    key: str
    operation: str


@dataclass
class _Answer:
    line: str = "500 Internal Server Error"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Iterable[bytes] = ()
    refusal: str | None = None

    @property
    def status(self) -> int:
        return int(self.line.split(" ", 1)[0])

    def give(self, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.line, self.headers)
        return self.body


def _access_key(environ: Environ) -> str | None:
    header = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return header.group(1) if header else _query_key(environ)


def _query_key(environ: Environ) -> str | None:
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    presigned = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId")
    return presigned.split("/")[0] if presigned else None


def _operation(environ: Environ, key: str) -> str:
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    upload, method = "uploadId" in query, str(environ["REQUEST_METHOD"])
    names = {
        "PUT": "UploadPart"
        if upload
        else "CopyObject"
        if "HTTP_X_AMZ_COPY_SOURCE" in environ
        else "PutObject",
        "POST": "CreateMultipartUpload"
        if "uploads" in query
        else "CompleteMultipartUpload"
        if upload
        else "POST",
        "DELETE": "AbortMultipartUpload" if upload else "DeleteObject",
    }
    if not key:
        names = {"PUT": "CreateBucket", "POST": "DeleteObjects" if "delete" in query else "POST"}
        names["DELETE"] = "DeleteBucket"
    return names.get(method, method)


def _drain(environ: Environ) -> None:
    """Read what was sent, so that the sender sees the answer and not a reset."""
    stream = get_input_stream(environ)
    while stream.read(_DRAIN_CHUNK):
        pass


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _error(status: int, code: str | None = None, message: str = "") -> ErrorAnswer:
    names = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}
    code = code or names.get(status, _phrase(status).replace(" ", ""))
    error = f"<Error><Code>{code}</Code><Message>{escape(message or _phrase(status))}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>{error}'.encode()
    return ErrorAnswer(body, {"content-type": "application/xml"})


def _refusal(error: S3RefusedError) -> _Answer:
    own = _error(error.status, error.code, error.message)
    headers = [*own.headers.items(), ("content-length", str(len(own.body)))]
    return _Answer(f"{error.status} {_phrase(error.status)}", headers, [own.body], error.message)


class S3Server:
    """moto's S3 behind :class:`_Gate`, in a thread."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        secrets: Mapping[str, str],
        uploads: UploadAccess,
        journal: Journal,
        faults: FaultBook,
        on_write: Callable[[], None],
    ) -> None:
        """Bind the port.

        :param secrets: the customers' access keys, each with its secret.
        :raises OSError: the address is in use or not ours.
        """
        # objects above this size live in temporary files instead of memory
        os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", _SPOOL_BYTES)
        gate = _Gate(
            DomainDispatcherApplication(create_backend_app),
            secrets=secrets,
            uploads=uploads,
            journal=journal,
            faults=faults,
            on_write=on_write,
        )
        try:
            self._server = make_server(host, port, gate, threaded=True, request_handler=_QuietHandler)
        except SystemExit as error:
            # werkzeug prints and exits when the port is taken
            raise OSError(f"cannot bind {host}:{port} for S3") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox-s3", daemon=True
        )

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()
