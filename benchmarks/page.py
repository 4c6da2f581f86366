"""How fast the Audiences page answers: over HTTP, by Airflow's own API server, from a year of loads."""

from __future__ import annotations

import http.client
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.figures import PYTHON_PATH, ROOT, Entry, figure
from benchmarks.page_data import environment, fill, migrate

FEW = 10
GOAL = 300
"""Milliseconds, at the 95th percentile."""

VIEWS = {
    "table": "/api/audiences",
    "table, by match rate": "/api/audiences?" + urlencode({"sort": "-match_rate"}),
    "table, search": "/api/audiences?" + urlencode({"search": "number 7"}),
    "one audience": "/api/audiences/list_00006",
    "its loads": "/api/audiences/list_00006/loads?limit=400",
}


@contextmanager
def _server(home: Path) -> Iterator[tuple[int, str]]:
    """Airflow's API server with the plugin; gives port and token."""
    reading, writing = os.pipe()
    process = subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-W", "ignore", "-c", _START.format(writing=writing)],
        cwd=ROOT,
        env=environment(home, PYTHONPATH=PYTHON_PATH, AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writing,),
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            port, token = told.readline().strip(), told.readline().strip()
        if not token:
            raise SystemExit("The API server of the benchmark did not start")
        yield int(port), token
    finally:
        process.kill()
        process.wait()


_START = "import os; os.dup2({writing}, 3); from benchmarks.page_server import main; main()"


def _ask(connection: http.client.HTTPConnection, token: str, path: str) -> tuple[float, int]:
    """Seconds of one request, and its statements."""
    began = time.perf_counter()
    connection.request("GET", f"/audience-onboarding{path}", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - began
    if answer.status != 200 or not body.startswith(b"{"):
        raise SystemExit(f"{path} was answered with {answer.status}")
    return seconds, int(answer.headers["x-statements"])


def measure(folder: Path, *, audiences: int, loads: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Each view with its seconds, sorted, and its statements at few and at many audiences."""
    template = migrate(folder / "empty")
    many: dict[str, list[float]] = {}
    statements: dict[str, dict[int, int]] = {name: {} for name in VIEWS}
    for number in (FEW, audiences):
        home = folder / f"of-{number}"
        home.mkdir()
        shutil.copy(template, home / "airflow.db")
        fill(home / "airflow.db", audiences=number, loads=loads, today=datetime.now(timezone.utc).date())
        with _server(home) as (port, token):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            for name, path in VIEWS.items():
                # The first requests import modules and compile the statements.
                for _ in range(3):
                    _, statements[name][number] = _ask(connection, token, path)
                if number == audiences:
                    many[name] = sorted(_ask(connection, token, path)[0] for _ in range(rounds))
        shutil.rmtree(home)
    for name, seconds in many.items():
        yield {"name": name, "seconds": seconds, "statements": statements[name]}


def figures(folder: Path, settings: Mapping[str, str]) -> Iterator[Entry]:
    """Return the entries of the report, each with its target.

    :param settings: ``AUDIENCES``, ``LOADS`` and ``REQUESTS``.
    """
    audiences = int(settings.get("AUDIENCES", "1000"))
    loads, rounds = int(settings.get("LOADS", "365")), int(settings.get("REQUESTS", "100"))
    print("A year of Airflow is written first, which takes a minute or two", flush=True)
    of = f"{audiences:,} audiences x {loads:,} loads"
    for found in measure(folder, audiences=audiences, loads=loads, rounds=rounds):
        milliseconds = [1000 * seconds for seconds in found["seconds"]]
        p95 = milliseconds[min(len(milliseconds) - 1, int(0.95 * len(milliseconds)))]
        name = f"Audiences page, {found['name']}, {of}"
        yield figure(f"{name}: median", statistics.median(milliseconds), "ms", digits=1), ""
        goal = ("target", float(GOAL))
        yield figure(f"{name}: 95th percentile", p95, "ms", goal, digits=1), f"wanted: less than {GOAL} ms"
        few = (f"with {FEW} audiences", float(found["statements"][FEW]))
        yield figure(f"{name}: statements", found["statements"][audiences], "", few), "wanted: as many"
