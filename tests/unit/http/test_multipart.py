"""Multipart bodies: read back by the standard library, and never held in memory as a whole."""

from __future__ import annotations

import re
import socket
import threading
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from audience_onboarding.http import (
    FileContent,
    HttpTransport,
    StreamingBody,
    TransportSettings,
    multipart_body,
)
from tests.unit.http.plain import parts_of

MIB = 1024 * 1024
CSV = b"a,b\r\n1,2\r\n"


def file(content: bytes = CSV, *, name: str = "list.csv") -> FileContent:
    return FileContent(
        name=name, content_type="text/csv", size=len(content), chunks=lambda: iter([content[:3], content[3:]])
    )


def joined(body: StreamingBody) -> bytes:
    return b"".join(body)


CASES: list[tuple[Mapping[str, str], Mapping[str, FileContent]]] = [
    ({}, {}),
    ({}, {"audience_file": file()}),
    ({"name": "List"}, {"audience_file": file()}),
    ({"name": "één & twee 客户", "empty": "", "n": "1\r\n2"}, {"audience_file": file()}),
    ({"name": "één & twee 客户"}, {"f": file(b""), "g": file(name="2.csv")}),
    ({}, {"f": file(name="één.csv")}),
]


def test_a_body_can_be_read_back_and_its_size_is_known_to_the_byte() -> None:
    for fields, files in CASES:
        body = multipart_body(fields, files)
        content = joined(body)

        assert len(body) == body.size == len(content)
        # A request whose connection failed is sent once more.
        assert joined(body) == content
        if not files:
            continue
        found = parts_of(body.content_type, content)
        assert [(part["name"], part["filename"], part["content"].decode()) for part in found] == [
            *((name, None, value) for name, value in fields.items()),
            *((name, part.name, b"".join(part.chunks()).decode()) for name, part in files.items()),
        ]
        assert [part["type"] for part in found] == [None] * len(fields) + ["text/csv"] * len(files)


def test_no_name_breaks_out_of_its_header() -> None:
    for name in (
        'a".csv',
        "a\r\nX-Injected: 1.csv",
        'a\r\nContent-Disposition: form-data; name="f"\r\n\r\nphone1',
        "a\r\n--boundary--\r\n",
        "a\\.csv",
        "één 客户.csv",
        "a;b=c%0d%0a.csv",
        " ",
    ):
        body = multipart_body({name: "x"}, {name: file(name=name)})

        content = joined(body)

        heads = [part.partition(b"\r\n\r\n")[0] for part in content.split(b"\r\n--")]
        assert all(len(head.splitlines()) <= 3 for head in heads), name
        assert b"\r\nX-Injected" not in content
        assert [part["content"] for part in parts_of(body.content_type, content)] == [b"x", CSV], name


def test_each_body_has_a_boundary_of_its_own() -> None:
    assert multipart_body({}, {}).content_type != multipart_body({}, {}).content_type


def test_a_file_is_read_piece_by_piece_and_not_before_it_is_wanted() -> None:
    given: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            given.append(number)
            yield bytes(MIB)

    body = multipart_body({"name": "x"}, {"f": FileContent("big.csv", "text/csv", 100 * MIB, chunks)})
    assert given == []

    size = 0
    for number, chunk in enumerate(body):
        size += len(chunk)
        # Two pieces stand before the file: the fields, and the head of its part.
        assert len(given) <= max(0, number - 1)
        assert len(chunk) <= MIB

    assert size == len(body)
    assert len(given) == 100


@contextmanager
def sink() -> Iterator[tuple[str, dict[str, int]]]:
    """Server that counts the bytes of one request and throws them away."""
    seen = {"announced": 0, "got": 0}

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65_536)
            found = re.search(rb"Content-Length: (\d+)", head)
            assert found is not None
            seen["announced"] = int(found[1])
            seen["got"] = len(head.partition(b"\r\n\r\n")[2])
            while seen["got"] < seen["announced"]:
                seen["got"] += len(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        thread.join(60)


def test_a_large_file_is_streamed_over_the_wire() -> None:
    size, given = 64 * MIB, 0

    def chunks() -> Iterator[bytes]:
        nonlocal given
        for _ in range(size // MIB):
            given += 1
            yield bytes(MIB)

    body = multipart_body({"name": "x"}, {"f": FileContent("x.csv", "text/csv", size, chunks)})
    with sink() as (url, seen):
        sender = HttpTransport(TransportSettings(base_url=url), vendor="Vendor")
        tracemalloc.start()
        try:
            assert sender.send("POST", "/x", body=body).json() == {}
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert given == size // MIB
    assert seen["got"] == seen["announced"] == len(body)
    assert size < len(body) < size + 1000
    assert peak < 8 * MIB
