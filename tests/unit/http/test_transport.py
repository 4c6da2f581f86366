"""The rules of every exchange, over real sockets on the loopback interface."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.util.retry
from requests.adapters import HTTPAdapter

from audience_onboarding.errors import (
    AccountingError,
    AudienceOnboardingError,
    ConfigurationError,
    Outcome,
    VendorUnavailableError,
)
from audience_onboarding.http import Body, HttpTransport, TransportSettings
from tests.unit.http.loopback import Action, Hang, Loopback, Noise, Reply, Reset, Seen, closed_port
from tests.unit.http.tls import make_certificate, tls_with


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", lambda seconds: None)


@pytest.fixture(autouse=True)
def no_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


def transport(url: str, **settings: Any) -> HttpTransport:
    return HttpTransport(TransportSettings(base_url=url, **settings), vendor="Vendor")


def in_turn(*actions: Action) -> Callable[[Seen], Action]:
    """Answer with these, one after the other."""
    left = list(actions)
    return lambda seen: left.pop(0)


def error_of(
    sender: HttpTransport, method: str, path: str = "/x", **arguments: Any
) -> AudienceOnboardingError:
    with pytest.raises(AudienceOnboardingError) as caught:
        sender.send(method, path, **arguments)
    return caught.value


# --- what is sent -------------------------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_meant() -> None:
    with Loopback(lambda seen: Reply(200, {"fine": True})) as server:
        answer = transport(f"{server.url}/prefix/").send(
            "POST", "/x?a=1", json={"b": 2}, headers={"Cookie": "session=1"}
        )

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.json) == ("POST", "/prefix/x?a=1", {"b": 2})
    assert seen.headers["Cookie"] == "session=1"
    assert answer.json() == {"fine": True}


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_without_json_there_is_no_body(method: str) -> None:
    with Loopback(lambda seen: Reply()) as server:
        transport(server.url).send(method, "/x")

    assert server.seen[0].body == b""


def test_nothing_of_a_request_is_in_the_next_one() -> None:
    with Loopback(lambda seen: Reply()) as server:
        sender = transport(server.url)
        sender.send("POST", "/x?a=1", json={"b": 2}, headers={"Cookie": "session=1"})
        sender.send("PUT", "/y", body=Body("text/csv", 3, lambda: iter([b"a,b"])))
        sender.send("GET", "/z")
        sender.send("DELETE", "/z")

    seen = server.seen
    assert [(one.method, one.path, one.body) for one in seen] == [
        ("POST", "/x?a=1", b'{"b": 2}'),
        ("PUT", "/y", b"a,b"),
        ("GET", "/z", b""),
        ("DELETE", "/z", b""),
    ]
    assert [one.headers.get("Cookie") for one in seen] == ["session=1", None, None, None]
    assert [one.headers.get("Content-Type") for one in seen] == ["application/json", "text/csv", None, None]
    assert [one.headers.get("Content-Length") for one in seen] == ["8", "3", None, "0"]
    assert not any("Transfer-Encoding" in one.headers for one in seen)


def test_a_body_of_no_bytes_is_sent_with_its_length() -> None:
    with Loopback(lambda seen: Reply()) as server:
        transport(server.url).send("PUT", "/x", body=Body("text/csv", 0, lambda: iter(())))

    (seen,) = server.seen
    assert (seen.body, seen.headers["Content-Length"]) == (b"", "0")
    assert "Transfer-Encoding" not in seen.headers


def test_a_host_in_letters_of_its_own_and_a_path_with_a_space_travel_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Loopback(lambda seen: Reply()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        transport("http://münchen.invalid/Ä/").send("GET", "/x y?a=ü")

    assert [seen.path for seen in proxy.seen] == [
        "http://xn--mnchen-3ya.invalid/%C3%84/x%20y?a=%C3%BC",
    ]


def test_the_environment_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(lambda seen: Reply()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        sender = transport("http://vendor.invalid")
        sender.send("GET", "/x")
        monkeypatch.delenv("http_proxy")
        sender.send("GET", "/y")

    assert [seen.path for seen in proxy.seen] == ["http://vendor.invalid/x", "http://vendor.invalid/y"]


def test_the_connections_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str | None] = []
    look_up = HTTPAdapter.get_connection_with_tls_context

    def noted(self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        looked_up.append(request.url)
        return look_up(self, request, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "get_connection_with_tls_context", noted)
    with Loopback(lambda seen: Reply()) as server:
        sender = transport(server.url)
        for path in ("/x", "/y", "/z"):
            sender.send("GET", path)

    assert looked_up == [f"{server.url}/x"]


@pytest.mark.parametrize("status", [200, 400, 401, 404, 418, 429, 500, 599])
def test_whatever_the_vendor_answers_is_handed_back(status: int) -> None:
    with Loopback(lambda seen: Reply(status, "text")) as server:
        answer = transport(server.url).send("POST", "/x")

    assert (answer.status_code, answer.text) == (status, "text")


def test_a_redirect_is_not_followed_and_takes_no_credentials_elsewhere() -> None:
    with Loopback(lambda seen: Reply()) as elsewhere:
        target = f"{elsewhere.url}/login"
        with Loopback(lambda seen: Reply(302, headers={"Location": target})) as server:
            answer = transport(server.url).send("GET", "/x", headers={"Cookie": "session=1"})

    assert answer.status_code == 302
    assert len(server.seen) == 1
    assert elsewhere.seen == []


@pytest.mark.parametrize("location", ["http://[", "https://exa mple:port", "\x00", "http://" + "a" * 300])
def test_a_redirect_to_nonsense_is_handed_back_or_an_error_of_ours(location: str) -> None:
    with Loopback(lambda seen: Reply(302, headers={"Location": location})) as server:
        try:
            status = transport(server.url).send("POST", "/x").status_code
        except AudienceOnboardingError:
            status = 302

    assert status == 302


def test_a_cookie_is_handed_back_but_never_stored() -> None:
    with Loopback(lambda seen: Reply(200, headers={"Set-Cookie": "session=1; Path=/"})) as server:
        sender = transport(server.url)
        first = sender.send("GET", "/x")
        sender.send("GET", "/x")

    assert first.cookies["session"] == "1"
    assert "Cookie" not in server.seen[1].headers


def test_a_netrc_file_gives_the_vendor_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    with Loopback(lambda seen: Reply()) as server:
        transport(server.url).send("GET", "/x")

    assert "Authorization" not in server.seen[0].headers


# --- a body that is streamed --------------------------------------------------------------------------------


class Counted:
    """A body in pieces that knows how often it was begun."""

    def __init__(self, *pieces: bytes, error: BaseException | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.begun = 0

    def chunks(self) -> Iterator[bytes]:
        self.begun += 1
        yield from self.pieces
        if self.error is not None:
            raise self.error

    def body(self, size: int | None = None) -> Body:
        whole = sum(len(piece) for piece in self.pieces)
        return Body("text/csv", whole if size is None else size, self.chunks)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_streamed_body_arrives_whole_with_type_and_length(method: str) -> None:
    content = Counted(b"abc", b"", b"d" * 100_000)

    with Loopback(lambda seen: Reply()) as server:
        transport(server.url).send(method, "/x", body=content.body())

    (seen,) = server.seen
    assert seen.body == b"abc" + b"d" * 100_000
    assert seen.headers["Content-Type"] == "text/csv"
    assert seen.headers["Content-Length"] == "100003"
    assert "Transfer-Encoding" not in seen.headers
    assert content.begun == 1


def test_the_headers_of_a_call_go_out_with_a_streamed_body() -> None:
    with Loopback(lambda seen: Reply()) as server:
        transport(server.url).send("POST", "/x", body=Counted(b"a").body(), headers={"Cookie": "session=1"})

    assert server.seen[0].headers["Cookie"] == "session=1"
    assert server.seen[0].headers["Content-Type"] == "text/csv"


@pytest.mark.parametrize("failure", [Reset(), Hang()])
def test_a_streamed_change_is_sent_once_and_may_have_happened(failure: Action) -> None:
    content = Counted(b"abc")

    with Loopback(lambda seen: failure) as server:
        error = error_of(transport(server.url, read_timeout=0.1), "POST", body=content.body())

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.UNKNOWN
    assert content.begun == 1
    assert len(server.seen) == 1


def test_where_no_connection_came_about_the_body_is_sent_from_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = urllib3.util.connection.create_connection
    refusals = [ConnectionRefusedError("nobody there"), ConnectionRefusedError("nobody there")]

    def reluctant(*args: Any, **kwargs: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return connect(*args, **kwargs)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", reluctant)
    with Loopback(lambda seen: Reply()) as server:
        transport(server.url).send("POST", "/x", body=Counted(b"abc", b"def").body())

    assert refusals == []
    assert [seen.body for seen in server.seen] == [b"abcdef"]


def test_an_error_of_the_content_is_the_contents_own_and_leaves_the_transport_usable() -> None:
    broken = Counted(b"abc", error=AccountingError(what="The file does not add up"))

    with Loopback(lambda seen: Reply()) as server:
        sender = transport(server.url)
        error = error_of(sender, "POST", body=broken.body(size=100))
        answer = sender.send("POST", "/y", json={"a": 1})

    assert isinstance(error, AccountingError)
    assert answer.status_code == 200
    # On a connection of its own: what was cut off is not taken for its beginning.
    assert [seen.json for seen in server.seen if seen.path == "/y"] == [{"a": 1}]


# --- what is repeated ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Reply(502), Reply(503), Reply(504), Reset()])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_changes_nothing_is_repeated(method: str, failure: Action) -> None:
    with Loopback(in_turn(failure, failure, Reply())) as server:
        assert transport(server.url).send(method, "/x").status_code == 200

    assert len(server.seen) == 3


def test_a_get_is_repeated_no_more_often_than_the_settings_say() -> None:
    with Loopback(lambda seen: Reply(503)) as server:
        assert transport(server.url, safe_retries=1).send("GET", "/x").status_code == 503

    assert len(server.seen) == 2


def test_no_thread_sleeps_for_as_long_as_a_vendor_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", slept.append)

    with Loopback(lambda seen: Reply(503, headers={"Retry-After": "86400"})) as server:
        assert transport(server.url).send("GET", "/x").status_code == 503

    assert len(server.seen) == 3
    assert sum(slept) < 10


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500])
def test_a_get_is_not_repeated_after_an_answer_that_stays(status: int) -> None:
    with Loopback(lambda seen: Reply(status)) as server:
        assert transport(server.url).send("GET", "/x").status_code == status

    assert len(server.seen) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "failure", [Reply(502), Reply(503, headers={"Retry-After": "0"}), Reply(429), Reset()]
)
def test_what_changes_something_is_sent_once(method: str, failure: Action) -> None:
    with Loopback(lambda seen: failure) as server:
        sender = transport(server.url)
        if isinstance(failure, Reply):
            assert sender.send(method, "/x").status_code == failure.status
        else:
            error_of(sender, method)

    assert len(server.seen) == 1


def test_a_change_that_is_not_answered_in_time_is_sent_once() -> None:
    with Loopback(lambda seen: Hang()) as server:
        error_of(transport(server.url, read_timeout=0.1), "POST")

    assert len(server.seen) == 1


# --- what is known after a failure --------------------------------------------------------------------------


FAILURES_AFTER_SENDING = pytest.mark.parametrize(
    "failure",
    [Reset(), Hang(), Reply(200, "cut off", length=1000)],
    ids=["reset", "no answer", "answer cut off"],
)


@FAILURES_AFTER_SENDING
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_change_may_have_happened_once_it_was_sent(method: str, failure: Action) -> None:
    with Loopback(lambda seen: failure) as server:
        error = error_of(transport(server.url, read_timeout=0.1), method)

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.UNKNOWN


@FAILURES_AFTER_SENDING
def test_a_look_changes_nothing_however_it_ends(failure: Action) -> None:
    with Loopback(lambda seen: failure) as server:
        error = error_of(transport(server.url, read_timeout=0.1, safe_retries=0), "GET")

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_was_done_where_nobody_listens(method: str) -> None:
    error = error_of(transport(f"http://127.0.0.1:{closed_port()}"), method)

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE
    assert "no connection could be made" in str(error)


def test_nothing_was_done_where_the_name_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise urllib3.util.connection.socket.gaierror("no such name")

    monkeypatch.setattr(urllib3.util.connection.socket, "getaddrinfo", unknown)

    error = error_of(transport("http://vendor.invalid"), "POST")

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE


def test_nothing_was_done_where_no_connection_came_about_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object, **kwargs: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", slow)

    error = error_of(transport("http://127.0.0.1:9"), "POST")

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE
    assert "no connection in time" in str(error)


def test_nothing_was_done_where_the_proxy_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")

    error = error_of(transport("http://vendor.invalid"), "POST")

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE


# --- what a message may say ---------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Reset(), Hang()])
def test_query_body_and_headers_stay_out_of_messages_and_logs(
    failure: Action, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="audience_onboarding")
    with Loopback(lambda seen: failure) as server:
        error = error_of(
            transport(server.url, read_timeout=0.1),
            "POST",
            "/path?email=anna@example.com",
            json={"password": "hunter22"},
            headers={"Cookie": "session=topsecret"},
        )

    assert "Vendor POST /path" in str(error)
    for secret in ("anna@example.com", "hunter22", "topsecret"):
        assert secret not in str(error)
        assert secret not in caplog.text
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_the_log_names_path_and_status_without_the_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="audience_onboarding")
    with Loopback(lambda seen: Reply(200, "body-of-the-answer")) as server:
        transport(server.url).send("GET", "/path?email=anna@example.com")

    assert "Vendor GET /path: HTTP 200" in caplog.text
    assert "anna@example.com" not in caplog.text
    assert "body-of-the-answer" not in caplog.text


@pytest.mark.parametrize(
    ("method", "failure"),
    [("GET", Reset()), ("GET", Reply(503)), ("PUT", None)],
    ids=["reset", "503", "refused"],
)
def test_the_library_beneath_logs_no_query_either(
    method: str, failure: Action | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It tells of what it repeats, and a presigned address holds its key in the query."""
    caplog.set_level(logging.DEBUG)
    if failure is None:
        error_of(transport(f"http://127.0.0.1:{closed_port()}"), method, "/path?X-Amz-Signature=topsecret")
    else:
        with Loopback(in_turn(failure, Reply(200))) as server:
            transport(server.url).send(method, "/path?X-Amz-Signature=topsecret")

    told = [record for record in caplog.records if record.name == "urllib3.connectionpool"]
    assert any("/path" in record.getMessage() for record in told)
    assert "topsecret" not in caplog.text


def test_the_log_of_others_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback(lambda seen: Reply(200)) as server:
        requests.get(f"{server.url}/path?of=another", timeout=5)

    assert "/path?of=another" in caplog.text


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url",
    ["", "host", "host:443", "ftp://host", "https://", "https:///path", "file:///etc/passwd", "https://[::1"],
)
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="not an http or https URL"):
        TransportSettings(base_url=base_url)


def test_an_address_with_credentials_is_refused_without_being_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        TransportSettings(base_url="https://user:hunter22@host")

    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://host:port", "https://ho st", "https://.host"])
def test_an_address_that_only_looks_like_one_is_a_matter_of_configuration(base_url: str) -> None:
    with pytest.raises(ConfigurationError):
        transport(base_url).send("GET", "/x")


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    return tls_with(certificate)


def test_a_certificate_that_is_not_trusted_is_a_matter_of_configuration(server_tls: ssl.SSLContext) -> None:
    with Loopback(lambda seen: Reply(), tls=server_tls) as server:
        error = error_of(transport(server.url), "POST")

    assert isinstance(error, ConfigurationError)
    assert "certificate" in str(error)
    assert server.seen == []


def test_a_ca_file_makes_a_certificate_trusted(server_tls: ssl.SSLContext, certificate: Path) -> None:
    with Loopback(lambda seen: Reply(), tls=server_tls) as server:
        assert transport(server.url, verify_tls=str(certificate)).send("GET", "/x").status_code == 200


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_verification_can_be_turned_off_even_where_the_machine_names_a_ca_file(
    server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")

    with Loopback(lambda seen: Reply(), tls=server_tls) as server:
        assert transport(server.url, verify_tls=False).send("GET", "/x").status_code == 200


def test_a_ca_file_that_is_missing_is_a_matter_of_configuration(tmp_path: Path) -> None:
    sender = transport("https://127.0.0.1:9", verify_tls=str(tmp_path / "missing.pem"))

    assert isinstance(error_of(sender, "POST"), ConfigurationError)


def test_a_tls_failure_after_sending_is_an_unknown_outcome_and_no_reason_to_send_again(
    server_tls: ssl.SSLContext, certificate: Path
) -> None:
    with Loopback(lambda seen: Noise(), tls=server_tls) as server:
        error = error_of(transport(server.url, verify_tls=str(certificate)), "POST", json={"name": "x"})

    assert len(server.seen) == 1
    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.UNKNOWN
