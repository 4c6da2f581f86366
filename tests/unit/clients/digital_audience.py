"""Operations of Digital Audience, as the vendor's pages show them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
from tests.unit.clients.contract import EMAIL, Operation, Platform
from tests.unit.platforms.digital_audience.conftest import PASSWORD, USER, Vendor, envelope

START = datetime(2026, 11, 20, tzinfo=timezone.utc)
END = datetime(2026, 12, 20, 23, 59, 59, tzinfo=timezone.utc)
NOT_AN_ID = (None, {}, "done", True, False, [], {"id": True}, {"id": EMAIL}, 0, -1)


def settings(host: str, *, secret: str = PASSWORD, **options: Any) -> DigitalAudienceSettings:
    return DigitalAudienceSettings.from_options(host=host, user_name=USER, password=secret, options=options)


OPERATIONS = {
    "create_campaign": Operation(
        lambda client: client.create_campaign("api_camp"),
        "POST /campaign/createcampaign",
        answer={"id": 1},
        sent={"name": "api_camp"},
        odd=(*NOT_AN_ID, {"campaignId": 5}),
    ),
    "create_crm_audience": Operation(
        lambda client: client.create_crm_audience(name="a", campaign_id=9, description="d"),
        "POST /audience/createcrmaudience",
        answer={"id": 1},
        sent={"name": "a", "campaignId": 9, "description": "d"},
        subject="Campaign 9: ",
        odd=NOT_AN_ID,
    ),
    "create_crm_audience without description": Operation(
        lambda client: client.create_crm_audience(name="a", campaign_id=9),
        "POST /audience/createcrmaudience",
        answer={"id": 1},
        sent={"name": "a", "campaignId": 9},
        subject="Campaign 9: ",
    ),
    "update_audience": Operation(
        lambda client: client.update_audience(7, name="a", description="d"),
        "POST /audience/update",
        sent={"id": 7, "name": "a", "description": "d"},
        subject="Audience 7: ",
    ),
    "update_audience without description": Operation(
        lambda client: client.update_audience(7, name="a"),
        "POST /audience/update",
        sent={"id": 7, "name": "a"},
        subject="Audience 7: ",
    ),
    "load_audience": Operation(
        lambda client: client.load_audience(7),
        "GET /audience/loadAudienceById/7",
        answer={"id": 7},
        subject="Audience 7: ",
        odd=NOT_AN_ID,
    ),
    "load_changed_audience": Operation(
        lambda client: client.load_changed_audience(7),
        "GET /audience/loadAudienceById/7",
        answer={"id": 7},
        subject="Audience 7: ",
        odd=NOT_AN_ID,
    ),
    "activate_audience": Operation(
        lambda client: client.activate_audience(
            audience_id=7, account_id=8, name="s", description="d", start_date=START, end_date=END
        ),
        "POST /audience/activate",
        answer={"flowId": "x", "segmentId": 5},
        sent={
            "audienceId": 7,
            "accountId": 8,
            "name": "s",
            "description": "d",
            "startDate": "2026-11-20T00:00:00Z",
            "endDate": "2026-12-20T23:59:59Z",
        },
        subject="Audience 7, account 8: ",
        odd=(*NOT_AN_ID, {"flowId": "a-b"}),
    ),
    "delete_audience": Operation(
        lambda client: client.delete_audience(7),
        "DELETE /audience/delete?audienceId=7",
        answer=True,
        subject="Audience 7: ",
    ),
    "load_audience_segments": Operation(
        lambda client: client.load_audience_segments(7),
        "GET /segment/audience:7",
        answer=[],
        subject="Audience 7: ",
        odd=({}, "none", [7], [{"id": 77}], {"segmentId": EMAIL}),
    ),
    "load_segment": Operation(
        lambda client: client.load_segment(5),
        "GET /Segment/loadsegmentbyid/5",
        answer={"segmentId": 5},
        subject="Segment 5: ",
        odd=(*NOT_AN_ID, {"id": 77}),
    ),
    "update_segment_end_date": Operation(
        lambda client: client.update_segment_end_date(5, END),
        "POST /segment/updateenddate",
        sent={"segmentid": 5, "endDate": "2026-12-20T23:59:59Z"},
        subject="Segment 5: ",
    ),
    "delete_segment": Operation(
        lambda client: client.delete_segment(5), "DELETE /segment/5", subject="Segment 5: "
    ),
    "load_platform_accounts": Operation(
        lambda client: client.load_platform_accounts(),
        "GET /organisation/loadplatformaccounts",
        answer=[],
        odd=({}, "none", [7], [{"id": EMAIL}]),
    ),
}

DIGITAL_AUDIENCE = Platform(
    name="Digital Audience",
    vendor=Vendor,
    client=DigitalAudienceClient,
    settings=settings,
    operations=OPERATIONS,
    wrap=envelope,
    refusal=lambda words: envelope({"email": EMAIL}, success=False, message=words),
    create="create_campaign",
    others=frozenset({"hint", "login", "find_platform_account"}),
    renewal=("Login as 'crm@example.com' refused", "Correct Login and Password of the connection"),
    sends_key=False,
)
