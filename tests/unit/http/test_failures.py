"""How HTTP failures are read."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TerminalError,
    TooLargeError,
    TransientError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http.failures import error_for_status, parse_retry_after

NOW = datetime(2026, 11, 20, 3, 0, 0, tzinfo=timezone.utc)


def response(status: int, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.reason = "The reason"
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    made._content = b"secret body"
    return made


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("Fri, 20 Nov 2026 03:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 04:00:30 +0100", 30.0),
        ("Fri, 20 Nov 2026 03:00:30 -0000", 30.0),
        ("Fri, 20 Nov 2026 03:00:30", 30.0),
        ("2026-11-20T03:00:30Z", 30.0),
        ("2026-11-20T03:00:30.500Z", 30.5),
        ("2026-11-20T04:00:30+01:00", 30.0),
        ("2026-11-20T03:00:30", 30.0),
        ("2026-11-20 03:00:30", 30.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str, seconds: float) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value", ["-5", "Fri, 20 Nov 2026 02:59:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "2026-11-20T02:59:00Z"]
)
def test_a_pause_is_never_negative(value: str) -> None:
    assert parse_retry_after(value, now=NOW) == 0.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "soon",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "Fri, 99 Nov 2026 03:00:30 GMT",
        "Fri, 20 Nov 2026 03:00:30 +9999",
        "2026-11-31T03:00:30Z",
        "2026-11-20T03:00:30Zulu",
    ],
)
def test_what_is_no_pause_is_none(value: str | None) -> None:
    assert parse_retry_after(value, now=NOW) is None


@pytest.mark.parametrize(
    "value",
    ["Wed, 21 Oct 99999999999 07:28:00 GMT", "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT"],
)
def test_a_date_of_numbers_beyond_all_bounds_is_none(value: str) -> None:
    assert parse_retry_after(value, now=NOW) is None


@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(r"[A-Z][a-z]{2}, \d{1,12} [A-Z][a-z]{2} \d{1,12} \d{1,3}:\d{1,3}:\d{1,3} [+-]?\d{0,6}"),
    )
)
def test_no_header_whatever_makes_the_reading_fail(value: str) -> None:
    seconds = parse_retry_after(value, now=NOW)

    assert seconds is None or 0.0 <= seconds < float("inf")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_success_is_no_error(status: int) -> None:
    assert error_for_status(response(status), where="here", changes_something=True) is None


@pytest.mark.parametrize(
    ("status", "kind", "outcome_of_a_change"),
    [
        (301, UnexpectedResponseError, Outcome.NOT_DONE),
        (302, UnexpectedResponseError, Outcome.NOT_DONE),
        (304, UnexpectedResponseError, Outcome.NOT_DONE),
        (307, UnexpectedResponseError, Outcome.NOT_DONE),
        (308, UnexpectedResponseError, Outcome.NOT_DONE),
        (400, RequestRejectedError, Outcome.NOT_DONE),
        (401, AuthenticationError, Outcome.NOT_DONE),
        (403, PermissionDeniedError, Outcome.NOT_DONE),
        (404, NotFoundError, Outcome.NOT_DONE),
        (405, NotFoundError, Outcome.NOT_DONE),
        (408, VendorUnavailableError, Outcome.UNKNOWN),
        (409, ConflictError, Outcome.NOT_DONE),
        (413, TooLargeError, Outcome.NOT_DONE),
        (418, RequestRejectedError, Outcome.NOT_DONE),
        (422, RequestRejectedError, Outcome.NOT_DONE),
        (423, VendorUnavailableError, Outcome.NOT_DONE),
        (429, RateLimitedError, Outcome.NOT_DONE),
        (499, RequestRejectedError, Outcome.NOT_DONE),
        (500, VendorUnavailableError, Outcome.UNKNOWN),
        (501, VendorUnavailableError, Outcome.UNKNOWN),
        (502, VendorUnavailableError, Outcome.UNKNOWN),
        (503, VendorUnavailableError, Outcome.UNKNOWN),
        (504, VendorUnavailableError, Outcome.UNKNOWN),
        (520, VendorUnavailableError, Outcome.UNKNOWN),
        (599, VendorUnavailableError, Outcome.UNKNOWN),
    ],
)
def test_what_a_status_stands_for(status: int, kind: type[VendorError], outcome_of_a_change: Outcome) -> None:
    change = error_for_status(response(status), where="here", changes_something=True)
    look = error_for_status(response(status), where="here", changes_something=False)

    assert type(change) is type(look) is kind
    assert isinstance(change, VendorError)
    assert isinstance(look, VendorError)
    assert change.outcome is outcome_of_a_change
    assert look.outcome is Outcome.NOT_DONE
    assert change.status == look.status == status


@pytest.mark.parametrize(("header", "pause"), [("7", 7.0), ("soon", None), (None, None), ("-1", 0.0)])
def test_a_rate_limit_carries_the_pause_that_the_vendor_asks_for(
    header: str | None, pause: float | None
) -> None:
    headers = {} if header is None else {"Retry_After": header}

    error = error_for_status(response(429, **headers), where="here", changes_something=True)

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == pause


@pytest.mark.parametrize("status", [302, 400, 401, 429, 503])
def test_the_message_says_where_why_and_which_request_but_not_the_body(status: int) -> None:
    error = error_for_status(
        response(status, X_Request_Id="r-1"),
        where="Vendor POST /x",
        changes_something=True,
        message="Not today",
    )

    assert "Vendor POST /x" in str(error)
    assert "Not today" in str(error)
    assert f"HTTP {status}, request id r-1" in str(error)
    assert "secret body" not in str(error)


def test_without_words_of_the_vendor_the_reason_of_the_status_line_is_given() -> None:
    assert "The reason" in str(error_for_status(response(400), where="here", changes_something=True))


@pytest.mark.parametrize("status", [423, 429, 503, 408])
@pytest.mark.parametrize(
    ("header", "body", "pause"),
    [
        (None, None, None),
        (None, 30.0, 30.0),
        ("7", None, 7.0),
        ("7", 30.0, 7.0),
        ("0", 30.0, 0.0),
        ("soon", 30.0, 30.0),
    ],
)
def test_whatever_may_go_away_carries_the_pause_and_the_header_goes_before_the_body(
    status: int, header: str | None, body: float | None, pause: float | None
) -> None:
    headers = {} if header is None else {"Retry_After": header}

    error = error_for_status(
        response(status, **headers), where="here", changes_something=True, retry_after=body
    )

    assert isinstance(error, VendorUnavailableError)
    assert error.retry_after == pause


def test_a_locked_object_is_tried_again_and_was_not_touched() -> None:
    error = error_for_status(response(423), where="here", changes_something=True)

    assert isinstance(error, TransientError)
    assert not isinstance(error, RateLimitedError)
    assert error.outcome is Outcome.NOT_DONE  # type: ignore[attr-defined]
    assert "locked" in str(error)


@pytest.mark.parametrize(("status", "kind"), [(409, ConflictError), (413, TooLargeError)])
def test_a_refusal_of_a_kind_of_its_own_is_still_a_refusal(status: int, kind: type[VendorError]) -> None:
    error = error_for_status(response(status), where="here", changes_something=True)

    assert type(error) is kind
    assert isinstance(error, RequestRejectedError)
    assert isinstance(error, TerminalError)


def test_personal_data_in_the_vendors_words_stay_out() -> None:
    error = error_for_status(
        response(422), where="here", changes_something=True, message="anna@example.com is taken"
    )

    assert "<e-mail> is taken" in str(error)
    assert "anna" not in str(error)
