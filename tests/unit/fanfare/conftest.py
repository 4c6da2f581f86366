"""Fanfare, as small as a test needs it, over real HTTP; and its objects as the vendor's pages show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.retry

from audience_onboarding.fanfare.client import FanfareClient
from audience_onboarding.fanfare.settings import FanfareSettings
from tests.unit.http.loopback import Action, Loopback, Reply, Seen

KEY = "sk_test_hunter22hunter22"
ORGANIZATION = "5f2b1a3c-0d44-4b50-8888-8dd257360aaa"
AUDIENCE = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
IMPORT = "7d1f2a9e-0d44-4b50-8888-8dd25736052b"


def audience_json(**changes: Any) -> dict[str, Any]:
    """An audience of the API description."""
    return {
        "archived": False,
        "createdAt": "2023-11-07T05:31:56Z",
        "createdBy": "user_1",
        "id": AUDIENCE,
        "imports": [],
        "name": "Presale fans",
        "organizationId": ORGANIZATION,
        "rules": [],
        "type": "STATIC_LIST",
        "description": None,
        "groupId": None,
        "metadata": {},
        "primarySyncSource": None,
        "refreshIntervalSeconds": None,
        **changes,
    }


def import_json(**changes: Any) -> dict[str, Any]:
    """An import of the API description."""
    return {
        "archived": False,
        "audienceId": AUDIENCE,
        "createdAt": "2023-11-07T05:31:56Z",
        "createdBy": "user_1",
        "errorCount": 0,
        "id": IMPORT,
        "organizationId": ORGANIZATION,
        "processedConsumers": 0,
        "progress": 0,
        "s3Key": f"imports/{ORGANIZATION}/{AUDIENCE}/1701432000000.csv",
        "status": "PENDING",
        "errors": None,
        "totalConsumers": None,
        **changes,
    }


def page(*items: dict[str, Any], end: str | None = None) -> dict[str, Any]:
    """A page of a list."""
    return {"data": list(items), "pageInfo": {"startCursor": None, "endCursor": end}}


class Vendor:
    """Answers ``METHOD /path`` (with or without the query) with what the test says."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Seen], Action] | Action] = {}
        self.default: Action = Reply(404, {"error": "Audience not found"})
        self.server = Loopback(self.answer)

    def answer(self, seen: Seen) -> Action:
        if seen.headers.get("Authorization") != f"Bearer {KEY}":
            return Reply(401, {"error": "Unauthorized"})
        asked = f"{seen.method} {seen.path}"
        found = self.answers.get(asked, self.answers.get(asked.partition("?")[0], self.default))
        return found(seen) if callable(found) else found

    @property
    def seen(self) -> list[Seen]:
        return self.server.seen

    @property
    def calls(self) -> list[str]:
        """All requests, as ``METHOD /path?query``."""
        return [f"{seen.method} {seen.path}" for seen in self.seen]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Retries of the transport come at once, and nobody's netrc is read."""
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    with made.server:
        yield made


@pytest.fixture
def settings_of(vendor: Vendor) -> Callable[..., FanfareSettings]:
    """Settings for the vendor, with options of the connection."""

    def make(*, key: str = KEY, **options: Any) -> FanfareSettings:
        found: FanfareSettings = FanfareSettings.from_options(
            host=vendor.server.url, key=key, options=options
        )
        return found

    return make


@pytest.fixture
def client(settings_of: Callable[..., FanfareSettings]) -> FanfareClient:
    return FanfareClient(settings_of(read_timeout=2))
