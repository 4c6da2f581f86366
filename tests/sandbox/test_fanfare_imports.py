"""Fanfare's imports: the presigned URL, the checks before S3, and the processing of a file."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore.exceptions import ClientError

from sandbox.presigned import S3RefusedError, UploadAccess, UploadUrls, check
from tests.sandbox.support import TIMEOUT, Fanfare, Running, put_csv, refusal, table

pytestmark = pytest.mark.integration

FILE = b"email,phone\r\nanna@example.com,+31612345678\r\nben@example.com,\r\n"
IMPORT = {
    *("id", "organizationId", "createdAt", "createdBy", "archived", "audienceId", "status", "progress"),
    *("processedConsumers", "errorCount", "s3Key", "totalConsumers", "errors", "updatedAt", "updatedBy"),
}


def code(answer: requests.Response) -> tuple[int, str]:
    match = re.search("<Code>(.*)</Code>", answer.text)
    return answer.status_code, match.group(1) if match else ""


def names_of(sandbox: Running, audience: str) -> list[str]:
    members = sandbox.admin(f"fanfare/audiences/{audience}/members")["members"]
    return [member.get("firstName") for member in members]


def test_import_from_post_to_completed_shows_its_progress(sandbox: Running, fanfare: Fanfare) -> None:
    assert sandbox.clock is not None
    sandbox.settings(fanfare_pending_delay=2, fanfare_import_delay=10)
    audience = fanfare.audience()
    answer = fanfare.send("GET", f"/audiences/{audience}/import")
    assert (answer.status_code, answer.json()) == (404, {"error": "Import not found"})
    stamp = int(sandbox.clock.now().timestamp() * 1000)
    pending = fanfare.begin(audience)
    assert set(pending) == IMPORT | {"uploadUrl"}
    organization = sandbox.info["fanfare_organization_id"]
    key = rf"imports/{organization}/{audience}/(\d+)\.csv"
    match = re.fullmatch(key, pending["s3Key"])
    assert match is not None
    assert int(match.group(1)) >= stamp
    first = (pending["status"], pending["audienceId"], pending["progress"], pending["totalConsumers"])
    assert first == ("PENDING", audience, 0, None)
    s3_url, bucket = sandbox.info["s3_url"], f"{sandbox.bucket}-fanfare"
    assert pending["uploadUrl"].startswith(f"{s3_url}/{bucket}/{pending['s3Key']}?")
    sandbox.step(100)
    assert {**fanfare.imported(audience), "uploadUrl": pending["uploadUrl"]} == pending

    rows = [f"p{number}@example.com" for number in range(100)]
    assert put_csv(pending["uploadUrl"], "\n".join(["email", *rows, "nonsense"]).encode()).status_code == 200
    sandbox.step()
    assert fanfare.imported(audience)["status"] == "PENDING"
    sandbox.step(2)
    shown = ("status", "progress", "processedConsumers", "totalConsumers")
    with table() as verify:
        for part in range(5):
            current = fanfare.imported(audience)
            expected = ["PROCESSING", 20 * part, 20 * part, 101]
            verify(part, [current[name] for name in shown], expected)
            verify(part, fanfare.status(audience)["inProgress"], True)
            verify(part, fanfare.count(audience), 0)
            sandbox.step(2)
    done = fanfare.imported(audience)
    assert [done[name] for name in shown] == ["COMPLETED", 100, 100, 101]
    # the invalid row is skipped and quoted
    assert (done["errorCount"], done["errors"][0]["row"]) == (1, 101)
    assert "nonsense" in json.dumps(done["errors"])
    assert fanfare.count(audience) == 100
    state = fanfare.status(audience)
    assert (state["version"], state["inProgress"]) == (2, False)
    assert fanfare.ok("GET", f"/audiences/{audience}")["imports"] == [done]

    (put,) = sandbox.entries(kind="s3")
    assert (put["operation"], put["key"], put["bucket"]) == ("PutObject", pending["s3Key"], bucket)
    assert (put["presigned"], put["authorization"], put["success"]) == (True, False, True)
    (event,) = sandbox.events()
    assert (event["vendor"], event["audience_id"]) == ("fanfare", audience)
    assert (event["outcome"], event["rows"]) == ("accepted", 101)
    whole = json.dumps(sandbox.entries())
    for secret in ("nonsense", "p1@", "X-Amz-Signature", urlsplit(pending["uploadUrl"]).query):
        assert secret not in whole
    # the customer's bucket is unchanged
    assert sandbox.keys() == []


def test_import_of_an_invalid_file_fails(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    with table() as verify:
        for body, reason in {
            b"shoe\n43\n": "header: column 1 is unknown",
            b"email\n" + b"a@example.com\n" * 100_001: "more than 100000 rows",
            b"externalId\n" + b"x" * 10_000_000: "file is larger than 10000000 bytes",
        }.items():
            done = fanfare.load(audience, body)
            verify(reason, (done["status"], done["processedConsumers"]), ("FAILED", 0))
            (error,) = done["errors"]
            verify(reason, (error["row"], error["issues"][0]["message"]), (0, reason))
            event = sandbox.events()[-1]
            actual = [event[name] for name in ("vendor", "outcome", "reason", "audience_id")]
            verify(reason, actual, ["fanfare", "refused", reason, audience])
    sandbox.settings(fanfare_row_errors="fail")
    failed = fanfare.load(audience, b"email\na@example.com\nnonsense\n")
    assert (failed["status"], failed["errorCount"]) == ("FAILED", 1)
    assert (fanfare.count(audience), fanfare.status(audience)["version"]) == (0, 1)
    lines = [(line["status"], line["reason"]) for line in sandbox.admin("fanfare/imports")]
    assert lines[-1] == ("FAILED", "1 rows with errors")
    assert [status for status, _ in lines] == ["FAILED"] * 4
    assert sandbox.admin("summary")["objects"] == {"accepted": 1, "refused": 3, "ignored": 0}


def test_import_with_an_ordered_failure_fails(sandbox: Running, fanfare: Fanfare) -> None:
    first, second = fanfare.audience(), fanfare.audience()
    sandbox.admin("fanfare/fail-import", "POST", json={"audience_id": first, "skip": 1})
    done = [fanfare.load(audience, FILE) for audience in (first, second, first, first)]
    assert [one["status"] for one in done] == ["COMPLETED", "COMPLETED", "FAILED", "COMPLETED"]
    assert done[2]["processedConsumers"] == 0
    reasons = [line["reason"] for line in sandbox.admin("fanfare/imports") if line["audience_id"] == first]
    assert reasons == [None, "Import failed", None]


def test_import_identifies_consumers_by_email_then_phone_then_external_id(
    sandbox: Running, fanfare: Fanfare
) -> None:
    audience, other = fanfare.audience(), fanfare.audience()
    foreigner = sandbox.fanfare("sk_test_foreign_fanfare")
    foreign = foreigner.audience()
    fanfare.load(audience, b"email,phone,externalId\na@example.com,+31612345670,1\n,+31612345671,2\n,,3\n")
    assert fanfare.count(audience) == 3
    second = fanfare.load(
        audience,
        b"email,phone,externalId,firstName\n"
        b"A@Example.com,,,By mail\n"
        b"new@example.com,+31612345671,,By phone\n"
        b"last@example.com,,3,By id\n",
    )
    assert names_of(sandbox, audience) == ["By mail", "By phone", "By id"]
    assert sandbox.admin(f"fanfare/audiences/{audience}/members")["members"][1] == {
        "email": "new@example.com",
        "phone": "+31612345671",
        "externalId": "2",
        "firstName": "By phone",
    }
    # repeats within a file count as processed and make one member
    third = fanfare.load(audience, b"email\nx@example.com\nX@example.com\n")
    assert (third["processedConsumers"], fanfare.count(audience)) == (2, 4)
    imports = fanfare.ok("GET", f"/audiences/{audience}")["imports"]
    assert [one["id"] for one in imports[1:]] == [second["id"], third["id"]]
    assert len({one["s3Key"] for one in imports}) == 3
    # consumers belong to the organization, members to the audience
    fanfare.load(other, b"email\nA@example.com\n")
    foreigner.load(foreign, b"email\nA@example.com\n")
    assert names_of(sandbox, other) == ["By mail"]
    assert names_of(sandbox, foreign) == [None]
    page = sandbox.admin(f"fanfare/audiences/{audience}/members", params={"offset": 1, "limit": 1})
    assert (page["count"], page["members"][0]["firstName"]) == (4, "By phone")


def test_import_with_a_second_file_ignores_it(sandbox: Running, fanfare: Fanfare) -> None:
    sandbox.settings(fanfare_import_delay=0)
    audience = fanfare.audience()
    url = fanfare.begin(audience)["uploadUrl"]
    for body in (FILE, b"email\nother@example.com\n"):
        assert put_csv(url, body).status_code == 200
        # without delays the scan of the bucket completes the import
        sandbox.step()
        assert (fanfare.imported(audience)["status"], fanfare.count(audience)) == ("COMPLETED", 2)
    assert [event["outcome"] for event in sandbox.events()] == ["accepted", "ignored"]
    # after a reset no import has this key
    sandbox.reset()
    assert put_csv(url, FILE).status_code == 200
    sandbox.work()
    (event,) = sandbox.events()
    assert (event["outcome"], event["reason"]) == ("refused", "no import has this key")
    assert sandbox.admin("fanfare/audiences") == sandbox.admin("fanfare/imports") == []


def test_post_import_when_not_allowed_is_refused(sandbox: Running, fanfare: Fanfare) -> None:
    def refused(audience: str) -> tuple[int, Any]:
        answer = fanfare.send("POST", f"/audiences/{audience}/import")
        return answer.status_code, answer.json()

    for type_ in ("DYNAMIC", "SYNCED_LIST"):
        assert refused(fanfare.audience("x", type_)) == (400, {"error": "Audience is not a static list"})
    sandbox.settings(fanfare_upload_url_lifetime=60)
    audience = fanfare.audience()
    fanfare.begin(audience)
    latest = fanfare.begin(audience)
    assert fanfare.imported(audience)["id"] == latest["id"]
    sandbox.settings(fanfare_parallel_imports="conflict")
    assert refused(audience) == (409, {"error": "Import already in progress"})
    # an import with an expired URL is not under way, nor is a completed one
    sandbox.step(60)
    assert fanfare.load(audience, FILE)["status"] == "COMPLETED"
    fanfare.begin(audience)


# --- presigned URLs -------------------------------------------------------------------------------------


def without(url: str, part: str) -> str:
    base, _, query = url.partition("?")
    return f"{base}?{'&'.join(pair for pair in query.split('&') if not pair.startswith(part + '='))}"


def test_presigned_request_changed_after_signing_is_refused(sandbox: Running, fanfare: Fanfare) -> None:
    pending = fanfare.begin(fanfare.audience())
    url = pending["uploadUrl"]
    parts = [f"X-Amz-{name}" for name in ("Algorithm", "Date", "Expires", "SignedHeaders", "Signature")]
    other_bucket = url.replace(f"{sandbox.bucket}-fanfare", sandbox.bucket)
    mismatch, denied = (403, "SignatureDoesNotMatch"), (403, "AccessDenied")
    malformed = (400, "AuthorizationQueryParametersError")
    with table() as verify:
        for name, answer, expected in (
            ("signature", put_csv(url[:-1] + ("0" if url[-1] != "0" else "1"), FILE), mismatch),
            ("key", put_csv(url.replace(".csv", ".txt"), FILE), mismatch),
            ("lifetime", put_csv(url.replace("Expires=900", "Expires=901"), FILE), mismatch),
            ("one more parameter", put_csv(f"{url}&x=1", FILE), mismatch),
            ("content type", put_csv(url, FILE, **{"Content-Type": "text/plain"}), mismatch),
            ("no content type", requests.put(url, FILE, timeout=TIMEOUT), mismatch),
            ("host", put_csv(url, FILE, Host="elsewhere:4567"), mismatch),
            ("method", requests.get(url, timeout=TIMEOUT), mismatch),
            ("no query", put_csv(url.partition("?")[0], FILE), denied),
            ("bucket", put_csv(other_bucket, FILE), denied),
            *((part, put_csv(without(url, part), FILE), malformed) for part in parts),
            ("no credential", put_csv(without(url, "X-Amz-Credential"), FILE), denied),
        ):
            verify(name, code(answer), expected)
    key = sandbox.info["fanfare_secret_key"]
    answer = put_csv(url, FILE, Authorization=f"Bearer {key}")
    assert code(answer) == (400, "InvalidArgument")
    assert "Only one auth mechanism allowed" in answer.text
    put = sandbox.entries(kind="s3")[-1]
    assert (put["authorization"], put["success"], put["http_status"]) == (True, False, 400)
    assert key not in json.dumps(put)
    # the vendor's bucket refuses the customer's key, and the vendor's key without its secret
    target = {"Bucket": f"{sandbox.bucket}-fanfare", "Key": pending["s3Key"]}
    for client in (sandbox.s3, sandbox.s3_client("fanfare-uploads")):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(**target, Body=FILE)
    assert put_csv(url, FILE).status_code == 200


def test_presigned_request_after_its_expiry_is_refused(sandbox: Running) -> None:
    """S3 uses the machine's clock, so the test passes later times to the check itself."""
    access = UploadAccess("own", "fanfare-uploads", "secret")
    urls = UploadUrls(endpoint_url="http://127.0.0.1:4567", region="eu-west-1", access=access)
    url = urls.sign("imports/a b/1.csv", 899.5)
    assert "X-Amz-Expires=900" in url
    now = datetime.now(timezone.utc)
    older = f"http://127.0.0.1:4567/own/k?AWSAccessKeyId=a&Signature=s&Expires={int(now.timestamp()) + 60}"

    def result(url: str, later: float) -> str | None:
        parts = urlsplit(url)
        environ = {"RAW_URI": f"{parts.path}?{parts.query}", "QUERY_STRING": parts.query}
        environ |= {"REQUEST_METHOD": "PUT", "HTTP_HOST": parts.netloc, "CONTENT_TYPE": "text/csv"}
        return refusal(S3RefusedError, lambda: check(environ, "secret", now + timedelta(seconds=later)))

    expired, malformed = "Request has expired", "Invalid date (should be seconds since epoch)"
    with table() as verify:
        verify("good", result(url, 0), None)
        verify("after its lifetime", result(url, 901), expired)
        verify("SigV2", result(older, 0), None)
        verify("SigV2 after its end", result(older, 61), expired)
        verify("SigV2 without a number", result(older + "x", 0), malformed)
    # and over HTTP
    address = f"{sandbox.info['s3_url']}/{sandbox.bucket}/k?Signature=s&Expires=1&AWSAccessKeyId="
    answer = put_csv(address + sandbox.info["aws_access_key_id"], FILE)
    assert code(answer) == (403, "AccessDenied")
    assert expired in answer.text
    assert sandbox.entries(kind="s3")[-1]["message"] == expired
    # a URL signed with the customer's own key works
    params = {"Bucket": sandbox.bucket, "Key": "elsewhere/p"}
    url = sandbox.s3.generate_presigned_url("put_object", Params=params)
    assert requests.put(url, data=b"x", timeout=TIMEOUT).status_code == 200
    assert sandbox.keys() == ["elsewhere/p"]
