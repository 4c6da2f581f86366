"""Sensors: what they defer to, and what they make of each event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import (
    AirflowFailException,
    TaskDeferred,
)

from audience_onboarding.base import sensors
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.digital_audience.models import Audience, Segment
from audience_onboarding.digital_audience.sensors import (
    DigitalAudienceAudienceStateSensor,
    DigitalAudienceSegmentStatusSensor,
)
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)
from audience_onboarding.errors import VendorUnavailableError
from tests.fakes import task_context

NOW = 1_800_000_000.0


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(
        base_url="https://vendor.example",
        user_name="u",
        password="p",
        portal_url="https://portal/{audience_id}",
    )
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: made))
    return made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the sensors stands still, and nobody sleeps."""
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def audience_sensor(**changes: Any) -> DigitalAudienceAudienceStateSensor:
    return DigitalAudienceAudienceStateSensor(**{"task_id": "wait", "audience_id": "7", **changes})


def segment_sensor(**changes: Any) -> DigitalAudienceSegmentStatusSensor:
    return DigitalAudienceSegmentStatusSensor(**{"task_id": "wait", "segment_id": 5, **changes})


def audience(state: str) -> Audience:
    return Audience.model_validate({"id": 7, "audienceState": state, "dataUpdated": "2026-11-20T04:00:00Z"})


def deferral_of(sensor: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(task_context())
    return caught.value


# --- deferring ----------------------------------------------------------------------------------------------


def test_it_defers_by_default_with_all_that_it_was_told(client: Any) -> None:
    deferral = deferral_of(
        audience_sensor(
            upload={"audience_id": 7, "baseline": {"state": "READY"}, "mode": "opt-in", "rows_sent": 100},
            success_states=["DONE"],
            failure_states=["BAD"],
            pending_states=["BUSY"],
            confirm_by="history",
            poke_interval=30,
            timeout=3600,
            digital_audience_conn_id="a_connection",
        )
    )

    assert isinstance(deferral.trigger, DigitalAudienceAudienceStateTrigger)
    assert deferral.trigger.serialize()[1] == {
        "conn_id": "a_connection",
        "audience_id": 7,
        "poll_interval": 30,
        "deadline": NOW + 3600,
        "baseline": {"state": "READY"},
        "mode": "opt-in",
        "rows": 100,
        "success_states": ["DONE"],
        "failure_states": ["BAD"],
        "pending_states": ["BUSY"],
        "confirm_by": "history",
    }
    assert deferral.method_name == "execute_complete"
    assert client.method_calls == []


def test_without_an_upload_any_data_is_waited_for(client: Any) -> None:
    deferral = deferral_of(audience_sensor())

    assert isinstance(deferral.trigger, DigitalAudienceAudienceStateTrigger)
    arguments = deferral.trigger.serialize()[1]
    assert (arguments["audience_id"], arguments["baseline"], arguments["mode"], arguments["rows"]) == (
        7,
        {},
        None,
        None,
    )


@pytest.mark.parametrize("audience_id", [None, "None", "", "seven"])
def test_a_sensor_without_an_audience_fails_at_once(client: Any, audience_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="ConfigurationError"):
        audience_sensor(audience_id=audience_id).execute(task_context())


def test_a_segment_is_deferred_in_the_same_way(client: Any) -> None:
    deferral = deferral_of(
        segment_sensor(segment_id="5", success_statuses=["Live"], failure_statuses=["Bad"])
    )

    assert isinstance(deferral.trigger, DigitalAudienceSegmentStatusTrigger)
    arguments = deferral.trigger.serialize()[1]
    assert arguments["segment_id"] == 5
    assert arguments["success_statuses"] == ["Live"]
    assert arguments["failure_statuses"] == ["Bad"]


@pytest.mark.parametrize(
    ("make", "longest"), [(audience_sensor, timedelta(days=2)), (segment_sensor, timedelta(days=4))]
)
def test_how_long_it_waits_without_being_told(client: Any, make: Any, longest: timedelta) -> None:
    assert deferral_of(make()).timeout == longest + DEFERRAL_GRACE


def test_the_link_to_the_portal_is_there_while_it_waits(client: Any) -> None:
    deferring, resumed = audience_sensor(), audience_sensor()

    with pytest.raises(TaskDeferred):
        deferring.execute(task_context())
    # Another process, another instance: what Airflow has kept of the first is overwritten by what this one shows.
    resumed.execute_complete(task_context(), {"status": "success", "result": {}})

    for sensor in (deferring, resumed):
        assert DigitalAudiencePortalLink().get_link(sensor, ti_key=None) == "https://portal/7"


# --- events -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "kind"),
    [(audience_sensor, "AudienceFailedError: Audience 7"), (segment_sensor, "SegmentFailedError")],
)
def test_a_failure_is_not_tried_again(make: Any, kind: str) -> None:
    with pytest.raises(AirflowFailException, match=f"{kind}.*in state FAILED"):
        make().execute_complete(
            {}, {"status": "failed", "state": "FAILED", "message": "it is in state FAILED"}
        )


# --- poking -------------------------------------------------------------------------------------------------


def test_it_can_wait_in_a_worker_slot(client: Any) -> None:
    client.load_changed_audience.side_effect = [
        (b"1", audience("PROCESSING")),
        VendorUnavailableError(what="Down"),
        (b"2", audience("READY")),
    ]

    found = audience_sensor(deferrable=False).execute(task_context())

    assert found["audience_state"] == "READY"
    assert client.load_changed_audience.call_count == 3


def test_a_poke_ends_with_a_failure(client: Any) -> None:
    client.load_changed_audience.return_value = (b"1", audience("FAILED"))

    with pytest.raises(AirflowFailException, match="AudienceFailedError"):
        audience_sensor(deferrable=False).execute(task_context())


def test_a_segment_is_poked_by_its_status(client: Any) -> None:
    client.load_segment.side_effect = [
        Segment.model_validate({"segmentId": 5, "status": status}) for status in ("Pending", "Active")
    ]

    assert segment_sensor(deferrable=False).execute(task_context())["status"] == "Active"


# --- templates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [audience_sensor, segment_sensor])
def test_every_templated_field_is_an_attribute(make: Any) -> None:
    sensor = make()

    assert all(hasattr(sensor, name) for name in sensor.template_fields)
    assert "digital_audience_conn_id" in sensor.template_fields


class _Events:
    """What a task says in the event of an asset."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.days: list[str] = []

    def add_partitions(self, day: str) -> None:
        self.days.append(day)


RESULT = {"segment_id": 5, "status": "Active", "total_upload_count": 20}


@pytest.mark.parametrize(
    "details", [{"load_date": "2026-11-20", "target": "dv360"}, {"target": "dv360"}, None]
)
def test_an_active_segment_is_an_event_of_its_asset(client: Any, details: dict[str, Any] | None) -> None:
    asset, events = Asset("segment/list/dv360"), _Events()
    sensor = segment_sensor(asset=asset, details=details)
    context = {**task_context(), "outlet_events": {asset: events}}

    found = sensor.execute_complete(context, {"status": "success", "result": RESULT})

    assert found == RESULT
    assert sensor.outlets == [asset]
    assert events.extra == {**RESULT, **(details or {})}
    assert events.days == ([details["load_date"]] if details and "load_date" in details else [])


def test_a_segment_that_did_not_become_active_says_nothing(client: Any) -> None:
    asset, events = Asset("segment/list/dv360"), _Events()
    context = {**task_context(), "outlet_events": {asset: events}}
    event = {"status": "failed", "message": "it has failed"}

    with pytest.raises(AirflowFailException):
        segment_sensor(asset=asset).execute_complete(context, event)

    assert events.extra == {}
