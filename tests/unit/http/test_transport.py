"""Rules of every HTTP exchange, over real sockets on the loopback interface."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3.util.retry

from audience_onboarding.exceptions import (
    AccountingError,
    AudienceOnboardingError,
    ConfigurationError,
    Outcome,
    VendorUnavailableError,
)
from audience_onboarding.http import HttpTransport, TransportSettings
from tests.unit.http.loopback import Action, Hang, Loopback, Noise, Reply, Reset, closed_port
from tests.unit.http.plain import Counted, error_of, in_turn
from tests.unit.http.tls import make_certificate, tls_with


def transport(url: str, **settings: Any) -> HttpTransport:
    return HttpTransport(TransportSettings(base_url=url, **settings), vendor="Vendor")


def to_fail_exception(sender: HttpTransport, method: str, path: str = "/x", **arguments: Any) -> Outcome:
    """Return the outcome of a request without an answer."""
    return error_of(lambda: sender.send(method, path, **arguments), VendorUnavailableError).outcome


# --- requests -----------------------------------------------------------------------------------------------


def test_nothing_of_a_request_is_in_the_next_one() -> None:
    with Loopback(lambda seen: Reply(200, {"fine": True})) as server:
        sender = transport(f"{server.url}/prefix/")
        answer = sender.send("POST", "/x?a=1", json={"b": 2}, headers={"Cookie": "session=1"})
        sender.send("PUT", "/y", body=Counted(b"a,b").body(), headers={"Cookie": "session=2"})
        sender.send("PUT", "/y", body=Counted().body())
        sender.send("GET", "/z")
        sender.send("DELETE", "/z")
        sender.send("POST", "/z")

    assert answer.json() == {"fine": True}
    seen = server.seen
    assert [(one.method, one.path, one.body) for one in seen] == [
        ("POST", "/prefix/x?a=1", b'{"b": 2}'),
        ("PUT", "/prefix/y", b"a,b"),
        ("PUT", "/prefix/y", b""),
        ("GET", "/prefix/z", b""),
        ("DELETE", "/prefix/z", b""),
        ("POST", "/prefix/z", b""),
    ]

    def header(name: str) -> list[str | None]:
        return [one.headers.get(name) for one in seen]

    assert header("Cookie") == ["session=1", "session=2", None, None, None, None]
    assert header("Content-Type") == ["application/json", "text/csv", "text/csv", None, None, None]
    assert header("Content-Length") == ["8", "3", "0", None, "0", "0"]
    assert header("Transfer-Encoding") == [None] * 6


def test_an_international_host_and_a_path_with_a_space_travel_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Loopback(lambda seen: Reply()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        transport("http://münchen.invalid/Ä/").send("GET", "/x y?a=ü")

    assert [seen.path for seen in proxy.seen] == [
        "http://xn--mnchen-3ya.invalid/%C3%84/x%20y?a=%C3%BC",
    ]


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(lambda seen: Reply()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        sender = transport("http://vendor.invalid")
        sender.send("GET", "/x")
        monkeypatch.delenv("http_proxy")
        sender.send("GET", "/y")

    assert [seen.path for seen in proxy.seen] == ["http://vendor.invalid/x", "http://vendor.invalid/y"]


@pytest.mark.parametrize("location", ["http://[", "https://exa mple:port", "\x00", "http://" + "a" * 300])
def test_a_redirect_to_an_invalid_address_is_handed_back_or_an_error_of_ours(location: str) -> None:
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


# --- streamed bodies ----------------------------------------------------------------------------------------


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


def test_a_body_is_sent_from_its_start_after_a_refused_connection(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_error_of_the_content_passes_through_and_leaves_the_transport_usable() -> None:
    broken = Counted(b"abc", error=AccountingError(what="The file does not add up"))

    with Loopback(lambda seen: Reply()) as server:
        sender = transport(server.url)
        error_of(lambda: sender.send("POST", "/x", body=broken.body(size=100)), AccountingError)
        answer = sender.send("POST", "/y", json={"a": 1})

    assert answer.status_code == 200
    # On a connection of its own: what was cut off is not taken for its beginning.
    assert [seen.json for seen in server.seen if seen.path == "/y"] == [{"a": 1}]


# --- repeats, and what is known after a failure -------------------------------------------------------------


@pytest.mark.parametrize("failure", [Reply(502), Reply(503), Reply(504), Reset()])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_that_changes_nothing_is_repeated(method: str, failure: Action) -> None:
    with Loopback(in_turn(failure, failure, Reply())) as server:
        assert transport(server.url).send(method, "/x").status_code == 200

    assert len(server.seen) == 3


def test_a_get_is_repeated_as_often_as_the_settings_say_without_the_pause_of_the_vendor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", slept.append)
    for given, requests_sent in (({}, 3), ({"safe_retries": 1}, 2)):
        with Loopback(lambda seen: Reply(503, headers={"Retry-After": "86400"})) as server:
            assert transport(server.url, **given).send("GET", "/x").status_code == 503

        assert len(server.seen) == requests_sent
    assert sum(slept) < 10


def test_any_other_answer_is_handed_back_after_one_request() -> None:
    sent_once = [("GET", status) for status in (200, 400, 401, 403, 404, 408, 418, 429, 500, 599)]
    sent_once += [(method, status) for method in ("POST", "PUT", "DELETE") for status in (200, 429, 502, 503)]
    for method, status in sent_once:
        with Loopback(lambda seen, s=status: Reply(s, "text", {"Retry-After": "0"})) as server:
            answer = transport(server.url).send(method, "/x")

        found = (answer.status_code, answer.text, len(server.seen))
        assert found == (status, "text", 1), f"{method} {status}"


@pytest.mark.parametrize("body", [None, b"abc"], ids=["no body", "streamed"])
@pytest.mark.parametrize(
    "failure",
    [Reset(), Hang(), Reply(200, "cut off", length=1000)],
    ids=["reset", "no answer", "answer cut off"],
)
def test_a_request_without_an_answer_is_unclear_if_it_changes_something(
    failure: Action, body: bytes | None
) -> None:
    for method, outcome in (
        ("GET", Outcome.NOT_DONE),
        ("POST", Outcome.UNKNOWN),
        ("PUT", Outcome.UNKNOWN),
        ("DELETE", Outcome.UNKNOWN),
    ):
        content = Counted(body or b"")
        more = {"body": content.body()} if body else {}
        with Loopback(lambda seen: failure) as server:
            sender = transport(
                server.url, read_timeout=0.1, **({"safe_retries": 0} if method == "GET" else {})
            )
            assert to_fail_exception(sender, method, **more) is outcome, method
            assert len(server.arrived(1)) == 1, method

        assert content.begun == len(more), method


def test_nothing_was_done_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    content = Counted(b"abc")
    for method, body in (("GET", None), ("POST", content.body())):
        sender = transport(f"http://127.0.0.1:{closed_port()}")
        error = error_of(lambda s=sender, m=method, b=body: s.send(m, "/x", body=b), VendorUnavailableError)
        assert error.outcome is Outcome.NOT_DONE
        assert "refused the connection" in str(error)
    assert content.begun == 0

    def slow(*args: object, **kwargs: object) -> None:
        raise TimeoutError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(urllib3.util.connection, "create_connection", slow)
        sender = transport("http://127.0.0.1:9")
        error = error_of(lambda: sender.send("POST", "/x"), VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE
    assert "timed out" in str(error)

    def unknown(*args: object, **kwargs: object) -> None:
        raise urllib3.util.connection.socket.gaierror("no such name")

    with monkeypatch.context() as patch:
        patch.setattr(urllib3.util.connection.socket, "getaddrinfo", unknown)
        assert to_fail_exception(transport("http://vendor.invalid"), "POST") is Outcome.NOT_DONE

    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    error = error_of(lambda: transport("http://vendor.invalid").send("POST", "/x"), VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE
    assert "the proxy of this machine" in str(error)


# --- messages and logs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Reset(), Hang()])
def test_query_body_and_headers_stay_out_of_messages_and_logs(
    failure: Action, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="audience_onboarding")
    with Loopback(lambda seen: failure) as server:
        sender = transport(server.url, read_timeout=0.1)
        error = error_of(
            lambda: sender.send(
                "POST",
                "/path?email=anna@example.com",
                json={"password": "hunter22"},
                headers={"Cookie": "session=topsecret"},
            )
        )

    assert "Vendor POST /path" in str(error)
    for secret in ("anna@example.com", "hunter22", "topsecret"):
        assert secret not in str(error) + caplog.text
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_the_log_names_path_and_status_without_query_and_body(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="audience_onboarding")
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
def test_urllib3_logs_repeats_without_the_query(
    method: str, failure: Action | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A presigned address holds its key in the query."""
    caplog.set_level("DEBUG")
    path = "/path?X-Amz-Signature=topsecret"
    if failure is None:
        to_fail_exception(transport(f"http://127.0.0.1:{closed_port()}"), method, path)
    else:
        with Loopback(in_turn(failure, Reply(200))) as server:
            transport(server.url).send(method, path)

    logged = [record for record in caplog.records if record.name == "urllib3.connectionpool"]
    assert any("/path" in record.getMessage() for record in logged)
    assert "topsecret" not in caplog.text


def test_the_log_of_other_requests_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with Loopback(lambda seen: Reply(200)) as server:
        requests.get(f"{server.url}/path?of=another", timeout=60)

    assert "/path?of=another" in caplog.text


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url",
    ["", "host", "host:443", "ftp://host", "https://", "https:///path", "file:///etc/passwd", "https://[::1"],
)
def test_an_invalid_address_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="not an http or https URL"):
        TransportSettings(base_url=base_url)


def test_an_address_with_credentials_is_refused_without_being_quoted() -> None:
    error = error_of(lambda: TransportSettings(base_url="https://user:hunter22@host"), ConfigurationError)

    assert "hunter22" not in str(error)


@pytest.mark.parametrize("base_url", ["https://host:port", "https://ho st", "https://.host"])
def test_an_address_that_only_requests_refuses_is_a_configuration_error(base_url: str) -> None:
    with pytest.raises(ConfigurationError):
        transport(base_url).send("GET", "/x")


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    return tls_with(certificate)


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


def test_a_tls_failure_after_sending_is_an_unknown_outcome_and_not_repeated(
    server_tls: ssl.SSLContext, certificate: Path
) -> None:
    with Loopback(lambda seen: Noise(), tls=server_tls) as server:
        sender = transport(server.url, verify_tls=str(certificate))
        assert to_fail_exception(sender, "POST", json={"name": "x"}) is Outcome.UNKNOWN

    assert len(server.seen) == 1
