"""Faults on order, over HTTP, for every vendor and for S3."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.sandbox.support import TIMEOUT, Running, phone_file, put_csv, wait_for

pytestmark = pytest.mark.integration

BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def campaign(sandbox: Running) -> requests.Response:
    return sandbox.login().send("POST", "/campaign/create", json={"name": "c"})


def audience(sandbox: Running) -> requests.Response:
    return sandbox.fanfare().send("POST", "/audiences", json={"name": "Fans", "type": "STATIC_LIST"})


def list_of_phones(sandbox: Running) -> requests.Response:
    files = phone_file(*(f"316{number:08}" for number in range(20_000)))
    return sandbox.commbox().send("POST", "/audiences", data={"name": "list"}, files=files)


# vendor -> a call that creates, its operation, its path, the admin's list of what exists
CREATING: dict[str, tuple[Callable[[Running], requests.Response], str, str, str]] = {
    "digital_audience": (campaign, "createCampaign", "/campaign/create", "campaigns"),
    "fanfare": (audience, "fanfare.postAudiences", "/fanfare/api/audiences", "fanfare/audiences"),
    "commbox": (list_of_phones, "commbox.createAudience", "/commbox/audiences", "commbox/audiences"),
}
every_vendor = pytest.mark.parametrize("vendor", CREATING)


@every_vendor
@pytest.mark.parametrize("by", ["operation", "path"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_in_the_vendor_s_place(sandbox: Running, vendor: str, by: str, when: str) -> None:
    call, operation, path, made = CREATING[vendor]
    chosen = {"operation": operation} if by == "operation" else {"method": "POST", "path": path}
    fault = sandbox.fault(vendor=vendor, status=503, when=when, **chosen)
    assert sandbox.admin("faults") == [fault]
    answer = call(sandbox)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/json"
    assert len(sandbox.admin(made)) == (when == "after")
    entry = sandbox.entries(operation=operation)[-1]
    assert entry["fault"] == {"id": fault["id"], "action": "answer", "when": when, "status": 503}
    assert (entry["success"], entry["vendor"]) == (when == "after", vendor)
    assert entry["http_status"] == ({"commbox": 201}.get(vendor, 200) if when == "after" else 503)
    assert sandbox.admin("faults") == []
    assert call(sandbox).status_code in {200, 201}


@every_vendor
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks(sandbox: Running, vendor: str, when: str) -> None:
    call, operation, _, made = CREATING[vendor]
    sandbox.fault(operation=operation, action="drop", when=when)
    with pytest.raises(BROKEN):
        call(sandbox)
    assert len(sandbox.admin(made)) == (when == "after")
    entry = sandbox.entries(operation=operation)[-1]
    assert (entry["fault"]["action"], entry["fault"]["status"]) == ("drop", None)
    assert (entry["http_status"] == 0) is (when == "before")
    assert call(sandbox).status_code in {200, 201}


@every_vendor
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delay_ends_when_faults_are_cleared(sandbox: Running, vendor: str, when: str) -> None:
    call, operation, _, made = CREATING[vendor]
    sandbox.fault(operation=operation, action="delay", seconds=600, when=when)
    answers: list[requests.Response] = []
    thread = threading.Thread(target=lambda: answers.append(call(sandbox)))
    thread.start()
    wait_for(lambda: sandbox.admin("faults") == [])
    if when == "after":
        wait_for(lambda: len(sandbox.admin(made)) == 1)
        assert sandbox.entries(operation=operation)[-1]["success"] is True
    assert answers == []
    sandbox.admin("faults", "DELETE")
    thread.join(TIMEOUT)
    assert [answer.status_code in {200, 201} for answer in answers] == [True]
    assert len(sandbox.admin(made)) == 1


def test_a_delay_ends_by_itself(sandbox: Running) -> None:
    sandbox.fault(vendor="fanfare", action="delay", seconds=0.3)
    answer = audience(sandbox)
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.3


def test_each_vendor_s_own_error_bodies(sandbox: Running) -> None:
    shown: dict[tuple[str, int], Any] = {}
    for vendor, (call, operation, _, _) in CREATING.items():
        for status in (400, 401, 429, 500):
            sandbox.fault(operation=operation, status=status)
            answer = call(sandbox)
            assert answer.status_code == status
            shown[vendor, status] = answer.json()
            if (vendor, status) == ("fanfare", 429):
                assert answer.headers["Retry-After"] == "30"
                assert answer.headers["X-Request-Id"]
    assert shown["fanfare", 429] == {"error": "Rate limit exceeded", "retryAfter": 30}
    assert shown["fanfare", 500] == {"error": "Internal Server Error"}
    assert shown["fanfare", 400]["error"] == "validation_error"
    assert shown["commbox", 429]["description"] == "Too Many Requests \u2013 Rate limit exceeded"
    assert shown["commbox", 500]["description"] == "Server Error"
    assert shown["digital_audience", 401] == {
        "data": None,
        "status": {"statusCode": 3, "message": "Unauthorized"},
        "success": False,
    }
    assert all(shown["digital_audience", status]["success"] is False for status in (400, 429, 500))


def test_a_body_and_headers_of_one_s_own(sandbox: Running) -> None:
    sandbox.fault(vendor="fanfare", status=502, body="<html>", headers={"Content-Type": "text/html"})
    answer = audience(sandbox)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (502, "<html>", "text/html")
    sandbox.fault(vendor="commbox", status=200, body={"data": None}, headers={"Retry-After": "7"})
    answer = sandbox.commbox().send("GET", "/audiences")
    assert (answer.json(), answer.headers["Retry-After"]) == ({"data": None}, "7")


def test_counting_and_order(sandbox: Running) -> None:
    first = sandbox.fault(vendor="fanfare", method="GET", status=500, times=2, skip=1)
    sandbox.fault(method="GET", path=".*/audiences", status=503)
    fanfare = sandbox.fanfare()
    # what one order lets pass the next may still fit
    assert [fanfare.send("GET", "/audiences").status_code for _ in range(5)] == [503, 500, 500, 200, 200]
    assert sandbox.admin("faults") == []
    assert first["times"] == 2
    sandbox.fault(vendor="fanfare", times=9)
    assert sandbox.commbox().send("GET", "/audiences").status_code == 200
    assert sandbox.admin("faults", "DELETE") == {"cleared": 1}
    sandbox.fault(vendor="fanfare", times=9)
    sandbox.reset()
    assert (sandbox.admin("faults"), fanfare.send("GET", "/audiences").status_code) == ([], 200)


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"vendor": "nobody"}, 400),
        ({"path": "("}, 422),
        ({"status": 700}, 422),
        ({"times": 0}, 422),
        ({"unknown": 1}, 422),
    ],
)
def test_an_order_that_makes_no_sense(sandbox: Running, order: dict[str, Any], status: int) -> None:
    answer = requests.post(f"{sandbox.api}/_sandbox/faults", json=order, timeout=TIMEOUT)
    assert answer.status_code == status
    assert sandbox.admin("faults") == []


# --- S3 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", ["answer", "drop"])
def test_s3_fails_for_a_presigned_put(sandbox: Running, when: str, action: str) -> None:
    fanfare = sandbox.fanfare()
    begun = fanfare.begin(fanfare.audience())
    sandbox.fault(vendor="s3", method="PUT", path="imports/.*", action=action, status=503, when=when)
    body = b"email\r\n" + b"a@example.com\r\n" * 20_000
    if action == "drop":
        with pytest.raises(BROKEN):
            put_csv(begun["uploadUrl"], body)
    else:
        answer = put_csv(begun["uploadUrl"], body)
        assert (answer.status_code, "<Code>SlowDown</Code>" in answer.text) == (503, True)
    (entry,) = sandbox.entries(kind="s3")
    assert (entry["fault"]["action"], entry["success"]) == (action, when == "after")
    if when == "after":
        assert fanfare.imported(begun["audienceId"])["status"] == "COMPLETED"
    else:
        assert put_csv(begun["uploadUrl"], body).status_code == 200


def test_s3_fails_for_the_customer_s_bucket(sandbox: Running) -> None:
    sandbox.fault(vendor="s3", operation="PutObject", path=f"/{sandbox.bucket}/onboard/.*", status=500)
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="elsewhere", Body=b"x")
    with pytest.raises(ClientError) as error:
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key="onboard/x", Body=b"x")
    assert error.value.response["Error"]["Code"] == "InternalError"
    assert [item["key"] for item in sandbox.admin("objects")["objects"]] == ["elsewhere"]
    sandbox.fault(vendor="s3", method="GET", status=503)
    with pytest.raises(ClientError):
        sandbox.s3.get_object(Bucket=sandbox.bucket, Key="elsewhere")
    assert sandbox.s3.get_object(Bucket=sandbox.bucket, Key="elsewhere")["Body"].read() == b"x"


@pytest.mark.parametrize("when", ["before", "after"])
def test_s3_is_slow(sandbox: Running, when: str) -> None:
    sandbox.fault(vendor="s3", method="PUT", action="delay", seconds=600, when=when)
    thread = threading.Thread(
        target=lambda: sandbox.s3.put_object(Bucket=sandbox.bucket, Key="slow", Body=b"x")
    )
    thread.start()
    wait_for(lambda: sandbox.admin("faults") == [])
    if when == "after":
        wait_for(lambda: sandbox.admin("objects")["objects"])
    else:
        assert sandbox.admin("objects")["objects"] == []
    assert thread.is_alive()
    sandbox.admin("faults", "DELETE")
    thread.join(TIMEOUT)
    assert [item["key"] for item in sandbox.admin("objects")["objects"]] == ["slow"]
