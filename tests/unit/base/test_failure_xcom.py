"""Notes of failed tasks, and their readers."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from audience_onboarding.base.failure_xcom import (
    FAILURE_XCOM_KEY,
    MAX_MESSAGE,
    describe_failure,
    pull_failures,
    push_failure,
)
from audience_onboarding.base.retry_policy import to_fail_exception
from audience_onboarding.exceptions import GuardError, MatchRateError
from tests.fakes import task_context
from tests.unit.state.helpers import check

GUARD = GuardError(what="A guard stops this load", why="guards.min_rows: 3 rows")


def test_only_our_own_messages_are_noted() -> None:
    guard = {"error": "GuardError", "message": GUARD.full_message()}
    match_rate = "Too few. See docs/how-to/troubleshooting.md#matchrateerror"
    cases = [
        (GUARD, guard),
        (to_fail_exception(GUARD), guard),
        (MatchRateError(what="Too few"), {"error": "MatchRateError", "message": match_rate}),
    ]
    # All other errors may quote what they have read.
    others: list[Exception] = [
        ValueError("jane@example.com is no date"),
        AirflowSensorTimeout("jane@example.com"),
        AirflowFailException("KeyError: jane@example.com"),
        AirflowFailException("Enum: x"),
    ]
    check(
        describe_failure,
        cases + [(error, {"error": type(error).__name__, "message": ""}) for error in others],
    )


def test_a_message_is_cut_but_for_where_to_read_more() -> None:
    long = GuardError(what="x" * 5000)

    for error in (long, to_fail_exception(long)):
        message = describe_failure(error)["message"]
        assert len(message) == MAX_MESSAGE
        assert message.endswith("xxx... See docs/how-to/troubleshooting.md#guarderror")


def test_a_failed_task_notes_its_error_and_a_killed_one_nothing() -> None:
    context = task_context()

    push_failure(context)
    push_failure({**context, "exception": None})
    assert context["ti"].pushed == {}
    push_failure({**context, "exception": GUARD})
    assert context["ti"].pushed == {FAILURE_XCOM_KEY: describe_failure(GUARD)}


class Ti:
    """A task instance that knows its run."""

    dag_id, run_id = "a_dag", "a_run"

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, Any]:
        assert (dag_id, run_ids) == ("a_dag", ["a_run"])
        return {
            "a_run": {"upload": "failed", "record_load": "upstream_failed", "ensure": "failed", "x": None}
        }

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        assert key == FAILURE_XCOM_KEY
        return {"error": "GuardError", "message": "No."} if task_ids == "upload" else None


def test_others_read_what_the_failed_tasks_have_noted() -> None:
    assert pull_failures(Ti()) == {
        "ensure": {"error": "", "message": ""},
        "upload": {"error": "GuardError", "message": "No."},
    }
