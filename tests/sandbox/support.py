"""Thin clients of a running sandbox, unrelated to the project's own clients, and builders of test data."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import boto3
import requests
from botocore.config import Config

from sandbox import ManualClock

TIMEOUT = 60.0
UNKNOWN_UUID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
BROKEN = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)

_T = TypeVar("_T")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def csv_bytes(header: str, *rows: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (header, *rows)).encode()


def emails(*names: str) -> bytes:
    return csv_bytes("email_sha256", *(sha(name) for name in names))


def wait_for(poll: Callable[[], _T], until: Callable[[_T], bool] = bool, timeout: float = TIMEOUT) -> _T:
    """Call ``poll`` until ``until`` holds for its result; fail with the last result after ``timeout``."""
    deadline = time.monotonic() + timeout
    while True:
        result = poll()
        if until(result):
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last result: {result}")
        time.sleep(0.02)


@contextmanager
def table() -> Iterator[Callable[[object, object, object], None]]:
    """Yield ``check(case, actual, expected)``; fail at the end with all cases that differ."""
    problems: list[str] = []

    def check(case: object, actual: object, expected: object) -> None:
        if actual != expected:
            problems.append(f"{case}: {actual!r}, expected {expected!r}")

    yield check
    assert not problems, "\n".join(problems)


def refusal(error: type[Exception], call: Callable[[], object]) -> str | None:
    """Return the message of the error that ``call`` raises; None if it raises none."""
    try:
        call()
    except error as refused:
        return str(refused)
    return None


@contextmanager
def in_background(call: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run ``call`` in a thread; yield a list that gets its result or error. The block's end waits for it."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield results
    thread.join(TIMEOUT)
    assert not thread.is_alive()


class Caller:
    """A logged-in user."""

    def __init__(self, base: str, session: requests.Session) -> None:
        self.base = base
        self.session = session

    def send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        arguments.setdefault("allow_redirects", False)
        return self.session.request(method, self.base + path, timeout=TIMEOUT, **arguments)

    def data(self, method: str, path: str, **arguments: Any) -> Any:
        """Send, require success in the vendor's sense, and return ``data``."""
        answer = self.send(method, path, **arguments)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"data", "status", "success"}
        assert body["status"] == {"statusCode": 0, "message": None}
        assert body["success"] is True
        return body["data"]

    def campaign(self, name: str = "campaign") -> int:
        return int(self.data("POST", "/campaign/create", json={"name": name})["id"])

    def audience(self, campaign: int | None = None, name: str = "list") -> int:
        body = {"name": name, "campaignId": self.campaign() if campaign is None else campaign}
        return int(self.data("POST", "/audience/createcrmaudience", json=body)["id"])

    def load(self, audience: int) -> Any:
        return self.data("GET", f"/audience/loadAudienceById/{audience}")

    def order(self, audience: int, **changes: Any) -> dict[str, Any]:
        return {
            "audienceId": audience,
            "accountId": 501,
            "name": "segment",
            "description": "all of them",
            "startDate": "2024-01-01T00:00:00Z",
            "endDate": "2094-12-31T23:59:59Z",
            **changes,
        }

    def activate(self, audience: int, **changes: Any) -> int:
        answer = self.data("POST", "/audience/activate", json=self.order(audience, **changes))
        return int(answer["segmentId"])


class Bearer:
    """A caller with a bearer key."""

    def __init__(self, base: str, key: str | None) -> None:
        self.base = base
        self.session = requests.Session()
        if key is not None:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        return self.session.request(method, self.base + path, timeout=TIMEOUT, **arguments)

    def ok(self, method: str, path: str, status: int = 200, **arguments: Any) -> Any:
        """Send, require ``status``, and return the JSON body."""
        answer = self.send(method, path, **arguments)
        assert answer.status_code == status, answer.text
        return answer.json()


class Fanfare(Bearer):
    """A caller of Fanfare."""

    def __init__(self, base: str, key: str | None, running: Running) -> None:
        super().__init__(base, key)
        self.running = running

    def audience(self, name: str = "Fans", type_: str = "STATIC_LIST", **more: Any) -> str:
        return str(self.ok("POST", "/audiences", json={"name": name, "type": type_, **more})["id"])

    def begin(self, audience: str) -> Any:
        return self.ok("POST", f"/audiences/{audience}/import")

    def imported(self, audience: str) -> Any:
        """Return the latest import."""
        return self.ok("GET", f"/audiences/{audience}/import")

    def load(self, audience: str, body: bytes) -> Any:
        """Import a file completely, and return the import."""
        answer = put_csv(self.begin(audience)["uploadUrl"], body)
        assert answer.status_code == 200, answer.text
        self.running.work()
        return self.imported(audience)

    def status(self, audience: str) -> Any:
        return self.ok("GET", f"/audiences/{audience}/status")

    def count(self, audience: str) -> int:
        return int(self.ok("GET", f"/audiences/{audience}/count")["count"])


def put_csv(url: str, body: bytes, **headers: str) -> requests.Response:
    """PUT to a presigned URL, as the vendor's page shows it."""
    return requests.put(url, data=body, headers={"Content-Type": "text/csv", **headers}, timeout=TIMEOUT)


class CommBox(Bearer):
    """A caller of CommBox."""

    def create(self, *phones: str, name: str = "NE_USA-above50") -> str:
        created = self.ok("POST", "/audiences", 201, data={"name": name}, files=phone_file(*phones))
        return str(created["data"]["id"])

    def audiences(self) -> dict[str, Any]:
        return {item["id"]: item for item in self.ok("GET", "/audiences")["data"]}


def phone_file(*phones: str) -> dict[str, Any]:
    """The form's file part."""
    return {"audience_file": ("audience.csv", csv_bytes("phone1", *phones), "text/csv")}


class Running:
    """A running sandbox."""

    def __init__(self, info: dict[str, str], clock: ManualClock | None = None) -> None:
        self.info = info
        self.clock = clock
        self.api = info["api_url"]
        self.bucket = info["bucket"]
        self.s3 = self.s3_client()

    def s3_client(self, access_key: str | None = None) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.info["s3_url"],
            region_name=self.info["region"],
            aws_access_key_id=access_key or self.info["aws_access_key_id"],
            aws_secret_access_key=self.info["aws_secret_access_key"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def anonymous(self) -> Caller:
        return Caller(self.api, requests.Session())

    def login(self, name: str | None = None, password: str | None = None) -> Caller:
        caller = self.anonymous()
        body = {
            "userName": name or self.info["username"],
            "password": password or self.info["password"],
        }
        assert caller.data("POST", "/account/login", json=body) is True
        return caller

    def fanfare(self, key: str | None = None, suffix: str = "") -> Fanfare:
        return Fanfare(self.info["fanfare_url"] + suffix, key or self.info["fanfare_secret_key"], self)

    def commbox(self, key: str | None = None) -> CommBox:
        return CommBox(self.info["commbox_url"], key or self.info["commbox_api_key"])

    def fault(self, **order: Any) -> Any:
        return self.admin("faults", "POST", json=order)

    def exchanges(self, **filters: Any) -> list[dict[str, Any]]:
        exchanges: list[dict[str, Any]] = self.admin("exchanges", params=filters)["exchanges"]
        return exchanges

    def held(self, fault: dict[str, Any]) -> list[int]:
        """Return the numbers of the exchanges that an order holds."""
        return [
            number for line in self.admin("faults") if line["id"] == fault["id"] for number in line["held"]
        ]

    def foreigner(self) -> Caller:
        return self.login("foreign@example.com", "foreign-password")

    def admin(self, path: str, method: str = "GET", **arguments: Any) -> Any:
        answer = requests.request(
            method, f"{self.info['admin_url']}/_sandbox/{path}", timeout=TIMEOUT, **arguments
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settings(self, **changes: Any) -> Any:
        return self.admin("settings", "PATCH", json=changes)

    def reset(self) -> None:
        self.admin("reset", "POST")

    def entries(self, **filters: Any) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.admin("journal", params=filters)["entries"]
        return entries

    def work(self, steps: int | None = None) -> Any:
        """Run the vendors' background actions, due or not: all of them, or ``steps``."""
        return self.admin("work", "POST", json={"steps": steps})

    def step(self, seconds: float = 0) -> None:
        """Advance the clock, and run the background actions that are due by then."""
        assert self.clock is not None
        self.clock.advance(seconds)
        self.work(0)

    def refused(self, path: str, method: str = "GET", **arguments: Any) -> int:
        """Send an admin request that is refused; return the HTTP status."""
        url = f"{self.info['admin_url']}/_sandbox/{path}"
        return requests.request(method, url, timeout=TIMEOUT, **arguments).status_code

    def keys(self) -> list[str]:
        """Return the keys of the objects in the customer's bucket."""
        return [item["key"] for item in self.admin("objects")["objects"]]

    def upload(
        self,
        audience: int,
        body: bytes,
        *,
        mode: str = "opt-in",
        name: str = "20251215_000000",
        **metadata: str,
    ) -> str:
        key = f"onboard/audience={audience}/{mode}/{name}.csv"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata)
        return key

    def load(self, audience: int, body: bytes, mode: str = "opt-in", name: str = "20251215_000000") -> str:
        """Upload a file of Digital Audience, and process it completely."""
        key = self.upload(audience, body, mode=mode, name=name)
        self.work()
        return key

    def events(self) -> list[dict[str, Any]]:
        """Return the journal's entries about objects that a vendor has processed."""
        return self.entries(kind="object")

    def members(self, audience: int) -> set[str]:
        """Return the e-mail hashes of the members."""
        return {item["email_sha256"] for item in self.admin(f"audiences/{audience}/members")["members"]}
