"""Clients with a key, over real HTTP: requests, answers, and the vendor's rate limit.

Errors and secrets are tested for the clients of all vendors in ``tests/unit/clients``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    ConfigurationError,
    Outcome,
    RateLimitedError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import rate_limiter
from audience_onboarding.http.rate_limiter import MAX_BLOCKING_WAIT, RateLimitHeaders
from tests.unit.http.loopback import Reply
from tests.unit.http.plain import KEY, Client, Counted, Settings, error_of
from tests.unit.http.vendor import BearerVendor

NOW = 1_795_143_600.0


class Vendor(BearerVendor):
    """Answers with ``default``."""

    key = KEY
    unknown = Reply(200, {})
    unauthorized = Reply(401, {})


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    with made.server:
        yield made


@pytest.fixture
def client(vendor: Vendor) -> Client:
    return Client(Settings(base_url=vendor.server.url, key=KEY))


# --- requests and answers -----------------------------------------------------------------------------------


def test_the_query_is_encoded_without_the_parameters_that_are_none(vendor: Vendor, client: Client) -> None:
    client.call("GET", "/things", query={"name": "één & twee", "page": 0, "cursor": None, "empty": ""})
    client.call("GET", "/things", query={"cursor": None})

    assert [seen.path for seen in vendor.calls] == [
        "/things?name=%C3%A9%C3%A9n+%26+twee&page=0&empty=",
        "/things",
    ]


def test_a_body_is_streamed_beside_the_key(vendor: Vendor, client: Client) -> None:
    client.call("PUT", "/things/7", body=Counted(b"abc", b"def").body())

    (seen,) = vendor.calls
    assert seen.body == b"abcdef"
    assert seen.headers["Content-Type"] == "text/csv"
    assert seen.headers["Authorization"] == f"Bearer {KEY}"


def test_any_json_is_an_answer_except_null(vendor: Vendor, client: Client) -> None:
    for answer in ({}, [], 0, "", False, {"a": 1}):
        vendor.default = Reply(200, b'""' if answer == "" else answer)

        assert client.call("GET", "/things") == answer


def test_an_empty_answer_is_a_success_only_where_the_caller_allows_it(vendor: Vendor, client: Client) -> None:
    vendor.default = Reply(204, b"")
    assert client.call("DELETE", "/things/1", may_be_empty=True) is None
    error_of(lambda: client.call("DELETE", "/things/1"), UnexpectedResponseError)

    # A page of HTML is not empty.
    vendor.default = Reply(200, b"<html>")
    error_of(lambda: client.call("DELETE", "/things/1", may_be_empty=True), UnexpectedResponseError)


@dataclass
class Named:
    """Something with a name."""

    id: str


def test_several_audiences_of_one_name_are_an_error_that_lists_their_ids() -> None:
    client = Client(Settings(base_url="https://vendor.example", key=KEY))

    assert client._single_match([], "List") is None
    assert client._single_match([Named("a")], "List") == Named("a")
    with pytest.raises(
        ConfigurationError, match=r"Ambiguous audience name 'List' \(Vendor\).*2 audiences.*a, b"
    ):
        client._single_match([Named("a"), Named("b")], "List")


def test_a_refusal_holds_object_message_and_next_step(vendor: Vendor, client: Client) -> None:
    for status, message in (
        (401, "Credentials not accepted (Vendor GET /things): No. Ask for a new key. [HTTP 401]"),
        (422, "Thing 7: request rejected by the vendor (Vendor GET /things): No. Look for it. [HTTP 422]"),
    ):
        vendor.default = Reply(status, {"words": "No"})

        error = error_of(
            lambda: client.call("GET", "/things", query={"a": 1}, subject="Thing 7", next_step="Look for it")
        )

        assert str(error) == message


def test_the_pause_comes_from_the_header_or_else_from_the_body(vendor: Vendor, client: Client) -> None:
    problems = []
    for body, headers, pause in (
        ({}, {}, None),
        ({"retryAfter": 30}, {}, 30.0),
        ({"retryAfter": 0.5}, {}, 0.5),
        ({"retryAfter": 0}, {}, 0.0),
        ({"retryAfter": -1}, {}, None),
        ({"retryAfter": "30"}, {}, None),
        ({"retryAfter": True}, {}, None),
        ({"retryAfter": None}, {}, None),
        ({"retryAfter": {"seconds": 30}}, {}, None),
        ([30], {}, None),
        ("slower", {}, None),
        ('{"retryAfter": NaN}', {}, None),
        ({"retryAfter": 30}, {"Retry-After": "7"}, 7.0),
    ):
        for status in (423, 429, 503):
            vendor.default = Reply(status, body, headers)
            found = error_of(lambda: client.call("POST", "/things"), VendorUnavailableError).retry_after
            if found != pause:
                problems.append(f"{status} {body} {headers}: {found}, not {pause}")

    assert not problems, "\n".join(problems)


# --- a rate limit -------------------------------------------------------------------------------------------


class Clock:
    """Clock that only pauses move, and their lengths."""

    def __init__(self) -> None:
        self.now = NOW
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rate_limiter, "time", SimpleNamespace(time=lambda: made.now))
    return made


@pytest.fixture
def limit(clock: Clock) -> RateLimitHeaders:
    return RateLimitHeaders(sleep=clock.sleep)


def headers(remaining: Any, reset_in: float) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(NOW + reset_in)}


def test_headers_without_a_limit_do_not_hold_calls_up(clock: Clock) -> None:
    resets = ["soon", "", "nan", "inf", "-inf", "1e300", str(int(NOW + 5) * 1000), "30"]
    for given in (
        {},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Reset": str(NOW + 5)},
        {"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": str(NOW + 5)},
        *({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset} for reset in resets),
        headers(0, 0),
        headers(0, -1),
    ):
        limit = RateLimitHeaders(sleep=clock.sleep)
        limit.update(given)

        for _ in range(100):
            limit.acquire("here")

        assert clock.pauses == [], given


def test_a_window_that_is_used_up_is_waited_for(limit: RateLimitHeaders, clock: Clock) -> None:
    limit.update(headers(2, 8))
    # Odd headers do not erase a known limit.
    limit.update({})

    for _ in range(3):
        limit.acquire("here")

    assert clock.pauses == [8.0]
    # A new window has begun: nothing is known of it until the next answer.
    limit.acquire("here")
    assert clock.pauses == [8.0]


def test_each_answer_corrects_the_number_that_is_left(limit: RateLimitHeaders, clock: Clock) -> None:
    for _ in range(2):
        limit.update(headers(1, 8))
        limit.acquire("here")
    assert clock.pauses == []

    for remaining in (0, -1):
        limit.update({**headers(remaining, 0), "X-RateLimit-Reset": str(clock.now + MAX_BLOCKING_WAIT)})
        limit.acquire("here")

    assert clock.pauses == [MAX_BLOCKING_WAIT, MAX_BLOCKING_WAIT]


def test_a_long_pause_is_an_error_until_it_is_short(limit: RateLimitHeaders, clock: Clock) -> None:
    limit.update(headers(0, 100))
    for left in (100, 50, 11):
        clock.now = NOW + 100 - left
        error = error_of(lambda: limit.acquire("Vendor GET /things"), RateLimitedError)
        assert error.retry_after == pytest.approx(left)
        assert error.outcome is Outcome.NOT_DONE
        # 100 seconds after NOW.
        assert "Vendor GET /things" in str(error)
        assert "until 03:01:40 UTC" in str(error)
    assert clock.pauses == []

    clock.now = NOW + 95
    limit.acquire("here")

    assert clock.pauses == [5.0]


def test_no_more_threads_go_ahead_than_the_window_has_room_for(clock: Clock) -> None:
    asleep = threading.Semaphore(0)
    window_is_over = threading.Event()
    went: list[str] = []

    def sleep(seconds: float) -> None:
        asleep.release()
        assert window_is_over.wait(60)

    limit = RateLimitHeaders(sleep=sleep)
    limit.update(headers(7, 5))

    def go() -> None:
        limit.acquire("here")
        went.append("early" if not window_is_over.is_set() else "late")

    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(go) for _ in range(20)]
        for _ in range(13):
            assert asleep.acquire(timeout=60)
        while went.count("early") < 7:
            window_is_over.wait(0.001)
        # Those that wait hold no lock: answers to the others can be noted meanwhile.
        limit.update(headers(0, 5))
        window_is_over.set()
        for call in calls:
            call.result(timeout=60)

    assert (went.count("early"), went.count("late")) == (7, 13)


def test_the_headers_of_a_refusal_count_too(vendor: Vendor, clock: Clock) -> None:
    for status in (400, 404, 429, 500):
        vendor.default = Reply(status, {}, headers(0, 3600))
        client = Client(Settings(base_url=vendor.server.url, key=KEY))
        before = len(vendor.calls)

        for _ in range(2):
            error_of(lambda client=client: client.call("GET", "/things"), VendorError)

        assert len(vendor.calls) == before + 1, status


def test_a_client_waits_for_a_window_that_begins_soon(vendor: Vendor, client: Client, clock: Clock) -> None:
    client.rate_limits = RateLimitHeaders(sleep=clock.sleep)
    vendor.default = Reply(200, {}, headers(0, 2))
    client.call("GET", "/things")

    client.call("GET", "/things")

    assert clock.pauses == [2.0]
    assert len(vendor.calls) == 2
