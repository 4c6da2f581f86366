"""Client of Digital Audience against the sandbox, which is written from the vendor's pages alone.

Errors and secrets are tested in ``tests/unit/clients`` and ``tests/unit/digital_audience``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DEFAULT_PATHS, DigitalAudienceSettings
from scripts.local_stack import Sandbox

START = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
MakeClient = Callable[..., DigitalAudienceClient]


@pytest.fixture
def make_client(sandbox: Sandbox) -> MakeClient:
    def make(*, password: str | None = None, **options: Any) -> DigitalAudienceClient:
        settings = DigitalAudienceSettings.from_options(
            host=sandbox.info["api_url"],
            user_name=sandbox.info["username"],
            password=password or sandbox.info["password"],
            options=options,
        )
        return DigitalAudienceClient(settings)

    return make


def logins(sandbox: Sandbox) -> dict[str, int]:
    counts: dict[str, int] = sandbox.admin("summary")["logins"]
    return counts


def test_all_twelve_operations(make_client: MakeClient, sandbox: Sandbox) -> None:
    client = make_client()
    client.login()
    campaign = client.create_campaign("Always-on CRM")
    audience = client.create_crm_audience(
        name="Newsletter", campaign_id=campaign.id, description="All of them"
    )
    assert (audience.audience_state, audience.type, audience.campaign_id) == (
        "NODATA",
        "ONBOARDING",
        campaign.id,
    )
    client.update_audience(audience.id, name="Newsletter NL", description="The Dutch ones")
    loaded = client.load_audience(audience.id)
    assert (loaded.name, loaded.description) == ("Newsletter NL", "The Dutch ones")
    account = client.find_platform_account(platform="dv360", name="example nl")
    activation = client.activate_audience(
        audience_id=audience.id,
        account_id=account.id,
        name="segment",
        description="about it",
        start_date=START,
        end_date=START + timedelta(days=30),
    )
    assert [item.segment_id for item in client.load_audience_segments(audience.id)] == [activation.segment_id]
    later = START + timedelta(days=90, microseconds=123456)
    client.update_segment_end_date(activation.segment_id, later)
    segment = client.load_segment(activation.segment_id)
    assert segment.end_date == later
    assert segment.id != segment.segment_id
    client.delete_segment(activation.segment_id)
    assert client.load_audience_segments(audience.id) == []
    client.delete_audience(audience.id)
    with pytest.raises(NotFoundError, match=f"Audience {audience.id}"):
        client.load_audience(audience.id)
    called = {name for name, count in sandbox.admin("summary")["operations"].items() if count["success"] > 0}
    assert len(called) == len(DEFAULT_PATHS)
    assert logins(sandbox) == {"success": 1, "failure": 0}


def test_an_expired_session_is_renewed_once(make_client: MakeClient, sandbox: Sandbox) -> None:
    client = make_client()
    client.login()
    for number, answer in enumerate(("401", "403", "redirect", "envelope"), 1):
        sandbox.admin("settings", method="PATCH", json={"expired_session_answer": answer})
        sandbox.admin("expire-sessions", method="POST")

        client.create_campaign(f"only once {answer}")

        assert logins(sandbox)["success"] == 1 + number, answer
        assert sandbox.admin("summary")["operations"]["createCampaign"]["success"] == number, answer
