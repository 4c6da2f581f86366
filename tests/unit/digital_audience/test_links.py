"""Links from a task to what it is about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings


def settings(portal_url: str) -> DigitalAudienceSettings:
    return DigitalAudienceSettings(
        base_url="https://vendor.example", user_name="u", password="p", portal_url=portal_url
    )


def shown(link: Any, operator: Any) -> str:
    """What Airflow gets, at the end of the task's process."""
    return str(link.get_link(operator, ti_key=None))


def test_the_portals_link_is_shown() -> None:
    operator = SimpleNamespace()

    DigitalAudiencePortalLink.show(
        operator, settings("https://portal/{audience_id}?s={segment_id}"), audience_id=7, segment_id=5
    )

    assert shown(DigitalAudiencePortalLink(), operator) == "https://portal/7?s=5"


def test_without_a_template_there_is_no_link() -> None:
    operator = SimpleNamespace()

    DigitalAudiencePortalLink.show(operator, settings(""), audience_id=7)

    assert shown(DigitalAudiencePortalLink(), operator) == ""


@pytest.mark.parametrize("link", [DigitalAudiencePortalLink(), S3ObjectLink()])
def test_a_task_that_did_not_come_to_it_has_no_link(link: Any) -> None:
    assert shown(link, SimpleNamespace()) == ""


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
    operator = SimpleNamespace()

    S3ObjectLink.show(operator, bucket="b", key="onboard/x.csv", region=region, endpoint=endpoint)

    assert shown(S3ObjectLink(), operator) == link
    assert shown(DigitalAudiencePortalLink(), operator) == ""


def test_each_link_has_a_name_and_a_key_of_its_own() -> None:
    assert DigitalAudiencePortalLink().name != S3ObjectLink().name
    assert DigitalAudiencePortalLink().xcom_key != S3ObjectLink().xcom_key
