"""Airflow's time for a load and for a backfill of a year, next to a no-op DAG with as many tasks.

Runs a real Airflow with all its components, and vendors that respond at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from benchmarks.databases import Database, database
from benchmarks.definitions import project
from benchmarks.figures import Entry, figure, parse_datetime
from scripts.local_stack import Airflow, Sandbox, wait_for

WANTED = 1.25
"""Times the DAG that does nothing."""

IN_ORDER, ANY_ORDER = AUDIENCES = ("list_00000", "list_00001")
"""The first loads its dates in order, which is the default; the second in any order."""
OURS = f"onboard_{IN_ORDER}"
NO_OP = "no_op"
LAST = date(2026, 11, 20)
PEOPLE = 100
ENDED = ("success", "failed")
ACTIVE_RUNS = 10
"""Concurrent runs of a backfill; the default of Airflow's dialog."""

NO_OP_DAG = """\
from datetime import datetime

from airflow.sdk import DAG, task

with DAG(
    "no_op", schedule="0 6 * * *", start_date=datetime(2025, 1, 1), catchup=False, default_args={{"retries": 3}}
):

    def nothing():
        pass

    names = [f"task_{{number}}" for number in range({tasks})]
    first, second, *others = [task(task_id=name)(nothing)() for name in names]
    # As in an onboarding DAG: the first two beside each other, then one after the other.
    last = [first, second]
    for other in others:
        last >> other
        last = other
"""


class Pace(NamedTuple):
    """Of a backfill.

    :ivar seconds: per run, by the clock.
    :ivar work: seconds of one core per run, of all that ran on this machine.
    """

    seconds: float
    work: float


def _worked() -> float:
    """Seconds that the machine's cores have worked since it was started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0))


class Runs:
    """An Airflow with all DAGs.

    :param address: of its database.
    :param days: for which there are extracts.
    """

    def __init__(self, folder: Path, address: str, *, days: int) -> None:
        self._address = address
        self._project = folder / "project"
        dags = project(self._project, len(AUDIENCES))
        self._dags = dags.parent
        for audience in AUDIENCES:
            self._write(audience, days)
        self._sandbox = Sandbox(folder, fanfare_pending_delay=0, fanfare_import_delay=0)
        self._home = folder / "airflow"
        self.airflow: Airflow

    def _write(self, audience: str, days: int) -> None:
        include = self._project / "include"
        file = include / "audiences" / f"{audience}.yaml"
        definition = yaml.safe_load(file.read_text())
        # Fanfare can confirm at once: Digital Audience processes a file by the next day.
        del definition["activation"], definition["campaign"]
        definition |= {"platform": "fanfare", "allow_unhashed": True}
        definition["schedule"] |= {"cron": "0 6 * * *", "start": LAST - timedelta(days=days)}
        if audience == ANY_ORDER:
            definition["upload"] = {"wait_for_earlier_loads": "never"}
        file.write_text(yaml.safe_dump(definition))
        crm = include / "crm" / audience
        crm.mkdir(parents=True)
        for number in range(-days, days):
            rows = [
                f"person{row}.{number + days}@example.com,0612{row:03}{number + days:03}"
                for row in range(PEOPLE)
            ]
            (crm / f"{LAST + timedelta(days=number)}.csv").write_text(
                "\n".join(["E-mail,Mobile", *rows]) + "\n"
            )

    def start(self) -> int:
        """Start all, and load each twice: to create the audience, and to see how many tasks a load runs then.

        :return: that number.
        """
        self._sandbox.start()
        self.airflow = Airflow(
            self._home,
            definitions=self._project / "include" / "audiences",
            env={
                **self._sandbox.connections(),
                "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._address,
            },
        )
        self.airflow.start()
        for audience in AUDIENCES:
            dag_id = f"onboard_{audience}"
            self.airflow.wait_for_dags(dag_id)
            self.airflow.unpause(dag_id)
            self.run(dag_id, {"load_date": LAST.isoformat()})
            run_id = self.run(dag_id, {"load_date": (LAST + timedelta(days=1)).isoformat()})
        # A skipped task that never ran has no host.
        executed = [task["task_id"] for task in self.airflow.tasks(dag_id, run_id) if task["hostname"]]
        (self._dags / "no_op.py").write_text(NO_OP_DAG.format(tasks=len(executed)))
        self.airflow.wait_for_dags(NO_OP)
        self.airflow.unpause(NO_OP)
        self.run(NO_OP, {})
        return len(executed)

    def run(self, dag_id: str, conf: Mapping[str, str]) -> str:
        """One run by hand, to its end; gives its id."""
        run_id = self.airflow.trigger(dag_id, conf)
        state = self.airflow.wait_for_run(dag_id, run_id)
        if state != "success":
            raise SystemExit(f"{dag_id}: {self.airflow.task_states(dag_id, run_id)}, see {self._home}")
        return run_id

    def seconds(self, dag_id: str, conf: Mapping[str, str]) -> float:
        """How long a run takes, by Airflow's own clock."""
        run = self.airflow.run(dag_id, self.run(dag_id, conf))
        return (parse_datetime(run["end_date"]) - parse_datetime(run["start_date"])).total_seconds()

    def backfill(self, dag_id: str, first: date, last: date, *, at_once: int = ACTIVE_RUNS) -> Pace:
        """Backfill a range of days."""
        days = (last - first).days + 1
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T23:59:00Z",
            "max_active_runs": at_once,
        }

        def count(*states: str) -> int:
            asked = "&".join(f"state={state}" for state in states)
            found = self.airflow.api(f"dags/{dag_id}/dagRuns?run_type=backfill&limit=1&{asked}")
            return int(found["total_entries"])

        before = count(*ENDED)
        began, worked = time.monotonic(), _worked()
        self.airflow.api("backfills", method="POST", json=body)

        wait_for(
            lambda: count(*ENDED) >= before + days,
            f"The backfill of {dag_id}",
            timeout=120 + 60 * days,
            interval=1,
        )
        pace = Pace((time.monotonic() - began) / days, (_worked() - worked) / days)
        self.airflow.wait_for_backfills(dag_id)
        if count("success") != before + days:
            raise SystemExit(f"{dag_id}: not all runs of the backfill have succeeded, see {self._home}")
        return pace

    def stop(self) -> None:
        """End all."""
        if hasattr(self, "airflow"):
            self.airflow.stop()
        self._sandbox.stop()


def figures(folder: Path, settings: Mapping[str, str]) -> Iterator[Entry]:
    """Return the entries of the report, each with its target.

    :param settings: ``RUNS`` (10), ``BACKFILL_DAYS`` (365), and ``RUNS_DATABASE`` (``sqlite``, or nothing: PostgreSQL
        if this machine has a server).
    """
    with database(folder / "runs-database", settings.get("RUNS_DATABASE", "")) as databases:
        yield from _figures(folder, databases, settings)


def _figures(folder: Path, databases: Database, settings: Mapping[str, str]) -> Iterator[Entry]:
    count, days = int(settings.get("RUNS", "10")), int(settings.get("BACKFILL_DAYS", "365"))
    runs = Runs(folder / "runs", databases.copy("runs"), days=days + count + 2)
    try:
        tasks = runs.start()
        name = f"of {tasks} tasks"
        seconds: dict[str, list[float]] = {OURS: [], NO_OP: []}
        for number in range(count):
            conf = {"load_date": (LAST + timedelta(days=2 + number)).isoformat()}
            for dag_id in (OURS, NO_OP) if number % 2 else (NO_OP, OURS):
                seconds[dag_id].append(runs.seconds(dag_id, conf if dag_id == OURS else {}))
            print(
                f"  run {number + 1}  ours {seconds[OURS][-1]:.1f} s  no-op {seconds[NO_OP][-1]:.1f} s",
                flush=True,
            )
        ours, no_op = (statistics.median(seconds[dag_id]) for dag_id in (OURS, NO_OP))
        yield (
            figure(
                f"A whole load, {name}, {databases.name}",
                ours,
                "s",
                (f"a DAG {name} that do nothing", no_op),
                digits=2,
            ),
            f"wanted: at most {WANTED:g}",
        )
        yield from _backfills(runs, days, name, databases.name)
    finally:
        runs.stop()


def _backfills(runs: Runs, days: int, name: str, server: str) -> Iterator[Entry]:
    """The loads of an audience in any order, and one after the other, each beside tasks that do nothing likewise."""
    first, last = LAST - timedelta(days=days), LAST - timedelta(days=1)
    # By default, Airflow does not backfill a date twice.
    before, its_last = first - timedelta(days=days), first - timedelta(days=1)
    # The first wait of a triggerer starts its client of Airflow's API, which takes many seconds, once.
    runs.backfill(OURS, first - timedelta(days=2), first - timedelta(days=1))
    for audience, order, of_no_op, at_once in (
        (ANY_ORDER, f"in any order, {ACTIVE_RUNS} runs at once", (first, last), ACTIVE_RUNS),
        (IN_ORDER, "one after the other", (before, its_last), 1),
    ):
        ours = runs.backfill(f"onboard_{audience}", first, last)
        no_op = runs.backfill(NO_OP, *of_no_op, at_once=at_once)
        print(
            f"  {days} days {order}: {ours.seconds:.2f} s a run, no-op {no_op.seconds:.2f} s; "
            f"of a core {ours.work:.2f} s, no-op {no_op.work:.2f} s",
            flush=True,
        )
        text = f"Backfill of {days} days of small loads, {name} each, {server}, {order}"
        baseline = f"the DAG {name} that do nothing, likewise"
        yield (
            figure(text, ours.seconds, "s a run", (baseline, no_op.seconds), digits=2),
            f"wanted: at most {WANTED:g}",
        )
        yield figure(text, 60 / ours.seconds, "runs a minute", digits=1), ""
        yield figure(text, ours.work, "s of a core a run", (baseline, no_op.work), digits=2), ""
