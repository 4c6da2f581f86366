"""The audit table: a row for each run, written through any DB-API 2 connection (PEP 249)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from audience_onboarding.exceptions import AudienceOnboardingError, AuditUnavailableError, ConfigurationError
from audience_onboarding.storage.sql_source import bound, error_code, get_paramstyle

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
"""Names that no database reserves, and types that SQLite, PostgreSQL and MySQL have in common."""


def ddl(table: str) -> str:
    """The statement that creates the table if it is not there."""
    lines = [*(f"    {name} {kind}" for name, kind in COLUMNS.items()), "    PRIMARY KEY (dag_id, run_id)"]
    return f"CREATE TABLE IF NOT EXISTS {table} (\n" + ",\n".join(lines) + "\n)"


def statements(table: str) -> tuple[str, str]:
    """The statements that replace a row: delete and insert, which every database has. ``:name`` is a parameter."""
    names = ", ".join(COLUMNS)
    values = ", ".join(f":{name}" for name in COLUMNS)
    # The table's name comes from the definition, which lets nothing through but letters, digits, "_" and ".".
    return (
        f"DELETE FROM {table} WHERE dag_id = :dag_id AND run_id = :run_id",  # noqa: S608
        f"INSERT INTO {table} ({names}) VALUES ({values})",  # noqa: S608
    )


def write_row(
    connect: Callable[[], Any], row: Mapping[str, Any], *, table: str, label: str, create: bool = False
) -> None:
    """Write a run's row, in one transaction; one that is there already is replaced.

    :param connect: opens a connection, such as ``get_conn`` of an Airflow hook. It is closed here.
    :param row: a value for each of :data:`COLUMNS`: text, numbers or ``None``.
    :param table: its name; letters, digits, ``_`` and ``.`` only.
    :param label: what messages call the database.
    :param create: create the table if it is not there.
    :raises AuditUnavailableError: the database cannot be reached, stopped, or the table is not there.
    :raises ConfigurationError: the database refuses the statements.
    """
    try:
        connection = connect()
        try:
            _write(connection, row, table, create=create)
        finally:
            with suppress(Exception):
                connection.close()
    except Exception as error:
        failure = _translate_error(error, table, label)
        if failure is None:
            raise
    else:
        return
    # Out here, as the driver's exception may hold values.
    raise failure


def _write(connection: Any, row: Mapping[str, Any], table: str, *, create: bool) -> None:
    if getattr(connection, "autocommit", False) is True:
        connection.autocommit = False
    style = get_paramstyle(connection)
    cursor = connection.cursor()
    if create:
        cursor.execute(ddl(table))
    for statement in statements(table):
        cursor.execute(*bound(statement, row, style))
    connection.commit()


def _translate_error(error: Exception, table: str, label: str) -> AudienceOnboardingError | None:
    """What a driver raises, by the classes of PEP 249; ``None`` for what is no error of a database."""
    classes = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, AudienceOnboardingError) or not classes & {"DatabaseError", "InterfaceError"}:
        return None
    why = ", ".join(filter(None, (type(error).__name__, error_code(error))))
    if classes & {"ProgrammingError", "NotSupportedError", "DataError", "IntegrityError"}:
        return ConfigurationError(
            what=f"the database refuses the row for the audit table {table}",
            where=label,
            why=why,
            next_step="Create the table (see docs/how-to/audit.md) or set 'audit.create', and clear this task",
        )
    return AuditUnavailableError(
        what=f"the audit table {table} cannot be written",
        where=label,
        why=why,
        next_step="It is tried again by itself. If it stays like this, check that database and table are there (or set "
        "'audit.create'), and clear this task: the load itself is not concerned",
    )
