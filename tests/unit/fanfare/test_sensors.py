"""Sensors: what they defer to, and what they make of each event."""

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
from audience_onboarding.errors import VendorUnavailableError
from audience_onboarding.fanfare.client import FanfareClient
from audience_onboarding.fanfare.hooks import FanfareHook
from audience_onboarding.fanfare.links import FanfarePortalLink
from audience_onboarding.fanfare.models import AudienceStatus, Import
from audience_onboarding.fanfare.sensors import FanfareAudienceStatusSensor, FanfareImportSensor
from audience_onboarding.fanfare.settings import FanfareSettings
from audience_onboarding.fanfare.triggers import FanfareAudienceStatusTrigger, FanfareImportTrigger
from tests.fakes import task_context
from tests.unit.fanfare.conftest import import_json

NOW = 1_800_000_000.0
UPLOAD = {"audience_id": "aud_1", "import_id": "imp_3", "uploaded": True, "imports_before": []}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(FanfareClient, instance=True)
    made.settings = FanfareSettings(
        base_url="https://vendor.example", key="sk_test_1", portal_url="https://portal/{audience_id}"
    )
    made.count.return_value = 7
    monkeypatch.setattr(FanfareHook, "client", property(lambda hook: made))
    return made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the sensors stands still, and nobody sleeps."""
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def import_sensor(**changes: Any) -> FanfareImportSensor:
    return FanfareImportSensor(**{"task_id": "wait", "upload": UPLOAD, **changes})


def status_sensor(**changes: Any) -> FanfareAudienceStatusSensor:
    return FanfareAudienceStatusSensor(**{"task_id": "wait", "audience_id": "aud_1", **changes})


def part(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "import_id": f"imp_{number}",
        "rows": 2,
        "import_status": "COMPLETED",
        "processed_consumers": 2,
        "error_count": 0,
        "row_errors": [],
        **changes,
    }


def success(**changes: Any) -> dict[str, Any]:
    last = part(3, processed_consumers=1, **changes)
    del last["rows"]
    return {"status": "success", "result": {"members": 7, **last}}


def deferral_of(sensor: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(task_context())
    return caught.value


# --- deferring ----------------------------------------------------------------------------------------------


def test_it_defers_by_default_with_all_that_it_was_told(client: Any) -> None:
    client.find_import.return_value = an_import("PROCESSING")
    sensor = import_sensor(poke_interval=30, timeout=3600, fanfare_conn_id="a_connection")

    deferral = deferral_of(sensor)

    assert isinstance(deferral.trigger, FanfareImportTrigger)
    assert deferral.trigger.serialize()[1] == {
        "conn_id": "a_connection",
        "audience_id": "aud_1",
        "import_id": "imp_3",
        "poll_interval": 30,
        "deadline": NOW + 3600,
    }
    assert deferral.timeout == timedelta(hours=1) + DEFERRAL_GRACE
    assert FanfarePortalLink().get_link(sensor, ti_key=None) == "https://portal/aud_1"
    client.find_import.assert_called_once_with("aud_1", "imp_3")


def test_an_import_that_is_through_by_now_needs_no_triggerer(client: Any) -> None:
    client.find_import.return_value = an_import("COMPLETED")

    assert import_sensor().execute(task_context())["members"] == 7


def test_without_an_upload_audience_and_import_are_given(client: Any) -> None:
    client.find_import.return_value = an_import("PROCESSING")
    deferral = deferral_of(import_sensor(upload=None, audience_id="aud_2", import_id="imp_9"))

    assert isinstance(deferral.trigger, FanfareImportTrigger)
    assert (deferral.trigger.audience_id, deferral.trigger.import_id) == ("aud_2", "imp_9")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"audience_id": "aud_1"},
        {"import_id": "imp_1"},
        {"audience_id": "None", "import_id": "imp_1"},
        {"audience_id": "a/b", "import_id": "imp_1"},
        {"audience_id": "aud_1", "import_id": "a/b"},
    ],
)
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_sensor_that_does_not_know_what_to_wait_for_fails_at_once(
    client: Any, changes: dict[str, Any], deferrable: bool
) -> None:
    with pytest.raises(AirflowFailException, match="ConfigurationError"):
        import_sensor(upload=None, deferrable=deferrable, **changes).execute(task_context())


def test_a_status_is_waited_for_from_what_was_there_before(client: Any) -> None:
    baseline = {"version": 3, "last_synced_at": None, "last_refreshed_at": None}

    deferral = deferral_of(
        status_sensor(audience_id=None, sync={"audience_id": "aud_3", "baseline": baseline})
    )

    assert isinstance(deferral.trigger, FanfareAudienceStatusTrigger)
    assert (deferral.trigger.audience_id, deferral.trigger.baseline) == ("aud_3", baseline)


def test_without_a_sync_any_fresh_status_will_do(client: Any) -> None:
    deferral = deferral_of(status_sensor())

    assert isinstance(deferral.trigger, FanfareAudienceStatusTrigger)
    assert deferral.trigger.baseline is None


@pytest.mark.parametrize("audience_id", [None, "", "None", "a b"])
def test_a_status_of_nothing_is_not_waited_for(client: Any, audience_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="ConfigurationError"):
        status_sensor(audience_id=audience_id).execute(task_context())


# --- events -------------------------------------------------------------------------------------------------


def test_one_import_is_all_there_is() -> None:
    assert import_sensor().execute_complete(task_context(), success()) == {
        "audience_id": "aud_1",
        "members": 7,
        "import_status": "COMPLETED",
        "imports": 1,
        "processed_consumers": 1,
        "error_count": 0,
        "row_errors": [],
    }


def test_the_imports_of_a_load_are_added_up() -> None:
    row = {"row": 2, "issues": ["email: email"]}
    upload = {
        **UPLOAD,
        "imports_before": [part(1, error_count=1, row_errors=[row]), part(2)],
    }

    found = import_sensor(upload=upload).execute_complete(
        task_context(), success(error_count=1, row_errors=[row])
    )

    assert found == {
        "audience_id": "aud_1",
        "members": 7,
        "import_status": "COMPLETED",
        "imports": 3,
        "processed_consumers": 5,
        "error_count": 2,
        "row_errors": [{"import": 1, **row}, {"import": 3, **row}],
    }


def test_rows_that_were_not_taken_are_warned_of_by_number_and_reason(
    client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import_sensor().execute_complete(
        task_context(), success(error_count=2, row_errors=[{"row": 2, "issues": ["email: email"]}])
    )
    said = capsys.readouterr().out

    assert (
        "[warning  ] Fanfare did not take 2 rows: [{'import': 1, 'row': 2, 'issues': ['email: email']}]"
        in said
    )


def test_without_such_rows_nobody_is_warned(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import_sensor().execute_complete(task_context(), success())

    assert "[warning" not in capsys.readouterr().out


def test_a_load_that_was_confirmed_before_is_not_waited_for(client: Any) -> None:
    confirmed = {"audience_id": "aud_1", "members": 7, "imports": 3}
    upload = {"audience_id": "aud_1", "uploaded": False, "confirmed": confirmed}

    sensor = import_sensor(upload=upload)

    assert sensor.execute(task_context()) == confirmed
    assert import_sensor(upload=upload, deferrable=False).execute(task_context()) == confirmed
    assert client.method_calls == []
    assert FanfarePortalLink().get_link(sensor, ti_key=None) == "https://portal/aud_1"


FAILED = {"status": "failed", "state": "FAILED", "message": "import imp_3 is FAILED, 2 errors (row 1: email)"}
TIMEOUT = {"status": "timeout", "state": "PROCESSING", "message": "import imp_3 is PROCESSING"}
ERROR = {"status": "error", "error": "AuthenticationError", "message": "The key is old"}


@pytest.mark.parametrize(
    ("make", "event", "kind", "message"),
    [
        (
            import_sensor,
            FAILED,
            AirflowFailException,
            r"ImportFailedError: The import into audience aud_1 has failed.*row 1: email.*clear the upload task",
        ),
        (
            status_sensor,
            {"status": "failed", "state": "FAILED", "message": "the last sync has failed"},
            AirflowFailException,
            r"AudienceFailedError: Audience aud_1 is not up to date.*the last sync has failed.*start the sync again",
        ),
        (import_sensor, ERROR, AirflowFailException, "AuthenticationError: The key is old"),
        (status_sensor, ERROR, AirflowFailException, "AuthenticationError: The key is old"),
        (
            import_sensor,
            TIMEOUT,
            AirflowSensorTimeout,
            "The import into audience aud_1 was not done within 1:00:00.*PROCESSING.*nothing is sent again",
        ),
        (status_sensor, TIMEOUT, AirflowSensorTimeout, "Audience aud_1 was not done within 1:00:00"),
    ],
)
def test_what_becomes_of_the_other_events(
    make: Any, event: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        make(timeout=3600).execute_complete(task_context(), event)


@pytest.mark.parametrize("make", [import_sensor, status_sensor])
@pytest.mark.parametrize("event", [FAILED, TIMEOUT])
def test_soft_fail_skips(make: Any, event: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        make(soft_fail=True).resume_execution("execute_complete", {"event": event}, task_context())


# --- poking -------------------------------------------------------------------------------------------------


def an_import(status: str, **changes: Any) -> Import:
    return Import.model_validate(import_json(id="imp_3", status=status, **changes))


def test_an_import_can_be_waited_for_in_a_worker_slot(client: Any) -> None:
    client.find_import.side_effect = [
        None,
        an_import("PROCESSING"),
        VendorUnavailableError(what="Down"),
        an_import("VALIDATING"),
        an_import("SUCCESS", processedConsumers=1),
    ]

    found = import_sensor(deferrable=False, upload={**UPLOAD, "imports_before": [part(1), part(2)]}).execute(
        task_context()
    )

    assert (found["imports"], found["processed_consumers"], found["members"]) == (3, 5, 7)
    client.find_import.assert_called_with("aud_1", "imp_3")
    assert client.find_import.call_count == 5


@pytest.mark.parametrize(
    ("changes", "kind"), [({}, AirflowFailException), ({"soft_fail": True}, AirflowSkipException)]
)
def test_a_poke_ends_with_a_failure(client: Any, changes: dict[str, Any], kind: type[Exception]) -> None:
    client.find_import.return_value = an_import("FAILED")

    with pytest.raises(kind, match=r"ImportFailedError|soft_fail"):
        import_sensor(deferrable=False, **changes).execute(task_context())


def test_a_poke_ends_at_the_time_out(client: Any) -> None:
    client.find_import.return_value = an_import("PROCESSING")

    with pytest.raises(AirflowSensorTimeout):
        import_sensor(deferrable=False, timeout=0).execute(task_context())


def test_a_status_can_be_poked(client: Any) -> None:
    client.status.side_effect = [
        AudienceStatus(stale=True, in_progress=False),
        AudienceStatus(stale=False, in_progress=True),
        AudienceStatus(stale=False, in_progress=False, version=4),
    ]

    assert status_sensor(deferrable=False).execute(task_context())["version"] == 4


# --- templates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [import_sensor, status_sensor])
def test_every_templated_field_is_an_attribute(make: Any) -> None:
    sensor = make()

    assert all(hasattr(sensor, name) for name in sensor.template_fields)
    assert {"audience_id", "fanfare_conn_id"} <= set(sensor.template_fields)
