"""Streams the rows of an SQL query through any DB-API 2 connection (PEP 249).

psycopg and psycopg2 fetch the whole result at once unless the cursor has a name (a server-side cursor); MySQLdb and
pymysql do unless it is an ``SSCursor``. This module uses both. Other drivers (sqlite3, oracledb, pyodbc, Snowflake,
Trino, BigQuery, ...) stream if rows are fetched in batches. A driver that does not stream holds its result in memory.

No message quotes a driver's message, which may hold values of rows or parameters: it has the class and the code of the
driver's error.
"""

from __future__ import annotations

import datetime
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    ConfigurationError,
    SourceFormatError,
    TransientError,
)

if TYPE_CHECKING:
    import polars as pl

    from audience_onboarding.crm.sources.base import OpenSource, RowBatch

BLOCK_ROWS = 50_000
"""Rows in memory at once."""

_ARRAY_ROWS = 5_000
"""Rows per round trip to the server. Some drivers allocate this many rows of the columns' maximum length."""

_NAMED_CURSORS = frozenset(["psycopg2", "psycopg"])
_UNBUFFERED_CURSORS = frozenset(["MySQLdb", "pymysql"])

# Strings, quoted names and comments; ``::`` is a cast in PostgreSQL; then parameters.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | (?P<dollar>\$\w*\$).*?(?P=dollar)
      | --[^\n]* | /\*.*?\*/ | :: | (?<![\w:]):(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_RUN_BY_HAND = "Run the query by hand: its message is not shown here, as it may quote data"
_PLACEHOLDERS = {
    "named": ":{name}",
    "pyformat": "%({name})s",
    "format": "%s",
    "qmark": "?",
    "numeric": ":{number}",
}


@dataclass(frozen=True)
class SqlSource:
    """Source of the rows of a query.

    Values become text by type: whole numbers (also floats and decimals) their digits, dates and times ISO 8601, bytes
    UTF-8, booleans ``true`` and ``false``, NULL an empty field. Without ``ORDER BY`` the order may differ each time,
    and so may the duplicate that is kept.

    :param connect: opens a DB-API connection, such as ``get_conn`` of an Airflow hook. It is closed here.
    :param query: a ``SELECT``, run unchanged; it is not checked for side effects.
    :param parameters: values of ``:name`` in the query, bound by the driver.
    :param label: name of the source in messages, such as ``query on connection crm``.
    :param paramstyle: of the driver (PEP 249); ``None``: that of its module.
    :param block_rows: rows in memory at once.
    """

    connect: Callable[[], Any]
    query: str = field(repr=False)
    parameters: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = "query"
    paramstyle: str | None = None
    block_rows: int = BLOCK_ROWS

    @property
    def name(self) -> str:
        """Name of the source in messages."""
        return self.label

    @contextmanager
    def open(self, columns: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Run the query, see :class:`~audience_onboarding.crm.sources.base.Source`.

        :raises ConfigurationError: the database rejects the query, or it is not a SELECT.
        :raises TransientError: the database is not available.
        """
        del workdir
        from audience_onboarding.crm.sources.base import OpenSource, count_unmapped, resolve_columns

        connection = self._try(self.connect)
        cursor: Any = None
        try:
            cursor = self._try(lambda: self._cursor(connection))
            query, parameters = self._bind(connection)
            self._try(lambda: cursor.execute(query, parameters) if parameters else cursor.execute(query))
            # psycopg2 knows the columns of a named cursor only when it has rows.
            rows = self._fetch(cursor) if cursor.description is None and _is_named(connection) else None
            if cursor.description is None:
                raise ConfigurationError(
                    what="The query of the source returns no result set",
                    where=self.label,
                    next_step="Write a SELECT",
                )
            header = [str(column[0]) for column in cursor.description]
            positions = resolve_columns(header, columns, self.label)
            yield OpenSource(count_unmapped(header, positions), self._blocks(cursor, rows, header, positions))
        finally:
            # The connection first: a MySQL cursor reads all remaining rows when it closes.
            for closable in (connection, cursor):
                with suppress(Exception):
                    closable.close()

    def _cursor(self, connection: Any) -> Any:
        driver = _driver(connection)
        if driver in _NAMED_CURSORS:
            # A server-side cursor needs a transaction.
            if getattr(connection, "autocommit", False):
                connection.autocommit = False
            cursor = connection.cursor(f"audience_onboarding_{uuid.uuid4().hex}")
        elif driver in _UNBUFFERED_CURSORS:
            cursor = connection.cursor(import_module(f"{driver}.cursors").SSCursor)
        else:
            cursor = connection.cursor()
        with suppress(Exception):
            cursor.arraysize = min(_ARRAY_ROWS, self.block_rows)
        return cursor

    def _bind(self, connection: Any) -> tuple[str, Mapping[str, object] | Sequence[object]]:
        style = self.paramstyle or get_paramstyle(connection)
        parameters = dict(self.parameters)
        if _driver(connection) == "sqlite3":
            # SQLite has no dates; its own conversion is deprecated.
            for name, value in parameters.items():
                if isinstance(value, datetime.date):
                    parameters[name] = value.isoformat()
        return bind_parameters(self.query, parameters, style)

    def _fetch(self, cursor: Any) -> Sequence[Any]:
        rows: Sequence[Any] = self._try(lambda: cursor.fetchmany(self.block_rows))
        return rows

    def _try(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            translated = _translate_error(error, self.label)
            if translated is None:
                raise
        # Raised outside: the driver's exception, which would be its context, may hold values.
        raise translated

    def _blocks(
        self, cursor: Any, rows: Sequence[Any] | None, header: Sequence[str], positions: Sequence[int]
    ) -> Iterator[_Block]:
        first = 1
        while rows := self._fetch(cursor) if rows is None else rows:
            yield _Block(rows, first, header, positions, self.label)
            first += len(rows)
            rows = None


@dataclass(frozen=True)
class _Block:
    rows: Sequence[Any] = field(repr=False)
    first: int
    header: Sequence[str]
    positions: Sequence[int]
    label: str

    def read(self) -> RowBatch:
        """Convert the values to text."""
        import polars as pl

        from audience_onboarding.crm.sources.base import RowBatch

        rows = [tuple(row.values()) if isinstance(row, Mapping) else row for row in self.rows]
        return RowBatch(
            pl.DataFrame(
                [
                    self._column(rows, position).alias(str(index))
                    for index, position in enumerate(self.positions)
                ]
            ),
            first=self.first,
        )

    def _column(self, rows: Sequence[Sequence[object]], position: int) -> pl.Series:
        import polars as pl

        from audience_onboarding.crm.sources.coercion import InexactError, format_value

        reason = next_step = ""
        try:
            return pl.Series([format_value(row[position]) for row in rows], dtype=pl.String)
        except InexactError:
            reason = "it has whole numbers that are not exact"
            next_step = "Store the column as text or numeric in the table: floating point has lost digits"
        except UnicodeError:
            reason = "it has bytes that are not UTF-8 text"
            next_step = "Convert the column to text in the query; hashes to 64 hexadecimal digits"
        except TypeError:
            reason = "it has several values per row"
            next_step = "Select one value per row and column"
        raise SourceFormatError(
            what=f"Column {self.header[position]!r} of the query is not readable",
            where=self.label,
            why=reason,
            next_step=next_step,
        )


def bind_parameters(
    query: str, parameters: Mapping[str, object], paramstyle: str
) -> tuple[str, Mapping[str, object] | Sequence[object]]:
    """Return a query with the driver's placeholders for ``:name``, and the parameters that it uses.

    Strings, quoted names, comments, and a ``:name`` that is not a parameter do not change, nor does a query without
    parameters.

    :param parameters: by name.
    :param paramstyle: of the driver (PEP 249); empty if unknown.
    :raises ConfigurationError: the query uses a parameter, and the style is unknown.
    """
    used = [name for match in _TOKEN.finditer(query) if (name := match["name"]) in parameters]
    if not used:
        return query, ()
    if paramstyle not in _PLACEHOLDERS:
        raise ConfigurationError(
            what="Unknown parameter style of the database driver",
            why=repr(paramstyle) if paramstyle else "",
            next_step="Remove the parameters from the query",
        )
    numbers = iter(range(1, len(used) + 1))
    # A driver that replaces %s reads %% as %, also within strings and comments.
    escaped = "%%" if paramstyle in ("format", "pyformat") else "%"
    pieces: list[str] = []
    end = 0
    for match in _TOKEN.finditer(query):
        if match["name"] in parameters:
            pieces.append(query[end : match.start()].replace("%", escaped))
            pieces.append(_PLACEHOLDERS[paramstyle].format(name=match["name"], number=next(numbers)))
            end = match.end()
    pieces.append(query[end:].replace("%", escaped))
    if paramstyle in ("named", "pyformat"):
        return "".join(pieces), {name: parameters[name] for name in used}
    return "".join(pieces), [parameters[name] for name in used]


def _modules(connection: Any) -> Iterator[str]:
    """Yield the modules of a connection's class, innermost first, each with its packages."""
    for cls in type(connection).__mro__:
        name = cls.__module__
        while name:
            yield name
            name = name.rpartition(".")[0]


def _driver(connection: Any) -> str:
    drivers = _NAMED_CURSORS | _UNBUFFERED_CURSORS | {"sqlite3"}
    return next((name for name in _modules(connection) if name in drivers), "")


def _is_named(connection: Any) -> bool:
    return _driver(connection) in _NAMED_CURSORS


def get_paramstyle(connection: Any) -> str:
    """Return the parameter style of a connection's driver (PEP 249), empty if unknown."""
    for name in _modules(connection):
        style = getattr(sys.modules.get(name), "paramstyle", None)
        if isinstance(style, str):
            return style
    return ""


def classify_db_error(error: Exception) -> tuple[set[str], str]:
    """Return the class names (PEP 249) of a driver's exception and the reason; no names for any other exception."""
    classes = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, AudienceOnboardingError) or not classes & {"DatabaseError", "InterfaceError"}:
        return set(), ""
    return classes, ", ".join(filter(None, (type(error).__name__, _error_code(error))))


def _translate_error(error: Exception, label: str) -> AudienceOnboardingError | None:
    """Return the error of the package for a driver's exception, ``None`` for any other exception."""
    classes, why = classify_db_error(error)
    if not classes:
        return None
    if classes & {"ProgrammingError", "NotSupportedError"}:
        return ConfigurationError(
            what="The database rejects the query of the source", where=label, why=why, next_step=_RUN_BY_HAND
        )
    if classes & {"DataError", "IntegrityError"}:
        return SourceFormatError(
            what="The database cannot compute the rows of the query",
            where=label,
            why=why,
            next_step=_RUN_BY_HAND,
        )
    return TransientError(
        what="Database of the source not available",
        where=label,
        why=why,
        next_step="Airflow retries automatically. If it persists, check the connection",
    )


def _error_code(error: Exception) -> str:
    """Return the driver's code of an error, empty if it has none that is surely a code."""
    for attribute in ("sqlstate", "pgcode", "sqlite_errorname", "errno"):
        value = getattr(error, attribute, None)
        if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"[A-Z0-9_]{1,40}", value)):
            return f"code {value}"
    first = error.args[0] if error.args else None
    first = getattr(first, "full_code", first)
    if isinstance(first, int) or (isinstance(first, str) and re.fullmatch(r"[A-Z0-9]{5}|[A-Z]+-\d+", first)):
        return f"code {first}"
    return ""
