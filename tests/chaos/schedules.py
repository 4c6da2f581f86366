"""One schedule: a flow, what goes wrong in it, and what has become of it in the end.

1. The flow's past runs undisturbed, then the faults are ordered and the disturbed run goes, with its retries.
2. If it stops, the vendor is well again, and a person does what the message says: settles what is ambiguous, clears
   the run. Everything that a process remembers is forgotten first, as another worker would take it up.
3. The same day is run once more. Nothing may be sent.

After each of these the vendors' data are judged, and everything that could be read along the way is searched.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.sdk._shared.secrets_masker import reset_secrets_masker

from audience_onboarding import exceptions as errors
from audience_onboarding.exceptions import AudienceOnboardingError
from audience_onboarding.http import reset_clients
from audience_onboarding.state.create_once import pending_intent
from scripts.local_stack import Sandbox
from tests.chaos.faults import SLOW, Fault
from tests.chaos.flows import START, STATE, Flow, Step, dags_of, in_folder
from tests.chaos.judging import (
    DOUBLED,
    HANG,
    NEEDLESS,
    UNEXPLAINED,
    Judge,
    Violation,
)
from tests.chaos.watching import Watch, forbidden
from tests.small_airflow import (
    Failure,
    HangError,
    Run,
    VirtualTime,
    World,
    no_earlier_runs,
)

LONGEST = 20 * 86_400.0
"""Seconds that a schedule may wait in all, on its virtual clock."""

COMPLETED, AMBIGUOUS, STOPPED = "completed", "ambiguous", "stopped"

SETTLED_WITHIN = 30.0
"""Seconds of real time."""

MAX_CLEARS = 4
"""How often a person clears a run at most, until it must be through."""

_NONE = 2**31
"""No exchange has such a number: the list stays empty, and only what comes with it is wanted."""

_monotonic = time.monotonic
_FAIL = "AirflowFailException"
_ERRORS = frozenset(
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, AudienceOnboardingError)
)
_AMBIGUOUS = "AmbiguousCreateError"


@dataclass(frozen=True)
class Planned:
    """A fault at an exchange.

    :param exchange: number of the exchange, from 1, counted from the start of the disturbed run.
    :param fault: what happens to it.
    """

    exchange: int
    fault: Fault


@dataclass
class Verdict:
    """What has become of a schedule.

    :param name: of the flow and of what went wrong.
    :param outcome: of the disturbed run: ``completed``, ``ambiguous`` (a person has to settle), ``stopped`` (a person
        has to look at it).
    :param errors: names of the errors that ended tasks.
    :param messages: what a person was told.
    :param violations: the promises that were broken.
    :param injected: faults that took effect.
    :param seconds: of real time.
    """

    name: str
    outcome: str = COMPLETED
    errors: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    injected: int = 0
    seconds: float = 0.0
    detail: str = ""


class Stage:
    """Where schedules are played: a sandbox, a clock, and a folder with the extracts.

    :param sandbox: for this stage alone.
    :param root: a folder for its files.
    """

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox = sandbox
        self.root = root
        self.judge = Judge(sandbox)
        self.time = VirtualTime(limit=LONGEST, meanwhile=self._while_one_sleeps)
        info = sandbox.info
        self.watch = Watch(
            forbidden(
                [
                    info[name]
                    for name in info
                    if "password" in name or "secret" in name or name.endswith("_key")
                ]
            )
        )

    @contextmanager
    def set_up(self) -> Iterator[Stage]:
        """Put the clock and the log in place."""
        with ExitStack() as stack:
            stack.enter_context(self.time.installed())
            stack.enter_context(no_earlier_runs())
            stack.enter_context(self.watch.installed())
            yield self

    @property
    def log(self) -> str:
        """What was logged since :meth:`begin`."""
        return self.watch.log

    def let_it_settle(self) -> None:
        """Wait until nothing is under way any more: what was held up arrives late, and is the first try's."""
        end = _monotonic() + SETTLED_WITHIN
        while self.sandbox.admin(f"exchanges?since={_NONE}")["under_way"]:
            if _monotonic() > end:
                raise AssertionError("a call has no end")
        self._vendors_work()

    def _while_one_sleeps(self, seconds: float) -> None:
        """Let happen what would: a call that is held up takes its real time, and sleeping here takes none."""
        if seconds > SLOW:
            self.let_it_settle()
        else:
            self._vendors_work()

    def _vendors_work(self) -> None:
        """Let the vendors do all that they have to do: so a wait looks as often on each machine."""
        self.sandbox.admin("work", method="POST", json={})

    # --- runs

    def run(self, flow: Flow, step: Step, world: World, run_id: str) -> Run:
        """A run, not started yet."""
        dag = dags_of(flow.name, in_folder(self.root, flow))[step.dag]()
        params = {**({"load_date": step.load_date} if step.dag == "onboard" else {}), **step.params}
        return Run(dag, world, run_id, params, run_after=START)

    def world(self) -> World:
        """A new world."""
        return World()

    def execute(self, run: Run) -> Run:
        """Run what is to be run of it."""
        return run.execute()

    def pass_time(self, seconds: float) -> None:
        """Let time pass between two runs."""
        self.time.advance(seconds)

    def begin(self, flow: Flow) -> World:
        """A fresh start, and the flow's past."""
        self.sandbox.admin("reset", method="POST")
        self.sandbox.admin("clock", method="POST", json={"at": START.isoformat()})
        reset_clients()
        # Each schedule brings secrets of its own. Kept, they would be looked for in all that is logged after it, and
        # hide one that nobody has masked again.
        reset_secrets_masker()
        self.time.move_to(START)
        self.watch.start()
        shutil.rmtree(in_folder(self.root, flow) / STATE, ignore_errors=True)
        world = self.world()
        for number, step in enumerate(flow.past):
            run = self.execute(self.run(flow, step, world, f"manual__past_{number}"))
            if run.failures:
                raise AssertionError(f"The past of {flow.name} has failed: {run.failures[0].text}")
        return world

    def exchanges(self, flow: Flow) -> list[dict[str, Any]]:
        """What the flow says to vendor and storage, when nothing goes wrong."""
        world = self.begin(flow)
        reset_clients()
        since = self.sandbox.admin("exchanges")["last"]
        run = self.execute(self.run(flow, flow.disturbed, world, "manual__disturbed"))
        if run.failures:
            raise AssertionError(f"{flow.name} fails by itself: {run.failures[0].text}")
        found: list[dict[str, Any]] = self.sandbox.admin(f"exchanges?since={since}")["exchanges"]
        return found

    def play(self, flow: Flow, plan: Sequence[Planned]) -> Verdict:
        """Play one schedule."""
        verdict = Verdict(
            f"{flow.name}: " + ", ".join(f"{item.fault.name} at {item.exchange}" for item in plan)
        )
        began = time.perf_counter()
        try:
            self._play(flow, plan, verdict)
        except HangError as error:
            verdict.violations.append(Violation(HANG, str(error)))
        verdict.seconds = time.perf_counter() - began
        return verdict

    def _play(self, flow: Flow, plan: Sequence[Planned], verdict: Verdict) -> None:
        world = self.begin(flow)
        reset_clients()
        ordered = []
        for item in plan:
            order = {**item.fault.order, "exchange": item.exchange}
            line = self.sandbox.admin("faults", method="POST", json=order)
            ordered.append((line["id"], line["times"]))
        run = self.execute(self.run(flow, flow.disturbed, world, "manual__disturbed"))
        left = {item["id"]: item["times"] for item in self.sandbox.admin("faults")}
        verdict.injected = sum(left.get(ident, 0) < times for ident, times in ordered)
        self.sandbox.admin("faults", method="DELETE")
        self._follow_up(
            flow,
            run,
            verdict,
            may_be_unclear=any(item.fault.leaves_unclear for item in plan),
            must_heal=len(plan) == 1 and plan[0].fault.heals,
            is_settled=not any(item.fault.arrives_late for item in plan),
        )

    def _follow_up(
        self,
        flow: Flow,
        run: Run,
        verdict: Verdict,
        *,
        may_be_unclear: bool,
        must_heal: bool = True,
        is_settled: bool = True,
    ) -> None:
        """Judge the disturbed run, mend it, run the day once more, and look for leaks.

        :param may_be_unclear: whether what was disturbed may have been carried out all the same.
        :param must_heal: whether the run has to be through without a person, unless it is unclear.
        :param is_settled: whether nothing of it can arrive when the run is over.
        """
        world = run.world
        self.let_it_settle()
        verdict.violations += self.judge.violations(
            flow, is_finished=run.is_successful, is_settled=is_settled
        )
        self._judge_end(run, verdict, may_be_unclear=may_be_unclear, must_heal=must_heal)
        self._mend(flow, world, run, verdict)
        if run.is_successful:
            self._again(flow, world, verdict)
        verdict.violations += self.watch.leaks(world, world.runs.values(), log=self.log)
        if verdict.violations:
            verdict.detail = self.log[-6000:]

    def _judge_end(self, run: Run, verdict: Verdict, *, may_be_unclear: bool, must_heal: bool) -> None:
        """Judge what the disturbed run has told a person."""
        for failure in run.failures:
            verdict.errors.append(_told(failure))
            verdict.messages.append(_short(failure))
            if _told(failure) == _AMBIGUOUS:
                verdict.outcome = AMBIGUOUS
                if not may_be_unclear:
                    verdict.violations.append(Violation(NEEDLESS, _short(failure)))
            elif verdict.outcome == COMPLETED:
                verdict.outcome = STOPPED
                if must_heal:
                    verdict.violations.append(Violation(NEEDLESS, _short(failure)))
            if not _is_explained(failure):
                verdict.violations.append(Violation(UNEXPLAINED, failure.text[-1500:]))

    def _mend(self, flow: Flow, world: World, run: Run, verdict: Verdict) -> None:
        """Do what a person does who is told that it has failed."""
        for number in range(MAX_CLEARS):
            if run.is_successful:
                return
            reset_clients()
            self.pass_time(600)
            if any(_told(failure) == _AMBIGUOUS for failure in run.failures):
                self._settle(flow, world, number, verdict)
            run.clear(from_the_start=any("clear find_segments" in item.message for item in run.failures))
            self.execute(run)
            verdict.violations += self.judge.violations(flow, is_finished=run.is_successful)
        if not run.is_successful:
            verdict.violations.append(
                Violation(UNEXPLAINED, f"does not get through when all is well: {_short(run.failures[0])}")
            )

    def _settle(self, flow: Flow, world: World, number: int, verdict: Verdict) -> None:
        """Settle what is ambiguous with the DAG for it: look in the portal, and say what is there."""
        there = {
            kind: {item["name"]: item["id"] for item in self.sandbox.admin(f"{kind}s")}
            for kind in ("campaign", "audience")
        }
        unclear = {
            kind: intent["name"]
            for store in list(world.stores.values())
            for kind in there
            if (intent := pending_intent(store.get(kind))) is not None
        }
        for kind, name in unclear.items():
            found = there[kind].get(name)
            params = {
                "audience": flow.key,
                "what": kind,
                "outcome": "not_created" if found is None else "found",
                "id": None if found is None else str(found),
            }
            step = Step("resolve", params=params)
            run = self.execute(self.run(flow, step, world, f"manual__settle_{kind}_{number}"))
            verdict.violations += [
                Violation(UNEXPLAINED, f"cannot be settled: {_short(failure)}") for failure in run.failures
            ]

    def _again(self, flow: Flow, world: World, verdict: Verdict) -> None:
        """Run the same day once more: nothing is to be sent."""
        reset_clients()
        since = self.judge.last_entry()
        run = self.execute(self.run(flow, flow.disturbed, world, "manual__again"))
        if run.failures:
            verdict.violations.append(
                Violation(UNEXPLAINED, f"the same day once more: {_short(run.failures[0])}")
            )
        verdict.violations += [
            Violation(DOUBLED, f"the same day once more: {change}") for change in self.judge.changes(since)
        ]
        verdict.violations += self.judge.violations(flow, is_finished=run.is_successful)


def _told(failure: Failure) -> str:
    """The error's name, as a person is told it."""
    if failure.kind != _FAIL:
        return failure.kind
    # A task that looks at several audiences names the audience first.
    names = [word.rstrip(":") for word in failure.message.split()[:2]]
    return next((name for name in names if name in _ERRORS), failure.kind)


def _short(failure: Failure) -> str:
    return f"{failure.task_id}: {failure.kind}: {failure.message}"[:600]


def _is_explained(failure: Failure) -> bool:
    """Whether a person is told what is wrong and what to do, in the package's own words."""
    if failure.kind == _FAIL:
        return _told(failure) in _ERRORS
    if failure.kind == "AirflowSensorTimeout":
        return "timed out after" in failure.message
    return failure.kind in _ERRORS and bool(failure.next_step)
