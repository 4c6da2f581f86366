"""Links from a task to the vendor's portal and to the uploaded object."""

from __future__ import annotations

from typing import Any

from audience_onboarding.base.links import PortalLink, StoredLink
from audience_onboarding.urls import s3_object_url


class DigitalAudiencePortalLink(PortalLink):
    """The audience or segment in the vendor's portal; needs ``portal_url`` in the connection."""

    name = "Digital Audience portal"


def storage_fields(endpoint: str | None, region: str | None) -> dict[str, str]:
    """Return the storage fields of a load's record, for links that are built without the connection.

    :param endpoint: of the client; stored without its credentials, and only if it is not AWS's own.
    """
    if endpoint and "amazonaws.com" not in endpoint:
        scheme, _, rest = endpoint.partition("://")
        return {"s3_endpoint": f"{scheme}://{rest.rpartition('@')[2]}"}
    return {"s3_region": region} if region else {}


class S3ObjectLink(StoredLink):
    """The uploaded object in the AWS console, or at the endpoint of another S3 storage."""

    name = "S3 object"

    @classmethod
    def persist(
        cls, operator: Any, *, bucket: str, key: str, region: str | None, endpoint: str | None
    ) -> None:
        """Store the link."""
        cls._persist(operator, s3_object_url(bucket=bucket, key=key, region=region, endpoint=endpoint))
