"""Waiting for a platform in the triggerer. Triggers only log in and GET; they change nothing."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.definitions.connection import Connection
from airflow.triggers.base import BaseTrigger, TriggerEvent

from audience_onboarding.base.hooks import PlatformHook
from audience_onboarding.base.metrics import POLLS, incr
from audience_onboarding.base.polling import align_to_grid, backoff_intervals, single_flight
from audience_onboarding.base.retry_policy import MAX_RETRY_DELAY
from audience_onboarding.exceptions import TerminalError, TransientError
from audience_onboarding.http import ApiClient

Client = TypeVar("Client", bound=ApiClient[Any])


async def get_connection_async(conn_id: str) -> Connection:
    """A connection, from Airflow.

    Its triggerer (3.3.2) answers one such question after another, and goes to the database about all of its triggers in
    between: 2,000 waits that each ask for themselves wait minutes for their first look after a restart.
    """
    return await single_flight(("connection", conn_id), lambda: BaseHook.aget_connection(conn_id))


@dataclass(frozen=True)
class PollResult:
    """One look at the vendor.

    :param state: as the vendor spells it.
    :param reason: why there is nothing to report yet.
    :param known: whether the settings know the state.
    :param event: what to report, ``None`` while there is nothing.
    """

    state: str
    reason: str
    known: bool = True
    event: dict[str, Any] | None = None

    @classmethod
    def success(cls, state: str, result: dict[str, Any]) -> PollResult:
        """What was waited for is there."""
        return cls(state, "done", event={"status": "success", "result": result})

    @classmethod
    def failure(cls, state: str, reason: str) -> PollResult:
        """The vendor reports a failure."""
        return cls(state, reason, event={"status": "failed", "state": state, "message": reason})


class PollingTrigger(BaseTrigger, Generic[Client]):
    """Looks again and again until there is something to report or the deadline has passed.

    :param conn_id: a connection of the platform's type.
    :param poll_interval: seconds between two looks at most; the first ones come quicker.
    :param deadline: Unix time at which it gives up.
    """

    hook_class: ClassVar[type[PlatformHook[Any]]]

    def __init__(self, *, conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    @abstractmethod
    def poll(self, client: Client) -> PollResult:
        """Look once; blocks."""

    @abstractmethod
    def trigger_kwargs(self) -> dict[str, Any]:
        """The arguments of the subclass, as JSON values."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it, in plain JSON: a connection id, remote ids and state names, never a secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conn_id": self.conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                **self.trigger_kwargs(),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an event. Errors that may go away are lived through, others are reported."""
        try:
            async for event in self._events():
                yield TriggerEvent(event)
                return
        except TerminalError as error:
            yield TriggerEvent({"status": "error", "error": type(error).__name__, "message": str(error)})

    async def poll_after(self, client: Client, *, pause: float) -> PollResult:
        """The look after this one.

        :param pause: seconds to wait before it.
        """
        await asyncio.sleep(pause)
        return await asyncio.to_thread(self.poll, client)

    def align_interval(self, pause: float) -> float:
        """The pause before a look, so that waits of a process look together."""
        return align_to_grid(pause)

    def _count(self, result: str) -> None:
        incr(POLLS, platform=self.hook_class.conn_type, result=result)

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        client: Client = self.hook_class.client_of(await get_connection_async(self.conn_id))
        last_state, last_reason, seen_unknown = "unknown", "no look succeeded", set[str]()
        wanted_pause = 0.0
        for pause in backoff_intervals(self.poll_interval):
            left = max(0.0, self.deadline - time.time())
            try:
                # What the vendor asks for is kept to the full.
                paused = min(max(self.align_interval(pause), wanted_pause), left)
                seen = await self.poll_after(client, pause=paused)
            except TransientError as error:
                self._count("error")
                self.log.warning("Looking again: %s", error)
                last_reason = str(error)
                # No jitter here: all waits of a process share one ceiling of requests anyway.
                wanted_pause = min(error.retry_after or 0.0, MAX_RETRY_DELAY.total_seconds())
            else:
                wanted_pause = 0.0
                if seen.event is not None:
                    self._count("done" if seen.event["status"] == "success" else "failed")
                    yield seen.event
                    return
                self._count("pending")
                if seen.reason != last_reason:
                    self.log.info("Waiting: %s", seen.reason)
                if not seen.known and seen.state not in seen_unknown:
                    seen_unknown.add(seen.state)
                    self.log.warning(
                        "State %s is none that is known; waiting on. If it means the end, name it among the success or "
                        "failure states of the definition, where the platform has them",
                        seen.state,
                    )
                last_state, last_reason = seen.state, seen.reason
            if time.time() >= self.deadline:
                yield {"status": "timeout", "state": last_state, "message": last_reason}
                return
