"""A sandbox started from the command line, and a thin client, unrelated to the project's own clients."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
import requests
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "include" / "sandbox"
TIMEOUT = 15.0

_T = TypeVar("_T")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def csv_bytes(header: str, *rows: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (header, *rows)).encode()


def emails(*names: str) -> bytes:
    return csv_bytes("email_sha256", *(sha(name) for name in names))


def wait_for(look: Callable[[], _T], until: Callable[[_T], bool] = bool, timeout: float = TIMEOUT) -> _T:
    """Look again and again until ``until`` holds; fail with what was seen last."""
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if until(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last seen: {seen}")
        time.sleep(0.02)


def start(ready_file: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SANDBOX), "--ready-file", str(ready_file), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ready_file.parent,
    )


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, str(SANDBOX), *options], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


@contextmanager
def started(ready_file: Path, *options: str) -> Iterator[Running]:
    process = start(ready_file, *options)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=TIMEOUT)[1]
        yield Running(json.loads(line), process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=TIMEOUT)


class Caller:
    """A logged-in user."""

    def __init__(self, base: str, session: requests.Session) -> None:
        self.base = base
        self.session = session

    def send(self, method: str, path: str, **arguments: Any) -> requests.Response:
        arguments.setdefault("allow_redirects", False)
        return self.session.request(method, self.base + path, timeout=TIMEOUT, **arguments)

    def data(self, method: str, path: str, **arguments: Any) -> Any:
        """Send, insist on success in the vendor's sense, and return ``data``."""
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
        """Send, insist on ``status``, and return the JSON body."""
        answer = self.send(method, path, **arguments)
        assert answer.status_code == status, answer.text
        return answer.json()


class Fanfare(Bearer):
    """A caller of Fanfare."""

    def audience(self, name: str = "Fans", type_: str = "STATIC_LIST", **more: Any) -> str:
        return str(self.ok("POST", "/audiences", json={"name": name, "type": type_, **more})["id"])

    def begin(self, audience: str) -> Any:
        return self.ok("POST", f"/audiences/{audience}/import")

    def imported(self, audience: str) -> Any:
        """Wait until the latest import has ended."""
        return wait_for(
            lambda: self.ok("GET", f"/audiences/{audience}/import"),
            lambda seen: seen["status"] not in {"PENDING", "PROCESSING"},
        )

    def load(self, audience: str, body: bytes) -> Any:
        """Import a file and see it through."""
        answer = put_csv(self.begin(audience)["uploadUrl"], body)
        assert answer.status_code == 200, answer.text
        return self.imported(audience)

    def count(self, audience: str) -> int:
        return int(self.ok("GET", f"/audiences/{audience}/count")["count"])


def put_csv(url: str, body: bytes, **headers: str) -> requests.Response:
    """PUT to a presigned address, as the vendor's page shows it."""
    return requests.put(url, data=body, headers={"Content-Type": "text/csv", **headers}, timeout=TIMEOUT)


class CommBox(Bearer):
    """A caller of CommBox."""

    def create(self, *phones: str, name: str = "NE_USA-above50") -> str:
        found = self.ok("POST", "/audiences", 201, data={"name": name}, files=phone_file(*phones))
        return str(found["data"]["id"])

    def audiences(self) -> dict[str, Any]:
        return {item["id"]: item for item in self.ok("GET", "/audiences")["data"]}


def phone_file(*phones: str) -> dict[str, Any]:
    """The form's file part."""
    return {"audience_file": ("audience.csv", csv_bytes("phone1", *phones), "text/csv")}


class Running:
    """A running sandbox."""

    def __init__(self, info: dict[str, str], process: subprocess.Popen[str] | None = None) -> None:
        self.info = info
        self.process = process
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
        return Fanfare(self.info["fanfare_url"] + suffix, key or self.info["fanfare_secret_key"])

    def commbox(self, key: str | None = None) -> CommBox:
        return CommBox(self.info["commbox_url"], key or self.info["commbox_api_key"])

    def fault(self, **order: Any) -> Any:
        return self.admin("faults", "POST", json=order)

    def exchanges(self, **filters: Any) -> list[dict[str, Any]]:
        exchanges: list[dict[str, Any]] = self.admin("exchanges", params=filters)["exchanges"]
        return exchanges

    def held(self, fault: dict[str, Any]) -> list[int]:
        """Numbers of the exchanges that an order is holding up now."""
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

    def object_event(self, key: str) -> dict[str, Any]:
        """Wait until the vendor has looked at ``key``."""
        return wait_for(lambda: [event for event in self.entries(kind="object") if event["key"] == key])[-1]

    def members(self, audience: int) -> list[dict[str, str]]:
        members: list[dict[str, str]] = self.admin(f"audiences/{audience}/members")["members"]
        return members
