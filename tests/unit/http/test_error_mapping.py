"""Reading of HTTP failures: error class, outcome, pause and message."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.exceptions import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TooLargeError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import error_mapping
from audience_onboarding.http.error_mapping import error_for_status, parse_retry_after

NOW = datetime(2026, 11, 20, 3, 0, 0, tzinfo=timezone.utc)


def response(status: int, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.reason = "The reason"
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    made._content = b"secret body"
    return made


def error_for(status: int, *, changes: bool = True, message: str = "", **headers: str) -> VendorError:
    error = error_for_status(
        response(status, **headers), request_label="Vendor POST /x", mutating=changes, message=message
    )
    assert error is not None
    return error


PAUSES: dict[str | None, float | None] = {
    "0": 0.0,
    "30": 30.0,
    " 30 ": 30.0,
    "1.5": 1.5,
    "Fri, 20 Nov 2026 03:00:30 GMT": 30.0,
    "Fri, 20 Nov 2026 04:00:30 +0100": 30.0,
    "Fri, 20 Nov 2026 03:00:30 -0000": 30.0,
    "Fri, 20 Nov 2026 03:00:30": 30.0,
    "2026-11-20T03:00:30Z": 30.0,
    "2026-11-20T03:00:30.500Z": 30.5,
    "2026-11-20T04:00:30+01:00": 30.0,
    "2026-11-20T03:00:30": 30.0,
    "2026-11-20 03:00:30": 30.0,
    # A pause is never negative.
    "-5": 0.0,
    "Fri, 20 Nov 2026 02:59:00 GMT": 0.0,
    "Thu, 01 Jan 1970 00:00:00 GMT": 0.0,
    "2026-11-20T02:59:00Z": 0.0,
    # Anything else is no pause.
    None: None,
    "": None,
    " ": None,
    "soon": None,
    "nan": None,
    "inf": None,
    "-inf": None,
    "1e999": None,
    "Fri, 99 Nov 2026 03:00:30 GMT": None,
    "Fri, 20 Nov 2026 03:00:30 +9999": None,
    "2026-11-31T03:00:30Z": None,
    "2026-11-20T03:00:30Zulu": None,
    "Wed, 21 Oct 99999999999 07:28:00 GMT": None,
    "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT": None,
}
"""Seconds that a ``Retry-After`` header stands for, at ``NOW``."""


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert {value: parse_retry_after(value, now=NOW) for value in PAUSES} == PAUSES


@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(r"[A-Z][a-z]{2}, \d{1,12} [A-Z][a-z]{2} \d{1,12} \d{1,3}:\d{1,3}:\d{1,3} [+-]?\d{0,6}"),
    )
)
def test_no_retry_after_header_makes_the_reading_fail(value: str) -> None:
    seconds = parse_retry_after(value, now=NOW)

    assert seconds is None or 0.0 <= seconds < float("inf")


STATUSES: dict[int, tuple[type[VendorError] | None, Outcome]] = {
    **dict.fromkeys((200, 201, 202, 204, 206, 299), (None, Outcome.NOT_DONE)),
    **dict.fromkeys((301, 302, 304, 307, 308), (UnexpectedResponseError, Outcome.NOT_DONE)),
    **dict.fromkeys((400, 418, 422, 499), (RequestRejectedError, Outcome.NOT_DONE)),
    401: (AuthenticationError, Outcome.NOT_DONE),
    403: (PermissionDeniedError, Outcome.NOT_DONE),
    404: (NotFoundError, Outcome.NOT_DONE),
    405: (NotFoundError, Outcome.NOT_DONE),
    409: (ConflictError, Outcome.NOT_DONE),
    413: (TooLargeError, Outcome.NOT_DONE),
    423: (VendorUnavailableError, Outcome.NOT_DONE),
    429: (RateLimitedError, Outcome.NOT_DONE),
    **dict.fromkeys((408, 500, 501, 502, 503, 504, 520, 599), (VendorUnavailableError, Outcome.UNKNOWN)),
}
"""Error class of each status, and outcome of a request that changes something."""


def test_each_status_stands_for_one_error_and_outcome() -> None:
    problems = []
    for status, (kind, outcome_of_a_change) in STATUSES.items():
        for changes, outcome in ((True, outcome_of_a_change), (False, Outcome.NOT_DONE)):
            error = error_for_status(response(status), request_label="here", mutating=changes)
            found = error and (type(error), error.outcome, error.status)
            if found != (kind and (kind, outcome, status)):
                problems.append(f"{status}, changes something: {changes}: {found}")

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("status", [302, 400, 401, 429, 503])
def test_the_message_holds_place_reason_and_request_id_but_not_the_body(status: int) -> None:
    message = str(error_for(status, message="Not today", X_Request_Id="r-1"))

    assert "Vendor POST /x" in message
    assert "Not today" in message
    assert f"HTTP {status}, request id r-1" in message
    assert "secret body" not in message


def test_the_reason_is_the_vendors_message_without_personal_data_or_else_the_status_line() -> None:
    assert "The reason" in str(error_for(400))
    assert "The object is locked for now" in str(error_for(423))
    message = str(error_for(422, message="anna@example.com is taken"))
    assert "<e-mail> is taken" in message
    assert "anna" not in message


@pytest.mark.parametrize("status", [423, 429, 503, 408])
def test_transient_errors_carry_the_pause_of_the_header_or_else_of_the_body(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(datetime):
        """A clock that stands still."""

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return NOW

    monkeypatch.setattr(error_mapping, "datetime", Frozen)
    pauses = {
        (None, None): None,
        (None, 30.0): 30.0,
        ("7", None): 7.0,
        ("7", 30.0): 7.0,
        ("0", 30.0): 0.0,
        ("-1", None): 0.0,
        ("soon", 30.0): 30.0,
        ("soon", None): None,
        ("Fri, 20 Nov 2026 03:10:00 GMT", 30.0): 600.0,
        ("2026-11-20T03:10:00Z", None): 600.0,
    }

    def pause_of(header: str | None, body: float | None) -> float | None:
        headers = {} if header is None else {"Retry_After": header}
        error = error_for_status(
            response(status, **headers), request_label="here", mutating=True, retry_after=body
        )
        assert isinstance(error, VendorUnavailableError)
        return error.retry_after

    assert {given: pause_of(*given) for given in pauses} == pauses
