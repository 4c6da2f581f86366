"""The activation of a definition: what may be said, and what it means."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.digital_audience.definition import ActivationTarget, Approval
from tests.unit.pipelines.conftest import GOOD, definition

FIRST = GOOD["activation"]["targets"][0]


def target(**changes: Any) -> ActivationTarget:
    return ActivationTarget.model_validate({**FIRST, **changes})


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, None),
        ({"approval": False}, None),
        ({"approval": True}, Approval()),
        ({"approval": {}}, Approval()),
        (
            {"approval": {"assigned_users": ["anna"], "within_hours": 2, "on_timeout": "fail"}},
            Approval(assigned_users=("anna",), within_hours=2, on_timeout="fail"),
        ),
    ],
)
def test_an_approval_is_asked_for_or_not(given: dict[str, Any], rule: Approval | None) -> None:
    assert target(**given).approval_rule == rule


def test_unanswered_is_refused_after_a_day_unless_said_otherwise() -> None:
    assert (Approval().within_hours, Approval().on_timeout) == (24, "reject")


@pytest.mark.parametrize(
    "wrong",
    [
        {"approval": "perhaps"},
        {"approval": {"on_timeout": "approve"}},
        {"approval": {"within_hours": 0}},
        {"approval": {"users": ["anna"]}},
        {"until": "2026-02-30"},
        {"until": "soon"},
        {"segment_name": "{nobody}"},
        {"segment_name": "{load_date:%H}"},
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        target(**wrong)


def test_the_last_day_ends_at_its_end_in_the_zone_of_the_definition() -> None:
    last = target(until="2026-12-31").last_moment("Europe/Amsterdam")

    assert last == datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=1)))
    assert target().last_moment("UTC") is None


def test_two_targets_that_would_be_one_segment_are_refused() -> None:
    with pytest.raises(ValidationError, match="they would be one segment"):
        definition(activation__targets=[FIRST, {**FIRST, "key": "other"}])


@pytest.mark.parametrize(
    "changes",
    [
        {"segment_name": "Other"},
        {"account": {"platform": "Xandr", "name": "Example NL"}},
    ],
)
def test_two_targets_with_different_segments_are_two(changes: dict[str, Any]) -> None:
    assert definition(activation__targets=[FIRST, {**FIRST, "key": "other", **changes}])


def test_the_key_of_a_target_tells_two_segments_of_an_account_apart() -> None:
    named = {**FIRST, "segment_name": "{audience} {target}"}

    assert definition(activation__targets=[named, {**named, "key": "other"}])
