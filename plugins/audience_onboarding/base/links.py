"""Links from a task to its audience, its portal page and its files."""

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
    """Link that the task sets while it runs; Airflow stores it when the task's process ends."""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return the link, empty if the task set none."""
        return str(getattr(operator, self._attribute(), ""))

    @classmethod
    def _attribute(cls) -> str:
        return f"_{cls.__name__}"

    @classmethod
    def _persist(cls, operator: Any, link: str) -> None:
        setattr(operator, cls._attribute(), link)

    def copy_from(self, operator: Any, ti: Any, *, task_id: str) -> None:
        """Set the link of an earlier task of the run.

        :param operator: the current task; ``None`` if a function is called outside of a task.
        :param ti: its task instance.
        :param task_id: of the earlier task.
        """
        if operator is None:
            return
        try:
            url = ti.xcom_pull(task_ids=task_id, key=self.xcom_key)
        except Exception as error:
            # Any error: a load is recorded with or without a link.
            log.warning("Cannot read the link %r of task %s: %s", self.name, task_id, error)
            return
        if isinstance(url, str) and url:
            self._persist(operator, url)


class PortalLink(StoredLink):
    """The object in the vendor's portal; needs ``portal_url`` in the connection."""

    @classmethod
    def persist(cls, operator: Any, settings: ClientSettings, **ids: int | str | None) -> None:
        """Set the link, if the connection has a template for it.

        :param ids: values of the template's placeholders.
        """
        cls._persist(operator, settings.portal_link(**ids) or "")


class AudiencePageLink(StoredLink):
    """Link to the audience on the Audiences page. A task for one audience has it without further code."""

    name = "Audience"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the link, empty if no audience is known."""
        url = super().get_link(operator, ti_key=ti_key)
        if url:
            return url
        key = _audience_key(operator)
        return audience_page(key, base_url=base_url()) if key else ""

    @classmethod
    def persist(cls, operator: Any, key: str) -> None:
        """Set the link of an audience that is known only at run time.

        :param operator: the task; ``None`` if a function is called outside of a task.
        :param key: of the audience's definition.
        """
        if operator is not None:
            cls._persist(operator, audience_page(key, base_url=base_url()))


class AudiencesPageLink(StoredLink):
    """Link to the Audiences page, for tasks that work for all audiences."""

    name = "Audiences"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Return the link."""
        return audiences_page(base_url=base_url())


class RejectsLink(StoredLink):
    """Link to the list of rejected rows in S3. A list in a local folder has no URL."""

    name = "Rejects"

    @classmethod
    def persist(cls, operator: Any, url: str, client: Any) -> None:
        """Set the link.

        :param url: of the list.
        :param client: returns a boto3 client; called for ``s3://`` only.
        """
        if url.startswith("s3://"):
            bucket, _, key = url.removeprefix("s3://").partition("/")
            meta = client().meta
            cls._persist(
                operator,
                s3_object_url(bucket=bucket, key=key, region=meta.region_name, endpoint=meta.endpoint_url),
            )


def base_url() -> str:
    """Return Airflow's ``[api] base_url``, empty if not configured."""
    return conf.get("api", "base_url", fallback="") or ""


def with_links(output: Any, *links: StoredLink, audience_key: str | None = None) -> Any:
    """Add links to a TaskFlow task.

    :param output: return value of the task function's call in the DAG.
    :param audience_key: of the task's audience, if it is always the same.
    :return: ``output``.
    """
    output.operator.operator_extra_links = links
    output.operator.audience_key = audience_key
    return output


def _audience_key(operator: Any) -> str | None:
    """Return the key of the task's audience, ``None`` if it has none or several."""
    key = getattr(operator, "audience_key", None)
    if key:
        return str(key)
    assets = [getattr(operator, "asset", None), *operator.inlets, *operator.outlets]
    keys = {audience_key_of(asset) for asset in assets if hasattr(asset, "name")} - {None}
    return keys.pop() if len(keys) == 1 else None
