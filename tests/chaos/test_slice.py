"""A slice of what ``make chaos`` plays: each exchange with some of its faults, some kills, some random schedules."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pytest

from scripts.local_stack import PROJECT
from tests.chaos.faults import Exchange, fitting
from tests.chaos.flows import Flow
from tests.chaos.schedules import AMBIGUOUS, Stage, Verdict
from tests.chaos.sweep import SEED, Task, play, random_tasks
from tests.profiles import THOROUGH

STEP = 18 if THOROUGH else 36
"""One fault in so many of each exchange; over the exchanges, all faults come up."""


def assert_kept(verdicts: list[Verdict]) -> None:
    """No promise was broken."""
    broken = [
        f"{verdict.name}: {violation.kind}: {violation.text}"
        for verdict in verdicts
        for violation in verdict.violations
    ]
    assert not broken, "\n".join(broken)


def test_one_fault(stage: Stage, exchanges: dict[str, list[Exchange]], flow: Flow) -> None:
    tasks = [
        Task(flow.name, ((item.number, fault.name),), is_aimed=True)
        for place, item in enumerate(exchanges[flow.name])
        for fault in list(fitting(item))[place % STEP :: STEP]
    ]
    assert tasks
    with stage.set_up():
        verdicts = [play(task, stage) for task in tasks]
    assert_kept(verdicts)
    assert all(verdict.injected for verdict in verdicts)


def test_several_faults(stage: Stage, exchanges: dict[str, list[Exchange]]) -> None:
    with stage.set_up():
        assert_kept([play(task, stage) for task in islice(random_tasks(exchanges, seed=SEED), 10)])


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("da_onboarding", "createCampaign"),
        ("da_onboarding", "PutObject"),
        ("commbox_creating", "commbox.createAudience"),
    ],
)
def test_a_worker_is_killed(
    exchanges: dict[str, list[Exchange]], name: str, operation: str, tmp_path: Path
) -> None:
    number = next(item.number for item in exchanges[name] if item.operation == operation)
    tasks = [Task(name, kill=(number, "before")), Task(name, kill=(number, "after"))]
    # In a process that has never touched Polars: no fork survives its threads.
    (tmp_path / "tasks-0.json").write_text(json.dumps([asdict(task) for task in tasks]))
    command = [sys.executable, "-m", "tests.chaos.sweep", "--worker", "0", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    verdicts = [
        json.loads(line)["verdict"] for line in (tmp_path / "verdicts-0.jsonl").read_text().splitlines()
    ]
    assert [verdict["violations"] for verdict in verdicts] == [[], []]
    # Nobody but the vendor of this one has no list to look into.
    unclear = {verdict["outcome"] == AMBIGUOUS for verdict in verdicts}
    assert unclear == {operation == "createCampaign"}
