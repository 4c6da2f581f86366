"""The client over real HTTP: what it sends, what it believes, and how it keeps its session."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding.digital_audience import client as client_module
from audience_onboarding.digital_audience.client import (
    FAILED_LOGIN_PAUSE,
    DigitalAudienceClient,
    iso_utc,
)
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.errors import (
    AudienceOnboardingError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TransientError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import forget_clients, shared_client
from tests.unit.digital_audience.conftest import PASSWORD, Vendor, cookie_of, envelope
from tests.unit.http.loopback import Action, Hang, Reply, Reset, Seen

SettingsOf = Callable[..., DigitalAudienceSettings]

LOAD = "/audience/loadAudienceById/7"
CREATE = "/campaign/createcampaign"
START = datetime(2026, 11, 20, tzinfo=timezone.utc)
END = datetime(2026, 12, 20, 23, 59, 59, tzinfo=timezone.utc)


def error_of(call: Callable[[], object]) -> VendorError:
    with pytest.raises(AudienceOnboardingError) as caught:
        call()
    assert isinstance(caught.value, VendorError)
    return caught.value


# --- what is sent -------------------------------------------------------------------------------------------


OPERATIONS: list[Any] = [
    pytest.param(
        lambda client: client.create_campaign("api_camp"),
        "POST",
        CREATE,
        {"name": "api_camp"},
        {"id": 1},
        id="create campaign",
    ),
    pytest.param(
        lambda client: client.create_crm_audience(name="a", campaign_id=123, description="d"),
        "POST",
        "/audience/createcrmaudience",
        {"name": "a", "campaignId": 123, "description": "d"},
        {"id": 1},
        id="create audience",
    ),
    pytest.param(
        lambda client: client.create_crm_audience(name="a", campaign_id=123),
        "POST",
        "/audience/createcrmaudience",
        {"name": "a", "campaignId": 123},
        {"id": 1},
        id="create audience without description",
    ),
    pytest.param(
        lambda client: client.update_audience(7, name="a", description="d"),
        "POST",
        "/audience/update",
        {"id": 7, "name": "a", "description": "d"},
        None,
        id="update audience",
    ),
    pytest.param(
        lambda client: client.update_audience(7, name="a"),
        "POST",
        "/audience/update",
        {"id": 7, "name": "a"},
        None,
        id="update audience without description",
    ),
    pytest.param(lambda client: client.load_audience(7), "GET", LOAD, None, {"id": 7}, id="load audience"),
    pytest.param(
        lambda client: client.activate_audience(
            audience_id=7, account_id=8, name="s", description="d", start_date=START, end_date=END
        ),
        "POST",
        "/audience/activate",
        {
            "audienceId": 7,
            "accountId": 8,
            "name": "s",
            "description": "d",
            "startDate": "2026-11-20T00:00:00Z",
            "endDate": "2026-12-20T23:59:59Z",
        },
        {"flowId": "x", "segmentId": 5},
        id="activate",
    ),
    pytest.param(
        lambda client: client.delete_audience(7),
        "DELETE",
        "/audience/delete?audienceId=7",
        None,
        True,
        id="delete audience",
    ),
    pytest.param(
        lambda client: client.load_audience_segments(7),
        "GET",
        "/segment/audience:7",
        None,
        [],
        id="list segments",
    ),
    pytest.param(
        lambda client: client.load_segment(5),
        "GET",
        "/Segment/loadsegmentbyid/5",
        None,
        {"segmentId": 5},
        id="load segment",
    ),
    pytest.param(
        lambda client: client.update_segment_end_date(5, END),
        "POST",
        "/segment/updateenddate",
        {"segmentid": 5, "endDate": "2026-12-20T23:59:59Z"},
        None,
        id="update end date",
    ),
    pytest.param(
        lambda client: client.delete_segment(5), "DELETE", "/segment/5", None, None, id="delete segment"
    ),
    pytest.param(
        lambda client: client.load_platform_accounts(),
        "GET",
        "/organisation/loadplatformaccounts",
        None,
        [],
        id="list accounts",
    ),
]


@pytest.mark.parametrize(("call", "method", "path", "body", "data"), OPERATIONS)
def test_each_operation_is_sent_as_the_vendors_pages_show_it(
    vendor: Vendor,
    client: DigitalAudienceClient,
    call: Callable[[DigitalAudienceClient], object],
    method: str,
    path: str,
    body: Any,
    data: Any,
) -> None:
    vendor.answers[path] = Reply(200, envelope(data))

    call(client)

    (seen,) = vendor.calls
    assert (seen.method, seen.path, seen.json) == (method, path, body)
    assert cookie_of(seen) in vendor.sessions


def test_the_login_is_sent_as_the_vendors_page_shows_it(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    client.login()

    (seen,) = vendor.server.seen
    assert (seen.method, seen.path) == ("POST", "/account/login")
    assert seen.json == {"userName": "crm@example.com", "password": PASSWORD}
    assert "Cookie" not in seen.headers


def test_the_id_of_a_delete_can_travel_in_the_body(vendor: Vendor, settings_of: SettingsOf) -> None:
    vendor.answers["/audience/delete"] = Reply(200, envelope(True))

    DigitalAudienceClient(settings_of(paths={"delete_audience": "/audience/delete"})).delete_audience(7)

    assert vendor.calls[0].json == {"audienceId": 7}


def test_a_prefix_and_an_own_path_are_used(vendor: Vendor, settings_of: SettingsOf) -> None:
    vendor.answers["/api/campaign/create"] = Reply(200, envelope({"id": 3}))
    client = DigitalAudienceClient(
        settings_of(api_prefix="/api", paths={"create_campaign": "/campaign/create"})
    )

    assert client.create_campaign("x").id == 3


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2024, 12, 31, 23, 59, 59, tzinfo=timezone.utc), "2024-12-31T23:59:59Z"),
        (datetime(2024, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-06-01T00:00:00Z"),
        (datetime(2024, 1, 1, 0, 0, 0, 500000, tzinfo=timezone.utc), "2024-01-01T00:00:00.500000Z"),
    ],
)
def test_moments_are_written_in_utc_with_a_z(moment: datetime, text: str) -> None:
    assert iso_utc(moment) == text


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        iso_utc(datetime(2024, 1, 1))  # noqa: DTZ001 - that is the point


# --- what is believed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, envelope({"id": 7}), None),
        (201, envelope({"id": 7}), None),
        (200, {"data": {"id": 7}, "success": True}, None),
        (200, {"data": {"id": 7}, "success": True, "status": None}, None),
        (200, envelope({"id": 7}, success=False), RequestRejectedError),
        (200, envelope({"id": 7}, success=None), RequestRejectedError),
        (200, envelope({"id": 7}, success="true"), RequestRejectedError),
        (200, envelope({"id": 7}, code=5), RequestRejectedError),
        (200, envelope({"id": 7}, code=None), RequestRejectedError),
        (200, envelope({"id": 7}, success=False, code=5), RequestRejectedError),
        (200, {"data": {"id": 7}}, UnexpectedResponseError),
        (200, {"id": 7}, UnexpectedResponseError),
        (200, [envelope({"id": 7})], UnexpectedResponseError),
        (200, "<html>Welcome</html>", UnexpectedResponseError),
        (200, '{"data": {"id": 7', UnexpectedResponseError),
        (200, b"\xff\xfe\x00", UnexpectedResponseError),
        (200, "", UnexpectedResponseError),
        (204, None, UnexpectedResponseError),
        (200, envelope(None), UnexpectedResponseError),
        (200, envelope({}), UnexpectedResponseError),
        (200, envelope({"id": "seven"}), UnexpectedResponseError),
        (400, envelope({"id": 7}), RequestRejectedError),
        (404, envelope(success=False), NotFoundError),
        (404, "<html>", NotFoundError),
        (405, "", NotFoundError),
        (409, envelope(success=False), ConflictError),
        (302, "", UnexpectedResponseError),
        (429, "", RateLimitedError),
        (500, envelope({"id": 7}), VendorUnavailableError),
        (500, "<html>", VendorUnavailableError),
        (503, "", VendorUnavailableError),
    ],
)
@pytest.mark.parametrize("path", [LOAD, CREATE], ids=["look", "change"])
def test_a_call_is_successful_when_status_success_and_code_all_say_so(
    vendor: Vendor,
    client: DigitalAudienceClient,
    status: int,
    body: Any,
    kind: type[VendorError] | None,
    path: str,
) -> None:
    vendor.answers[path] = Reply(status, body)
    changes = path == CREATE

    def call() -> int:
        return (client.create_campaign("x") if changes else client.load_audience(7)).id

    if kind is None:
        assert call() == 7
        return
    error = error_of(call)
    assert type(error) is kind
    contradictory = kind is RequestRejectedError and status == 200 and body.get("success") is True
    unreadable = kind in {UnexpectedResponseError, VendorUnavailableError} and status != 302
    unclear = changes and (contradictory or unreadable)
    assert error.outcome is (Outcome.UNKNOWN if unclear else Outcome.NOT_DONE)
    assert ("POST " + CREATE if changes else "GET " + LOAD) in str(error)


def test_an_error_carries_the_vendors_words_but_no_body(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    vendor.answers[CREATE] = Reply(
        400, envelope({"email": "anna@example.com"}, success=False, message="The name is taken")
    )

    message = str(error_of(lambda: client.create_campaign("x")))

    assert "The name is taken" in message
    assert "anna@example.com" not in message


def test_a_long_message_of_the_vendor_is_cut(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.answers[CREATE] = Reply(400, envelope(success=False, message="x" * 100_000))

    assert len(str(error_of(lambda: client.create_campaign("x")))) < 1000


def test_values_of_an_unreadable_answer_stay_out_of_the_error(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": "anna@example.com", "campaignId": "x"}))

    message = str(error_of(lambda: client.load_audience(7)))

    assert "campaignId, id" in message
    assert "anna@example.com" not in message


@pytest.mark.parametrize(
    ("call", "path", "subject"),
    [
        (lambda client: client.load_audience(7), LOAD, "Audience 7: "),
        (lambda client: client.load_segment(5), "/Segment/loadsegmentbyid/5", "Segment 5: "),
        (lambda client: client.delete_segment(5), "/segment/5", "Segment 5: "),
        (lambda client: client.update_audience(7, name="x"), "/audience/update", "Audience 7: "),
        (lambda client: client.update_segment_end_date(5, END), "/segment/updateenddate", "Segment 5: "),
        (
            lambda client: client.create_crm_audience(name="x", campaign_id=9),
            "/audience/createcrmaudience",
            "Campaign 9: ",
        ),
        (
            lambda client: client.activate_audience(
                audience_id=7, account_id=8, name="s", description="d", start_date=START, end_date=END
            ),
            "/audience/activate",
            "Audience 7, account 8: ",
        ),
    ],
)
@pytest.mark.parametrize(
    "answer", [Reply(404, ""), Reply(200, envelope(success=False, message="Unknown id"))]
)
def test_a_refusal_says_which_object_it_is_about(
    vendor: Vendor, client: DigitalAudienceClient, call: Any, path: str, subject: str, answer: Action
) -> None:
    vendor.answers[path] = answer

    assert str(error_of(lambda: call(client))).startswith(subject)


@pytest.mark.parametrize("failure", [Reset(), Hang()])
def test_an_answer_that_never_comes_leaves_a_creation_unclear(
    vendor: Vendor, settings_of: SettingsOf, failure: Action
) -> None:
    vendor.answers[CREATE] = failure
    client = DigitalAudienceClient(settings_of(read_timeout=0.2))

    error = error_of(lambda: client.create_campaign("x"))

    assert error.outcome is Outcome.UNKNOWN
    assert len(vendor.calls) == 1


# --- answers of single operations ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", [{"id": 5, "name": "x"}, 5])
def test_a_campaign_is_known_by_its_id(vendor: Vendor, client: DigitalAudienceClient, data: Any) -> None:
    vendor.answers[CREATE] = Reply(200, envelope(data))

    assert client.create_campaign("x").id == 5


@pytest.mark.parametrize("data", [None, {}, {"campaignId": 5}, "done", True, False, {"id": True}, [], 0, -1])
def test_a_campaign_without_an_id_may_exist_all_the_same(
    vendor: Vendor, client: DigitalAudienceClient, data: Any
) -> None:
    vendor.answers[CREATE] = Reply(200, envelope(data))

    error = error_of(lambda: client.create_campaign("x"))

    assert isinstance(error, UnexpectedResponseError)
    assert error.outcome is Outcome.UNKNOWN


def test_an_activation_without_a_segment_id_may_exist_all_the_same(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    vendor.answers["/audience/activate"] = Reply(200, envelope({"flowId": "a-b"}))

    error = error_of(
        lambda: client.activate_audience(
            audience_id=7, account_id=8, name="s", description="d", start_date=START, end_date=END
        )
    )

    assert isinstance(error, UnexpectedResponseError)
    assert error.outcome is Outcome.UNKNOWN


def test_an_audience_that_was_not_deleted_is_an_error(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.answers["/audience/delete?audienceId=7"] = Reply(200, envelope(False))

    error = error_of(lambda: client.delete_audience(7))

    assert isinstance(error, RequestRejectedError)
    assert "Audience 7 was not deleted" in str(error)


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        ([{"segmentId": 5}, {"segmentId": 6}], [5, 6]),
        ([], []),
        (None, []),
        ({"segmentId": 5}, [5]),
    ],
)
def test_segments_are_listed_however_the_list_comes(
    vendor: Vendor, client: DigitalAudienceClient, data: Any, ids: list[int]
) -> None:
    vendor.answers["/segment/audience:7"] = Reply(200, envelope(data))

    assert [segment.segment_id for segment in client.load_audience_segments(7)] == ids


# --- login --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, envelope(False, success=False, code=1, message="Wrong password")),
        Reply(200, envelope(False, message="Wrong password")),
        Reply(200, envelope(True, code=17, message="Wrong password")),
        Reply(400, envelope(success=False, message="Wrong password")),
        Reply(401, envelope(success=False, message="Wrong password")),
        Reply(403, envelope(success=False, message="Wrong password")),
        Reply(401, ""),
    ],
)
def test_a_login_that_is_refused(vendor: Vendor, client: DigitalAudienceClient, answer: Reply) -> None:
    vendor.login_answer = lambda seen: answer

    error = error_of(client.login)

    assert isinstance(error, AuthenticationError)
    assert "crm@example.com" in str(error)
    assert PASSWORD not in str(error)
    assert "Wrong password" in str(error) or not answer.body


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
        (Reply(503, ""), VendorUnavailableError),
    ],
)
def test_a_login_that_comes_to_nothing(
    vendor: Vendor, client: DigitalAudienceClient, answer: Reply, kind: type[VendorError]
) -> None:
    vendor.login_answer = lambda seen: answer

    assert type(error_of(client.login)) is kind


@pytest.mark.parametrize("failure", [Reply(500), Reply(302, "", {"Location": "/x"}), Hang(), Reset()])
def test_a_creation_whose_login_fails_was_surely_not_sent(
    vendor: Vendor, settings_of: SettingsOf, failure: Action
) -> None:
    vendor.login_answer = lambda seen: failure
    client = DigitalAudienceClient(settings_of(read_timeout=0.2))

    error = error_of(lambda: client.create_campaign("x"))

    assert vendor.calls == []
    assert error.outcome is Outcome.NOT_DONE


def test_the_session_is_used_for_all_calls(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))

    for _ in range(3):
        client.load_audience(7)

    assert vendor.logins == 1
    assert {cookie_of(seen) for seen in vendor.calls} == {"session-0001-secret"}


def test_who_logs_in_on_purpose_gets_a_new_session(vendor: Vendor, client: DigitalAudienceClient) -> None:
    client.login()
    client.login()

    assert vendor.logins == 2


def test_all_cookies_of_the_login_are_sent_back(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.login_answer = lambda seen: Reply(
        200,
        envelope(True),
        {"Set-Cookie": "digitalAudience=one; Path=/", "set-cookie": "affinity=two; Path=/"},
    )
    vendor.refusal = lambda: Reply(200, envelope({"id": 7}))

    client.load_audience(7)

    (seen,) = vendor.calls
    assert sorted(seen.headers["Cookie"].split("; ")) == ["affinity=two", "digitalAudience=one"]


def test_cookies_of_other_answers_are_not_taken_over(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}), {"Set-Cookie": "tracking=1; Path=/"})

    client.load_audience(7)
    client.load_audience(7)

    assert vendor.calls[1].headers["Cookie"] == "digitalAudience=session-0001-secret"


# --- renewal ------------------------------------------------------------------------------------------------


SESSION_IS_OVER: list[Any] = [
    pytest.param(Reply(401, ""), id="401"),
    pytest.param(Reply(403, ""), id="403"),
    pytest.param(Reply(302, "", {"Location": "/Account/Login?ReturnUrl=%2F"}), id="redirect to the login"),
    pytest.param(
        Reply(200, envelope(success=False, code=3, message="Session expired")), id="session expired"
    ),
    pytest.param(Reply(200, envelope(success=False, message="Please log in")), id="please log in"),
    pytest.param(Reply(200, envelope(success=False, message="Unauthorised")), id="unauthorised"),
    pytest.param(Reply(200, envelope(code=401, message="Not authenticated")), id="not authenticated"),
]


@pytest.mark.parametrize("refusal", SESSION_IS_OVER)
@pytest.mark.parametrize("path", [LOAD, CREATE])
def test_a_session_that_is_over_is_renewed_once_and_the_call_sent_again(
    vendor: Vendor, client: DigitalAudienceClient, refusal: Reply, path: str
) -> None:
    vendor.answers[path] = Reply(200, envelope({"id": 7}))
    vendor.refusal = lambda: refusal
    client.login()
    vendor.end_sessions()

    found = client.load_audience(7) if path == LOAD else client.create_campaign("x")

    assert found.id == 7
    assert vendor.logins == 2
    assert [cookie_of(seen) for seen in vendor.calls] == ["session-0001-secret", "session-0002-secret"]


@pytest.mark.parametrize("refusal", SESSION_IS_OVER)
def test_a_refusal_right_after_a_new_login_is_not_tried_again(
    vendor: Vendor, client: DigitalAudienceClient, refusal: Reply
) -> None:
    vendor.answers[LOAD] = refusal

    error = error_of(lambda: client.load_audience(7))

    expected = PermissionDeniedError if refusal.status == 403 else AuthenticationError
    assert type(error) is expected
    assert error.outcome is Outcome.NOT_DONE
    assert (vendor.logins, len(vendor.calls)) == (2, 2)


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(302, "", {"Location": "/maintenance"}),
        Reply(200, envelope(success=False, code=3, message="The name is taken")),
        Reply(400, envelope(success=False, message="Session expired")),
        Reply(404, envelope(success=False, message="Session expired")),
    ],
)
def test_other_refusals_do_not_renew_the_session(
    vendor: Vendor, client: DigitalAudienceClient, refusal: Reply
) -> None:
    vendor.answers[LOAD] = refusal

    error_of(lambda: client.load_audience(7))

    assert (vendor.logins, len(vendor.calls)) == (1, 1)


@pytest.mark.parametrize(
    "message", ["The catalog is invalid: catalog in use", "Obsession is no name", "blog index"]
)
def test_words_that_only_hold_the_pattern_are_no_sign_of_an_expired_session(
    vendor: Vendor, client: DigitalAudienceClient, message: str
) -> None:
    vendor.answers[CREATE] = Reply(200, envelope(success=False, code=3, message=message))

    assert isinstance(error_of(lambda: client.create_campaign("x")), RequestRejectedError)
    assert vendor.logins == 1


def test_an_answer_that_is_good_is_believed_whatever_its_message(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}, message="Session expires in 5 minutes"))

    assert client.load_audience(7).id == 7
    assert vendor.logins == 1


def test_the_sign_of_an_expired_session_is_a_setting(vendor: Vendor, settings_of: SettingsOf) -> None:
    client = DigitalAudienceClient(settings_of(session_expired_pattern="^kein Zugang$"))
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    vendor.refusal = lambda: Reply(200, envelope(success=False, message="kein Zugang"))
    client.login()
    vendor.end_sessions()

    assert client.load_audience(7).id == 7


def test_many_threads_with_an_expired_session_log_in_once(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    threads = 24
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    client.login()
    vendor.end_sessions()
    all_refused = threading.Barrier(threads)

    def refuse_all_first() -> Action:
        all_refused.wait(10)
        return Reply(401, "")

    vendor.refusal = refuse_all_first
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda _: client.load_audience(7).id, range(threads)))

    assert found == [7] * threads
    assert vendor.logins == 2


def test_many_threads_without_a_session_log_in_once(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: client.load_audience(7), range(16)))

    assert vendor.logins == 1


class CountedLock:
    """Says when so many have asked for it."""

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


def test_many_threads_share_a_login_that_breaks(vendor: Vendor, client: DigitalAudienceClient) -> None:
    """Where the vendor is down, one asks and the others hear of it; each may try again in its own time."""
    threads = 16
    client._login_lock = lock = CountedLock(threads)  # type: ignore[assignment]

    def break_when_all_wait(seen: Seen) -> Action:
        lock.all_have_asked.wait(10)
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
    """The client's clock; its one item is the time."""
    now = [1000.0]
    monkeypatch.setattr(client_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def refused(vendor: Vendor, settings_of: SettingsOf, clock: list[float]) -> DigitalAudienceClient:
    """A client whose password is wrong, which it has found out."""
    client = DigitalAudienceClient(settings_of(password="wrong"))
    with pytest.raises(AuthenticationError):
        client.load_audience(7)
    return client


def test_a_wrong_password_is_not_repeated_for_a_while(
    vendor: Vendor, refused: DigitalAudienceClient, clock: list[float]
) -> None:
    messages = set()
    for _ in range(5):
        clock[0] += FAILED_LOGIN_PAUSE / 6
        messages.add(str(error_of(lambda: refused.load_audience(7))))

    assert vendor.logins == 1
    (message,) = messages
    assert "login as 'crm@example.com' is refused" in message


def test_after_the_pause_it_is_tried_again(
    vendor: Vendor, refused: DigitalAudienceClient, clock: list[float]
) -> None:
    clock[0] += FAILED_LOGIN_PAUSE

    error_of(lambda: refused.load_audience(7))

    assert vendor.logins == 2


def test_who_logs_in_on_purpose_does_not_wait(vendor: Vendor, refused: DigitalAudienceClient) -> None:
    error_of(refused.login)

    assert vendor.logins == 2


def test_each_thread_gets_an_error_of_its_own(refused: DigitalAudienceClient) -> None:
    first, second = (error_of(lambda: refused.load_audience(7)) for _ in range(2))

    assert first is not second


def test_a_login_that_failed_for_another_reason_is_tried_again_at_once(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    vendor.login_answer = lambda seen: Reply(500)
    error_of(lambda: client.load_audience(7))
    vendor.login_answer = vendor.log_in

    assert client.load_audience(7).id == 7


# --- secrets ------------------------------------------------------------------------------------------------


def test_cookies_and_access_tokens_are_handed_to_the_masker(vendor: Vendor, settings_of: SettingsOf) -> None:
    secrets: list[str] = []
    client = DigitalAudienceClient(settings_of(), on_secret=secrets.append)
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(
        200,
        envelope(
            [
                {"id": 1, "name": "a", "accessToken": "ya29.secret"},
                {"id": 2, "name": "b", "accessToken": None},
                {"id": 3, "name": "c"},
            ]
        ),
    )

    accounts = client.load_platform_accounts()

    assert secrets == ["session-0001-secret", "ya29.secret"]
    assert "ya29.secret" not in repr(accounts)


def test_an_access_token_is_masked_even_if_its_account_cannot_be_read(
    vendor: Vendor, settings_of: SettingsOf
) -> None:
    secrets: list[str] = []
    client = DigitalAudienceClient(settings_of(), on_secret=secrets.append)
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(
        200, envelope([{"id": "?", "accessToken": "ya29.secret"}])
    )

    error = error_of(client.load_platform_accounts)

    assert "ya29.secret" in secrets
    assert "ya29.secret" not in str(error)


def test_neither_password_nor_cookie_is_logged(
    vendor: Vendor, client: DigitalAudienceClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))

    client.load_audience(7)

    assert "crm@example.com" in caplog.text
    assert PASSWORD not in caplog.text
    assert "session-0001-secret" not in caplog.text


# --- platform accounts --------------------------------------------------------------------------------------


ACCOUNTS = [
    {"id": 1, "name": "Example NL", "platformDisplayName": "DV360", "platformName": "Google DDP"},
    {"id": 2, "name": "Example NL", "platformDisplayName": "Xandr"},
    {"id": 3, "name": "Example SE", "platformDisplayName": "DV360"},
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"account_id": 2}, 2),
        ({"platform": "DV360", "name": "Example NL"}, 1),
        ({"platform": "google ddp"}, 1),
        ({"platform": "xandr"}, 2),
        ({"name": "example se"}, 3),
        ({"account_id": 1, "platform": "DV360"}, 1),
    ],
)
def test_an_account_is_found_by_what_is_known_of_it(
    vendor: Vendor, client: DigitalAudienceClient, wanted: dict[str, Any], found: int
) -> None:
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(200, envelope(ACCOUNTS))

    assert client.find_platform_account(**wanted).id == found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"platform": "DV360"}, "2 platform accounts fit platform 'DV360'"),
        ({"name": "Example NL"}, "2 platform accounts fit name 'Example NL'"),
        ({"account_id": 9}, "No platform accounts fit id 9"),
        ({"account_id": 1, "platform": "Xandr"}, "No platform accounts fit id 1, platform 'Xandr'"),
        ({}, "3 platform accounts fit any account"),
    ],
)
def test_none_or_several_fitting_accounts_are_an_error_that_lists_the_choices(
    vendor: Vendor, client: DigitalAudienceClient, wanted: dict[str, Any], message: str
) -> None:
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(200, envelope(ACCOUNTS))

    with pytest.raises(ConfigurationError) as caught:
        client.find_platform_account(**wanted)

    assert message in str(caught.value)
    for choice in ("1: Example NL on DV360", "2: Example NL on Xandr", "3: Example SE on DV360"):
        assert choice in str(caught.value)


def test_of_hundreds_of_accounts_only_some_are_listed_those_that_fit_first(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    token = "a-token-of-the-platform"
    accounts = [
        {"id": number, "name": "Same" if number > 298 else f"N{number}", "accessToken": token}
        for number in range(1, 301)
    ]
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(200, envelope(accounts))

    with pytest.raises(ConfigurationError) as caught:
        client.find_platform_account(name="Same")

    assert "the accounts are 299: Same on ; 300: Same on ; 1: N1" in str(caught.value)
    assert "and 280 more" in str(caught.value)
    assert token not in str(caught.value)


def test_an_organisation_without_accounts_says_so(vendor: Vendor, client: DigitalAudienceClient) -> None:
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(200, envelope([]))

    with pytest.raises(ConfigurationError, match="the organisation has no platform accounts"):
        client.find_platform_account(platform="DV360")


# --- one client per account ---------------------------------------------------------------------------------


def test_an_account_has_one_client_per_process(settings_of: SettingsOf) -> None:
    forget_clients()

    assert shared_client(DigitalAudienceClient, settings_of()) is shared_client(
        DigitalAudienceClient, settings_of()
    )
    assert shared_client(DigitalAudienceClient, settings_of()) is not shared_client(
        DigitalAudienceClient, settings_of(password="changed")
    )


def test_errors_of_the_client_tell_whether_to_try_again(
    vendor: Vendor, client: DigitalAudienceClient
) -> None:
    vendor.answers[LOAD] = Reply(500, "")
    assert isinstance(error_of(lambda: client.load_audience(7)), TransientError)
    vendor.answers[LOAD] = Reply(400, "")
    assert not isinstance(error_of(lambda: client.load_audience(7)), TransientError)


# --- asked again and again ------------------------------------------------------------------------------------


def test_an_audience_is_handed_out_when_the_answer_is_another_one(
    client: DigitalAudienceClient, vendor: Vendor
) -> None:
    def show(state: str) -> None:
        vendor.answers[LOAD] = Reply(200, envelope({"id": 7, "audienceState": state}))

    show("PROCESSING")
    first = client.load_changed_audience(7)
    assert first is not None
    fingerprint, audience = first
    assert audience.audience_state == "PROCESSING"
    assert client.load_changed_audience(7, known=fingerprint) is None

    show("READY")
    second = client.load_changed_audience(7, known=fingerprint)
    assert second is not None
    assert second[1].audience_state == "READY"
    assert second[0] != fingerprint
    assert client.load_changed_audience(7, known=second[0]) is None
    assert len(vendor.calls) == 4


def test_a_session_that_ends_between_two_looks_is_no_change(
    client: DigitalAudienceClient, vendor: Vendor
) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    first = client.load_changed_audience(7)
    assert first is not None
    vendor.end_sessions()

    assert client.load_changed_audience(7, known=first[0]) is None
    assert vendor.logins == 2


def test_an_error_is_an_error_each_time_it_is_answered(client: DigitalAudienceClient, vendor: Vendor) -> None:
    vendor.answers[LOAD] = Reply(200, envelope({"id": 7}))
    first = client.load_changed_audience(7)
    assert first is not None
    vendor.answers[LOAD] = Reply(200, envelope(success=False, code=5, message="Not now"))

    for _ in range(2):
        with pytest.raises(RequestRejectedError):
            client.load_changed_audience(7, known=first[0])
