"""The S3 endpoint: moto's server on its own port, in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from sandbox.faults import S3, FaultBook
from sandbox.faults.transport import ListeningPort
from sandbox.journal import FaultNote, Journal
from sandbox.presigned import S3RefusedError, UploadAccess, check, is_presigned, refuse_second_signature
from sandbox.s3_faults import FaultyRequest
from sandbox.s3_requests import READ_ONLY, Answer, Environ, Request, StartResponse, refused

_SPOOL_BYTES = str(1 << 20)
_POLL = 0.05


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Do nothing: one line per request would hide the sandbox's own output."""

    def run_wsgi(self) -> None:
        """Handle one request."""
        super().run_wsgi()
        if self.connection.fileno() < 0:
            # a fault has reset the connection
            self.close_connection = True


class Gate:
    """WSGI application in front of moto that checks access, injects faults, and notes every write.

    It checks access keys, each for its buckets, and the signatures of presigned URLs (:mod:`sandbox.presigned`).
    """

    def __init__(
        self,
        *,
        secrets: Mapping[str, str],
        uploads: UploadAccess,
        journal: Journal,
        faults: FaultBook,
        on_write: Callable[[], None],
    ) -> None:
        """:param secrets: the customers' access keys, each with its secret."""
        self._app = DomainDispatcherApplication(create_backend_app)
        self._secrets = {**secrets, uploads.access_key: uploads.secret}
        self._uploads = uploads
        self._journal = journal
        self._faults = faults
        self._on_write = on_write

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        exchange, fault = self._faults.arrive(
            vendor=S3,
            operation=request.operation,
            method=request.method,
            path=request.path,
            query=environ.get("QUERY_STRING", ""),
            paths=[request.key, request.path],
        )
        try:
            if fault is None:
                answer = self._work(request)
            else:
                faulty = FaultyRequest(
                    request,
                    fault,
                    exchange,
                    self._faults,
                    work=lambda note: self._work(request, note, whole=True),
                    not_done=lambda status, note: self._note(request, status, fault=note),
                )
                answer = faulty.answer()
            exchange.status = answer.status
            self._faults.before_answer(S3)
            start_response(answer.line, answer.headers)
            return answer.body
        finally:
            self._faults.exchanges.end(exchange)

    def _work(self, request: Request, fault: FaultNote | None = None, *, whole: bool = False) -> Answer:
        """Pass the request to moto, or refuse it.

        :param whole: read moto's answer to its end; a long body is otherwise still pending.
        """
        answer = self._answer(request)
        if whole:
            answer.body = list(answer.body)
        # after moto's answer, so that a reader of the journal finds the write in the bucket
        self._note(request, answer.status, message=answer.refusal, fault=fault)
        if request.method not in READ_ONLY:
            self._on_write()
        return answer

    def _answer(self, request: Request) -> Answer:
        try:
            self._check(request)
        except S3RefusedError as error:
            request.drain()
            return refused(error, request)
        answer = Answer()

        def start(line: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            answer.line, answer.headers = line, headers
            return lambda _: None

        answer.body = self._app(request.environ, start)
        return answer

    def _check(self, request: Request) -> None:
        access_key = request.access_key
        presigned = is_presigned(request.query)
        if presigned:
            # before the access key, so that the answer names the second signature
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
            # no client has its secret, and the gate does not verify signatures in headers
            raise S3RefusedError(403, "AccessDenied", "Access Denied")

    def _note(
        self,
        request: Request,
        status: int,
        *,
        message: str | None = None,
        fault: FaultNote | None = None,
    ) -> None:
        if request.method in READ_ONLY:
            return
        environ = request.environ
        length = environ.get("CONTENT_LENGTH")
        self._journal.s3(
            operation=request.operation,
            method=request.method,
            bucket=request.bucket,
            key=request.key,
            http_status=status,
            success=0 < status < HTTPStatus.BAD_REQUEST and not _is_answer(fault),
            size=int(length) if length else None,
            if_none_match=environ.get("HTTP_IF_NONE_MATCH"),
            presigned=is_presigned(request.query),
            authorization="HTTP_AUTHORIZATION" in environ,
            message=message,
            fault=fault,
        )


def _is_answer(fault: FaultNote | None) -> bool:
    """Return whether a fault answered in place of S3, which then did not get the request."""
    return fault is not None and fault.action in {"answer", "expire"} and fault.when == "before"


class _Server(ThreadedWSGIServer):
    """A server with a port that can be closed and opened again."""

    def __init__(self, host: str, port: int, app: Any) -> None:
        super().__init__(host, port, app, _QuietHandler)
        self.port_switch = ListeningPort(self.socket)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection.

        :raises OSError: the port is closed.
        """
        if not self.port_switch.listening.wait(_POLL):
            raise OSError("closed by a fault")
        return super().get_request()


class S3Server:
    """moto's S3 behind a :class:`Gate`, in a thread."""

    def __init__(self, host: str, port: int, gate: Gate, faults: FaultBook) -> None:
        """Bind the port.

        :raises OSError: the address is in use, or not of this machine.
        """
        # above this size, moto keeps an object in a temporary file
        os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", _SPOOL_BYTES)
        try:
            self._server = _Server(host, port, gate)
        except SystemExit as error:
            # werkzeug prints and exits when the port is taken
            raise OSError(f"Cannot bind {host}:{port} for S3") from error
        faults.ports[S3] = self._server.port_switch
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _POLL}, name="sandbox-s3", daemon=True
        )

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to answer, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(timeout=5)
        self._server.server_close()
