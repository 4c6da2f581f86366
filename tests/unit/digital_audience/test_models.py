"""Answers as the vendor's pages show them, and as they may come all the same."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.digital_audience.models import (
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


def with_history(history: Any) -> Audience:
    return Audience.model_validate({**CREATED, "crmData": {"history": {"history": history}}})


def test_the_create_example_of_the_vendors_page_is_read() -> None:
    audience = Audience.model_validate(CREATED)

    assert (audience.id, audience.campaign_id, audience.audience_state) == (69249, 123, "NODATA")
    assert audience.created == datetime(2025, 12, 15, 11, 36, 16, 489708, tzinfo=timezone.utc)
    assert audience.data_updated is None
    assert audience.uploads() == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-12-16T11:36:10.6878666Z", datetime(2025, 12, 16, 11, 36, 10, 687866, tzinfo=timezone.utc)),
        ("2025-12-16T11:36:10Z", datetime(2025, 12, 16, 11, 36, 10, tzinfo=timezone.utc)),
        ("2025-12-16T12:36:10+01:00", datetime(2025, 12, 16, 11, 36, 10, tzinfo=timezone.utc)),
        ("2025-12-16T11:36:10", datetime(2025, 12, 16, 11, 36, 10, tzinfo=timezone.utc)),
    ],
    ids=["seven digits", "whole seconds", "another zone", "no zone"],
)
def test_every_moment_is_utc(text: str, moment: datetime) -> None:
    audience = Audience.model_validate({**CREATED, "dataUpdated": text})

    assert audience.data_updated == moment
    assert audience.data_updated is not None
    assert audience.data_updated.tzinfo is timezone.utc


def test_only_the_id_of_an_audience_is_relied_upon() -> None:
    assert Audience.model_validate({"id": 1}).uploads() == []
    with pytest.raises(ValidationError):
        Audience.model_validate({"name": "no id"})


@pytest.mark.parametrize("field", sorted(set(CREATED) - {"id"}))
def test_every_other_field_may_be_null_or_missing(field: str) -> None:
    assert Audience.model_validate({**CREATED, field: None}).id == 69249
    assert (
        Audience.model_validate({name: value for name, value in CREATED.items() if name != field}).id == 69249
    )


# --- history ------------------------------------------------------------------------------------------------


FIRST = {"mode": "opt-in", "totalRows": 3, "created": "2025-12-15T10:00:00Z"}
SECOND = {"mode": "opt-out", "totalRows": 1, "created": "2025-12-15T12:00:00Z"}
THIRD = {"mode": "replace", "totalRows": 9, "created": "2025-12-16T10:00:00Z"}


@pytest.mark.parametrize(
    ("history", "modes"),
    [
        ({"2025-12-15": FIRST, "2025-12-16": THIRD}, ["opt-in", "replace"]),
        ({"2025-12-15": [FIRST, SECOND], "2025-12-16": [THIRD]}, ["opt-in", "opt-out", "replace"]),
        ({"2025-12-16": THIRD, "2025-12-15": [SECOND, FIRST]}, ["opt-in", "opt-out", "replace"]),
        ({"15/12/2025": FIRST}, ["opt-in"]),
        ({"2025-12-15": []}, []),
        ({}, []),
        (None, []),
        ({"a": THIRD, "b": {"mode": "no time"}}, ["no time", "replace"]),
    ],
)
def test_a_history_is_read_whatever_its_nesting_oldest_first(history: Any, modes: list[str]) -> None:
    assert [entry.mode for entry in with_history(history).uploads()] == modes


@pytest.mark.parametrize("crm", [None, {}, {"history": None}, {"insightsState": "PENDING", "size": None}])
def test_an_audience_without_history_has_no_uploads(crm: Any) -> None:
    assert Audience.model_validate({**CREATED, "crmData": crm}).uploads() == []


def test_counts_and_match_rates_of_an_upload() -> None:
    entry = HistoryEntry.model_validate(
        {
            "audienceId": 69249,
            "mode": "opt-in",
            "totalRows": 10,
            "created": "2025-12-15T10:00:00Z",
            "dataSet": {"EMAIL": {"TOTAL": 10, "UNIQUE": 9, "MATCH": 6, "UMATCH": 5, "NOMATCH": 3}},
            "matchRates": {"EMAIL": 0.6667, "PHONE": None},
        }
    )

    assert entry.data_set["EMAIL"].usable_match == 5
    assert entry.match_rates == {"EMAIL": 0.6667, "PHONE": None}


@pytest.mark.parametrize("field", ["dataSet", "matchRates"])
def test_null_counts_are_no_counts(field: str) -> None:
    entry = HistoryEntry.model_validate({**FIRST, field: None})

    assert (entry.data_set, entry.match_rates) == ({}, {})


# --- the rest -----------------------------------------------------------------------------------------------


def test_a_campaign_and_an_activation_need_their_ids() -> None:
    assert Campaign.model_validate({"id": 5}).id == 5
    assert Activation.model_validate({"segmentId": 5, "flowId": "a-b"}).segment_id == 5
    with pytest.raises(ValidationError):
        Activation.model_validate({"id": 5})


def test_a_segment_has_two_ids_and_operations_take_the_segments() -> None:
    segment = Segment.model_validate({"segmentId": 5, "id": 77, "status": "Active"})

    assert (segment.segment_id, segment.id) == (5, 77)
    with pytest.raises(ValidationError):
        Segment.model_validate({"id": 77})


def test_the_access_token_of_an_account_is_not_taken_over() -> None:
    account = PlatformAccount.model_validate({"id": 1, "name": "x", "accessToken": "ya29.secret"})

    assert "ya29.secret" not in repr(account)
    assert "ya29.secret" not in account.model_dump_json()
    assert not hasattr(account, "access_token")


@pytest.mark.parametrize(
    ("platform", "fits"),
    [
        ("Google DDP", True),
        ("google ddp", True),
        ("DV360", True),
        ("dv360 nl", True),
        ("Xandr", False),
        ("", False),
    ],
)
def test_a_platform_is_known_by_any_of_its_three_names(platform: str, fits: bool) -> None:
    account = PlatformAccount.model_validate(
        {"id": 1, "platformId": "Google DDP", "platformName": "DV360", "platformDisplayName": "DV360 NL"}
    )

    assert account.is_on(platform) is fits


@pytest.mark.parametrize("number", [3, "3"])
def test_a_platform_may_have_a_number_for_an_id(number: Any) -> None:
    assert PlatformAccount.model_validate({"id": 1, "platformId": number}).is_on("3")


def test_an_account_without_platform_is_on_none() -> None:
    assert not PlatformAccount.model_validate({"id": 1}).is_on("none")
