"""The audit table, in SQLite and as other databases see the statements."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.exceptions import AuditUnavailableError, ConfigurationError
from audience_onboarding.storage.audit_table import COLUMNS, ddl, statements, write_row

ROW: dict[str, Any] = {
    **dict.fromkeys(COLUMNS),
    "dag_id": "onboard_x",
    "run_id": "manual__1",
    "error_message": 'it\'s :dag_id; 100% of "them"',
    "rows_sent": 8,
    "load_date": "2026-11-20",
    "started_at": "2026-11-20 02:00:00",
    "duration_seconds": 90.5,
}


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[], sqlite3.Connection]:
    return lambda: sqlite3.connect(tmp_path / "audit.db")


def rows(connect: Callable[[], sqlite3.Connection]) -> list[dict[str, Any]]:
    with closing(connect()) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM audit")]


def test_a_row_is_written_and_replaced(connect: Any) -> None:
    write_row(connect, ROW, table="audit", label="db", create=True)
    assert rows(connect) == [ROW]

    write_row(connect, {**ROW, "rows_sent": 9}, table="audit", label="db", create=True)
    write_row(connect, {**ROW, "run_id": "manual__2"}, table="audit", label="db")

    assert sorted((row["run_id"], row["rows_sent"]) for row in rows(connect)) == [
        ("manual__1", 9),
        ("manual__2", 8),
    ]


def test_a_table_is_only_created_if_that_is_wanted(connect: Any) -> None:
    with pytest.raises(AuditUnavailableError, match=r"audit.create") as caught:
        write_row(connect, ROW, table="audit", label="connection dwh", create=False)

    assert "(connection dwh)" in str(caught.value)
    assert caught.value.__context__ is None


def test_both_statements_are_one_transaction(connect: Any) -> None:
    write_row(connect, ROW, table="audit", label="db", create=True)
    broken = {name: value for name, value in ROW.items() if name != "rows_sent"}

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the driver says of a missing parameter
        write_row(connect, broken, table="audit", label="db")

    assert rows(connect) == [ROW]


paramstyle = "pyformat"
"""As the module of a driver has it."""


class Driver:
    """A driver of another database, as far as it is called."""

    def __init__(self, error: Exception | None = None) -> None:
        self.autocommit = True
        self.done: list[Any] = []
        self._error = error

    def cursor(self) -> Driver:
        return self

    def execute(self, statement: str, parameters: Any = ()) -> None:
        assert not self.autocommit
        if self._error is not None:
            raise self._error
        self.done.append((statement, parameters))

    def commit(self) -> None:
        self.done.append("commit")

    def close(self) -> None:
        self.done.append("close")


def test_postgres_and_mysql_get_their_parameters_bound() -> None:
    driver = Driver()

    write_row(lambda: driver, ROW, table="dwh.audit", label="db")

    (delete, bound_delete), (insert, bound_insert), *ends = driver.done
    assert delete == "DELETE FROM dwh.audit WHERE dag_id = %(dag_id)s AND run_id = %(run_id)s"
    assert bound_delete == {"dag_id": "onboard_x", "run_id": "manual__1"}
    assert re.fullmatch(
        r"INSERT INTO dwh\.audit \([a-z0-9_, ]+\) VALUES \((%\([a-z0-9_]+\)s(, )?)+\)", insert
    )
    assert bound_insert == ROW
    assert ends == ["commit", "close"]


class DatabaseError(Exception):
    """As PEP 249 names it."""


class OperationalError(DatabaseError):
    """As PEP 249 names it."""


class ProgrammingError(DatabaseError):
    """As PEP 249 names it."""


def test_an_error_of_the_database_is_transient_or_not() -> None:
    def refuse() -> Any:
        raise OperationalError("secret words")

    with pytest.raises(AuditUnavailableError):
        write_row(refuse, ROW, table="audit", label="db")
    for raised, expected in (
        (OperationalError("secret words"), AuditUnavailableError),
        (ProgrammingError("secret words"), ConfigurationError),
    ):
        driver = Driver(raised)
        with pytest.raises(expected) as caught:
            write_row(lambda driver=driver: driver, ROW, table="audit", label="db")  # type: ignore[misc]
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None
        assert driver.done == ["close"]


def test_a_bug_is_not_taken_for_the_database() -> None:
    def fail() -> Any:
        raise KeyError("x")

    with pytest.raises(KeyError):
        write_row(fail, ROW, table="audit", label="db")


def test_the_statements_are_plain_sql() -> None:
    assert ddl("a.b").startswith("CREATE TABLE IF NOT EXISTS a.b (\n    dag_id VARCHAR(250) NOT NULL,")
    assert ddl("a.b").endswith("PRIMARY KEY (dag_id, run_id)\n)")
    assert all(name in statements("t")[1] for name in COLUMNS)
