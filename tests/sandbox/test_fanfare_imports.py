"""Fanfare's imports: the presigned address, the gate before S3, and what becomes of a file."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import ClientError

from tests.sandbox.support import TIMEOUT, Fanfare, Running, put_csv, wait_for

pytestmark = pytest.mark.integration

FILE = b"email,phone\r\nanna@example.com,+31612345678\r\nben@example.com,\r\n"
IMPORT = {
    *("id", "organizationId", "createdAt", "createdBy", "archived", "audienceId", "status", "progress"),
    *("processedConsumers", "errorCount", "s3Key", "totalConsumers", "errors", "updatedAt", "updatedBy"),
}


@pytest.fixture
def fanfare(sandbox: Running) -> Fanfare:
    return sandbox.fanfare()


def code(answer: requests.Response) -> tuple[int, str]:
    found = re.search("<Code>(.*)</Code>", answer.text)
    return answer.status_code, found.group(1) if found else ""


def test_an_import_from_end_to_end(sandbox: Running, fanfare: Fanfare) -> None:
    sandbox.settings(fanfare_import_delay=0.5)
    audience = fanfare.audience()
    assert fanfare.send("GET", f"/audiences/{audience}/import").json() == {"error": "Import not found"}
    begun = fanfare.begin(audience)
    assert set(begun) == IMPORT | {"uploadUrl"}
    assert (begun["status"], begun["audienceId"]) == ("PENDING", audience)
    assert begun["uploadUrl"].startswith(
        f"{sandbox.info['s3_url']}/{sandbox.bucket}-fanfare/{begun['s3Key']}?"
    )
    waiting = fanfare.ok("GET", f"/audiences/{audience}/import")
    assert {**waiting, "uploadUrl": begun["uploadUrl"]} == begun

    rows = [f"p{number}@example.com" for number in range(200)]
    assert put_csv(begun["uploadUrl"], "\n".join(["email", *rows, "nonsense"]).encode()).status_code == 200
    seen = wait_for(
        lambda: fanfare.ok("GET", f"/audiences/{audience}/import"),
        lambda one: one["status"] == "PROCESSING" and one["progress"] > 0,
    )
    assert seen["progress"] < 100
    assert 0 < seen["processedConsumers"] <= 200
    assert seen["totalConsumers"] == 201
    done = fanfare.imported(audience)
    assert (done["status"], done["progress"], done["processedConsumers"]) == ("COMPLETED", 100, 200)
    assert (done["errorCount"], done["errors"][0]["row"]) == (1, 201)
    assert "nonsense" in json.dumps(done["errors"])
    assert fanfare.count(audience) == 200
    assert fanfare.ok("GET", f"/audiences/{audience}")["imports"] == [done]
    assert len(sandbox.admin(f"fanfare/audiences/{audience}/members")["members"]) == 200

    (put,) = sandbox.entries(kind="s3")
    assert (put["operation"], put["key"], put["bucket"]) == (
        "PutObject",
        begun["s3Key"],
        f"{sandbox.bucket}-fanfare",
    )
    assert (put["presigned"], put["authorization"], put["success"]) == (True, False, True)
    (event,) = sandbox.entries(kind="object")
    assert (event["vendor"], event["audience_id"], event["outcome"], event["rows"]) == (
        "fanfare",
        audience,
        "accepted",
        201,
    )
    whole = json.dumps(sandbox.entries())
    for secret in ("nonsense", "p1@", "X-Amz-Signature", urlsplit(begun["uploadUrl"]).query):
        assert secret not in whole
    # the customer's bucket knows nothing of it
    assert sandbox.admin("objects")["objects"] == []


def test_a_second_import_adds(fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    first = fanfare.load(audience, FILE)
    second = fanfare.load(audience, b"email,firstName\nBEN@example.com,Ben\ncarla@example.com,Carla\n")
    assert first["s3Key"] != second["s3Key"]
    assert fanfare.count(audience) == 3
    assert [one["id"] for one in fanfare.ok("GET", f"/audiences/{audience}")["imports"]] == [
        first["id"],
        second["id"],
    ]


def test_an_authorization_header_is_refused(sandbox: Running, fanfare: Fanfare) -> None:
    begun = fanfare.begin(fanfare.audience())
    key = sandbox.info["fanfare_secret_key"]
    answer = put_csv(begun["uploadUrl"], FILE, Authorization=f"Bearer {key}")
    assert code(answer) == (400, "InvalidArgument")
    assert "Only one auth mechanism allowed" in answer.text
    (put,) = sandbox.entries(kind="s3")
    assert (put["authorization"], put["success"], put["http_status"]) == (True, False, 400)
    assert key not in json.dumps(put)
    assert put_csv(begun["uploadUrl"], FILE).status_code == 200


def test_an_expired_address_is_refused(sandbox: Running, fanfare: Fanfare) -> None:
    sandbox.settings(fanfare_upload_url_lifetime=1)
    audience = fanfare.audience()
    url = fanfare.begin(audience)["uploadUrl"]
    # with a body of no import, so that a try that comes in time changes nothing
    answer = wait_for(lambda: put_csv(url, b""), lambda found: found.status_code != 200)
    assert code(answer) == (403, "AccessDenied")
    assert "Request has expired" in answer.text
    assert sandbox.entries(kind="s3")[-1]["message"] == "Request has expired"


def test_whatever_is_not_as_it_was_signed_is_refused(sandbox: Running, fanfare: Fanfare) -> None:
    begun = fanfare.begin(fanfare.audience())
    url = begun["uploadUrl"]
    for answer in (
        put_csv(url[:-1] + ("0" if url[-1] != "0" else "1"), FILE),
        put_csv(url.replace(".csv", ".txt"), FILE),
        put_csv(url, FILE, **{"Content-Type": "application/octet-stream"}),
        requests.put(url, data=FILE, timeout=TIMEOUT),
        requests.get(url, timeout=TIMEOUT),
    ):
        assert code(answer) == (403, "SignatureDoesNotMatch")
    base = url.partition("?")[0]
    assert code(put_csv(base, FILE)) == (403, "AccessDenied")
    other = url.replace(f"{sandbox.bucket}-fanfare", sandbox.bucket)
    assert code(put_csv(other, FILE)) == (403, "AccessDenied")
    # the customer's own key does not lead into the vendor's bucket
    with pytest.raises(ClientError) as error:
        sandbox.s3.put_object(Bucket=f"{sandbox.bucket}-fanfare", Key=begun["s3Key"], Body=FILE)
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(ClientError):
        sandbox.s3_client("fanfare-uploads").get_object(
            Bucket=f"{sandbox.bucket}-fanfare", Key=begun["s3Key"]
        )
    assert put_csv(url, FILE).status_code == 200


def test_files_that_fail(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    for body, reason in {
        b"shoe\n43\n": "header: column 1 is unknown",
        b"email\n" + b"a@example.com\n" * 100_001: "more than 100000 rows",
        b"externalId\n" + b"x" * 10_000_000: "file is larger than 10000000 bytes",
    }.items():
        done = fanfare.load(audience, body)
        assert (done["status"], done["processedConsumers"]) == ("FAILED", 0)
        assert (done["errors"][0]["row"], done["errors"][0]["issues"][0]["message"]) == (0, reason)
    assert fanfare.count(audience) == 0
    assert [line["status"] for line in sandbox.admin("fanfare/imports")] == ["FAILED"] * 3
    assert sandbox.admin("summary")["objects"] == {"accepted": 0, "refused": 3, "ignored": 0}


def test_an_import_fails_on_order(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    sandbox.admin("fanfare/fail-import", "POST", json={"audience_id": audience, "skip": 1})
    assert [fanfare.load(audience, FILE)["status"] for _ in range(3)] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert [line["reason"] for line in sandbox.admin("fanfare/imports")] == [None, "Import failed", None]


def test_other_types_take_no_import_and_a_second_one_may_be_a_conflict(
    sandbox: Running, fanfare: Fanfare
) -> None:
    dynamic = fanfare.audience("Rules", "DYNAMIC")
    answer = fanfare.send("POST", f"/audiences/{dynamic}/import")
    assert (answer.status_code, answer.json()) == (400, {"error": "Audience is not a static list"})
    static = fanfare.audience()
    fanfare.begin(static)
    latest = fanfare.begin(static)
    assert fanfare.ok("GET", f"/audiences/{static}/import")["id"] == latest["id"]
    sandbox.settings(fanfare_parallel_imports="conflict")
    answer = fanfare.send("POST", f"/audiences/{static}/import")
    assert (answer.status_code, answer.json()) == (409, {"error": "Import already in progress"})


def test_a_dynamic_audience_sees_an_import(fanfare: Fanfare) -> None:
    rule = {"field": "phone", "operator": "EXISTS", "values": []}
    dynamic = fanfare.audience("With a phone", "DYNAMIC", rules=[rule])
    fanfare.load(fanfare.audience(), FILE)
    wait_for(lambda: fanfare.count(dynamic), lambda count: count == 1)


def test_a_reset_empties_the_vendor_s_bucket(sandbox: Running, fanfare: Fanfare) -> None:
    url = fanfare.begin(fanfare.audience())["uploadUrl"]
    sandbox.reset()
    assert put_csv(url, FILE).status_code == 200
    event = wait_for(lambda: sandbox.entries(kind="object"))[-1]
    assert (event["outcome"], event["reason"]) == ("refused", "no import has this key")
    assert sandbox.admin("fanfare/audiences") == sandbox.admin("fanfare/imports") == []


def test_100_000_rows_are_taken_in(fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    rows = (f"person{number}@example.com,+316{number:08}" for number in range(100_000))
    done = fanfare.load(audience, "\n".join(["email,phone", *rows]).encode())
    assert (done["status"], done["processedConsumers"]) == ("COMPLETED", 100_000)
    assert fanfare.count(audience) == 100_000
