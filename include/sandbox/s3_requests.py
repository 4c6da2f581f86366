"""Requests to S3 in front of moto, and the answers to them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl

from werkzeug.wsgi import get_input_stream

from sandbox.faults.s3_errors import error_answer
from sandbox.presigned import S3RefusedError
from sandbox.vendor import phrase

_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/")
_CHUNK: Final = 1 << 16
_SPOOL_BYTES: Final = 1 << 20
READ_ONLY: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass(frozen=True)
class Request:
    """A request, with path-style addressing."""

    environ: Environ

    @property
    def method(self) -> str:
        """GET, PUT, ..."""
        return str(self.environ["REQUEST_METHOD"])

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query; the last value of a repeated name."""
        return dict(parse_qsl(self.environ.get("QUERY_STRING", ""), keep_blank_values=True))

    @property
    def bucket(self) -> str:
        """Name of the bucket; may be empty."""
        return str(self.environ.get("PATH_INFO", "")).lstrip("/").partition("/")[0]

    @property
    def key(self) -> str:
        """Key of the object; may be empty."""
        return str(self.environ.get("PATH_INFO", "")).lstrip("/").partition("/")[2]

    @property
    def path(self) -> str:
        """/bucket/key."""
        return f"/{self.bucket}/{self.key}"

    @cached_property
    def access_key(self) -> str | None:
        """The access key that signed the request."""
        header = _CREDENTIAL.search(self.environ.get("HTTP_AUTHORIZATION", ""))
        if header:
            return header.group(1)
        presigned = self.query.get("X-Amz-Credential") or self.query.get("AWSAccessKeyId")
        return presigned.split("/")[0] if presigned else None

    @cached_property
    def operation(self) -> str:
        """AWS's name of the operation; the method for an unknown one."""
        table = self._object_operations() if self.key else self._bucket_operations()
        return table.get(self.method, self.method)

    def _object_operations(self) -> dict[str, str]:
        upload = "uploadId" in self.query
        copy = "HTTP_X_AMZ_COPY_SOURCE" in self.environ
        post = "CompleteMultipartUpload" if upload else "POST"
        return {
            "PUT": "UploadPart" if upload else "CopyObject" if copy else "PutObject",
            "POST": "CreateMultipartUpload" if "uploads" in self.query else post,
            "DELETE": "AbortMultipartUpload" if upload else "DeleteObject",
            "GET": "ListParts" if upload else "GetObject",
            "HEAD": "HeadObject",
        }

    def _bucket_operations(self) -> dict[str, str]:
        reading = "ListObjectsV2" if "list-type" in self.query else "ListObjects"
        for name, operation in {
            "uploads": "ListMultipartUploads",
            "location": "GetBucketLocation",
            "versioning": "GetBucketVersioning",
        }.items():
            if name in self.query:
                reading = operation
        return {
            "PUT": "CreateBucket",
            "POST": "DeleteObjects" if "delete" in self.query else "POST",
            "DELETE": "DeleteBucket",
            "GET": reading if self.bucket else "ListBuckets",
            "HEAD": "HeadBucket",
        }

    # --- the body ---------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Read the whole body, so that the sender gets the answer and not a reset."""
        self.read(None)

    def read(self, size: int | None) -> None:
        """Read and drop ``size`` bytes of the body; None for all of it."""
        stream, left = get_input_stream(self.environ), size
        while left is None or left > 0:
            chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)

    @contextmanager
    def kept_body(self) -> Iterator[None]:
        """Read the whole body now, for later use. Above 1 MiB a temporary file holds it."""
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as kept:
            stream = get_input_stream(self.environ)
            while chunk := stream.read(_CHUNK):
                kept.write(chunk)
            length = kept.tell()
            kept.seek(0)
            self.environ["wsgi.input"] = kept
            self.environ["CONTENT_LENGTH"] = str(length)
            self.environ.pop("wsgi.input_terminated", None)
            self.environ.pop("HTTP_TRANSFER_ENCODING", None)
            yield


@dataclass
class Answer:
    """An answer to send."""

    line: str = "500 Internal Server Error"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Iterable[bytes] = ()
    refusal: str | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return int(self.line.split(" ", 1)[0])


def answer(status: int, headers: Mapping[str, str], body: bytes, *, refusal: str | None = None) -> Answer:
    """Return a complete answer with its Content-Length."""
    fields = {"content-length": str(len(body)), **headers}
    return Answer(f"{status} {phrase(status)}", [*fields.items()], [body], refusal)


def refused(error: S3RefusedError, request: Request) -> Answer:
    """Return S3's answer to a request that it refuses."""
    own = error_answer(
        error.status, code=error.code, message=error.message, bucket=request.bucket, key=request.key
    )
    return answer(error.status, own.headers, own.body, refusal=error.message)
