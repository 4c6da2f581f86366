"""The Audiences page on a real metadata database, behind Airflow's real login."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from benchmarks.page_data import Metadata
from tests.metadata import airflow_on, create_database

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
"""Present time of the page in the tests."""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that Airflow has created. This takes seconds, so all tests copy it."""
    return create_database(tmp_path_factory.mktemp("airflow") / "airflow.db")


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock of the page, which is in UTC."""
    from audience_onboarding.ui import app

    assert app._now().tzinfo is NOW.tzinfo
    monkeypatch.setattr(app, "_now", lambda: NOW)


class Server:
    """The page, mounted as Airflow mounts it.

    :ivar client: HTTP client that follows no redirect.
    :ivar hidden: DAGs that only an admin may read.
    :ivar untriggerable: DAGs that no user may trigger.
    """

    def __init__(self, database: Path, root_path: str = "") -> None:
        from airflow.api_fastapi.app import _AuthManagerState
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

        from audience_onboarding.ui.plugin_views import URL_PREFIX, LazyApp

        server = self

        class PerDag(SimpleAuthManager):
            """Permissions per DAG, as in FAB's manager; Airflow's simple one has roles only."""

            def is_authorized_dag(self, *, details: Any = None, method: Any, user: Any, **more: Any) -> bool:
                dag_id = details.id if details else None
                if dag_id in server.hidden and user.role != "admin":
                    return False
                if dag_id in server.untriggerable and method == "POST":
                    return False
                return super().is_authorized_dag(method=method, user=user, details=details, **more)

        self.hidden: set[str] = set()
        self.untriggerable: set[str] = set()
        self.database = database
        _AuthManagerState.instance = PerDag()
        self.app = FastAPI(root_path=root_path)
        self.app.mount(URL_PREFIX, LazyApp())
        self.client = TestClient(self.app, follow_redirects=False)
        # A proxy in front of Airflow forwards requests with the path that Airflow is served at.
        self.prefix = root_path + URL_PREFIX

    def token(self, role: str) -> str:
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        return get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="user", role=role or None))

    def get(self, path: str, *, role: str | None = "admin", **query: Any) -> Any:
        """Send a request and return the response.

        :param path: below the page's URL.
        :param role: of Airflow's simple auth manager; empty: a user without a role; ``None``: not logged in.
        """
        headers = {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}
        return self.client.get(f"{self.prefix}{path}", params=query, headers=headers)

    def get_json(self, path: str, **query: Any) -> Any:
        """Return the response to an admin, as JSON."""
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        return response.json()

    def keys(self, **query: Any) -> list[str]:
        """Return the keys of a page of the table."""
        return [row["key"] for row in self.get_json("/api/audiences", **query)["audiences"]]


@pytest.fixture
def server(empty_database: Path, tmp_path: Path) -> Iterator[Server]:
    """A server on a database of its own, which is empty."""
    database = tmp_path / "airflow.db"
    shutil.copy(empty_database, database)
    with airflow_on(database):
        yield Server(database)


@pytest.fixture
def data(server: Server) -> Iterator[Metadata]:
    """Writer of the server's database; :meth:`Metadata.save` commits."""
    metadata = Metadata(server.database)
    yield metadata
    metadata.close()
