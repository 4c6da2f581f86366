"""Clients with a key, over real HTTP: what they send, what they believe, and how they keep to a rate limit."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import urllib3.util.retry

from audience_onboarding.errors import (
    AudienceOnboardingError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TooLargeError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import BearerClient, BearerSettings, Body, bearer
from audience_onboarding.http.bearer import LONGEST_PAUSE, RateLimit
from tests.unit.http.loopback import Action, Hang, Loopback, Reply, Reset, Seen

NOW = 1_795_143_600.0
KEY = "sk_test_hunter22"


@dataclass(frozen=True, kw_only=True)
class Settings(BearerSettings):
    """The least that a platform adds."""

    vendor: ClassVar[str] = "Vendor"


class Client(BearerClient[Settings]):
    """The least that a platform adds."""

    renewal = "Ask for a new key"
    call = BearerClient._call

    def _message(self, answer: Any) -> str | None:
        return answer.get("words") if isinstance(answer, dict) else None


@dataclass
class Vendor:
    """Answers with ``reply``, whatever it is asked."""

    reply: Action | Callable[[Seen], Action] = field(default_factory=lambda: Reply(200, {}))

    def __post_init__(self) -> None:
        self.server = Loopback(
            lambda seen: self.reply(seen) if callable(self.reply) else self.reply,
        )

    @property
    def seen(self) -> list[Seen]:
        return self.server.seen


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of the transport come at once."""
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", lambda seconds: None)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    with made.server:
        yield made


@pytest.fixture
def client(vendor: Vendor) -> Client:
    return Client(Settings(base_url=vendor.server.url, key=KEY, read_timeout=0.5))


def error_of(act: Callable[[], Any]) -> AudienceOnboardingError:
    with pytest.raises(AudienceOnboardingError) as caught:
        act()
    return caught.value


# --- what is sent -------------------------------------------------------------------------------------------


def test_a_call_sends_the_key_and_returns_the_json(vendor: Vendor, client: Client) -> None:
    vendor.reply = Reply(201, {"data": [1]})

    assert client.call("POST", "/things", json={"name": "x"}) == {"data": [1]}

    (seen,) = vendor.seen
    assert (seen.method, seen.path, seen.json) == ("POST", "/things", {"name": "x"})
    assert seen.headers["Authorization"] == f"Bearer {KEY}"


def test_an_answer_without_a_body_is_one_where_the_caller_says_so(vendor: Vendor, client: Client) -> None:
    vendor.reply = Reply(204, b"")

    assert client.call("DELETE", "/things/1", may_be_empty=True) is None
    assert isinstance(error_of(lambda: client.call("DELETE", "/things/1")), UnexpectedResponseError)
    # A page of HTML is no empty answer.
    vendor.reply = Reply(200, b"<html>")
    assert isinstance(
        error_of(lambda: client.call("DELETE", "/things/1", may_be_empty=True)), UnexpectedResponseError
    )


def test_the_query_is_encoded_and_what_is_not_given_left_out(vendor: Vendor, client: Client) -> None:
    client.call("GET", "/things", query={"name": "één & twee", "page": 0, "cursor": None, "empty": ""})
    client.call("GET", "/things", query={"cursor": None})

    assert [seen.path for seen in vendor.seen] == [
        "/things?name=%C3%A9%C3%A9n+%26+twee&page=0&empty=",
        "/things",
    ]


def test_a_body_is_streamed_beside_the_key(vendor: Vendor, client: Client) -> None:
    client.call("PUT", "/things/7", body=Body("text/csv", 6, lambda: iter([b"abc", b"def"])))

    (seen,) = vendor.seen
    assert seen.body == b"abcdef"
    assert seen.headers["Content-Type"] == "text/csv"
    assert seen.headers["Authorization"] == f"Bearer {KEY}"


def test_the_key_goes_nowhere_else_with_a_redirect(vendor: Vendor, client: Client) -> None:
    with Loopback(lambda seen: Reply(200, {})) as elsewhere:
        vendor.reply = Reply(302, headers={"Location": f"{elsewhere.url}/x"})
        error = error_of(lambda: client.call("GET", "/things"))

    assert isinstance(error, UnexpectedResponseError)
    assert elsewhere.seen == []


def test_the_key_is_told_to_be_a_secret_before_anything_is_sent() -> None:
    secrets: list[str] = []

    Client(Settings(base_url="https://vendor.example", key=KEY), on_secret=secrets.append)

    assert secrets == [KEY]


# --- what is believed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{}, [], 0, "", False, {"a": 1}])
def test_any_json_is_an_answer(vendor: Vendor, client: Client, answer: Any) -> None:
    vendor.reply = Reply(200, b'""' if answer == "" else answer)

    assert client.call("GET", "/things") == answer


@pytest.mark.parametrize("body", ["<html>Sign in</html>", "", '{"cut": "of', b"\xff\xfe", "null"])
@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("GET", Outcome.NOT_DONE),
        ("POST", Outcome.UNKNOWN),
        ("PUT", Outcome.UNKNOWN),
        ("DELETE", Outcome.UNKNOWN),
    ],
)
def test_a_success_that_cannot_be_read_may_have_done_something(
    vendor: Vendor, client: Client, method: str, outcome: Outcome, body: str | bytes
) -> None:
    vendor.reply = Reply(200, body, {"Content-Type": "text/html"})

    error = error_of(lambda: client.call(method, "/things"))

    assert type(error) is UnexpectedResponseError
    assert error.outcome is outcome
    assert error.status == 200
    assert f"Vendor {method} /things" in str(error)
    assert "Check the host" in str(error)
    assert "Sign in" not in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "outcome_of_a_change"),
    [
        (302, UnexpectedResponseError, Outcome.NOT_DONE),
        (400, RequestRejectedError, Outcome.NOT_DONE),
        (401, AuthenticationError, Outcome.NOT_DONE),
        (403, PermissionDeniedError, Outcome.NOT_DONE),
        (404, NotFoundError, Outcome.NOT_DONE),
        (409, ConflictError, Outcome.NOT_DONE),
        (413, TooLargeError, Outcome.NOT_DONE),
        (422, RequestRejectedError, Outcome.NOT_DONE),
        (423, VendorUnavailableError, Outcome.NOT_DONE),
        (429, RateLimitedError, Outcome.NOT_DONE),
        (500, VendorUnavailableError, Outcome.UNKNOWN),
        (503, VendorUnavailableError, Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("body", [{"words": "Not today"}, "<html>Not today</html>"], ids=["JSON", "HTML"])
def test_a_status_stands_for_an_error(
    vendor: Vendor,
    client: Client,
    status: int,
    kind: type[VendorError],
    outcome_of_a_change: Outcome,
    body: Any,
) -> None:
    vendor.reply = Reply(status, body)

    change = error_of(lambda: client.call("POST", "/things"))
    look = error_of(lambda: client.call("GET", "/things"))

    assert type(change) is type(look) is kind
    assert isinstance(change, VendorError)
    assert isinstance(look, VendorError)
    assert (change.outcome, look.outcome) == (outcome_of_a_change, Outcome.NOT_DONE)
    assert change.status == status
    # The vendor's words where the client finds them, and never a page of HTML.
    assert ("Not today" in str(change)) is isinstance(body, dict)
    assert "<html>" not in str(change)


@pytest.mark.parametrize("failure", [Reset(), Hang()])
def test_a_change_without_an_answer_is_sent_once_and_may_have_happened(
    vendor: Vendor, client: Client, failure: Action
) -> None:
    vendor.reply = failure

    error = error_of(lambda: client.call("POST", "/things"))

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.UNKNOWN
    assert len(vendor.seen) == 1


# --- what a message says ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply(404, {}), Reply(500, {}), Reply(200, "<html>"), Reset()])
def test_neither_query_nor_key_nor_body_is_in_messages_and_logs(
    vendor: Vendor, client: Client, reply: Action, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="audience_onboarding")
    vendor.reply = reply

    error = error_of(
        lambda: client.call(
            "POST", "/things", query={"email": "anna@example.com"}, json={"phone": "31612345678"}
        )
    )

    assert "Vendor POST /things" in str(error)
    for secret in ("anna", "%40", "hunter22", "31612345678"):
        assert secret not in str(error)
        assert secret not in caplog.text


def test_a_key_that_is_not_accepted_says_how_to_get_another(vendor: Vendor, client: Client) -> None:
    vendor.reply = Reply(401, {"words": "Expired"})

    error = error_of(lambda: client.call("GET", "/things", about="Thing 7", next_step="Look for it"))

    assert str(error) == (
        "The credentials are not accepted (Vendor GET /things): Expired. Ask for a new key. [HTTP 401]"
    )


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 422])
def test_a_refusal_says_which_object_and_what_to_do(vendor: Vendor, client: Client, status: int) -> None:
    vendor.reply = Reply(status, {"words": "No"})

    error = error_of(lambda: client.call("GET", "/things/7", about="Thing 7", next_step="Look for it"))

    assert re.match("Thing 7: [tw]", str(error))
    assert ": No. Look for it. [HTTP" in str(error)


@pytest.mark.parametrize("status", [403, 423, 429, 500])
def test_what_has_nothing_to_do_with_the_object_does_not_name_it(
    vendor: Vendor, client: Client, status: int
) -> None:
    vendor.reply = Reply(status, {})

    assert "Thing 7" not in str(error_of(lambda: client.call("GET", "/things/7", about="Thing 7")))


def test_what_the_vendor_quotes_of_people_stays_out(vendor: Vendor, client: Client) -> None:
    vendor.reply = Reply(422, {"words": "Row 3: anna@example.com, +31 6 12345678 is taken"})

    message = str(error_of(lambda: client.call("POST", "/things")))

    assert "Row 3: <e-mail>, <number> is taken" in message


@dataclass
class Named:
    """Something with a name."""

    id: str


def test_of_several_with_one_name_none_is_taken() -> None:
    client = Client(Settings(base_url="https://vendor.example", key=KEY))

    assert client._only([], "List") is None
    assert client._only([Named("a")], "List") == Named("a")
    with pytest.raises(ConfigurationError, match=r"2 audiences are called 'List' \(Vendor\).*a, b"):
        client._only([Named("a"), Named("b")], "List")


# --- how long to wait ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "pause"),
    [
        ({}, {}, None),
        ({"retryAfter": 30}, {}, 30.0),
        ({"retryAfter": 0.5}, {}, 0.5),
        ({"retryAfter": 0}, {}, 0.0),
        ({"retryAfter": -1}, {}, None),
        ({"retryAfter": "30"}, {}, None),
        ({"retryAfter": None}, {}, None),
        ({"retryAfter": {"seconds": 30}}, {}, None),
        ([30], {}, None),
        ("slower", {}, None),
        ('{"retryAfter": NaN}', {}, None),
        ({}, {"Retry-After": "7"}, 7.0),
        ({"retryAfter": 30}, {"Retry-After": "7"}, 7.0),
        ({"retryAfter": 30}, {"Retry-After": "0"}, 0.0),
        ({"retryAfter": 30}, {"Retry-After": "soon"}, 30.0),
    ],
)
@pytest.mark.parametrize("status", [423, 429, 503])
def test_the_pause_comes_from_the_header_or_else_from_the_body(
    vendor: Vendor, client: Client, status: int, body: Any, headers: dict[str, str], pause: float | None
) -> None:
    vendor.reply = Reply(status, body, headers)

    error = error_of(lambda: client.call("GET", "/things"))

    assert isinstance(error, VendorUnavailableError)
    assert error.retry_after == pause


def test_a_moment_as_the_pause_is_counted_from_now(vendor: Vendor, client: Client) -> None:
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    vendor.reply = Reply(429, {}, {"Retry-After": moment.isoformat().replace("+00:00", "Z")})

    error = error_of(lambda: client.call("GET", "/things"))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == pytest.approx(600, abs=30)


# --- a rate limit -------------------------------------------------------------------------------------------


class Clock:
    """Time that only pauses move, and who has waited how long."""

    def __init__(self) -> None:
        self.now = NOW
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(bearer, "time", SimpleNamespace(time=lambda: made.now))
    return made


@pytest.fixture
def limit(clock: Clock) -> RateLimit:
    return RateLimit(sleep=clock.sleep)


def headers(remaining: Any, reset_in: float) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(NOW + reset_in)}


def test_without_a_limit_nobody_waits(limit: RateLimit, clock: Clock) -> None:
    for _ in range(1000):
        limit.wait("here")

    assert clock.pauses == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Reset": str(NOW + 5)},
        {"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": str(NOW + 5)},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": ""},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "nan"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "inf"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-inf"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1e300"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW + 5) * 1000)},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"},
        headers(0, 0),
        headers(0, -1),
    ],
    ids=lambda given: " ".join(given.values()) or "none",
)
def test_headers_that_say_nothing_hold_nobody_up(
    limit: RateLimit, clock: Clock, given: dict[str, str]
) -> None:
    limit.note(given)

    limit.wait("here")

    assert clock.pauses == []


def test_odd_headers_do_not_take_away_what_is_known(limit: RateLimit, clock: Clock) -> None:
    limit.note(headers(0, 5))
    limit.note({})

    limit.wait("here")

    assert clock.pauses == [5.0]


def test_who_has_used_up_a_window_waits_for_the_next(limit: RateLimit, clock: Clock) -> None:
    limit.note(headers(2, 8))

    for _ in range(3):
        limit.wait("here")

    assert clock.pauses == [8.0]
    # The window has begun anew: nothing is known of it until the next answer.
    limit.wait("here")
    assert clock.pauses == [8.0]


def test_each_answer_corrects_what_is_left(limit: RateLimit, clock: Clock) -> None:
    limit.note(headers(1, 8))
    limit.wait("here")
    limit.note(headers(1, 8))
    limit.wait("here")
    assert clock.pauses == []

    limit.note(headers(0, 3))
    limit.wait("here")

    assert clock.pauses == [3.0]


@pytest.mark.parametrize("remaining", [0, -1])
def test_a_short_pause_is_waited_for_here(limit: RateLimit, clock: Clock, remaining: int) -> None:
    limit.note(headers(remaining, LONGEST_PAUSE))

    limit.wait("here")

    assert clock.pauses == [LONGEST_PAUSE]


def test_a_long_pause_is_the_callers(limit: RateLimit, clock: Clock) -> None:
    limit.note(headers(0, LONGEST_PAUSE + 1))

    with pytest.raises(RateLimitedError, match=r"Vendor GET /things") as caught:
        limit.wait("Vendor GET /things")

    assert caught.value.retry_after == LONGEST_PAUSE + 1
    assert caught.value.outcome is Outcome.NOT_DONE
    assert f"until {datetime.fromtimestamp(NOW + 11, timezone.utc):%H:%M:%S} UTC" in str(caught.value)
    assert clock.pauses == []


def test_a_long_pause_gets_shorter_and_ends(limit: RateLimit, clock: Clock) -> None:
    limit.note(headers(0, 100))
    for left in (100, 50, 11):
        clock.now = NOW + 100 - left
        with pytest.raises(RateLimitedError) as caught:
            limit.wait("here")
        assert caught.value.retry_after == pytest.approx(left)

    clock.now = NOW + 95
    limit.wait("here")

    assert clock.pauses == [5.0]


def test_no_more_threads_go_ahead_than_the_window_has_room_for(clock: Clock) -> None:
    asleep = threading.Semaphore(0)
    window_is_over = threading.Event()
    went: list[str] = []

    def sleep(seconds: float) -> None:
        asleep.release()
        assert window_is_over.wait(10)

    limit = RateLimit(sleep=sleep)
    limit.note(headers(7, 5))

    def go() -> None:
        limit.wait("here")
        went.append("early" if not window_is_over.is_set() else "late")

    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(go) for _ in range(20)]
        for _ in range(13):
            assert asleep.acquire(timeout=10)
        # All that wait hold no lock: what the others learn can be noted meanwhile.
        limit.note(headers(0, 5))
        window_is_over.set()
        for call in calls:
            call.result(timeout=10)

    assert (went.count("early"), went.count("late")) == (7, 13)


def test_a_client_sends_nothing_into_a_window_that_is_used_up(
    vendor: Vendor, client: Client, clock: Clock
) -> None:
    vendor.reply = Reply(200, {}, headers(0, 3600))
    client.call("GET", "/things")

    error = error_of(lambda: client.call("POST", "/things?x=1"))

    assert isinstance(error, RateLimitedError)
    assert error.outcome is Outcome.NOT_DONE
    assert error.retry_after == 3600
    assert "Vendor POST /things)" in str(error)
    assert len(vendor.seen) == 1


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_the_headers_of_a_refusal_count_too(
    vendor: Vendor, client: Client, clock: Clock, status: int
) -> None:
    vendor.reply = Reply(status, {}, headers(0, 3600))
    error_of(lambda: client.call("GET", "/things"))

    error_of(lambda: client.call("GET", "/things"))

    assert len(vendor.seen) == 1


def test_a_client_waits_for_a_window_that_begins_soon(vendor: Vendor, client: Client, clock: Clock) -> None:
    client.rate_limit = RateLimit(sleep=clock.sleep)
    vendor.reply = Reply(200, {}, headers(0, 2))
    client.call("GET", "/things")

    client.call("GET", "/things")

    assert clock.pauses == [2.0]
    assert len(vendor.seen) == 2


def test_clients_of_two_accounts_do_not_share_a_limit(vendor: Vendor, client: Client, clock: Clock) -> None:
    vendor.reply = Reply(200, {}, headers(0, 3600))
    client.call("GET", "/things")

    Client(Settings(base_url=vendor.server.url, key="another")).call("GET", "/things")

    assert len(vendor.seen) == 2
