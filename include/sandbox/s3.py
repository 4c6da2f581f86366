"""A real S3 endpoint: moto's server on a port of its own, in this process."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from sandbox.bucket import INTERNAL_ACCESS_KEY
from sandbox.journal import Journal

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
_SPOOL_BYTES = str(1 << 20)


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: one line per request would bury the sandbox's own output."""


class _Gate:
    """Stands before moto: checks the access key, which moto does not, and notes every write."""

    def __init__(self, app: Any, access_key: str, journal: Journal, on_write: Callable[[], None]) -> None:
        self._app = app
        self._access_key = access_key
        self._journal = journal
        self._on_write = on_write

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        access_key = _access_key(environ)
        status = [500]

        def watch(line: str, *args: Any) -> Any:
            status[0] = int(line.split(" ", 1)[0])
            return start_response(line, *args)

        if access_key not in {self._access_key, INTERNAL_ACCESS_KEY}:
            body: Iterable[bytes] = _refuse(watch, access_key)
        else:
            body = self._app(environ, watch)
        # after the app has answered, so that the write is there when someone looks
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD", "OPTIONS"}:
            if access_key != INTERNAL_ACCESS_KEY:
                self._note(environ, status[0])
            self._on_write()
        return body

    def _note(self, environ: dict[str, Any], status: int) -> None:
        _, _, key = environ.get("PATH_INFO", "").lstrip("/").partition("/")
        length = environ.get("CONTENT_LENGTH")
        self._journal.s3(
            operation=_operation(environ, key),
            method=environ["REQUEST_METHOD"],
            key=key,
            http_status=status,
            success=status < HTTPStatus.BAD_REQUEST,
            size=int(length) if length else None,
            if_none_match=environ.get("HTTP_IF_NONE_MATCH"),
        )


def _access_key(environ: dict[str, Any]) -> str | None:
    header = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    if header:
        return header.group(1)
    query = parse_qs(environ.get("QUERY_STRING", ""))
    presigned = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId")
    return presigned[0].split("/")[0] if presigned else None


def _operation(environ: dict[str, Any], key: str) -> str:
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
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


def _refuse(start_response: Callable[..., Any], access_key: str | None) -> list[bytes]:
    code = "AccessDenied" if access_key is None else "InvalidAccessKeyId"
    message = "Access Denied" if access_key is None else "The access key does not exist in the sandbox"
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>{error}'
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body.encode()]


class S3Server:
    """moto's S3 behind :class:`_Gate`, in a thread."""

    def __init__(
        self, *, host: str, port: int, access_key: str, journal: Journal, on_write: Callable[[], None]
    ) -> None:
        """Bind the port.

        :raises OSError: the address is in use or not ours.
        """
        # objects above this size live in temporary files instead of memory
        os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", _SPOOL_BYTES)
        gate = _Gate(DomainDispatcherApplication(create_backend_app), access_key, journal, on_write)
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
