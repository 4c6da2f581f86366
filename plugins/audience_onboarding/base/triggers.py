"""Base of the triggers that poll a platform. Triggers only log in and send GET requests."""

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
    """Return a connection from Airflow; concurrent requests for the same id share one call.

    The triggerer (Airflow 3.3.2) answers such requests one by one, with database work for all triggers in between.
    With one request per trigger, 2,000 triggers would wait minutes for their first poll after a restart.
    """
    return await single_flight(("connection", conn_id), lambda: BaseHook.aget_connection(conn_id))


@dataclass(frozen=True)
class PollResult:
    """Result of one poll.

    :param state: the vendor's state, as the vendor spells it.
    :param reason: why the wait goes on, or why it failed.
    :param known: whether the settings name the state.
    :param event: payload of the trigger event, ``None`` while the wait goes on.
    """

    state: str
    reason: str
    known: bool = True
    event: dict[str, Any] | None = None

    @classmethod
    def success(cls, state: str, result: dict[str, Any]) -> PollResult:
        """Return the result that ends the wait with success."""
        return cls(state, "done", event={"status": "success", "result": result})

    @classmethod
    def failure(cls, state: str, reason: str) -> PollResult:
        """Return the result that ends the wait with the vendor's failure."""
        return cls(state, reason, event={"status": "failed", "state": state, "message": reason})


class PollingTrigger(BaseTrigger, Generic[Client]):
    """Trigger that polls until it has an event or the deadline has passed.

    :param conn_id: a connection of the platform's type.
    :param poll_interval: maximum seconds between two polls; the first intervals are shorter.
    :param deadline: Unix time at which the wait times out.
    """

    hook_class: ClassVar[type[PlatformHook[Any]]]

    def __init__(self, *, conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    @abstractmethod
    def poll(self, client: Client) -> PollResult:
        """Poll once; blocks."""

    @abstractmethod
    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments of the subclass as JSON values."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments in plain JSON: connection id, remote ids, state names, never a secret."""
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
        """Poll until there is an event. Transient errors are logged; terminal errors become the event."""
        try:
            async for event in self._events():
                yield TriggerEvent(event)
                return
        except TerminalError as error:
            yield TriggerEvent({"status": "error", "error": type(error).__name__, "message": str(error)})

    async def poll_after(self, client: Client, *, delay: float) -> PollResult:
        """Poll after ``delay`` seconds."""
        await asyncio.sleep(delay)
        return await asyncio.to_thread(self.poll, client)

    def align_interval(self, interval: float) -> float:
        """Return the interval, shortened so that the triggers of a process poll together."""
        return align_to_grid(interval)

    def _count(self, result: str) -> None:
        incr(POLLS, platform=self.hook_class.conn_type, result=result)

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        client: Client = self.hook_class.client_of(await get_connection_async(self.conn_id))
        last_state, last_reason, unknown_states = "unknown", "no poll succeeded", set[str]()
        retry_after = 0.0
        for interval in backoff_intervals(self.poll_interval):
            left = max(0.0, self.deadline - time.time())
            try:
                # The vendor's Retry-After is never shortened, except by the deadline.
                delay = min(max(self.align_interval(interval), retry_after), left)
                result = await self.poll_after(client, delay=delay)
            except TransientError as error:
                self._count("error")
                self.log.warning("Poll failed; polling again: %s", error)
                last_reason = str(error)
                # No jitter: all waits of a process share one rate limit.
                retry_after = min(error.retry_after or 0.0, MAX_RETRY_DELAY.total_seconds())
            else:
                retry_after = 0.0
                if result.event is not None:
                    self._count("done" if result.event["status"] == "success" else "failed")
                    yield result.event
                    return
                self._count("pending")
                if result.reason != last_reason:
                    self.log.info("Waiting: %s", result.reason)
                if not result.known and result.state not in unknown_states:
                    unknown_states.add(result.state)
                    self.log.warning(
                        "Unknown state %s; still waiting. If it is final, add it to the success or failure states of "
                        "the definition, if the platform has these fields",
                        result.state,
                    )
                last_state, last_reason = result.state, result.reason
            if time.time() >= self.deadline:
                yield {"status": "timeout", "state": last_state, "message": last_reason}
                return
