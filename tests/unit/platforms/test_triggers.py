"""Behaviour that the triggers of all vendors share. How each judges a look is in the folder of its vendor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RateLimitedError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.platforms.commbox.models import Audience as CommBoxAudience
from audience_onboarding.platforms.commbox.triggers import CommBoxUserCountTrigger
from audience_onboarding.platforms.digital_audience.models import Audience, Segment
from audience_onboarding.platforms.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)
from audience_onboarding.platforms.fanfare.models import AudienceStatus, Import
from audience_onboarding.platforms.fanfare.triggers import FanfareAudienceStatusTrigger, FanfareImportTrigger
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.commbox.conftest import static
from tests.unit.platforms.fanfare.conftest import import_json
from tests.unit.platforms.kits import COMMBOX, DIGITAL_AUDIENCE, FANFARE, Kit, as_stored
from tests.unit.platforms.waiting import FAR, START, Scripted, scripted

BASELINE = {"state": "READY", "data_updated": "2026-11-20T03:00:00+00:00"}
SYNC_BASELINE = {"version": 3, "last_synced_at": "2026-11-20T03:00:00Z", "last_refreshed_at": None}


@dataclass(frozen=True)
class Wait:
    """A trigger, and what its vendor may show.

    :ivar arguments: beside those of every wait, none with its default.
    :ivar asked: of the vendor in each look.
    :ivar pending: looks that are known to mean "not yet", and the state and reason of the last one.
    :ivar unknown: two looks with states that the trigger does not know, where it may meet any.
    :ivar done: a look that ends the wait, and part of the result.
    :ivar failed: a look that ends the wait in a failure, its state and the message.
    """

    kit: Kit
    trigger: type[Any]
    arguments: dict[str, Any]
    asked: tuple[Any, ...]
    show: Callable[[Any], Any]
    pending: list[Any]
    last: tuple[str, str]
    done: Any
    result: dict[str, Any]
    unknown: tuple[Any, ...] = ()
    failed: tuple[Any, str, str] | None = None

    def make(self, **changes: Any) -> Any:
        common = {"conn_id": "a_connection", "poll_interval": 60.0, "deadline": FAR}
        return self.trigger(**{**common, **self.arguments, **changes})

    def shows(self, *states: Any) -> list[Any]:
        return [state if isinstance(state, Exception) else self.show(state) for state in states]


def audience(state: str) -> Audience:
    return Audience.model_validate({"id": 7, "audienceState": state, "dataUpdated": "2026-11-20T04:00:00Z"})


def segment(status: str | None) -> Segment:
    return Segment.model_validate({"segmentId": 5, "status": status, "endDate": "2026-12-20T00:00:00Z"})


def an_import(word: str | None) -> Import | None:
    return None if word is None else Import.model_validate(import_json(id="imp_1", status=word))


def sync_status(changes: dict[str, Any]) -> AudienceStatus:
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


def counted(count: int | None) -> list[CommBoxAudience]:
    return [CommBoxAudience.model_validate(static("1", "Alerts", count))]


WAITS = [
    Wait(
        DIGITAL_AUDIENCE,
        DigitalAudienceAudienceStateTrigger,
        {
            "audience_id": 7,
            "baseline": BASELINE,
            "mode": "opt-in",
            "rows": 100,
            "rules": {
                "success_states": ["DONE"],
                "failure_states": ["BAD"],
                "pending_states": ["BUSY"],
                "confirm_by": "data_updated",
            },
        },
        asked=(7,),
        show=audience,
        pending=["busy", "BUSY"],
        last=("BUSY", "the audience is in state BUSY"),
        unknown=("RECOUNTING", "MERGING"),
        done="DONE",
        result={"audience_id": 7, "audience_state": "DONE"},
        failed=("Bad", "Bad", "the audience is in state Bad"),
    ),
    Wait(
        DIGITAL_AUDIENCE,
        DigitalAudienceSegmentStatusTrigger,
        {"segment_id": 5, "success_statuses": ["Live"], "failure_statuses": ["rejected"]},
        asked=(5,),
        show=segment,
        pending=[None, "Active", "Pending"],
        last=("Pending", "the segment is in status Pending"),
        done="live",
        result={"segment_id": 5, "status": "live", "end_date": "2026-12-20T00:00:00Z"},
        failed=("Rejected", "Rejected", "the segment is in status Rejected"),
    ),
    Wait(
        FANFARE,
        FanfareImportTrigger,
        {"audience_id": "aud_1", "import_id": "imp_1"},
        asked=("aud_1", "imp_1"),
        show=an_import,
        pending=["PENDING", None, "PROCESSING"],
        last=("PROCESSING", "import imp_1 is PROCESSING, progress 0, 0 consumers"),
        unknown=("VALIDATING", "MERGING"),
        done="COMPLETED",
        result={"import_id": "imp_1", "import_status": "COMPLETED", "members": 7, "error_count": 0},
        failed=("FAILED", "FAILED", "import imp_1 is FAILED, progress 0, 0 consumers"),
    ),
    Wait(
        FANFARE,
        FanfareAudienceStatusTrigger,
        {"audience_id": "aud_1", "baseline": SYNC_BASELINE},
        asked=("aud_1",),
        show=sync_status,
        pending=[{"syncStatus": "SUCCESS"}, {"inProgress": True, "pendingShards": 2}, {"stale": True}],
        last=("stale", "it is stale"),
        unknown=({"syncStatus": "QUEUED"}, {"syncStatus": "MERGING"}),
        done={"syncStatus": "SUCCESS", "version": 4},
        result={"version": 4, "sync_status": "SUCCESS"},
        failed=({"syncStatus": "FAILED"}, "FAILED", "the last sync failed"),
    ),
    Wait(
        COMMBOX,
        CommBoxUserCountTrigger,
        {"audience_id": "1", "rows": 100, "minimum_ratio": 0.95},
        asked=(),
        show=counted,
        pending=[None, 0, 90],
        last=(
            "90 customers",
            "user_count is 90, 100 were sent; if CommBox omits some permanently, lower 'minimum_ratio'",
        ),
        done=100,
        result={"audience_id": "1", "audience_name": "Alerts", "user_count": 100},
    ),
]


@pytest.fixture(params=WAITS, ids=lambda wait: wait.trigger.__name__)
def wait(request: pytest.FixtureRequest) -> Wait:
    found: Wait = request.param
    return found


@pytest.fixture
def vendor(wait: Wait, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return scripted(wait.kit, monkeypatch)


def test_a_trigger_is_stored_as_json_and_comes_back_the_same(wait: Wait) -> None:
    path, arguments = wait.make().serialize()

    assert arguments == {
        "conn_id": "a_connection",
        "poll_interval": 60.0,
        "deadline": FAR,
        **wait.arguments,
    }
    assert path == f"{wait.trigger.__module__}.{wait.trigger.__qualname__}"
    assert wait.trigger(**as_stored(arguments)).serialize() == (path, arguments)


def test_success_is_reported_after_looks_that_mean_not_yet(wait: Wait, vendor: Scripted) -> None:
    vendor.shows = wait.shows(*wait.pending, wait.done)

    event = vendor.event_of(wait.make())

    assert event["status"] == "success"
    assert {name: event["result"][name] for name in wait.result} == wait.result
    assert vendor.asked == [wait.asked] * (len(wait.pending) + 1)
    # Never at the moment at which the task defers.
    assert vendor.times[0] == 5.0


CAN_FAIL = [wait for wait in WAITS if wait.failed]


@pytest.mark.parametrize("wait", CAN_FAIL, indirect=True, ids=[wait.trigger.__name__ for wait in CAN_FAIL])
def test_a_failure_is_reported_with_its_state(wait: Wait, vendor: Scripted) -> None:
    assert wait.failed
    shown, state, message = wait.failed
    vendor.shows = wait.shows(wait.pending[0], shown)

    assert vendor.event_of(wait.make()) == {"status": "failed", "state": state, "message": message}


def test_the_deadline_is_reported_with_the_last_state(wait: Wait, vendor: Scripted) -> None:
    vendor.shows = wait.shows(*wait.pending)

    event = vendor.event_of(wait.make(poll_interval=20.0, deadline=START + 330.0))

    assert event == {"status": "timeout", "state": wait.last[0], "message": wait.last[1]}
    assert len(vendor.asked) >= len(wait.pending)


def test_there_is_one_look_even_after_the_deadline(wait: Wait, vendor: Scripted) -> None:
    vendor.shows = wait.shows(wait.done)

    assert vendor.event_of(wait.make(deadline=0.0))["status"] == "success"


def test_a_deadline_without_a_good_look_says_why(wait: Wait, vendor: Scripted) -> None:
    vendor.shows = [VendorUnavailableError(what="No answer in time")]

    event = vendor.event_of(wait.make(deadline=START + 10.0))

    assert (event["status"], event["state"]) == ("timeout", "unknown")
    assert "No answer in time" in event["message"]


def test_transient_errors_are_survived_at_the_vendors_pace(wait: Wait, vendor: Scripted) -> None:
    vendor.shows = wait.shows(
        VendorUnavailableError(what="Down"), RateLimitedError(what="Slower", retry_after=300.0), wait.done
    )

    assert vendor.event_of(wait.make())["status"] == "success"
    assert vendor.times[2] - vendor.times[1] >= 300.0


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(what="It is gone", status=404),
        AuthenticationError(what="The key is old", status=401),
        ConfigurationError(what="Another organization"),
        UnexpectedResponseError(what="HTML"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_terminal_errors_are_reported(wait: Wait, vendor: Scripted, error: Exception) -> None:
    vendor.shows = wait.shows(wait.pending[0], error)

    assert vendor.event_of(wait.make()) == {
        "status": "error",
        "error": type(error).__name__,
        "message": str(error),
    }


def test_unknown_states_are_logged_once_and_known_ones_never(wait: Wait, vendor: Scripted) -> None:
    vendor.shows = wait.shows(*wait.pending, *wait.unknown, *wait.pending, *wait.unknown, wait.done)

    warnings = vendor.warnings_of(wait.make())

    names = [str(state["syncStatus"] if isinstance(state, dict) else state) for state in wait.unknown]
    assert [text.split()[2].rstrip(";") for text in warnings] == names


def test_one_look_serves_the_poke_mode(vendor: Scripted, wait: Wait) -> None:
    with every_case() as case:
        for shown, status in ((wait.pending[0], None), (wait.done, "success")):
            with case(shown):
                vendor.shows = wait.shows(shown)
                event = wait.make().poll(vendor).event
                assert (event and event["status"]) == status
