"""Activation targets of a definition, and their approval."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.platforms.digital_audience.definition import ActivationTarget, Approval
from tests.unit.pipelines.conftest import GOOD, definition

FIRST = GOOD["activation"]["targets"][0]


def target(**changes: Any) -> ActivationTarget:
    return ActivationTarget.model_validate({**FIRST, **changes})


def test_an_approval_is_required_if_it_is_given() -> None:
    rules: list[tuple[dict[str, Any], Approval | None]] = [
        ({}, None),
        ({"approval": False}, None),
        ({"approval": True}, Approval()),
        ({"approval": {}}, Approval()),
        (
            {"approval": {"assigned_users": ["anna"], "timeout_hours": 2, "on_timeout": "fail"}},
            Approval(assigned_users=("anna",), timeout_hours=2, on_timeout="fail"),
        ),
    ]

    assert [target(**given).approval_rule for given, _ in rules] == [rule for _, rule in rules]
    assert (Approval().timeout_hours, Approval().on_timeout) == (24, "reject")


@pytest.mark.parametrize(
    "wrong",
    [
        {"approval": "perhaps"},
        {"approval": {"on_timeout": "approve"}},
        {"approval": {"timeout_hours": 0}},
        {"approval": {"users": ["anna"]}},
        {"until": "2026-02-30"},
        {"until": "soon"},
        {"segment_name": "{nobody}"},
        {"segment_name": "{load_date:%H}"},
    ],
)
def test_an_invalid_target_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        target(**wrong)


def test_the_last_day_ends_at_its_end_in_the_zone_of_the_definition() -> None:
    last = target(until="2026-12-31").end_of_last_day("Europe/Amsterdam")

    assert last == datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=1)))
    assert target().end_of_last_day("UTC") is None


def test_two_targets_need_two_segments() -> None:
    named = {**FIRST, "segment_name": "{audience} {target}"}
    with pytest.raises(ValidationError, match="they would be one segment"):
        definition(activation__targets=[FIRST, {**FIRST, "key": "other"}])
    for first, changes in (
        (FIRST, {"segment_name": "Other"}),
        (FIRST, {"account": {"platform": "Xandr", "name": "Example NL"}}),
        (named, {}),
    ):
        assert definition(activation__targets=[first, {**first, "key": "other", **changes}])
