"""Fanfare over real HTTP with scripted answers, and its objects as the vendor's pages show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from tests.unit.http.conftest import no_pauses  # noqa: F401 - an autouse fixture
from tests.unit.http.loopback import Reply
from tests.unit.http.vendor import BearerVendor

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


class Vendor(BearerVendor):
    """Fanfare with scripted answers."""

    key = KEY
    unknown = Reply(404, {"error": "Audience not found"})
    unauthorized = Reply(401, {"error": "Unauthorized"})


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
    return FanfareClient(settings_of(max_requests_per_minute=1_000_000))
