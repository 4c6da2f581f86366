"""A database behind an Airflow connection, without the provider of its kind."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook, Connection


class SqliteHook(DbApiHook):
    """As the provider has it."""

    conn_name_attr = "sqlite_conn_id"
    conn_type = "sqlite"
    hook_name = "SQLite"

    def get_conn(self) -> Any:
        return sqlite3.connect(str(self.get_connection(self.get_conn_id()).host))


def connect_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is to this file of SQLite."""
    monkeypatch.setattr(Connection, "get_hook", lambda self, **_: SqliteHook(self.conn_id))
    monkeypatch.setattr(
        BaseHook,
        "get_connection",
        classmethod(lambda cls, conn_id: Connection(conn_id=conn_id, conn_type="sqlite", host=str(path))),
    )
