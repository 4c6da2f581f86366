"""Alerts: their occasions, messages and receivers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from audience_onboarding.exceptions import AuditUnavailableError, DefinitionError
from audience_onboarding.pipelines import alerts
from audience_onboarding.pipelines.alerts import check_notifier, notify_failure, notify_late
from tests.fakes import task_context
from tests.notifiers import Kept
from tests.unit.pipelines.conftest import onboarding
from tests.unit.state.helpers import check, check_refused

KEPT = "tests.notifiers.Kept"
ABOUT = {"audience": "newsletter", "audience_name": "News & more", "platform": "digital_audience"}
ABOUT |= {"timezone": "Europe/Amsterdam"}
ALL = ["failure", "guard", "late", "match_rate"]
GUARD = {"error": "GuardError", "message": "A guard stops this load: guards.min_rows: 3 rows to send."}


def alert(notifier: str = KEPT, events: list[str] | None = None, **arguments: Any) -> dict[str, Any]:
    """As the definition gives it."""
    return {"notifier": notifier, "arguments": arguments, "events": events or ALL, "late_after_hours": None}


@pytest.fixture(autouse=True)
def told() -> Iterator[list[Kept]]:
    """The messages that the notifier got."""
    Kept.told.clear()
    yield Kept.told
    Kept.told.clear()


class Ti:
    """The task instance of a callback."""

    dag_id, run_id = "onboard_newsletter", "manual__1"

    def __init__(self, stops: dict[str, dict[str, str] | None]) -> None:
        self._stops = stops

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> Any:
        return {self.run_id: {"record_load": "upstream_failed", **dict.fromkeys(self._stops, "failed")}}

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return self._stops[task_ids]


def failed(stops: dict[str, dict[str, str] | None], **params: Any) -> dict[str, Any]:
    """The context of the callback of a failed run."""
    return {**task_context(**params), "ti": Ti(stops), "reason": "task_failure"}


# --- which message ------------------------------------------------------------------------------------------


def tell(
    stops: dict[str, dict[str, str] | None], alerts: list[dict[str, Any]] | None = None, **params: Any
) -> None:
    notify_failure(failed(stops, **params), alerts=alerts or [alert()], about=ABOUT)


def test_a_failed_run_is_told_once_with_its_kind(told: list[Kept]) -> None:
    storage = {"error": "StorageAccessError", "message": "No."}
    audit = {"error": "AuditUnavailableError", "message": "x" * 200}
    for stops, kind, text in (
        ({"upload": GUARD}, "guard", "guards.min_rows: 3 rows to send"),
        (
            {"publish_load": {"error": "MatchRateError", "message": "Too few."}},
            "match_rate",
            "Reason: Too few.",
        ),
        ({"upload": storage}, "failure", "failed in the task 'upload'"),
        (
            {"upload": {"error": "ValueError", "message": ""}},
            "failure",
            "ValueError; see the log of the task",
        ),
        ({"upload": None}, "failure", "its worker was lost"),
        ({}, "failure", "no task stored a reason (task_failure)"),
        # The message is not about an audit that fails as well.
        ({"write_audit_row": audit, "upload": GUARD}, "guard", "3 rows"),
        ({"write_audit_row": None, "upload": None}, "failure", "in the task 'upload'"),
        ({"ensure_audience": None, "upload": GUARD}, "guard", "3 rows"),
    ):
        tell(stops, [alert(more="{{ audience_onboarding.kind }}")])

        message = told.pop()
        assert (message.more, told) == (kind, []), stops
        assert text in message.text, stops


def test_only_the_chosen_kinds_are_told(told: list[Kept]) -> None:
    for kind, number in (("failure", 1), ("guard", 1), ("late", 0), ("match_rate", 0)):
        told.clear()
        for stops in ({"upload": GUARD}, {"upload": None}):
            tell(stops, [alert(events=[kind])])

        assert len(told) == number, kind


def test_a_message_has_all_that_is_needed(told: list[Kept], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/")

    tell({"upload": GUARD}, [alert(more="{{ audience_onboarding.html }}")], load_date="2026-11-19")

    (message,) = told
    assert message.subject == "News & more: failed guard (2026-11-19)"
    assert message.text == (
        "A guard failed; nothing was sent.\n"
        "Audience: News & more (newsletter on digital_audience)\n"
        "Load date: 2026-11-19\n"
        "Run: manual__1\n"
        "Reason: A guard stops this load: guards.min_rows: 3 rows to send.\n"
        "https://airflow.example/dags/onboard_newsletter/runs/manual__1"
    )
    assert "News &amp; more" in message.more


def test_the_load_date_is_that_of_the_run(told: list[Kept]) -> None:
    def of_a_failed_run(case: tuple[dict[str, str], str | None]) -> str:
        params, partition_key = case
        context = failed({"upload": GUARD}, **params)
        context["dag_run"].partition_key = partition_key
        notify_failure(context, alerts=[alert(more="{{ audience_onboarding.load_date }}")], about=ABOUT)
        return told.pop().more

    def of_a_late_run(changes: dict[str, Any]) -> str:
        notify_late(late(**changes), [alert(more="{{ audience_onboarding.load_date }}")], ABOUT, 26)
        return told.pop().more

    given = {"load_date": "2026-11-01"}
    failed_runs: list[tuple[Any, str]] = [((given, "2026-11-02"), "2026-11-01")]
    failed_runs += [(({}, "2026-11-02"), "2026-11-02"), (({}, None), "2026-11-20")]
    check(of_a_failed_run, failed_runs)
    late_runs: list[tuple[Any, str]] = [({"conf": given}, "2026-11-01")]
    late_runs += [({"partition_key": None, "conf": None}, "2026-11-21")]
    late_runs += [({"partition_key": None, "run_after": None}, "")]
    check(of_a_late_run, late_runs)


def test_a_message_needs_no_more_than_airflow_gives_at_least(told: list[Kept]) -> None:
    class Lost(Ti):
        def get_task_states(self, **_: Any) -> Any:
            raise ConnectionError

    notify_failure({"run_id": "r", "reason": "timed_out"}, alerts=[alert()], about=ABOUT)
    notify_failure({**failed({}), "ti": Lost({})}, alerts=[alert()], about=ABOUT)

    least, lost = told
    assert "The run failed." in least.text
    assert "Load date: unknown" in least.text
    assert "no task stored a reason" in lost.text


def test_a_notifier_that_fails_is_logged_and_the_others_are_called(
    told: list[Kept], caplog: pytest.LogCaptureFixture
) -> None:
    failing = [alert("tests.notifiers.Broken"), alert("tests.notifiers.Missing"), alert(unknown=1)]

    tell({"upload": GUARD}, [*failing, alert()])

    assert len(told) == 1
    assert caplog.text.count("Sending the alert") == 3


def test_arguments_of_the_definition_go_first_and_values_are_no_templates(told: list[Kept]) -> None:
    wanted = alert(subject="[crm] {{ audience_onboarding.subject }}", number=3)

    tell({"upload": {"error": "GuardError", "message": "{{ 7 * 7 }}"}}, [wanted])

    assert told[0].subject.startswith("[crm] News & more: failed guard")
    assert told[0].number == 3
    assert "{{ 7 * 7 }}" in told[0].text


def test_a_mail_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(SmtpNotifier, "notify", lambda self, context: sent.append(self))
    path = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"

    tell({"upload": GUARD}, [alert(path, to="crm@example.com", from_email="a@example.com")])

    (mail,) = sent
    assert mail.subject.startswith("News & more: failed guard")
    assert mail.html_content.startswith("<pre>A guard failed")


def test_an_audit_that_fails_is_told_by_itself(told: list[Kept]) -> None:
    dag = onboarding(audit={"conn_id": "dwh"}, alerts={"notifier": KEPT})
    _, notify_audit_failure = dag.get_task("write_audit_row").on_failure_callback

    for exception, text in (
        (AuditUnavailableError(what="the table cannot be written"), "Reason: the table cannot be written."),
        (ValueError("x"), "Reason: ValueError"),
        (None, "the worker of the task was lost"),
    ):
        notify_audit_failure({**task_context(), "exception": exception})

        message = told.pop().text
        for part in (text, "the load is not affected", "clear the task 'write_audit_row'"):
            assert part in message, exception


# --- late ---------------------------------------------------------------------------------------------------


def late(state: str = "running", **changes: Any) -> dict[str, Any]:
    """The arguments of the callback of a deadline."""
    run = {"dag_run_id": "scheduled__1", "state": state, "run_type": "scheduled", "conf": {}}
    run |= {"partition_key": "2026-11-20", "run_after": "2026-11-20T23:30:00Z"}
    return {"dag_run": {**run, **changes}, "deadline": {"id": "x"}}


def test_a_run_is_late_until_it_succeeds_and_a_backfill_never_is(told: list[Kept]) -> None:
    notify_late(late(), [alert()], ABOUT, 26.0)
    notify_late(late("failed"), [alert()], ABOUT, 1.5)
    notify_late(late("success"), [alert()], ABOUT, 26)
    notify_late(late(run_type="backfill"), [alert()], ABOUT, 26)

    running, failed = told
    assert running.subject == "News & more: late (2026-11-20)"
    assert "did not succeed within 26 hours after its run was queued" in running.text
    assert "the run is running" in running.text
    assert "Fix the cause, and clear the failed task" in failed.text
    assert "within 1.5 hours" in failed.text


# --- the DAG ------------------------------------------------------------------------------------------------


def test_each_lateness_is_a_deadline_with_what_is_needed_to_tell_it() -> None:
    entries = [
        {"notifier": KEPT, "late_after_hours": 26},
        {"notifier": KEPT, "late_after_hours": 6, "arguments": {"number": 1}},
        {"notifier": KEPT, "late_after_hours": 6, "events": ["late"]},
        {"notifier": KEPT},
    ]
    dag, without = onboarding(alerts=entries), onboarding()

    assert dag.on_failure_callback
    assert not without.on_failure_callback
    assert not without.deadline
    early, later = dag.deadline or []
    assert (early.interval, later.interval) == (timedelta(hours=6), timedelta(hours=26))
    assert early.callback.path == "audience_onboarding.pipelines.alerts.notify_late"
    kwargs = json.loads(json.dumps(early.callback.kwargs))
    assert [each["arguments"] for each in kwargs["alerts"]] == [{"number": 1}, {}]
    assert kwargs["hours"] == 6
    # As Airflow's executor calls it.
    notify_late(context=late(), **kwargs)
    assert len(Kept.told) == 2


# --- import paths of notifiers ------------------------------------------------------------------------------


def test_a_notifier_has_to_be_there() -> None:
    for path in (
        "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
        "airflow.providers.http.notifications.http.HttpNotifier",
        "airflow.providers.http.notifications.HttpNotifier",
        KEPT,
    ):
        check_notifier(path)

    messages = {
        "airflow.providers.smtp.mail.SmtpNotifier": "module 'airflow.providers.smtp.mail' not found",
        "no_such_package.notifier.Notifier": "module 'no_such_package.notifier' not found",
        "tests.notifiers.Kepd": "module 'tests.notifiers' has no 'Kepd'",
    }
    check_refused(check_notifier, messages, DefinitionError, lambda path: messages[path])
    for path, message in messages.items():
        with pytest.raises(DefinitionError, match=message):
            onboarding(alerts={"notifier": path})


def test_the_variables_are_those_of_the_page() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")
    variables = alerts.message("late", {"happened": "", "details": "", "next_step": "", "run_id": ""}, ABOUT)

    for name in variables:
        assert f"| `{name}` |" in page
