"""Connections that are refused, reset or held up, as a client sees them on its own socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.exceptions import ConnectionClosedError as S3ConnectionClosedError

from tests.sandbox.support import TIMEOUT, Running, emails, wait_for

pytestmark = pytest.mark.integration


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(address(url), timeout=TIMEOUT) as connection:
        yield connection


def request(
    sandbox: Running, body: bytes = b'{"name": "Fans", "type": "STATIC_LIST"}', length: int = 0
) -> bytes:
    head = (
        "POST /fanfare/api/audiences HTTP/1.1\r\nHost: sandbox\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {sandbox.info['fanfare_secret_key']}\r\n"
        f"Content-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def end_of(connection: socket.socket) -> str:
    """How a connection ends on which no answer comes."""
    try:
        return "FIN" if connection.recv(1) == b"" else "answer"
    except ConnectionResetError:
        return "RST"


def made(sandbox: Running) -> int:
    return len(sandbox.admin("fanfare/audiences"))


# --- reset ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("action", "seen"), [("reset", "RST"), ("drop", "FIN")])
def test_a_reset_is_no_clean_end(sandbox: Running, action: str, seen: str, when: str) -> None:
    sandbox.fault(vendor="fanfare", action=action, when=when)
    with connected(sandbox.api) as connection:
        connection.sendall(request(sandbox))
        assert end_of(connection) == seen
    assert made(sandbox) == (when == "after")
    (entry,) = sandbox.entries(vendor="fanfare")
    assert (entry["fault"]["action"], entry["http_status"] > 0) == (action, when == "after")
    assert sandbox.exchanges()[-1]["status"] == 0


def test_a_reset_in_the_middle_of_a_body(sandbox: Running) -> None:
    sandbox.fault(vendor="fanfare", action="reset", when="during")
    with connected(sandbox.api) as connection:
        # the other half is never sent, so a server that waits for it would not answer
        connection.sendall(request(sandbox, b"x" * 500_000, length=1_000_000))
        assert end_of(connection) == "RST"
    assert made(sandbox) == 0
    assert sandbox.entries(vendor="fanfare")[-1]["http_status"] == 0


def s3_request(sandbox: Running, key: str, body: bytes, length: int = 0) -> bytes:
    head = (
        f"PUT /{sandbox.bucket}/{key} HTTP/1.1\r\nHost: {urlsplit(sandbox.info['s3_url']).netloc}\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={sandbox.info['aws_access_key_id']}/20260101/eu-west-1/s3/"
        "aws4_request, SignedHeaders=host, Signature=0\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"
        f"Content-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def keys(sandbox: Running) -> list[str]:
    return [item["key"] for item in sandbox.admin("objects")["objects"]]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("action", "seen"), [("reset", "RST"), ("drop", "FIN")])
def test_s3_resets(sandbox: Running, action: str, seen: str, when: str) -> None:
    sandbox.fault(vendor="s3", action=action, when=when)
    with connected(sandbox.info["s3_url"]) as connection:
        connection.sendall(s3_request(sandbox, "k", b"x"))
        assert end_of(connection) == seen
    assert keys(sandbox) == (["k"] if when == "after" else [])


def test_s3_resets_in_the_middle_of_a_part(sandbox: Running) -> None:
    begun = sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key="big")
    sandbox.fault(preset="s3_reset_in_body", operation="UploadPart")
    with connected(sandbox.info["s3_url"]) as connection:
        path = f"big?partNumber=1&uploadId={begun['UploadId']}"
        connection.sendall(s3_request(sandbox, path, b"x" * 600_000, length=1_000_000))
        assert end_of(connection) == "RST"
    assert sandbox.exchanges()[-1]["operation"] == "UploadPart"
    sandbox.fault(preset="s3_reset_in_body")
    with pytest.raises((S3ConnectionClosedError, EndpointConnectionError)):
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x" * (9 << 20))
    assert keys(sandbox) == []


# --- refuse ---------------------------------------------------------------------------------------------


def refused(url: str) -> bool:
    try:
        with connected(url):
            return False
    except ConnectionRefusedError:
        return True


PORTS = pytest.mark.parametrize(("vendor", "url"), [(None, "api_url"), ("s3", "s3_url")])


@PORTS
def test_connections_are_refused_until_released(sandbox: Running, vendor: str | None, url: str) -> None:
    fault = sandbox.fault(action="refuse", vendor=vendor, seconds=600)
    assert fault["refusing"] is True
    assert refused(sandbox.info[url])
    other = {"api_url": "s3_url", "s3_url": "api_url"}[url]
    assert not refused(sandbox.info[other])
    assert sandbox.admin("faults") == [fault]
    assert sandbox.admin(f"faults/{fault['id']}/release", "POST") == {"released": 1}
    assert not refused(sandbox.info[url])
    assert sandbox.admin("faults") == []
    assert sandbox.fanfare().audience()
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x")


@PORTS
def test_a_refusal_ends_by_itself(sandbox: Running, vendor: str | None, url: str) -> None:
    sandbox.fault(preset="refuse", vendor=vendor, seconds=0.2)
    assert refused(sandbox.info[url])
    wait_for(lambda: not refused(sandbox.info[url]))
    assert sandbox.admin("faults") == []


@PORTS
@pytest.mark.parametrize("ending", ["clear", "reset"])
def test_clearing_opens_the_ports(sandbox: Running, vendor: str | None, url: str, ending: str) -> None:
    for _ in range(2):
        sandbox.fault(action="refuse", vendor=vendor, seconds=600)
    assert refused(sandbox.info[url])
    if ending == "clear":
        assert sandbox.admin("faults", "DELETE") == {"cleared": 2}
    else:
        sandbox.reset()
    assert not refused(sandbox.info[url])


def test_two_refusals_end_with_the_last(sandbox: Running) -> None:
    first, second = (sandbox.fault(action="refuse", seconds=600)["id"] for _ in range(2))
    sandbox.admin(f"faults/{first}/release", "POST")
    assert refused(sandbox.api)
    sandbox.admin(f"faults/{second}/release", "POST")
    assert not refused(sandbox.api)


def test_a_connection_kept_alive_does_not_get_round_it(sandbox: Running) -> None:
    fanfare = sandbox.fanfare()
    fanfare.audience()
    fault = sandbox.fault(action="refuse", seconds=600)
    with pytest.raises(requests.ConnectionError) as error:
        fanfare.audience()
    assert "refused" in str(error.value)
    assert made(sandbox) == 1
    sandbox.admin(f"faults/{fault['id']}/release", "POST")
    fanfare.audience()
    assert made(sandbox) == 2


def test_the_third_exchange_is_refused(sandbox: Running) -> None:
    fanfare = sandbox.fanfare()
    fault = sandbox.fault(action="refuse", exchange=3, seconds=600)
    assert fault["refusing"] is False
    fanfare.audience()
    sandbox.s3.list_objects_v2(Bucket=sandbox.bucket)
    with pytest.raises(requests.ConnectionError) as error:
        fanfare.audience()
    assert "refused" in str(error.value)
    assert made(sandbox) == 1
    # nothing arrived, so there was no third exchange
    assert [item["number"] for item in sandbox.exchanges()] == [1, 2]


def test_the_answer_before_says_that_the_connection_ends(sandbox: Running) -> None:
    """Otherwise a client might use it once more before it sees its end, and get no refusal."""
    fanfare = sandbox.fanfare()
    assert "connection" not in fanfare.send("GET", "/audiences").headers
    sandbox.fault(action="refuse", exchange=2, seconds=600)
    assert fanfare.send("GET", "/audiences").headers["connection"] == "close"
    with pytest.raises(requests.ConnectionError, match="refused"):
        fanfare.send("GET", "/audiences")


def test_an_answer_under_way_is_not_cut_off(sandbox: Running) -> None:
    hold = sandbox.fault(vendor="fanfare", action="hold", when="after")
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(sandbox.fanfare().audience()))
    thread.start()
    wait_for(lambda: sandbox.held(hold))
    sandbox.fault(action="refuse", seconds=600)
    assert refused(sandbox.api)
    sandbox.admin(f"faults/{hold['id']}/release", "POST")
    thread.join(TIMEOUT)
    assert len(answers) == 1


# --- hold -----------------------------------------------------------------------------------------------

CREATING: dict[str, tuple[Callable[[Running], Any], Callable[[Running], int]]] = {
    "fanfare": (lambda sandbox: sandbox.fanfare().audience(), made),
    "s3": (
        lambda sandbox: sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x" * 100_000),
        lambda sandbox: len(keys(sandbox)),
    ),
}


@pytest.mark.parametrize("vendor", CREATING)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_is_held_until_released(sandbox: Running, vendor: str, when: str) -> None:
    call, count = CREATING[vendor]
    fault = sandbox.fault(vendor=vendor, action="hold", when=when)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call(sandbox)))
    thread.start()
    wait_for(lambda: sandbox.held(fault))
    assert (count(sandbox), answers) == (int(when == "after"), [])
    assert sandbox.admin("exchanges")["under_way"] == 1
    assert sandbox.admin(f"faults/{fault['id']}/release", "POST") == {"released": 1}
    thread.join(TIMEOUT)
    assert (count(sandbox), len(answers)) == (1, 1)
    assert sandbox.admin("faults") == []


KILLED = """
import sys
import requests
from tests.sandbox.support import Running
import json
sandbox = Running(json.loads(sys.argv[1]))
if sys.argv[2] == "fanfare":
    sandbox.fanfare().audience()
else:
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x" * 20_000_000)
"""


@pytest.mark.parametrize("vendor", CREATING)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("abandoned", [None, "done"])
def test_a_caller_killed_while_held(sandbox: Running, vendor: str, when: str, abandoned: str | None) -> None:
    _, count = CREATING[vendor]
    fault = sandbox.fault(vendor=vendor, action="hold", when=when, abandoned=abandoned)
    process = subprocess.Popen([sys.executable, "-c", KILLED, json.dumps(sandbox.info), vendor])
    try:
        wait_for(lambda: sandbox.held(fault), timeout=30)
        assert count(sandbox) == (when == "after")
    finally:
        process.kill()
        process.wait()
    if abandoned == "done" and when == "before":
        # gone, but the vendor does it all the same
        assert sandbox.held(fault)
        sandbox.admin(f"faults/{fault['id']}/release", "POST")
    wait_for(lambda: not sandbox.admin("exchanges")["under_way"])
    assert sandbox.admin("faults") == []
    assert count(sandbox) == (when == "after" or abandoned == "done")
    assert sandbox.exchanges()[-1]["status"] in {0, 200}
    CREATING[vendor][0](sandbox)


@pytest.mark.parametrize("vendor", CREATING)
def test_a_reset_lets_nothing_held_arrive(sandbox: Running, vendor: str) -> None:
    call, count = CREATING[vendor]
    for action in ("hold", "delay"):
        sandbox.fault(vendor=vendor, action=action, seconds=600)

        def called() -> None:
            with pytest.raises((requests.ConnectionError, S3ConnectionClosedError)):
                call(sandbox)

        thread = threading.Thread(target=called)
        thread.start()
        wait_for(lambda: sandbox.admin("exchanges")["under_way"])
        sandbox.reset()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
        assert (count(sandbox), sandbox.exchanges(), sandbox.entries(kind="api")) == (0, [], [])


def test_release_of_what_is_not_there(sandbox: Running) -> None:
    answer = requests.post(f"{sandbox.info['admin_url']}/_sandbox/faults/999/release", timeout=TIMEOUT)
    assert answer.status_code == 404
    fault = sandbox.fault(vendor="fanfare", action="hold")
    assert sandbox.admin(f"faults/{fault['id']}/release", "POST") == {"released": 0}


# --- slower than the caller waits -----------------------------------------------------------------------


@pytest.mark.parametrize("vendor", CREATING)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("abandoned", [None, "dropped"])
def test_slower_than_the_caller_s_time_out(
    sandbox: Running, vendor: str, when: str, abandoned: str | None
) -> None:
    _, count = CREATING[vendor]
    sandbox.fault(vendor=vendor, action="delay", seconds=0.6, when=when, abandoned=abandoned)
    sent = request(sandbox) if vendor == "fanfare" else s3_request(sandbox, "k", b"x" * 300_000)
    with connected(sandbox.api if vendor == "fanfare" else sandbox.info["s3_url"]) as connection:
        connection.sendall(sent)
        connection.settimeout(0.2)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.recv(1)
        seen, early = count(sandbox), time.monotonic() - began < 0.5
    if early:
        assert seen == (when == "after")
    wait_for(lambda: not sandbox.admin("exchanges")["under_way"])
    # it reaches the vendor although the caller has gone, unless ordered otherwise
    assert count(sandbox) == (when == "after" or abandoned is None)


# --- aimed by number ------------------------------------------------------------------------------------


def test_the_list_of_exchanges_and_aiming_by_number(sandbox: Running) -> None:
    caller = sandbox.login()

    def everything() -> list[Any]:
        fanfare, seen = sandbox.fanfare(), []
        seen.append(caller.send("POST", "/campaign/create", json={"name": "c"}).status_code)
        seen.append(fanfare.send("GET", "/audiences?first=1&search=anna").status_code)
        try:
            sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x")
            sandbox.s3.head_object(Bucket=sandbox.bucket, Key="k")
            seen.append(200)
        except ClientError as error:
            seen.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return seen

    before = sandbox.admin("exchanges")["last"]
    assert (before, everything()) == (1, [200, 200, 200])
    listed = sandbox.exchanges(since=before)
    assert [(item["number"], item["vendor"], item["operation"], item["status"]) for item in listed] == [
        (2, "digital_audience", "createCampaign", 200),
        (3, "fanfare", "fanfare.getAudiences", 200),
        (4, "s3", "PutObject", 200),
        (5, "s3", "HeadObject", 200),
    ]
    assert listed[1]["query"] == "first=1&search=..."
    assert (listed[2]["path"], listed[2]["method"]) == (f"/{sandbox.bucket}/k", "PUT")
    for number, expected in {
        1: [503, 200, 200],
        2: [200, 503, 200],
        3: [200, 200, 503],
        4: [200, 200, 503],
    }.items():
        fault = sandbox.fault(exchange=number, status=503)
        assert everything() == expected
        hit = [item for item in sandbox.exchanges() if item["fault"]]
        assert (hit[-1]["fault"]["id"], hit[-1]["status"]) == (fault["id"], 503)
        assert sandbox.admin("faults") == []
    assert len(sandbox.exchanges(vendor="s3", operation="PutObject")) == 5
    sandbox.reset()
    assert sandbox.admin("exchanges") == {"exchanges": [], "last": 0, "under_way": 0}
    sandbox.upload(1, emails("a"))
    assert sandbox.exchanges()[0]["number"] == 1


def test_an_address_is_not_in_the_list_of_exchanges(sandbox: Running) -> None:
    fanfare = sandbox.fanfare()
    audience = fanfare.audience()
    begun = fanfare.begin(audience)
    requests.put(
        begun["uploadUrl"],
        data=b"email\r\na@example.com\r\n",
        headers={"Content-Type": "text/csv"},
        timeout=5,
    )
    last = sandbox.exchanges()[-1]
    assert (last["operation"], last["status"]) == ("PutObject", 200)
    signature = begun["uploadUrl"].partition("X-Amz-Signature=")[2]
    assert signature
    assert signature not in str(sandbox.exchanges())
    assert "X-Amz-Signature=..." in last["query"]
