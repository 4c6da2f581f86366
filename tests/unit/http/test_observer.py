"""Callbacks of the observer, over real HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from audience_onboarding.exceptions import VendorUnavailableError
from audience_onboarding.http import (
    HttpTransport,
    RateLimiter,
    TransportSettings,
    reset_clients,
    shared_client,
)
from audience_onboarding.http.rate_limiter import RateLimitHeaders
from tests.unit.http.loopback import Loopback, Reply, Reset, closed_port
from tests.unit.http.plain import Client, Settings, in_turn


@dataclass
class Heard:
    """Notes all callbacks."""

    calls: list[tuple[str, int | None]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        self.calls.append((operation, status))
        self.seconds.append(seconds)

    def on_retry(self, operation: str) -> None:
        self.repeats.append(operation)

    def on_throttle(self, limit: str, seconds: float) -> None:
        self.waits.append((limit, seconds))

    def on_login(self, outcome: str) -> None:
        raise AssertionError("no client here logs in")


@pytest.fixture
def heard() -> Heard:
    return Heard()


def transport(url: str, heard: Heard, **more: Any) -> HttpTransport:
    return HttpTransport(TransportSettings(base_url=url), vendor="Vendor", observer=heard, **more)


def test_each_call_is_reported_with_its_operation_and_status(heard: Heard) -> None:
    with Loopback(lambda seen: Reply(200 if seen.path == "/x" else 404)) as server:
        vendor = transport(server.url, heard)
        vendor.send("GET", "/x", operation="get_x")
        vendor.send("POST", "/y/1?mail=anna@example.com", operation="create_y")
        vendor.send("GET", "/z")

    assert heard.calls == [("get_x", 200), ("create_y", 404), ("other", 404)]
    assert all(seconds > 0 for seconds in heard.seconds)
    assert not heard.repeats


def test_a_repeat_is_part_of_its_call(heard: Heard) -> None:
    with Loopback(in_turn(Reply(503), Reply(502), Reply(200))) as server:
        transport(server.url, heard).send("GET", "/x", operation="get_x")

    assert heard.calls == [("get_x", 200)]
    assert heard.repeats == ["get_x", "get_x"]


def test_a_call_without_an_answer_has_no_status(heard: Heard) -> None:
    with Loopback(lambda _: Reset()) as server, pytest.raises(VendorUnavailableError):
        transport(server.url, heard).send("POST", "/x", operation="create_x")
    with pytest.raises(VendorUnavailableError):
        transport(f"http://127.0.0.1:{closed_port()}", heard).send("GET", "/x", operation="get_x")

    assert heard.calls == [("create_x", None), ("get_x", None)]
    assert heard.repeats == ["get_x", "get_x"]


def test_a_wait_at_the_ceiling_is_reported_apart_from_the_call(heard: Heard) -> None:
    slept: list[float] = []
    with Loopback(lambda _: Reply(200)) as server:
        vendor = transport(
            server.url, heard, rate_limiter=RateLimiter(6, clock=lambda: 0.0, sleep=slept.append)
        )
        vendor.send("GET", "/x", operation="get_x")
        vendor.send("GET", "/x", operation="get_x")

    assert slept
    assert heard.waits == [("connection", slept[0])]
    assert len(heard.calls) == 2


def test_a_wait_for_the_vendors_window_is_reported(heard: Heard) -> None:
    with Loopback(lambda _: Reply(200, {})) as server:
        client = Client(Settings(base_url=server.url, key="key"), observer=heard)
        client.rate_limits = RateLimitHeaders(sleep=lambda _: None)
        client.rate_limits.acquire = lambda _: 1.5  # type: ignore[method-assign, assignment]
        client.call("GET", "/x", operation="get_x")

    assert heard.waits == [("vendor", 1.5)]
    assert heard.calls == [("get_x", 200)]


def test_the_shared_client_reports_to_the_observer_of_its_first_caller(heard: Heard) -> None:
    reset_clients()
    with Loopback(lambda _: Reply(200, {})) as server:
        shared = shared_client(Client, Settings(base_url=server.url, key="key"), observer=heard)
        shared.call("GET", "/x", operation="get_x")
    reset_clients()

    assert heard.calls == [("get_x", 200)]
