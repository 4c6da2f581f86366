"""How Fanfare's triggers judge imports and the status of an audience."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.exceptions import VendorUnavailableError
from audience_onboarding.platforms.fanfare.models import AudienceStatus, Import
from audience_onboarding.platforms.fanfare.triggers import (
    FanfareAudienceStatusTrigger,
    FanfareImportTrigger,
    baseline_of,
    evaluate_status,
)
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.fanfare.conftest import import_json
from tests.unit.platforms.kits import FANFARE
from tests.unit.platforms.test_triggers import SYNC_BASELINE as BASELINE
from tests.unit.platforms.test_triggers import sync_status
from tests.unit.platforms.waiting import FAR, START, Scripted, scripted

EMAIL = "anna@example.com"
COMMON: dict[str, Any] = {"conn_id": "a_connection", "audience_id": "aud_1", "poll_interval": 60.0}


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return scripted(FANFARE, monkeypatch)


def an_import(status: str, **changes: Any) -> Import:
    return Import.model_validate(import_json(id="imp_1", status=status, **changes))


def import_trigger(deadline: float = FAR) -> FanfareImportTrigger:
    return FanfareImportTrigger(**COMMON, import_id="imp_1", deadline=deadline)


def status(**changes: Any) -> AudienceStatus:
    return sync_status(changes)


# --- imports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["COMPLETED", "SUCCESS", "completed"])
def test_a_finished_import_is_reported_with_its_counts(vendor: Scripted, word: str) -> None:
    errors = [{"row": 3, "issues": [{"type": "email", "path": [{"key": "email"}], "received": EMAIL}]}]
    vendor.shows = [an_import(word, processedConsumers=9, errorCount=1, errors=errors)]

    assert vendor.event_of(import_trigger()) == {
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


def test_a_failed_import_names_rows_without_their_content(vendor: Scripted) -> None:
    errors = [
        {"row": number, "issues": [{"type": "email", "received": EMAIL}, f"{EMAIL} is taken"]}
        for number in range(1, 9)
    ]
    counts = {"progress": 50, "processedConsumers": 1200, "totalConsumers": 2400, "errorCount": 1008}
    vendor.shows = [an_import("FAILED", **counts, errors=errors)]

    assert vendor.event_of(import_trigger()) == {
        "status": "failed",
        "state": "FAILED",
        "message": "import imp_1 is FAILED, progress 50, 1,200 of 2,400 consumers, 1,008 errors "
        "(row 1: email, <e-mail> is taken; row 2: email, <e-mail> is taken; row 3: email, <e-mail> is taken)",
    }


def test_members_that_cannot_be_counted_yet_are_asked_for_again(vendor: Scripted) -> None:
    vendor.shows = [an_import("COMPLETED")]
    vendor.members = VendorUnavailableError(what="Down")

    event = vendor.event_of(import_trigger(START + 30))

    assert event["status"] == "timeout"
    assert "Down" in event["message"]


def test_a_time_out_says_how_far_the_import_is(vendor: Scripted) -> None:
    with every_case() as case:
        for shown, state, message in (
            (
                an_import("PROCESSING", progress=0.25, processedConsumers=1),
                "PROCESSING",
                "import imp_1 is PROCESSING, progress 0.25, 1 consumers",
            ),
            (None, "not shown", "Fanfare does not show import imp_1"),
        ):
            with case(state):
                vendor.shows = [shown]
                event = vendor.event_of(import_trigger(vendor.clock.now + 10))
                assert event == {"status": "timeout", "state": state, "message": message}


# --- the status of an audience ------------------------------------------------------------------------------

NOTHING = {"version": None, "last_synced_at": None, "last_refreshed_at": None}
NEWER = "2026-11-20T03:00:00.000001Z"
JUDGED: list[tuple[dict[str, Any], dict[str, Any] | None, str]] = [
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
]


def test_how_a_status_is_judged() -> None:
    with every_case() as case:
        for changes, baseline, judged in JUDGED:
            with case((changes, baseline)):
                look = evaluate_status(status(**changes), baseline)
                assert (look.event["status"] if look.event else "waiting") == judged
                assert look.reason
                assert look.known


def test_a_status_is_not_newer_than_its_own_baseline() -> None:
    with every_case() as case:
        for changes in ({}, {"version": None, "lastSyncedAt": "2026-11-20T03:00:00.1Z"}, {"version": "x"}):
            with case(changes):
                found = status(**changes)
                assert evaluate_status(found, json.loads(json.dumps(baseline_of(found)))).event is None


def test_a_time_out_says_why_the_audience_is_not_up_to_date(vendor: Scripted) -> None:
    with every_case() as case:
        for changes, state, reason in (
            (
                {"inProgress": True, "pendingShards": 2},
                "fresh",
                "the update is in progress, 2 shards pending",
            ),
            ({"syncStatus": "SUCCESS"}, "SUCCESS", "it is up to date, but not newer than the baseline"),
        ):
            with case(state):
                vendor.shows = [status(**changes)]
                trigger = FanfareAudienceStatusTrigger(
                    **COMMON, baseline=BASELINE, deadline=vendor.clock.now + 10
                )
                assert vendor.event_of(trigger) == {"status": "timeout", "state": state, "message": reason}
