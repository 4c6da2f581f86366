"""How errors of the package end a task: at once where a retry is pointless, later where the vendor asks for a pause."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.errors import TerminalError, VendorUnavailableError

MAX_PAUSE = timedelta(hours=1)
"""The longest pause before a retry that a vendor's ``Retry-After`` can ask for."""

Method = TypeVar("Method", bound=Callable[..., Any])


def failure_of(error: TerminalError) -> AirflowFailException:
    """The exception that makes Airflow fail a task without another try, named after the error."""
    return AirflowFailException(f"{type(error).__name__}: {error}")


def terminal_errors_fail(method: Method) -> Method:
    """Decorate an operator's ``execute``: a terminal error fails the task at once, with one clear message."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except TerminalError as error:
            # "from None": the message says it all, and a second traceback only hides it.
            raise failure_of(error) from None

    return wrapper  # type: ignore[return-value]


class OnboardingRetryPolicy(RetryPolicy):
    """Retries of the package's tasks: never after a terminal error, and not before a vendor's ``Retry-After``.

    For tasks that are plain functions, too: they need no decorator then.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Decide about one failure."""
        if isinstance(exception, TerminalError):
            return RetryDecision.fail(reason=f"{type(exception).__name__}: a retry would end the same way")
        if isinstance(exception, VendorUnavailableError) and exception.retry_after is not None:
            seconds = min(exception.retry_after, MAX_PAUSE.total_seconds())
            # Up to a tenth more, so that all who were told the same moment do not come back together.
            pause = timedelta(seconds=seconds * (1 + random.random() / 10) + 1)  # noqa: S311 - not a secret
            return RetryDecision.retry(delay=pause, reason="the vendor asked for a pause")
        return RetryDecision.default()
