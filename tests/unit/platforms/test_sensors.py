"""Behaviour that the sensors of all vendors share: deferring, resuming, poking."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from audience_onboarding.base import sensors
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.exceptions import AuthenticationError, VendorUnavailableError
from audience_onboarding.platforms.commbox.sensors import CommBoxUserCountSensor
from audience_onboarding.platforms.commbox.triggers import LAST_POLL_TIMEOUT
from audience_onboarding.platforms.digital_audience.definition import ConfirmationRules
from audience_onboarding.platforms.digital_audience.sensors import (
    DigitalAudienceAudienceStateSensor,
    DigitalAudienceSegmentStatusSensor,
)
from audience_onboarding.platforms.fanfare.sensors import FanfareAudienceStatusSensor, FanfareImportSensor
from tests.fakes import task_context
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.kits import COMMBOX, DIGITAL_AUDIENCE, FANFARE, Kit
from tests.unit.platforms.test_triggers import an_import, audience, counted, segment, sync_status

NOW = 1_800_000_000.0
IMPORT_UPLOAD = {"audience_id": "aud_1", "import_id": "imp_1", "uploaded": True, "imports_before": []}
RULES = {
    "success_states": ["DONE"],
    "failure_states": ["BAD"],
    "pending_states": ["BUSY"],
    "confirm_by": "history",
}
STATUSES = {"success_statuses": ["Live"], "failure_statuses": ["Bad"]}
SYNC_BASELINE = {"version": 3, "last_synced_at": None, "last_refreshed_at": None}
ERROR = {"status": "error", "error": "AuthenticationError", "message": "The key is old"}
TIMEOUT = {"status": "timeout", "state": "PROCESSING", "message": "still PROCESSING"}
FAILED = {"status": "failed", "state": "FAILED", "message": "it is in state FAILED"}


@dataclass(frozen=True)
class Case:
    """A sensor.

    :ivar plain: the arguments that it needs, and what its trigger gets of them.
    :ivar full: arguments with nothing left to a default, and what its trigger gets of them.
    :ivar bad_ids: arguments that name nothing to wait for.
    :ivar method: of the client, which a look calls; with a pending, a failed and a successful answer.
    :ivar part: of the result of the successful look.
    :ivar failure: the error of a failure, as a pattern.
    :ivar confirmable: part of an upload that may be confirmed before.
    """

    kit: Kit
    sensor: type[Any]
    plain: tuple[dict[str, Any], dict[str, Any]]
    full: tuple[dict[str, Any], dict[str, Any]]
    bad_ids: tuple[dict[str, Any], ...]
    method: str
    pending: Any
    failed: Any
    done: Any
    part: dict[str, Any]
    failure: str
    subject: str
    template_fields: set[str]
    longest: timedelta = timedelta(days=2)
    portal: str = "https://portal/aud_1"
    confirmable: dict[str, Any] = field(default_factory=dict)
    poke_before_defer: bool = False

    def make(self, **changes: Any) -> Any:
        return self.sensor(**{"task_id": "wait", **self.plain[0], **changes})


CASES = [
    Case(
        DIGITAL_AUDIENCE,
        DigitalAudienceAudienceStateSensor,
        plain=({"audience_id": "7"}, {"audience_id": 7, "baseline": {}, "mode": None, "rows": None}),
        full=(
            {
                "upload": {
                    "audience_id": 7,
                    "baseline": {"state": "READY"},
                    "mode": "opt-in",
                    "rows_sent": 100,
                },
                "rules": ConfirmationRules.model_validate(RULES),
            },
            {
                "audience_id": 7,
                "baseline": {"state": "READY"},
                "mode": "opt-in",
                "rows": 100,
                "rules": RULES,
            },
        ),
        bad_ids=({"audience_id": "seven"},),
        method="load_changed_audience",
        pending=(b"1", audience("PROCESSING")),
        failed=(b"2", audience("FAILED")),
        done=(b"3", audience("READY")),
        part={"audience_state": "READY"},
        failure="AudienceFailedError: Audience 7 failed.*in state FAILED",
        subject="Audience 7",
        template_fields={"upload", "audience_id", "digital_audience_conn_id"},
        portal="https://portal/7",
        confirmable={"audience_id": 7},
    ),
    Case(
        DIGITAL_AUDIENCE,
        DigitalAudienceSegmentStatusSensor,
        plain=({"segment_id": "5"}, {"segment_id": 5}),
        full=({"segment_id": 5, **STATUSES}, {"segment_id": 5, **STATUSES}),
        bad_ids=({"segment_id": "five"},),
        method="load_segment",
        pending=segment("Pending"),
        failed=None,
        done=segment("Active"),
        part={"segment_id": 5, "status": "Active"},
        failure="SegmentFailedError.*in state FAILED",
        subject="Segment 5",
        template_fields={"segment_id", "details", "digital_audience_conn_id"},
        longest=timedelta(days=4),
        portal="",
    ),
    Case(
        FANFARE,
        FanfareImportSensor,
        plain=({"upload": IMPORT_UPLOAD}, {"audience_id": "aud_1", "import_id": "imp_1"}),
        full=(
            {"upload": None, "audience_id": "aud_2", "import_id": "imp_9"},
            {"audience_id": "aud_2", "import_id": "imp_9"},
        ),
        bad_ids=tuple(
            {"upload": None, **ids}
            for ids in (
                {},
                {"audience_id": "aud_1"},
                {"import_id": "imp_1"},
                {"audience_id": "None", "import_id": "imp_1"},
                {"audience_id": "a/b", "import_id": "imp_1"},
                {"audience_id": "aud_1", "import_id": "a/b"},
            )
        ),
        method="find_import",
        pending=an_import("PROCESSING"),
        failed=an_import("FAILED"),
        done=an_import("COMPLETED"),
        part={"audience_id": "aud_1", "imports": 1, "members": 7},
        failure="ImportFailedError: The import into audience aud_1 failed.*in state FAILED.*clear the upload task",
        subject="The import into audience aud_1",
        template_fields={"upload", "audience_id", "import_id", "fanfare_conn_id"},
        confirmable=IMPORT_UPLOAD,
        poke_before_defer=True,
    ),
    Case(
        FANFARE,
        FanfareAudienceStatusSensor,
        plain=({"audience_id": "aud_1"}, {"audience_id": "aud_1", "baseline": None}),
        full=(
            {"audience_id": None, "sync": {"audience_id": "aud_3", "baseline": SYNC_BASELINE}},
            {"audience_id": "aud_3", "baseline": SYNC_BASELINE},
        ),
        bad_ids=tuple({"audience_id": given} for given in (None, "", "None", "a b")),
        method="status",
        pending=sync_status({"stale": True}),
        failed=sync_status({"syncStatus": "FAILED"}),
        done=sync_status({"version": 4}),
        part={"version": 4},
        failure="AudienceFailedError: Audience aud_1 is not up to date.*in state FAILED.*start the sync again",
        subject="Audience aud_1",
        template_fields={"sync", "audience_id", "fanfare_conn_id"},
        poke_before_defer=True,
    ),
    Case(
        COMMBOX,
        CommBoxUserCountSensor,
        plain=({"audience_id": "1"}, {"audience_id": "1", "rows": None, "minimum_ratio": 1.0}),
        full=(
            {"upload": {"audience_id": "1", "rows_sent": 100}, "minimum_ratio": 0.9},
            {"audience_id": "1", "rows": 100, "minimum_ratio": 0.9},
        ),
        bad_ids=tuple({"audience_id": given} for given in (None, "", "None", "a/b")),
        method="list_audiences",
        pending=counted(None),
        failed=None,
        done=counted(100),
        part={"audience_id": "1", "audience_name": "Alerts", "user_count": 100},
        failure="AudienceFailedError: Audience 1 failed",
        subject="Audience 1",
        template_fields={"upload", "audience_id", "commbox_conn_id"},
        portal="https://portal/1",
        confirmable={"audience_id": "1"},
    ),
]


def of(cases: list[Case]) -> Any:
    """Run a test for some of them."""
    return pytest.mark.parametrize("case", cases, indirect=True, ids=[case.sensor.__name__ for case in cases])


@pytest.fixture(params=CASES, ids=lambda case: case.sensor.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def client(case: Case, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A vendor that is not done yet; the clock of the sensors stands still, and no pause takes time."""
    monkeypatch.setattr(sensors, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    made = case.kit.client(monkeypatch)
    getattr(made, case.method).return_value = case.pending
    if case.kit is FANFARE:
        made.count.return_value = 7
    return made


def look_of(client: Any, case: Case) -> Any:
    return getattr(client, case.method)


def deferral_of(sensor: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(task_context())
    return caught.value


def part_of(result: dict[str, Any], case: Case) -> dict[str, Any]:
    return {name: result[name] for name in case.part}


def test_it_defers_by_default_with_all_its_arguments(case: Case, client: Any) -> None:
    common = {"poke_interval": 30, "timeout": 3600, f"{case.kit.name}_conn_id": "a_connection"}
    for given, stored in (case.plain, case.full):
        deferral = deferral_of(case.make(**given, **common))

        trigger: Any = deferral.trigger
        arguments = trigger.serialize()[1]
        expected = {"conn_id": "a_connection", "poll_interval": 30, "deadline": NOW + 3600, **stored}
        assert {name: arguments[name] for name in expected} == expected
        if stored is case.full[1]:
            assert arguments == expected
        assert deferral.method_name == "execute_complete"
        assert deferral.timeout == timedelta(hours=1) + DEFERRAL_GRACE
    # Only where a look needs no login, and cannot take what was there before for what was sent.
    assert look_of(client, case).call_count == (2 if case.poke_before_defer else 0)
    assert timedelta(seconds=LAST_POLL_TIMEOUT) < DEFERRAL_GRACE


def test_a_first_look_that_succeeds_needs_no_triggerer(case: Case, client: Any) -> None:
    look_of(client, case).return_value = case.done

    if case.poke_before_defer:
        assert part_of(case.make().execute(task_context()), case) == case.part
    else:
        deferral_of(case.make())


def test_the_default_timeout(case: Case, client: Any) -> None:
    assert deferral_of(case.make()).timeout == case.longest + DEFERRAL_GRACE


def test_a_sensor_without_a_usable_id_fails_at_once(case: Case, client: Any) -> None:
    with every_case() as each:
        for given in case.bad_ids:
            for deferrable in (True, False):
                with (
                    each((given, deferrable)),
                    pytest.raises(AirflowFailException, match="ConfigurationError"),
                ):
                    case.make(**given, deferrable=deferrable).execute(task_context())


@of([case for case in CASES if case.confirmable])
def test_a_load_that_was_confirmed_before_is_not_waited_for(case: Case, client: Any) -> None:
    confirmed = {"audience_id": case.confirmable["audience_id"], "members": 7}
    upload = {**case.confirmable, "uploaded": False, "confirmed": confirmed}

    for deferrable in (True, False):
        sensor = case.make(upload=upload, deferrable=deferrable)
        assert sensor.execute(task_context()) == confirmed
        assert case.kit.portal(sensor) == case.portal
    assert client.method_calls == []


@of([case for case in CASES if case.portal])
def test_the_link_to_the_portal_is_there_while_it_waits(case: Case, client: Any) -> None:
    deferring, resumed = case.make(), case.make()

    deferral_of(deferring)
    # Another process: what Airflow has kept of the first is overwritten by what this one shows.
    with pytest.raises(AirflowFailException):
        resumed.execute_complete(task_context(), ERROR)

    assert case.kit.portal(deferring) == case.kit.portal(resumed) == case.portal


def test_events_that_are_no_success_become_errors(case: Case, client: Any) -> None:
    timed_out = f"{case.subject} timed out after 1:00:00.*PROCESSING.*nothing is sent again"
    errors: list[tuple[dict[str, Any], type[Exception], str]] = [
        (FAILED, AirflowFailException, case.failure),
        (ERROR, AirflowFailException, "AuthenticationError: The key is old"),
        (TIMEOUT, AirflowSensorTimeout, timed_out),
    ]
    with every_case() as each:
        for event, kind, message in errors:
            with each(event["status"]), pytest.raises(kind, match=message):
                case.make(timeout=3600).execute_complete(task_context(), event)
        for event in (FAILED, TIMEOUT):
            with each(f"soft_fail {event['status']}"), pytest.raises(AirflowSkipException):
                case.make(soft_fail=True).resume_execution(
                    "execute_complete", {"event": event}, task_context()
                )


def test_it_can_wait_in_a_worker_slot(case: Case, client: Any) -> None:
    look = look_of(client, case)
    look.side_effect = [case.pending, VendorUnavailableError(what="Down"), case.done]

    assert part_of(case.make(deferrable=False).execute(task_context()), case) == case.part
    assert look.call_count == 3


def test_how_poking_ends_without_success(case: Case, client: Any) -> None:
    look = look_of(client, case)
    with every_case() as each:
        with each("timeout"), pytest.raises(AirflowSensorTimeout):
            case.make(deferrable=False, timeout=0).execute(task_context())
        look.side_effect = AuthenticationError(what="The key is old")
        with each("error"), pytest.raises(AirflowFailException, match="The key is old"):
            case.make(deferrable=False).execute(task_context())
        if case.failed is not None:
            look.side_effect = None
            look.return_value = case.failed
            kind = case.failure.partition(":")[0]
            with each("failure"), pytest.raises(AirflowFailException, match=kind):
                case.make(deferrable=False).execute(task_context())
            with each("soft_fail"), pytest.raises(AirflowSkipException, match="soft_fail"):
                case.make(deferrable=False, soft_fail=True).execute(task_context())


def test_every_templated_field_is_an_attribute(case: Case) -> None:
    sensor = case.make()

    assert set(sensor.template_fields) == case.template_fields
    assert all(hasattr(sensor, name) for name in sensor.template_fields)
