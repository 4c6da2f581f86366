"""Stores a task's final failure in XCom, so that later tasks and callbacks of the run can report it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from audience_onboarding import exceptions
from audience_onboarding.exceptions import AudienceOnboardingError, append_help_link

FAILURE_XCOM_KEY = "failure"
"""XCom key of a failed task: ``error`` (name of the class) and ``message``."""

MAX_MESSAGE = 2_000
"""Characters of a stored message."""

_NAMED = re.compile(r"(\w+): (.+)", re.DOTALL)


def describe_failure(error: BaseException) -> dict[str, str]:
    """Return class and message of an error of the package, or the class of any other error.

    Only messages of the package are known to contain no personal data. ``AirflowFailException`` has them after the name
    of the class, see :func:`.retry_policy.to_fail_exception`.
    """
    if isinstance(error, AudienceOnboardingError):
        return {"error": type(error).__name__, "message": _short(type(error).__name__, error.full_message())}
    named = _NAMED.fullmatch(str(error))
    if named is not None and _is_package_error(named[1]):
        return {"error": named[1], "message": _short(named[1], named[2])}
    return {"error": type(error).__name__, "message": ""}


def _short(name: str, message: str) -> str:
    """Shorten a message to :data:`MAX_MESSAGE` characters, with its documentation link."""
    if len(message) <= MAX_MESSAGE:
        return message
    end = append_help_link(name, "...")
    return f"{message[: MAX_MESSAGE - len(end)]}{end}"


def _is_package_error(name: str) -> bool:
    cls = getattr(exceptions, name, None)
    return isinstance(cls, type) and issubclass(cls, AudienceOnboardingError)


def push_failure(context: Any) -> None:
    """Store the failure of a task, as ``on_failure_callback``, which Airflow calls after the last try."""
    error = context.get("exception")
    # A killed worker leaves no error, and the scheduler that notices it cannot write XComs.
    if isinstance(error, BaseException):
        context["ti"].xcom_push(key=FAILURE_XCOM_KEY, value=describe_failure(error))


def failed_tasks(ti: Any) -> list[str]:
    """Return the failed tasks of a run.

    :param ti: any task instance of the run, as in the context of tasks and callbacks.
    """
    states: Mapping[str, Mapping[str, Any]] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    by_task = states.get(ti.run_id, {}).items()
    return sorted(task_id for task_id, state in by_task if str(getattr(state, "value", state)) == "failed")


def pull_failures(ti: Any) -> dict[str, dict[str, str]]:
    """Return the failures of a run by task; ``error`` and ``message`` are empty if the task stored none."""
    failures = {}
    for task_id in failed_tasks(ti):
        failure = ti.xcom_pull(task_ids=task_id, key=FAILURE_XCOM_KEY)
        failures[task_id] = failure if isinstance(failure, dict) else {"error": "", "message": ""}
    return failures
