"""Sensors: what they defer to, and what they make of each event."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralTimeout,
    TaskDeferred,
)

from audience_onboarding.base import sensors
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.exceptions import ConfigurationError, NotFoundError, VendorUnavailableError
from tests.fakes import task_context
from tests.unit.base.plain import PlainHook, PlainPortalLink, PlainSensor, PlainTrigger

NOW = 1_800_000_000.0
FAILED = {"status": "failed", "state": "broken", "message": "the thing is broken"}
TIMEOUT = {"status": "timeout", "state": "busy", "message": "the thing is busy"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the sensors, and do not sleep."""
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def sensor(**changes: Any) -> PlainSensor:
    return PlainSensor(**{"task_id": "wait", **changes})


def deferral_of(waiting: PlainSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute(task_context())
    return caught.value


# --- deferring ----------------------------------------------------------------------------------------------


@pytest.fixture
def busy(client: Any) -> Any:
    """A vendor that is not done yet."""
    client.state_of.return_value = "busy"
    return client


def test_it_looks_once_and_then_defers(busy: Any) -> None:
    deferral = deferral_of(sensor(poke_interval=30, timeout=3600, plain_conn_id="a_connection"))

    assert isinstance(deferral.trigger, PlainTrigger)
    assert deferral.trigger.serialize()[1] == {
        "conn_id": "a_connection",
        "thing_id": "t-7",
        "poll_interval": 30,
        "deadline": NOW + 3600,
    }
    assert deferral.method_name == "execute_complete"
    busy.state_of.assert_called_once()


def test_a_first_look_may_end_the_wait(client: Any) -> None:
    assert sensor().execute(task_context()) == {"thing_id": "t-7", "state": "ready"}
    client.state_of.return_value = "broken"
    with pytest.raises(AirflowFailException, match="the thing is broken"):
        sensor().execute(task_context())
    client.state_of.side_effect = VendorUnavailableError(what="Down")
    deferral_of(sensor())


def test_the_triggerer_looks_first_where_a_look_takes_a_login(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainSensor, "poke_before_defer", False)

    deferral_of(sensor())

    assert not client.state_of.called


def test_the_timeout_of_airflow_comes_after_that_of_the_trigger(busy: Any) -> None:
    for timeout in (3600, 3600.0, timedelta(hours=1)):
        deferral = deferral_of(sensor(timeout=timeout))
        assert isinstance(deferral.trigger, PlainTrigger)
        assert deferral.trigger.deadline == NOW + 3600
        assert deferral.timeout == timedelta(hours=1) + DEFERRAL_GRACE
    assert deferral_of(sensor()).timeout == timedelta(days=2) + DEFERRAL_GRACE
    # Airflow looks for such time-outs every 15 s only.
    assert timedelta(seconds=15) < DEFERRAL_GRACE


def test_where_there_is_nothing_to_wait_for_it_ends_at_once(client: Any) -> None:
    for deferrable in (True, False):
        found = sensor(known={"state": "ready"}, deferrable=deferrable).execute(task_context())
        assert found == {"state": "ready"}

    assert not client.state_of.called


@pytest.mark.parametrize("thing_id", [None, "None", "", "a b"])
def test_a_sensor_without_a_thing_fails_at_once(client: Any, thing_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="ConfigurationError"):
        sensor(thing_id=thing_id).execute(task_context())


def test_the_link_to_the_portal_is_there_while_it_waits(busy: Any) -> None:
    deferring, resumed = sensor(), sensor()

    deferral_of(deferring)
    # Another process, another instance: what Airflow has kept of the first is overwritten by what this one shows.
    resumed.execute_complete(task_context(), {"status": "success", "result": {}})

    for shown in (deferring, resumed):
        assert PlainPortalLink().get_link(shown, ti_key=None) == "https://portal/t-7"


def test_an_unusable_connection_fails_a_start_but_not_a_finished_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(hook: object) -> None:
        raise ConfigurationError(what="The connection has no host")

    monkeypatch.setattr(PlainHook, "client", property(fail))

    with pytest.raises(AirflowFailException, match="no host"):
        sensor().execute(task_context())
    # The result matters more than a link to it.
    assert sensor().execute_complete({}, {"status": "success", "result": {"size": 3}}) == {"size": 3}


# --- events -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "error", "message"),
    [
        (FAILED, AirflowFailException, r"AudienceFailedError: Thing t-7 failed: the thing is"),
        (
            {"status": "error", "error": "NotFoundError", "message": "Thing 7 is gone"},
            AirflowFailException,
            "NotFoundError: Thing 7 is gone",
        ),
        (TIMEOUT, AirflowSensorTimeout, r"Thing t-7 timed out after 1:00:00.*busy"),
    ],
)
def test_an_event_may_end_the_task(event: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sensor(timeout=3600).execute_complete({}, event)


def test_soft_fail_skips() -> None:
    for event in (TIMEOUT, FAILED):
        with pytest.raises(AirflowSkipException):
            sensor(soft_fail=True).resume_execution("execute_complete", {"event": event}, task_context())


def test_airflows_own_time_out_is_a_time_out_of_the_sensor() -> None:
    waiting = sensor()

    def late(*arguments: Any, **more: Any) -> None:
        raise TaskDeferralTimeout("too late")

    object.__setattr__(waiting, "execute_complete", late)

    with pytest.raises(AirflowSensorTimeout):
        waiting.resume_execution("execute_complete", {"event": TIMEOUT}, task_context())


def test_what_a_sensor_returns_is_what_the_trigger_sent(client: Any) -> None:
    event = {"status": "success", "result": {"thing_id": "t-7"}}

    assert sensor().resume_execution("execute_complete", {"event": event}, task_context()) == event["result"]


# --- poking -------------------------------------------------------------------------------------------------


def test_it_can_wait_in_a_worker_slot(client: Any) -> None:
    client.state_of.side_effect = ["busy", VendorUnavailableError(what="Down"), "ready"]

    assert sensor(deferrable=False).execute(task_context()) == {"thing_id": "t-7", "state": "ready"}
    assert client.state_of.call_count == 3


@pytest.mark.parametrize(
    ("seen", "error", "message"),
    [
        ("broken", AirflowFailException, "AudienceFailedError"),
        (NotFoundError(what="Thing 7 is gone"), AirflowFailException, "NotFoundError"),
        ("busy", AirflowSensorTimeout, ""),
    ],
)
def test_a_poke_may_end_the_task(client: Any, seen: Any, error: type[Exception], message: str) -> None:
    client.state_of.side_effect = [seen] * 9

    with pytest.raises(error, match=message or None):
        sensor(deferrable=False, timeout=0).execute(task_context())
