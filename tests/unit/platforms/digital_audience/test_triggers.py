"""How Digital Audience's triggers judge what the vendor shows."""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.base.triggers import PollResult
from audience_onboarding.platforms.digital_audience import triggers
from audience_onboarding.platforms.digital_audience.confirmation import Expectation
from audience_onboarding.platforms.digital_audience.models import Audience
from audience_onboarding.platforms.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)
from tests.unit.platforms.kits import DIGITAL_AUDIENCE
from tests.unit.platforms.test_triggers import BASELINE, segment
from tests.unit.platforms.waiting import FAR, Scripted, scripted

COMMON: dict[str, Any] = {"conn_id": "a_connection", "poll_interval": 60.0, "deadline": FAR}


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    return scripted(DIGITAL_AUDIENCE, monkeypatch)


def audience(state: str, data_updated: str | None = "2026-11-20T04:00:00Z") -> Audience:
    return Audience.model_validate({"id": 7, "audienceState": state, "dataUpdated": data_updated})


def audience_trigger() -> DigitalAudienceAudienceStateTrigger:
    return DigitalAudienceAudienceStateTrigger(
        **COMMON, audience_id=7, baseline=BASELINE, mode="opt-in", rows=100
    )


def test_an_answer_that_is_the_same_as_before_is_judged_once(
    vendor: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    real = triggers.evaluate_audience

    def noted(seen: Audience, expectation: Expectation) -> PollResult:
        judged.append(seen.audience_state)
        return real(seen, expectation)

    monkeypatch.setattr(triggers, "evaluate_audience", noted)
    processing = audience("PROCESSING")
    vendor.shows = [processing, processing, audience("NODATA"), processing, processing, audience("READY")]

    assert vendor.event_of(audience_trigger())["status"] == "success"
    assert len(vendor.asked) == 6
    assert judged == ["PROCESSING", "NODATA", "PROCESSING", "READY"]


def test_the_default_states_are_those_of_the_vendors_pages(vendor: Scripted) -> None:
    vendor.shows = [audience("NODATA"), audience("processing"), audience("RECOUNTING"), audience("READY")]
    (warning,) = vendor.warnings_of(audience_trigger())
    assert "RECOUNTING" in warning

    vendor.shows = [audience("PROCESSING"), audience("Failed")]
    assert vendor.event_of(audience_trigger()) == {
        "status": "failed",
        "state": "Failed",
        "message": "the audience is in state Failed",
    }


def test_a_success_left_over_from_before_is_waited_out(vendor: Scripted) -> None:
    vendor.shows = [audience("READY", "2026-11-20T03:00:00Z"), audience("READY")]

    assert vendor.event_of(audience_trigger())["status"] == "success"
    assert len(vendor.asked) == 2


def test_a_segment_is_done_when_active_and_fails_by_no_status_unless_one_is_named(vendor: Scripted) -> None:
    vendor.shows = [segment("Rejected"), segment("ACTIVE")]

    event = vendor.event_of(DigitalAudienceSegmentStatusTrigger(**COMMON, segment_id=5))

    assert (event["status"], event["result"]["status"]) == ("success", "ACTIVE")
