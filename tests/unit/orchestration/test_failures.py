"""How errors end a task."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.errors import (
    AmbiguousCreateError,
    AuthenticationError,
    RateLimitedError,
    TerminalError,
    TransientError,
    VendorUnavailableError,
)
from audience_onboarding.orchestration.failures import (
    MAX_PAUSE,
    OnboardingRetryPolicy,
    failure_of,
    terminal_errors_fail,
)


class Operator:
    """Raises what it is given."""

    @terminal_errors_fail
    def execute(self, context: object) -> str:
        """Do it."""
        if isinstance(context, Exception):
            raise context
        return "done"


def evaluate(error: BaseException, try_number: int = 1):
    return OnboardingRetryPolicy().evaluate(error, try_number, 4)


@pytest.mark.parametrize("kind", [TerminalError, AuthenticationError, AmbiguousCreateError])
def test_a_terminal_error_fails_the_task_at_once_and_is_named(kind: type[TerminalError]) -> None:
    with pytest.raises(AirflowFailException, match=rf"^{kind.__name__}: It broke\. Mend it") as caught:
        Operator().execute(kind(what="It broke", next_step="Mend it"))

    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [TransientError(what="Later"), ValueError("a bug")])
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        Operator().execute(error)

    assert caught.value is error


def test_a_decorated_method_keeps_result_name_and_docstring() -> None:
    assert Operator().execute(None) == "done"
    assert (Operator.execute.__name__, Operator.execute.__doc__) == ("execute", "Do it.")


def test_the_message_is_the_errors_own() -> None:
    assert str(failure_of(TerminalError(what="It broke"))) == "TerminalError: It broke."


@pytest.mark.parametrize("error", [TerminalError(what="x"), AuthenticationError(what="x")])
def test_a_terminal_error_is_not_tried_again(error: Exception) -> None:
    decision = evaluate(error)

    assert decision.action is RetryAction.FAIL
    assert type(error).__name__ in str(decision.reason)


@pytest.mark.parametrize(
    "error",
    [
        TransientError(what="x"),
        VendorUnavailableError(what="x"),
        RateLimitedError(what="x"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_follow_the_retries_of_the_task(error: BaseException) -> None:
    assert evaluate(error).action is RetryAction.DEFAULT


@pytest.mark.parametrize("seconds", [0.0, 1.0, 90.0, 3599.0])
def test_a_pause_that_the_vendor_asks_for_is_kept_with_a_little_spread(seconds: float) -> None:
    pauses = set()
    for _ in range(50):
        decision = evaluate(RateLimitedError(what="x", retry_after=seconds))
        assert decision.action is RetryAction.RETRY
        assert decision.retry_delay is not None
        pauses.add(decision.retry_delay)

    assert min(pauses) >= timedelta(seconds=seconds)
    assert max(pauses) <= timedelta(seconds=seconds * 1.1 + 1)
    assert len(pauses) > 1 or not seconds


@pytest.mark.parametrize("kind", [VendorUnavailableError, RateLimitedError])
def test_every_error_that_asks_for_a_pause_gets_it(kind: type[VendorUnavailableError]) -> None:
    decision = evaluate(kind(what="x", retry_after=90.0))

    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    assert timedelta(seconds=90) <= decision.retry_delay <= timedelta(seconds=100)


@pytest.mark.parametrize("seconds", [3601.0, 1e12, float("inf")])
def test_no_vendor_can_ask_for_more_than_an_hour(seconds: float) -> None:
    decision = evaluate(RateLimitedError(what="x", retry_after=seconds))

    assert decision.retry_delay is not None
    assert decision.retry_delay <= MAX_PAUSE * 1.1 + timedelta(seconds=1)
