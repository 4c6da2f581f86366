"""Links from a task to what it is about."""

from __future__ import annotations

import pytest

from audience_onboarding.digital_audience import links
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from tests.fakes import task_context


def settings(portal_url: str) -> DigitalAudienceSettings:
    return DigitalAudienceSettings(
        base_url="https://vendor.example", user_name="u", password="p", portal_url=portal_url
    )


def test_the_portals_link_is_pushed() -> None:
    context = task_context()

    DigitalAudiencePortalLink.push(
        context, settings("https://portal/{audience_id}?s={segment_id}"), audience_id=7, segment_id=5
    )

    assert context["ti"].pushed == {DigitalAudiencePortalLink().xcom_key: "https://portal/7?s=5"}


def test_without_a_template_nothing_is_pushed() -> None:
    context = task_context()

    DigitalAudiencePortalLink.push(context, settings(""), audience_id=7)

    assert context["ti"].pushed == {}


@pytest.mark.parametrize(
    ("region", "endpoint", "link"),
    [
        (
            "eu-west-1",
            "https://s3.eu-west-1.amazonaws.com",
            "https://s3.console.aws.amazon.com/s3/object/b?prefix=onboard/x.csv&region=eu-west-1",
        ),
        (None, None, "https://s3.console.aws.amazon.com/s3/object/b?prefix=onboard/x.csv"),
        ("us-east-1", "http://127.0.0.1:9400/", "http://127.0.0.1:9400/b/onboard/x.csv"),
    ],
)
def test_the_object_is_linked_where_it_lies(region: str | None, endpoint: str | None, link: str) -> None:
    context = task_context()

    S3ObjectLink.push(context, bucket="b", key="onboard/x.csv", region=region, endpoint=endpoint)

    assert context["ti"].pushed == {S3ObjectLink().xcom_key: link}


@pytest.mark.parametrize(("stored", "link"), [("https://portal/7", "https://portal/7"), (None, "")])
def test_a_link_is_what_was_pushed_or_empty(
    monkeypatch: pytest.MonkeyPatch, stored: str | None, link: str
) -> None:
    monkeypatch.setattr(links.XCom, "get_value", lambda **arguments: stored)

    assert DigitalAudiencePortalLink().get_link(None, ti_key=None) == link  # type: ignore[arg-type]


def test_each_link_has_a_name_and_a_key_of_its_own() -> None:
    assert DigitalAudiencePortalLink().name != S3ObjectLink().name
    assert DigitalAudiencePortalLink().xcom_key != S3ObjectLink().xcom_key
