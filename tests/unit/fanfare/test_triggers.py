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
from audience_onboarding.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RateLimitedError,
    VendorUnavailableError,
)
from audience_onboarding.fanfare.hooks import FanfareHook
from audience_onboarding.fanfare.models import AudienceStatus, Import
from audience_onboarding.fanfare.triggers import (
    FanfareAudienceStatusTrigger,
    FanfareImportTrigger,
    baseline_of,
    judge_status,
)
from tests.unit.fanfare.conftest import import_json

FAR = 200_000.0
EMAIL = "anna@example.com"


@dataclass
class Scripted:
    """A client that shows one thing after the other; the last stays. A clock that only pauses move."""

    shows: list[Any] = field(default_factory=list)
    members: Any = 7
    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def show(self, *ids: str) -> Any:
        self.asked.append(ids)
        found = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(found, Exception):
            raise found
        return found

    find_import = status = show

    def count(self, audience_id: str) -> int:
        assert audience_id == "aud_1"
        if isinstance(self.members, Exception):
            raise self.members
        found: int = self.members
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
    monkeypatch.setattr(FanfareHook, "client_of", staticmethod(client_of))
    monkeypatch.setattr(triggers, "time", SimpleNamespace(time=lambda: script.now))
    monkeypatch.setattr(triggers, "in_step", lambda pause: pause)
    monkeypatch.setattr(
        triggers,
        "asyncio",
        SimpleNamespace(sleep=script.sleep, get_running_loop=asyncio.get_running_loop),
    )
    return script


def an_import(status: str, **changes: Any) -> Import:
    return Import.model_validate(import_json(id="imp_1", status=status, **changes))


def import_trigger(**changes: Any) -> FanfareImportTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "a_connection",
        "audience_id": "aud_1",
        "import_id": "imp_1",
        "poll_interval": 60.0,
        "deadline": FAR,
    }
    return FanfareImportTrigger(**{**arguments, **changes})


BASELINE = {"version": 3, "last_synced_at": "2026-11-20T03:00:00Z", "last_refreshed_at": None}


def status_trigger(**changes: Any) -> FanfareAudienceStatusTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "a_connection",
        "audience_id": "aud_1",
        "poll_interval": 60.0,
        "deadline": FAR,
        "baseline": BASELINE,
    }
    return FanfareAudienceStatusTrigger(**{**arguments, **changes})


def status(**changes: Any) -> AudienceStatus:
    return AudienceStatus.model_validate(
        {
            "audienceId": "aud_1",
            "version": 3,
            "stale": False,
            "inProgress": False,
            "lastSyncedAt": "2026-11-20T03:00:00Z",
            **changes,
        }
    )


def event_of(trigger: Any) -> dict[str, Any]:
    """The one event of a trigger."""

    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(collect())
    assert json.loads(json.dumps(event)) == event
    found: dict[str, Any] = event
    return found


# --- what is stored -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [import_trigger, status_trigger])
def test_a_trigger_is_stored_as_json_and_comes_back_the_same(make: Callable[[], Any]) -> None:
    before = make()
    path, arguments = before.serialize()
    stored = json.loads(json.dumps(arguments))

    assert stored == arguments
    assert path == f"{type(before).__module__}.{type(before).__qualname__}"
    assert type(before)(**stored).serialize() == (path, arguments)


def test_all_that_was_asked_for_is_stored() -> None:
    common = {"conn_id": "a_connection", "audience_id": "aud_1", "poll_interval": 60.0, "deadline": FAR}

    assert import_trigger().serialize()[1] == {**common, "import_id": "imp_1"}
    assert status_trigger().serialize()[1] == {**common, "baseline": BASELINE}


# --- imports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["COMPLETED", "SUCCESS", "completed"])
def test_an_import_that_is_through_is_reported_with_its_counts(vendor: Scripted, word: str) -> None:
    errors = [{"row": 3, "issues": [{"type": "email", "path": [{"key": "email"}], "received": EMAIL}]}]
    vendor.shows = [
        an_import("PENDING"),
        an_import("PROCESSING", progress=0.5),
        an_import(word, processedConsumers=9, errorCount=1, errors=errors),
    ]

    assert event_of(import_trigger()) == {
        "status": "success",
        "result": {
            "import_id": "imp_1",
            "members": 7,
            "import_status": word,
            "processed_consumers": 9,
            "error_count": 1,
            "row_errors": [{"row": 3, "issues": ["email: email"]}],
        },
    }
    assert vendor.asked == [("aud_1", "imp_1")] * 3


def test_an_import_that_failed_says_which_rows_and_not_what_is_in_them(vendor: Scripted) -> None:
    errors = [
        {"row": number, "issues": [{"type": "email", "received": EMAIL}, f"{EMAIL} is taken"]}
        for number in range(1, 9)
    ]
    vendor.shows = [
        an_import(
            "FAILED",
            progress=50,
            processedConsumers=1200,
            totalConsumers=2400,
            errorCount=1008,
            errors=errors,
        )
    ]

    event = event_of(import_trigger())

    assert event == {
        "status": "failed",
        "state": "FAILED",
        "message": "import imp_1 is FAILED, progress 50, 1,200 of 2,400 consumers, 1,008 errors "
        "(row 1: email, <e-mail> is taken; row 2: email, <e-mail> is taken; row 3: email, <e-mail> is taken)",
    }


def test_an_import_of_another_status_is_waited_for_and_warned_of_once(vendor: Scripted) -> None:
    words = ["VALIDATING", "VALIDATING", "PENDING", "VALIDATING", "SUCCESS"]
    vendor.shows = [an_import(word) for word in words]
    trigger = import_trigger()
    trigger._log = log = Log()

    assert event_of(trigger)["status"] == "success"
    assert [text.split()[1] for text in log.warnings] == ["VALIDATING"]


@pytest.mark.parametrize("first", [None, an_import("PENDING"), an_import("PROCESSING")], ids=str)
def test_what_is_not_through_is_waited_for_without_a_warning(vendor: Scripted, first: Import | None) -> None:
    vendor.shows = [first, an_import("COMPLETED")]
    trigger = import_trigger()
    trigger._log = log = Log()

    assert event_of(trigger)["status"] == "success"
    assert log.warnings == []


def test_members_that_cannot_be_counted_yet_are_asked_for_again(vendor: Scripted) -> None:
    vendor.shows = [an_import("COMPLETED")]
    vendor.members = VendorUnavailableError(what="Down")

    event = event_of(import_trigger(deadline=vendor.now + 30))

    assert event["status"] == "timeout"
    assert "Down" in event["message"]


def test_the_deadline_is_reported_with_the_last_state(vendor: Scripted) -> None:
    vendor.shows = [None, an_import("PROCESSING", progress=0.25, processedConsumers=1)]

    assert event_of(import_trigger(deadline=vendor.now + 100)) == {
        "status": "timeout",
        "state": "PROCESSING",
        "message": "import imp_1 is PROCESSING, progress 0.25, 1 consumers",
    }
    assert sum(vendor.pauses) == pytest.approx(100)


def test_an_import_that_is_never_shown_is_a_time_out_that_says_so(vendor: Scripted) -> None:
    vendor.shows = [None]

    assert event_of(import_trigger(deadline=vendor.now + 10)) == {
        "status": "timeout",
        "state": "not shown",
        "message": "Fanfare does not show import imp_1",
    }


@pytest.mark.parametrize("make", [import_trigger, status_trigger])
@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(what="There is no audience aud_1", status=404),
        AuthenticationError(what="The key is old", status=401),
        ConfigurationError(what="Another organization"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_stay_are_reported(vendor: Scripted, make: Any, error: Exception) -> None:
    vendor.shows = [error]

    assert event_of(make()) == {"status": "error", "error": type(error).__name__, "message": str(error)}


def test_errors_that_may_go_away_are_lived_through_at_the_vendors_pace(vendor: Scripted) -> None:
    vendor.shows = [
        VendorUnavailableError(what="Down"),
        RateLimitedError(what="Slower", retry_after=300.0),
        an_import("COMPLETED"),
    ]

    assert event_of(import_trigger())["status"] == "success"
    assert vendor.pauses == [5.0, 10.0, 300.0]


class Log:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.warnings.append(message % arguments)

    def info(self, message: str, *arguments: object) -> None:
        assert EMAIL not in message % arguments


# --- the status of an audience ------------------------------------------------------------------------------

NOTHING = {"version": None, "last_synced_at": None, "last_refreshed_at": None}
NEWER = "2026-11-20T03:00:00.000001Z"


@pytest.mark.parametrize(
    ("changes", "baseline", "judged"),
    [
        # Up to date, and nothing was asked for before.
        ({}, None, "success"),
        ({"syncStatus": "SUCCESS"}, None, "success"),
        ({"version": None, "lastSyncedAt": None}, None, "success"),
        # Not up to date.
        ({"stale": True}, None, "waiting"),
        ({"inProgress": True}, None, "waiting"),
        ({"inProgress": True, "pendingShards": 3}, None, "waiting"),
        ({"syncStatus": "PENDING"}, None, "waiting"),
        ({"syncStatus": "PENDING", "stale": True, "inProgress": True}, None, "waiting"),
        ({"syncStatus": "SUCCESS", "stale": True}, None, "waiting"),
        ({"syncStatus": "SUCCESS", "inProgress": True}, None, "waiting"),
        # Failed; but one that is being tried again has not failed yet.
        ({"syncStatus": "FAILED"}, None, "failed"),
        ({"syncStatus": "FAILED", "stale": True}, None, "failed"),
        ({"syncStatus": "FAILED", "inProgress": True}, None, "waiting"),
        ({"syncStatus": "FAILED"}, BASELINE, "failed"),
        # Nothing newer than before the sync.
        ({}, BASELINE, "waiting"),
        ({"syncStatus": "SUCCESS"}, BASELINE, "waiting"),
        ({"lastSyncedAt": "2026-11-20T04:00:00+01:00"}, BASELINE, "waiting"),
        ({"lastSyncedAt": None}, BASELINE, "waiting"),
        ({"lastSyncedAt": "2026-11-19T03:00:00Z"}, BASELINE, "waiting"),
        # Something newer.
        ({"version": 4}, BASELINE, "success"),
        ({"version": "v4"}, BASELINE, "success"),
        ({"lastSyncedAt": NEWER}, BASELINE, "success"),
        ({"lastRefreshedAt": "2020-01-01T00:00:00Z"}, BASELINE, "success"),
        ({"lastSyncedAt": NEWER, "stale": True}, BASELINE, "waiting"),
        ({"version": None, "lastSyncedAt": NEWER}, NOTHING, "success"),
        ({"version": None, "lastSyncedAt": None}, NOTHING, "waiting"),
    ],
)  # fmt: skip
def test_how_a_status_is_judged(
    changes: dict[str, Any], baseline: dict[str, Any] | None, judged: str
) -> None:
    look = judge_status(status(**changes), baseline)

    assert (look.event["status"] if look.event else "waiting") == judged
    assert look.reason
    assert look.known


def test_what_was_there_before_is_no_news_of_itself() -> None:
    for found in (status(), status(version=None, lastSyncedAt="2026-11-20T03:00:00.1Z"), status(version="x")):
        baseline = json.loads(json.dumps(baseline_of(found)))

        assert judge_status(found, baseline).event is None


def test_a_status_is_waited_for(vendor: Scripted) -> None:
    vendor.shows = [
        status(syncStatus="SUCCESS"),
        status(syncStatus="PENDING", inProgress=True, pendingShards=2),
        status(stale=True),
        status(syncStatus="SUCCESS", version=4),
    ]

    event = event_of(status_trigger())

    assert event["status"] == "success"
    assert (event["result"]["version"], event["result"]["sync_status"]) == (4, "SUCCESS")
    assert vendor.asked == [("aud_1",)] * 4


@pytest.mark.parametrize(
    ("shows", "state", "reason"),
    [
        (status(inProgress=True, pendingShards=2), "fresh", "it is being worked on, 2 shards to go"),
        (status(stale=True), "stale", "it is stale"),
        (status(syncStatus="SUCCESS"), "SUCCESS", "it is up to date, but nothing is newer than before"),
    ],
)
def test_a_time_out_says_why(vendor: Scripted, shows: Any, state: str, reason: str) -> None:
    vendor.shows = [shows]

    assert event_of(status_trigger(deadline=vendor.now + 10)) == {
        "status": "timeout",
        "state": state,
        "message": reason,
    }
