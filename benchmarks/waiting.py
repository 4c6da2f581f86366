"""Cost of waiting: audiences deferred on one triggerer, next to a trigger that only sleeps and GETs."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.databases import Database, database
from benchmarks.figures import PYTHON_PATH, ROOT, Entry, figure
from benchmarks.page_data import environment

NAMES = {"bare": "trigger that only sleeps and GETs", "ours": "waiting"}
LATE = 0.1
"""Highest allowed lateness of 99 of 100 polls, as a fraction of the interval."""
TIMES = 1.5
"""Highest allowed processor time of a wait, as a multiple of the bare trigger's."""
START = 120.0
"""Seconds until the first poll that the triggerer may take, in addition to the time to assign the triggers."""
HANDED_OUT = 10
"""Triggers a second that a triggerer takes on at least; 50 in each of its rounds of a second or so."""


@dataclass(frozen=True)
class Settings:
    """Size of the measurement.

    :param audiences: how many wait.
    :param poll_interval: seconds between two polls of one of them.
    :param intervals: how many of these are measured.
    :param database: ``sqlite``, or empty: PostgreSQL if installed.
    """

    audiences: int
    poll_interval: float
    intervals: int
    database: str


@dataclass
class Measured:
    """Cost of one kind of trigger.

    :ivar late: lateness of each poll, in seconds; sorted. A poll is due one interval after the poll before it.
    :ivar processor: seconds of one core, for each interval, all processes of the triggerer together.
    :ivar memory: the most of them together, in MiB; pages that they share count once.
    :ivar polls: for each interval.
    :ivar logins: from the start on.
    :ivar first: seconds from the start of the triggerer until each audience has been polled once.
    """

    late: list[float] = field(default_factory=list)
    processor: float = 0.0
    memory: float = 0.0
    polls: float = 0.0
    logins: int = 0
    first: float = 0.0

    def percentile(self, part: float) -> float:
        """Of the lateness, in milliseconds."""
        return 1000 * self.late[min(len(self.late) - 1, int(part * len(self.late)))]


class Vendor:
    """Client of :mod:`.waiting_vendor` in a process of its own."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._port = port
        self.polls: list[tuple[int, float]] = []
        self.logins = 0
        self.first: dict[int, float] = {}
        self.counts: dict[int, int] = defaultdict(int)

    def ask(self) -> None:
        """Fetch the polls and logins that the vendor has recorded."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", f"/recorded/{len(self.polls)}")
        recorded = json.loads(connection.getresponse().read())
        connection.close()
        self.logins = recorded["logins"]
        for number, polled_at in recorded["polls"]:
            self.polls.append((number, polled_at))
            self.first.setdefault(number, polled_at)
            self.counts[number] += 1

    def late(self, begin: float, end: float, interval: float) -> list[float]:
        """Return the lateness of each poll between two times, sorted."""
        last: dict[int, float] = {}
        late = []
        for number, polled_at in self.polls:
            if number in last and begin <= polled_at < end:
                late.append(polled_at - last[number] - interval)
            last[number] = polled_at
        return sorted(late)


@contextmanager
def _vendor() -> Iterator[Vendor]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.waiting_vendor"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield Vendor(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


class Triggerer:
    """Airflow's own triggerer, with enough capacity for all triggers."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def check(self) -> None:
        """Stop the benchmark if the triggerer has ended."""
        if self._process.poll() is not None:
            raise SystemExit(f"The triggerer has ended:\n{self._log.read_text(errors='replace')[-4000:]}")

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self._process.pid)
        return [process, *process.children(recursive=True)]

    def processor(self) -> float:
        """Seconds of one core so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes())

    def memory(self) -> float:
        """Return the memory in MiB; shared pages count once."""
        return sum(_own_share(process.pid) for process in self._processes()) / 2**20


def _own_share(pid: int) -> int:
    if sys.platform == "linux":
        return int(psutil.Process(pid).memory_full_info().pss)
    return int(psutil.Process(pid).memory_info().rss)


@contextmanager
def _triggerer(home: Path, address: str, capacity: int) -> Iterator[Triggerer]:
    log = home / "triggerer.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 (Airflow's own command)
            [
                *(sys.executable, "-W", "ignore", "-m", "airflow", "triggerer"),
                *("--skip-serve-logs", "--capacity", str(capacity)),
            ],
            cwd=ROOT,
            env=_environment(home, address),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Triggerer(process, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


def _environment(home: Path, address: str) -> dict[str, str]:
    return environment(
        home,
        PYTHONPATH=PYTHON_PATH,
        AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
        AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=address,
        # One for all processes: the password of the connection is stored with it.
        AIRFLOW__CORE__FERNET_KEY="YmVuY2htYXJrYmVuY2htYXJrYmVuY2htYXJrYmVuY2g=",
        AIRFLOW__API_AUTH__JWT_SECRET="benchmark" * 8,
    )


def _polls_before(kind: str, interval: float) -> int:
    """Return the number of polls of an audience up to the first that follows after a whole interval."""
    delay, polls = 5.0, 2
    while kind == "ours" and delay < interval:
        delay, polls = delay * 2, polls + 1
    return polls


def _until(vendor: Vendor, triggerer: Triggerer, settings: Settings, polls: int) -> None:
    """Wait until the triggerer has polled each audience so often."""
    allowed = START + settings.audiences / HANDED_OUT + 2 * polls * settings.poll_interval
    deadline = time.monotonic() + allowed
    while len(vendor.counts) < settings.audiences or min(vendor.counts.values()) < polls:
        triggerer.check()
        if time.monotonic() > deadline:
            behind = settings.audiences - sum(1 for count in vendor.counts.values() if count >= polls)
            raise SystemExit(f"{behind} audiences were not polled {polls} times within {allowed:.0f} s")
        time.sleep(0.5)
        vendor.ask()


def run(kind: str, folder: Path, databases: Database, settings: Settings) -> Measured:
    """Measure one kind of trigger.

    :param kind: ``ours`` or ``bare``.
    """
    home = folder / f"waiting-{kind}"
    home.mkdir()
    address = databases.copy(f"waiting_{kind}")
    with _vendor() as vendor:
        values = [kind, str(settings.audiences), str(settings.poll_interval), vendor.address]
        _fill(home, address, values)
        began = time.monotonic()
        with _triggerer(home, address, settings.audiences) as triggerer:
            _until(vendor, triggerer, settings, _polls_before(kind, settings.poll_interval))
            measured = Measured(first=max(vendor.first.values()) - began)
            before, begin = triggerer.processor(), time.monotonic()
            for number in range(settings.intervals):
                time.sleep(max(0.0, begin + (number + 1) * settings.poll_interval - time.monotonic()))
                triggerer.check()
                measured.memory = max(measured.memory, triggerer.memory())
            took, end = triggerer.processor() - before, time.monotonic()
            vendor.ask()
    intervals = (end - begin) / settings.poll_interval
    measured.late = vendor.late(begin, end, settings.poll_interval)
    measured.processor = took / intervals
    measured.polls = len(measured.late) / intervals
    measured.logins = vendor.logins
    return measured


def _fill(home: Path, address: str, values: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, "-W", "ignore", "-m", "benchmarks.waiting_rows", *values],
        cwd=ROOT,
        env=_environment(home, address),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"The rows of the benchmark could not be written:\n{done.stderr[-4000:]}")


def figures(folder: Path, settings: Mapping[str, str]) -> Iterator[Entry]:
    """Return the entries of the report, each with its target.

    :param settings: ``AUDIENCES_WAITING``, ``POLL_SECONDS``, ``INTERVALS``, and ``WAITING_DATABASE`` (``sqlite``, or
        nothing: PostgreSQL where this machine has a server).
    """
    size = Settings(
        audiences=int(settings.get("AUDIENCES_WAITING", "2000")),
        poll_interval=float(settings.get("POLL_SECONDS", "60")),
        intervals=int(settings.get("INTERVALS", "3")),
        database=settings.get("WAITING_DATABASE", ""),
    )
    with database(folder / "waiting-database", size.database) as databases:
        of = f"{size.audiences:,} audiences, every {size.poll_interval:g} s, {databases.name}"
        measured = {kind: run(kind, folder, databases, size) for kind in NAMES}
    ours, bare = measured["ours"], measured["bare"]
    for kind, each in measured.items():
        yield from _lateness(
            f"{NAMES[kind].capitalize()}, {of}", each, size.poll_interval, is_ours=kind == "ours"
        )
    name = f"{NAMES['ours'].capitalize()}, {of}"
    yield (
        figure(
            f"{name}: processor time per interval",
            ours.processor,
            "s",
            (NAMES["bare"], bare.processor),
            digits=2,
        ),
        f"wanted: at most {TIMES:g}",
    )
    share, its_share = (100 * each.processor / size.poll_interval for each in (ours, bare))
    yield figure(f"{name}: part of one core", share, "%", (NAMES["bare"], its_share), digits=2), ""
    yield figure(f"{name}: memory", ours.memory, "MiB", (NAMES["bare"], bare.memory), digits=2), ""
    yield figure(f"{name}: requests per interval", ours.polls, "", (NAMES["bare"], bare.polls), digits=2), ""
    yield figure(f"{name}: logins in all", ours.logins, "", ("the accounts", 1.0), digits=2), "wanted: 1"
    yield (
        figure(
            f"{name}: first poll of all audiences", ours.first, "s", (NAMES["bare"], bare.first), digits=2
        ),
        "",
    )


def _lateness(name: str, measured: Measured, interval: float, *, is_ours: bool) -> Iterator[Entry]:
    baseline = ("the interval", 1000 * interval)
    yield (
        figure(f"{name}: lateness of a poll, median", measured.percentile(0.5), "ms", baseline, digits=2),
        "",
    )
    target = f"wanted: less than {LATE:g}" if is_ours else ""
    yield (
        figure(
            f"{name}: lateness of a poll, 99th percentile",
            measured.percentile(0.99),
            "ms",
            baseline,
            digits=2,
        ),
        target,
    )
