"""Links from a task to the vendor's portal and to the uploaded object."""

from __future__ import annotations

from types import SimpleNamespace

from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from tests.unit.clients.digital_audience import settings


def test_portal_and_object_have_links_of_their_own() -> None:
    portal, s3 = DigitalAudiencePortalLink(), S3ObjectLink()
    operator = SimpleNamespace()
    assert (portal.get_link(operator, ti_key=None), s3.get_link(operator, ti_key=None)) == ("", "")

    made = settings("vendor.example", portal_url="https://portal/{audience_id}?s={segment_id}")
    portal.persist(operator, made, audience_id=7, segment_id=5)
    s3.persist(
        operator, bucket="b", key="onboard/x.csv", region="us-east-1", endpoint="http://127.0.0.1:9400/"
    )

    assert portal.get_link(operator, ti_key=None) == "https://portal/7?s=5"
    assert s3.get_link(operator, ti_key=None) == "http://127.0.0.1:9400/b/onboard/x.csv"
    s3.persist(
        operator, bucket="b", key="x.csv", region="eu-west-1", endpoint="https://s3.eu-west-1.amazonaws.com"
    )
    assert s3.get_link(operator, ti_key=None) == (
        "https://s3.console.aws.amazon.com/s3/object/b?prefix=x.csv&region=eu-west-1"
    )
    assert portal.name != s3.name
    assert portal.xcom_key != s3.xcom_key
