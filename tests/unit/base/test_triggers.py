"""Waiting in the triggerer, with a vendor that answers at once and pauses that take no time."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base import triggers
from audience_onboarding.base.triggers import Look
from audience_onboarding.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RateLimitedError,
    TransientError,
    VendorUnavailableError,
)
from tests.unit.base.plain import PlainHook, PlainTrigger

FAR = 200_000.0


@dataclass
class Scripted:
    """A client that shows one thing after the other; the last stays. A clock that only pauses move."""

    shows: list[Any] = field(default_factory=list)
    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def state_of(self, thing_id: str) -> Any:
        self.asked.append(thing_id)
        self.threads.add(threading.current_thread().name)
        found = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    script = Scripted()

    async def aget_connection(conn_id: str) -> str:
        return conn_id

    def client_of(connection: str) -> Scripted:
        assert connection == "a_connection"
        return script

    monkeypatch.setattr(triggers.BaseHook, "aget_connection", aget_connection)
    monkeypatch.setattr(PlainHook, "client_of", staticmethod(client_of))
    monkeypatch.setattr(triggers, "time", SimpleNamespace(time=lambda: script.now))
    monkeypatch.setattr(triggers, "in_step", lambda pause: pause)
    monkeypatch.setattr(
        triggers,
        "asyncio",
        SimpleNamespace(sleep=script.sleep, get_running_loop=asyncio.get_running_loop),
    )
    return script


def trigger(**changes: Any) -> PlainTrigger:
    return PlainTrigger(
        **{"conn_id": "a_connection", "thing_id": "t-7", "poll_interval": 60.0, "deadline": FAR, **changes}
    )


def event_of(waiting: Any) -> dict[str, Any]:
    """The one event of a trigger."""

    async def collect() -> list[Any]:
        return [event.payload async for event in waiting.run()]

    (event,) = asyncio.run(collect())
    assert json.loads(json.dumps(event)) == event
    found: dict[str, Any] = event
    return found


def unavailable() -> VendorUnavailableError:
    return VendorUnavailableError(what="No answer in time")


# --- what is stored -----------------------------------------------------------------------------------------


def test_a_trigger_is_stored_as_json_and_comes_back_the_same() -> None:
    before = trigger()
    path, arguments = before.serialize()

    assert path == f"{PlainTrigger.__module__}.PlainTrigger"
    assert arguments == {
        "conn_id": "a_connection",
        "thing_id": "t-7",
        "poll_interval": 60.0,
        "deadline": FAR,
    }
    assert PlainTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


# --- what is reported ---------------------------------------------------------------------------------------


def test_success_is_reported_with_what_was_seen(vendor: Scripted) -> None:
    vendor.shows = ["new", "busy", "ready"]

    assert event_of(trigger()) == {"status": "success", "result": {"thing_id": "t-7", "state": "ready"}}
    assert vendor.asked == ["t-7"] * 3


def test_a_failure_is_reported_with_its_state(vendor: Scripted) -> None:
    vendor.shows = ["busy", "broken"]

    assert event_of(trigger()) == {"status": "failed", "state": "broken", "message": "the thing is broken"}


def test_the_deadline_is_reported_with_the_last_state(vendor: Scripted) -> None:
    vendor.shows = ["new", "busy"]

    event = event_of(trigger(deadline=vendor.now + 100))

    assert event == {"status": "timeout", "state": "busy", "message": "the thing is busy"}
    assert sum(vendor.pauses) == pytest.approx(100)


def test_there_is_one_look_even_after_the_deadline(vendor: Scripted) -> None:
    vendor.shows = ["ready"]

    assert event_of(trigger(deadline=0.0))["status"] == "success"


def test_a_deadline_without_a_single_good_look_says_why(vendor: Scripted) -> None:
    vendor.shows = [unavailable()]

    event = event_of(trigger(deadline=vendor.now + 10))

    assert (event["status"], event["state"]) == ("timeout", "unknown")
    assert "No answer in time" in event["message"]


def test_the_last_state_outlives_later_errors(vendor: Scripted) -> None:
    vendor.shows = ["busy", unavailable()]

    event = event_of(trigger(deadline=vendor.now + 10))

    assert event["state"] == "busy"
    assert "No answer in time" in event["message"]


def test_errors_that_may_go_away_are_lived_through(vendor: Scripted) -> None:
    vendor.shows = [
        unavailable(),
        RateLimitedError(what="Slower"),
        TransientError(what="Something else"),
        "ready",
    ]

    assert event_of(trigger())["status"] == "success"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (NotFoundError(what="Thing 7 is not known", status=404), "NotFoundError"),
        (AuthenticationError(what="The key is refused"), "AuthenticationError"),
        (ConfigurationError(what="No host"), "ConfigurationError"),
    ],
)
def test_errors_that_stay_are_reported(vendor: Scripted, error: Exception, name: str) -> None:
    vendor.shows = ["busy", error]

    assert event_of(trigger()) == {"status": "error", "error": name, "message": str(error)}


def test_a_connection_that_cannot_be_used_is_reported(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def client_of(connection: str) -> Scripted:
        raise ConfigurationError(what="The connection has no host")

    monkeypatch.setattr(PlainHook, "client_of", staticmethod(client_of))

    assert event_of(trigger())["error"] == "ConfigurationError"


def test_waits_that_start_together_ask_for_the_connection_once(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def aget_connection(conn_id: str) -> str:
        asked.append(conn_id)
        await asyncio.sleep(0)
        return conn_id

    monkeypatch.setattr(triggers.BaseHook, "aget_connection", aget_connection)
    vendor.shows = ["ready"]

    async def first_event(waiting: PlainTrigger) -> Any:
        return [event.payload["status"] async for event in waiting.run()]

    async def all_events() -> Any:
        return await asyncio.gather(*(first_event(trigger()) for _ in range(5)))

    assert asyncio.run(all_events()) == [["success"]] * 5
    assert asked == ["a_connection"]


def test_looks_block_a_thread_and_not_the_triggerer(vendor: Scripted) -> None:
    vendor.shows = ["busy", "ready"]

    event_of(trigger())

    assert all(name.startswith("blocking-calls") for name in vendor.threads)


def test_what_is_seen_is_an_event_or_a_reason_to_wait() -> None:
    assert Look("busy", "it is busy").event is None
    assert Look.success("ready", {"a": 1}).event == {"status": "success", "result": {"a": 1}}
    assert Look.failure("bad", "why").event == {"status": "failed", "state": "bad", "message": "why"}


# --- how often ----------------------------------------------------------------------------------------------


def test_it_looks_less_and_less_often(vendor: Scripted) -> None:
    vendor.shows = [*["busy"] * 6, "ready"]

    event_of(trigger(poll_interval=60.0))

    assert vendor.pauses == [5, 10, 20, 40, 60, 60, 60]


def test_it_never_fires_in_the_moment_in_which_the_task_has_deferred(vendor: Scripted) -> None:
    vendor.shows = ["ready"]

    assert event_of(trigger())["status"] == "success"

    assert vendor.pauses == [5.0]


@pytest.mark.parametrize("kind", [RateLimitedError, VendorUnavailableError])
@pytest.mark.parametrize(("asked_for", "pause"), [(30.0, 30.0), (0.2, 10.0), (None, 10.0), (0.0, 10.0)])
def test_a_pause_that_the_vendor_asks_for_is_kept(
    vendor: Scripted, kind: type[VendorUnavailableError], asked_for: float | None, pause: float
) -> None:
    vendor.shows = [kind(what="Slower", retry_after=asked_for), "ready"]

    event_of(trigger())

    assert vendor.pauses == [5.0, pause]


def test_a_pause_that_was_asked_for_is_made_once(vendor: Scripted) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=300.0), "busy", unavailable(), "ready"]

    event_of(trigger())

    assert vendor.pauses == [5.0, 300.0, 20.0, 40.0]


def test_looks_are_in_step_but_never_before_the_vendor_allows(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "in_step", lambda pause: pause - 0.5)
    vendor.shows = ["busy", RateLimitedError(what="Slow down", retry_after=20.0), "ready"]

    assert event_of(trigger())["status"] == "success"
    assert vendor.pauses == [4.5, 9.5, 20.0]


@pytest.mark.parametrize("asked_for", [3601.0, 86400.0, float("inf")])
def test_no_vendor_can_ask_for_more_than_an_hour(vendor: Scripted, asked_for: float) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=asked_for), "ready"]

    event_of(trigger(deadline=vendor.now + 1_000_000))

    assert vendor.pauses == [5.0, 3600.0]


@pytest.mark.parametrize("asked_for", [86400.0, float("inf")])
def test_no_pause_goes_beyond_the_deadline(vendor: Scripted, asked_for: float) -> None:
    vendor.shows = [RateLimitedError(what="Slower", retry_after=asked_for), "busy"]

    assert event_of(trigger(deadline=vendor.now + 8))["status"] == "timeout"
    assert vendor.pauses == [5.0, 3.0]


# --- what is logged -----------------------------------------------------------------------------------------


class Log:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.warnings.append(message % arguments)

    def info(self, message: str, *arguments: object) -> None:
        assert message % arguments


def warnings_of(waiting: Any) -> list[str]:
    """What a trigger warns of until its event."""
    waiting._log = log = Log()
    event_of(waiting)
    return log.warnings


def test_an_unknown_state_is_warned_of_once(vendor: Scripted) -> None:
    vendor.shows = [*["recounting"] * 3, "busy", "recounting", "merging", "ready"]

    assert [text.split()[1] for text in warnings_of(trigger())] == ["recounting", "merging"]


def test_known_states_are_not_warned_of(vendor: Scripted) -> None:
    vendor.shows = ["new", "busy", "ready"]

    assert warnings_of(trigger()) == []


def test_an_error_that_is_lived_through_is_warned_of(vendor: Scripted) -> None:
    vendor.shows = [unavailable(), "ready"]

    assert warnings_of(trigger()) == ["Looking again: No answer in time. It is tried again by itself."]
