"""S3 and what the vendor makes of it, over the real protocol."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.sandbox.support import (
    TIMEOUT,
    Caller,
    Running,
    csv_bytes,
    emails,
    sha,
    wait_for,
)

pytestmark = pytest.mark.integration

PART = 5 * 1024 * 1024


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def settled(caller: Caller, audience: int, events: int) -> Any:
    """Wait until the audience is ready with so many good uploads behind it."""
    return wait_for(
        lambda: caller.load(audience),
        lambda seen: (
            seen["audienceState"] == "READY"
            and seen["crmData"] is not None
            and seen["crmData"]["history"]["totalEvents"] == events
        ),
    )


def test_from_upload_to_ready_with_history(sandbox: Running) -> None:
    sandbox.settings(match_percent=50, usable_percent=80, processing_delay=0.5)
    caller = sandbox.login()
    audience = caller.audience()
    rows = [f"{sha(f'mail {number % 60}')},{sha(f'phone {number}')}" for number in range(80)]
    body = csv_bytes("email_sha256,phone_sha256", *rows)
    key = sandbox.upload(audience, body, content="v1")

    processing = wait_for(lambda: caller.load(audience), lambda seen: seen["audienceState"] == "PROCESSING")
    assert processing["dataUpdated"] is None
    assert processing["crmData"]["insightsState"] == "PENDING"
    seen = settled(caller, audience, 1)
    assert seen["dataUpdated"] == seen["updated"]
    assert seen["crmData"]["insightsState"] == "READY"
    assert seen["crmData"]["size"] == 80
    ((stamp, event),) = seen["crmData"]["history"]["history"].items()
    assert stamp == event["created"] < seen["dataUpdated"]
    assert (event["audienceId"], event["mode"], event["totalRows"]) == (audience, "opt-in", 80)
    email, phone = event["dataSet"]["EMAIL"], event["dataSet"]["PHONE"]
    known = [sha(f"mail {number}") for number in range(60) if int(sha(f"mail {number}")[:8], 16) < 2**31]
    assert (email["TOTAL"], email["UNIQUE"], email["MATCH"]) == (80, 60, len(known))
    assert (phone["TOTAL"], phone["UNIQUE"]) == (80, 80)
    for kind, count in event["dataSet"].items():
        assert count["MATCH"] + count["NOMATCH"] == count["UNIQUE"]
        assert 0 < count["UMATCH"] < count["MATCH"]
        assert event["matchRates"][kind] == pytest.approx(count["MATCH"] / count["UNIQUE"], abs=1e-4)

    noted = sandbox.object_event(key)
    assert (noted["outcome"], noted["rows"], noted["metadata"]) == ("accepted", 80, {"content": "v1"})
    assert noted["sha256"] == hashlib.sha256(body).hexdigest()
    assert (noted["audience_id"], noted["mode"], noted["size"]) == (audience, "opt-in", len(body))
    log = [line["event"] for line in sandbox.admin(f"audiences/{audience}/log")]
    assert log == ["created", "accepted", "ready"]


def test_the_three_modes(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()

    def members() -> set[str]:
        return {member["email_sha256"] for member in sandbox.members(audience)}

    sandbox.upload(audience, emails("a", "b"), name="20251215_000000")
    settled(caller, audience, 1)
    sandbox.upload(audience, emails("b", "c"), name="20251216_000000")
    settled(caller, audience, 2)
    assert members() == {sha("a"), sha("b"), sha("c")}
    sandbox.upload(audience, emails("a"), mode="opt-out", name="20251217_000000")
    settled(caller, audience, 3)
    assert members() == {sha("b"), sha("c")}
    sandbox.upload(audience, emails("x"), mode="replace", name="20251218_000000")
    seen = settled(caller, audience, 4)
    assert members() == {sha("x")}
    modes = [event["mode"] for event in seen["crmData"]["history"]["history"].values()]
    assert modes == ["opt-in", "opt-in", "opt-out", "replace"]
    assert sandbox.admin("summary")["objects"] == {"accepted": 4, "refused": 0, "ignored": 0}


def test_a_bad_file_ends_in_the_failure_state(sandbox: Running) -> None:
    sandbox.settings(failure_state="ERROR")
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.upload(audience, emails("a"))
    updated = settled(caller, audience, 1)["dataUpdated"]
    key = sandbox.upload(audience, b"email_sha256\nx\n", mode="replace")
    seen = wait_for(lambda: caller.load(audience), lambda found: found["audienceState"] == "ERROR")
    assert seen["dataUpdated"] == updated
    assert seen["crmData"]["history"]["totalEvents"] == 1
    assert sandbox.members(audience) == [{"email_sha256": sha("a")}]
    event = sandbox.object_event(key)
    assert (event["outcome"], event["reason"]) == ("refused", "line 1: bare LF, not CRLF")
    line = sandbox.admin(f"audiences/{audience}/log")[-1]
    assert (line["event"], line["message"], line["key"]) == ("failed", "line 1: bare LF, not CRLF", key)


def test_a_deleted_audience_s_uploads_are_refused(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    caller.data("DELETE", f"/audience/delete?audienceId={audience}")
    event = sandbox.object_event(sandbox.upload(audience, emails("a")))
    assert (event["outcome"], event["reason"]) == ("refused", "unknown audience id")


def test_an_overwritten_object_is_processed_again(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.upload(audience, emails("a"))
    settled(caller, audience, 1)
    key = sandbox.upload(audience, emails("b"))
    settled(caller, audience, 2)
    events = [event for event in sandbox.entries(kind="object") if event["key"] == key]
    assert len({event["etag"] for event in events}) == 2


def test_put_only_if_absent(sandbox: Running) -> None:
    key = "elsewhere/put"
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key=key, Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key=key, Body=b"2", IfNoneMatch="*")
    assert code(error) == "PreconditionFailed"
    assert sandbox.s3.get_object(Bucket=sandbox.bucket, Key=key)["Body"].read() == b"1"
    noted = [(entry["http_status"], entry["if_none_match"]) for entry in sandbox.entries(kind="s3")]
    assert noted == [(200, "*"), (412, "*")]
    assert sandbox.admin("summary")["s3"] == {"PutObject": {"success": 1, "failure": 1}}


def test_complete_multipart_only_if_absent_and_open_uploads_show(sandbox: Running) -> None:
    key = "elsewhere/multipart"

    def begin() -> tuple[str, dict[str, Any]]:
        upload = sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key=key, Metadata={"n": "1"})[
            "UploadId"
        ]
        parts = [
            {
                "PartNumber": number,
                "ETag": sandbox.s3.upload_part(
                    Bucket=sandbox.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
                )["ETag"],
            }
            for number, body in [(1, b"x" * PART), (2, b"y")]
        ]
        return upload, {
            "Bucket": sandbox.bucket,
            "Key": key,
            "UploadId": upload,
            "MultipartUpload": {"Parts": parts},
        }

    first, complete = begin()
    contents = sandbox.admin("objects")
    assert [(upload["key"], upload["upload_id"]) for upload in contents["open_uploads"]] == [(key, first)]
    assert contents["objects"] == []
    sandbox.s3.complete_multipart_upload(**complete, IfNoneMatch="*")
    second, again = begin()
    with pytest.raises(ClientError) as error:
        sandbox.s3.complete_multipart_upload(**again, IfNoneMatch="*")
    assert code(error) == "PreconditionFailed"
    sandbox.s3.abort_multipart_upload(Bucket=sandbox.bucket, Key=key, UploadId=second)
    contents = sandbox.admin("objects")
    assert contents["open_uploads"] == []
    (stored,) = contents["objects"]
    assert (stored["key"], stored["size"], stored["metadata"]) == (key, PART + 1, {"n": "1"})
    assert sandbox.admin("summary")["s3"] == {
        "AbortMultipartUpload": {"success": 1, "failure": 0},
        "CompleteMultipartUpload": {"success": 1, "failure": 1},
        "CreateMultipartUpload": {"success": 2, "failure": 0},
        "UploadPart": {"success": 4, "failure": 0},
    }


def test_large_objects_do_not_stay_in_memory(sandbox: Running) -> None:
    assert sandbox.process is not None
    open_files = Path(f"/proc/{sandbox.process.pid}/fd")
    if not open_files.exists():
        pytest.skip("needs /proc")
    size = 8 * 1024 * 1024
    for number in range(3):
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key=f"elsewhere/{number}", Body=b"z" * size)
    # unnamed temporary files: opened, unlinked, and as long as the object
    spooled = [link for link in open_files.iterdir() if _is_deleted(link) and link.stat().st_size == size]
    assert len(spooled) == 3


def _is_deleted(link: Path) -> bool:
    try:
        return "(deleted)" in str(link.readlink())
    except OSError:
        return False


def test_other_credentials_are_refused(sandbox: Running) -> None:
    stranger = sandbox.s3_client("wrong-key")
    with pytest.raises(ClientError) as error:
        stranger.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x" * PART)
    assert code(error) == "InvalidAccessKeyId"
    answer = requests.put(f"{sandbox.info['s3_url']}/{sandbox.bucket}/k", data=b"x" * PART, timeout=TIMEOUT)
    assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)
    assert sandbox.admin("objects")["objects"] == []


def test_a_presigned_url_works(sandbox: Running) -> None:
    url = sandbox.s3.generate_presigned_url(
        "put_object", Params={"Bucket": sandbox.bucket, "Key": "elsewhere/p"}
    )
    assert requests.put(url, data=b"x", timeout=TIMEOUT).status_code == 200
    assert [item["key"] for item in sandbox.admin("objects")["objects"]] == ["elsewhere/p"]


def test_keys_that_no_vendor_reads_are_ignored(sandbox: Running) -> None:
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="locks/campaign", Body=b"x")
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="onboard/", Body=b"")
    assert sandbox.object_event("locks/campaign")["outcome"] == "ignored"
    assert sandbox.object_event("onboard/")["outcome"] == "ignored"
