"""Waiting in the triggerer, with a vendor that answers at once and pauses that take no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base import triggers
from audience_onboarding.base.triggers import Look
from audience_onboarding.digital_audience import triggers as digital_audience_triggers
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.models import Audience, Segment
from audience_onboarding.digital_audience.readiness import Expectation
from audience_onboarding.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)

FAR = 200_000.0
BASELINE = {"state": "READY", "data_updated": "2026-11-20T03:00:00+00:00"}


@dataclass
class Scripted:
    """A client that shows one thing after the other; the last stays. A clock that only pauses move."""

    shows: list[Any] = field(default_factory=list)
    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def show(self, remote_id: int) -> Any:
        self.asked.append(remote_id)
        found = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(found, Exception):
            raise found
        return found

    load_segment = show

    def load_changed_audience(
        self, audience_id: int, *, known: bytes | None = None
    ) -> tuple[bytes, Audience] | None:
        found = self.show(audience_id)
        fingerprint = found.model_dump_json().encode()
        return None if fingerprint == known else (fingerprint, found)

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
    monkeypatch.setattr(DigitalAudienceHook, "client_of", staticmethod(client_of))
    monkeypatch.setattr(triggers, "time", SimpleNamespace(time=lambda: script.now))
    monkeypatch.setattr(triggers, "in_step", lambda pause: pause)
    monkeypatch.setattr(
        triggers,
        "asyncio",
        SimpleNamespace(sleep=script.sleep, get_running_loop=asyncio.get_running_loop),
    )
    return script


def audience(state: str, data_updated: str | None = "2026-11-20T04:00:00Z") -> Audience:
    return Audience.model_validate({"id": 7, "audienceState": state, "dataUpdated": data_updated})


def audience_trigger(**changes: Any) -> DigitalAudienceAudienceStateTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "a_connection",
        "audience_id": 7,
        "poll_interval": 60.0,
        "deadline": FAR,
        "baseline": BASELINE,
        "mode": "opt-in",
        "rows": 100,
    }
    return DigitalAudienceAudienceStateTrigger(**{**arguments, **changes})


def segment_trigger(**changes: Any) -> DigitalAudienceSegmentStatusTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "a_connection",
        "segment_id": 5,
        "poll_interval": 60.0,
        "deadline": FAR,
    }
    return DigitalAudienceSegmentStatusTrigger(**{**arguments, **changes})


def segment(status: str | None) -> Segment:
    return Segment.model_validate({"segmentId": 5, "status": status, "endDate": "2026-12-20T00:00:00Z"})


def event_of(trigger: Any) -> dict[str, Any]:
    """The one event of a trigger."""

    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(collect())
    assert json.loads(json.dumps(event)) == event
    found: dict[str, Any] = event
    return found


# --- what is stored -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [audience_trigger, segment_trigger])
def test_a_trigger_is_stored_as_json_and_comes_back_the_same(make: Callable[[], Any]) -> None:
    before = make()
    path, arguments = before.serialize()
    stored = json.loads(json.dumps(arguments))

    assert stored == arguments
    assert path == f"{type(before).__module__}.{type(before).__qualname__}"
    assert type(before)(**stored).serialize() == (path, arguments)


def test_all_that_was_asked_for_is_stored() -> None:
    _, arguments = audience_trigger(
        success_states=("DONE",), failure_states=("BAD",), pending_states=("BUSY",), confirm_by="history"
    ).serialize()

    assert arguments == {
        "conn_id": "a_connection",
        "audience_id": 7,
        "poll_interval": 60.0,
        "deadline": FAR,
        "baseline": BASELINE,
        "mode": "opt-in",
        "rows": 100,
        "success_states": ["DONE"],
        "failure_states": ["BAD"],
        "pending_states": ["BUSY"],
        "confirm_by": "history",
    }


# --- what is reported ---------------------------------------------------------------------------------------


def test_success_is_reported_with_what_was_seen(vendor: Scripted) -> None:
    vendor.shows = [audience("NODATA", None), audience("PROCESSING", None), audience("READY")]

    event = event_of(audience_trigger())

    assert event["status"] == "success"
    assert (event["result"]["audience_id"], event["result"]["audience_state"]) == (7, "READY")
    assert vendor.asked == [7, 7, 7]


def test_an_answer_that_is_the_same_as_before_is_judged_once(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    judge = digital_audience_triggers.judge_audience

    def noted(seen: Audience, expectation: Expectation) -> Look:
        judged.append(seen.audience_state)
        return judge(seen, expectation)

    monkeypatch.setattr(digital_audience_triggers, "judge_audience", noted)
    processing = audience("PROCESSING")
    vendor.shows = [processing, processing, audience("NODATA"), processing, processing, audience("READY")]

    assert event_of(audience_trigger())["status"] == "success"
    assert len(vendor.asked) == 6
    assert judged == ["PROCESSING", "NODATA", "PROCESSING", "READY"]


def test_what_is_left_over_is_waited_out(vendor: Scripted) -> None:
    vendor.shows = [audience("READY", "2026-11-20T03:00:00Z"), audience("READY")]

    assert event_of(audience_trigger())["status"] == "success"
    assert len(vendor.asked) == 2


def test_a_failure_is_reported_with_its_state(vendor: Scripted) -> None:
    vendor.shows = [audience("PROCESSING"), audience("Failed")]

    assert event_of(audience_trigger()) == {
        "status": "failed",
        "state": "Failed",
        "message": "the audience is in state Failed",
    }


# --- what is logged -----------------------------------------------------------------------------------------


class Log:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.warnings.append(message % arguments)

    def info(self, message: str, *arguments: object) -> None:
        assert message % arguments


def warnings_of(trigger: Any) -> list[str]:
    """What a trigger warns of until its event."""
    trigger._log = log = Log()
    event_of(trigger)
    return log.warnings


def test_an_unknown_state_is_warned_of_once(vendor: Scripted) -> None:
    vendor.shows = [
        *[audience("RECOUNTING")] * 3,
        audience("PROCESSING"),
        audience("RECOUNTING"),
        audience("MERGING"),
        audience("READY"),
    ]

    assert [text.split()[1] for text in warnings_of(audience_trigger())] == ["RECOUNTING", "MERGING"]


def test_known_states_are_not_warned_of(vendor: Scripted) -> None:
    vendor.shows = [audience("NODATA"), audience("processing"), audience("READY")]

    assert warnings_of(audience_trigger()) == []


# --- segments -----------------------------------------------------------------------------------------------


def test_an_active_segment_is_reported_with_its_dates(vendor: Scripted) -> None:
    vendor.shows = [segment("Pending"), segment(None), segment("ACTIVE")]

    event = event_of(segment_trigger())

    assert event["status"] == "success"
    assert event["result"]["segment_id"] == 5
    assert event["result"]["end_date"] == "2026-12-20T00:00:00Z"
    assert vendor.asked == [5, 5, 5]


def test_the_statuses_of_a_segment_are_settings(vendor: Scripted) -> None:
    vendor.shows = [segment("Active"), segment("live")]

    assert event_of(segment_trigger(success_statuses=["Live"]))["result"]["status"] == "live"


def test_a_segment_fails_only_by_a_status_that_means_failure(vendor: Scripted) -> None:
    vendor.shows = [segment("Rejected"), segment("Active")]
    assert event_of(segment_trigger())["status"] == "success"

    vendor.shows = [segment("Rejected"), segment("Active")]
    assert event_of(segment_trigger(failure_statuses=["rejected"])) == {
        "status": "failed",
        "state": "Rejected",
        "message": "the segment is in status Rejected",
    }


def test_a_segment_that_never_gets_active_is_a_time_out(vendor: Scripted) -> None:
    vendor.shows = [segment("Pending")]

    assert event_of(segment_trigger(deadline=vendor.now + 60))["state"] == "Pending"
