"""Every exchange x every fault, every kill, and thousands of random schedules: ``make chaos``.

    python -m tests.chaos.sweep [--schedules N] [--seed S] [--jobs J] [--only FLOW] [--out build/chaos.json]

First each flow runs undisturbed, and its exchanges with vendor and storage are listed. Then each of them gets each
fault that it can have, alone; the worker is killed before and after each; and random schedules of several faults
fill up to the number that is asked for. Several processes share the work, each with a sandbox of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from scripts.local_stack import PROJECT, Sandbox
from tests.chaos.faults import FAULTS, Exchange, Fault, fault_called, fitting
from tests.chaos.flows import FLOWS, Flow, flow_called
from tests.chaos.judging import KINDS
from tests.chaos.kills import KillStage
from tests.chaos.schedules import AMBIGUOUS, COMPLETED, STOPPED, Planned, Stage, Verdict

SEED = 20261121
SCHEDULES = 5000
MOST_FAULTS = 4
"""Faults in a random schedule at most."""

PATIENCE = 0.4
"""Seconds that the vendor may stay silent; a slow one takes longer."""

NO_CEILING = 1_000_000
"""Requests per minute: thousands of runs in a few minutes are meant here."""

MISSES = 4
"""How often a schedule that has missed its aim is played again."""

SLACK = 6
"""A random schedule may also disturb what only comes of its own disturbances: so many exchanges more."""


@dataclass(frozen=True)
class Task:
    """A schedule to be played.

    :param flow: name of the flow.
    :param faults: number of the exchange, and name of the fault.
    :param kill: before or after which exchange the worker is killed, instead.
    :param is_aimed: whether it is about one exchange, which has to be met.
    """

    flow: str
    faults: tuple[tuple[int, str], ...] = ()
    kill: tuple[int, Literal["before", "after"]] | None = None
    is_aimed: bool = False

    @classmethod
    def of(cls, given: dict[str, Any]) -> Task:
        """From JSON."""
        kill = given["kill"]
        return cls(
            given["flow"],
            tuple((number, name) for number, name in given["faults"]),
            None if kill is None else (kill[0], kill[1]),
            given["is_aimed"],
        )


def _set_variable(name: str, value: str) -> None:
    os.environ[name] = value


def sandbox_in(folder: Path, *, set_variable: Callable[[str, str], None] = _set_variable) -> Sandbox:
    """A sandbox in which everything happens at once, with connections to it.

    :param set_variable: sets a variable of the environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(
        folder,
        processing_delay=0,
        scan_interval=0.01,
        activation_delay=0,
        commbox_processing_delay=0,
        fanfare_pending_delay=0,
        fanfare_import_delay=0,
        fanfare_refresh_delay=0,
        fanfare_sync_delay=0,
    )
    sandbox.start()
    for name, text in sandbox.connections().items():
        set_variable(name, json.dumps(_impatient(json.loads(text))))
    return sandbox


def _impatient(connection: dict[str, Any]) -> dict[str, Any]:
    """The connection, with time-outs that a slow answer exceeds soon."""
    extra = connection.get("extra", {})
    if connection["conn_type"] == "aws":
        extra["config_kwargs"] = {
            **extra["config_kwargs"],
            "read_timeout": PATIENCE,
            "connect_timeout": PATIENCE,
        }
    else:
        pace = {"max_requests_per_minute": NO_CEILING}
        extra = {**extra, **pace, "read_timeout": PATIENCE, "connect_timeout": PATIENCE}
    return {**connection, "extra": extra}


def discover(stage: Stage, flows: Sequence[Flow]) -> dict[str, list[Exchange]]:
    """The exchanges of each flow; of looks that repeat one another, the first."""
    found: dict[str, list[Exchange]] = {}
    for flow in flows:
        exchanges = [Exchange.of(number, item) for number, item in enumerate(stage.exchanges(flow), start=1)]
        found[flow.name] = [
            item
            for before, item in zip([None, *exchanges], exchanges, strict=False)
            if (before is None or not item.repeats(before)) and (item.is_s3 or not flow.only_s3)
        ]
    return found


def single_tasks(exchanges: dict[str, list[Exchange]]) -> Iterator[Task]:
    """Each exchange with each fault, and each kill."""
    for name, items in exchanges.items():
        for item in items:
            for fault in fitting(item):
                yield Task(name, ((item.number, fault.name),), is_aimed=True)
            yield Task(name, kill=(item.number, "before"), is_aimed=True)
            yield Task(name, kill=(item.number, "after"), is_aimed=True)


def random_tasks(exchanges: dict[str, list[Exchange]], *, seed: int) -> Iterator[Task]:
    """Random schedules, the same for the same seed."""
    names = sorted(name for name in exchanges if not flow_called(name).rows)
    number = 0
    while names:
        chosen = random.Random(f"{seed}:{number}")
        number += 1
        name = chosen.choice(names)
        last = exchanges[name][-1].number
        count = chosen.randint(1, MOST_FAULTS)
        places = sorted(chosen.sample(range(1, last + SLACK + 1), count))
        yield Task(
            name, tuple((place, chosen.choice(_possible(name, exchanges, place)).name) for place in places)
        )


def _possible(name: str, exchanges: dict[str, list[Exchange]], place: int) -> list[Fault]:
    """What can go wrong at an exchange; any fault of the platform at one that only comes of another disturbance."""
    there = [item for item in exchanges[name] if item.number <= place]
    if there and place <= exchanges[name][-1].number:
        # One that is not listed is the look before it once more.
        return list(fitting(there[-1]))
    platform = flow_called(name).platform
    return [fault for fault in FAULTS if not fault.vendors or platform in fault.vendors]


def play(task: Task, stage: Stage) -> Verdict:
    """Play one schedule; one that has missed its aim, once more.

    How often a wait looks depends on the machine, and with it the number of what comes after.
    """
    verdict = _play(task, stage)
    for _ in range(MISSES if task.is_aimed else 0):
        if verdict.injected or verdict.violations:
            break
        verdict = _play(task, stage)
    return verdict


def _play(task: Task, stage: Stage) -> Verdict:
    flow = flow_called(task.flow)
    if task.kill is not None:
        assert isinstance(stage, KillStage)
        return stage.play_killed(flow, *task.kill)
    return stage.play(flow, [Planned(number, fault_called(name)) for number, name in task.faults])


def work(tasks: Sequence[Task], folder: Path, out: Path) -> None:
    """Play schedules, one line of JSON each."""
    sandbox = sandbox_in(folder)
    try:
        with out.open("a", encoding="utf-8") as lines:
            # The kills first: nothing may have touched Polars in a process that forks.
            for kind in (KillStage, Stage):
                mine = [task for task in tasks if (task.kill is not None) is (kind is KillStage)]
                if not mine:
                    continue
                with kind(sandbox, folder).set_up() as stage:
                    for task in mine:
                        verdict = play(task, stage)
                        lines.write(json.dumps({"task": asdict(task), "verdict": asdict(verdict)}) + "\n")
                        lines.flush()
    finally:
        sandbox.stop()


@dataclass
class Summary:
    """What came of all schedules."""

    verdicts: list[dict[str, Any]]
    exchanges: dict[str, list[Exchange]]
    seed: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As ``build/chaos.json`` has it."""
        kinds = Counter(
            item["kind"] for verdict in self.verdicts for item in verdict["verdict"]["violations"]
        )
        outcomes = Counter(verdict["verdict"]["outcome"] for verdict in self.verdicts)
        return {
            "schedules": len(self.verdicts),
            "faults_injected": sum(verdict["verdict"]["injected"] for verdict in self.verdicts),
            "missed": [
                verdict["verdict"]["name"]
                for verdict in self.verdicts
                if verdict["task"]["is_aimed"] and not verdict["verdict"]["injected"]
            ],
            "kills": sum(verdict["task"]["kill"] is not None for verdict in self.verdicts),
            "completed": outcomes[COMPLETED],
            "ambiguous_creates": outcomes[AMBIGUOUS],
            "explained_stops": outcomes[STOPPED],
            "violations": {kind: kinds[kind] for kind in KINDS},
            "errors": dict(
                sorted(
                    Counter(
                        error for verdict in self.verdicts for error in verdict["verdict"]["errors"]
                    ).items()
                )
            ),
            "exchanges": {
                name: [
                    {"number": item.number, "what": str(item), "faults": len(list(fitting(item)))}
                    for item in items
                ]
                for name, items in self.exchanges.items()
            },
            "faults": [fault.name for fault in FAULTS],
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "broken": [
                {"task": verdict["task"], **verdict["verdict"]}
                for verdict in self.verdicts
                if verdict["verdict"]["violations"]
            ],
        }


def run(flows: Sequence[Flow], *, schedules: int, seed: int, jobs: int, folder: Path) -> Summary:
    """Play at least so many schedules in several processes."""
    began = time.monotonic()
    exchanges = _discovered(flows, folder)
    tasks = list(single_tasks(exchanges))
    more = random_tasks(exchanges, seed=seed)
    while len(tasks) < schedules:
        tasks.append(next(more))
    # Long ones are next to one another: dealt out in turn, everybody gets as many.
    shares = [tasks[number::jobs] for number in range(jobs)]
    children = []
    for number, share in enumerate(shares):
        (folder / f"tasks-{number}.json").write_text(json.dumps([asdict(task) for task in share]))
        children.append(_start(folder, number))
    try:
        _watch(children, folder, len(tasks), jobs)
    finally:
        for child in children:
            child.terminate()
    verdicts = [
        json.loads(line)
        for number in range(jobs)
        for line in (folder / f"verdicts-{number}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return Summary(verdicts, exchanges, seed, time.monotonic() - began)


def _discovered(flows: Sequence[Flow], folder: Path) -> dict[str, list[Exchange]]:
    sandbox = sandbox_in(folder / "discovery")
    try:
        with Stage(sandbox, folder / "discovery").set_up() as stage:
            return discover(stage, flows)
    finally:
        sandbox.stop()


def _start(folder: Path, number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.chaos.sweep", "--worker", str(number), "--folder", str(folder)]
    with (folder / f"worker-{number}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT)


def _watch(children: Iterable[subprocess.Popen[bytes]], folder: Path, count: int, jobs: int) -> None:
    """Wait for all, and tell how far they are."""
    waiting, told = list(children), 0.0
    while waiting:
        for child in list(waiting):
            try:
                child.wait(timeout=1)
            except subprocess.TimeoutExpired:
                continue
            waiting.remove(child)
            if child.returncode:
                logs = [(folder / f"worker-{number}.log").read_text()[-3000:] for number in range(jobs)]
                raise SystemExit("A worker has failed:\n" + "\n".join(logs))
        if time.monotonic() - told >= 10:
            told = time.monotonic()
            lines = [
                line
                for number in range(jobs)
                if (path := folder / f"verdicts-{number}.jsonl").exists()
                for line in path.read_text(encoding="utf-8").splitlines()
            ]
            broken = sum('"violations": []' not in line for line in lines)
            print(f"{len(lines):,} of {count:,} schedules, {broken} with a broken promise", flush=True)


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=int(os.environ.get("SCHEDULES", SCHEDULES)))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", SEED)))
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--only", action="append", choices=[flow.name for flow in FLOWS])
    parser.add_argument("--out", type=Path, default=PROJECT / "build" / "chaos.json")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        tasks = json.loads((options.folder / f"tasks-{options.worker}.json").read_text())
        folder = options.folder / f"stage-{options.worker}"
        work([Task.of(item) for item in tasks], folder, options.folder / f"verdicts-{options.worker}.jsonl")
        return
    flows = [flow for flow in FLOWS if options.only is None or flow.name in options.only]
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        summary = run(
            flows,
            schedules=options.schedules,
            seed=options.seed,
            jobs=options.jobs,
            folder=Path(folder),
        ).to_dict()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    _print(summary)
    sys.exit(1 if summary["broken"] or summary["missed"] else 0)


def _print(summary: dict[str, Any]) -> None:
    for name, items in summary["exchanges"].items():
        print(f"\n{name}")
        for item in items:
            print(f"  {item['number']:>3}  {item['what']:<60} x {item['faults']} faults, 2 kills")
    print()
    for name in (
        "schedules",
        "faults_injected",
        "kills",
        "completed",
        "ambiguous_creates",
        "explained_stops",
    ):
        print(f"{name.replace('_', ' '):<24}{summary[name]:>8,}")
    for kind, count in summary["violations"].items():
        print(f"{kind:<24}{count:>8,}")
    print(f"{'missed its aim':<24}{len(summary['missed']):>8,}")
    print(f"{'seconds':<24}{summary['seconds']:>8,}")
    for item in summary["broken"][:20]:
        print(f"\n{item['name']}: {item['outcome']}")
        for violation in item["violations"]:
            print(f"  {violation['kind']}: {violation['text']}")


if __name__ == "__main__":
    main()
