"""Rate limiter of the package: never more requests in any minute than the ceiling, for all threads together."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.exceptions import (
    ConfigurationError,
    Outcome,
    RateLimitedError,
    VendorUnavailableError,
)
from audience_onboarding.http import (
    ApiClient,
    ClientSettings,
    HttpTransport,
    RateLimiter,
    TransportSettings,
    reset_clients,
    shared_client,
)
from audience_onboarding.http.rate_limiter import MAX_WAIT
from tests.unit.http.loopback import Loopback, Reply, Reset, closed_port
from tests.unit.http.plain import in_turn


class Time:
    """Clock that only sleeping moves; each caller has slept by the end of its own turn."""

    def __init__(self) -> None:
        self.now = 100.0
        self.turns: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def one_after_the_other(per_minute: float, pauses: list[float]) -> list[float]:
    """Return the times at which requests are sent, each asked for some seconds after the one before."""
    at = Time()
    rate_limiter = RateLimiter(per_minute, clock=at.clock, sleep=at.sleep)
    for pause in pauses:
        at.now += pause
        rate_limiter.acquire("GET /x")
        at.turns.append(at.now)
    return at.turns


def most_in_a_minute(turns: list[float]) -> int:
    # A turn is a moment; the slack is for what a computer makes of adding up fractions.
    return max(sum(start <= turn < start + 60 - 1e-6 for turn in turns) for start in turns)


@given(
    st.floats(3, 2000),
    st.lists(st.one_of(st.just(0.0), st.floats(0, 0.2), st.floats(0, 90)), min_size=1, max_size=300),
)
def test_no_minute_has_more_than_the_ceiling(per_minute: float, pauses: list[float]) -> None:
    assert most_in_a_minute(one_after_the_other(per_minute, pauses)) <= per_minute


def test_a_few_go_at_once_and_the_rest_is_spread() -> None:
    turns = one_after_the_other(600, [0.0] * 200)

    assert turns[59] == 100.0
    gaps = {round(later - earlier, 6) for earlier, later in itertools.pairwise(turns[60:])}
    assert gaps == {round(60 / 540, 6)}


def test_a_quiet_while_gives_back_no_more_than_the_burst() -> None:
    turns = one_after_the_other(600, [0.0] * 60 + [3600.0] + [0.0] * 60)

    assert turns[60:120] == [3700.0] * 60
    assert turns[120] > 3700.0


def test_requests_are_served_in_order_of_arrival() -> None:
    at = Time()
    slept: list[float] = []
    rate_limiter = RateLimiter(60, clock=at.clock, sleep=slept.append)

    for _ in range(10):
        rate_limiter.acquire("GET /x")

    assert slept == sorted(slept)
    assert len(slept) == 4  # six went at once


def test_a_queue_that_is_too_long_is_an_error_and_takes_no_turn() -> None:
    at = Time()
    slept: list[float] = []
    rate_limiter = RateLimiter(6, clock=at.clock, sleep=slept.append)

    def wait_on() -> None:
        while True:
            rate_limiter.acquire("POST /x")

    with pytest.raises(RateLimitedError) as caught:
        wait_on()

    error = caught.value
    assert error.outcome is Outcome.NOT_DONE
    assert error.where == "POST /x"
    assert error.retry_after is not None
    assert error.retry_after > MAX_WAIT
    assert "max_requests_per_minute" in error.next_step
    assert slept[-1] <= MAX_WAIT
    queue = len(slept)
    for _ in range(100):
        with pytest.raises(RateLimitedError):
            rate_limiter.acquire("POST /x")
    # A refused request has taken no place in the queue.
    at.now += 60 / 5
    rate_limiter.acquire("POST /x")
    assert len(slept) == queue + 1


def test_threads_share_the_turns() -> None:
    slept: list[float] = []
    rate_limiter = RateLimiter(3000, clock=lambda: 0.0, sleep=slept.append)
    start = threading.Barrier(20)

    def work(_: int) -> None:
        start.wait(60)
        for _ in range(20):
            rate_limiter.acquire("GET /x")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))

    # 300 at once, 100 spread: 45 a second.
    assert sorted(slept) == pytest.approx([number / 45 for number in range(1, 101)])


# --- what is sent ---------------------------------------------------------------------------------------------


class Counting(RateLimiter):
    """Lets everything go, and counts it."""

    def __init__(self) -> None:
        super().__init__(1e6)
        self.turns: list[str] = []

    def acquire(self, request_label: str) -> None:
        self.turns.append(request_label)


@pytest.fixture
def counting() -> Counting:
    return Counting()


def transport(url: str, rate_limiter: RateLimiter, **changes: float) -> HttpTransport:
    settings = TransportSettings(base_url=url, connect_timeout=2, read_timeout=5, **changes)  # type: ignore[arg-type]
    return HttpTransport(settings, vendor="Vendor", rate_limiter=rate_limiter)


def test_every_request_takes_a_turn(counting: Counting) -> None:
    with Loopback(lambda seen: Reply(200, {})) as server:
        sender = transport(server.url, counting)
        sender.send("GET", "/a?q=1")
        sender.send("POST", "/b", json={})

    assert counting.turns == ["Vendor GET /a", "Vendor POST /b"]


@pytest.mark.parametrize("broken", [Reply(503), Reset()], ids=["503", "reset"])
def test_a_repeated_get_takes_a_turn_for_each_repeat(counting: Counting, broken: Reply | Reset) -> None:
    with Loopback(in_turn(broken, broken, Reply(200, {}))) as server:
        assert transport(server.url, counting).send("GET", "/a").status_code == 200

    assert len(counting.turns) == len(server.seen) == 3


def test_a_connection_that_does_not_come_about_takes_a_turn_each_time(counting: Counting) -> None:
    with pytest.raises(VendorUnavailableError):
        transport(f"http://127.0.0.1:{closed_port()}", counting).send("POST", "/a")

    assert len(counting.turns) == 3


def test_two_transports_in_one_thread_keep_their_turns_apart(counting: Counting) -> None:
    other = Counting()
    with Loopback(lambda seen: Reply(200, {})) as server:
        transport(server.url, counting).send("GET", "/a")
        transport(server.url, other).send("GET", "/b")

    assert (len(counting.turns), len(other.turns)) == (1, 1)


# --- one ceiling per account ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """An account."""

    vendor: ClassVar[str] = "Vendor"
    default_requests_per_minute: ClassVar[float] = 600


class Client(ApiClient[Settings]):
    """Client of a platform."""

    @property
    def rate_limiter(self) -> RateLimiter | None:
        return self._transport.rate_limiter


def client(**changes: object) -> Client:
    return shared_client(Client, Settings(**{"base_url": "https://one.example", **changes}))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    reset_clients()
    yield
    reset_clients()


def test_connections_to_one_account_share_a_ceiling_and_the_lowest_counts() -> None:
    assert client().settings.max_requests_per_minute == 600
    first, second = client(), client(read_timeout=5, max_requests_per_minute=60)

    assert first is not second
    assert first.rate_limiter is second.rate_limiter
    assert first.rate_limiter is not None
    assert first.rate_limiter.per_minute == 60
    # A higher ceiling changes nothing.
    client(max_requests_per_minute=6000)
    assert first.rate_limiter.per_minute == 60
    assert client(base_url="https://two.example").rate_limiter is not first.rate_limiter


def test_a_client_that_is_not_shared_has_the_limit_of_its_connection() -> None:
    own = Client(Settings(base_url="https://one.example", max_requests_per_minute=60))
    for change in (lambda: None, own.disable_retries):
        change()
        assert own.rate_limiter is not None
        assert own.rate_limiter.per_minute == 60


def test_a_ceiling_is_a_positive_number() -> None:
    for value in (0, -1, "many", float("inf"), float("nan")):
        with pytest.raises(
            ConfigurationError, match="'max_requests_per_minute' of the connection is not a positive"
        ):
            Settings.parse_common(host="https://x.example", options={"max_requests_per_minute": value})
