"""Every documented operation and status of CommBox's audience API, over real HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.models import AudienceType
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TooLargeError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import FileContent
from scripts.local_stack import Sandbox, wait_for
from tests.integration.faults import fault

AUDIENCES = "/commbox/audiences"


@pytest.fixture
def client(sandbox: Sandbox) -> CommBoxClient:
    return client_of(sandbox)


def client_of(sandbox: Sandbox, *, key: str | None = None) -> CommBoxClient:
    settings: Any = CommBoxSettings.from_options(
        host=sandbox.info["commbox_url"],
        key=key or sandbox.info["commbox_api_key"],
        options={"read_timeout": 5},
    )
    return CommBoxClient(settings)


def csv(*numbers: str, header: str = "phone1") -> FileContent:
    body = "".join(f"{line}\r\n" for line in (header, *numbers)).encode()
    return FileContent("list.csv", "text/csv", len(body), lambda: iter((body,)))


def counted(client: CommBoxClient, audience_id: str, count: int) -> None:
    wait_for(lambda: client.load_audience(audience_id).user_count == count, f"A count of {count}", timeout=20)


def test_an_audience_is_created_listed_and_replaced(client: CommBoxClient) -> None:
    audience_id = client.create_audience(name='NE "USA" é', file=csv("442079832100", "31612345678"))
    (listed,) = client.list_audiences()
    assert (listed.id, listed.name, listed.type) == (audience_id, 'NE "USA" é', AudienceType.STATIC)
    counted(client, audience_id, 2)

    assert client.replace_audience(audience_id, file=csv("31612345679")) == audience_id
    counted(client, audience_id, 1)
    assert len(client.list_audiences()) == 1


def test_a_large_file_is_streamed(client: CommBoxClient) -> None:
    rows, size = 200_000, len("31600000000\r\n")
    header = b"phone1\r\n"

    def chunks() -> Any:
        yield header
        for start in range(0, rows, 1000):
            yield "".join(f"316{number:08d}\r\n" for number in range(start, start + 1000)).encode()

    file = FileContent("list.csv", "text/csv", len(header) + rows * size, chunks)

    counted(client, client.create_audience(name="Many", file=file), rows)


def test_a_file_without_phone1_is_refused(client: CommBoxClient) -> None:
    with pytest.raises(RequestRejectedError, match="needs a column 'phone1'") as error:
        client.create_audience(name="Wrong", file=csv("31612345678", header="phone"))

    assert error.value.status == 400
    assert client.list_audiences() == []


def test_a_dynamic_audience_takes_no_file(sandbox: Sandbox, client: CommBoxClient) -> None:
    audience_id = sandbox.admin("commbox/audiences", method="POST", json={"name": "Rules"})["id"]

    with pytest.raises(ConfigurationError, match="is Dynamic"):
        client.find_audience("Rules")
    with pytest.raises(RequestRejectedError, match="has to be a static audience") as error:
        client.replace_audience(str(audience_id), file=csv("31612345678"))
    assert error.value.status == 400


def test_an_unknown_audience(client: CommBoxClient) -> None:
    with pytest.raises(NotFoundError) as error:
        client.replace_audience("999999", file=csv("31612345678"))
    assert error.value.status == 404
    with pytest.raises(NotFoundError, match="There is no audience 999999"):
        client.load_audience("999999")


def test_a_wrong_key_says_where_a_person_renews_it(sandbox: Sandbox) -> None:
    with pytest.raises(AuthenticationError, match=r"administrator .* Settings > API") as error:
        client_of(sandbox, key="wrong").list_audiences()

    assert error.value.status == 401


STATUSES = [
    (400, RequestRejectedError, Outcome.NOT_DONE),
    (401, AuthenticationError, Outcome.NOT_DONE),
    (403, PermissionDeniedError, Outcome.NOT_DONE),
    (404, NotFoundError, Outcome.NOT_DONE),
    (409, ConflictError, Outcome.NOT_DONE),
    (413, TooLargeError, Outcome.NOT_DONE),
    (422, RequestRejectedError, Outcome.NOT_DONE),
    (429, RateLimitedError, Outcome.NOT_DONE),
    (500, VendorUnavailableError, Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("status", "kind", "outcome"), STATUSES)
def test_each_status_is_one_error(
    sandbox: Sandbox, client: CommBoxClient, status: int, kind: type[VendorError], outcome: Outcome
) -> None:
    fault(sandbox, "commbox", "POST", AUDIENCES, status=status)

    with pytest.raises(VendorError) as error:
        client.create_audience(name="List", file=csv("31612345678"))

    assert type(error.value) is kind
    assert (error.value.status, error.value.outcome) == (status, outcome)
    assert "CommBox POST /audiences" in str(error.value)
    assert client.list_audiences() == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_list_and_replacement_have_the_same_errors(
    sandbox: Sandbox, client: CommBoxClient, method: str, status: int
) -> None:
    audience_id = client.create_audience(name="List", file=csv("31612345678"))
    # A GET is repeated after a server error, so it has to fail each time.
    fault(sandbox, "commbox", method, r"/commbox/[Aa]udiences(/.*)?", status=status, times=5)

    call = (
        client.list_audiences
        if method == "GET"
        else partial(client.replace_audience, audience_id, file=csv("1"))
    )
    with pytest.raises(VendorError) as error:
        call()

    assert type(error.value) is {code: kind for code, kind, _ in STATUSES}[status]


@pytest.mark.parametrize(
    ("header", "lowest", "highest"),
    [("30", 30, 30), ("Wed, 21 Oct 2099 07:28:00 GMT", 1e6, 1e10), (None, None, None)],
)
def test_the_rate_limit_is_waited_for_in_either_form(
    sandbox: Sandbox, client: CommBoxClient, header: str | None, lowest: float | None, highest: float | None
) -> None:
    headers = {"Retry-After": header} if header else {}
    fault(sandbox, "commbox", "GET", AUDIENCES, status=429, headers=headers)

    with pytest.raises(RateLimitedError) as error:
        client.list_audiences()

    if lowest is None or highest is None:
        assert error.value.retry_after is None
    else:
        assert error.value.retry_after is not None
        assert lowest <= error.value.retry_after <= highest


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_broken_connection_leaves_a_creation_unclear(
    sandbox: Sandbox, client: CommBoxClient, when: str
) -> None:
    fault(sandbox, "commbox", "POST", AUDIENCES, when=when, action="drop")

    with pytest.raises(VendorUnavailableError) as error:
        client.create_audience(name="List", file=csv("31612345678"))

    assert error.value.outcome is Outcome.UNKNOWN
    assert len(client.list_audiences()) == (1 if when == "after" else 0)
