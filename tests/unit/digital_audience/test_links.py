"""Links from a task to the vendor's portal and to the uploaded object."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from tests.unit.clients.digital_audience import settings

PORTAL, S3 = DigitalAudiencePortalLink(), S3ObjectLink()


def shown(operator: Any) -> tuple[str, str]:
    """Return the links that Airflow gets at the end of the task's process."""
    return PORTAL.get_link(operator, ti_key=None), S3.get_link(operator, ti_key=None)


def test_the_link_to_the_portal_needs_a_template() -> None:
    for template, link in (("https://portal/{audience_id}?s={segment_id}", "https://portal/7?s=5"), ("", "")):
        operator = SimpleNamespace()
        assert shown(operator) == ("", "")

        PORTAL.show(operator, settings("vendor.example", portal_url=template), audience_id=7, segment_id=5)

        assert shown(operator) == (link, "")


CONSOLE = "https://s3.console.aws.amazon.com/s3/object/b?prefix=onboard/x.csv"


@pytest.mark.parametrize(
    ("region", "endpoint", "link"),
    [
        ("eu-west-1", "https://s3.eu-west-1.amazonaws.com", f"{CONSOLE}&region=eu-west-1"),
        (None, None, CONSOLE),
        ("us-east-1", "http://127.0.0.1:9400/", "http://127.0.0.1:9400/b/onboard/x.csv"),
    ],
)
def test_the_object_is_linked_at_its_storage(region: str | None, endpoint: str | None, link: str) -> None:
    operator = SimpleNamespace()

    S3.show(operator, bucket="b", key="onboard/x.csv", region=region, endpoint=endpoint)

    assert shown(operator) == ("", link)


def test_each_link_has_a_name_and_a_key_of_its_own() -> None:
    assert PORTAL.name != S3.name
    assert PORTAL.xcom_key != S3.xcom_key
