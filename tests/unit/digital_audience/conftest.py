"""Digital Audience, as small as a test needs it, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.retry

from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from tests.unit.http.loopback import Action, Loopback, Reply, Seen

PASSWORD = "hunter22-hunter22"


def envelope(
    data: Any = None, *, success: Any = True, code: Any = 0, message: str | None = None
) -> dict[str, Any]:
    """What the vendor's pages call the response envelope."""
    return {"data": data, "status": {"statusCode": code, "message": message}, "success": success}


class Vendor:
    """Checks the session cookie, and answers each path with what the test says.

    ``logins`` counts the attempts; ``sessions`` are the cookies that are good now.
    """

    def __init__(self) -> None:
        self.logins = 0
        self.sessions: set[str] = set()
        self.refusal: Callable[[], Action] = lambda: Reply(401, envelope(success=False, message="No session"))
        self.login_answer: Callable[[Seen], Action] = self.log_in
        self.answers: dict[str, Callable[[Seen], Action] | Action] = {}
        self.server = Loopback(self.answer)

    def log_in(self, seen: Seen) -> Action:
        if seen.json != {"userName": "crm@example.com", "password": PASSWORD}:
            return Reply(200, envelope(False, success=False, code=1, message="Wrong password"))
        session = f"session-{self.logins:04}-secret"
        self.sessions.add(session)
        return Reply(200, envelope(True), {"Set-Cookie": f"digitalAudience={session}; Path=/; HttpOnly"})

    def answer(self, seen: Seen) -> Action:
        if seen.path.endswith("/account/login"):
            self.logins += 1
            return self.login_answer(seen)
        if cookie_of(seen) not in self.sessions:
            return self.refusal()
        found = self.answers.get(
            seen.path, Reply(404, envelope(success=False, code=404, message="No such path"))
        )
        return found(seen) if callable(found) else found

    def end_sessions(self) -> None:
        self.sessions.clear()

    @property
    def calls(self) -> list[Seen]:
        """All requests but the logins."""
        return [seen for seen in self.server.seen if not seen.path.endswith("/account/login")]


def cookie_of(seen: Seen) -> str:
    found = re.fullmatch(r"digitalAudience=(\S+)", seen.headers.get("Cookie", ""))
    return found[1] if found else ""


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
def settings_of(vendor: Vendor) -> Callable[..., DigitalAudienceSettings]:
    """Settings for the vendor, with options of the connection."""

    def make(*, password: str = PASSWORD, **options: Any) -> DigitalAudienceSettings:
        return DigitalAudienceSettings.from_options(
            host=vendor.server.url, user_name="crm@example.com", password=password, options=options
        )

    return make


@pytest.fixture
def client(settings_of: Callable[..., DigitalAudienceSettings]) -> DigitalAudienceClient:
    return DigitalAudienceClient(settings_of(read_timeout=2))
