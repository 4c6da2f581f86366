"""Loads of one audience go out in the order of their load dates.

A backfill starts up to ten runs at once, whatever ``max_active_runs`` of the DAG says, and ``depends_on_past`` does
not look at partitioned runs at all (both as of Airflow 3.3.2). So a run asks Airflow for the runs of its own DAG
that are about an earlier day and not through yet, and waits for them in the triggerer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from audience_onboarding.base.polling import FIRST_INTERVAL

_RUN_ID = re.compile(r"(?P<kind>scheduled|backfill)__.+__(?P<load_date>\d{4}-\d{2}-\d{2})__[^_]+")
PAUSE_PER_LOAD = 2.0
"""Seconds between two looks, for each load that comes before."""

_FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def earlier_unfinished(states: Mapping[str, Mapping[str, str | None]], *, run_id: str) -> list[str]:
    """The runs that ``run_id`` has to wait for, by load date.

    A manual run waits for nobody and nobody waits for it: a person chose its moment. A scheduled run does not wait
    for a backfill, which can take days.

    :param states: of one task in all runs of the DAG: run id to task id to state.
    :param run_id: the run that asks.
    """
    own = _RUN_ID.fullmatch(run_id)
    if own is None:
        return []
    waiting_for = []
    for other_id, tasks in states.items():
        other = _RUN_ID.fullmatch(other_id)
        if other is None or all(state in _FINISHED for state in tasks.values()):
            continue
        if own["kind"] == "scheduled" and other["kind"] == "backfill":
            continue
        if other["load_date"] < own["load_date"]:
            waiting_for.append((other["load_date"], other_id))
    return [other_id for _, other_id in sorted(waiting_for)]


def ask_airflow(*, dag_id: str, task_id: str, run_id: str) -> list[str]:
    """The runs that ``run_id`` has to wait for now, judged by the state of ``task_id``."""
    states: dict[str, Any] = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id])
    return earlier_unfinished(states, run_id=run_id)


class EarlierLoadsTrigger(BaseTrigger):
    """Fires when no run of an earlier load date is left, or when the deadline has passed.

    :param dag_id: the DAG whose runs are ordered.
    :param awaited_task_id: the task that ends a load; a run in which it is finished is through. (``task_id`` is
        Airflow's name for the task that waits.)
    :param run_id: the run that waits.
    :param poll_interval: seconds between two looks at most. Who comes soon looks more often: a backfill goes on as
        soon as a load is through, and all of its runs that wait together look little more than once a second.
    :param deadline: Unix time at which it gives up.
    """

    def __init__(
        self, *, dag_id: str, awaited_task_id: str, run_id: str, poll_interval: float, deadline: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dag_id = dag_id
        self.awaited_task_id = awaited_task_id
        self.run_id = run_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it: plain JSON, no secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "dag_id": self.dag_id,
                "awaited_task_id": self.awaited_task_id,
                "run_id": self.run_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is nothing to wait for."""
        pause = FIRST_INTERVAL
        while True:
            await asyncio.sleep(min(pause, self.poll_interval))
            left = await sync_to_async(ask_airflow)(
                dag_id=self.dag_id, task_id=self.awaited_task_id, run_id=self.run_id
            )
            if not left or time.time() >= self.deadline:
                yield TriggerEvent({"waiting_for": left})
                return
            pause = PAUSE_PER_LOAD * len(left)
