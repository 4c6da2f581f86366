"""Test button of a connection, over real sockets: the message names the cause, and no secret.

Successes are tested in ``tests/unit/clients/test_hooks.py``.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from audience_onboarding.http import reset_clients
from audience_onboarding.platform_registry import PLATFORMS, get_platform
from tests.unit.http.loopback import Action, Hang, Loopback, Reply, Reset, Seen, closed_port
from tests.unit.http.tls import HERE, VALID, make_certificate, tls_with

SECRET = "hunter22-secret"
FIRST_CALL = {"commbox": "/audiences", "digital_audience": "/account/login", "fanfare": "/audiences"}
PAGE = "<!DOCTYPE html><title>Welcome</title>"

Failure = Callable[..., str]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset_clients()
    yield
    reset_clients()


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def failure(platform: str, monkeypatch: pytest.MonkeyPatch) -> Failure:
    """Function that presses the button and returns the message, which begins with a subject."""

    def press(subject: str, host: str, **extra: Any) -> str:
        given = {
            "conn_type": platform,
            "host": host,
            "login": "crm@example.com",
            "password": SECRET,
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps(given))
        module, _, name = get_platform(platform).connection_type()["hook-class-name"].rpartition(".")
        good, message = getattr(import_module(module), name)("c").test_connection()
        assert not good
        assert message.startswith(f"{subject}: ")
        assert SECRET not in message
        assert "\n" not in message
        assert len(message) < 600
        return str(message)

    return press


def answering(platform: str, reply: Action, *, after_login: bool = False) -> Callable[[Seen], Action]:
    """Script of a vendor with one answer, at Digital Audience perhaps only after a login."""

    def answer(seen: Seen) -> Action:
        if after_login and platform == "digital_audience" and seen.path == "/account/login":
            body = {"success": True, "status": {"statusCode": 0}, "data": True}
            return Reply(200, body, {"Set-Cookie": "session=abcdef; Path=/"})
        return reply

    return answer


def test_a_host_without_a_dns_entry(failure: Failure) -> None:
    message = failure("Host", "https://nobody.invalid")

    assert "host name of nobody.invalid:443 not found (DNS)" in message


def test_a_closed_port(failure: Failure) -> None:
    port = closed_port()
    message = failure("Host", f"http://127.0.0.1:{port}")

    assert f"127.0.0.1:{port} refused the connection" in message
    assert "Check host and port of the connection" in message
    assert "retries automatically" not in message


def test_a_host_that_accepts_no_connection(failure: Failure) -> None:
    with socket.socket() as full:
        # A full backlog: the kernel accepts no more connections.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            waiting.append(client)
        message = failure("Host", f"http://127.0.0.1:{port}", connect_timeout=0.3)
        for client in waiting:
            client.close()

    assert f"connecting to 127.0.0.1:{port} timed out" in message


def test_a_host_that_never_answers(platform: str, failure: Failure) -> None:
    with Loopback(answering(platform, Hang())) as server:
        message = failure("Host", server.url, read_timeout=0.3)
        asked = len(server.arrived(1))

    assert f"{server.url.partition('://')[2]} did not answer in time" in message
    # A person waits: the request is not repeated.
    assert asked == 1


def test_a_connection_that_breaks(platform: str, failure: Failure) -> None:
    with Loopback(answering(platform, Reset())) as server:
        message = failure("Host", server.url)

    assert "was closed before the answer was complete" in message


def test_https_to_a_host_that_speaks_http(platform: str, failure: Failure) -> None:
    with Loopback(answering(platform, Reply(200))) as server:
        message = failure("Host", server.url.replace("http://", "https://"))

    assert "may expect http instead of https" in message


# --- TLS ----------------------------------------------------------------------------------------------------


ELSEWHERE: list[x509.GeneralName] = [x509.DNSName("other.example")]


def test_an_invalid_certificate(platform: str, failure: Failure, tmp_path: Path) -> None:
    unknown = "a self-signed one or a proxy's. Check the host, or"
    for names, years, is_known, said in (
        (HERE, VALID, False, unknown),
        (ELSEWHERE, VALID, True, "it was not issued for 127.0.0.1:"),
        (HERE, (2000, 2001), True, "has expired"),
        (HERE, (2099, 2100), True, "is not valid yet. Check the clock"),
    ):
        path = make_certificate(tmp_path, names=names, years=years)
        with Loopback(answering(platform, Reply(200)), tls=tls_with(path)) as server:
            message = failure("TLS", server.url, **({"verify_tls": str(path)} if is_known else {}))

        assert server.seen == []
        assert message.startswith("TLS: Untrusted TLS certificate")
        assert said in message


def test_a_missing_ca_file(failure: Failure) -> None:
    message = failure("Settings", "https://127.0.0.1:9", verify_tls="/nowhere/ca.pem")

    assert message.startswith("Settings: CA file '/nowhere/ca.pem' not found")
    assert "'verify_tls'" in message


# --- what the vendor answers --------------------------------------------------------------------------------


HTML = {"Content-Type": "text/html; charset=utf-8"}
ANSWERS = [
    (Reply(401, {"error": "no"}), "Credentials", "Password"),
    (Reply(404, PAGE, HTML), "Path", "Check"),
    (Reply(405), "Path", "Check"),
    (Reply(200, PAGE, HTML), "Answer", "a web page (HTML)"),
    (Reply(200, "[", {"Content-Type": "application/json"}), "Answer", "not the documented JSON"),
    (Reply(302, "", {"Location": f"https://x/?key={SECRET}"}), "Answer", "Redirect not followed"),
    (Reply(429, headers={"Retry-After": "30"}), "Rate limit", "Rate limit reached"),
    (Reply(503), "Vendor", "Server error"),
]


def test_the_first_answer_is_explained(platform: str, failure: Failure) -> None:
    for reply, subject, said in ANSWERS:
        with Loopback(answering(platform, reply)) as server:
            message = failure(subject, server.url)
            asked = [seen.path.partition("?")[0] for seen in server.seen]

        assert said in message
        assert FIRST_CALL[platform] in message
        assert asked == [FIRST_CALL[platform]]


def test_missing_permission(platform: str, failure: Failure) -> None:
    with Loopback(answering(platform, Reply(403, {"error": "no"}), after_login=True)) as server:
        message = failure("Permission", server.url)

    assert "Ask" in message or "ask" in message


def test_an_invalid_field(failure: Failure) -> None:
    for extra, said in (
        ({"typo": 1}, "unknown options: typo"),
        ({"portal_url": "https://p/{nobody}"}, "'portal_url'"),
        ({"read_timeout": "soon"}, "'read_timeout'"),
    ):
        assert said in failure("Settings", "https://vendor.example", **extra)
    assert "not an http or https URL" in failure("Settings", "https://[::1")


def test_the_words_of_the_messages_are_those_of_the_form(platform: str) -> None:
    form = get_platform(platform).connection_type()
    labels = form["ui-field-behaviour"]["relabeling"]

    assert labels["host"].startswith("Host")
    assert labels["password"].startswith("Password")
    assert labels.get("login", "Login").startswith("Login")
    assert {"Verify TLS", "Requests per minute"} <= {field["label"] for field in form["conn-fields"].values()}
