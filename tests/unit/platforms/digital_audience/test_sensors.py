"""The asset event of Digital Audience's segment sensor."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceSegmentStatusSensor
from tests.fakes import task_context
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.kits import DIGITAL_AUDIENCE

SEGMENT = Asset("segment/list/dv360")
RESULT = {"segment_id": 5, "status": "Active", "total_upload_count": 20}


class Events:
    """The event of an asset, as a task fills it in."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.days: list[str] = []

    def add_partitions(self, day: str) -> None:
        self.days.append(day)


def complete(event: dict[str, Any], events: Events, **changes: Any) -> Any:
    sensor = DigitalAudienceSegmentStatusSensor(task_id="wait", segment_id=5, asset=SEGMENT, **changes)
    assert sensor.outlets == [SEGMENT]
    return sensor.execute_complete({**task_context(), "outlet_events": {SEGMENT: events}}, event)  # type: ignore[typeddict-item]


def test_an_active_segment_is_an_event_of_its_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    DIGITAL_AUDIENCE.client(monkeypatch)
    with every_case() as case:
        for details, days in (
            ({"load_date": "2026-11-20", "target": "dv360"}, ["2026-11-20"]),
            ({"target": "dv360"}, []),
            (None, []),
        ):
            with case(details):
                events = Events()
                assert complete({"status": "success", "result": RESULT}, events, details=details) == RESULT
                assert events.extra == {**RESULT, **(details or {})}
                assert events.days == days


def test_a_segment_that_did_not_become_active_has_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    DIGITAL_AUDIENCE.client(monkeypatch)
    events = Events()

    with pytest.raises(AirflowFailException):
        complete({"status": "failed", "message": "it has failed"}, events)

    assert events.extra == {}
