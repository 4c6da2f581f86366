"""Temporary metadata database: PostgreSQL if this machine has a server, else SQLite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from benchmarks.page_data import environment


class Database(Protocol):
    """Databases that Airflow has migrated.

    :ivar name: of the server, for people.
    """

    name: str

    def copy(self, name: str) -> str:
        """A new one, empty; gives its address for SQLAlchemy."""


def programs() -> Path | None:
    """Return the program folder of the newest PostgreSQL server of this machine."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    return found[0].parent if found else None


def _migrate(home: Path, address: str) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "airflow", "db", "migrate"],
        env=environment(home, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=address),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class Sqlite:
    """Files."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        _migrate(folder, f"sqlite:///{folder}/empty.db")

    def copy(self, name: str) -> str:
        """A new one, empty; gives its address for SQLAlchemy."""
        shutil.copy(self._folder / "empty.db", self._folder / f"{name}.db")
        return f"sqlite:///{self._folder}/{name}.db"


class Postgres:
    """A server of its own, that listens on a socket only.

    :param bin_folder: see :func:`programs`.
    :param folder: of its files, empty; short, as the path of a socket may have some 100 characters.
    :param home: for Airflow while it migrates.
    """

    def __init__(self, bin_folder: Path, folder: Path, home: Path) -> None:
        self.name = f"PostgreSQL {bin_folder.parts[-2]}"
        self._bin, self._folder = bin_folder, folder
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "--pgdata", f"{folder}/data", "--username", "airflow", "--auth", "trust")
        self._run(
            "pg_ctl",
            "--pgdata",
            f"{folder}/data",
            "--log",
            f"{folder}/log",
            "--options",
            f"-c listen_addresses= -c unix_socket_directories={folder}",
            "--wait",
            "start",
        )
        try:
            self._sql("CREATE DATABASE empty")
            _migrate(home, self._address("empty"))
        except BaseException:
            self.stop()
            raise

    def copy(self, name: str) -> str:
        """A new one, empty; gives its address for SQLAlchemy."""
        self._sql(f"CREATE DATABASE {name} TEMPLATE empty")
        return self._address(name)

    def stop(self) -> None:
        """Stop the server and close all connections."""
        self._run("pg_ctl", "--pgdata", f"{self._folder}/data", "--mode", "immediate", "--wait", "stop")

    def _address(self, name: str) -> str:
        return f"postgresql+psycopg2://airflow@/{name}?host={self._folder}"

    def _sql(self, statement: str) -> None:
        self._run(
            "psql", "--host", str(self._folder), "--username", "airflow", "--command", statement, "postgres"
        )

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603 (a program of the server, with our own arguments)
            [self._bin / program, *arguments],
            cwd=self._folder,
            user=self._user,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def database(folder: Path, kind: str = "") -> Iterator[Database]:
    """A server for the while.

    :param folder: for files; made.
    :param kind: ``sqlite``, or empty: PostgreSQL if installed.
    """
    folder.mkdir(parents=True)
    bin_folder = programs()
    if kind == "sqlite" or bin_folder is None:
        yield Sqlite(folder)
        return
    # Not below the other one, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="pg-") as own:
        server = Postgres(bin_folder, Path(own), folder)
        try:
            yield server
        finally:
            server.stop()
