"""Links from a task to what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from audience_onboarding.http import AccountSettings


class ShownLink(BaseOperatorLink):
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


class PortalLink(ShownLink):
    """The object in the vendor's portal; needs ``portal_url`` in the connection."""

    @classmethod
    def show(cls, operator: Any, settings: AccountSettings, **ids: int | str | None) -> None:
        """Show the link, where the connection has a template for it.

        :param ids: values of the template's placeholders.
        """
        cls._show(operator, settings.portal_link(**ids) or "")


def s3_object_url(*, bucket: str, key: str, region: str | None = None, endpoint: str | None = None) -> str:
    """The object in the AWS console, or at the endpoint of another S3 storage.

    :param region: where the console looks; empty: it finds out.
    :param endpoint: of the storage; empty: AWS.
    """
    if endpoint and "amazonaws.com" not in endpoint:
        return f"{endpoint.rstrip('/')}/{quote(bucket)}/{quote(key, safe='/=')}"
    at = f"&region={quote(region)}" if region else ""
    return f"https://s3.console.aws.amazon.com/s3/object/{quote(bucket)}?prefix={quote(key, safe='/=')}{at}"
