"""Links of the page: pages of this Airflow, below the path that it is served at, and objects in S3."""

from __future__ import annotations

from urllib.parse import quote

from audience_onboarding.storage.source_urls import split_url
from audience_onboarding.ui.models import Link
from audience_onboarding.ui.stored_records import Load
from audience_onboarding.urls import dag_page, s3_object_url


def _part(text: str) -> str:
    return quote(text, safe="")


class AirflowPaths:
    """Paths of Airflow's pages.

    :param base: path that Airflow is served at: ``/airflow``, or empty.
    """

    def __init__(self, base: str = "") -> None:
        self._base = base.rstrip("/")

    def dag(self, dag_id: str, page: str = "") -> str:
        """Return the path of a DAG, or of one of its pages."""
        return f"{dag_page(dag_id, base_url=self._base)}{f'/{page}' if page else ''}"

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the path of a run."""
        return f"{self.dag(dag_id)}/runs/{_part(run_id)}"

    def task(self, dag_id: str, run_id: str, task_id: str, page: str = "") -> str:
        """Return the path of a task instance, or of one of its pages."""
        return f"{self.run(dag_id, run_id)}/tasks/{_part(task_id)}{f'/{page}' if page else ''}"

    def asset(self, asset_id: int) -> str:
        """Return the path of an asset."""
        return f"{self._base}/assets/{asset_id}"


def file_links(load: Load) -> list[Link]:
    """Return links to the objects that a load wrote."""
    return [
        Link(label=f"{load.bucket}/{key}" if load.bucket else key, href=_object_url(load, load.bucket, key))
        for key in load.object_keys
    ]


def rejects_link(load: Load) -> Link | None:
    """Return a link to the list of rejected rows of a load; a file on a worker has a label only."""
    if load.rejects_file is None:
        return None
    scheme, rest = split_url(load.rejects_file)
    bucket, _, key = rest.partition("/")
    href = _object_url(load, bucket, key) if scheme == "s3" and key else ""
    return Link(label=load.rejects_file, href=href)


def _object_url(load: Load, bucket: str | None, key: str) -> str:
    # An edited state store must not place a script behind a link.
    is_web = load.s3_endpoint is None or load.s3_endpoint.startswith(("https://", "http://"))
    if bucket is None or not is_web:
        return ""
    return s3_object_url(bucket=bucket, key=key, region=load.s3_region, endpoint=load.s3_endpoint)
