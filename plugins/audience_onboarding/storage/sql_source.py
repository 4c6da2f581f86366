"""The rows of an SQL query, through any DB-API 2 connection (PEP 249), never held as a whole.

A driver decides what "running a query" means. psycopg and psycopg2 fetch the whole result at once unless the cursor
has a name, which makes it one of the server; MySQLdb and pymysql do unless the cursor is an ``SSCursor``. Both are
asked for here. Other drivers (sqlite3, oracledb, pyodbc, Snowflake, Trino, BigQuery, ...) hand out rows as they come
from the server when they are fetched in portions. A driver that does neither holds its result in memory, whatever is
done here.

No message quotes what a driver says: it may hold values of rows or parameters. It gives the driver's class of error and
its code, which say what is wrong.
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

    from audience_onboarding.crm.sources.base import Reading, Rows

BLOCK_ROWS = 50_000
"""Rows that are held at once."""

_ARRAY_ROWS = 5_000
"""Rows a round trip to the server. Some drivers allocate as many of the longest rows that the columns allow."""

_NAMED_CURSORS = frozenset(["psycopg2", "psycopg"])
_UNBUFFERED_CURSORS = frozenset(["MySQLdb", "pymysql"])

# Strings, names in quotes, and comments; ``::`` is a cast in PostgreSQL; what is left may be a parameter.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | (?P<dollar>\$\w*\$).*?(?P=dollar)
      | --[^\n]* | /\*.*?\*/ | :: | (?<![\w:]):(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_PLACEHOLDERS = {
    "named": ":{name}",
    "pyformat": "%({name})s",
    "format": "%s",
    "qmark": "?",
    "numeric": ":{number}",
}


@dataclass(frozen=True)
class SqlSource:
    """What a query gives. Its columns have the names that the query gives them.

    Values become text by their type: whole numbers their digits (also floats and decimals that are whole), dates and
    times ISO 8601, bytes UTF-8, truth values ``true`` and ``false``, NULL an empty field. The rows come in the order of
    the query; without ``ORDER BY`` that may be another one each time, and so may be which of two duplicates is kept.

    :param connect: opens a DB-API connection, such as ``get_conn`` of an Airflow hook. It is closed here.
    :param query: a ``SELECT``. It is run as it is; that it changes nothing is the user's affair.
    :param parameters: values that ``:name`` stands for in the query. They are bound by the driver.
    :param label: what messages call the source, such as ``query on connection crm``.
    :param paramstyle: how the driver writes parameters (PEP 249); what its module says where ``None``.
    :param block_rows: rows that are held at once.
    """

    connect: Callable[[], Any]
    query: str = field(repr=False)
    parameters: Mapping[str, object] = field(default_factory=dict, repr=False)
    label: str = "query"
    paramstyle: str | None = None
    block_rows: int = BLOCK_ROWS

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self.label

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[Reading]:
        """Run the query, see :class:`~audience_onboarding.crm.sources.base.Source`.

        :raises ConfigurationError: the database refuses the query, or it gives no rows at all.
        :raises TransientError: the database cannot be reached, or stopped.
        """
        del workdir
        from audience_onboarding.crm.sources.base import Reading, find_columns, ignored_columns

        connection = self._try(self.connect)
        cursor: Any = None
        try:
            cursor = self._try(lambda: self._cursor(connection))
            query, parameters = self._bound(connection)
            self._try(lambda: cursor.execute(query, parameters) if parameters else cursor.execute(query))
            # psycopg2 knows the columns of a named cursor only when it has rows.
            rows = self._fetch(cursor) if cursor.description is None and _is_named(connection) else None
            if cursor.description is None:
                raise ConfigurationError(
                    what="the query of the source gives no rows",
                    where=self.label,
                    next_step="Write a SELECT",
                )
            header = [str(column[0]) for column in cursor.description]
            positions = find_columns(header, wanted, self.label)
            yield Reading(ignored_columns(header, positions), self._blocks(cursor, rows, header, positions))
        finally:
            # The connection first: a cursor of MySQL reads all that is left before it closes.
            for closable in (connection, cursor):
                with suppress(Exception):
                    closable.close()

    # --- the driver ---

    def _cursor(self, connection: Any) -> Any:
        driver = _driver(connection)
        if driver in _NAMED_CURSORS:
            # A cursor of the server lives in a transaction.
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

    def _bound(self, connection: Any) -> tuple[str, Mapping[str, object] | Sequence[object]]:
        style = self.paramstyle or get_paramstyle(connection)
        parameters = dict(self.parameters)
        if _driver(connection) == "sqlite3":
            # It has no dates; its own way of writing them is deprecated.
            for name, value in parameters.items():
                if isinstance(value, datetime.date):
                    parameters[name] = value.isoformat()
        return bound(self.query, parameters, style)

    def _fetch(self, cursor: Any) -> Sequence[Any]:
        rows: Sequence[Any] = self._try(lambda: cursor.fetchmany(self.block_rows))
        return rows

    def _try(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            failure = _translate_error(error, self.label)
            if failure is None:
                raise
        # Out here, as the driver's exception may hold values.
        raise failure

    # --- its rows ---

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

    def read(self) -> Rows:
        """Make text of the values."""
        import polars as pl

        from audience_onboarding.crm.sources.base import Rows

        rows = [tuple(row.values()) if isinstance(row, Mapping) else row for row in self.rows]
        return Rows(
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

        from audience_onboarding.crm.sources.coercion import InexactError, value_text

        problem = next_step = ""
        try:
            return pl.Series([value_text(row[position]) for row in rows], dtype=pl.String)
        except InexactError:
            problem = "holds whole numbers that are not exact"
            next_step = "Cast the column to text or numeric, in the table: floating point has lost digits"
        except UnicodeError:
            problem = "holds bytes that are no UTF-8 text"
            next_step = "Convert the column to text in the query; hashes to 64 hexadecimal digits"
        except TypeError:
            problem = "holds more than one value a row"
            next_step = "Select one value a row and column"
        raise SourceFormatError(
            what=f"column {self.header[position]!r} of the query {problem}",
            where=self.label,
            next_step=next_step,
        )


def bound(
    query: str, parameters: Mapping[str, object], paramstyle: str
) -> tuple[str, Mapping[str, object] | Sequence[object]]:
    """A query with ``:name`` for its parameters, as a driver wants it, with the parameters that it names.

    Strings, quoted names and comments are left alone, and so is a ``:name`` that is no parameter. A query without any
    stays as it is.

    :param parameters: by name.
    :param paramstyle: of the driver, see PEP 249; empty if it is not known.
    :raises ConfigurationError: it names a parameter, and the style is not known.
    """
    used = [name for match in _TOKEN.finditer(query) if (name := match["name"]) in parameters]
    if not used:
        return query, ()
    if paramstyle not in _PLACEHOLDERS:
        raise ConfigurationError(
            what="the driver of the database does not tell how it binds parameters",
            why=repr(paramstyle) if paramstyle else "",
            next_step="Leave parameters out of the query",
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
    """Modules that a connection's class is from, innermost first, each with its packages."""
    for cls in type(connection).__mro__:
        name = cls.__module__
        while name:
            yield name
            name = name.rpartition(".")[0]


def _driver(connection: Any) -> str:
    known = _NAMED_CURSORS | _UNBUFFERED_CURSORS | {"sqlite3"}
    return next((name for name in _modules(connection) if name in known), "")


def _is_named(connection: Any) -> bool:
    return _driver(connection) in _NAMED_CURSORS


def get_paramstyle(connection: Any) -> str:
    """How the driver of a connection writes parameters (PEP 249), empty if it does not tell."""
    for name in _modules(connection):
        style = getattr(sys.modules.get(name), "paramstyle", None)
        if isinstance(style, str):
            return style
    return ""


def _translate_error(error: Exception, label: str) -> AudienceOnboardingError | None:
    """What a driver raises, by the classes of PEP 249; ``None`` for what is no error of a database."""
    classes = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, AudienceOnboardingError) or not classes & {"DatabaseError", "InterfaceError"}:
        return None
    why = ", ".join(filter(None, (type(error).__name__, error_code(error))))
    if classes & {"ProgrammingError", "NotSupportedError"}:
        return ConfigurationError(
            what="the database refuses the query of the source",
            where=label,
            why=why,
            next_step="Run the query by hand: the database's own words are not shown here, as they may quote data",
        )
    if classes & {"DataError", "IntegrityError"}:
        return SourceFormatError(
            what="the database cannot compute the rows of the query",
            where=label,
            why=why,
            next_step="Run the query by hand: the database's own words are not shown here, as they may quote data",
        )
    return TransientError(
        what="the database of the source is not available, or stopped",
        where=label,
        why=why,
        next_step="Check the connection if it stays like this",
    )


def error_code(error: Exception) -> str:
    """The driver's code of an error, where it has one that is a code for sure."""
    for attribute in ("sqlstate", "pgcode", "sqlite_errorname", "errno"):
        value = getattr(error, attribute, None)
        if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"[A-Z0-9_]{1,40}", value)):
            return f"code {value}"
    first = error.args[0] if error.args else None
    first = getattr(first, "full_code", first)
    if isinstance(first, int) or (isinstance(first, str) and re.fullmatch(r"[A-Z0-9]{5}|[A-Z]+-\d+", first)):
        return f"code {first}"
    return ""
