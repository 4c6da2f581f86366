"""Answers of Digital Audience, as the vendor's pages show them and as they may differ."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.platforms.digital_audience.models import (
    Activation,
    Audience,
    Campaign,
    HistoryEntry,
    PlatformAccount,
    Segment,
)

CREATED = {
    "userId": 123,
    "description": "A description",
    "campaignId": 123,
    "campaignName": "api_camp",
    "dataUpdated": None,
    "startDate": None,
    "endDate": None,
    "activationStatus": "New",
    "activationStatusId": 0,
    "lifetimeStatus": None,
    "lifetimeStatusId": None,
    "tagCollection": None,
    "crmData": None,
    "audienceState": "NODATA",
    "audienceStateId": 5,
    "type": "ONBOARDING",
    "typeId": 0,
    "sourceAudienceId": None,
    "sourceAudienceTypeId": None,
    "canCreateLookalike": False,
    "hasSegments": False,
    "id": 69249,
    "name": "api_audience",
    "created": "2025-12-15T11:36:16.489708Z",
    "updated": "2025-12-15T11:36:16.489708Z",
}
"""``data`` of the create example on the vendor's pages, field by field."""


def audience(**changes: Any) -> Audience:
    return Audience.model_validate({**CREATED, **changes})


def test_the_create_example_of_the_vendors_page_is_read() -> None:
    found = audience()

    assert (found.id, found.campaign_id, found.audience_state) == (69249, 123, "NODATA")
    assert found.created == datetime(2025, 12, 15, 11, 36, 16, 489708, tzinfo=timezone.utc)
    assert found.data_updated is None
    assert found.uploads() == []


def test_every_time_is_utc() -> None:
    times = {
        "2025-12-16T11:36:10.6878666Z": datetime(2025, 12, 16, 11, 36, 10, 687866, tzinfo=timezone.utc),
        "2025-12-16T11:36:10Z": datetime(2025, 12, 16, 11, 36, 10, tzinfo=timezone.utc),
        "2025-12-16T12:36:10+01:00": datetime(2025, 12, 16, 11, 36, 10, tzinfo=timezone.utc),
        "2025-12-16T11:36:10": datetime(2025, 12, 16, 11, 36, 10, tzinfo=timezone.utc),
    }
    found = {text: audience(dataUpdated=text).data_updated for text in times}

    assert found == times
    assert {time and time.tzinfo for time in found.values()} == {timezone.utc}


def test_only_the_id_of_an_audience_is_required() -> None:
    assert Audience.model_validate({"id": 1}).uploads() == []
    with pytest.raises(ValidationError):
        Audience.model_validate({"name": "no id"})
    for field in set(CREATED) - {"id"}:
        without = {name: value for name, value in CREATED.items() if name != field}

        assert audience(**{field: None}).id == Audience.model_validate(without).id == 69249, field


# --- history ------------------------------------------------------------------------------------------------


FIRST = {"mode": "opt-in", "totalRows": 3, "created": "2025-12-15T10:00:00Z"}
SECOND = {"mode": "opt-out", "totalRows": 1, "created": "2025-12-15T12:00:00Z"}
THIRD = {"mode": "replace", "totalRows": 9, "created": "2025-12-16T10:00:00Z"}


def test_a_history_is_read_in_any_nesting_oldest_first() -> None:
    histories: list[tuple[Any, list[str]]] = [
        ({"2025-12-15": FIRST, "2025-12-16": THIRD}, ["opt-in", "replace"]),
        ({"2025-12-15": [FIRST, SECOND], "2025-12-16": [THIRD]}, ["opt-in", "opt-out", "replace"]),
        ({"2025-12-16": THIRD, "2025-12-15": [SECOND, FIRST]}, ["opt-in", "opt-out", "replace"]),
        ({"15/12/2025": FIRST}, ["opt-in"]),
        ({"2025-12-15": []}, []),
        ({}, []),
        (None, []),
        ({"a": THIRD, "b": {"mode": "no time"}}, ["no time", "replace"]),
    ]

    found = [audience(crmData={"history": {"history": history}}).uploads() for history, _ in histories]

    assert [[entry.mode for entry in entries] for entries in found] == [modes for _, modes in histories]


def test_an_audience_without_history_has_no_uploads() -> None:
    for crm in (None, {}, {"history": None}, {"insightsState": "PENDING", "size": None}):
        assert audience(crmData=crm).uploads() == []


def test_counts_and_match_rates_of_an_upload() -> None:
    given = {
        **FIRST,
        "dataSet": {"EMAIL": {"TOTAL": 10, "UNIQUE": 9, "MATCH": 6, "UMATCH": 5, "NOMATCH": 3}},
        "matchRates": {"EMAIL": 0.6667, "PHONE": None},
    }
    entry = HistoryEntry.model_validate(given)

    assert entry.data_set["EMAIL"].usable_match == 5
    assert entry.match_rates == {"EMAIL": 0.6667, "PHONE": None}
    assert HistoryEntry.model_validate({**given, "dataSet": None}).data_set == {}
    assert HistoryEntry.model_validate({**given, "matchRates": None}).match_rates == {}


# --- other objects ------------------------------------------------------------------------------------------


def test_campaigns_activations_and_segments_need_their_ids() -> None:
    segment = Segment.model_validate({"segmentId": 5, "id": 77, "status": "Active"})

    assert Campaign.model_validate({"id": 5}).id == 5
    assert Activation.model_validate({"segmentId": 5, "flowId": "a-b"}).segment_id == 5
    # A segment has two ids, and operations take this one.
    assert (segment.segment_id, segment.id) == (5, 77)
    for model in (Activation, Segment):
        with pytest.raises(ValidationError):
            model.model_validate({"id": 77})


def test_the_access_token_of_an_account_is_not_kept() -> None:
    account = PlatformAccount.model_validate({"id": 1, "name": "x", "accessToken": "ya29.secret"})

    assert "ya29.secret" not in f"{account!r} {account.model_dump_json()}"
    assert not hasattr(account, "access_token")


def test_a_platform_is_known_by_any_of_its_three_names() -> None:
    account = PlatformAccount.model_validate(
        {"id": 1, "platformId": "Google DDP", "platformName": "DV360", "platformDisplayName": "DV360 NL"}
    )
    names = {
        **dict.fromkeys(("Google DDP", "google ddp", "DV360", "dv360 nl"), True),
        **dict.fromkeys(("Xandr", ""), False),
    }

    assert {name: account.is_on(name) for name in names} == names
    for number in (3, "3"):
        assert PlatformAccount.model_validate({"id": 1, "platformId": number}).is_on("3")
    assert not PlatformAccount.model_validate({"id": 1}).is_on("none")
