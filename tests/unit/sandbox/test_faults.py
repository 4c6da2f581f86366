"""Faults on order, the rate window, and the check of presigned addresses."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from sandbox.app import JournalMiddleware, call_details
from sandbox.clock import ManualClock
from sandbox.faults import FaultBook, FaultMiddleware, FaultOrder, answer_of
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
