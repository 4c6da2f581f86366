"""Runs a DAG of the package as Airflow does, in this process and without waiting: for thousands of runs.

What is Airflow's own here: the DAGs, the operators, rendering of templates and XComs, the mapping of tasks, the
current context. What is imitated: the order of tasks, retries (with the tasks' retry policy), deferral (the trigger is
built anew from what it serializes to), skipping, clearing, and the stores of XComs and of state. All of these keep JSON
text, as the metadata database does.

Time does not pass while somebody sleeps: :class:`VirtualTime` moves the clock instead.
"""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest import mock

import time_machine
from airflow.sdk import DAG
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.bases.skipmixin import XCOM_SKIPMIXIN_KEY, XCOM_SKIPMIXIN_SKIPPED
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskDeferred,
)
from airflow.sdk.execution_time.context import OutletEventAccessors, set_current_context

from audience_onboarding.base import prerequisites
from tests.fakes import AssetStores, DictStore, InletEvents

_REAL_ASYNC_SLEEP = asyncio.sleep
_REAL_MONOTONIC = time.monotonic


class HangError(Exception):
    """A schedule has slept for longer than anything may wait."""


class VirtualTime:
    """Sleeping moves the clocks of this process instead of waiting.

    :ivar slept: seconds that were slept since :meth:`move_to`.
    """

    def __init__(self, *, limit: float, meanwhile: Callable[[float], object]) -> None:
        """
        :param limit: seconds that a schedule may sleep in all.
        :param meanwhile: what the rest of the world does while somebody sleeps for so many seconds.
        """
        self.slept = 0.0
        self._meanwhile = meanwhile
        self._limit = limit
        self._traveller: Any = None
        self.move_to(datetime.now(timezone.utc))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put it in the place of the real clocks."""
        with (
            time_machine.travel(self._began + self._elapsed(), tick=True) as traveller,
            mock.patch("time.sleep", self.sleep),
            mock.patch("asyncio.sleep", self.async_sleep),
            mock.patch("time.monotonic", self.monotonic),
        ):
            self._traveller = traveller
            yield

    def advance(self, seconds: float) -> None:
        """Let time pass.

        :raises HangError: it is too much.
        """
        self.slept += seconds
        if self._traveller is not None:
            self._traveller.shift(seconds)
        if self.slept > self._limit:
            raise HangError(f"{self.slept:.0f} seconds were slept")

    def move_to(self, moment: datetime) -> None:
        """Set the clock to ``moment``, and count from here. A fork of this process goes on from there."""
        self._began, self._began_at = moment, _REAL_MONOTONIC()
        if self._traveller is not None:
            self._traveller.move_to(moment)
        self.slept = 0.0

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=_REAL_MONOTONIC() - self._began_at)

    def monotonic(self) -> float:
        """What ``time.monotonic`` is."""
        return _REAL_MONOTONIC() + self.slept

    def sleep(self, seconds: float) -> None:
        """What ``time.sleep`` is."""
        self._meanwhile(seconds)
        self.advance(seconds)

    async def async_sleep(self, delay: float, result: Any = None) -> Any:
        """What ``asyncio.sleep`` is."""
        await _REAL_ASYNC_SLEEP(0)
        self._meanwhile(delay)
        self.advance(delay)
        return result


class JsonText(DictStore):
    """A state store that keeps text."""

    def get(self, key: str) -> Any:
        text = self.values.get(key)
        return None if text is None else json.loads(text)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, json.dumps(value), retention=retention)


class World(AssetStores):
    """What outlives runs and processes: the state stores of all assets, and the records of the runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}

    def __getitem__(self, asset: Any) -> DictStore:
        return self.called(asset.name)

    def called(self, name: str) -> DictStore:
        """The store of a name."""
        return self.stores.setdefault(name, self.store(name))

    def store(self, name: str) -> DictStore:
        """A new store."""
        return JsonText()

    def told(self, run: Run, kind: str, *what: Any) -> None:
        """A run has got on: ``xcom`` with task, key and text, or ``ended`` with task and state."""


@dataclass(frozen=True)
class Failure:
    """How a try of a task has failed. Plain values, so that it can come out of another process.

    :param task_id: which task.
    :param kind: name of the exception's class.
    :param message: its text.
    :param next_step: what it tells to do, for an error of the package.
    :param text: the traceback, with all causes.
    :param seen: all that its attributes and those of its causes hold.
    """

    task_id: str
    kind: str
    message: str
    next_step: str
    text: str
    seen: str

    @classmethod
    def of(cls, task_id: str, error: BaseException) -> Failure:
        """What is to be known of an exception."""
        return cls(
            task_id,
            type(error).__name__,
            str(error),
            str(getattr(error, "next_step", "")),
            "".join(traceback.format_exception(error)),
            "".join(_with_causes(error)),
        )


def _with_causes(error: BaseException | None) -> Iterator[str]:
    """What Airflow shows of an exception, and what its attributes hold."""
    while error is not None:
        yield f"{type(error).__name__} {error} {error.args!r} {vars(error)!r}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _slot(task_id: str, map_index: int) -> str:
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


class _TaskInstance:
    """What a task sees of itself."""

    def __init__(self, run: Run, task_id: str, try_number: int, map_index: int = -1) -> None:
        self.dag_id = run.dag.dag_id
        self.run_id = run.run_id
        self.task_id = task_id
        self.try_number = try_number
        self.map_index = map_index
        self._run = run

    @property
    def slot(self) -> str:
        """Under which its XComs are kept."""
        return _slot(self.task_id, self.map_index)

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        text = json.dumps(value)
        self._run.xcoms[self.slot, key] = text
        self._run.world.told(self._run, "xcom", self.slot, key, text)

    def xcom_pull(
        self,
        task_ids: Any = None,
        key: str = "return_value",
        default: Any = None,
        map_indexes: int | list[int] | None = None,
        **_: Any,
    ) -> Any:
        name = task_ids if isinstance(task_ids, str) else next(iter(task_ids))
        if isinstance(map_indexes, list):
            texts = [self._run.xcoms.get((_slot(name, index), key)) for index in map_indexes]
            return [json.loads(text) for text in texts if text is not None]
        text = self._run.xcoms.get((_slot(name, -1 if map_indexes is None else map_indexes), key))
        return default if text is None else json.loads(text)

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        assert (dag_id, run_ids) == (self.dag_id, [self.run_id])
        return {self.run_id: dict(self._run.states)}


@dataclass
class Run:
    """One run of a DAG.

    :param dag: the DAG.
    :param world: where it runs.
    :param run_id: its name.
    :param params: of its form; the others have their defaults.
    :param run_type: ``manual``, ``scheduled`` or ``backfill``.
    :param partition_key: its load date, for a scheduled run or a backfill.
    :param run_after: its moment.
    """

    dag: DAG
    world: World
    run_id: str = "manual__1"
    params: Mapping[str, Any] = field(default_factory=dict)
    run_type: str = "manual"
    partition_key: str | None = None
    run_after: datetime = datetime(2026, 11, 21, 3, tzinfo=timezone.utc)
    states: dict[str, str] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], str] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tries: list[Failure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    rendered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.runs[self.run_id] = self

    @property
    def is_successful(self) -> bool:
        """Whether nothing has failed."""
        return not self.failures

    def clear(self, *, from_the_start: bool = False) -> None:
        """Forget what has failed or not run, as clearing the failed tasks with all after them does.

        :param from_the_start: forget all of it.
        """
        self.failures.clear()
        self.states = {
            task_id: state
            for task_id, state in self.states.items()
            if state in {"success", "skipped"} and not from_the_start
        }

    def execute(self) -> Run:
        """Run the tasks that have not succeeded yet, in their order."""
        for task_id in _in_order(self.dag):
            if task_id in self.states:
                continue
            task: Any = self.dag.get_task(task_id)
            without_running = self._state_without_running(task)
            if without_running in {"skipped", "upstream_failed"}:
                self.states[task_id] = without_running
                continue
            self.states[task_id] = without_running or self._task(task)
            if self.states[task_id] in {"success", "skipped"}:
                self.world.told(self, "ended", task_id, self.states[task_id])
        return self

    def _state_without_running(self, task: Any) -> str | None:
        """What the scheduler makes of a task by itself; ``None`` where it is to be run."""
        upstream = [self.states.get(name, "none") for name in sorted(task.upstream_task_ids)]
        # A teardown runs whatever became of the others.
        rule = "all_done" if task.is_teardown else task.trigger_rule
        state = _RULES[rule](upstream)
        if state is not None:
            return state
        if any(self._has_skipped(name, task.task_id) for name in task.upstream_task_ids):
            return "skipped"
        return "success" if task.inherits_from_empty_operator else None

    def _has_skipped(self, upstream: str, task_id: str) -> bool:
        """Whether a task has skipped another one: that holds, too, where only the other one is cleared."""
        text = self.xcoms.get((upstream, XCOM_SKIPMIXIN_KEY))
        return (
            text is not None
            and self.dag.get_task(upstream).inherits_from_skipmixin
            and task_id in json.loads(text).get(XCOM_SKIPMIXIN_SKIPPED, ())
        )

    def _skip(self, tasks: Iterable[str | tuple[str, int]]) -> None:
        """What a task asks for when it ends: not of those that have run already."""
        for item in tasks:
            task_id = item if isinstance(item, str) else item[0]
            if self.states.get(task_id) not in {"success", "failed"}:
                self.states[task_id] = "skipped"
                self.world.told(self, "ended", task_id, "skipped")

    def _task(self, task: Any) -> str:
        if not isinstance(task, MappedOperator):
            return self._instance(task, task.prepare_for_execution)
        # Only expand_kwargs(), and expand() with one argument, are used, on the output of one task.
        context, given = self._context(task.task_id, 1), task.expand_input.value
        if isinstance(given, dict):
            ((name, output),) = given.items()
            items = [{name: item} for item in output.resolve(context)]
        else:
            items = given.resolve(context)
        ends = [
            self._instance(task, lambda kwargs=kwargs: task.unmap(kwargs), index=index)
            for index, kwargs in enumerate(items)
        ]
        return "failed" if "failed" in ends else "success" if ends else "skipped"

    def _instance(self, task: Any, make: Callable[[], Any], *, index: int = -1) -> str:
        """One task to its end, over all its tries."""
        for try_number in range(1, int(task.retries) + 2):
            context = self._context(task.task_id, try_number, index)
            # Airflow clears what the last try has left.
            slot = context["ti"].slot
            for key in [key for key in self.xcoms if key[0] == slot]:
                del self.xcoms[key]
            try:
                result = self._attempt(make, context)
            except AirflowSkipException as skip:
                self.skipped[task.task_id] = str(skip)
                return "skipped"
            except DownstreamTasksSkipped as skip:
                self._skip(skip.tasks)
                result = None
            except HangError:
                raise
            except Exception as error:  # whatever a task raises, Airflow lives on
                failure = Failure.of(task.task_id, error)
                self.tries.append(failure)
                pause = _pause(task, error, try_number)
                if pause is None:
                    for callback in task.on_failure_callback or ():
                        callback({**context, "exception": error})
                    self.failures.append(failure)
                    return "failed"
                time.sleep(pause.total_seconds())
                continue
            if result is not None:
                context["ti"].xcom_push("return_value", result)
            for outlet in task.outlets:
                accessor = context["outlet_events"][outlet]
                self.events.append((outlet.name, json.loads(json.dumps(dict(accessor.extra)))))
            return "success"
        raise AssertionError("the last try has neither ended well nor badly")

    def _attempt(self, make: Callable[[], Any], context: dict[str, Any]) -> Any:
        """One try, deferrals included. Each part of it has an operator of its own, as each is a process of its own."""
        method, arguments = "execute", {}
        while True:
            operator = make()
            context["task"] = operator
            operator.render_template_fields(context)
            self.rendered.append(
                repr([getattr(operator, name, None) for name in type(operator).template_fields])
            )
            try:
                with set_current_context(context), _as_the_task_runner(operator):  # type: ignore[arg-type]
                    return getattr(operator, method)(context, **arguments)
            except TaskDeferred as deferred:
                event = _fire(deferred, context["ti"].run_id)
                method, arguments = deferred.method_name, {"event": event, **(deferred.kwargs or {})}

    def _context(self, task_id: str, try_number: int, index: int = -1) -> dict[str, Any]:
        defaults = {name: param.value for name, param in self.dag.params.items()} if self.dag.params else {}
        return {
            "params": {**_values(defaults), **self.params},
            "run_id": self.run_id,
            "ti": _TaskInstance(self, task_id, try_number, index),
            "dag": self.dag,
            "dag_run": SimpleNamespace(
                run_type=self.run_type,
                run_id=self.run_id,
                partition_key=self.partition_key,
                logical_date=None,
                run_after=self.run_after,
                conf=dict(self.params),
            ),
            "asset_state_store": self.world,
            "task_state_store": self.world.called(f"task {self.run_id} {task_id} {index}"),
            "outlet_events": OutletEventAccessors(),
            "inlet_events": InletEvents(),
        }


@contextmanager
def _as_the_task_runner(operator: Any) -> Iterator[None]:
    token = ExecutorSafeguard.tracker.set(operator)
    try:
        yield
    finally:
        ExecutorSafeguard.tracker.reset(token)


def _values(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.value if hasattr(value, "value") else value for name, value in params.items()}


def _all_success(upstream: list[str]) -> str | None:
    if not set(upstream) - {"success"}:
        return None
    return "skipped" if not set(upstream) - {"success", "skipped"} else "upstream_failed"


def _none_failed_min_one_success(upstream: list[str]) -> str | None:
    if {"failed", "upstream_failed"} & set(upstream):
        return "upstream_failed"
    return None if "success" in upstream else "skipped"


_RULES: Mapping[str, Callable[[list[str]], str | None]] = {
    "all_success": _all_success,
    "all_done": lambda _: None,
    "none_failed_min_one_success": _none_failed_min_one_success,
}
"""Trigger rules: the state that the states of the upstream tasks give a task, ``None`` where it is to be run."""


def _in_order(dag: DAG) -> list[str]:
    order: list[str] = []
    while len(order) < len(dag.tasks):
        order.append(
            min(
                task.task_id
                for task in dag.tasks
                if task.task_id not in order and task.upstream_task_ids <= set(order)
            )
        )
    return order


def _pause(task: Any, error: BaseException, try_number: int) -> timedelta | None:
    """How long Airflow waits before the next try; ``None`` if there is none."""
    if isinstance(error, (AirflowFailException, AirflowSensorTimeout)) or try_number > int(task.retries):
        return None
    delay: timedelta = task.retry_delay
    if task.retry_policy is not None:
        decision = task.retry_policy.evaluate(error, try_number, int(task.retries))
        if decision.action is RetryAction.FAIL:
            return None
        if decision.action is RetryAction.RETRY and decision.retry_delay is not None:
            return decision.retry_delay
    return min(delay * float(task.retry_exponential_backoff or 1) ** (try_number - 1), timedelta(hours=1))


def _fire(deferred: TaskDeferred, run_id: str) -> Any:
    """The event of a trigger, which is built from what was stored of it, as the triggerer does."""
    path, kwargs = deferred.trigger.serialize()
    module, _, name = path.rpartition(".")
    trigger = getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))
    limit = deferred.timeout.total_seconds() if deferred.timeout else float("inf")

    async def first() -> Any:
        began = time.time()
        async for event in trigger.run():
            if time.time() - began > limit:
                raise HangError(f"{run_id}: the trigger fired after Airflow's own time-out")
            return event.payload
        raise HangError(f"{run_id}: the trigger ended without an event")

    return asyncio.run(first())


@contextmanager
def no_earlier_runs() -> Iterator[None]:
    """Runs come one after the other here, so that none has to wait for one before it."""
    with mock.patch.object(prerequisites, "get_unfinished_earlier_runs", return_value=[]):
        yield
