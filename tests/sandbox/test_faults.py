"""Ordered faults: answers in place of the vendor's, changed answers, presets, and filters."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from pydantic import ValidationError

from sandbox.clock import ManualClock
from sandbox.exchanges import Exchanges
from sandbox.faults import FaultBook, FaultOrder
from sandbox.faults.answers import change
from tests.sandbox.support import BROKEN, Caller, Running, phone_file, put_csv, refusal, table

pytestmark = pytest.mark.integration


def campaign(sandbox: Running) -> requests.Response:
    return sandbox.login().send("POST", "/campaign/create", json={"name": "c"})


def audience(sandbox: Running) -> requests.Response:
    return sandbox.fanfare().send("POST", "/audiences", json={"name": "Fans", "type": "STATIC_LIST"})


def list_of_phones(sandbox: Running) -> requests.Response:
    # long enough that a server which does not read it would reset the connection
    files = phone_file(*(f"316{number:08}" for number in range(20_000)))
    return sandbox.commbox().send("POST", "/audiences", data={"name": "list"}, files=files)


# vendor -> a call that creates, its operation, its path, the admin API's list of the created objects
CREATING: dict[str, tuple[Callable[[Running], requests.Response], str, str, str]] = {
    "digital_audience": (campaign, "createCampaign", "/campaign/create", "campaigns"),
    "fanfare": (audience, "fanfare.postAudiences", "/fanfare/api/audiences", "fanfare/audiences"),
    "commbox": (list_of_phones, "commbox.createAudience", "/commbox/audiences", "commbox/audiences"),
}
every_vendor = pytest.mark.parametrize("vendor", CREATING)


# --- answers --------------------------------------------------------------------------------------------


@every_vendor
def test_answer_before_or_after_the_vendor_replaces_its_answer(sandbox: Running, vendor: str) -> None:
    call, operation, path, made = CREATING[vendor]
    good = 201 if vendor == "commbox" else 200
    with table() as check:
        for when in ("before", "after"):
            done = when == "after"
            for chosen in ({"operation": operation}, {"method": "post", "path": path}):
                sandbox.reset()
                fault = sandbox.fault(vendor=vendor, status=503, when=when, **chosen)
                assert sandbox.admin("faults") == [fault]
                answer = call(sandbox)
                actual = answer.status_code, answer.headers["content-type"], len(sandbox.admin(made))
                check((when, chosen), actual, (503, "application/json", int(done)))
                entry = sandbox.entries(operation=operation)[-1]
                note = {"id": fault["id"], "action": "answer", "when": when, "status": 503}
                actual = entry["fault"], entry["success"], entry["vendor"], entry["http_status"]
                check((when, chosen), actual, (note, done, vendor, good if done else 503))
                assert sandbox.admin("faults") == []
                check((when, chosen), call(sandbox).status_code, good)
            for preset, status in (("bad_gateway", 502), ("unavailable", 503), ("gateway_timeout", 504)):
                sandbox.reset()
                sandbox.fault(preset=preset, operation=operation, when=when)
                answer = call(sandbox)
                shown = answer.status_code, answer.headers["content-type"], len(sandbox.admin(made))
                check((preset, when), shown, (status, "text/html", int(done)))
                check((preset, when), f"<h1>{status} " in answer.text, True)


@every_vendor
def test_rate_limit_presets_set_retry_after(sandbox: Running, vendor: str) -> None:
    call, operation, _, made = CREATING[vendor]
    with table() as check:
        for form in ("none", "seconds", "date"):
            preset = "rate_limited" if form == "none" else f"rate_limited_{form}"
            sandbox.fault(preset=preset, operation=operation, wait=599.5)
            asked = datetime.now(timezone.utc)
            answer = call(sandbox)
            retry_after = answer.headers.get("Retry-After")
            check(form, (answer.status_code, len(sandbox.admin(made))), (429, 0))
            if form == "date":
                ahead = parsedate_to_datetime(retry_after or "") - asked
                check(retry_after, timedelta(seconds=599) <= ahead <= timedelta(seconds=660), True)
            else:
                check(form, retry_after, None if form == "none" else "600")
            if vendor == "fanfare":
                check(form, answer.json().get("retryAfter"), None if form == "none" else 600)


def test_answer_without_body_has_the_vendors_error_body(sandbox: Running) -> None:
    shown: dict[tuple[str, int], Any] = {}
    for vendor, (call, operation, _, _) in CREATING.items():
        for status in (400, 401, 429, 500, 599):
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
    assert shown["commbox", 599]["description"] == "Error"
    status = {"statusCode": 3, "message": "Unauthorized"}
    assert shown["digital_audience", 401] == {"data": None, "status": status, "success": False}
    assert all(shown["digital_audience", status]["success"] is False for status in (400, 429, 500))


def test_answer_with_body_and_headers_returns_them(sandbox: Running) -> None:
    sandbox.fault(vendor="fanfare", status=502, body="<html>", headers={"Content-Type": "text/html"})
    answer = audience(sandbox)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (502, "<html>", "text/html")
    for body in ({"data": None}, None):
        sandbox.fault(vendor="commbox", status=200, body=body, headers={"Retry-After": "7"})
        answer = sandbox.commbox().send("GET", "/audiences")
        assert (answer.json(), answer.headers["Retry-After"]) == (body, "7")


# --- changes of the vendor's answer ---------------------------------------------------------------------


@every_vendor
def test_change_of_an_answer_alters_or_truncates_it(sandbox: Running, vendor: str) -> None:
    call, operation, _, made = CREATING[vendor]
    real = call(sandbox)
    good, whole, holder = real.status_code, len(real.content), "" if vendor == "fanfare" else "data."
    for preset, status in (("html_instead", 200), ("empty", 204), ("truncated", good)):
        sandbox.fault(preset=preset, operation=operation)
        answer = call(sandbox)
        assert answer.status_code == status
        with pytest.raises(requests.JSONDecodeError):
            answer.json()
        if preset == "truncated":
            assert abs(len(answer.content) - whole // 2) <= 2
        else:
            assert (answer.content == b"") is (preset == "empty")
    sandbox.fault(preset="cut_off", operation=operation)
    with pytest.raises(BROKEN, match="IncompleteRead"):
        call(sandbox)
    assert len(sandbox.admin(made)) == 5
    assert all(entry["success"] for entry in sandbox.entries(operation=operation))

    def shown() -> Any:
        answer = call(sandbox).json()
        return answer["data"] if holder else answer

    for value in ("abc", None, [1], 7.5):
        sandbox.fault(operation=operation, action="change", set={f"{holder}id": value})
        assert shown()["id"] == value
    sandbox.fault(operation=operation, action="change", remove=[f"{holder}id"])
    assert "id" not in shown()
    assert [item["changed"] for item in sandbox.exchanges(operation=operation)][-5:] == [1] * 5
    # a path without a match changes nothing, and the exchange shows it
    sandbox.fault(operation=operation, action="change", set={"no.such.place": 1})
    call(sandbox)
    assert sandbox.exchanges()[-1]["changed"] == 0
    fields = {"status": 202, "headers": {"X-Extra": "1"}, "remove_headers": ["Content-Type"]}
    sandbox.fault(operation=operation, action="change", **fields)
    answer = call(sandbox)
    assert (answer.status_code, answer.headers["X-Extra"]) == (202, "1")
    assert "content-type" not in answer.headers
    assert sandbox.entries(operation=operation)[-1]["fault"]["status"] == 202


def test_change_with_paths_counts_the_places() -> None:
    items = [{"n": 1}, {"n": 2}, {"m": 3}]
    real = {"data": {"id": 7, "items": items}, "success": True}
    cases: list[tuple[dict[str, Any], list[Any], int]] = [
        ({"set": {"data.items.*.n": 0}}, [{"n": 0}, {"n": 0}, {"m": 3, "n": 0}], 3),
        ({"set": {"data.items.1.n": 9}}, [{"n": 1}, {"n": 9}, {"m": 3}], 1),
        ({"set": {"data.items.-1": None}}, [{"n": 1}, {"n": 2}, None], 1),
        *(({"set": {path: 0}}, items, 0) for path in ("data.items.9.n", "data.items.9", "data.none.n")),
        *(({"set": {path: 0}}, items, 0) for path in ("data.id.n", "data.items.x")),
        ({"remove": ["success", "data.items.*.n"]}, [{}, {}, {"m": 3}], 3),
        ({"remove": ["data.items.*"]}, [], 3),
        ({"remove": ["data.items.0"]}, [{"n": 2}, {"m": 3}], 1),
        ({"remove": ["nothing", "data.items.3", "data.id.x"]}, items, 0),
    ]
    with table() as check:
        for fields, shown, places in cases:
            changed = change(FaultOrder(action="change", **fields), 200, {}, json.dumps(real).encode())
            check(fields, (json.loads(changed.body)["data"]["items"], changed.places), (shown, places))
            check(fields, dict(changed.headers)["content-length"], str(len(changed.body)))
        text = change(FaultOrder(action="change", set={"a": 1}), 200, {}, b"<xml/>")
        check("not JSON", (text.body, text.places), (b"<xml/>", 0))
        for way, length in (("length", "5"), ("connection", "10")):
            made = FaultOrder(action="change", truncate=way)  # type: ignore[arg-type]
            half = change(made, 200, {"content-length": "10", "etag": "x"}, b"0123456789")
            actual = half.body, half.closes, dict(half.headers)
            headers = {"etag": "x", "content-length": length}
            check(way, actual, (b"01234", way == "connection", headers))


# --- sessions and states --------------------------------------------------------------------------------


def test_expire_ends_sessions_or_refuses_the_key(sandbox: Running) -> None:
    for when, status in (("before", 401), ("after", 200)):
        sandbox.reset()
        caller = sandbox.login()
        sandbox.fault(preset="session_expired", operation="createCampaign", when=when)
        first = caller.send("POST", "/campaign/create", json={"name": "c"})
        assert first.status_code == status
        if when == "before":
            assert first.json()["status"]["message"] == "Session expired, please log in"
        assert caller.send("GET", "/organisation/loadplatformaccounts").status_code == 401
        assert len(sandbox.admin("campaigns")) == (when == "after")
        assert sandbox.login().campaign()
    sandbox.settings(expired_session_answer="envelope")
    caller = sandbox.login()
    sandbox.fault(preset="session_expired", vendor="digital_audience")
    answer = caller.send("GET", "/organisation/loadplatformaccounts")
    assert (answer.status_code, answer.json()["success"]) == (200, False)
    # a key is refused for one call
    for vendor in ("fanfare", "commbox"):
        call, operation, _, made = CREATING[vendor]
        sandbox.fault(preset="session_expired", operation=operation)
        assert call(sandbox).status_code == 401
        assert sandbox.admin(made) == []
        (entry,) = sandbox.entries(operation=operation)
        assert (entry["fault"]["status"], entry["http_status"], entry["success"]) == (401, 401, False)
        assert call(sandbox).status_code in {200, 201}


def test_vendor_presets_change_states(sandbox: Running) -> None:
    for when in ("before", "after"):
        sandbox.fault(preset="success_false", operation="createCampaign", when=when)
        answer = campaign(sandbox)
        assert (answer.status_code, answer.json()["success"]) == (200, False)
        assert answer.json()["status"] == {"statusCode": 5, "message": "The request could not be completed"}
        assert len(sandbox.admin("campaigns")) == (when == "after")
    caller, fanfare, commbox = sandbox.login(), sandbox.fanfare(), sandbox.commbox()
    target = caller.audience()
    sandbox.load(target, b"custom\r\nx\r\n")

    def states(polls: int, caller: Caller = caller) -> list[str]:
        return [caller.load(target)["audienceState"] for _ in range(polls)]

    sandbox.fault(preset="unknown_audience_state", times=2)
    assert states(3) == ["ENRICHING", "ENRICHING", "READY"]
    sandbox.fault(preset="audience_state_back", skip=1, times=2)
    assert states(4) == ["READY", "PROCESSING", "PROCESSING", "READY"]
    sandbox.fault(preset="audience_data_gone")
    shown = caller.load(target)
    assert (shown["audienceState"], shown["dataUpdated"], shown["crmData"]) == ("NODATA", None, None)
    assert caller.load(target)["crmData"]["size"] == 1
    fans = fanfare.audience()
    fanfare.load(fans, b"email\r\na@example.com\r\n")
    sandbox.fault(preset="unknown_import_status", times=2)
    sandbox.fault(preset="import_status_back")
    statuses = [fanfare.imported(fans)["status"] for _ in range(4)]
    assert statuses == ["VALIDATING", "VALIDATING", "PENDING", "COMPLETED"]
    idents = [commbox.create("31612345678", "31612345679", name=name) for name in "ab"]
    sandbox.work()
    sandbox.fault(preset="user_count_behind", times=2)
    counts = [[commbox.audiences()[ident]["user_count"] for ident in idents] for _ in range(2)]
    assert counts == [[0, 0], [2, 2]]


# --- orders ---------------------------------------------------------------------------------------------


def test_orders_with_invalid_fields_are_422(sandbox: Running) -> None:
    orders: list[dict[str, Any]] = [
        {"path": "("},
        {"status": 99},
        {"status": 600},
        {"times": 0},
        {"skip": -1},
    ]
    orders += [{"seconds": -1}, {"action": "explode"}, {"when": "later"}, {"unknown": 1}, {"exchange": 0}]
    orders += [{"preset": "no_such"}, {"when": "during"}, {"action": "drop", "when": "during"}]
    orders += [{"action": "change"}, {"action": "change", "when": "before", "set": {"a": 1}}]
    orders += [{"set": {"a": 1}}, {"action": "answer", "remove": ["x"]}]
    orders += [{"action": "refuse", **more} for more in ({"operation": "x"}, {"times": 2}, {"when": "after"})]
    orders += [{"code": "SlowDown"}, {"vendor": "s3", "code": "NoSuchCode"}]
    with table() as check:
        for order in orders:
            check(order, sandbox.refused("faults", "POST", json=order), 422)
        check("vendor", sandbox.refused("faults", "POST", json={"vendor": "nobody"}), 400)
        for order, reason in (
            ({"preset": "no_such"}, "unknown preset"),
            ({"vendor": "s3", "code": "Own"}, "missing status"),
            ({"code": "SlowDown"}, "only with vendor s3"),
        ):
            message = refusal(ValidationError, lambda order=order: FaultOrder(**order))
            check((reason, message), reason in (message or ""), True)
        presets = sandbox.admin("faults/presets")
        assert sandbox.admin("faults") == []
        for name, fields in presets.items():
            line = sandbox.fault(preset=name)
            check(name, {key: line[key] for key in fields}, fields)
        # the order's own fields override the preset
        line = sandbox.fault(preset="s3_slow_down", when="after")
        actual = line["vendor"], line["status"], line["code"], line["when"]
        check("more than the preset", actual, ("s3", 503, "SlowDown", "after"))
        check("own status", sandbox.fault(preset="rate_limited", status=503)["status"], 503)
        check("own code", sandbox.fault(vendor="s3", code="Own", status=418)["status"], 418)
    assert sandbox.admin("faults", "DELETE") == {"cleared": len(presets) + 3}


def arrive(book: FaultBook, vendor: str = "fanfare", path: str = "/fanfare/api/x") -> Any:
    operation, method = ("PutObject", "PUT") if vendor == "s3" else (f"{vendor}.do", "POST")
    fields = {"vendor": vendor, "operation": operation, "method": method, "path": path, "query": ""}
    return book.arrive(**fields, paths=[path, f"/b/{path}"] if vendor == "s3" else [path])


def test_order_fits_only_matching_calls() -> None:
    own, s3 = ("fanfare", "/fanfare/api/x"), ("s3", "imports/1")
    cases: list[tuple[dict[str, Any], tuple[str, str], bool]] = [
        *(({}, one, fits) for one, fits in ((own, True), (s3, False))),
        *(({"vendor": name}, own, name == "fanfare") for name in ("fanfare", "commbox")),
        *(({"operation": name}, own, name == "fanfare.do") for name in ("fanfare.do", "do")),
        *(({"method": name}, own, name == "post") for name in ("post", "GET")),
        *(({"path": path}, own, True) for path in ("/fanfare/api/x", "^/fanfare/.*$")),
        *(({"path": path}, own, False) for path in ("/fanfare", "x")),
        # an order for S3 needs the vendor
        ({"method": "PUT"}, s3, False),
        *(({"vendor": "s3", "path": path}, s3, True) for path in ("imports/.*", "/b/imports/1")),
        ({"vendor": "s3", "path": "imports/.*"}, ("s3", "k"), False),
    ]
    with table() as check:
        for order, (vendor, path), fits in cases:
            book = FaultBook()
            book.add(FaultOrder(**order))
            check((order, vendor), arrive(book, vendor, path)[1] is not None, fits)
        # with a filter, an order starts at its exchange
        book = FaultBook()
        book.add(FaultOrder(exchange=2, vendor="s3", times=2))
        hit = [arrive(book, name)[1] is not None for name in ("s3", "fanfare", "s3", "fanfare", "s3", "s3")]
        check("exchange", hit, [False, False, True, False, True, False])


def test_order_cleared_while_its_call_arrives_does_not_hold_the_call() -> None:
    with table() as check:
        for action in ("delay", "hold"):
            for drops in ((True,), (False,), (True, False)):
                book = FaultBook()
                book.add(FaultOrder(action=action, seconds=600))  # type: ignore[arg-type]
                exchange, fault = arrive(book)
                for drop in drops:
                    book.clear(drop=drop)
                with book.hold(fault, exchange.number) as wait:
                    # only a reset drops the call; cleared orders let the vendor process it
                    check((action, drops), (wait(), wait.dropped), (0, any(drops)))


def test_orders_with_skip_and_times_count_down(sandbox: Running) -> None:
    first = sandbox.fault(vendor="fanfare", method="GET", status=500, times=2, skip=1)
    sandbox.fault(method="GET", path=".*/audiences", status=503)
    fanfare = sandbox.fanfare()
    # a call that one order skips may fit the next order
    statuses, left = [], []
    for _ in range(5):
        statuses.append(fanfare.send("GET", "/audiences").status_code)
        left.append(
            [(line["id"] - first["id"], line["times"], line["skip"]) for line in sandbox.admin("faults")]
        )
    assert statuses == [503, 500, 500, 200, 200]
    assert left == [[(0, 2, 0)], [(0, 1, 0)], [], [], []]
    sandbox.fault(vendor="fanfare", times=9)
    assert sandbox.commbox().send("GET", "/audiences").status_code == 200
    assert sandbox.admin("faults", "DELETE") == {"cleared": 1}
    sandbox.fault(vendor="fanfare", times=9)
    sandbox.reset()
    assert (sandbox.admin("faults"), fanfare.send("GET", "/audiences").status_code) == ([], 200)


def test_order_with_exchange_hits_that_number(sandbox: Running) -> None:
    caller = sandbox.login()

    def everything() -> list[Any]:
        statuses = [caller.send("POST", "/campaign/create", json={"name": "c"}).status_code]
        statuses.append(sandbox.fanfare().send("GET", "/audiences?first=1&search=anna").status_code)
        try:
            sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x")
            sandbox.s3.head_object(Bucket=sandbox.bucket, Key="k")
            statuses.append(200)
        except ClientError as error:
            statuses.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return statuses

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
    for number in (1, 2, 3, 4):
        fault = sandbox.fault(exchange=number, status=503)
        place = min(number, 3)
        assert everything() == [503 if one == place else 200 for one in (1, 2, 3)]
        hit = [item for item in sandbox.exchanges() if item["fault"]]
        assert (hit[-1]["fault"]["id"], hit[-1]["status"]) == (fault["id"], 503)
        assert sandbox.admin("faults") == []
    assert len(sandbox.exchanges(vendor="s3", operation="PutObject")) == 5
    pending = sandbox.fanfare().begin(sandbox.fanfare().audience())
    put_csv(pending["uploadUrl"], b"email\r\na@example.com\r\n")
    last = sandbox.exchanges()[-1]
    assert (last["operation"], last["status"]) == ("PutObject", 200)
    assert pending["uploadUrl"].partition("X-Amz-Signature=")[2] not in str(sandbox.exchanges())
    assert "X-Amz-Signature=..." in last["query"]
    sandbox.reset()
    assert sandbox.admin("exchanges") == {"exchanges": [], "last": 0, "under_way": 0}
    sandbox.upload(1, b"x")
    assert sandbox.exchanges()[0]["number"] == 1


def test_exchanges_above_the_limit_drop_the_oldest() -> None:
    exchanges = Exchanges(ManualClock(), 2)
    fields = {"vendor": "s3", "operation": "X", "method": "GET", "path": "/b"}
    for _ in range(3):
        exchange = exchanges.begin(**fields, query="partNumber=3&uploadId=s&x")
    assert exchange.query == "partNumber=3&uploadId=...&x"
    assert not exchanges.wait_idle(0)
    exchanges.end(exchange)
    page = exchanges.page()
    assert ([item.number for item in page.exchanges], page.last, page.under_way) == ([2, 3], 3, 2)
    exchanges.clear()
    assert exchanges.page().model_dump() == {"exchanges": [], "last": 0, "under_way": 2}


# --- S3 -------------------------------------------------------------------------------------------------

S3_ERRORS = {
    "s3_internal_error": ("InternalError", 500),
    "s3_slow_down": ("SlowDown", 503),
    "s3_conditional_conflict": ("ConditionalRequestConflict", 409),
    "s3_precondition_failed": ("PreconditionFailed", 412),
    "s3_time_skewed": ("RequestTimeTooSkewed", 403),
    "s3_access_denied": ("AccessDenied", 403),
    "s3_no_such_bucket": ("NoSuchBucket", 404),
    "s3_no_such_upload": ("NoSuchUpload", 404),
    "s3_request_timeout": ("RequestTimeout", 400),
    "s3_expired_token": ("ExpiredToken", 400),
}


def s3_error(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call()
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def pending_upload(sandbox: Running) -> dict[str, Any]:
    """Begin a multipart upload; return the arguments that complete it."""
    place = {"Bucket": sandbox.bucket, "Key": "k"}
    upload = sandbox.s3.create_multipart_upload(**place)["UploadId"]
    part = sandbox.s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    return {**place, "UploadId": upload, "MultipartUpload": parts}


def test_s3_presets_return_s3_errors(sandbox: Running) -> None:
    # an <Error> inside a 200, which boto3 treats as a 500
    completing = {name: S3_ERRORS[name] for name in ("s3_precondition_failed", "s3_conditional_conflict")}
    completing["s3_complete_error"] = ("InternalError", 500)
    with table() as check:
        for when in ("before", "after"):
            done = when == "after"
            for preset, expected in S3_ERRORS.items():
                sandbox.reset()
                sandbox.fault(preset=preset, operation="PutObject", when=when)
                with pytest.raises(ClientError) as error:
                    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x", IfNoneMatch="*")
                answer = error.value.response
                actual = answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
                check((preset, when), actual, expected)
                assert answer["Error"]["Message"]
                assert answer["ResponseMetadata"]["RequestId"]
                entry = sandbox.entries(kind="s3")[-1]
                check((preset, when), (len(sandbox.keys()), entry["success"]), (int(done), done))
            for preset, expected in completing.items():
                sandbox.reset()
                upload = pending_upload(sandbox)
                sandbox.fault(preset=preset, operation="CompleteMultipartUpload", when=when)
                actual = s3_error(lambda upload=upload: sandbox.s3.complete_multipart_upload(**upload))
                check((preset, when), actual, expected)
                entry = sandbox.entries(kind="s3")[-1]
                actual = entry["operation"], entry["success"], len(sandbox.keys())
                check((preset, when), actual, ("CompleteMultipartUpload", done, int(done)))
                if preset == "s3_complete_error":
                    check((preset, when), sandbox.exchanges()[-1]["status"], 200)
            # a presigned upload fails the same way
            for preset in ("s3_slow_down", "s3_access_denied", "s3_internal_error"):
                sandbox.reset()
                fanfare = sandbox.fanfare()
                pending = fanfare.begin(fanfare.audience())
                sandbox.fault(preset=preset, path="imports/.*", when=when)
                answer = put_csv(pending["uploadUrl"], b"email\r\n" + b"a@example.com\r\n" * 20_000)
                code, status = S3_ERRORS[preset]
                actual = answer.status_code, f"<Code>{code}</Code>" in answer.text
                check(("presigned", preset, when), actual, (status, True))
                sandbox.work()
                state = fanfare.imported(pending["audienceId"])["status"]
                check(("presigned", preset, when), state, "COMPLETED" if done else "PENDING")
                check(("presigned", preset, when), len(sandbox.admin("state")["written"]), int(done))


def test_s3_orders_use_aws_operation_names(sandbox: Running) -> None:
    place = {"Bucket": sandbox.bucket, "Key": "k"}
    sandbox.s3.put_object(**place, Body=b"0123456789")
    upload = pending_upload(sandbox)["UploadId"]
    part = {**place, "UploadId": upload, "PartNumber": 2, "Body": b"y"}
    with table() as check:
        for operation, call in {
            "GetObject": lambda: sandbox.s3.get_object(**place),
            "HeadObject": lambda: sandbox.s3.head_object(**place),
            "ListObjectsV2": lambda: sandbox.s3.list_objects_v2(Bucket=sandbox.bucket),
            "ListMultipartUploads": lambda: sandbox.s3.list_multipart_uploads(Bucket=sandbox.bucket),
            "ListParts": lambda: sandbox.s3.list_parts(**place, UploadId=upload),
            "HeadBucket": lambda: sandbox.s3.head_bucket(Bucket=sandbox.bucket),
            "UploadPart": lambda: sandbox.s3.upload_part(**part),
        }.items():
            sandbox.fault(preset="s3_slow_down", operation=operation)
            check(operation, s3_error(call)[1], 503)
            call()
    sandbox.fault(preset="s3_without_etag", operation="UploadPart")
    assert "ETag" not in sandbox.s3.upload_part(**part)
    assert "ETag" in sandbox.s3.upload_part(**part)
    sandbox.fault(preset="session_expired", vendor="s3")
    assert s3_error(lambda: sandbox.s3.upload_part(**part)) == ("ExpiredToken", 400)
    sandbox.fault(preset="cut_off", vendor="s3", operation="GetObject")
    body = sandbox.s3.get_object(**place)["Body"]
    with pytest.raises(Exception, match=r"IncompleteRead|bytes read"):
        body.read()
    # an order with a path applies only to matching keys
    sandbox.fault(vendor="s3", operation="PutObject", path=f"/{sandbox.bucket}/onboard/.*", status=500)
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="elsewhere", Body=b"x")
    put = {"Bucket": sandbox.bucket, "Key": "onboard/x", "Body": b"x"}
    assert s3_error(lambda: sandbox.s3.put_object(**put)) == ("InternalError", 500)
    assert sandbox.keys() == ["elsewhere", "k"]
