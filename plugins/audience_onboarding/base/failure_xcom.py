"""Why a task has failed for good, noted so that other tasks and callbacks of the run can tell it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from audience_onboarding import exceptions
from audience_onboarding.exceptions import AudienceOnboardingError, append_help_link

FAILURE_XCOM_KEY = "failure"
"""The XCom of a task that has failed: ``error``, the class, and ``message``."""

MAX_MESSAGE = 2_000
"""Characters of a message that are kept."""

_NAMED = re.compile(r"(\w+): (.+)", re.DOTALL)


def describe_failure(error: BaseException) -> dict[str, str]:
    """What may be told of an error: class and message of one of ours, of any other the class.

    Only our own messages are known to hold nobody's data. In ``AirflowFailException`` they come after the name of their
    class, see :func:`.failures.to_fail_exception`.
    """
    if isinstance(error, AudienceOnboardingError):
        return {"error": type(error).__name__, "message": _short(type(error).__name__, error.full_message())}
    named = _NAMED.fullmatch(str(error))
    if named is not None and _is_ours(named[1]):
        return {"error": named[1], "message": _short(named[1], named[2])}
    return {"error": type(error).__name__, "message": ""}


def _short(name: str, message: str) -> str:
    """A message of :data:`MAX_MESSAGE` characters at most that still says where to read more."""
    if len(message) <= MAX_MESSAGE:
        return message
    end = append_help_link(name, "...")
    return f"{message[: MAX_MESSAGE - len(end)]}{end}"


def _is_ours(name: str) -> bool:
    found = getattr(exceptions, name, None)
    return isinstance(found, type) and issubclass(found, AudienceOnboardingError)


def push_failure(context: Any) -> None:
    """For ``on_failure_callback`` of a task, which Airflow calls after the last try."""
    error = context.get("exception")
    # A worker that was killed leaves no error, and whoever notices it then cannot write.
    if isinstance(error, BaseException):
        context["ti"].xcom_push(key=FAILURE_XCOM_KEY, value=describe_failure(error))


def failed_tasks(ti: Any) -> list[str]:
    """The tasks of a run that have failed.

    :param ti: any task instance of the run, as Airflow gives it to tasks and callbacks.
    """
    states: Mapping[str, Mapping[str, Any]] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    own = states.get(ti.run_id, {})
    return sorted(task_id for task_id, state in own.items() if _text(state) == "failed")


def pull_failures(ti: Any) -> dict[str, dict[str, str]]:
    """What the failed tasks of a run have noted, by task; nothing but ``error`` where one has noted nothing.

    :param ti: as above.
    """
    found = {}
    for task_id in failed_tasks(ti):
        noted = ti.xcom_pull(task_ids=task_id, key=FAILURE_XCOM_KEY)
        found[task_id] = noted if isinstance(noted, dict) else {"error": "", "message": ""}
    return found


def _text(state: Any) -> str:
    return str(getattr(state, "value", state))
