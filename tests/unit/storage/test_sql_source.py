"""Queries: rows as they come, whatever the driver."""

from __future__ import annotations

import datetime
import sqlite3
import sys
import types
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    ConfigurationError,
    MissingColumnError,
    SourceFormatError,
    TransientError,
)
from audience_onboarding.storage.sql_source import BLOCK_ROWS, SqlSource, bind_parameters
from tests.unit.crm.reading import column, read

DAY = datetime.date(2026, 11, 16)


@pytest.fixture
def database(tmp_path: Path) -> Callable[[], sqlite3.Connection]:
    path = tmp_path / "crm.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (id INTEGER, email TEXT, phone INTEGER, day TEXT)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?)",
            [
                (n, f"u{n}@x.example", 612345678 + n if n % 2 else None, f"2026-11-{n + 10}")
                for n in range(10)
            ],
        )
    connection.close()
    return lambda: sqlite3.connect(path)


def test_rows_with_their_numbers(database: Callable[[], Any], tmp_path: Path) -> None:
    query = 'SELECT id AS x, email AS "E-mail", phone FROM people ORDER BY id'
    result = read(SqlSource(database, query, block_rows=4), ["phone", "e-mail"], tmp_path)
    assert result.rows == [(str(612345678 + n) if n % 2 else None, f"u{n}@x.example") for n in range(10)]
    assert result.numbers == list(range(1, 11))
    assert result.heights == [4, 4, 2]
    assert result.unmapped == 1


def test_parameters_are_bound(database: Callable[[], Any], tmp_path: Path) -> None:
    query = (
        "SELECT email FROM people WHERE day = :load_date AND email LIKE '%:load_date%' OR day = :load_date"
    )
    source = SqlSource(database, query, {"load_date": DAY})
    assert column(source, "email", tmp_path) == ["u6@x.example"]
    assert column(SqlSource(database, "SELECT ':load_date' AS a", {"load_date": DAY}), "a", tmp_path) == [
        ":load_date"
    ]


def test_results_without_rows_or_columns(database: Callable[[], Any], tmp_path: Path) -> None:
    assert read(SqlSource(database, "SELECT email FROM people WHERE 0"), ["email"], tmp_path).rows == []
    with pytest.raises(ConfigurationError, match="Write a SELECT"):
        read(SqlSource(database, "CREATE TABLE x (y)"), ["email"], tmp_path)
    source = SqlSource(database, "SELECT email, phone AS email FROM people", label="query on connection crm")
    with pytest.raises(MissingColumnError, match=r"no column 'zip'.*query on connection crm"):
        read(source, ["zip"], tmp_path)
    with pytest.raises(MissingColumnError, match="2 columns"):
        read(source, ["email"], tmp_path)
    # SQLite reports errors by their code.
    with pytest.raises(TransientError, match="OperationalError"):
        read(SqlSource(database, "SELECT secret FROM nowhere"), ["v"], tmp_path)
    wanted = SqlSource(database, "SELECT 'secret'", {"a": "secret"})
    assert "secret" not in repr(wanted)


# --- drivers ---------------------------------------------------------------------------------------------------


class Cursor:
    """Gives the rows of its connection, and remembers how it was called."""

    arraysize = 1

    def __init__(self, connection: Connection, *args: object) -> None:
        self.connection = connection
        self.args = args
        self.executed: tuple[Any, ...] = ()
        self.fetched: list[int] = []
        self.closed = False
        self.description: Any = None
        self._rows = list(connection.rows)

    def execute(self, *args: Any) -> None:
        self.executed = args
        self.connection.fail("execute")
        if not self.connection.describes_late:
            self._describe()

    def fetchmany(self, size: int) -> Sequence[Any]:
        self.fetched.append(size)
        if len(self.fetched) > 1:
            self.connection.fail("fetch")
        self._describe()
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def _describe(self) -> None:
        self.description = [(name, *[None] * 6) for name in self.connection.names]

    def fetchall(self) -> None:
        raise AssertionError("never the whole result")

    __iter__ = fetchone = fetchall

    def close(self) -> None:
        self.closed = True
        self.connection.closing.append("cursor")


@dataclass(eq=False)
class Connection:
    """A DB-API connection."""

    rows: Sequence[Any] = (("a",),)
    names: Sequence[str] = ("v",)
    describes_late: bool = False
    fails_at: str = ""
    error: Exception | None = None
    cursors: list[Cursor] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)

    def fail(self, place: str) -> None:
        if self.fails_at == place:
            assert self.error is not None
            raise self.error

    def cursor(self, *args: object) -> Cursor:
        self.fail("cursor")
        self.cursors.append(Cursor(self, *args))
        return self.cursors[-1]

    def close(self) -> None:
        self.closing.append("connection")


def of_driver(module: str) -> type[Connection]:
    """A connection that is one of a driver, by the module of its class; Airflow has subclasses of such."""
    return type(
        "Sub", (type("connection", (Connection,), {"__module__": module}),), {"__module__": "airflow.x"}
    )


def source(connection: Connection, query: str = "SELECT v", **options: Any) -> SqlSource:
    return SqlSource(lambda: connection, query, **options)


@pytest.mark.parametrize("module", ["psycopg2.extensions", "psycopg"])
def test_postgres_gets_a_cursor_of_the_server(module: str, tmp_path: Path) -> None:
    rows = [(str(n),) for n in range(5)]
    connection = of_driver(module)(rows, describes_late=True)
    connection.autocommit = True  # type: ignore[attr-defined]
    assert column(source(connection, block_rows=2), "v", tmp_path) == ["0", "1", "2", "3", "4"]
    (cursor,) = connection.cursors
    (name,) = cursor.args
    assert str(name).isidentifier()
    assert cursor.fetched == [2, 2, 2, 2]
    assert connection.autocommit is False  # type: ignore[attr-defined]
    other = of_driver(module)()
    column(source(other), "v", tmp_path)
    assert other.cursors[0].args != cursor.args
    assert not hasattr(other, "autocommit")


def test_no_rows_from_a_cursor_that_tells_its_columns_late(tmp_path: Path) -> None:
    assert read(source(of_driver("psycopg2")([], describes_late=True)), ["v"], tmp_path).rows == []


def test_mysql_gets_an_unbuffered_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("pymysql.cursors")
    module.SSCursor = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pymysql", types.ModuleType("pymysql"))
    monkeypatch.setitem(sys.modules, "pymysql.cursors", module)
    connection = of_driver("pymysql.connections")()
    column(source(connection), "v", tmp_path)
    assert connection.cursors[0].args == (module.SSCursor,)


def test_other_drivers_fetch_in_portions(tmp_path: Path) -> None:
    connection = Connection()
    assert column(source(connection), "v", tmp_path) == ["a"]
    (cursor,) = connection.cursors
    assert cursor.args == ()
    assert cursor.fetched == [BLOCK_ROWS, BLOCK_ROWS]
    # What some drivers allocate at once.
    assert cursor.arraysize == 5000
    assert cursor.executed == ("SELECT v",)


def test_rows_that_are_mappings(tmp_path: Path) -> None:
    connection = Connection([{"v": "1", "w": "2"}], ["v", "w"])
    assert read(source(connection), ["w", "v"], tmp_path).rows == [("2", "1")]


def test_parameters_in_the_words_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = types.ModuleType("some.driver")
    driver.paramstyle = "pyformat"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some.driver", driver)
    connection = of_driver("some.driver.connections")()
    query = "SELECT v FROM t WHERE day = :load_date AND v LIKE 'x%'"
    read(source(connection, query, parameters={"load_date": DAY}), ["v"], tmp_path)
    assert connection.cursors[0].executed == (
        "SELECT v FROM t WHERE day = %(load_date)s AND v LIKE 'x%%'",
        {"load_date": DAY},
    )
    # A driver without parameters reads % as it is.
    connection = of_driver("some.driver.connections")()
    day = {"load_date": DAY}
    read(source(connection, "SELECT v FROM t WHERE v LIKE 'x%'", parameters=day), ["v"], tmp_path)
    assert connection.cursors[0].executed == ("SELECT v FROM t WHERE v LIKE 'x%'",)
    connection = Connection()
    with pytest.raises(ConfigurationError, match="Unknown parameter style"):
        read(source(connection, query, parameters=day), ["v"], tmp_path)
    read(source(connection, query, parameters=day, paramstyle="qmark"), ["v"], tmp_path)
    assert connection.cursors[-1].executed[1] == [DAY]


def test_styles_of_parameters() -> None:
    named = {"x": 1, "y": 2}
    styles: dict[str, tuple[str, Any]] = {
        "named": ("a = :x OR b = :y OR c = :x", named),
        "pyformat": ("a = %(x)s OR b = %(y)s OR c = %(x)s", named),
        "format": ("a = %s OR b = %s OR c = %s", [1, 2, 1]),
        "qmark": ("a = ? OR b = ? OR c = ?", [1, 2, 1]),
        "numeric": ("a = :1 OR b = :2 OR c = :3", [1, 2, 1]),
    }
    for style, expected in styles.items():
        assert bind_parameters("a = :x OR b = :y OR c = :x", {**named, "unused": 3}, style) == expected, style


def test_texts_and_comments_hold_no_parameters() -> None:
    for text in (
        "':x'", "'it''s :x'", '":x"', "`:x`", "-- :x\n", "/* :x\n:x */", "$$ :x $$", "$a$ $$ :x $a$", "a::x", ":other",
        "b:x",
    ):  # fmt: skip
        assert bind_parameters(f"{text} :x", {"x": 1}, "qmark") == (f"{text} ?", [1]), text
        assert bind_parameters(text, {"x": 1}, "qmark") == (text, ()), text


# --- values ----------------------------------------------------------------------------------------------------


def test_values_become_text_by_their_type(tmp_path: Path) -> None:
    values = {
        "0612": "0612",
        "": "",
        612345678: "612345678",
        31612345678.5: "31612345678.5",
        Decimal("612345678.00"): "612345678",
        True: "true",
        DAY: "2026-11-16",
        datetime.datetime(2026, 11, 16, 1, tzinfo=datetime.timezone.utc): "2026-11-16T01:00:00+00:00",
        "é".encode(): "é",
        None: None,
        uuid.UUID(int=1): str(uuid.UUID(int=1)),
    }
    assert column(source(Connection([(value,) for value in values])), "v", tmp_path) == list(values.values())
    assert column(source(Connection([(31612345678.0,), (float("nan"),)])), "v", tmp_path) == [
        "31612345678",
        None,
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1e17, "not exact"),
        (b"secret\xff", "not UTF-8"),
        ("secret\ud800", "not UTF-8"),
        (["secret"], "several values"),
    ],
)
def test_values_that_are_no_text(value: object, problem: str, tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match=f"Column 'v' of the query .*{problem}") as caught:
        read(source(Connection([("a",), (value,)])), ["v"], tmp_path)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
    connection = Connection([("a", value)], ["w", "v"])
    assert column(source(connection), "w", tmp_path) == ["a"]


# --- errors ----------------------------------------------------------------------------------------------------


def driver_error(*names: str, **attributes: object) -> Exception:
    """An error of a driver, by the names of its classes, from the innermost to the outermost."""
    cls: type[Exception] = Exception
    for name in reversed(names):
        cls = type(name, (cls,), {})
    error = cls("secret@x.example in row 7")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


DATABASE = "DatabaseError"
ERRORS: list[tuple[Exception, type[AudienceOnboardingError], str]] = [
    (driver_error("OperationalError", DATABASE, "Error"), TransientError, "OperationalError"),
    (driver_error("InterfaceError", "Error"), TransientError, "InterfaceError"),
    (driver_error("InternalError", DATABASE), TransientError, "InternalError"),
    (driver_error(DATABASE), TransientError, DATABASE),
    (
        driver_error("AdminShutdown", "OperationalError", DATABASE, pgcode="57P01"),
        TransientError,
        "AdminShutdown, code 57P01",
    ),
    (
        driver_error("UndefinedTable", "ProgrammingError", DATABASE, sqlstate="42P01"),
        ConfigurationError,
        "UndefinedTable, code 42P01",
    ),
    (driver_error("NotSupportedError", DATABASE), ConfigurationError, "NotSupportedError"),
    (
        driver_error("DivisionByZero", "DataError", DATABASE, errno=1365),
        SourceFormatError,
        "DivisionByZero, code 1365",
    ),
    # A code that is none.
    (
        driver_error("OperationalError", DATABASE, sqlstate="secret@x.example"),
        TransientError,
        "OperationalError",
    ),
]


@pytest.mark.parametrize("fails_at", ["cursor", "execute", "fetch"])
def test_errors_of_the_database(fails_at: str, tmp_path: Path) -> None:
    for error, expected, why in ERRORS:
        connection = Connection([("a",)], fails_at=fails_at, error=error)
        wanted = source(connection, parameters={"load_date": DAY}, label="query on connection crm")
        with pytest.raises(expected) as caught:
            read(wanted, ["v"], tmp_path)
        assert (type(caught.value), caught.value.why) == (expected, why)
        assert caught.value.where == "query on connection crm"
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None
        assert connection.closing[0] == "connection"
        assert all(cursor.closed for cursor in connection.cursors)


def test_codes_as_first_arguments(tmp_path: Path) -> None:
    for first, code in ((1146, "code 1146"), ("42S02", "code 42S02"), ("secret", "")):
        error = driver_error("ProgrammingError", "DatabaseError")
        error.args = (first, "secret@x.example")
        connection = Connection(fails_at="execute", error=error)
        with pytest.raises(ConfigurationError) as caught:
            read(source(connection), ["v"], tmp_path)
        assert caught.value.why == ", ".join(filter(None, ("ProgrammingError", code)))


def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    def connect() -> Any:
        raise driver_error("OperationalError", "DatabaseError")

    with pytest.raises(TransientError, match="OperationalError") as caught:
        read(SqlSource(connect, "SELECT 1"), ["v"], tmp_path)
    assert "secret" not in str(caught.value)


def test_other_errors_are_passed_on(tmp_path: Path) -> None:
    def connect() -> Any:
        raise LookupError("no connection 'crm'")

    with pytest.raises(LookupError):
        read(SqlSource(connect, "SELECT 1"), ["v"], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stop_early(Connection())


def stop_early(connection: Connection) -> None:
    try:
        with source(connection).open(["v"], Path()) as reading:
            next(reading.blocks)
            raise KeyboardInterrupt
    finally:
        # In this order: a cursor of MySQL reads all that is left before it closes.
        assert connection.closing == ["connection", "cursor"]


def test_an_error_while_closing_does_not_hide_what_happened(tmp_path: Path) -> None:
    class Stubborn(Connection):
        def close(self) -> None:
            raise driver_error("InterfaceError", "Error")

    connection = Stubborn()
    assert column(source(connection), "v", tmp_path) == ["a"]
    assert connection.cursors[0].closed
