"""CommBox over real HTTP with scripted answers, and its objects as the vendor's pages show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.connection import CommBoxSettings
from tests.unit.http.conftest import no_pauses  # noqa: F401 - an autouse fixture
from tests.unit.http.loopback import Reply
from tests.unit.http.vendor import BearerVendor

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
    """Envelope of every answer."""
    body = {"status": status, "description": description, "response_time": "2025-02-06T07:51:52.258Z"}
    return body if data is None else {**body, "data": data}


class Vendor(BearerVendor):
    """CommBox with scripted answers."""

    key = KEY
    unknown = Reply(404, envelope(status=404, description="Not Found"))
    unauthorized = Reply(401, envelope(status=401, description="Unauthorized"))

    def lists(self, *audiences: dict[str, Any], status: Any = "200") -> None:
        """Answer the list of audiences with these."""
        self.answers["GET /audiences"] = Reply(
            200, envelope(list(audiences), status=status, description="Audiences retrieved")
        )


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
    return CommBoxClient(settings_of(max_requests_per_minute=1_000_000))
