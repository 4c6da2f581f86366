"""Digital Audience over real HTTP with scripted answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
from tests.unit.http.conftest import no_pauses  # noqa: F401 - an autouse fixture
from tests.unit.http.loopback import Action, Reply, Seen
from tests.unit.http.vendor import ScriptedVendor

USER, PASSWORD = "crm@example.com", "hunter22-hunter22"


def envelope(
    data: Any = None, *, success: Any = True, code: Any = 0, message: str | None = None
) -> dict[str, Any]:
    """Response envelope of the vendor's pages."""
    return {"data": data, "status": {"statusCode": code, "message": message}, "success": success}


class Vendor(ScriptedVendor):
    """Digital Audience with scripted answers; checks the session cookie.

    ``logins`` counts the attempts; ``sessions`` are the valid cookies.
    """

    unknown = Reply(404, envelope(success=False, code=404, message="No such path"))

    def __init__(self) -> None:
        super().__init__()
        self.logins = 0
        self.sessions: set[str] = set()
        self.refusal: Callable[[], Action] = lambda: Reply(401, envelope(success=False, message="No session"))
        self.login_answer: Callable[[Seen], Action] = self.log_in

    def log_in(self, seen: Seen) -> Action:
        if seen.json != {"userName": USER, "password": PASSWORD}:
            return Reply(200, envelope(False, success=False, code=1, message="Wrong password"))
        session = f"session-{self.logins:04}-secret"
        self.sessions.add(session)
        return Reply(200, envelope(True), {"Set-Cookie": f"digitalAudience={session}; Path=/; HttpOnly"})

    def refusal_of(self, seen: Seen) -> Action | None:
        """Return the answer to a login, or to a wrong cookie."""
        if seen.path.endswith("/account/login"):
            self.logins += 1
            return self.login_answer(seen)
        return None if cookie_of(seen) in self.sessions else self.refusal()

    def end_sessions(self) -> None:
        self.sessions.clear()

    @property
    def calls(self) -> list[Seen]:
        """All requests except logins."""
        return [seen for seen in self.server.seen if not seen.path.endswith("/account/login")]


def cookie_of(seen: Seen) -> str:
    found = re.fullmatch(r"digitalAudience=(\S+)", seen.headers.get("Cookie", ""))
    return found[1] if found else ""


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
            host=vendor.server.url, user_name=USER, password=password, options=options
        )

    return make


@pytest.fixture
def client(settings_of: Callable[..., DigitalAudienceSettings]) -> DigitalAudienceClient:
    return DigitalAudienceClient(settings_of(max_requests_per_minute=1_000_000))
