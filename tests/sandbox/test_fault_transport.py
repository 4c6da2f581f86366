"""Faults of the transport (drop, reset, refuse, hold, delay), as they appear on a client's socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from tests.sandbox.support import TIMEOUT, Running, emails, in_background, sha, table, wait_for

pytestmark = pytest.mark.integration

URLS = {"fanfare": "api_url", "s3": "s3_url"}
every_transport = pytest.mark.parametrize("vendor", URLS)


@contextmanager
def connected(sandbox: Running, vendor: str) -> Iterator[socket.socket]:
    parts = urlsplit(sandbox.info[URLS[vendor]])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=TIMEOUT) as connection:
        yield connection


def request(sandbox: Running, vendor: str, body: bytes | None = None, length: int = 0) -> bytes:
    """Return a request that creates something, with ``length`` instead of the body's own."""
    host = urlsplit(sandbox.info[URLS[vendor]]).netloc
    if vendor == "s3":
        body = b"x" if body is None else body
        line = f"PUT /{sandbox.bucket}/k HTTP/1.1"
        scope = f"{sandbox.info['aws_access_key_id']}/20260101/eu-west-1/s3/aws4_request"
        signature = f"Credential={scope}, SignedHeaders=host, Signature=0"
        headers = f"AWS4-HMAC-SHA256 {signature}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD"
    else:
        body = b'{"name": "Fans", "type": "STATIC_LIST"}' if body is None else body
        line = "POST /fanfare/api/audiences HTTP/1.1"
        headers = f"Bearer {sandbox.info['fanfare_secret_key']}\r\nContent-Type: application/json"
    head = (
        f"{line}\r\nHost: {host}\r\nAuthorization: {headers}\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def call(sandbox: Running, vendor: str) -> Any:
    if vendor == "s3":
        return sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x" * (2 << 20))
    return sandbox.fanfare().audience()


def made(sandbox: Running, vendor: str) -> int:
    return len(sandbox.keys() if vendor == "s3" else sandbox.admin("fanfare/audiences"))


def end_of(connection: socket.socket) -> str:
    """Return how a connection without an answer ends."""
    try:
        return "FIN" if connection.recv(1) == b"" else "answer"
    except ConnectionResetError:
        return "RST"


def idle(sandbox: Running) -> None:
    wait_for(lambda: not sandbox.admin("exchanges")["under_way"])


# --- drop and reset -------------------------------------------------------------------------------------


@every_transport
def test_drop_and_reset_end_the_connection(sandbox: Running, vendor: str) -> None:
    with table() as check:
        for action, expected_end in (("reset", "RST"), ("drop", "FIN")):
            for when in ("before", "after"):
                sandbox.reset()
                sandbox.fault(vendor=vendor, action=action, when=when)
                with connected(sandbox, vendor) as connection:
                    connection.sendall(request(sandbox, vendor))
                    end = end_of(connection)
                entry = sandbox.entries()[-1]
                fault = (entry["fault"]["action"], entry["fault"]["status"])
                actual = end, made(sandbox, vendor), fault, entry["http_status"] > 0, entry["success"]
                done = when == "after"
                check((action, when), actual, (expected_end, done, (action, None), done, done))
                check((action, when), sandbox.exchanges()[-1]["status"], 0)


@every_transport
def test_reset_during_a_body_ends_the_connection(sandbox: Running, vendor: str) -> None:
    sandbox.fault(vendor=vendor, action="reset", when="during")
    with connected(sandbox, vendor) as connection:
        # the rest is never sent, so a server that waits for it would not answer
        connection.sendall(request(sandbox, vendor, b"x" * 600_000, length=1_000_000))
        assert end_of(connection) == "RST"
    assert made(sandbox, vendor) == 0
    assert sandbox.entries()[-1]["http_status"] == 0
    if vendor == "s3":
        sandbox.fault(preset="s3_reset_in_body")
        with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
            sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x" * (9 << 20))
        assert sandbox.keys() == []


# --- refuse ---------------------------------------------------------------------------------------------


def refused(sandbox: Running, vendor: str) -> bool:
    try:
        with connected(sandbox, vendor):
            return False
    except ConnectionRefusedError:
        return True


def refuse(sandbox: Running, vendor: str, **fields: Any) -> Any:
    """Close a port: the vendors share one, S3 has its own."""
    port = {"vendor": "s3"} if vendor == "s3" else {}
    return sandbox.fault(preset="refuse", **port, **{"seconds": 600, **fields})


@every_transport
def test_refuse_until_released_refuses_connections(sandbox: Running, vendor: str) -> None:
    fault = refuse(sandbox, vendor)
    assert fault["refusing"] is True
    assert [refused(sandbox, name) for name in URLS] == [name == vendor for name in URLS]
    assert sandbox.admin("faults") == [fault]
    assert sandbox.admin(f"faults/{fault['id']}/release", "POST") == {"released": 1}
    assert not refused(sandbox, vendor)
    assert sandbox.admin("faults") == []
    for name in URLS:
        assert call(sandbox, name)
    # it ends by itself
    refuse(sandbox, vendor, seconds=0.2)
    wait_for(lambda: not refused(sandbox, vendor))
    assert sandbox.admin("faults") == []
    # of several refusals, the last one to end opens the port
    first, second = (refuse(sandbox, vendor)["id"] for _ in range(2))
    sandbox.admin(f"faults/{first}/release", "POST")
    assert refused(sandbox, vendor)
    sandbox.admin(f"faults/{second}/release", "POST")
    assert not refused(sandbox, vendor)
    # a clear ends all of them
    for end in (lambda: sandbox.admin("faults", "DELETE") == {"cleared": 2}, lambda: sandbox.reset() is None):
        for _ in range(2):
            refuse(sandbox, vendor)
        assert refused(sandbox, vendor)
        assert end()
        assert not refused(sandbox, vendor)


def test_refuse_ends_a_kept_alive_connection(sandbox: Running) -> None:
    fanfare = sandbox.fanfare()
    fanfare.audience()
    fault = refuse(sandbox, "fanfare")
    with pytest.raises(requests.ConnectionError, match="refused"):
        fanfare.audience()
    assert made(sandbox, "fanfare") == 1
    sandbox.admin(f"faults/{fault['id']}/release", "POST")
    fanfare.audience()
    assert made(sandbox, "fanfare") == 2


def test_refuse_with_exchange_refuses_from_that_exchange(sandbox: Running) -> None:
    fanfare = sandbox.fanfare()
    assert refuse(sandbox, "fanfare", exchange=3)["refusing"] is False
    assert "connection" not in fanfare.send("GET", "/audiences").headers
    sandbox.s3.list_objects_v2(Bucket=sandbox.bucket)
    with pytest.raises(requests.ConnectionError, match="refused"):
        fanfare.audience()
    # nothing arrived, so there was no third exchange
    assert [item["number"] for item in sandbox.exchanges()] == [1, 2]
    sandbox.admin("faults", "DELETE")
    # without the header, a client might use the connection again before it detects its end
    refuse(sandbox, "fanfare", exchange=2)
    assert fanfare.send("GET", "/audiences").headers["connection"] == "close"
    with pytest.raises(requests.ConnectionError, match="refused"):
        fanfare.send("GET", "/audiences")


def test_state_and_objects_while_s3_refuses_connections_are_readable(sandbox: Running) -> None:
    audience = sandbox.login().audience()
    key = sandbox.upload(audience, emails("a"), content="v1")
    sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key="open")
    refuse(sandbox, "s3")
    contents = sandbox.admin("objects")
    assert [(item["key"], item["metadata"]) for item in contents["objects"]] == [(key, {"content": "v1"})]
    assert [upload["key"] for upload in contents["open_uploads"]] == ["open"]
    assert [item["key"] for item in sandbox.admin("state")["objects"]] == [key]
    # the vendor reads its files meanwhile
    sandbox.work()
    assert sandbox.members(audience) == {sha("a")}


# --- hold and delay -------------------------------------------------------------------------------------


@every_transport
def test_hold_until_released_holds_the_call(sandbox: Running, vendor: str) -> None:
    for when in ("before", "after"):
        sandbox.reset()
        fault = sandbox.fault(vendor=vendor, action="hold", when=when)
        assert sandbox.admin(f"faults/{fault['id']}/release", "POST") == {"released": 0}
        with in_background(lambda: call(sandbox, vendor)) as results:
            assert wait_for(lambda fault=fault: sandbox.held(fault)) == [1]
            assert (made(sandbox, vendor), results) == (int(when == "after"), [])
            assert sandbox.admin("exchanges")["under_way"] == 1
            # a port that closes meanwhile does not end the call
            refuse(sandbox, vendor)
            assert sandbox.admin(f"faults/{fault['id']}/release", "POST") == {"released": 1}
        assert not isinstance(results[0], Exception)
        sandbox.admin("faults", "DELETE")
        assert made(sandbox, vendor) == 1
    assert sandbox.refused("faults/999/release", "POST") == 404


@every_transport
def test_delay_ends_by_itself_or_after_a_clear(sandbox: Running, vendor: str) -> None:
    for when in ("before", "after"):
        sandbox.reset()
        sandbox.fault(vendor=vendor, action="delay", seconds=600, when=when)
        with connected(sandbox, vendor) as connection:
            # in one piece, so that the whole call arrives before faults are cleared
            connection.sendall(request(sandbox, vendor))
            wait_for(lambda: sandbox.admin("exchanges")["under_way"] and not sandbox.admin("faults"))
            if when == "after":
                wait_for(lambda: made(sandbox, vendor))
                assert sandbox.entries()[-1]["success"] is True
            else:
                assert made(sandbox, vendor) == 0
            sandbox.admin("faults", "DELETE")
            assert connection.recv(12)[8:] == b" 200"
        assert made(sandbox, vendor) == 1
    sandbox.fault(vendor=vendor, action="delay", seconds=0.1)
    assert call(sandbox, vendor)
    if vendor == "fanfare":
        # also for a call without a body
        sandbox.fault(vendor=vendor, action="delay", seconds=0.1, when="after")
        assert sandbox.fanfare().send("GET", "/audiences").status_code == 200


@every_transport
@pytest.mark.parametrize("action", ["hold", "delay"])
def test_held_call_of_a_gone_caller_ends_as_ordered(sandbox: Running, vendor: str, action: str) -> None:
    """The caller closes its connection, as the kernel does for a killed process or after a time-out."""
    done_by_default = action == "delay"
    with table() as check:
        for when, abandoned, done in (
            ("before", None, done_by_default),
            ("before", "done", True),
            ("before", "dropped", False),
            ("after", None, True),
            ("after", "done", True),
            ("after", "dropped", True),
        ):
            sandbox.reset()
            # a delay before the vendor's work ends by itself: only then has it certainly started
            late = action == "delay" and when == "before" and done
            fields = {"action": action, "when": when, "abandoned": abandoned, "seconds": 0.5 if late else 600}
            fault = sandbox.fault(vendor=vendor, **fields)
            with connected(sandbox, vendor) as connection:
                connection.sendall(request(sandbox, vendor))
                wait_for(lambda: sandbox.admin("exchanges")["under_way"])
                if action == "hold":
                    wait_for(lambda fault=fault: sandbox.held(fault))
                elif when == "after":
                    wait_for(lambda: made(sandbox, vendor))
                if not late:
                    check(fields, made(sandbox, vendor), int(when == "after"))
            if when == "before" and done and action == "hold":
                # after the release the vendor processes the call, although its caller has gone
                assert sandbox.held(fault)
                sandbox.admin(f"faults/{fault['id']}/release", "POST")
            idle(sandbox)
            check(fields, (made(sandbox, vendor), sandbox.admin("faults")), (int(done), []))
            check(fields, sandbox.exchanges()[-1]["status"] in {0, 200}, True)
            assert call(sandbox, vendor)


@every_transport
def test_reset_drops_waiting_calls(sandbox: Running, vendor: str) -> None:
    for action in ("hold", "delay"):
        sandbox.fault(vendor=vendor, action=action, seconds=600)
        with in_background(lambda: call(sandbox, vendor)) as results:
            wait_for(lambda: sandbox.admin("exchanges")["under_way"])
            sandbox.reset()
        assert isinstance(results[0], (requests.ConnectionError, ConnectionClosedError))
        assert (made(sandbox, vendor), sandbox.exchanges(), sandbox.entries()) == (0, [], [])
