"""Answers in the vendor's place, the vendor's answers changed, and the named presets, over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.sandbox.support import Caller, Running, emails, phone_file, put_csv, wait_for
from tests.sandbox.test_fault_orders import BROKEN, CREATING, every_vendor

pytestmark = pytest.mark.integration


# --- any vendor -----------------------------------------------------------------------------------------


@every_vendor
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("preset", "status"), [("bad_gateway", 502), ("unavailable", 503), ("gateway_timeout", 504)]
)
def test_a_proxy_s_page(sandbox: Running, vendor: str, when: str, preset: str, status: int) -> None:
    call, _, _, made = CREATING[vendor]
    sandbox.fault(preset=preset, vendor=vendor, method="POST", path=".*(create|audiences)", when=when)
    answer = call(sandbox)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
    assert f"<h1>{status} " in answer.text
    assert len(sandbox.admin(made)) == (when == "after")


@every_vendor
@pytest.mark.parametrize("form", ["none", "seconds", "date"])
def test_the_three_forms_of_429(sandbox: Running, vendor: str, form: str) -> None:
    call, operation, _, made = CREATING[vendor]
    preset = "rate_limited" if form == "none" else f"rate_limited_{form}"
    sandbox.fault(preset=preset, operation=operation, wait=7)
    answer = call(sandbox)
    assert answer.status_code == 429
    given = answer.headers.get("Retry-After")
    if form == "date":
        assert given is not None
        ahead = parsedate_to_datetime(given) - datetime.now(timezone.utc)
        assert timedelta(seconds=3) < ahead <= timedelta(seconds=8)
    else:
        assert given == (None if form == "none" else "7")
    if vendor == "fanfare":
        assert answer.json().get("retryAfter") == (None if form == "none" else 7)
    assert len(sandbox.admin(made)) == 0


@every_vendor
@pytest.mark.parametrize("preset", ["html_instead", "empty", "truncated", "cut_off"])
def test_what_is_no_json_after_the_vendor_has_done_it(sandbox: Running, vendor: str, preset: str) -> None:
    call, operation, _, made = CREATING[vendor]
    whole = len(call(sandbox).content)
    sandbox.fault(preset=preset, operation=operation)
    if preset == "cut_off":
        with pytest.raises(BROKEN, match="IncompleteRead"):
            call(sandbox)
    else:
        answer = call(sandbox)
        good = {"commbox": 201}.get(vendor, 200)
        assert answer.status_code == {"empty": 204, "html_instead": 200}.get(preset, good)
        if preset == "empty":
            assert answer.content == b""
        else:
            with pytest.raises(requests.JSONDecodeError):
                answer.json()
        if preset == "truncated":
            assert abs(len(answer.content) - whole // 2) <= 2
    assert len(sandbox.admin(made)) == 2
    assert sandbox.entries(operation=operation)[-1]["success"] is True


@every_vendor
def test_a_field_of_the_real_answer_is_replaced_or_gone(sandbox: Running, vendor: str) -> None:
    call, operation, _, made = CREATING[vendor]
    holder = {"fanfare": ""}.get(vendor, "data.")
    for value in ("abc", None, [1], 7.5):
        sandbox.fault(operation=operation, action="change", set={f"{holder}id": value})
        shown = call(sandbox).json()
        assert (shown["data"] if holder else shown)["id"] == value
    sandbox.fault(operation=operation, action="change", remove=[f"{holder}id"])
    shown = call(sandbox).json()
    assert "id" not in (shown["data"] if holder else shown)
    assert len(sandbox.admin(made)) == 5
    assert [item["changed"] for item in sandbox.exchanges(operation=operation)] == [1] * 5
    # what leads nowhere changes nothing, and says so
    sandbox.fault(operation=operation, action="change", set={"no.such.place": 1})
    call(sandbox)
    assert sandbox.exchanges()[-1]["changed"] == 0


@every_vendor
def test_status_and_headers_of_the_real_answer(sandbox: Running, vendor: str) -> None:
    call, operation, _, _ = CREATING[vendor]
    sandbox.fault(
        operation=operation,
        action="change",
        status=202,
        headers={"X-Extra": "1"},
        remove_headers=["Content-Type"],
    )
    answer = call(sandbox)
    assert (answer.status_code, answer.headers["X-Extra"]) == (202, "1")
    assert "content-type" not in answer.headers
    assert sandbox.entries(operation=operation)[-1]["fault"]["status"] == 202


@pytest.mark.parametrize(
    "order",
    [
        {"preset": "no_such"},
        {"action": "change"},
        {"action": "change", "when": "before", "set": {"a": 1}},
        {"set": {"a": 1}},
        {"when": "during"},
        {"action": "refuse", "operation": "x"},
        {"action": "refuse", "times": 2},
        {"code": "SlowDown"},
        {"vendor": "s3", "code": "NoSuchCode"},
        {"exchange": 0},
    ],
)
def test_orders_that_make_no_sense(sandbox: Running, order: dict[str, Any]) -> None:
    answer = requests.post(f"{sandbox.info['admin_url']}/_sandbox/faults", json=order, timeout=5)
    assert answer.status_code == 422
    assert sandbox.admin("faults") == []


def test_every_preset_can_be_ordered(sandbox: Running) -> None:
    presets = sandbox.admin("faults/presets")
    for name, fields in presets.items():
        line = sandbox.fault(preset=name)
        assert {key: line[key] for key in fields} == fields
    assert len(sandbox.admin("faults")) == len(presets)
    sandbox.admin("faults", "DELETE")


# --- sessions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_session_really_ends(sandbox: Running, when: str) -> None:
    caller = sandbox.login()
    sandbox.fault(preset="session_expired", operation="createCampaign", when=when)
    first = caller.send("POST", "/campaign/create", json={"name": "c"})
    assert first.status_code == (401 if when == "before" else 200)
    if when == "before":
        assert first.json()["status"]["message"] == "Session expired, please log in"
    assert caller.send("GET", "/organisation/loadplatformaccounts").status_code == 401
    assert len(sandbox.admin("campaigns")) == (when == "after")
    assert sandbox.login().campaign()


def test_an_expired_session_answers_as_the_setting_says(sandbox: Running) -> None:
    sandbox.settings(expired_session_answer="envelope")
    caller = sandbox.login()
    sandbox.fault(preset="session_expired", vendor="digital_audience")
    answer = caller.send("GET", "/organisation/loadplatformaccounts")
    assert (answer.status_code, answer.json()["success"]) == (200, False)


@pytest.mark.parametrize("vendor", ["fanfare", "commbox"])
def test_a_key_is_refused_once(sandbox: Running, vendor: str) -> None:
    call, operation, _, made = CREATING[vendor]
    sandbox.fault(preset="session_expired", operation=operation)
    assert call(sandbox).status_code == 401
    assert sandbox.admin(made) == []
    (entry,) = sandbox.entries(operation=operation)
    assert (entry["fault"]["status"], entry["http_status"], entry["success"]) == (401, 401, False)
    assert call(sandbox).status_code in {200, 201}


# --- Digital Audience -----------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_success_false_with_200(sandbox: Running, when: str) -> None:
    sandbox.fault(preset="success_false", operation="createCampaign", when=when)
    answer = sandbox.login().send("POST", "/campaign/create", json={"name": "c"})
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    assert answer.json()["status"] == {"statusCode": 5, "message": "The request could not be completed"}
    assert len(sandbox.admin("campaigns")) == (when == "after")


def states(caller: Caller, audience: int, looks: int) -> list[str]:
    return [caller.load(audience)["audienceState"] for _ in range(looks)]


def test_states_unknown_and_backwards(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.upload(audience, emails("a"))
    wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
    sandbox.fault(preset="unknown_audience_state", times=2)
    assert states(caller, audience, 3) == ["ENRICHING", "ENRICHING", "READY"]
    sandbox.fault(preset="audience_state_back", skip=1, times=2)
    assert states(caller, audience, 4) == ["READY", "PROCESSING", "PROCESSING", "READY"]
    sandbox.fault(preset="audience_data_gone")
    shown = caller.load(audience)
    assert (shown["audienceState"], shown["dataUpdated"], shown["crmData"]) == ("NODATA", None, None)
    assert caller.load(audience)["crmData"]["size"] == 1


# --- Fanfare and CommBox --------------------------------------------------------------------------------


def test_import_status_unknown_and_backwards(sandbox: Running) -> None:
    fanfare = sandbox.fanfare()
    audience = fanfare.audience()
    fanfare.load(audience, b"email\r\na@example.com\r\n")
    sandbox.fault(preset="unknown_import_status", times=2)
    sandbox.fault(preset="import_status_back")
    seen = [fanfare.ok("GET", f"/audiences/{audience}/import")["status"] for _ in range(4)]
    assert seen == ["VALIDATING", "VALIDATING", "PENDING", "COMPLETED"]


def test_user_count_behind(sandbox: Running) -> None:
    commbox = sandbox.commbox()
    idents = [commbox.create("31612345678", "31612345679", name=name) for name in "ab"]
    wait_for(lambda: commbox.audiences()[idents[1]]["user_count"] == 2)
    sandbox.fault(preset="user_count_behind", times=2)
    seen = [[commbox.audiences()[ident]["user_count"] for ident in idents] for _ in range(2)]
    assert seen == [[0, 0], [2, 2]]


# --- S3 -------------------------------------------------------------------------------------------------


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("preset", "code", "status"),
    [
        ("s3_internal_error", "InternalError", 500),
        ("s3_slow_down", "SlowDown", 503),
        ("s3_conditional_conflict", "ConditionalRequestConflict", 409),
        ("s3_precondition_failed", "PreconditionFailed", 412),
        ("s3_time_skewed", "RequestTimeTooSkewed", 403),
        ("s3_access_denied", "AccessDenied", 403),
        ("s3_no_such_bucket", "NoSuchBucket", 404),
        ("s3_no_such_upload", "NoSuchUpload", 404),
        ("s3_request_timeout", "RequestTimeout", 400),
        ("s3_expired_token", "ExpiredToken", 400),
    ],
)
def test_s3_errors(sandbox: Running, preset: str, code: str, status: int, when: str) -> None:
    sandbox.fault(preset=preset, operation="PutObject", when=when)
    with pytest.raises(ClientError) as error:
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x", IfNoneMatch="*")
    assert code_of(error) == (code, status)
    assert error.value.response["Error"]["Message"]
    assert error.value.response["ResponseMetadata"]["RequestId"]
    assert len(sandbox.admin("objects")["objects"]) == (when == "after")
    assert sandbox.entries(kind="s3")[-1]["success"] is (when == "after")


def begun_upload(sandbox: Running) -> dict[str, Any]:
    upload = sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key="k")["UploadId"]
    part = sandbox.s3.upload_part(Bucket=sandbox.bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    return {
        "Bucket": sandbox.bucket,
        "Key": "k",
        "UploadId": upload,
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    }


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("preset", "code", "status"),
    [
        ("s3_precondition_failed", "PreconditionFailed", 412),
        ("s3_conditional_conflict", "ConditionalRequestConflict", 409),
        # an <Error> inside a 200, which boto3 takes for a 500
        ("s3_complete_error", "InternalError", 500),
    ],
)
def test_completing_an_upload_fails(sandbox: Running, preset: str, code: str, status: int, when: str) -> None:
    upload = begun_upload(sandbox)
    sandbox.fault(preset=preset, operation="CompleteMultipartUpload", when=when)
    with pytest.raises(ClientError) as error:
        sandbox.s3.complete_multipart_upload(**upload)
    assert code_of(error) == (code, status)
    assert len(sandbox.admin("objects")["objects"]) == (when == "after")
    entry = sandbox.entries(kind="s3")[-1]
    assert (entry["operation"], entry["success"]) == ("CompleteMultipartUpload", when == "after")
    if preset == "s3_complete_error":
        assert sandbox.exchanges()[-1]["status"] == 200


def test_parts_of_an_upload_that_is_gone_or_without_an_etag(sandbox: Running) -> None:
    upload = begun_upload(sandbox)
    part = {
        "Bucket": sandbox.bucket,
        "Key": "k",
        "UploadId": upload["UploadId"],
        "PartNumber": 2,
        "Body": b"y",
    }
    sandbox.fault(preset="s3_no_such_upload", operation="UploadPart")
    with pytest.raises(ClientError) as error:
        sandbox.s3.upload_part(**part)
    assert code_of(error) == ("NoSuchUpload", 404)
    sandbox.fault(preset="s3_without_etag", operation="UploadPart")
    assert "ETag" not in sandbox.s3.upload_part(**part)
    assert "ETag" in sandbox.s3.upload_part(**part)


def test_reads_of_s3_are_named_as_aws_names_them(sandbox: Running) -> None:
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x")
    upload = begun_upload(sandbox)["UploadId"]
    for operation, call in {
        "GetObject": lambda: sandbox.s3.get_object(Bucket=sandbox.bucket, Key="k"),
        "HeadObject": lambda: sandbox.s3.head_object(Bucket=sandbox.bucket, Key="k"),
        "ListObjectsV2": lambda: sandbox.s3.list_objects_v2(Bucket=sandbox.bucket),
        "ListMultipartUploads": lambda: sandbox.s3.list_multipart_uploads(Bucket=sandbox.bucket),
        "ListParts": lambda: sandbox.s3.list_parts(Bucket=sandbox.bucket, Key="k", UploadId=upload),
        "HeadBucket": lambda: sandbox.s3.head_bucket(Bucket=sandbox.bucket),
    }.items():
        sandbox.fault(preset="s3_slow_down", operation=operation)
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error)[1] == 503
        call()


def test_a_cut_off_object(sandbox: Running) -> None:
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"0123456789")
    sandbox.fault(preset="cut_off", vendor="s3", operation="GetObject")
    body = sandbox.s3.get_object(Bucket=sandbox.bucket, Key="k")["Body"]
    with pytest.raises(Exception, match=r"IncompleteRead|bytes read"):
        body.read()


@pytest.mark.parametrize(
    ("preset", "status"), [("s3_slow_down", 503), ("s3_access_denied", 403), ("s3_internal_error", 500)]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_presigned_uploads_fail_the_same_way(sandbox: Running, preset: str, status: int, when: str) -> None:
    fanfare = sandbox.fanfare()
    begun = fanfare.begin(fanfare.audience())
    sandbox.fault(preset=preset, path="imports/.*", when=when)
    assert put_csv(begun["uploadUrl"], b"email\r\na@example.com\r\n").status_code == status
    if when == "after":
        assert fanfare.imported(begun["audienceId"])["status"] == "COMPLETED"
    assert len(sandbox.admin("state")["written"]) == (when == "after")


# --- what a judge sees ----------------------------------------------------------------------------------


def test_the_state_of_everything(sandbox: Running) -> None:
    caller, commbox, fanfare = sandbox.login(), sandbox.commbox(), sandbox.fanfare()
    campaign = caller.campaign("twice")
    caller.campaign("twice")
    audience = caller.audience(campaign, name="a")
    segment = caller.activate(audience)
    key = sandbox.upload(audience, emails("x", "y"))
    theirs = commbox.create("31612345678")
    commbox.ok("PUT", f"/Audiences/{theirs}", files=phone_file("31612345678"))
    fans = fanfare.audience()
    fanfare.load(fans, b"email\r\na@example.com\r\nb@example.com\r\n")
    begun_upload(sandbox)
    wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
    state = wait_for(lambda: sandbox.admin("state"), lambda seen: not seen["due"])
    assert state["under_way"] == 0
    ours = state["vendors"]["digital_audience"]
    assert {"kind": "campaign", "parent": None, "name": "twice", "times": 2} in ours["created"]
    items = {(item["kind"], item["id"]): item for item in ours["items"]}
    assert items["audience", str(audience)]["members"] == 2
    assert items["segment", str(segment)]["parent"] == str(audience)
    (file,) = ours["files"]
    assert (file["key"], file["rows"], file["mode"], file["times"]) == (key, 2, "opt-in", 1)
    assert file["sha256"]
    (item,) = state["vendors"]["commbox"]["items"]
    assert (item["id"], item["members"]) == (theirs, 1)
    (taken,) = state["vendors"]["commbox"]["files"]
    assert (taken["audience_id"], taken["rows"], taken["times"]) == (theirs, 1, 2)
    kinds = {item["kind"]: item for item in state["vendors"]["fanfare"]["items"]}
    assert (kinds["audience"]["members"], kinds["import"]["state"]) == (2, "COMPLETED")
    assert {item["key"]: item["times"] for item in state["written"]}[key] == 1
    assert [upload["key"] for upload in state["open_uploads"]] == ["k"]
    shown = str(sandbox.admin("state", params={"hashes": True}))
    for raw in ("example.com", "31612345678"):
        assert raw not in shown


def test_equal_members_have_equal_digests(sandbox: Running) -> None:
    caller = sandbox.login()
    first, second, third = (caller.audience() for _ in range(3))
    for audience, people in {first: "ab", second: "ba", third: "ac"}.items():
        sandbox.upload(audience, emails(*people))
    state = wait_for(
        lambda: sandbox.admin("state", params={"hashes": True})["vendors"]["digital_audience"],
        lambda seen: all(item["members"] for item in seen["items"] if item["kind"] == "audience"),
    )
    found = {item["id"]: item for item in state["items"]}
    assert found[str(first)]["digest"] == found[str(second)]["digest"] != found[str(third)]["digest"]
    assert len(set(found[str(first)]["hashes"]) & set(found[str(third)]["hashes"])) == 1


def test_the_vendors_work_step_by_step(sandbox: Running) -> None:
    sandbox.settings(processing_delay=3600, activation_delay=3600, scan_interval=3600)
    caller = sandbox.login()
    audience = caller.audience()
    caller.activate(audience)
    sandbox.upload(audience, emails("a"))
    assert sandbox.admin("work", "POST", json={"steps": 0}) == {"ran": 0, "left": 1}
    assert states(caller, audience, 1) == ["PROCESSING"]
    assert sandbox.admin("work", "POST", json={"steps": 1}) == {"ran": 1, "left": 1}
    assert states(caller, audience, 1) == ["READY"]
    assert caller.load(audience)["activationStatus"] == "New"
    assert sandbox.admin("work", "POST", json={}) == {"ran": 1, "left": 0}
    assert caller.load(audience)["activationStatus"] == "Active"
