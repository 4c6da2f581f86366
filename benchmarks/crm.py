"""Speed and memory of the CRM engine, next to other tools for the same work."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import PYTHON_PATH, ROOT, Entry, figure

# Names only: this process stays small, imports nothing heavy and does no work beside the measured one.
NAMES = {
    "engine": "CRM engine, all rules, chunks consumed",
    "engine_to_file": "CRM engine, all rules, to a file",
    "engine_to_s3": "CRM engine, all rules, uploaded to an S3 endpoint that swallows bytes",
    "row_by_row": "csv and hashlib row by row, no rules",
    "pandas_apply": "pandas apply with phonenumbers, a slice",
    "scan_and_hash": "Polars, bare scan and hash, no rules",
}
MEMORY_LIMIT_MIB = 1.2 * 1024


@dataclass(frozen=True)
class Comparison:
    """One figure: ``what`` over ``baseline``, both in rows per second.

    :param wanted: the ratio that the project wants. Printed, never asserted: a benchmark that fails is one that
        people stop running.
    """

    what: str
    baseline: str
    wanted: float


COMPARISONS = (
    Comparison("engine_to_file", "row_by_row", 8),
    Comparison("engine_to_file", "pandas_apply", 18),
    Comparison("engine_to_file", "scan_and_hash", 0.5),
    Comparison("engine_to_s3", "engine", 0.85),
)


class Bench:
    """The rounds of one run.

    :param folder: for the extract and the contenders' output.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self._source = folder / "extract.csv"
        self._target = folder / "out" / "out.csv"
        self._rows = rows
        self.results: dict[str, list[dict[str, Any]]] = {}

    def write_extract(self) -> int:
        """Generate the input; gives its bytes."""
        _python("benchmarks.extract", str(self._source), str(self._rows))
        # Leaves the file in the page cache and lets its writing end before anything is measured.
        with self._source.open("rb") as file:
            os.fsync(file.fileno())
        return self._source.stat().st_size

    def run(self, name: str, port: int) -> dict[str, Any]:
        """Run one contender once."""
        self._target.parent.mkdir()
        try:
            answer = _python(
                "benchmarks.contenders",
                name,
                str(self._source),
                str(self._target),
                str(self._rows),
                str(port),
            )
        finally:
            # Deleted before the kernel writes it to the disk, which would slow down the next one.
            self._target.unlink(missing_ok=True)
            self._target.parent.rmdir()  # fails where the engine left something behind
        result: dict[str, Any] = json.loads(answer)
        self.results.setdefault(name, []).append(result)
        return result

    def rate(self, name: str) -> float:
        """Rows per second: the median of the rounds."""
        return statistics.median(float(result["rows"] / result["seconds"]) for result in self.results[name])

    def peak(self, name: str) -> float:
        """Memory in MiB: the most of all rounds."""
        return float(max(result["peak_mib"] for result in self.results[name]))

    def rows(self, name: str) -> int:
        """Rows that a contender read."""
        return int(self.results[name][0]["rows"])


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PYTHON_PATH, "PYTHONHASHSEED": "0", "NO_PROXY": "127.0.0.1"}


def _python(module: str, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 (our own modules)
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


@contextmanager
def sink() -> Iterator[int]:
    """The endpoint that swallows bytes, in a process of its own; gives its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink"],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def rates(bench: Bench) -> Iterator[Entry]:
    """Return each comparison with its target."""
    for each in COMPARISONS:
        name, baseline = (
            f"{NAMES[contender]}, {bench.rows(contender):,} rows" for contender in (each.what, each.baseline)
        )
        value = figure(name, bench.rate(each.what), "rows/s", (baseline, bench.rate(each.baseline)))
        yield value, f"wanted: at least {each.wanted:g}"


def memory(bench: Bench, names: Iterable[str]) -> Iterator[Entry]:
    """Peak memory of each process, the engine's beside the limit that the project sets itself."""
    for name in names:
        ours = name.startswith("engine")
        limit = ("the limit that the project sets itself", MEMORY_LIMIT_MIB) if ours else None
        yield (
            figure(f"Peak memory: {NAMES[name]}, {bench.rows(name):,} rows", bench.peak(name), "MiB", limit),
            f"wanted: less than {MEMORY_LIMIT_MIB:,.0f} MiB" if ours else "",
        )


def alone(bench: Bench, names: Iterable[str]) -> Iterator[Entry]:
    """Rates without anything to compare them with."""
    for name in names:
        yield figure(f"{NAMES[name]}, {bench.rows(name):,} rows", bench.rate(name), "rows/s", None), ""


def measure(bench: Bench, names: Sequence[str], rounds: int) -> None:
    """Run all contenders interleaved, so that a slow phase of the machine hits all; each round starts with another."""
    with sink() as port:
        for number in range(rounds):
            start = number % len(names)
            for name in (*names[start:], *names[:start]):
                result = bench.run(name, port)
                rate = result["rows"] / result["seconds"]
                print(
                    f"  round {number + 1}  {name:<15} {result['seconds']:8.2f} s {rate:12,.0f} rows/s"
                    f" {result['peak_mib']:8.0f} MiB",
                    flush=True,
                )


def figures(folder: Path, settings: Mapping[str, str], *, only: Sequence[str] = ()) -> Iterator[Entry]:
    """Return the entries of the report, each with its target.

    :param settings: ``ROWS`` and ``ROUNDS``.
    :param only: contenders; their rates alone then, compared with nothing.
    """
    rows, rounds = int(settings.get("ROWS", "5000000")), int(settings.get("ROUNDS", "3"))
    names = only or list(NAMES)
    bench = Bench(folder, rows)
    size = bench.write_extract()
    print(
        f"{rows:,} rows, {size / 1e6:,.0f} MB, generated and the same each time; {rounds} round(s);"
        f" {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores,"
        f" Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    measure(bench, names, rounds)
    yield from alone(bench, names) if only else rates(bench)
    yield from memory(bench, names)
