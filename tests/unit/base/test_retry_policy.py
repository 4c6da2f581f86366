"""How errors end a task."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.retry_policy import (
    MAX_RETRY_DELAY,
    OnboardingRetryPolicy,
    fail_from_event,
    fail_on_terminal_error,
    to_fail_exception,
)
from audience_onboarding.exceptions import (
    AmbiguousCreateError,
    AuthenticationError,
    CreateUnverifiedError,
    RateLimitedError,
    StorageUnavailableError,
    TerminalError,
    TransientError,
    VendorUnavailableError,
)
from audience_onboarding.pipelines.common import default_args
from tests.unit.state.helpers import check


class Operator:
    """Raises what it is given."""

    @fail_on_terminal_error
    def execute(self, context: object) -> str:
        """Do it."""
        if isinstance(context, Exception):
            raise context
        return "done"


def evaluate(error: BaseException, try_number: int = 1):
    return OnboardingRetryPolicy().evaluate(error, try_number, 4)


def test_a_terminal_error_fails_the_task_at_once_and_is_named() -> None:
    for kind in (TerminalError, AuthenticationError, AmbiguousCreateError):
        with pytest.raises(AirflowFailException, match=rf"^{kind.__name__}: It broke\. Mend it") as caught:
            Operator().execute(kind(what="It broke", next_step="Mend it"))
        assert caught.value.__suppress_context__


def test_the_next_step_is_in_the_log_in_lines_that_fit(caplog: pytest.LogCaptureFixture) -> None:
    address = f"https://airflow.example/{'way/' * 30}resolve_ambiguous_create"
    with pytest.raises(AirflowFailException):
        Operator().execute(AmbiguousCreateError(what="It broke " * 20, next_step=f"Mend it at {address}"))

    told = "\n".join(record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    lines = told.splitlines()
    assert len(lines) == 4
    assert f"{address}." in lines
    assert lines[-1] == "See docs/how-to/troubleshooting.md#ambiguouscreateerror"
    assert all(len(line) <= 100 for line in lines if not line.startswith(address))


def test_other_errors_pass_as_they_are_and_results_too() -> None:
    for error in (TransientError(what="Later"), ValueError("a bug")):
        with pytest.raises(type(error)) as caught:
            Operator().execute(error)
        assert caught.value is error
    assert Operator().execute(None) == "done"
    assert (Operator.execute.__name__, Operator.execute.__doc__) == ("execute", "Do it.")


def test_a_message_ends_once_with_the_page_about_its_error() -> None:
    page = "See docs/how-to/troubleshooting.md#"
    of_a_trigger = fail_from_event({"status": "error", "error": "NotFoundError", "message": "It is gone."})
    again = RateLimitedError(what="Too many requests", status=429)
    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            Operator().execute(again)
        assert caught.value is again

    assert (
        str(to_fail_exception(TerminalError(what="It broke")))
        == f"TerminalError: It broke. {page}terminalerror"
    )
    assert str(of_a_trigger) == f"NotFoundError: It is gone. {page}notfounderror"
    by_itself = "Too many requests. Airflow retries automatically. [HTTP 429]"
    assert str(again) == f"{by_itself} {page}ratelimitederror"


def test_a_terminal_error_is_not_tried_again_and_an_unknown_one_follows_the_task() -> None:
    for error in (TerminalError(what="x"), AuthenticationError(what="x")):
        decision = evaluate(error)
        assert decision.action is RetryAction.FAIL
        assert type(error).__name__ in str(decision.reason)
    others: list[BaseException] = [ValueError("x"), KeyboardInterrupt(), OSError("x"), Exception("x")]
    check(lambda error: evaluate(error).action, [(error, RetryAction.DEFAULT) for error in others])


def pauses(try_number: int = 1, *, max_tries: int = 3, task: object = None) -> list[float]:
    """The pauses of many tasks that fail at the same try."""
    policy = OnboardingRetryPolicy()
    context: Any = None if task is None else {"task": task}
    decisions = [
        policy.evaluate(TransientError(what="x"), try_number, max_tries, context) for _ in range(300)
    ]
    assert {decision.action for decision in decisions} == {RetryAction.RETRY}
    return [decision.retry_delay.total_seconds() for decision in decisions]


def test_a_transient_error_is_tried_again_after_a_random_pause() -> None:
    vendor = (VendorUnavailableError, RateLimitedError, CreateUnverifiedError)
    for kind in (TransientError, StorageUnavailableError, *vendor):
        decisions = [evaluate(kind(what="x")) for _ in range(20)]

        assert {decision.action for decision in decisions} == {RetryAction.RETRY}
        assert kind.__name__ in str(decisions[0].reason)
        assert len({decision.retry_delay for decision in decisions}) > 15, kind


def test_the_pause_is_any_part_of_one_that_doubles_with_each_try() -> None:
    for try_number, longest in ((1, 60), (2, 120), (3, 240), (4, 480), (50, 3600)):
        found = pauses(try_number)

        assert all(1 <= pause <= longest for pause in found), try_number
        # "Full": all over the range, not around its middle.
        parts = [sum(low <= pause / longest < low + 0.25 for pause in found) for low in (0, 0.25, 0.5, 0.75)]
        assert min(parts) > 30, try_number


def test_the_settings_of_the_task_count() -> None:
    def task(backoff: float, longest: timedelta | None) -> Any:
        delays = {"retry_delay": timedelta(seconds=10), "max_retry_delay": longest}
        return SimpleNamespace(retries=3, retry_exponential_backoff=backoff, **delays)

    limited = task(3.0, timedelta(seconds=50))
    assert 9 < max(pauses(1, task=limited)) <= 10
    assert 27 < max(pauses(2, task=limited)) <= 30
    assert 45 < max(pauses(3, task=limited)) <= 50
    # A cleared task begins with short pauses: after two tries and a clear, it may make four more.
    assert max(pauses(3, max_tries=5, task=task(2.0, None))) <= 10
    assert max(pauses(4, max_tries=5, task=task(2.0, None))) > 10
    arguments = default_args(owner="x", retries=2, retry_delay=timedelta(seconds=5))
    operator = BaseOperator(task_id="x", **arguments)
    assert 4 < max(pauses(1, max_tries=2, task=operator)) <= 5
    assert 8 < max(pauses(2, max_tries=2, task=operator)) <= 10


def test_a_pause_that_the_error_asks_for_is_kept_with_a_little_spread() -> None:
    for kind in (RateLimitedError, VendorUnavailableError, CreateUnverifiedError):
        for seconds in (0.0, 1.0, 90.0, 3599.0):
            decisions = [evaluate(kind(what="x", retry_after=seconds)) for _ in range(50)]
            delays = {decision.retry_delay for decision in decisions}

            assert {decision.action for decision in decisions} == {RetryAction.RETRY}
            assert min(delays) >= timedelta(seconds=seconds), (kind, seconds)
            assert max(delays) <= timedelta(seconds=seconds * 1.1 + 1), (kind, seconds)
            assert len(delays) > 1 or not seconds


def test_a_vendor_can_ask_for_an_hour_at_most() -> None:
    for seconds in (3601.0, 1e12, float("inf")):
        delay = evaluate(RateLimitedError(what="x", retry_after=seconds)).retry_delay

        assert delay is not None
        assert delay <= MAX_RETRY_DELAY * 1.1 + timedelta(seconds=1), seconds
