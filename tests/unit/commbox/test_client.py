"""CommBox's client over real HTTP: multipart requests, and lists without pages.

The contract that holds for the clients of all vendors is in ``tests/unit/clients``.
"""

from __future__ import annotations

import re
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

import pytest

from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.models import AudienceType
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.errors import (
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    VendorUnavailableError,
)
from audience_onboarding.http import FileContent
from tests.unit.clients.commbox import CSV, file
from tests.unit.commbox.conftest import Vendor, dynamic, envelope, static
from tests.unit.http.loopback import Reply, closed_port
from tests.unit.http.plain import error_of, parts_of

CREATED = envelope({"id": "312345"}, status=201, description="Audience created")
MIB = 1024 * 1024


# --- requests -----------------------------------------------------------------------------------------------


def test_a_creation_is_sent_as_the_page_shows_it_byte_by_byte(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.answers["POST /audiences"] = Reply(201, CREATED)

    assert client.create_audience(name="Service alerts", file=file()) == "312345"

    (seen,) = vendor.calls
    boundary = seen.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert (
        seen.body
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\nService alerts\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="audience_file"; filename="20261120.csv"\r\n'
            f"Content-Type: text/csv\r\n\r\n{CSV.decode()}\r\n--{boundary}--\r\n"
        ).encode()
    )


def test_no_name_breaks_out_of_its_part(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.answers["POST /audiences"] = Reply(201, CREATED)
    for name in (
        'Anna "the" O\'Brien',
        "één & twee 客户",
        'a\r\nContent-Disposition: form-data; name="audience_file"\r\n\r\nphone1',
        "a\r\n--boundary--\r\n",
        "a\\b;c=d%0d%0a",
        " ",
    ):
        client.create_audience(name=name, file=file(name=f"{name}.csv"))

        seen = vendor.calls[-1]
        first, second = parts_of(seen.headers["Content-Type"], seen.body)
        assert (first["name"], first["content"].decode()) == ("name", name)
        assert (second["name"], second["content"]) == ("audience_file", CSV), name


@contextmanager
def sink() -> Iterator[tuple[str, dict[str, int]]]:
    """Server that counts the bytes of one request and throws them away."""
    seen = {"announced": 0, "got": 0}
    body = b'{"data": {"id": "312345"}}'

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
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        thread.join(60)


def test_a_file_is_streamed() -> None:
    size, given = 64 * MIB, 0

    def chunks() -> Iterator[bytes]:
        nonlocal given
        for _ in range(size // MIB):
            given += 1
            yield bytes(MIB)

    content = FileContent(name="x.csv", content_type="text/csv", size=size, chunks=chunks)
    with sink() as (url, seen):
        client = CommBoxClient(CommBoxSettings(base_url=url, key="k"))
        tracemalloc.start()
        try:
            assert client.create_audience(name="x", file=content) == "312345"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert given == size // MIB
    assert seen["got"] == seen["announced"]
    assert size < seen["got"] < size + 1000
    assert peak < 8 * MIB


def test_a_file_is_not_read_without_a_connection() -> None:
    def chunks() -> Iterator[bytes]:
        raise AssertionError("there is no connection")
        yield b""

    content = FileContent(name="x.csv", content_type="text/csv", size=5, chunks=chunks)
    client = CommBoxClient(CommBoxSettings(base_url=f"http://127.0.0.1:{closed_port()}", key="k"))

    error_of(lambda: client.create_audience(name="x", file=content), VendorUnavailableError)


# --- answers ------------------------------------------------------------------------------------------------


def test_the_status_in_the_body_may_be_anything(vendor: Vendor, client: CommBoxClient) -> None:
    for status in (200, "200", None, "OK"):
        vendor.lists(static(), dynamic(), status=status)

        first, second = client.list_audiences()

        assert (first.id, first.name, first.type) == ("31234", "Service alerts", AudienceType.STATIC)
        assert (first.user_count, first.created_time) == (3, datetime(2026, 2, 11, 12, tzinfo=timezone.utc))
        assert (second.id, second.type, second.user_count) == ("31235", AudienceType.DYNAMIC, None)


def test_an_id_may_be_text_or_a_number(vendor: Vendor, client: CommBoxClient) -> None:
    for audience_id in ("312345", 312345):
        vendor.lists(static(audience_id))
        vendor.answers["POST /audiences"] = Reply(201, envelope({"id": audience_id}, status="201"))
        vendor.answers["PUT /Audiences/312345"] = Reply(200, envelope({"id": audience_id}))

        assert client.list_audiences()[0].id == "312345"
        assert client.load_audience("312345").id == "312345"
        assert client.create_audience(name="x", file=file()) == "312345"
        assert client.replace_audience("312345", file=file()) == "312345"


def test_an_audience_is_found_by_its_exact_name(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1", "service alerts"), static("2"), static("3", "Service alerts "), dynamic("4"))

    found = client.find_audience("Service alerts")

    assert found is not None
    assert found.id == "2"
    assert client.find_audience("Service") is None


def test_an_audience_that_does_not_fit_is_an_error(vendor: Vendor, client: CommBoxClient) -> None:
    named = dynamic("2", "Service alerts")
    for audiences, message in (
        ([static("1"), named], r"2 audiences are called 'Service alerts'.*1, 2.*'id'"),
        ([named], r"Audience 2 \('Service alerts'\) is Dynamic.*only a static"),
    ):
        vendor.lists(*audiences)

        with pytest.raises(ConfigurationError, match=message):
            client.find_audience("Service alerts")


def test_an_audience_is_loaded_from_the_list(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1"), dynamic("2"))

    assert client.load_audience("2").type is AudienceType.DYNAMIC
    with pytest.raises(
        NotFoundError, match=r"There is no audience 3.*the list of audiences does not hold it"
    ):
        client.load_audience("3")


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_refused_file_says_what_one_has_to_be(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.default = Reply(400, envelope(status=400, description="Bad Request"))

    with pytest.raises(
        RequestRejectedError, match=r"Audience 'Service alerts': .*Bad Request.*needs a column 'phone1'"
    ):
        client.create_audience(name="Service alerts", file=file())
    with pytest.raises(
        RequestRejectedError, match=r"Audience 312345: .*has to be a static audience of this account"
    ):
        client.replace_audience("312345", file=file())


def test_a_refusal_of_another_shape_is_read_without_its_body(vendor: Vendor, client: CommBoxClient) -> None:
    for status, kind in ((400, RequestRejectedError), (500, VendorUnavailableError)):
        for body in ("<html>anna@example.com</html>", "", [1], {"description": None}):
            vendor.default = Reply(status, body)

            error = error_of(lambda: client.create_audience(name="x", file=file()), kind)

            assert error.status == status
            assert "anna" not in str(error)
