"""The client over real HTTP: what it sends, bit by bit, and what it believes."""

from __future__ import annotations

import email
import email.policy
import logging
import re
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.models import AudienceType
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.errors import (
    AudienceOnboardingError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    Outcome,
    RateLimitedError,
    RequestRejectedError,
    TooLargeError,
    TransientError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import FileContent
from tests.unit.commbox.conftest import Vendor, dynamic, envelope, static
from tests.unit.http.loopback import Action, Hang, Loopback, Reply, Reset, Seen, closed_port

SettingsOf = Callable[..., CommBoxSettings]
Call = Callable[[CommBoxClient], Any]

CSV = b"phone1\r\n31612345678\r\n442079832100\r\n"
CREATED = envelope({"id": "312345"}, status=201, description="Audience created")
MIB = 1024 * 1024


def file(content: bytes = CSV, *, name: str = "20261120.csv") -> FileContent:
    return FileContent(
        name=name, content_type="text/csv", size=len(content), chunks=lambda: iter([content[:5], content[5:]])
    )


def error_of(act: Callable[[], Any]) -> AudienceOnboardingError:
    with pytest.raises(AudienceOnboardingError) as caught:
        act()
    return caught.value


def create(client: CommBoxClient) -> str:
    return client.create_audience(name="Service alerts", file=file())


def replace(client: CommBoxClient) -> str:
    return client.replace_audience("312345", file=file())


def parts_of(seen: Seen) -> list[dict[str, Any]]:
    """The parts of a multipart request, as the standard library reads them."""
    whole = b"Content-Type: " + seen.headers["Content-Type"].encode() + b"\r\n\r\n" + seen.body
    message = email.message_from_bytes(whole, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/form-data"
    assert not message.defects
    found = []
    for part in message.iter_parts():
        assert not part.defects
        disposition = part["Content-Disposition"]
        assert disposition.content_disposition == "form-data"
        found.append(
            {
                "name": disposition.params["name"],
                "filename": disposition.params.get("filename"),
                "type": part["Content-Type"] and str(part["Content-Type"]),
                "content": part.get_payload(decode=True),
            }
        )
    return found


# --- what is sent -------------------------------------------------------------------------------------------


def test_an_audience_is_created_as_the_vendors_page_shows_it(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.answers["POST /audiences"] = Reply(201, CREATED)

    assert create(client) == "312345"

    (seen,) = vendor.seen
    assert (seen.method, seen.path) == ("POST", "/audiences")
    assert parts_of(seen) == [
        {"name": "name", "filename": None, "type": None, "content": b"Service alerts"},
        {"name": "audience_file", "filename": "20261120.csv", "type": "text/csv", "content": CSV},
    ]


def test_to_the_byte(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.answers["POST /audiences"] = Reply(201, CREATED)

    create(client)

    (seen,) = vendor.seen
    boundary = seen.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert (
        seen.body
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\nService alerts\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="audience_file"; filename="20261120.csv"\r\n'
            f"Content-Type: text/csv\r\n\r\n{CSV.decode()}\r\n--{boundary}--\r\n"
        ).encode()
    )
    assert seen.headers["Content-Length"] == str(len(seen.body))
    assert "Transfer-Encoding" not in seen.headers


def test_an_audience_is_replaced_at_the_path_with_the_capital_letter(
    vendor: Vendor, client: CommBoxClient
) -> None:
    vendor.answers["PUT /Audiences/312345"] = Reply(200, envelope({"id": "312345"}))

    assert replace(client) == "312345"

    (seen,) = vendor.seen
    assert (seen.method, seen.path) == ("PUT", "/Audiences/312345")
    assert [(part["name"], part["content"]) for part in parts_of(seen)] == [("audience_file", CSV)]
    assert seen.headers["Content-Length"] == str(len(seen.body))


def test_the_list_is_asked_for_without_parameters(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists()

    assert client.list_audiences() == []

    (seen,) = vendor.seen
    assert (seen.method, seen.path, seen.body) == ("GET", "/audiences", b"")


@pytest.mark.parametrize(
    "name",
    [
        'Anna "the" O\'Brien',
        "één & twee 客户",
        'a\r\nContent-Disposition: form-data; name="audience_file"\r\n\r\nphone1',
        "a\r\n--boundary--\r\n",
        "a\\b;c=d%0d%0a",
        " ",
    ],
    ids=["quotes", "not ASCII", "line ends", "a boundary", "signs", "a space"],
)
def test_no_name_breaks_out_of_its_part(vendor: Vendor, client: CommBoxClient, name: str) -> None:
    vendor.answers["POST /audiences"] = Reply(201, CREATED)

    client.create_audience(name=name, file=file(name=f"{name}.csv"))

    first, second = parts_of(vendor.seen[0])
    assert (first["name"], first["content"].decode()) == ("name", name)
    assert (second["name"], second["content"]) == ("audience_file", CSV)


@contextmanager
def sink() -> Iterator[tuple[str, dict[str, int]]]:
    """A server that throws away what it gets, and counts it."""
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
        thread.join(10)


def test_a_file_is_sent_bit_by_bit() -> None:
    size, given = 64 * MIB, 0

    def chunks() -> Iterator[bytes]:
        nonlocal given
        for _ in range(size // MIB):
            given += 1
            yield bytes(MIB)

    file = FileContent(name="x.csv", content_type="text/csv", size=size, chunks=chunks)
    with sink() as (url, seen):
        client = CommBoxClient(CommBoxSettings(base_url=url, key="k", read_timeout=10))
        tracemalloc.start()
        try:
            assert client.create_audience(name="x", file=file) == "312345"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert given == size // MIB
    assert seen["got"] == seen["announced"]
    assert size < seen["got"] < size + 1000
    assert peak < 8 * MIB


def test_a_file_is_not_read_before_somebody_takes_it() -> None:
    def chunks() -> Iterator[bytes]:
        raise AssertionError("nobody is there to take it")
        yield b""

    file = FileContent(name="x.csv", content_type="text/csv", size=5, chunks=chunks)
    settings = CommBoxSettings(base_url=f"http://127.0.0.1:{closed_port()}", key="k")

    error = error_of(lambda: CommBoxClient(settings).create_audience(name="x", file=file))

    assert isinstance(error, VendorUnavailableError)


# --- what is believed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, "200", None, "OK"])
def test_the_status_in_the_body_may_be_anything(vendor: Vendor, client: CommBoxClient, status: Any) -> None:
    vendor.lists(static(), dynamic(), status=status)

    first, second = client.list_audiences()

    assert (first.id, first.name, first.type, first.user_count) == (
        "31234",
        "Service alerts",
        AudienceType.STATIC,
        3,
    )
    assert (second.id, second.type, second.user_count) == ("31235", AudienceType.DYNAMIC, None)
    assert first.created_time == datetime(2026, 2, 11, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("audience_id", ["312345", 312345])
def test_an_id_may_be_text_or_a_number(vendor: Vendor, client: CommBoxClient, audience_id: Any) -> None:
    vendor.lists(static(audience_id))
    vendor.answers["POST /audiences"] = Reply(201, envelope({"id": audience_id}, status="201"))
    vendor.answers["PUT /Audiences/312345"] = Reply(200, envelope({"id": audience_id}))

    assert client.list_audiences()[0].id == "312345"
    assert client.load_audience("312345").id == "312345"
    assert create(client) == "312345"
    assert replace(client) == "312345"


@pytest.mark.parametrize(
    "moment", ["2026-02-11T12:00:00", "2026-02-11T12:00:00.000", "2026-02-11T13:00:00+01:00", None]
)
def test_a_time_may_come_without_its_zone(vendor: Vendor, client: CommBoxClient, moment: str | None) -> None:
    # An option of the account adds the Z.
    vendor.lists(static(created_time=moment))

    found = client.list_audiences()[0].created_time

    assert found == (None if moment is None else datetime(2026, 2, 11, 12, tzinfo=timezone.utc))


@pytest.mark.parametrize("count", [0, 3, "3", None])
def test_a_count_may_be_text_or_missing(vendor: Vendor, client: CommBoxClient, count: Any) -> None:
    vendor.lists(static(count=count))

    assert client.list_audiences()[0].user_count == (None if count is None else int(count))


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        envelope(),
        envelope({}),
        envelope("none"),
        envelope([{"id": "1"}]),
        envelope([static(audience_id="a/b")]),
        envelope([static(audience_id=True)]),
        envelope([7]),
        "<html>",
        "",
        '{"data": [',
    ],
)
def test_what_is_no_list_is_never_taken_for_an_empty_one(
    vendor: Vendor, client: CommBoxClient, body: Any
) -> None:
    vendor.answers["GET /audiences"] = Reply(200, body)

    error = error_of(lambda: client.find_audience("Service alerts"))

    assert isinstance(error, UnexpectedResponseError)
    assert error.outcome is Outcome.NOT_DONE


@pytest.mark.parametrize(
    "body",
    [
        {},
        envelope(status=201),
        envelope({}, status=201),
        envelope({"id": None}, status=201),
        envelope({"id": ""}, status=201),
        envelope({"id": "../1"}, status=201),
        envelope([{"id": "1"}], status=201),
        {"id": "1"},
        "<html>",
        "",
    ],
)
@pytest.mark.parametrize("call", [create, replace])
def test_an_answer_without_an_id_leaves_it_unclear(
    vendor: Vendor, client: CommBoxClient, body: Any, call: Call
) -> None:
    vendor.default = Reply(200, body)

    error = error_of(lambda: call(client))

    assert isinstance(error, UnexpectedResponseError)
    assert error.outcome is Outcome.UNKNOWN
    assert len(vendor.seen) == 1


# --- finding by name ----------------------------------------------------------------------------------------


def test_an_audience_is_found_by_its_exact_name(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1", "service alerts"), static("2"), static("3", "Service alerts "), dynamic("4"))

    found = client.find_audience("Service alerts")

    assert found is not None
    assert found.id == "2"
    assert client.find_audience("Service") is None


def test_two_audiences_of_a_name_are_an_error_that_names_them(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1"), dynamic("2", "Service alerts"))

    with pytest.raises(ConfigurationError, match=r"2 audiences are called 'Service alerts'.*1, 2.*'id'"):
        client.find_audience("Service alerts")


def test_a_dynamic_audience_takes_no_list(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(dynamic("2", "Service alerts"))

    with pytest.raises(
        ConfigurationError, match=r"Audience 2 \('Service alerts'\) is Dynamic.*only a static"
    ):
        client.find_audience("Service alerts")


def test_an_audience_is_loaded_from_the_list(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1"), dynamic("2"))

    assert client.load_audience("2").type is AudienceType.DYNAMIC
    with pytest.raises(
        NotFoundError, match=r"There is no audience 3.*the list of audiences does not hold it"
    ):
        client.load_audience("3")


# --- what goes wrong ----------------------------------------------------------------------------------------

PHONE = "+31612345678"


@pytest.mark.parametrize(
    ("status", "kind", "outcome", "description"),
    [
        (400, RequestRejectedError, Outcome.NOT_DONE, "Bad Request"),
        (400, RequestRejectedError, Outcome.NOT_DONE, f"Row 3: {PHONE} or 31612345678 is no number"),
        (401, AuthenticationError, Outcome.NOT_DONE, "Unauthorized"),
        (404, NotFoundError, Outcome.NOT_DONE, "Not Found"),
        (413, TooLargeError, Outcome.NOT_DONE, "Too Large"),
        (429, RateLimitedError, Outcome.NOT_DONE, "Too Many Requests \u2013 Rate limit exceeded"),
        (500, VendorUnavailableError, Outcome.UNKNOWN, "Server Error"),
        (501, VendorUnavailableError, Outcome.UNKNOWN, "Not Implemented"),
    ],
)
@pytest.mark.parametrize("call", [create, replace])
def test_every_refusal_is_understood(
    vendor: Vendor,
    client: CommBoxClient,
    caplog: pytest.LogCaptureFixture,
    status: int,
    kind: type[VendorError],
    outcome: Outcome,
    description: str,
    call: Call,
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.default = Reply(status, envelope(status=str(status), description=description))

    error = error_of(lambda: call(client))

    assert type(error) is kind
    assert isinstance(error, VendorError)
    assert (error.status, error.outcome) == (status, outcome)
    assert isinstance(error, TransientError) is (status in {429, 500, 501})
    assert description.partition("+")[0] in str(error)
    for secret in ("612345678", "hunter22", "442079832100"):
        assert secret not in str(error)
        assert secret not in caplog.text
    assert len(vendor.seen) == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (create, "Audience 'Service alerts': .*needs a column 'phone1'"),
        (replace, "Audience 312345: .*has to be a static audience of this account"),
    ],
)
def test_a_refused_file_says_what_one_has_to_be(
    vendor: Vendor, client: CommBoxClient, call: Call, said: str
) -> None:
    vendor.default = Reply(400, envelope(status=400, description="Bad Request"))

    with pytest.raises(RequestRejectedError, match=said):
        call(client)


@pytest.mark.parametrize("call", [create, replace, lambda client: client.list_audiences()])
def test_a_key_that_has_expired_says_where_a_person_gets_another(
    vendor: Vendor, settings_of: SettingsOf, call: Call
) -> None:
    error = error_of(lambda: call(CommBoxClient(settings_of(key="key-of-yesterday"))))

    assert isinstance(error, AuthenticationError)
    for words in (
        "administrator",
        "management console",
        "Settings > API",
        "Password of the connection",
        "clear the task",
    ):
        assert words in str(error)
    assert "yesterday" not in str(error)


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize("body", ["<html>anna@example.com</html>", "", [1], {"description": None}])
def test_a_refusal_of_another_shape_is_understood_too(
    vendor: Vendor, client: CommBoxClient, status: int, body: Any
) -> None:
    vendor.default = Reply(status, body)

    error = error_of(lambda: create(client))

    assert isinstance(error, VendorError)
    assert error.status == status
    assert "anna" not in str(error)


def test_a_long_description_is_cut_only_after_it_was_cleaned(vendor: Vendor, client: CommBoxClient) -> None:
    for length in range(280, 301):
        vendor.default = Reply(400, envelope(description=f"{'x' * (length - 1)} {PHONE} anna@example.com"))

        message = str(error_of(lambda: create(client)))

        assert "+31" not in message
        assert "anna" not in message


@pytest.mark.parametrize(
    ("headers", "pause"),
    [({"Retry-After": "7"}, 7.0), ({"Retry-After": "0"}, 0.0), ({"Retry-After": "soon"}, None), ({}, None)],
)
def test_a_pause_that_the_vendor_asks_for(
    vendor: Vendor, client: CommBoxClient, headers: dict[str, str], pause: float | None
) -> None:
    vendor.default = Reply(429, envelope(status=429), headers)

    error = error_of(lambda: create(client))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == pause


def test_a_pause_may_be_a_date(vendor: Vendor, client: CommBoxClient) -> None:
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    vendor.default = Reply(429, envelope(status=429), {"Retry-After": format_datetime(moment, usegmt=True)})

    error = error_of(lambda: create(client))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == pytest.approx(600, abs=30)


@pytest.mark.parametrize("failure", [Reset(), Hang()], ids=["reset after send", "time-out"])
@pytest.mark.parametrize(
    ("call", "outcome", "times"),
    [
        (create, Outcome.UNKNOWN, 1),
        (replace, Outcome.UNKNOWN, 1),
        (lambda client: client.list_audiences(), Outcome.NOT_DONE, 3),
    ],
    ids=["create", "replace", "list"],
)
def test_no_answer_leaves_a_change_unclear(
    vendor: Vendor, settings_of: SettingsOf, failure: Action, call: Call, outcome: Outcome, times: int
) -> None:
    vendor.default = failure

    error = error_of(lambda: call(CommBoxClient(settings_of(read_timeout=0.2))))

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is outcome
    assert len(vendor.seen) == times


def test_a_vendor_that_is_not_there_has_done_nothing() -> None:
    settings = CommBoxSettings(base_url=f"http://127.0.0.1:{closed_port()}", key="k")

    error = error_of(lambda: create(CommBoxClient(settings)))

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE


def test_only_the_configured_host_gets_key_and_file(vendor: Vendor, client: CommBoxClient) -> None:
    with Loopback(lambda seen: Reply(201, CREATED)) as elsewhere:
        vendor.answers["POST /audiences"] = Reply(307, headers={"Location": f"{elsewhere.url}/audiences"})
        error = error_of(lambda: create(client))

    assert isinstance(error, UnexpectedResponseError)
    assert elsewhere.seen == []


def test_the_key_is_a_secret_before_anything_is_sent(settings_of: SettingsOf) -> None:
    secrets: list[str] = []

    CommBoxClient(settings_of(key="eyJhbGciOi.eyJjbGll.c2ln"), on_secret=secrets.append)

    assert secrets == ["eyJhbGciOi.eyJjbGll.c2ln"]
