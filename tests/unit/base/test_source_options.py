"""Source options of an operator."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from audience_onboarding.base.source_options import open_source
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import ConfigurationError, SourceNotFoundError
from tests.unit.base.databases import connect_to

DAY = date(2026, 11, 20)


def test_no_client_is_made_for_a_file_that_is_here(tmp_path: Path) -> None:
    (tmp_path / "2026-11-20.csv").write_text("a\n1\n", encoding="utf-8")

    source = open_source(
        SourceOptions.parse(f"{tmp_path}/{{load_date}}.csv"), DAY, s3_client=lambda: pytest.fail("no S3 here")
    )

    assert source.name == f"{tmp_path}/2026-11-20.csv"
    with pytest.raises(SourceNotFoundError):
        open_source(SourceOptions.parse(f"{tmp_path}/x.csv"), DAY, s3_client=lambda: None)


# --- databases ------------------------------------------------------------------------------------------------


@pytest.fixture
def crm_db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection to a database with a table ``crm``."""
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE crm (day TEXT, email TEXT, phone INTEGER)")
        rows = [
            ("2026-11-19", "old@example.com", 31612345678),
            ("2026-11-20", "anna@example.com", 31687654321),
        ]
        connection.executemany("INSERT INTO crm VALUES (?, ?, ?)", rows)
        connection.commit()
    connect_to(path, monkeypatch)
    return "crm_db"


def test_a_query_gets_the_load_date_as_a_parameter(crm_db: str, tmp_path: Path) -> None:
    query = "SELECT email, phone FROM crm WHERE day = :load_date AND email <> ':load_date' -- {load_date}"
    source = open_source(
        SourceOptions.parse({"query": query, "conn_id": crm_db}),
        DAY,
        s3_client=lambda: pytest.fail("no S3 here"),
    )

    with source.open(["email", "phone"], tmp_path) as reading:
        rows = [row for block in reading.blocks for row in block.read().frame.rows()]

    assert rows == [("anna@example.com", "31687654321")]
    assert source.name == "query on connection crm_db"
    assert query not in repr(source)


def test_a_connection_that_is_no_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseHook, "get_hook", classmethod(lambda cls, conn_id: object()))

    with pytest.raises(ConfigurationError, match="'x' of the source is no database: its hook is object"):
        open_source(SourceOptions.parse({"query": "SELECT 1", "conn_id": "x"}), DAY, s3_client=lambda: None)


def test_a_connection_that_cannot_be_used_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (AirflowNotFoundException("The conn_id `x` isn't defined"), ImportError("no module")):
        monkeypatch.setattr(BaseHook, "get_hook", Mock(side_effect=error))
        with pytest.raises(ConfigurationError, match=f"'x' of the source cannot be used: {error}"):
            open_source(
                SourceOptions.parse({"query": "SELECT 1", "conn_id": "x"}), DAY, s3_client=lambda: None
            )
