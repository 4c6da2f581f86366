"""Move the clock of every Python process of a run: ``make test CLOCK=+400d``.

Python imports a module of this name at its start when its folder is on ``PYTHONPATH``. With ``CLOCK_OFFSET`` set, in
seconds, :func:`move` then lets this process and its forks read a clock that is ahead by so much. So does SQLite in
them, because Airflow's scheduler compares times with ``CURRENT_TIMESTAMP``. Modification times of files and the C
library keep the machine's time.

As a script, it computes the offset once for all processes of a run::

    python scripts/moved_clock/sitecustomize.py +400d
    python scripts/moved_clock/sitecustomize.py 2028-02-29T23:59
"""

import os
import re
import sqlite3
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

DAYS = re.compile(r"([+-]\d+)d")


def offset(text: str, now: datetime) -> float:
    """Return the seconds between ``now`` and the clock that ``text`` asks for.

    :param text: days, such as ``+400d``, or a time in UTC, such as ``2028-02-29T23:59``.
    :raises ValueError: it is neither.
    """
    if days := DAYS.fullmatch(text):
        return timedelta(days=int(days[1])).total_seconds()
    wanted = datetime.fromisoformat(text)
    return (wanted.replace(tzinfo=wanted.tzinfo or timezone.utc) - now).total_seconds()


def move(seconds: float) -> None:
    """Move the clock of this process by ``seconds``."""
    try:
        import time_machine
    except ImportError:
        # Not the project's environment: a tool of the system, or the Python that makes the environment.
        return
    time_machine.travel(datetime.now(timezone.utc) + timedelta(seconds=seconds), tick=True).start()
    connect = sqlite3.connect

    def moved_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.create_function("CURRENT_TIMESTAMP", 0, lambda: f"{datetime.now(timezone.utc):%F %T}")
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = moved_connect  # type: ignore[assignment]


if __name__ == "__main__":
    try:
        print(offset(sys.argv[1], datetime.now(timezone.utc)))
    except ValueError:
        sys.exit(f"Invalid CLOCK={sys.argv[1]}. Use days (+400d) or a time in UTC (2028-02-29T23:59).")
elif __name__ == "sitecustomize" and "CLOCK_OFFSET" in os.environ:
    move(float(os.environ["CLOCK_OFFSET"]))
