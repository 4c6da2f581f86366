"""Retry policy of the package: terminal errors fail at once, transient errors are retried with a delay."""

from __future__ import annotations

import functools
import logging
import random
import textwrap
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.exceptions import TerminalError, TransientError, append_help_link

log = logging.getLogger(__name__)

MAX_RETRY_DELAY = timedelta(hours=1)
"""Maximum delay of a retry, also if a vendor's ``Retry-After`` is longer."""

FIRST_RETRY_DELAY = timedelta(minutes=1)
"""Upper limit of the first, random delay, unless the task has a ``retry_delay``."""

RETRY_BACKOFF = 2.0
"""Growth of the upper limit from retry to retry."""

MIN_RETRY_DELAY = 1.0
"""Seconds; lower limit of a random delay."""

_LINE = 100
"""Characters of a line that fit the page of Airflow's log."""

Method = TypeVar("Method", bound=Callable[..., Any])


def to_fail_exception(error: TerminalError) -> AirflowFailException:
    """Return the exception that makes Airflow fail a task without a retry; it names the error."""
    return AirflowFailException(error.labelled_message())


def fail_from_event(event: Mapping[str, Any]) -> AirflowFailException:
    """Return the same for the event of a trigger, with ``error`` (name of the class) and ``message``."""
    return AirflowFailException(f"{event['error']}: {append_help_link(event['error'], event['message'])}")


def fail_on_terminal_error(method: Method) -> Method:
    """Decorate an operator's ``execute`` or a task's function: a terminal error fails the task without a retry.

    A transient error is raised with a documentation link.
    """

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except TerminalError as error:
            log.error("%s", _wrap(error.full_message()))
            # "from None": a second traceback would hide the message.
            raise to_fail_exception(error) from None
        except TransientError as error:
            error.attach_help()
            raise

    return wrapper  # type: ignore[return-value]


def _wrap(text: str) -> str:
    """Wrap text for Airflow's log, which cuts long lines of an exception, and makes no links of them."""
    return "\n".join(
        textwrap.wrap(text, _LINE, break_long_words=False, break_on_hyphens=False, drop_whitespace=True)
    )


class OnboardingRetryPolicy(RetryPolicy):
    """Retry policy for the package's tasks, within the task's ``retries``.

    - Terminal error, such as an ambiguous create: no retry.
    - Transient error with a vendor's ``Retry-After``: a retry after it, but at most after :data:`MAX_RETRY_DELAY`.
    - Other transient error: a retry after a random delay whose upper limit doubles with each try.
    - Any other error, such as a bug: Airflow's default.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide about a failure."""
        name = type(exception).__name__
        if isinstance(exception, TerminalError):
            return RetryDecision.fail(reason=f"{name}: a retry would end the same way")
        if not isinstance(exception, TransientError):
            return RetryDecision.default()
        if exception.retry_after is not None:
            delay = timedelta(seconds=retry_after_delay(exception.retry_after))
            return RetryDecision.retry(delay=delay, reason=f"{name}: the vendor requested a delay")
        task: Any = (context or {}).get("task")
        # Clearing a task keeps its try number, and adds its retries to max_tries.
        earlier = try_number - 1 - (max(0, max_tries - task.retries) if task is not None else 0)
        delay = timedelta(seconds=jittered_backoff(task, earlier))
        return RetryDecision.retry(delay=delay, reason=f"{name}: a transient error")


def retry_after_delay(seconds: float) -> float:
    """Return the delay in seconds for a requested one: up to a tenth more, so that retries do not coincide."""
    delay = min(max(seconds, 0.0), MAX_RETRY_DELAY.total_seconds())
    return delay * (1 + random.random() / 10) + 1  # noqa: S311 - not a secret


def jittered_backoff(task: Any, earlier: int) -> float:
    """Return the delay in seconds of a retry, random between 0 and a growing limit ("full jitter").

    :param task: its ``retry_delay``, ``retry_exponential_backoff`` and ``max_retry_delay`` apply; ``None``: the
        defaults of the package's DAGs.
    :param earlier: number of earlier retries.
    """
    first = _seconds(getattr(task, "retry_delay", None)) or FIRST_RETRY_DELAY.total_seconds()
    factor = float(getattr(task, "retry_exponential_backoff", 0) or RETRY_BACKOFF)
    longest = _seconds(getattr(task, "max_retry_delay", None)) or MAX_RETRY_DELAY.total_seconds()
    # The exponent is limited, too: 2.0 ** 1024 overflows.
    limit = min(first * factor ** min(max(earlier, 0), 30), longest)
    return max(MIN_RETRY_DELAY, random.uniform(0, limit))  # noqa: S311


def _seconds(delay: Any) -> float | None:
    if isinstance(delay, timedelta):
        return delay.total_seconds()
    return float(delay) if isinstance(delay, (int, float)) else None
