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


@pytest.mark.parametrize("error", [TransientError(what="Later"), ValueError("a bug")])
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        Operator().execute(error)

    assert caught.value is error


def test_a_decorated_method_keeps_result_name_and_docstring() -> None:
    assert Operator().execute(None) == "done"
    assert (Operator.execute.__name__, Operator.execute.__doc__) == ("execute", "Do it.")


def test_the_message_is_the_errors_own() -> None:
    assert str(failure_of(TerminalError(what="It broke"))) == (
        "TerminalError: It broke. See docs/troubleshooting.md#terminalerror"
    )


def test_what_a_trigger_tells_ends_with_where_to_read_more_too() -> None:
    told = failure_told({"status": "error", "error": "NotFoundError", "message": "It is gone."})

    assert str(told) == "NotFoundError: It is gone. See docs/troubleshooting.md#notfounderror"


def test_an_error_that_is_tried_again_says_where_to_read_more_once() -> None:
    error = RateLimitedError(what="Too many requests", status=429)

    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            Operator().execute(error)

    assert caught.value is error
    assert str(error) == (
        "Too many requests. It is tried again by itself. [HTTP 429] See docs/troubleshooting.md#ratelimitederror"
    )


@pytest.mark.parametrize("error", [TerminalError(what="x"), AuthenticationError(what="x")])
def test_a_terminal_error_is_not_tried_again(error: Exception) -> None:
    decision = evaluate(error)

    assert decision.action is RetryAction.FAIL
    assert type(error).__name__ in str(decision.reason)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError("x"), Exception("x")])
def test_what_is_not_known_follows_the_retries_of_the_task(error: BaseException) -> None:
    assert evaluate(error).action is RetryAction.DEFAULT


MAY_GO_AWAY = [
    TransientError(what="x"),
    VendorUnavailableError(what="x"),
    RateLimitedError(what="x"),
    StorageUnavailableError(what="x"),
    NotClearYetError(what="x"),
]


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


@pytest.mark.parametrize("error", MAY_GO_AWAY, ids=lambda error: type(error).__name__)
def test_what_may_go_away_is_tried_again_after_a_random_pause(error: TransientError) -> None:
    found = {evaluate(error).retry_delay for _ in range(20)}

    assert evaluate(error).action is RetryAction.RETRY
    assert type(error).__name__ in str(evaluate(error).reason)
    assert len(found) > 15


@pytest.mark.parametrize(("try_number", "longest"), [(1, 60), (2, 120), (3, 240), (4, 480), (50, 3600)])
def test_the_pause_is_any_part_of_one_that_doubles_with_each_try(try_number: int, longest: float) -> None:
    found = pauses(try_number)

    assert all(1 <= pause <= longest for pause in found)
    # "Full": all over the range, not around its middle.
    parts = [sum(low <= pause / longest < low + 0.25 for pause in found) for low in (0, 0.25, 0.5, 0.75)]
    assert min(parts) > 30


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


def test_an_unclear_creation_is_asked_for_when_it_can_be_clear() -> None:
    decision = evaluate(NotClearYetError(what="x", retry_after=90.0))

    assert decision.retry_delay is not None
    assert timedelta(seconds=90) <= decision.retry_delay <= timedelta(seconds=100)


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
