"""Schedules in which the worker is killed with SIGKILL: just before, or just after, the vendor has done something."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import polars as pl

from audience_onboarding.base.connections import s3_client
from audience_onboarding.crm.identifiers import vectorized
from scripts.local_stack import Sandbox
from tests.chaos.flows import Flow
from tests.chaos.processes import Diary, WrittenWorld, in_a_fork
from tests.chaos.schedules import Stage, Verdict
from tests.small_airflow import Failure, Run, World

IMPORTED_LATE = (
    "audience_onboarding.crm.prepare",
    "audience_onboarding.crm.snapshots.diff",
    "audience_onboarding.storage.s3_upload",
    "audience_onboarding.storage.snapshot_files",
    "audience_onboarding.storage.file_sources",
)
"""What tasks import only when they run."""


@dataclass(frozen=True)
class _Left:
    """What a process leaves behind, beside what it has written down."""

    failures: list[Failure]
    tries: list[Failure]
    skipped: dict[str, str]
    rendered: list[str]
    events: list[tuple[str, dict[str, Any]]]
    states: dict[str, str]
    log: str
    slept: float


class KillStage(Stage):
    """A stage on which each run is a process of its own.

    :param sandbox: for this stage alone.
    :param root: a folder for its files.
    """

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        super().__init__(sandbox, root)
        self._offset = 0.0
        self._log = ""
        # What each fork would have to do anew. None of it starts a thread of Polars.
        s3_client("audience_s3")
        for module in IMPORTED_LATE:
            import_module(module)
        vectorized.phone(pl.col("phone"), country="NL")

    def world(self) -> World:
        """A new world, with an empty diary."""
        self._diary_path.unlink(missing_ok=True)
        self._offset, self._log = 0.0, ""
        return WrittenWorld(Diary(self._diary_path))

    @property
    def log(self) -> str:
        """What the processes have logged; that of a killed one is gone with it."""
        return self._log

    @property
    def _diary_path(self) -> Path:
        return self.root / "diary.jsonl"

    def execute(self, run: Run) -> Run:
        """Run it in a process, to its end."""
        left: _Left = in_a_fork(lambda: self._in_the_process(run), self.root)
        run.failures, run.states = left.failures, left.states
        run.tries += left.tries
        run.skipped.update(left.skipped)
        run.rendered += left.rendered
        run.events += left.events
        self._offset += left.slept
        self._log += left.log
        self._take_in(run.world)
        return run

    def _in_the_process(self, run: Run) -> _Left:
        with super().set_up():
            self.time.advance(self._offset)
            run.tries.clear()
            run.rendered.clear()
            run.events.clear()
            run.execute()
            return _Left(
                run.failures,
                run.tries,
                run.skipped,
                run.rendered,
                run.events,
                run.states,
                self.watch.log,
                self.time.slept - self._offset,
            )

    @staticmethod
    def _take_in(world: World) -> None:
        assert isinstance(world, WrittenWorld)
        world.replay()

    def play_killed(self, flow: Flow, exchange: int, when: Literal["before", "after"]) -> Verdict:
        """Kill the worker at an exchange of the disturbed run, and let another one take over.

        :param exchange: its number, from 1.
        :param when: before the vendor has done anything, or after.
        """
        verdict = Verdict(f"{flow.name}: killed {when} exchange {exchange}")
        began = time.perf_counter()
        world = self.begin(flow)
        order = {"action": "hold", "when": when, "exchange": exchange}
        self.sandbox.admin("faults", method="POST", json=order)
        run = self.run(flow, flow.disturbed, world, "manual__disturbed")
        left = in_a_fork(lambda: self._in_the_process(run), self.root, kill_when=self._is_held)
        # How often a wait looks depends on the machine: this time, there were fewer exchanges.
        verdict.injected = int(left is None)
        self.sandbox.admin("faults", method="DELETE")
        self._take_in(world)
        # Airflow notices that the process is gone, and starts the next try.
        self._offset += 60
        self.execute(run)
        self._follow_up(flow, run, verdict, may_be_unclear=True)
        verdict.seconds = time.perf_counter() - began
        return verdict

    def _is_held(self) -> bool:
        return any(item.get("held") for item in self.sandbox.admin("faults"))

    def pass_time(self, seconds: float) -> None:
        """Let time pass between two runs."""
        self._offset += seconds

    def set_up(self) -> Any:
        """Nothing is put in the place of anything here: each process does it for itself."""
        return nullcontext(self)
