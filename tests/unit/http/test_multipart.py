"""A multipart body: read back by a reader that is not ours, and never in memory as a whole."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from audience_onboarding.http import Body, FileContent, HttpTransport, TransportSettings, multipart_body
from tests.unit.http.loopback import Loopback, Reply

MIB = 1024 * 1024


def file(content: bytes = b"a,b\r\n1,2\r\n", *, name: str = "list.csv") -> FileContent:
    return FileContent(
        name=name, content_type="text/csv", size=len(content), chunks=lambda: iter([content[:3], content[3:]])
    )


def parts_of(content_type: str, content: bytes) -> list[dict[str, Any]]:
    """The parts as the standard library reads them."""
    whole = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + content
    message = email.message_from_bytes(whole, policy=email.policy.HTTP)
    assert message.is_multipart()
    assert not message.defects
    found = []
    for part in message.iter_parts():
        assert not part.defects
        disposition = part["Content-Disposition"]
        found.append(
            {
                "name": disposition.params["name"],
                "filename": disposition.params.get("filename"),
                "type": part["Content-Type"] and str(part["Content-Type"]),
                "content": part.get_payload(decode=True),
            }
        )
    return found


def joined(body: Body) -> bytes:
    return b"".join(body)


FIELDS: list[Mapping[str, str]] = [
    {},
    {"name": "List"},
    {"name": "één & twee 客户", "empty": "", "n": "1\r\n2"},
]


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: f"{len(fields)} fields")
def test_what_is_sent_can_be_read_back(fields: Mapping[str, str]) -> None:
    body = multipart_body(fields, {"audience_file": file()})

    found = parts_of(body.content_type, joined(body))

    assert [(part["name"], part["content"].decode()) for part in found[:-1]] == list(fields.items())
    assert all(part["filename"] is None for part in found[:-1])
    assert found[-1] == {
        "name": "audience_file",
        "filename": "list.csv",
        "type": "text/csv",
        "content": b"a,b\r\n1,2\r\n",
    }


def test_several_files_each_have_their_part() -> None:
    body = multipart_body({}, {"one": file(b"first"), "two": file(b"second", name="2.csv")})

    found = parts_of(body.content_type, joined(body))

    assert [(part["name"], part["filename"], part["content"]) for part in found] == [
        ("one", "list.csv", b"first"),
        ("two", "2.csv", b"second"),
    ]


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: f"{len(fields)} fields")
@pytest.mark.parametrize("files", [{}, {"f": file()}, {"f": file(b""), "g": file(name="één.csv")}])
def test_the_size_is_told_to_the_byte(fields: Mapping[str, str], files: Mapping[str, FileContent]) -> None:
    body = multipart_body(fields, files)

    assert len(body) == body.size == len(joined(body))


@pytest.mark.parametrize("name", ['a".csv', "a\r\nX-Injected: 1.csv", "a\\.csv", "één 客户.csv", "a;b=c.csv"])
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    body = multipart_body({name: "x"}, {name: file(name=name)})

    content = joined(body)

    heads = [part.partition(b"\r\n\r\n")[0] for part in content.split(b"\r\n--")]
    assert all(len(head.splitlines()) <= 3 for head in heads)
    assert b"\r\nX-Injected" not in content
    assert [part["content"] for part in parts_of(body.content_type, content)] == [b"x", b"a,b\r\n1,2\r\n"]


def test_each_body_has_a_boundary_of_its_own() -> None:
    assert multipart_body({}, {}).content_type != multipart_body({}, {}).content_type


def test_a_body_can_be_read_again_from_its_start() -> None:
    # A request whose connection did not come about is sent once more.
    body = multipart_body({"name": "x"}, {"f": file()})

    assert joined(body) == joined(body) != b""


def test_a_file_is_read_bit_by_bit_and_not_before_it_is_wanted() -> None:
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


def test_a_large_file_goes_over_the_wire_in_pieces_and_arrives_whole() -> None:
    given: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(8):
            given.append(number)
            yield bytes([number]) * MIB

    body = multipart_body({"name": "List"}, {"f": FileContent("big.csv", "text/csv", 8 * MIB, chunks)})
    with Loopback(lambda seen: Reply(200, {})) as server:
        HttpTransport(TransportSettings(base_url=server.url), vendor="Vendor").send("POST", "/x", body=body)

    (seen,) = server.seen
    assert seen.headers["Content-Type"] == body.content_type
    assert seen.headers["Content-Length"] == str(len(body))
    assert "Transfer-Encoding" not in seen.headers
    assert [part["content"] for part in parts_of(seen.headers["Content-Type"], seen.body)] == [
        b"List",
        b"".join(bytes([number]) * MIB for number in range(8)),
    ]
    assert given == list(range(8))
