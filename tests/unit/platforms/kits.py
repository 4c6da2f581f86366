"""The three vendors as the tests of shared behaviour see them: classes, settings, and a client without a vendor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk import Asset

from audience_onboarding.platforms import commbox, digital_audience, fanfare
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.connection import CommBoxSettings
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.links import CommBoxPortalLink
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.links import FanfarePortalLink

HOST = "https://vendor.example"
PORTAL = "https://portal/{audience_id}"
ASSET = Asset("audience/list")


@dataclass(frozen=True)
class Kit:
    """A vendor.

    :ivar client_type: of which :meth:`client` makes a mock with the same signatures.
    """

    name: str
    package: ModuleType
    hook: type[Any]
    client_type: type[Any]
    settings: Any
    link: type[Any]

    def client(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Give all hooks of the vendor one mock as their client."""
        made = create_autospec(self.client_type, instance=True)
        made.settings = self.settings
        monkeypatch.setattr(self.hook, "client", property(lambda hook: made))
        return made

    def portal(self, task: Any) -> str:
        """Return the link to the portal that a task shows."""
        return str(self.link().get_link(task, ti_key=None))


DIGITAL_AUDIENCE = Kit(
    "digital_audience",
    digital_audience,
    DigitalAudienceHook,
    DigitalAudienceClient,
    DigitalAudienceSettings(base_url=HOST, user_name="u", password="p", portal_url=PORTAL),
    DigitalAudiencePortalLink,
)
FANFARE = Kit(
    "fanfare",
    fanfare,
    FanfareHook,
    FanfareClient,
    FanfareSettings(base_url=HOST, key="sk_test_1", portal_url=PORTAL),
    FanfarePortalLink,
)
COMMBOX = Kit(
    "commbox",
    commbox,
    CommBoxHook,
    CommBoxClient,
    CommBoxSettings(base_url=HOST, key="k", portal_url=PORTAL),
    CommBoxPortalLink,
)
KITS = (DIGITAL_AUDIENCE, FANFARE, COMMBOX)


def as_stored(value: Any) -> Any:
    """Return a value as Airflow reads it back from its database; the value has to be JSON."""
    stored = json.loads(json.dumps(value))
    assert stored == value
    return stored


def report(**changes: Any) -> dict[str, Any]:
    """Return the result of an upload, as every vendor's operator begins it, without content id and time."""
    return {
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
        "invalid_values": {},
        "unusable_values": {},
        "hash_mismatches": 0,
        "ignored_columns": 0,
        "files": 1,
        "rejects_file": None,
        "guards": {"ignored": False, "failed": []},
        **changes,
    }


def without_content_and_time(found: dict[str, Any]) -> dict[str, Any]:
    """Check the values of an upload's result that are other ones each time, and return the rest."""
    assert len(found["content_id"]) == 64
    assert datetime.fromisoformat(found["sent_at"]).tzinfo is not None
    return {name: value for name, value in found.items() if name not in {"content_id", "sent_at"}}
