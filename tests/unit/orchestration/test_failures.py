"""How errors end a task."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.errors import (
    AmbiguousCreateError,
    AuthenticationError,
    NotClearYetError,
    RateLimitedError,
    StorageUnavailableError,
    TerminalError,
    TransientError,
    VendorUnavailableError,
)
from audience_onboarding.orchestration.failures import (
    MAX_PAUSE,
    OnboardingRetryPolicy,
    failure_of,
    failure_told,
    terminal_errors_fail,
)
from tests.unit.orchestration.helpers import check


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


def test_what_to_do_is_in_the_log_in_lines_that_fit(caplog: pytest.LogCaptureFixture) -> None:
    address = f"https://airflow.example/{'way/' * 30}settle_create"
    with pytest.raises(AirflowFailException):
        Operator().execute(AmbiguousCreateError(what="It broke " * 20, next_step=f"Mend it at {address}"))

    told = "\n".join(record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    lines = told.splitlines()
    assert len(lines) == 4
    assert f"{address}." in lines
    assert lines[-1] == "See docs/troubleshooting.md#ambiguouscreateerror"
    assert all(len(line) <= 100 for line in lines if not line.startswith(address))


def test_other_errors_pass_as_they_are_and_results_too() -> None:
    for error in (TransientError(what="Later"), ValueError("a bug")):
        with pytest.raises(type(error)) as caught:
            Operator().execute(error)
        assert caught.value is error
    assert Operator().execute(None) == "done"
    assert (Operator.execute.__name__, Operator.execute.__doc__) == ("execute", "Do it.")


def test_a_message_ends_with_the_page_about_its_error() -> None:
    of_a_trigger = failure_told({"status": "error", "error": "NotFoundError", "message": "It is gone."})

    assert str(failure_of(TerminalError(what="It broke"))) == (
        "TerminalError: It broke. See docs/troubleshooting.md#terminalerror"
    )
    assert str(of_a_trigger) == "NotFoundError: It is gone. See docs/troubleshooting.md#notfounderror"


def test_an_error_that_is_tried_again_says_where_to_read_more_once() -> None:
    error = RateLimitedError(what="Too many requests", status=429)

    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            Operator().execute(error)

    assert caught.value is error
    assert str(error) == (
        "Too many requests. It is tried again by itself. [HTTP 429] See docs/troubleshooting.md#ratelimitederror"
    )


def test_a_terminal_error_is_not_tried_again_and_an_unknown_one_follows_the_task() -> None:
    for error in (TerminalError(what="x"), AuthenticationError(what="x")):
        decision = evaluate(error)
        assert decision.action is RetryAction.FAIL
        assert type(error).__name__ in str(decision.reason)
    others: list[BaseException] = [ValueError("x"), KeyboardInterrupt(), OSError("x"), Exception("x")]
    check(lambda error: evaluate(error).action, [(error, RetryAction.DEFAULT) for error in others])


def pauses(try_number: int = 1, *, max_tries: int = 3, task: object = None, count: int = 300) -> list[float]:
    """The pauses that many tasks make which fail at the same try."""
    policy = OnboardingRetryPolicy()
    context = None if task is None else {"task": task}
    found = []
    for _ in range(count):
        decision = policy.evaluate(TransientError(what="x"), try_number, max_tries, context)  # type: ignore[arg-type]
        assert decision.action is RetryAction.RETRY
        assert decision.retry_delay is not None
        found.append(decision.retry_delay.total_seconds())
    return found


def test_a_transient_error_is_tried_again_after_a_random_pause() -> None:
    for kind in (
        TransientError,
        VendorUnavailableError,
        RateLimitedError,
        StorageUnavailableError,
        NotClearYetError,
    ):
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
    task = SimpleNamespace(
        retries=3,
        retry_delay=timedelta(seconds=10),
        retry_exponential_backoff=3.0,
        max_retry_delay=timedelta(seconds=50),
    )

    assert 9 < max(pauses(1, task=task)) <= 10
    assert 27 < max(pauses(2, task=task)) <= 30
    assert 45 < max(pauses(3, task=task)) <= 50


def test_a_cleared_task_begins_with_short_pauses_again() -> None:
    task = SimpleNamespace(
        retries=3, retry_delay=timedelta(seconds=10), retry_exponential_backoff=2.0, max_retry_delay=None
    )

    # After two tries and a clear, it may make four more.
    assert max(pauses(3, max_tries=5, task=task)) <= 10
    assert max(pauses(4, max_tries=5, task=task)) > 10


def test_a_real_operator_is_understood() -> None:
    from airflow.sdk import BaseOperator

    from audience_onboarding.pipelines.common import default_args

    arguments = default_args(owner="x", retries=2, retry_delay=timedelta(seconds=5))
    task = BaseOperator(task_id="x", **arguments)

    assert 4 < max(pauses(1, max_tries=2, task=task)) <= 5
    assert 8 < max(pauses(2, max_tries=2, task=task)) <= 10


def test_a_pause_that_the_error_asks_for_is_kept_with_a_little_spread() -> None:
    for kind in (RateLimitedError, VendorUnavailableError, NotClearYetError):
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
        assert delay <= MAX_PAUSE * 1.1 + timedelta(seconds=1), seconds
