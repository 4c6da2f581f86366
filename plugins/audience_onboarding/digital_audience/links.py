"""Links from a task to what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from audience_onboarding.digital_audience.settings import DigitalAudienceSettings


class _ShownLink(BaseOperatorLink):
    """A link that the task shows while it runs; Airflow asks for it when the task's process ends, and keeps it."""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """The link, empty where there is none."""
        return str(getattr(operator, self._attribute(), ""))

    @classmethod
    def _attribute(cls) -> str:
        return f"_{cls.__name__}"

    @classmethod
    def _show(cls, operator: Any, link: str) -> None:
        setattr(operator, cls._attribute(), link)


class DigitalAudiencePortalLink(_ShownLink):
    """The audience or segment in the vendor's portal; needs ``portal_url`` in the connection."""

    name = "Digital Audience portal"

    @classmethod
    def show(
        cls,
        operator: Any,
        settings: DigitalAudienceSettings,
        *,
        audience_id: int,
        segment_id: int | None = None,
    ) -> None:
        """Show the link, where the connection has a template for it."""
        cls._show(operator, settings.portal_link(audience_id=audience_id, segment_id=segment_id) or "")


class S3ObjectLink(_ShownLink):
    """The uploaded object in the AWS console, or at the endpoint of another S3 storage."""

    name = "S3 object"

    @classmethod
    def show(cls, operator: Any, *, bucket: str, key: str, region: str | None, endpoint: str | None) -> None:
        """Show the link."""
        if endpoint and "amazonaws.com" not in endpoint:
            cls._show(operator, f"{endpoint.rstrip('/')}/{bucket}/{key}")
            return
        at = f"&region={region}" if region else ""
        cls._show(operator, f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}{at}")
