"""Links from a task to what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from audience_onboarding.digital_audience.settings import DigitalAudienceSettings


class _PushedLink(BaseOperatorLink):
    """A link that the task itself pushes as XCom while it runs."""

    key: ClassVar[str]

    @property
    def xcom_key(self) -> str:
        """Where Airflow looks the link up."""
        return self.key

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """The link, empty while there is none."""
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class DigitalAudiencePortalLink(_PushedLink):
    """The audience or segment in the vendor's portal; needs ``portal_url`` in the connection."""

    name = "Digital Audience portal"
    key = "digital_audience_portal_link"

    @classmethod
    def push(
        cls,
        context: Any,
        settings: DigitalAudienceSettings,
        *,
        audience_id: int,
        segment_id: int | None = None,
    ) -> None:
        """Push the link, where the connection has a template for it."""
        link = settings.portal_link(audience_id=audience_id, segment_id=segment_id)
        if link:
            context["ti"].xcom_push(key=cls.key, value=link)


class S3ObjectLink(_PushedLink):
    """The uploaded object in the AWS console, or at the endpoint of another S3 storage."""

    name = "S3 object"
    key = "s3_object_link"

    @classmethod
    def push(cls, context: Any, *, bucket: str, key: str, region: str | None, endpoint: str | None) -> None:
        """Push the link."""
        if endpoint and "amazonaws.com" not in endpoint:
            link = f"{endpoint.rstrip('/')}/{bucket}/{key}"
        else:
            at = f"&region={region}" if region else ""
            link = f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}{at}"
        context["ti"].xcom_push(key=cls.key, value=link)
