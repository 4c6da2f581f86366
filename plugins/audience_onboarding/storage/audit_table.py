"""Audit table with one row per run, written through any DB-API 2 connection (PEP 249)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from audience_onboarding.exceptions import AudienceOnboardingError, AuditUnavailableError, ConfigurationError
from audience_onboarding.storage.sql_source import bind_parameters, classify_db_error, get_paramstyle

COLUMNS = {
    "dag_id": "VARCHAR(250) NOT NULL",
    "run_id": "VARCHAR(250) NOT NULL",
    "run_type": "VARCHAR(50)",
    "triggered_by": "VARCHAR(250)",
    "audience_key": "VARCHAR(100)",
    "platform": "VARCHAR(50)",
    "connection": "VARCHAR(250)",
    "audience_id": "VARCHAR(200)",
    "load_date": "DATE",
    "range_start": "DATE",
    "load_mode": "VARCHAR(20)",
    "outcome": "VARCHAR(20)",
    "error": "VARCHAR(100)",
    "error_message": "TEXT",
    "rows_read": "BIGINT",
    "rows_sent": "BIGINT",
    "duplicates": "BIGINT",
    "rejected": "BIGINT",
    "s3_key": "VARCHAR(1024)",
    "content_id": "VARCHAR(200)",
    "match_rates": "TEXT",
    "started_at": "TIMESTAMP NULL",
    "ended_at": "TIMESTAMP NULL",
    "duration_seconds": "DOUBLE PRECISION",
    "package_version": "VARCHAR(50)",
    "record": "TEXT",
}
"""Names that no database reserves, and types of SQLite, PostgreSQL and MySQL alike."""


def ddl(table: str) -> str:
    """Return the statement that creates the table if it does not exist."""
    lines = [*(f"    {name} {kind}" for name, kind in COLUMNS.items()), "    PRIMARY KEY (dag_id, run_id)"]
    return f"CREATE TABLE IF NOT EXISTS {table} (\n" + ",\n".join(lines) + "\n)"


def statements(table: str) -> tuple[str, str]:
    """Return the statements that replace a row, with ``:name`` parameters; every database has DELETE and INSERT."""
    names = ", ".join(COLUMNS)
    values = ", ".join(f":{name}" for name in COLUMNS)
    # The definition restricts the table's name to letters, digits, "_" and ".".
    return (
        f"DELETE FROM {table} WHERE dag_id = :dag_id AND run_id = :run_id",  # noqa: S608
        f"INSERT INTO {table} ({names}) VALUES ({values})",  # noqa: S608
    )


def write_row(
    connect: Callable[[], Any], row: Mapping[str, Any], *, table: str, label: str, create: bool = False
) -> None:
    """Write a run's row, in one transaction; an existing row is replaced.

    :param connect: opens a connection, such as ``get_conn`` of an Airflow hook. It is closed here.
    :param row: text, number or ``None`` for each of :data:`COLUMNS`.
    :param table: letters, digits, ``_`` and ``.`` only.
    :param label: name of the database in messages.
    :param create: create the table if it does not exist.
    :raises AuditUnavailableError: the database is not available, or the table does not exist.
    :raises ConfigurationError: the database rejects the statements.
    """
    try:
        connection = connect()
        try:
            _write(connection, row, table, create=create)
        finally:
            with suppress(Exception):
                connection.close()
    except Exception as error:
        translated = _translate_error(error, table, label)
        if translated is None:
            raise
    else:
        return
    # Raised outside: the driver's exception, which would be its context, may hold values.
    raise translated


def _write(connection: Any, row: Mapping[str, Any], table: str, *, create: bool) -> None:
    if getattr(connection, "autocommit", False) is True:
        connection.autocommit = False
    style = get_paramstyle(connection)
    cursor = connection.cursor()
    if create:
        cursor.execute(ddl(table))
    for statement in statements(table):
        cursor.execute(*bind_parameters(statement, row, style))
    connection.commit()


def _translate_error(error: Exception, table: str, label: str) -> AudienceOnboardingError | None:
    """Return the error of the package for a driver's exception, ``None`` for any other exception."""
    classes, why = classify_db_error(error)
    if not classes:
        return None
    if classes & {"ProgrammingError", "NotSupportedError", "DataError", "IntegrityError"}:
        return ConfigurationError(
            what=f"The database rejects the row for the audit table {table}",
            where=label,
            why=why,
            next_step="Create the table as docs/how-to/audit.md shows, or set 'audit.create', and clear this task",
        )
    return AuditUnavailableError(
        what=f"Writing to the audit table {table} failed",
        where=label,
        why=why,
        next_step="Airflow retries automatically. If it persists, check that database and table exist (or set "
        "'audit.create'), and clear this task. The load itself is not affected",
    )
