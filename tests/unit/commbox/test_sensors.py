"""The sensor: what it defers to, and what it makes of each event."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from audience_onboarding.base import sensors
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.hooks import CommBoxHook
from audience_onboarding.commbox.links import CommBoxPortalLink
from audience_onboarding.commbox.models import Audience
from audience_onboarding.commbox.sensors import CommBoxUserCountSensor
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.commbox.triggers import LAST_LOOK, CommBoxUserCountTrigger
from audience_onboarding.errors import AuthenticationError, VendorUnavailableError
from tests.fakes import task_context
from tests.unit.commbox.conftest import static

NOW = 1_800_000_000.0
UPLOAD = {"audience_id": "1", "rows_sent": 100, "uploaded": True, "created": False}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(CommBoxClient, instance=True)
    made.settings = CommBoxSettings(
        base_url="https://vendor.example", key="k", portal_url="https://console/{audience_id}"
    )
    monkeypatch.setattr(CommBoxHook, "client", property(lambda hook: made))
    return made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the sensors stands still, and nobody sleeps."""
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def sensor(**changes: Any) -> CommBoxUserCountSensor:
    return CommBoxUserCountSensor(**{"task_id": "wait", "upload": UPLOAD, **changes})


def shown(count: int | None) -> list[Audience]:
    return [Audience.model_validate(static("1", "Alerts", count))]


def deferral_of(waiting: CommBoxUserCountSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute(task_context())
    return caught.value


def test_it_defers_by_default_with_all_that_it_was_told(client: Any) -> None:
    waiting = sensor(minimum_share=0.9, poke_interval=30, timeout=3600, commbox_conn_id="a_connection")

    deferral = deferral_of(waiting)

    assert isinstance(deferral.trigger, CommBoxUserCountTrigger)
    assert deferral.trigger.serialize()[1] == {
        "conn_id": "a_connection",
        "audience_id": "1",
        "rows": 100,
        "minimum_share": 0.9,
        "poll_interval": 30,
        "deadline": NOW + 3600,
    }
    assert deferral.timeout == timedelta(hours=1) + DEFERRAL_GRACE
    assert CommBoxPortalLink().get_link(waiting, ti_key=None) == "https://console/1"


def test_it_does_not_look_before_the_list_can_be_in(client: Any) -> None:
    # The count may still be that of the list before, which was as long.
    client.list_audiences.return_value = shown(100)

    deferral_of(sensor())

    assert client.method_calls == []


def test_the_last_look_comes_before_airflows_own_time_out() -> None:
    assert timedelta(seconds=LAST_LOOK) < DEFERRAL_GRACE


def test_without_an_upload_any_count_will_do(client: Any) -> None:
    deferral = deferral_of(sensor(upload=None, audience_id=7))

    assert isinstance(deferral.trigger, CommBoxUserCountTrigger)
    assert (deferral.trigger.audience_id, deferral.trigger.rows) == ("7", None)


@pytest.mark.parametrize("audience_id", [None, "", "None", "a/b"])
def test_a_sensor_that_does_not_know_what_to_wait_for_fails_at_once(client: Any, audience_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="ConfigurationError"):
        sensor(upload=None, audience_id=audience_id).execute(task_context())


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_load_that_was_confirmed_before_is_not_waited_for(client: Any, deferrable: bool) -> None:
    confirmed = {"audience_id": "1", "user_count": 100}

    found = sensor(
        upload={"audience_id": "1", "uploaded": False, "confirmed": confirmed}, deferrable=deferrable
    ).execute(task_context())

    assert found == confirmed
    assert client.method_calls == []


SUCCESS = {"status": "success", "result": {"audience_id": "1", "audience_name": "Alerts", "user_count": 100}}
TIMEOUT = {"status": "timeout", "state": "90 customers", "message": "user_count is 90, 100 were sent"}
ERROR = {"status": "error", "error": "AuthenticationError", "message": "The key has expired"}


def test_a_success_returns_what_was_counted(client: Any) -> None:
    assert sensor().execute_complete(task_context(), SUCCESS) == SUCCESS["result"]


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (
            TIMEOUT,
            AirflowSensorTimeout,
            "Audience 1 was not done within 1:00:00.*user_count is 90, 100 were sent",
        ),
        (ERROR, AirflowFailException, "AuthenticationError: The key has expired"),
    ],
)
def test_what_becomes_of_the_other_events(event: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        sensor(timeout=3600).execute_complete(task_context(), event)


def test_soft_fail_skips() -> None:
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True).resume_execution("execute_complete", {"event": TIMEOUT}, task_context())


def test_it_can_wait_in_a_worker_slot(client: Any) -> None:
    client.list_audiences.side_effect = [
        [],
        shown(None),
        shown(90),
        VendorUnavailableError(what="Down"),
        shown(100),
    ]

    assert sensor(deferrable=False).execute(task_context()) == SUCCESS["result"]
    assert client.list_audiences.call_count == 5


def test_a_poke_ends_with_an_error_that_stays(client: Any) -> None:
    client.list_audiences.side_effect = AuthenticationError(what="The key has expired")

    with pytest.raises(AirflowFailException, match="The key has expired"):
        sensor(deferrable=False).execute(task_context())


def test_a_poke_ends_at_the_time_out(client: Any) -> None:
    client.list_audiences.return_value = shown(90)

    with pytest.raises(AirflowSensorTimeout):
        sensor(deferrable=False, timeout=0).execute(task_context())


def test_every_templated_field_is_an_attribute() -> None:
    waiting = sensor()

    assert all(hasattr(waiting, name) for name in waiting.template_fields)
    assert {"upload", "audience_id", "commbox_conn_id"} == set(waiting.template_fields)
