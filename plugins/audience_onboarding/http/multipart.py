"""Streamed multipart/form-data body (RFC 7578)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from urllib3.fields import RequestField

from audience_onboarding.http.transport import StreamingBody


@dataclass(frozen=True)
class FileContent:
    """File to upload.

    :param name: file name, as sent to the vendor.
    :param content_type: for example ``text/csv``.
    :param size: bytes.
    :param chunks: yields the file from its start at each call.
    """

    name: str
    content_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


def multipart_body(fields: Mapping[str, str], files: Mapping[str, FileContent]) -> StreamingBody:
    """Build a body of text fields, then files, each by the name of its part."""
    boundary = secrets.token_hex(16)
    texts = b"".join(
        _head(boundary, RequestField(name, "")) + value.encode() + b"\r\n" for name, value in fields.items()
    )
    heads = {
        name: _head(boundary, RequestField(name, "", filename=file.name), file.content_type)
        for name, file in files.items()
    }
    end = f"--{boundary}--\r\n".encode()

    def chunks() -> Iterator[bytes]:
        yield texts
        for name, file in files.items():
            yield heads[name]
            yield from file.chunks()
            yield b"\r\n"
        yield end

    size = sum(len(heads[name]) + file.size + len(b"\r\n") for name, file in files.items())
    return StreamingBody(f"multipart/form-data; boundary={boundary}", len(texts) + size + len(end), chunks)


def _head(boundary: str, field: RequestField, content_type: str | None = None) -> bytes:
    field.make_multipart(content_type=content_type)
    return f"--{boundary}\r\n{field.render_headers()}".encode()
