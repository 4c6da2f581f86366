"""Faults on order, the rate window, and the check of presigned addresses."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from sandbox.app import JournalMiddleware, call_details
from sandbox.clock import ManualClock
from sandbox.exchanges import Exchanges
from sandbox.faults import FaultBook, FaultMiddleware, FaultOrder, answer_of
from sandbox.faults.answers import change
from sandbox.faults.presets import PRESETS
from sandbox.journal import ApiCall, Journal
from sandbox.presigned import S3RefusedError, UploadUrls, check, is_presigned, refuse_second_signature
from sandbox.ratelimit import CallsPerMinute, retry_after
from sandbox.vendor import ErrorAnswer, Vendor

# --- the book -------------------------------------------------------------------------------------------


def take(book: FaultBook, vendor: str = "fanfare", method: str = "POST", path: str = "/fanfare/api/x") -> Any:
    return book.take(vendor=vendor, operation=f"{vendor}.do", method=method, paths=[path])


def order(book: FaultBook, **fields: Any) -> int:
    return book.add(FaultOrder(**fields)).id


def test_an_order_counts_down() -> None:
    book = FaultBook()
    first = order(book, times=2, skip=1)
    assert take(book) is None
    assert [(line.id, line.times, line.skip) for line in book.lines()] == [(first, 2, 0)]
    assert take(book).id == first
    assert [line.times for line in book.lines()] == [1]
    assert take(book).id == first
    assert book.lines() == []
    assert take(book) is None


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"vendor": "fanfare"}, True),
        ({"vendor": "commbox"}, False),
        ({"operation": "fanfare.do"}, True),
        ({"operation": "do"}, False),
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"path": "/fanfare/api/x"}, True),
        ({"path": "^/fanfare/.*$"}, True),
        ({"path": "/fanfare"}, False),
        ({"path": "x"}, False),
    ],
)
def test_what_an_order_fits(fields: dict[str, Any], fits: bool) -> None:
    book = FaultBook()
    order(book, **fields)
    assert (take(book) is not None) is fits


def test_s3_has_to_be_named() -> None:
    book = FaultBook()
    order(book, method="PUT")
    assert take(book, "s3", "PUT", "key") is None
    order(book, vendor="s3", path="imports/.*")
    assert book.take(vendor="s3", operation="PutObject", method="PUT", paths=["k", "/b/k"]) is None
    assert book.take(vendor="s3", operation="PutObject", method="PUT", paths=["imports/1", "/b/imports/1"])


def test_the_oldest_order_comes_first_and_a_call_gets_one() -> None:
    book = FaultBook()
    first, second = order(book, status=500), order(book, status=503)
    assert [take(book).id, take(book).id] == [first, second]
    order(book)
    assert (book.clear(), book.lines(), take(book)) == (1, [], None)


def test_clearing_ends_a_delay() -> None:
    book = FaultBook()
    pause = book.delay(600)
    assert 0 < pause() <= 0.05
    book.clear()
    assert pause() == 0
    assert book.delay(0)() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "("},
        {"status": 99},
        {"status": 600},
        {"times": 0},
        {"skip": -1},
        {"seconds": -1},
        {"action": "explode"},
        {"when": "later"},
        {"unknown": 1},
    ],
)
def test_an_order_that_makes_no_sense(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FaultOrder(**fields)


def test_what_is_answered() -> None:
    def own(status: int) -> ErrorAnswer:
        return ErrorAnswer(b"own %d" % status, {"content-type": "text/x"})

    assert answer_of(FaultOrder(status=418), own) == (418, {"content-type": "text/x"}, b"own 418")
    status, headers, body = answer_of(FaultOrder(status=200, body={"a": None}, headers={"X-A": "1"}), own)
    assert (status, json.loads(body)) == (200, {"a": None})
    assert headers == {"content-type": "application/json", "x-a": "1"}
    assert answer_of(FaultOrder(body=None), own)[2] == b"null"
    assert answer_of(FaultOrder(body="<html>", headers={"Content-Type": "text/html"}), own)[1:] == (
        {"content-type": "text/html"},
        b"<html>",
    )


def test_a_preset_is_fields_and_what_is_given_wins() -> None:
    made = FaultOrder(preset="s3_slow_down", when="after")
    assert (made.vendor, made.status, made.code, made.when) == ("s3", 503, "SlowDown", "after")
    assert FaultOrder(preset="rate_limited", status=503).status == 503
    with pytest.raises(ValidationError, match="preset is none of"):
        FaultOrder(preset="no_such")
    for name, fields in PRESETS.items():
        shown = FaultOrder(preset=name).model_dump()
        assert {key: shown[key] for key in fields} == fields


def test_a_code_of_s3_gives_its_status() -> None:
    assert FaultOrder(vendor="s3", code="NoSuchUpload").status == 404
    assert FaultOrder(vendor="s3", code="Own", status=418).status == 418
    with pytest.raises(ValidationError, match="status is needed"):
        FaultOrder(vendor="s3", code="Own")
    with pytest.raises(ValidationError, match="only with vendor s3"):
        FaultOrder(code="SlowDown")


@pytest.mark.parametrize(
    ("form", "header", "in_body"),
    [
        ("vendor", "30", 30),
        ("none", None, None),
        ("seconds", "45", 45),
        ("date", "Mon, 15 Dec 2025 11:37:01 GMT", 45),
    ],
)
def test_the_forms_of_retry_after(form: Any, header: str | None, in_body: int | None) -> None:
    def own(status: int) -> ErrorAnswer:
        return ErrorAnswer(
            b'{"error": "x", "retryAfter": 30}', {"content-type": "application/json", "retry-after": "30"}
        )

    now = datetime(2025, 12, 15, 11, 36, 16, tzinfo=timezone.utc)
    made = FaultOrder(status=429, retry_after=form, wait=44.2)
    _, headers, body = answer_of(made, own, now)
    assert (headers.get("retry-after"), json.loads(body).get("retryAfter")) == (header, in_body)


def test_pages_and_answers_without_a_body() -> None:
    def own(status: int) -> ErrorAnswer:
        return ErrorAnswer(b"own", {"content-type": "text/x"})

    status, headers, body = answer_of(FaultOrder(status=502, page="html"), own)
    assert (status, headers, b"<h1>502 Bad Gateway</h1>" in body) == (
        502,
        {"content-type": "text/html"},
        True,
    )
    assert answer_of(FaultOrder(status=204, body="x"), own) == (204, {}, b"")


# --- the vendor's answer, changed -----------------------------------------------------------------------

REAL = {"data": {"id": 7, "items": [{"n": 1}, {"n": 2}, {"m": 3}]}, "success": True}


def changed(**fields: Any) -> tuple[Any, int]:
    made = FaultOrder(action="change", **fields)
    found = change(made, 200, {"content-type": "application/json"}, json.dumps(REAL).encode())
    assert dict(found.headers)["content-length"] == str(len(found.body))
    return json.loads(found.body), found.places


def test_what_set_reaches() -> None:
    assert changed(set={"data.id": "abc"})[0]["data"]["id"] == "abc"
    assert changed(set={"data.new": None}) == ({**REAL, "data": {**REAL["data"], "new": None}}, 1)  # type: ignore[dict-item]
    items, places = changed(set={"data.items.*.n": 0})
    assert ([item.get("n") for item in items["data"]["items"]], places) == ([0, 0, 0], 3)
    assert changed(set={"data.items.1.n": 9})[0]["data"]["items"][1] == {"n": 9}
    assert changed(set={"data.items.-1": None})[0]["data"]["items"][-1] is None
    for path in ("data.items.9.n", "data.items.9", "data.none.n", "data.id.n", "data.items.x"):
        assert changed(set={path: 0}) == (REAL, 0)


def test_what_remove_reaches() -> None:
    assert changed(remove=["success", "data.items.*.n"]) == (
        {"data": {"id": 7, "items": [{}, {}, {"m": 3}]}},
        3,
    )
    assert changed(remove=["data.items.*"])[0]["data"]["items"] == []
    assert changed(remove=["data.items.0"])[0]["data"]["items"] == [{"n": 2}, {"m": 3}]
    assert changed(remove=["nothing", "data.items.3", "data.id.x"]) == (REAL, 0)


@pytest.mark.parametrize(("way", "length"), [("length", 5), ("connection", 10)])
def test_a_body_cut_in_half(way: Any, length: int) -> None:
    made = FaultOrder(action="change", truncate=way)
    found = change(made, 200, {"content-length": "10", "etag": "x"}, b"0123456789")
    assert (found.body, found.closes) == (b"01234", way == "connection")
    assert dict(found.headers) == {"etag": "x", "content-length": str(length)}


def test_an_answer_that_is_no_json_stays_as_it_is() -> None:
    found = change(FaultOrder(action="change", set={"a": 1}), 200, {}, b"<xml/>")
    assert (found.body, found.places) == (b"<xml/>", 0)


# --- exchanges ------------------------------------------------------------------------------------------


def arrive(book: FaultBook, vendor: str = "fanfare") -> Any:
    return book.arrive(vendor=vendor, operation="do", method="GET", path="/x", query="", paths=["/x"])


def test_an_order_aimed_by_number_is_for_s3_too() -> None:
    book = FaultBook(Exchanges(ManualClock(), 10))
    arrive(book)
    order(book, exchange=2)
    assert arrive(book, "s3")[1] is None
    assert arrive(book, "s3")[1] is not None
    assert book.lines() == []


def test_with_a_filter_it_begins_at_the_number() -> None:
    book = FaultBook(Exchanges(ManualClock(), 10))
    order(book, exchange=2, vendor="s3", times=2)
    hit = [arrive(book, vendor)[1] is not None for vendor in ("s3", "fanfare", "s3", "fanfare", "s3", "s3")]
    assert hit == [False, False, True, False, True, False]


def test_exchanges_are_numbered_and_forgotten() -> None:
    exchanges = Exchanges(ManualClock(), 2)
    made = [
        exchanges.begin(
            vendor="s3", operation="X", method="GET", path="/b", query="partNumber=3&uploadId=s&x"
        )
        for _ in range(3)
    ]
    exchanges.end(made[0])
    page = exchanges.page()
    assert ([item.number for item in page.exchanges], page.last, page.under_way) == ([2, 3], 3, 2)
    assert page.exchanges[0].query == "partNumber=3&uploadId=...&x"
    assert not exchanges.wait_idle(0)
    exchanges.clear()
    assert exchanges.page().model_dump() == {"exchanges": [], "last": 0, "under_way": 2}
    for item in made[1:]:
        exchanges.end(item)
    assert exchanges.wait_idle(0)
    assert made[1].status == 0


# --- what waits -----------------------------------------------------------------------------------------


def held(book: FaultBook, **fields: Any) -> tuple[Any, Any]:
    ident = order(book, action="hold", **fields)
    exchange, fault = arrive(book)
    assert fault.id == ident
    return fault, book.hold(fault, exchange.number)


def test_a_hold_ends_when_it_is_released() -> None:
    book = FaultBook()
    fault, wait = held(book)
    assert (wait() > 0, [line.held for line in book.lines()]) == (True, [[1]])
    assert arrive(book)[1] is None
    assert (book.release(fault.id), wait(), wait.dropped) == (1, 0, False)
    book.let_go(fault, 1)
    assert (book.lines(), book.release(fault.id)) == ([], None)


@pytest.mark.parametrize("drop", [False, True])
def test_clearing_ends_a_hold(drop: bool) -> None:
    book = FaultBook()
    fault, wait = held(book)
    assert (book.clear(drop=drop), wait(), wait.dropped) == (1, 0, drop)
    book.let_go(fault, 1)
    assert book.lines() == []


def test_what_was_cleared_while_it_arrived_does_not_wait() -> None:
    book = FaultBook()
    order(book, action="delay", seconds=600)
    exchange, fault = arrive(book)
    book.clear(drop=True)
    wait = book.hold(fault, exchange.number)
    assert (wait(), wait.dropped) == (0, True)


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ({"action": "hold"}, True),
        ({"action": "delay"}, False),
        ({"action": "hold", "abandoned": "done"}, False),
        ({"action": "delay", "abandoned": "dropped"}, True),
        ({"action": "delay", "when": "after"}, True),
    ],
)
def test_whether_a_call_outlives_its_caller(fields: dict[str, Any], ends: bool) -> None:
    assert FaultOrder(**fields).ends_abandoned is ends


# --- refusing -------------------------------------------------------------------------------------------


class FakeDoor:
    def __init__(self) -> None:
        self.moves: list[str] = []

    def close(self) -> None:
        self.moves.append("close")

    def open(self) -> None:
        self.moves.append("open")


def test_a_port_is_closed_before_the_answer_before() -> None:
    book = FaultBook()
    door = book.doors["api"] = FakeDoor()
    ident = order(book, action="refuse", exchange=2, seconds=600)
    assert (door.moves, book.before_answer("api")) == ([], False)
    arrive(book)
    assert door.moves == []
    assert (book.before_answer("api"), book.before_answer("s3"), door.moves) == (True, False, ["close"])
    assert book.release(ident) == 1
    assert (door.moves, book.before_answer("api"), book.lines()) == (["close", "open"], False, [])


def test_a_refusal_ends_by_itself() -> None:
    book = FaultBook()
    door = book.doors["s3"] = FakeDoor()
    order(book, action="refuse", vendor="s3", seconds=0.01)
    deadline = time.monotonic() + 5
    while door.moves != ["close", "open"]:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert book.lines() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "refuse", "operation": "x"},
        {"action": "refuse", "when": "after"},
        {"action": "change", "when": "before", "status": 200},
        {"action": "change"},
        {"action": "answer", "remove": ["x"]},
        {"action": "drop", "when": "during"},
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FaultOrder(**fields)


# --- the layer ------------------------------------------------------------------------------------------


class Layers:
    """Journal and faults around a vendor that counts what it does."""

    def __init__(self, **fields: Any) -> None:
        self.journal = Journal(ManualClock(), limit=10)
        self.done = 0
        self.cut = 0
        self.sent: list[Message] = []
        self.noted_when_sent: list[int] = []
        book = FaultBook()
        book.add(FaultOrder(**fields))
        self.app = JournalMiddleware(
            FaultMiddleware(self._vendor, book, [self._as_vendor()], "/_"), self.journal
        )

    def _as_vendor(self) -> Vendor:
        return Vendor(
            name="fanfare",
            mount="/fanfare",
            app=self._vendor,
            admin=APIRouter(),
            consumers=(),
            reset=lambda: None,
            expire_sessions=lambda: 0,
            operation_of=lambda method, path: f"fanfare.{method}{path}",
            error=lambda status: ErrorAnswer(b"own"),
        )

    async def _vendor(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.done += 1
        details = call_details(scope)
        details.vendor, details.operation, details.ids["id"] = "fanfare", "fanfare.do", "x"
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    def run(self) -> ApiCall:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            self.noted_when_sent.append(len(self.journal.entries()[0]))
            self.sent.append(message)

        async def cut() -> None:
            self.noted_when_sent.append(len(self.journal.entries()[0]))
            self.cut += 1

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/fanfare/x",
            "query_string": b"",
            "sandbox.cut": cut,
        }
        asyncio.run(self.app(scope, receive, send))
        (entry,) = self.journal.entries()[0]
        assert isinstance(entry, ApiCall)
        return entry

    @property
    def answer(self) -> tuple[int, bytes]:
        start, body = self.sent
        return start["status"], body["body"]


def test_an_answer_before_the_vendor_has_seen_the_call() -> None:
    layers = Layers(status=503, operation="fanfare.POST/x")
    entry = layers.run()
    assert (layers.done, layers.answer) == (0, (503, b"own"))
    assert (entry.http_status, entry.success, entry.vendor, entry.operation) == (
        503,
        False,
        "fanfare",
        "fanfare.POST/x",
    )
    assert entry.fault is not None
    assert entry.fault.model_dump() == {"id": 1, "action": "answer", "when": "before", "status": 503}


def test_an_answer_after_the_vendor_has_done_it() -> None:
    layers = Layers(status=502, when="after")
    entry = layers.run()
    assert (layers.done, layers.answer) == (1, (502, b"own"))
    assert (entry.http_status, entry.success, entry.ids) == (201, True, {"id": "x"})
    assert entry.fault is not None
    assert entry.fault.status == 502


@pytest.mark.parametrize(("when", "status"), [("before", 0), ("after", 201)])
def test_a_connection_that_is_cut(when: str, status: int) -> None:
    layers = Layers(action="drop", when=when)
    entry = layers.run()
    assert (layers.done, layers.cut, layers.sent) == (int(when == "after"), 1, [])
    assert (entry.http_status, entry.success) == (status, when == "after")
    assert layers.noted_when_sent == [1]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delay_changes_nothing_else(when: str) -> None:
    layers = Layers(action="delay", when=when, seconds=0.01)
    entry = layers.run()
    assert (layers.done, layers.answer) == (1, (201, b"done"))
    assert (entry.http_status, entry.success) == (201, True)
    assert entry.fault is not None
    assert entry.fault.status is None


# --- the rate window ------------------------------------------------------------------------------------


def test_a_minute_begins_with_a_call() -> None:
    clock = ManualClock()
    calls, start = CallsPerMinute(clock), clock.now()
    first = calls.take("a", 2)
    assert (first.allowed, first.remaining, first.limit, first.reset) == (
        True,
        1,
        2,
        start + timedelta(seconds=60),
    )
    clock.advance(30.5)
    assert calls.take("a", 2).remaining == 0
    refused = calls.take("a", 2)
    assert (refused.allowed, refused.remaining, refused.wait) == (False, 0, 30)
    assert calls.take("b", 2).allowed
    clock.advance(29.5)
    fresh = calls.take("a", 2)
    assert (fresh.allowed, fresh.remaining, fresh.wait) == (True, 1, 60)
    calls.clear()
    assert calls.take("a", 2).remaining == 1
    assert not calls.take("none", 0).allowed


def test_both_forms_of_retry_after() -> None:
    now = datetime(2025, 12, 15, 11, 36, 16, tzinfo=timezone.utc)
    assert retry_after("seconds", 30, now) == "30"
    assert retry_after("date", 44, now) == "Mon, 15 Dec 2025 11:37:00 GMT"


# --- presigned addresses --------------------------------------------------------------------------------

SECRET = "upload-secret"


def environ(url: str, method: str = "PUT", content_type: str = "text/csv", **more: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "REQUEST_METHOD": method,
        "RAW_URI": f"{parts.path}?{parts.query}",
        "QUERY_STRING": parts.query,
        "HTTP_HOST": parts.netloc,
        "CONTENT_TYPE": content_type,
        **more,
    }


@pytest.fixture(scope="module")
def url() -> str:
    urls = UploadUrls(
        endpoint_url="http://127.0.0.1:4567",
        region="eu-west-1",
        bucket="own",
        access_key="fanfare-uploads",
        secret=SECRET,
    )
    return urls.make("imports/a b/1.csv", 899.5)


def refusal(request: dict[str, Any], secret: str = SECRET, later: float = 0) -> tuple[int, str]:
    with pytest.raises(S3RefusedError) as error:
        check(request, secret, datetime.now(timezone.utc) + timedelta(seconds=later))
    return error.value.status, error.value.code


def test_a_good_address_is_good_until_it_expires(url: str) -> None:
    check(environ(url), SECRET, datetime.now(timezone.utc))
    assert "X-Amz-Expires=900" in url
    assert refusal(environ(url), later=901) == (403, "AccessDenied")


def test_whatever_is_signed_has_to_be_as_it_was(url: str) -> None:
    for changed in (
        environ(url, method="GET"),
        environ(url, content_type="application/octet-stream"),
        environ(url, content_type=""),
        environ(url.replace("1.csv", "2.csv")),
        environ(url.replace("Expires=900", "Expires=901")),
        environ(f"{url}&x=1"),
        environ(url, HTTP_HOST="elsewhere:4567"),
        environ(url[:-1] + ("0" if url[-1] != "0" else "1")),
    ):
        assert refusal(changed) == (403, "SignatureDoesNotMatch")
    assert refusal(environ(url), secret="another") == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "part",
    [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ],
)
def test_an_address_with_a_part_missing(url: str, part: str) -> None:
    base, _, query = url.partition("?")
    rest = "&".join(pair for pair in query.split("&") if not pair.startswith(part + "="))
    assert refusal(environ(f"{base}?{rest}")) == (400, "AuthorizationQueryParametersError")


def test_an_authorization_header_beside_the_signature_is_refused(url: str) -> None:
    refuse_second_signature(environ(url))
    with pytest.raises(S3RefusedError, match="Only one auth mechanism allowed") as error:
        refuse_second_signature(environ(url, HTTP_AUTHORIZATION="Bearer sk_test_x"))
    assert (error.value.status, error.value.code) == (400, "InvalidArgument")


def test_what_counts_as_presigned() -> None:
    assert is_presigned({"X-Amz-Signature": "x"})
    assert is_presigned({"Signature": "x"})
    assert not is_presigned({"uploadId": "x"})


def test_the_older_form_is_checked_for_its_end() -> None:
    now = datetime.now(timezone.utc)
    base = "http://127.0.0.1/own/k?AWSAccessKeyId=a&Signature=s&Expires="
    check(environ(f"{base}{int(now.timestamp()) + 60}"), SECRET, now)
    assert refusal(environ(f"{base}{int(now.timestamp())}")) == (403, "AccessDenied")
    assert refusal(environ(f"{base}soon")) == (403, "AccessDenied")
