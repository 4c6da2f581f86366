"""Links from a task to what it is about."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from audience_onboarding.state.store import audience_key_of
from audience_onboarding.urls import audience_page, audiences_page, s3_object_url

if TYPE_CHECKING:
    from audience_onboarding.http import ClientSettings


log = logging.getLogger(__name__)


class StoredLink(BaseOperatorLink):
    """A link that the task shows while it runs; Airflow asks for it when the task's process ends, and keeps it."""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """The link, empty where there is none."""
        return str(getattr(operator, self._attribute(), ""))

    @classmethod
    def _attribute(cls) -> str:
        return f"_{cls.__name__}"

    @classmethod
    def _persist(cls, operator: Any, link: str) -> None:
        setattr(operator, cls._attribute(), link)

    def copy_from(self, operator: Any, ti: Any, *, task_id: str) -> None:
        """Show what an earlier task of the run has shown.

        :param operator: that shows it now; ``None``: a function that is called by itself.
        :param ti: its task instance.
        :param task_id: of the earlier task.
        """
        if operator is None:
            return
        try:
            shown = ti.xcom_pull(task_ids=task_id, key=self.xcom_key)
        except Exception as error:
            # Anything: a load is recorded with or without a link.
            log.warning("The link %r of %s is not known: %s", self.name, task_id, error)
            return
        if isinstance(shown, str) and shown:
            self._persist(operator, shown)


class PortalLink(StoredLink):
    """The object in the vendor's portal; needs ``portal_url`` in the connection."""

    @classmethod
    def persist(cls, operator: Any, settings: ClientSettings, **ids: int | str | None) -> None:
        """Show the link, where the connection has a template for it.

        :param ids: values of the template's placeholders.
        """
        cls._persist(operator, settings.portal_link(**ids) or "")


class AudiencePageLink(StoredLink):
    """The audience on the page of the package, in Airflow. A task that works for one audience shows it by itself."""

    name = "Audience"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The link, empty where no audience is known."""
        shown = super().get_link(operator, ti_key=ti_key)
        if shown:
            return shown
        key = _audience_key(operator)
        return audience_page(key, base_url=base_url()) if key else ""

    @classmethod
    def persist(cls, operator: Any, key: str) -> None:
        """Show the page of an audience that only the run tells.

        :param operator: the task; ``None``: a function that is called by itself.
        :param key: of its definition.
        """
        if operator is not None:
            cls._persist(operator, audience_page(key, base_url=base_url()))


class AudiencesPageLink(StoredLink):
    """All audiences on the page of the package, for tasks that work for all of them."""

    name = "Audiences"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """The link."""
        return audiences_page(base_url=base_url())


class RejectsLink(StoredLink):
    """The list of rejected rows, where it lies in S3. One in a folder of the workers has no address."""

    name = "Rejects"

    @classmethod
    def persist(cls, operator: Any, url: str, client: Any) -> None:
        """Show the link.

        :param url: of the list.
        :param client: boto3's, called for ``s3://`` only.
        """
        if url.startswith("s3://"):
            bucket, _, key = url.removeprefix("s3://").partition("/")
            meta = client().meta
            cls._persist(
                operator,
                s3_object_url(bucket=bucket, key=key, region=meta.region_name, endpoint=meta.endpoint_url),
            )


def base_url() -> str:
    """Return Airflow's address (``[api] base_url``), empty if it is not configured."""
    return conf.get("api", "base_url", fallback="") or ""


def with_links(output: Any, *links: StoredLink, audience_key: str | None = None) -> Any:
    """Give links to the task of a function.

    :param output: what calling the function in a DAG has given.
    :param audience_key: of the audience that the task works for, where it is always the same.
    :return: ``output``.
    """
    output.operator.operator_extra_links = links
    output.operator.audience_key = audience_key
    return output


def _audience_key(operator: Any) -> str | None:
    """The audience that a task works for, ``None`` where that are several or none."""
    key = getattr(operator, "audience_key", None)
    if key:
        return str(key)
    assets = [getattr(operator, "asset", None), *operator.inlets, *operator.outlets]
    keys = {audience_key_of(asset) for asset in assets if hasattr(asset, "name")} - {None}
    return keys.pop() if len(keys) == 1 else None
