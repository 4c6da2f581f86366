"""Requests to S3 as the gate before moto sees them, and the answers to them."""

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

from sandbox.faults.s3_errors import error_answer, phrase
from sandbox.presigned import S3RefusedError

_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/")
_CHUNK: Final = 1 << 16
_SPOOL_BYTES: Final = 1 << 20
READ_ONLY: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass(frozen=True)
class Request:
    """A request."""

    environ: Environ

    @property
    def method(self) -> str:
        """GET, PUT, ..."""
        return str(self.environ["REQUEST_METHOD"])

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query; of what occurs twice the last."""
        return dict(parse_qsl(self.environ.get("QUERY_STRING", ""), keep_blank_values=True))

    @cached_property
    def _parts(self) -> tuple[str, str]:
        bucket, _, key = self.environ.get("PATH_INFO", "").lstrip("/").partition("/")
        return bucket, key

    @property
    def bucket(self) -> str:
        """Name of the bucket; empty for none."""
        return self._parts[0]

    @property
    def key(self) -> str:
        """Key of the object; empty for none."""
        return self._parts[1]

    @property
    def path(self) -> str:
        """/bucket/key."""
        return f"/{self.bucket}/{self.key}"

    @cached_property
    def access_key(self) -> str | None:
        """The access key that it was signed with."""
        header = _CREDENTIAL.search(self.environ.get("HTTP_AUTHORIZATION", ""))
        if header:
            return header.group(1)
        presigned = self.query.get("X-Amz-Credential") or self.query.get("AWSAccessKeyId")
        return presigned.split("/")[0] if presigned else None

    @cached_property
    def operation(self) -> str:
        """Name of the operation as AWS has it; the method for what is not known."""
        table = self._of_object() if self.key else self._of_bucket()
        return table.get(self.method, self.method)

    def _of_object(self) -> dict[str, str]:
        upload = "uploadId" in self.query
        copy = "HTTP_X_AMZ_COPY_SOURCE" in self.environ
        return {
            "PUT": "UploadPart" if upload else "CopyObject" if copy else "PutObject",
            "POST": "CreateMultipartUpload"
            if "uploads" in self.query
            else "CompleteMultipartUpload"
            if upload
            else "POST",
            "DELETE": "AbortMultipartUpload" if upload else "DeleteObject",
            "GET": "ListParts" if upload else "GetObject",
            "HEAD": "HeadObject",
        }

    def _of_bucket(self) -> dict[str, str]:
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
        """Read what was sent, so that the sender sees the answer and not a reset."""
        self.read(None)

    def read(self, size: int | None) -> None:
        """Read that many bytes of the body and forget them; None for all of it."""
        stream, left = get_input_stream(self.environ), size
        while left is None or left > 0:
            chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                return
            left = None if left is None else left - len(chunk)

    @contextmanager
    def kept_body(self) -> Iterator[None]:
        """Read the whole body now, to work on it later. Above 1 MiB it lies in a temporary file."""
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
    """An answer to be given."""

    line: str = "500 Internal Server Error"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Iterable[bytes] = ()
    refusal: str | None = None

    @property
    def status(self) -> int:
        """HTTP status."""
        return int(self.line.split(" ", 1)[0])


def answer(status: int, headers: Mapping[str, str], body: bytes, *, refusal: str | None = None) -> Answer:
    """Return an answer that is complete; a body ends where its length says."""
    return Answer(
        f"{status} {phrase(status)}",
        [*{"content-length": str(len(body)), **headers}.items()],
        [body],
        refusal,
    )


def refused(error: S3RefusedError, request: Request) -> Answer:
    """Return S3's answer to a request that it refuses."""
    own = error_answer(
        error.status, code=error.code, message=error.message, bucket=request.bucket, key=request.key
    )
    return answer(error.status, own.headers, own.body, refusal=error.message)
