"""How errors of the package end a task: at once where a retry is pointless, later where the vendor asks for a pause."""

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
"""The longest pause before a retry, also where a vendor's ``Retry-After`` asks for more."""

FIRST_RETRY_DELAY = timedelta(minutes=1)
"""Up to which the first pause is random, unless a task has a ``retry_delay`` of its own."""

RETRY_BACKOFF = 2.0
"""By which each pause may be longer than the one before."""

MIN_RETRY_DELAY = 1.0
"""Seconds; a random part of a pause can be next to nothing."""

_LINE = 100
"""Characters that fit beside the rest of the page."""

Method = TypeVar("Method", bound=Callable[..., Any])


def to_fail_exception(error: TerminalError) -> AirflowFailException:
    """The exception that makes Airflow fail a task without another try, named after the error."""
    return AirflowFailException(error.labelled_message())


def fail_from_event(event: Mapping[str, Any]) -> AirflowFailException:
    """The same for an error that a trigger tells of.

    :param event: ``error``, the name of its class, and ``message``.
    """
    return AirflowFailException(f"{event['error']}: {append_help_link(event['error'], event['message'])}")


def fail_on_terminal_error(method: Method) -> Method:
    """Decorate an operator's ``execute`` or a task's function: a terminal error fails the task at once, with one clear
    message. One that may go away is raised as it is, and says where to read more, too."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except TerminalError as error:
            log.error("%s", _in_lines(error.full_message()))
            # "from None": the message says it all, and a second traceback only hides it.
            raise to_fail_exception(error) from None
        except TransientError as error:
            error.attach_help()
            raise

    return wrapper  # type: ignore[return-value]


def _in_lines(text: str) -> str:
    """Text as it can be read in Airflow's log, which shows the message of an exception in one line, cut off where the
    page ends, and no link in it."""
    return "\n".join(
        textwrap.wrap(text, _LINE, break_long_words=False, break_on_hyphens=False, drop_whitespace=True)
    )


class OnboardingRetryPolicy(RetryPolicy):
    """Retries of the package's tasks, by what is known of the error. For tasks that are plain functions, too.

    - A terminal error, an unclear creation among them: never.
    - An error that names a pause (a vendor's ``Retry-After``): not before it, and up to :data:`MAX_RETRY_DELAY`.
    - Another error that may go away: after a random part of a pause that doubles with each try.
    - Anything else, such as a bug: as Airflow does by itself.

    None makes more tries than the task's ``retries``.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide about one failure."""
        name = type(exception).__name__
        if isinstance(exception, TerminalError):
            return RetryDecision.fail(reason=f"{name}: a retry would end the same way")
        if not isinstance(exception, TransientError):
            return RetryDecision.default()
        if exception.retry_after is not None:
            pause = timedelta(seconds=retry_after_delay(exception.retry_after))
            return RetryDecision.retry(delay=pause, reason=f"{name}: a pause was asked for")
        task: Any = (context or {}).get("task")
        # A cleared task counts its tries on, and gets as many more.
        earlier = try_number - 1 - (max(0, max_tries - task.retries) if task is not None else 0)
        pause = timedelta(seconds=jittered_backoff(task, earlier))
        return RetryDecision.retry(delay=pause, reason=f"{name}: it may go away by itself")


def retry_after_delay(seconds: float) -> float:
    """The pause in seconds to make when somebody asks for one.

    Up to a tenth more, so that all who were told the same moment do not come back together.
    """
    wanted = min(max(seconds, 0.0), MAX_RETRY_DELAY.total_seconds())
    return wanted * (1 + random.random() / 10) + 1  # noqa: S311 - not a secret


def jittered_backoff(task: Any, earlier: int) -> float:
    """The pause in seconds before a retry that nobody has asked for: "full jitter", a random part of a growing pause.

    So those who failed together do not come back together.

    :param task: whose ``retry_delay``, ``retry_exponential_backoff`` and ``max_retry_delay`` count; ``None``: the
        defaults of the package's DAGs.
    :param earlier: retries before this one.
    """
    first = _seconds(getattr(task, "retry_delay", None)) or FIRST_RETRY_DELAY.total_seconds()
    factor = float(getattr(task, "retry_exponential_backoff", 0) or RETRY_BACKOFF)
    longest = _seconds(getattr(task, "max_retry_delay", None)) or MAX_RETRY_DELAY.total_seconds()
    # The exponent is bounded as well: 2.0 ** 1024 is no float.
    ceiling = min(first * factor ** min(max(earlier, 0), 30), longest)
    return max(MIN_RETRY_DELAY, random.uniform(0, ceiling))  # noqa: S311


def _seconds(delay: Any) -> float | None:
    if isinstance(delay, timedelta):
        return delay.total_seconds()
    return float(delay) if isinstance(delay, (int, float)) else None
