"""Waiting for Digital Audience in the triggerer. Triggers only log in and GET; they change nothing."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.hooks import client_of
from audience_onboarding.digital_audience.readiness import (
    DEFAULT_FAILURE_STATES,
    DEFAULT_PENDING_STATES,
    DEFAULT_SUCCESS_STATES,
    Baseline,
    ConfirmBy,
    Expectation,
    Verdict,
    judge,
    summary,
)
from audience_onboarding.errors import RateLimitedError, TerminalError, TransientError
from audience_onboarding.orchestration.polling import growing_pauses

_threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="digital-audience")
"""``requests`` blocks, the triggerer must not: all waits of a process share these threads."""


@dataclass(frozen=True)
class Look:
    """One look at the vendor.

    :param state: as the vendor spells it.
    :param known: whether the settings know the state.
    :param reason: why there is nothing to report yet.
    :param event: what to report, ``None`` while there is nothing.
    """

    state: str
    known: bool
    reason: str
    event: dict[str, Any] | None = None


def look_at_audience(client: DigitalAudienceClient, audience_id: int, expectation: Expectation) -> Look:
    """Load an audience and judge it."""
    audience = client.load_audience(audience_id)
    judgement = judge(audience, expectation)
    state = audience.audience_state or "unknown"
    event: dict[str, Any] | None = None
    if judgement.verdict is Verdict.READY:
        event = {"status": "success", "result": summary(audience, judgement.upload)}
    elif judgement.verdict is Verdict.FAILED:
        event = {"status": "failed", "state": state, "message": judgement.reason}
    return Look(state, judgement.known_state, judgement.reason, event)


def look_at_segment(
    client: DigitalAudienceClient,
    segment_id: int,
    success_statuses: tuple[str, ...],
    failure_statuses: tuple[str, ...],
) -> Look:
    """Load a segment and judge it by its status."""
    segment = client.load_segment(segment_id)
    status = segment.status or "unknown"
    event: dict[str, Any] | None = None
    if status.casefold() in {name.casefold() for name in success_statuses}:
        result = segment.model_dump(mode="json", include=SEGMENT_RESULT)
        event = {"status": "success", "result": result}
    elif status.casefold() in {name.casefold() for name in failure_statuses}:
        event = {"status": "failed", "state": status, "message": f"the segment is in status {status}"}
    return Look(status, True, f"the segment is in status {status}", event)


SEGMENT_RESULT = {
    "segment_id",
    "name",
    "audience_id",
    "account_id",
    "status",
    "active",
    "start_date",
    "end_date",
    "total_upload_count",
    "total_pending_count",
    "total_failed_count",
    "total_segment_upload_count",
}


class _PollingTrigger(BaseTrigger):
    """Looks again and again until there is something to report or the deadline has passed."""

    def __init__(self, *, digital_audience_conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.digital_audience_conn_id = digital_audience_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    @abstractmethod
    def look(self, client: DigitalAudienceClient) -> Look:
        """Look once; blocks."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The arguments of the subclass, as JSON values."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it, in plain JSON: a connection id, remote ids and state names, never a secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "digital_audience_conn_id": self.digital_audience_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                **self.arguments(),
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

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        client = client_of(await BaseHook.aget_connection(self.digital_audience_conn_id))
        loop = asyncio.get_running_loop()
        last_state, last_reason, seen_unknown = "unknown", "no look succeeded", set[str]()
        wanted_pause = 0.0
        for pause in growing_pauses(self.poll_interval):
            await asyncio.sleep(max(0.0, min(max(pause, wanted_pause), self.deadline - time.time())))
            wanted_pause = 0.0
            try:
                seen = await loop.run_in_executor(_threads, self.look, client)
            except TransientError as error:
                self.log.warning("Looking again: %s", error)
                last_reason = str(error)
                if isinstance(error, RateLimitedError) and error.retry_after:
                    wanted_pause = error.retry_after
            else:
                if seen.event is not None:
                    yield seen.event
                    return
                if seen.reason != last_reason:
                    self.log.info("Waiting: %s", seen.reason)
                if not seen.known and seen.state not in seen_unknown:
                    seen_unknown.add(seen.state)
                    self.log.warning(
                        "State %s is none of the states in the settings; waiting on. If it means the end, name it "
                        "among the success or failure states",
                        seen.state,
                    )
                last_state, last_reason = seen.state, seen.reason
            if time.time() >= self.deadline:
                yield {"status": "timeout", "state": last_state, "message": last_reason}
                return


class DigitalAudienceAudienceStateTrigger(_PollingTrigger):
    """Fires when an audience has taken in an upload, has failed, or the deadline has passed.

    :param digital_audience_conn_id: a connection of type ``digital_audience``.
    :param audience_id: which audience.
    :param baseline: what was there before the upload, see :class:`.readiness.Baseline`.
    :param mode: of the upload; ``None``: any.
    :param rows: of the upload; ``None``: any number.
    :param success_states: values of ``audienceState`` that mean success, in any case.
    :param failure_states: values that mean failure.
    :param pending_states: values that are known to mean "not yet"; others are logged once and waited on.
    :param confirm_by: ``auto``, ``data_updated`` or ``history``, see :class:`.readiness.Expectation`.
    :param poll_interval: seconds between two looks at most; the first ones come quicker.
    :param deadline: Unix time at which it gives up.
    """

    def __init__(  # noqa: PLR0913 - flat, as Airflow stores them
        self,
        *,
        digital_audience_conn_id: str,
        audience_id: int,
        poll_interval: float,
        deadline: float,
        baseline: dict[str, Any] | None = None,
        mode: str | None = None,
        rows: int | None = None,
        success_states: list[str] | tuple[str, ...] = DEFAULT_SUCCESS_STATES,
        failure_states: list[str] | tuple[str, ...] = DEFAULT_FAILURE_STATES,
        pending_states: list[str] | tuple[str, ...] = DEFAULT_PENDING_STATES,
        confirm_by: ConfirmBy = "auto",
    ) -> None:
        super().__init__(
            digital_audience_conn_id=digital_audience_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )
        self.audience_id = audience_id
        self.expectation = Expectation(
            baseline=Baseline.from_dict(baseline),
            mode=mode,
            rows=rows,
            success_states=tuple(success_states),
            failure_states=tuple(failure_states),
            pending_states=tuple(pending_states),
            confirm_by=confirm_by,
        )

    def look(self, client: DigitalAudienceClient) -> Look:
        """Load the audience and judge it."""
        return look_at_audience(client, self.audience_id, self.expectation)

    def arguments(self) -> dict[str, Any]:
        """The arguments beside those of every wait."""
        expected = self.expectation
        return {
            "audience_id": self.audience_id,
            "baseline": expected.baseline.to_dict(),
            "mode": expected.mode,
            "rows": expected.rows,
            "success_states": list(expected.success_states),
            "failure_states": list(expected.failure_states),
            "pending_states": list(expected.pending_states),
            "confirm_by": expected.confirm_by,
        }


class DigitalAudienceSegmentStatusTrigger(_PollingTrigger):
    """Fires when a segment has one of the given statuses, or the deadline has passed.

    :param segment_id: which segment.
    :param success_statuses: values of ``status`` that mean success, in any case.
    :param failure_statuses: values that mean failure.
    """

    def __init__(
        self,
        *,
        digital_audience_conn_id: str,
        segment_id: int,
        poll_interval: float,
        deadline: float,
        success_statuses: list[str] | tuple[str, ...] = ("Active",),
        failure_statuses: list[str] | tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            digital_audience_conn_id=digital_audience_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )
        self.segment_id = segment_id
        self.success_statuses = tuple(success_statuses)
        self.failure_statuses = tuple(failure_statuses)

    def look(self, client: DigitalAudienceClient) -> Look:
        """Load the segment and judge it."""
        return look_at_segment(client, self.segment_id, self.success_statuses, self.failure_statuses)

    def arguments(self) -> dict[str, Any]:
        """The arguments beside those of every wait."""
        return {
            "segment_id": self.segment_id,
            "success_statuses": list(self.success_statuses),
            "failure_statuses": list(self.failure_statuses),
        }
