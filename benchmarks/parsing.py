"""Cost of parsing the DAGs of the definitions, next to no-op DAGs with as many tasks."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.definitions import in_a_loop, project, written_by_hand
from benchmarks.figures import PYTHON_PATH, ROOT, Entry, figure
from benchmarks.page_data import environment, migrate

WANTED = 1.5
"""Times the DAGs that do nothing, at the most definitions."""

WANTED_IMPORT = 150.0
"""Milliseconds, at most."""


def _parse(home: Path, bundle: Path, files: Sequence[Path | str]) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, "-W", "ignore", "-m", "benchmarks.parse_once", str(bundle), *map(str, files)],
        cwd=ROOT,
        env=environment(
            home,
            PYTHONPATH=PYTHON_PATH,
            AIRFLOW__LOGGING__LOGGING_LEVEL="CRITICAL",
            # However busy the machine is.
            AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT="600",
        ),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"Parsing in {bundle} ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def figures(folder: Path, settings: Mapping[str, str]) -> Iterator[Entry]:
    """Return the entries of the report, each with its target.

    :param settings: ``DEFINITIONS`` (several numbers) and ``ROUNDS``.
    """
    counts = [int(count) for count in settings.get("DEFINITIONS", "1 100 1000").split()]
    rounds = int(settings.get("ROUNDS", "3"))
    home = folder / "parsing"
    migrate(home)
    for count in counts:
        place = home / f"of-{count}"
        ours = project(place / "project", count)
        found = _parse(home, ours.parent, [ours])["tasks"]
        tasks = {kind: found[f"{kind}_list_00000"] for kind in ("onboard", "activate")}
        rivals: dict[str, tuple[Path, list[Path]]] = {
            "ours": (ours.parent, [ours]),
            "by hand": (place / "by_hand", written_by_hand(place / "by_hand", count, tasks)),
            "in a loop": (place / "loop", [in_a_loop(place / "loop", count, tasks)]),
        }
        seconds: dict[str, list[float]] = {name: [] for name in rivals}
        for number in range(rounds):
            for name, (bundle, files) in list(rivals.items())[:: 1 if number % 2 else -1]:
                result = _parse(home, bundle, files)
                assert {dag: len(names) for dag, names in result["tasks"].items()} == {
                    dag: len(names) for dag, names in found.items()
                }
                seconds[name].append(1000 * result["seconds"] / len(found))
            print(
                f"  round {number + 1}  {count:>5,} definitions "
                + "  ".join(f"{name} {values[-1]:.2f}" for name, values in seconds.items()),
                flush=True,
            )
        median = {name: statistics.median(values) for name, values in seconds.items()}
        size = f"{count:,} definition(s), {len(found):,} DAGs, {sum(map(len, found.values())):,} tasks"
        what = f"Parse and serialize, {size}"
        wanted = f"wanted: at most {WANTED:g}" if count == max(counts) else ""
        for name, text in (
            ("by hand", "as many tasks of EmptyOperator, a file for each DAG"),
            ("in a loop", "the same DAGs of EmptyOperator, made by one file in a loop"),
        ):
            yield (
                figure(f"{what}, processor", median["ours"], "ms a DAG", (text, median[name]), digits=2),
                wanted if name == "by hand" else "",
            )
    place = project(home / "one" / "project", 1).parent
    loads = [_parse(home, place, ["-"]) for _ in range(max(rounds, 3))]
    yield (
        figure(
            "Import of the package beyond airflow.sdk, by the clock",
            1000 * min(item["import"] for item in loads),
            "ms",
            ("target", WANTED_IMPORT),
            digits=1,
        ),
        f"wanted: less than {WANTED_IMPORT:g} ms",
    )
    yield (
        figure(
            "All that the first definition loads and makes beyond that, once a process",
            1000 * min(item["first"] for item in loads),
            "ms",
            digits=1,
        ),
        "",
    )
