"""CommBox's client over real HTTP: multipart requests, and lists without pages.

The contract that holds for the clients of all vendors is in ``tests/unit/clients``.
"""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from audience_onboarding.exceptions import (
    ConfigurationError,
    NotFoundError,
    RequestRejectedError,
    VendorUnavailableError,
)
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.models import AudienceType
from tests.unit.clients.commbox import CSV, file
from tests.unit.http.loopback import Reply
from tests.unit.http.plain import error_of
from tests.unit.platforms.commbox.conftest import Vendor, dynamic, envelope, static

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


# --- answers ------------------------------------------------------------------------------------------------


def test_the_status_in_the_body_may_be_anything(vendor: Vendor, client: CommBoxClient) -> None:
    for status in (200, "200", None, "OK"):
        vendor.lists(static(), dynamic(), status=status)

        first, second = client.list_audiences()

        assert (first.id, first.name, first.type) == ("31234", "Service alerts", AudienceType.STATIC)
        assert (first.user_count, first.created_time) == (3, datetime(2026, 2, 11, 12, tzinfo=timezone.utc))
        assert (second.id, second.type, second.user_count) == ("31235", AudienceType.DYNAMIC, None)


def test_an_audience_is_found_by_its_exact_name(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1", "service alerts"), static("2"), static("3", "Service alerts "), dynamic("4"))

    found = client.find_audience("Service alerts")

    assert found is not None
    assert found.id == "2"
    assert client.find_audience("Service") is None


def test_an_audience_that_does_not_fit_is_an_error(vendor: Vendor, client: CommBoxClient) -> None:
    named = dynamic("2", "Service alerts")
    for audiences, message in (
        ([static("1"), named], r"Ambiguous audience name 'Service alerts'.*1, 2.*'id'"),
        ([named], r"Audience 2 \('Service alerts'\) is Dynamic.*only a static"),
    ):
        vendor.lists(*audiences)

        with pytest.raises(ConfigurationError, match=message):
            client.find_audience("Service alerts")


def test_an_audience_is_loaded_from_the_list(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.lists(static("1"), dynamic("2"))

    assert client.load_audience("2").type is AudienceType.DYNAMIC
    with pytest.raises(NotFoundError, match=r"Audience 3 not found.*not in the list of audiences"):
        client.load_audience("3")


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_refused_file_says_what_one_has_to_be(vendor: Vendor, client: CommBoxClient) -> None:
    vendor.default = Reply(400, envelope(status=400, description="Bad Request"))

    with pytest.raises(
        RequestRejectedError, match=r"Audience 'Service alerts': .*Bad Request.*needs a column 'phone1'"
    ):
        client.create_audience(name="Service alerts", file=file())
    with pytest.raises(
        RequestRejectedError, match=r"Audience 312345: .*must be a static audience of this account"
    ):
        client.replace_audience("312345", file=file())


def test_a_refusal_of_another_shape_is_read_without_its_body(vendor: Vendor, client: CommBoxClient) -> None:
    for status, kind in ((400, RequestRejectedError), (500, VendorUnavailableError)):
        for body in ("<html>anna@example.com</html>", "", [1], {"description": None}):
            vendor.default = Reply(status, body)

            error = error_of(lambda: client.create_audience(name="x", file=file()), kind)

            assert error.status == status
            assert "anna" not in str(error)
