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

ROOT = Path(__file__).resolve().parents[3]
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

    def foreigner(self) -> Caller:
        return self.login("foreign@example.com", "foreign-password")

    def admin(self, path: str, method: str = "GET", **arguments: Any) -> Any:
        answer = requests.request(method, f"{self.api}/_sandbox/{path}", timeout=TIMEOUT, **arguments)
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
