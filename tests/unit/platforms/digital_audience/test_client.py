"""Digital Audience's client over real HTTP: envelope, session, wrong passwords, platform accounts.

The contract that holds for the clients of all vendors is in ``tests/unit/clients``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.platforms.digital_audience import session_client
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient as Client
from audience_onboarding.platforms.digital_audience.client import iso_utc
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
from audience_onboarding.platforms.digital_audience.session_client import FAILED_LOGIN_DELAY
from tests.unit.clients.digital_audience import OPERATIONS
from tests.unit.http.loopback import Action, Reply, Reset, Seen
from tests.unit.http.plain import error_of
from tests.unit.platforms.digital_audience.conftest import PASSWORD, USER, Vendor, cookie_of, envelope

SettingsOf = Callable[..., DigitalAudienceSettings]

LOAD, CREATE = "GET /audience/loadAudienceById/7", "POST /campaign/createcampaign"
ACCOUNTS_PATH = "GET /organisation/loadplatformaccounts"


# --- requests -----------------------------------------------------------------------------------------------


def test_the_login_is_sent_as_the_vendors_page_shows_it(vendor: Vendor, client: Client) -> None:
    client.login()

    (seen,) = vendor.server.seen
    assert (seen.method, seen.path) == ("POST", "/account/login")
    assert seen.json == {"userName": USER, "password": PASSWORD}
    assert "Cookie" not in seen.headers


def test_a_prefix_and_own_paths_are_used(vendor: Vendor, settings_of: SettingsOf) -> None:
    paths = {"create_campaign": "/campaign/create", "delete_audience": "/audience/delete"}
    client = Client(settings_of(api_prefix="/api", paths=paths))
    vendor.answers["POST /api/campaign/create"] = Reply(200, envelope({"id": 3}))
    vendor.answers["DELETE /api/audience/delete"] = Reply(200, envelope(True))

    assert client.create_campaign("x").id == 3
    # Without a placeholder, the id travels in the body.
    client.delete_audience(7)
    assert vendor.calls[-1].json == {"audienceId": 7}


def test_times_are_written_in_utc_with_a_z() -> None:
    texts = {
        datetime(2024, 12, 31, 23, 59, 59, tzinfo=timezone.utc): "2024-12-31T23:59:59Z",
        datetime(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))): "2024-06-01T00:00:00Z",
        datetime(2024, 1, 1, 0, 0, 0, 500000, tzinfo=timezone.utc): "2024-01-01T00:00:00.500000Z",
    }

    assert {time: iso_utc(time) for time in texts} == texts
    with pytest.raises(ValueError, match="Missing time zone"):
        iso_utc(datetime(2024, 1, 1))  # noqa: DTZ001 - a time without a zone is the case


# --- the envelope -------------------------------------------------------------------------------------------


def test_a_call_is_successful_if_status_success_and_code_all_say_so(vendor: Vendor, client: Client) -> None:
    data = {"id": 7}
    contradictory = [envelope(data, code=5), envelope(data, code=None)]
    refused = [
        *(envelope(data, success=success) for success in (False, None, "true")),
        envelope(data, success=False, code=5),
    ]
    unreadable: list[Any] = [{"data": data}, data, [envelope(data)]]
    problems = []
    for asked in (LOAD, CREATE):
        for status, body, kind, outcome_of_a_change in (
            *((status, envelope(data), None, None) for status in (200, 201)),
            (200, {"data": data, "success": True}, None, None),
            (200, {"data": data, "success": True, "status": None}, None, None),
            *((200, body, RequestRejectedError, Outcome.UNKNOWN) for body in contradictory),
            *((200, body, RequestRejectedError, Outcome.NOT_DONE) for body in refused),
            *((200, body, UnexpectedResponseError, Outcome.UNKNOWN) for body in unreadable),
            (204, None, UnexpectedResponseError, Outcome.UNKNOWN),
            (302, "", UnexpectedResponseError, Outcome.NOT_DONE),
            (400, envelope(data), RequestRejectedError, Outcome.NOT_DONE),
            (500, envelope(data), VendorUnavailableError, Outcome.UNKNOWN),
            (500, "<html>", VendorUnavailableError, Outcome.UNKNOWN),
        ):
            vendor.answers[asked] = Reply(status, body)
            found: Any
            try:
                found = (client.load_audience(7) if asked == LOAD else client.create_campaign("x")).id
            except VendorError as error:
                found = (type(error), error.outcome)
            outcome = outcome_of_a_change if asked == CREATE else Outcome.NOT_DONE
            if found != (7 if kind is None else (kind, outcome)):
                problems.append(f"{asked}: {status} {body}: {found}")

    assert not problems, "\n".join(problems)


def test_a_refusal_with_http_200_names_the_object(vendor: Vendor, client: Client) -> None:
    for name, operation in OPERATIONS.items():
        vendor.answers[operation.asked] = Reply(200, envelope(success=False, code=3, message="Unknown id"))

        error = error_of(lambda o=operation: o.call(client), RequestRejectedError)

        assert str(error).startswith(operation.subject), name
        assert "Unknown id" in str(error), name


def test_a_refusal_without_a_message_gives_the_status_code(vendor: Vendor, client: Client) -> None:
    vendor.answers[CREATE] = Reply(200, envelope(success=False, code=5))

    assert "statusCode 5 without a message" in str(error_of(lambda: client.create_campaign("x")))


# --- answers of single operations ---------------------------------------------------------------------------


def test_a_campaign_is_known_by_its_id(vendor: Vendor, client: Client) -> None:
    for data in ({"id": 5, "name": "x"}, 5):
        vendor.answers[CREATE] = Reply(200, envelope(data))

        assert client.create_campaign("x").id == 5


def test_an_audience_that_was_not_deleted_is_an_error(vendor: Vendor, client: Client) -> None:
    vendor.answers["DELETE /audience/delete"] = Reply(200, envelope(False))

    error = error_of(lambda: client.delete_audience(7))

    assert isinstance(error, RequestRejectedError)
    assert "Audience 7 not deleted" in str(error)


def test_segments_are_listed_in_every_shape_of_the_list(vendor: Vendor, client: Client) -> None:
    for data, ids in (
        ([{"segmentId": 5}, {"segmentId": 6}], [5, 6]),
        ([], []),
        (None, []),
        ({"segmentId": 5}, [5]),
    ):
        vendor.answers["GET /segment/audience:7"] = Reply(200, envelope(data))

        assert [segment.segment_id for segment in client.load_audience_segments(7)] == ids


# --- login --------------------------------------------------------------------------------------------------


def test_a_login_that_is_refused(vendor: Vendor, client: Client) -> None:
    words = "Wrong password"
    for answer in (
        Reply(200, envelope(False, success=False, code=1, message=words)),
        Reply(200, envelope(False, message=words)),
        Reply(200, envelope(True, code=17, message=words)),
        *(Reply(status, envelope(success=False, message=words)) for status in (400, 401, 403)),
        Reply(401, ""),
    ):
        vendor.login_answer = lambda seen, answer=answer: answer

        error = error_of(client.login, AuthenticationError)

        assert USER in str(error), answer
        assert PASSWORD not in str(error), answer
        assert (words in str(error)) is bool(answer.body), answer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply(200, envelope(True)), UnexpectedResponseError),
        (Reply(200, envelope(True), {"Set-Cookie": "digitalAudience="}), UnexpectedResponseError),
        (Reply(200, "<html>", {"Set-Cookie": "x=1"}), UnexpectedResponseError),
        (Reply(302, "", {"Location": "/portal"}), UnexpectedResponseError),
        (Reply(404, "<html>"), NotFoundError),
        (Reply(429, "", {"Retry-After": "5"}), RateLimitedError),
        (Reply(500, ""), VendorUnavailableError),
        (Reset(), VendorUnavailableError),
    ],
)
def test_after_a_login_that_fails_nothing_was_sent(
    vendor: Vendor, client: Client, answer: Action, kind: type[VendorError]
) -> None:
    vendor.login_answer = lambda seen: answer

    error = error_of(lambda: client.create_campaign("x"), VendorError)

    assert (type(error), error.outcome) == (kind, Outcome.NOT_DONE)
    assert type(error_of(client.login)) is kind
    assert vendor.calls == []


def test_one_session_is_used_until_an_explicit_login(vendor: Vendor, client: Client) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}), {"Set-Cookie": "tracking=1; Path=/"})

    for _ in range(3):
        client.load_audience(7)
    client.login()
    client.load_audience(7)

    sessions = ["session-0001-secret"] * 3 + ["session-0002-secret"]
    assert [cookie_of(seen) for seen in vendor.calls] == sessions


def test_all_cookies_of_the_login_are_sent_back(vendor: Vendor, client: Client) -> None:
    vendor.login_answer = lambda seen: Reply(
        200,
        envelope(True),
        {"Set-Cookie": "digitalAudience=one; Path=/", "set-cookie": "affinity=two; Path=/"},
    )
    vendor.refusal = lambda: Reply(200, envelope({"id": 7}))

    client.load_audience(7)

    (seen,) = vendor.calls
    assert sorted(seen.headers["Cookie"].split("; ")) == ["affinity=two", "digitalAudience=one"]


# --- renewal ------------------------------------------------------------------------------------------------


SESSION_IS_OVER = {
    "401": Reply(401, ""),
    "403": Reply(403, ""),
    "redirect to the login": Reply(302, "", {"Location": "/Account/Login?ReturnUrl=%2F"}),
    "session expired": Reply(200, envelope(success=False, code=3, message="Session expired")),
    "please log in": Reply(200, envelope(success=False, message="Please log in")),
    "unauthorised": Reply(200, envelope(success=False, message="Unauthorised")),
    "not authenticated": Reply(200, envelope(code=401, message="Not authenticated")),
}


@pytest.mark.parametrize("asked", [LOAD, CREATE])
def test_a_session_that_is_over_is_renewed_once_and_the_call_sent_again(
    vendor: Vendor, settings_of: SettingsOf, asked: str
) -> None:
    vendor.answers[asked] = Reply(200, envelope({"id": 7}))
    for name, refusal in SESSION_IS_OVER.items():
        client = Client(settings_of())
        client.login()
        vendor.end_sessions()
        vendor.refusal = lambda refusal=refusal: refusal
        logins, calls = vendor.logins, len(vendor.calls)

        found = client.load_audience(7) if asked == LOAD else client.create_campaign("x")

        assert found.id == 7, name
        assert vendor.logins == logins + 1, name
        sessions = [f"session-{number:04}-secret" for number in (logins, logins + 1)]
        assert [cookie_of(seen) for seen in vendor.calls[calls:]] == sessions, name


def test_a_refusal_right_after_a_new_login_is_an_error(vendor: Vendor, settings_of: SettingsOf) -> None:
    for number, (name, refusal) in enumerate(SESSION_IS_OVER.items(), 1):
        vendor.answers[LOAD] = refusal
        client = Client(settings_of())

        error = error_of(lambda c=client: c.load_audience(7), VendorError)

        kind = PermissionDeniedError if refusal.status == 403 else AuthenticationError
        assert (type(error), error.outcome) == (kind, Outcome.NOT_DONE), name
        assert (vendor.logins, len(vendor.calls)) == (2 * number, 2 * number), name


def test_other_refusals_do_not_renew_the_session(vendor: Vendor, client: Client) -> None:
    # Some of the messages only hold letters of the pattern.
    words = (
        "The name is taken",
        "The catalog is invalid: catalog in use",
        "Obsession is no name",
        "blog index",
    )
    refusals = [
        Reply(302, "", {"Location": "/maintenance"}),
        *(Reply(200, envelope(success=False, code=3, message=message)) for message in words),
        *(Reply(status, envelope(success=False, message="Session expired")) for status in (400, 404)),
    ]
    for refusal in refusals:
        vendor.answers[LOAD] = refusal

        error_of(lambda: client.load_audience(7), VendorError)

    assert (vendor.logins, len(vendor.calls)) == (1, len(refusals))


def test_an_answer_that_is_good_is_believed_whatever_its_message(vendor: Vendor, client: Client) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}, message="Session expires in 5 minutes"))

    assert client.load_audience(7).id == 7
    assert vendor.logins == 1


def test_the_sign_of_an_expired_session_is_a_setting(vendor: Vendor, settings_of: SettingsOf) -> None:
    client = Client(settings_of(session_expired_pattern="^kein Zugang$"))
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    vendor.refusal = lambda: Reply(200, envelope(success=False, message="kein Zugang"))
    client.login()
    vendor.end_sessions()

    assert client.load_audience(7).id == 7


def test_many_threads_with_an_expired_session_log_in_once(vendor: Vendor, client: Client) -> None:
    threads = 24
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    client.login()
    vendor.end_sessions()
    all_refused = threading.Barrier(threads)

    def refuse_all_first() -> Action:
        all_refused.wait(60)
        return Reply(401, "")

    vendor.refusal = refuse_all_first
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda _: client.load_audience(7).id, range(threads)))

    assert found == [7] * threads
    assert vendor.logins == 2


class CountedLock:
    """Lock that sets an event when so many threads have asked for it."""

    def __init__(self, expected: int) -> None:
        self._lock = threading.Lock()
        self._asked = itertools.count(1)
        self._expected = expected
        self.all_have_asked = threading.Event()

    def __enter__(self) -> None:
        if next(self._asked) == self._expected:
            self.all_have_asked.set()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def test_many_threads_share_a_login_that_breaks(vendor: Vendor, client: Client) -> None:
    """While the vendor is down, one thread asks and the others get its error; each may retry later."""
    threads = 16
    client._login_lock = lock = CountedLock(threads)  # type: ignore[assignment]

    def break_when_all_wait(seen: Seen) -> Action:
        lock.all_have_asked.wait(60)
        return Reply(503, "")

    vendor.login_answer = break_when_all_wait
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))

    def load(_: int) -> str:
        with pytest.raises(VendorUnavailableError) as caught:
            client.load_audience(7)
        return str(caught.value)

    with ThreadPoolExecutor(threads) as pool:
        found = set(pool.map(load, range(threads)))

    assert len(found) == 1
    assert vendor.logins == 1
    vendor.login_answer = vendor.log_in
    assert client.load_audience(7).id == 7
    assert vendor.logins == 2


# --- a wrong password ---------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Clock of the client; its one item is the time."""
    now = [1000.0]
    monkeypatch.setattr(session_client.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def refused(vendor: Vendor, settings_of: SettingsOf, clock: list[float]) -> Client:
    """Client whose wrong password was refused."""
    client = Client(settings_of(password="wrong"))
    with pytest.raises(AuthenticationError):
        client.load_audience(7)
    return client


def test_a_wrong_password_is_not_repeated_for_a_while(
    vendor: Vendor, refused: Client, clock: list[float]
) -> None:
    errors = []
    for _ in range(5):
        clock[0] += FAILED_LOGIN_DELAY / 6
        errors.append(error_of(lambda: refused.load_audience(7), AuthenticationError))

    assert vendor.logins == 1
    # Each caller gets an error of its own.
    assert len({id(error) for error in errors}) == len(errors)
    assert {str(error).partition(" (")[0] for error in errors} == {f"Login as {USER!r} refused"}
    clock[0] += FAILED_LOGIN_DELAY / 6
    error_of(lambda: refused.load_audience(7), AuthenticationError)
    assert vendor.logins == 2
    # An explicit login does not wait.
    error_of(refused.login, AuthenticationError)
    assert vendor.logins == 3


# --- secrets ------------------------------------------------------------------------------------------------


def test_cookies_and_access_tokens_are_masked(vendor: Vendor, settings_of: SettingsOf) -> None:
    secrets: list[str] = []
    client = Client(settings_of(), on_secret=secrets.append)
    tokens = ["ya29.secret", None]
    accounts = [{"id": number, "name": "a", "accessToken": token} for number, token in enumerate(tokens)]
    vendor.answers[ACCOUNTS_PATH] = Reply(200, envelope([*accounts, {"id": 3, "name": "c"}]))

    assert "ya29.secret" not in repr(client.load_platform_accounts())
    assert secrets == ["session-0001-secret", "ya29.secret"]

    # Even if the account cannot be read.
    vendor.answers[ACCOUNTS_PATH] = Reply(200, envelope([{"id": "?", "accessToken": "ya30.secret"}]))
    assert "ya30.secret" not in str(error_of(client.load_platform_accounts))
    assert secrets[-1] == "ya30.secret"


# --- platform accounts --------------------------------------------------------------------------------------


ACCOUNTS: list[dict[str, Any]] = [
    {"id": 1, "name": "Example NL", "platformDisplayName": "DV360", "platformName": "Google DDP"},
    {"id": 2, "name": "Example NL", "platformDisplayName": "Xandr"},
    {"id": 3, "name": "Example SE", "platformDisplayName": "DV360"},
]


def test_an_account_is_found_by_id_platform_or_name(vendor: Vendor, client: Client) -> None:
    vendor.answers[ACCOUNTS_PATH] = Reply(200, envelope(ACCOUNTS))
    wanted: list[tuple[dict[str, Any], int]] = [
        ({"account_id": 2}, 2),
        ({"platform": "DV360", "name": "Example NL"}, 1),
        ({"platform": "google ddp"}, 1),
        ({"platform": "xandr"}, 2),
        ({"name": "example se"}, 3),
        ({"account_id": 1, "platform": "DV360"}, 1),
    ]

    assert [client.find_platform_account(**given).id for given, _ in wanted] == [found for _, found in wanted]


def test_an_ambiguous_or_unknown_account_is_an_error_that_lists_the_choices(
    vendor: Vendor, client: Client
) -> None:
    token = "a-token-of-the-platform"
    many = [
        {"id": number, "name": "Same" if number > 298 else f"N{number}", "accessToken": token}
        for number in range(1, 301)
    ]
    choices = ("1: Example NL on DV360", "2: Example NL on Xandr", "3: Example SE on DV360")
    wanted: list[tuple[dict[str, Any], list[dict[str, Any]], tuple[str, ...]]] = [
        ({"platform": "DV360"}, ACCOUNTS, ("2 platform accounts match platform 'DV360'", *choices)),
        ({"name": "Example NL"}, ACCOUNTS, ("2 platform accounts match name 'Example NL'", *choices)),
        ({"account_id": 9}, ACCOUNTS, ("No platform accounts match id 9", *choices)),
        (
            {"account_id": 1, "platform": "Xandr"},
            ACCOUNTS,
            ("No platform accounts match id 1, platform 'Xandr'", *choices),
        ),
        ({}, ACCOUNTS, ("3 platform accounts match any account", *choices)),
        # Some of hundreds are listed, those that fit first.
        (
            {"name": "Same"},
            many,
            ("the accounts are 299: Same on ; 300: Same on ; 1: N1", "and 280 more"),
        ),
        ({"platform": "DV360"}, [], ("the organisation has no platform accounts",)),
    ]
    for given, accounts, texts in wanted:
        vendor.answers[ACCOUNTS_PATH] = Reply(200, envelope(accounts))

        message = str(error_of(lambda given=given: client.find_platform_account(**given), ConfigurationError))

        assert all(text in message for text in texts), message
        assert token not in message


# --- repeated reads -----------------------------------------------------------------------------------------


def test_an_audience_is_returned_if_the_answer_has_changed(client: Client, vendor: Vendor) -> None:
    def show(state: str) -> None:
        vendor.answers[LOAD] = Reply(200, envelope({"id": 7, "audienceState": state}))

    show("PROCESSING")
    first = client.load_changed_audience(7)
    assert first is not None
    fingerprint, audience = first
    assert audience.audience_state == "PROCESSING"
    assert client.load_changed_audience(7, previous=fingerprint) is None

    show("READY")
    second = client.load_changed_audience(7, previous=fingerprint)
    assert second is not None
    assert second[1].audience_state == "READY"
    assert second[0] != fingerprint
    assert client.load_changed_audience(7, previous=second[0]) is None
    assert len(vendor.calls) == 4


def test_a_session_that_ends_between_two_reads_is_not_a_change(client: Client, vendor: Vendor) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    first = client.load_changed_audience(7)
    assert first is not None
    vendor.end_sessions()

    assert client.load_changed_audience(7, previous=first[0]) is None
    assert vendor.logins == 2


def test_an_error_is_an_error_each_time_it_is_answered(client: Client, vendor: Vendor) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    first = client.load_changed_audience(7)
    assert first is not None
    vendor.answers[LOAD] = Reply(200, envelope(success=False, code=5, message="Not now"))

    for _ in range(2):
        with pytest.raises(RequestRejectedError):
            client.load_changed_audience(7, previous=first[0])
