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
from audience_onboarding.base.triggers import PollResult
from audience_onboarding.exceptions import (
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
    monkeypatch.setattr(triggers, "align_to_grid", lambda pause: pause)
    monkeypatch.setattr(
        triggers,
        "asyncio",
        SimpleNamespace(
            sleep=script.sleep, get_running_loop=asyncio.get_running_loop, to_thread=asyncio.to_thread
        ),
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


RESULT = {"thing_id": "t-7", "state": "ready"}
NOT_FOUND = NotFoundError(what="Thing 7 is not known", status=404)
REFUSED = AuthenticationError(what="The key is refused")
NO_HOST = ConfigurationError(what="No host")


def error_of(error: Exception) -> dict[str, Any]:
    return {"status": "error", "error": type(error).__name__, "message": str(error)}


@pytest.mark.parametrize(
    ("shows", "wait", "event"),
    [
        (["new", "busy", "ready"], FAR, {"status": "success", "result": RESULT}),
        (["busy", "broken"], FAR, {"status": "failed", "state": "broken", "message": "the thing is broken"}),
        (["new", "busy"], 100, {"status": "timeout", "state": "busy", "message": "the thing is busy"}),
        # There is one look even after the deadline.
        (["ready"], -1000, {"status": "success", "result": RESULT}),
        ([unavailable()], 10, {"status": "timeout", "state": "unknown", "message": str(unavailable())}),
        (["busy", unavailable()], 10, {"status": "timeout", "state": "busy", "message": str(unavailable())}),
        (
            [unavailable(), RateLimitedError(what="Slower"), TransientError(what="Something else"), "ready"],
            FAR,
            {"status": "success", "result": RESULT},
        ),
        (["busy", NOT_FOUND], FAR, error_of(NOT_FOUND)),
        (["busy", REFUSED], FAR, error_of(REFUSED)),
        (["busy", NO_HOST], FAR, error_of(NO_HOST)),
    ],
    ids=[
        "success", "failure", "time-out", "after the deadline", "never an answer", "last state", "transient errors",
        "not found", "refused", "no host",
    ],
)  # fmt: skip
def test_the_end_of_a_wait_is_reported(
    vendor: Scripted, shows: list[Any], wait: float, event: dict[str, Any]
) -> None:
    vendor.shows = list(shows)

    found = event_of(trigger(deadline=vendor.now + wait))

    assert found == event
    assert set(vendor.asked) == {"t-7"}
    if event["status"] == "timeout":
        assert sum(vendor.pauses) == pytest.approx(wait)


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

    assert all(name.startswith("asyncio_") for name in vendor.threads)


def test_what_is_seen_is_an_event_or_a_reason_to_wait() -> None:
    assert PollResult("busy", "it is busy").event is None
    assert PollResult.success("ready", {"a": 1}).event == {"status": "success", "result": {"a": 1}}
    assert PollResult.failure("bad", "why").event == {"status": "failed", "state": "bad", "message": "why"}


# --- how often ----------------------------------------------------------------------------------------------


def limited(retry_after: float | None) -> RateLimitedError:
    return RateLimitedError(what="Slower", retry_after=retry_after)


INF = float("inf")


@pytest.mark.parametrize(
    ("shows", "wait", "pauses"),
    [
        # Less and less often, and never in the moment in which the task has deferred.
        ([*["busy"] * 6, "ready"], FAR, [5, 10, 20, 40, 60, 60, 60]),
        (["ready"], FAR, [5]),
        # A pause that the vendor asks for is kept, once.
        *[
            ([kind(what="Slower", retry_after=asked), "ready"], FAR, [5, pause])
            for kind in (RateLimitedError, VendorUnavailableError)
            for asked, pause in ((30.0, 30), (0.2, 10), (None, 10), (0.0, 10))
        ],
        ([limited(300.0), "busy", unavailable(), "ready"], FAR, [5, 300, 20, 40]),
        # No vendor can ask for more than an hour, and no pause goes beyond the deadline.
        *[([limited(asked), "ready"], 1_000_000, [5, 3600]) for asked in (3601.0, 86400.0, INF)],
        *[([limited(asked), "busy"], 8, [5, 3]) for asked in (86400.0, INF)],
    ],
)
def test_pauses(vendor: Scripted, shows: list[Any], wait: float, pauses: list[float]) -> None:
    vendor.shows = list(shows)

    status = event_of(trigger(deadline=vendor.now + wait))["status"]

    assert (status, vendor.pauses) == ("success" if shows[-1] == "ready" else "timeout", pauses)


def test_looks_are_in_step_but_never_before_the_vendor_allows(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "align_to_grid", lambda pause: pause - 0.5)
    vendor.shows = ["busy", limited(20.0), "ready"]

    assert event_of(trigger())["status"] == "success"
    assert vendor.pauses == [4.5, 9.5, 20.0]


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


def test_unknown_states_and_transient_errors_are_warned_of_once(vendor: Scripted) -> None:
    vendor.shows = ["new", *["recounting"] * 3, "busy", "recounting", "merging", "ready"]
    assert [text.split()[2].rstrip(";") for text in warnings_of(trigger())] == ["recounting", "merging"]

    vendor.shows = [unavailable(), "ready"]
    assert warnings_of(trigger()) == [
        "Poll failed; polling again: No answer in time. Airflow retries automatically."
    ]
