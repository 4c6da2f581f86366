"""Addresses of pages: Airflow's UI, the Audiences page, S3. Imports nothing, so that any module can use it."""

from __future__ import annotations

from urllib.parse import quote

AUDIENCES_PAGE = "/audience-onboarding/"
"""Page of all audiences, below Airflow's base URL."""


def audiences_page(*, base_url: str = "") -> str:
    """Return the address of the page of all audiences.

    :param base_url: Airflow's address; empty: the result is a path, for an Airflow without a path of its own.
    """
    return f"{base_url.rstrip('/')}{AUDIENCES_PAGE}"


def audience_page(key: str, *, base_url: str = "") -> str:
    """Return the address of an audience's page; ``base_url`` as in :func:`audiences_page`."""
    return f"{audiences_page(base_url=base_url)}#/audiences/{quote(key, safe='')}"


def dag_page(dag_id: str, *, base_url: str = "") -> str:
    """Return the address of a DAG; ``base_url`` as in :func:`audiences_page`."""
    return f"{base_url.rstrip('/')}/dags/{quote(dag_id, safe='')}"


def s3_object_url(*, bucket: str, key: str, region: str | None = None, endpoint: str | None = None) -> str:
    """Return the address of an object in the AWS console, or at the endpoint of another S3 storage.

    :param region: empty: the console finds the bucket's region.
    :param endpoint: empty: AWS.
    """
    if endpoint and "amazonaws.com" not in endpoint:
        return f"{endpoint.rstrip('/')}/{quote(bucket)}/{quote(key, safe='/=')}"
    at = f"&region={quote(region)}" if region else ""
    return f"https://s3.console.aws.amazon.com/s3/object/{quote(bucket)}?prefix={quote(key, safe='/=')}{at}"
