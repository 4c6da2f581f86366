"""Reading of HTTP failures: error class, outcome, pause and message."""

from __future__ import annotations

import time
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
from audience_onboarding.http.error_mapping import (
    MAX_MESSAGE,
    error_for_status,
    parse_retry_after,
    redact,
    redacted_excerpt,
)

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
    assert "The object is locked" in str(error_for(423))
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


# --- redaction ----------------------------------------------------------------------------------------------

HASH = "5f4dcc3b5aa765d61d8327deb882cf99" * 2

REDACTED = {
    "anna@example.com is taken": "<e-mail> is taken",
    "Row 3: 'anna+news@sub.example.co.uk', invalid": "Row 3: '<e-mail>', invalid",
    "<anna@example.com>": "<<e-mail>>",
    "één@voorbeeld.nl": "<e-mail>",
    "a@b.nl, c@d.nl": "<e-mail>, <e-mail>",
    "mary-ann.o'brien@example.com is taken": "<e-mail> is taken",
    "'d'arc'o'brien@example.com' is taken": "'<e-mail>' is taken",
    "Row 3: 'anna@example.com', 'bo@example.com'": "Row 3: '<e-mail>', '<e-mail>'",
    "+31 6 12345678 is no number": "<number> is no number",
    "phone=31612345678": "phone=<number>",
    "(020) 794-1234 56": "(<number>",
    # Digits that only look like a date.
    "0612-34-56-78 is no number": "<number> is no number",
    "2012-11-12-345 is no number": "<number> is no number",
    f"hash {HASH} and {HASH.upper()}": "hash <hash> and <hash>",
}

KEPT = [
    "",
    "Audience 69249 is not known",
    "imp_01HXZ9 was imported on 2026-11-20",
    "since 2026-11-20T03:00:00Z",
    "since 2026-11-20 03:00:00.123Z",
    "on 2026-11-20, at 2026-11-20T03:00:00Z",
    "audience 123e4567-e89b-12d3-a456-426614174000 is locked",
    "100,000 rows at most, 10 MB",
    "Unexpected token < in JSON at position 0",
]


def test_addresses_numbers_and_hashes_are_redacted_and_ids_dates_and_counts_kept() -> None:
    wanted = {**REDACTED, **{text: text for text in KEPT}}

    assert {text: redact(text) for text in wanted} == wanted


@pytest.mark.parametrize(
    ("personal", "instead"),
    [
        ("anna.jansen@example.com", "<e-mail>"),
        ("+31 6 12345678", "<number>"),
        ("31612345678", "<number>"),
        (HASH, "<hash>"),
    ],
)
def test_a_message_is_redacted_before_it_is_cut(personal: str, instead: str) -> None:
    for before in range(MAX_MESSAGE - len(personal) - 2, MAX_MESSAGE + 1):
        start = "x" * before

        assert redacted_excerpt(f"{start} {personal} is taken") == f"{start} {instead} is taken"[:MAX_MESSAGE]


def test_the_length_can_be_chosen() -> None:
    for length in (1, 5, 200):
        assert redacted_excerpt("x" * 1_000, length) == "x" * length
        assert redacted_excerpt("", length) == ""


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a'" * 500_000, "1 " * 500_000, "a.b-c_" * 200_000])
def test_a_message_of_a_million_characters_is_not_read_to_its_end(text: str) -> None:
    started = time.process_time()

    redacted_excerpt(text)

    # CPU seconds of this process. To read all of it would take minutes.
    assert time.process_time() - started < 10
