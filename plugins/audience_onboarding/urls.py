"""Addresses in Airflow's UI. Nothing else in here, so that whoever links to a page can import it."""

from __future__ import annotations

from urllib.parse import quote

AUDIENCES_PAGE = "/audience-onboarding/"
"""The page of all audiences, below Airflow's base URL."""


def audiences_page(*, base_url: str = "") -> str:
    """The address of the page of all audiences.

    :param base_url: of Airflow (``[api] base_url``); empty: the address is a path, as an Airflow without a path of its
        own has it.
    """
    return f"{base_url.rstrip('/')}{AUDIENCES_PAGE}"


def audience_page(key: str, *, base_url: str = "") -> str:
    """The address of an audience's page.

    :param key: of its definition.
    :param base_url: as above.
    """
    return f"{audiences_page(base_url=base_url)}#/audiences/{quote(key, safe='')}"


def dag_page(dag_id: str, *, base_url: str = "") -> str:
    """The address of a DAG.

    :param base_url: as above.
    """
    return f"{base_url.rstrip('/')}/dags/{quote(dag_id, safe='')}"
