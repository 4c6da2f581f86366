"""Waiting for the source of a load in the triggerer. It only looks: nothing is read, and nothing is written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.polling import backoff_intervals
from audience_onboarding.exceptions import TerminalError, TransientError

THERE = "there"
TIMEOUT = "timeout"
ERROR = "error"


class SourceTrigger(BaseTrigger):
    """Fires when the file is there, when the deadline has passed, or when a look says that waiting is pointless.

    The triggerer has to see what the workers see: a local path has to be mounted in both.

    :param url: path or URL of the source, the load date filled in.
    :param aws_conn_id: a connection of type ``aws``, for an ``s3://`` URL.
    :param poll_interval: seconds between two looks at most; the first ones come quicker.
    :param deadline: Unix time at which it gives up.
    """

    def __init__(self, *, url: str, aws_conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url = url
        self.aws_conn_id = aws_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self._client: Any = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it: plain JSON, no secrets."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "url": self.url,
                "aws_conn_id": self.aws_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to report. Errors that may go away are lived through."""
        for pause in backoff_intervals(self.poll_interval):
            await asyncio.sleep(min(pause, max(0.0, self.deadline - time.time())))
            try:
                is_there = await self._look()
            except TransientError as error:
                self.log.warning("Looking again: %s", error)
                is_there = False
            except TerminalError as error:
                yield TriggerEvent({"status": ERROR, "error": type(error).__name__, "message": str(error)})
                return
            if is_there:
                yield TriggerEvent({"status": THERE})
                return
            if time.time() >= self.deadline:
                yield TriggerEvent({"status": TIMEOUT})
                return

    async def _look(self) -> bool:
        from audience_onboarding.storage.file_sources import source_exists

        if self._client is None and self.url.startswith("s3://"):
            # Asking for a connection goes back through the loop of the triggerer, which other threads cannot do.
            self._client = await sync_to_async(s3_client)(self.aws_conn_id)
        return await asyncio.to_thread(source_exists, self.url, lambda: self._client)
