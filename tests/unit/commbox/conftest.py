"""CommBox, as small as a test needs it, over real HTTP; and its objects as the vendor's pages show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.retry

from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.settings import CommBoxSettings
from tests.unit.http.loopback import Action, Loopback, Reply, Seen

KEY = "hunter22hunter22"


def static(
    audience_id: Any = "31234", name: str = "Service alerts", count: Any = 3, **more: Any
) -> dict[str, Any]:
    """A static audience of the page "Get audiences"."""
    return {
        "id": audience_id,
        "name": name,
        "created_time": "2026-02-11T12:00:00.000Z",
        "user_count": count,
        "type": "Static",
        **more,
    }


def dynamic(audience_id: Any = "31235", name: str = "Everybody", **more: Any) -> dict[str, Any]:
    """A dynamic audience of the page "Get audiences"."""
    return {
        "id": audience_id,
        "name": name,
        "created_time": "2026-02-11T12:00:00.000Z",
        "type": "Dynamic",
        **more,
    }


def envelope(
    data: Any = None, *, status: Any = 200, description: str = "Operation successful"
) -> dict[str, Any]:
    """What every answer is wrapped in."""
    body = {"status": status, "description": description, "response_time": "2025-02-06T07:51:52.258Z"}
    return body if data is None else {**body, "data": data}


class Vendor:
    """Answers ``METHOD /path`` with what the test says."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Seen], Action] | Action] = {}
        self.default: Action = Reply(404, envelope(status=404, description="Not Found"))
        self.server = Loopback(self.answer)

    def answer(self, seen: Seen) -> Action:
        if seen.headers.get("Authorization") != f"Bearer {KEY}":
            return Reply(401, envelope(status=401, description="Unauthorized"))
        found = self.answers.get(f"{seen.method} {seen.path}", self.default)
        return found(seen) if callable(found) else found

    def lists(self, *audiences: dict[str, Any], status: Any = "200") -> None:
        """What the list of audiences shows."""
        self.answers["GET /audiences"] = Reply(
            200, envelope(list(audiences), status=status, description="Audiences retrieved")
        )

    @property
    def seen(self) -> list[Seen]:
        return self.server.seen


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
def settings_of(vendor: Vendor) -> Callable[..., CommBoxSettings]:
    """Settings for the vendor, with options of the connection."""

    def make(*, key: str = KEY, **options: Any) -> CommBoxSettings:
        found: CommBoxSettings = CommBoxSettings.from_options(
            host=vendor.server.url, key=key, options=options
        )
        return found

    return make


@pytest.fixture
def client(settings_of: Callable[..., CommBoxSettings]) -> CommBoxClient:
    return CommBoxClient(settings_of(read_timeout=2))
