"""Airflow's metadata database in SQLite, used by the Airflow of the test process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def airflow_on(database: Path) -> Iterator[None]:
    """Connect the Airflow of this process to a database."""
    from airflow import settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{database}")
        settings.dispose_orm(do_log=False)
        settings.configure_vars()
        settings.configure_orm()
        yield
        settings.dispose_orm(do_log=False)
    settings.configure_vars()
    settings.configure_orm()


def create_database(path: Path) -> Path:
    """Create a database as ``airflow db migrate`` does where there is none."""
    with airflow_on(path):
        from airflow.utils.db import initdb

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Alembic, about Airflow's configuration
            initdb()
    return path
