"""Baseline of the waits: a trigger that only sleeps and GETs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from airflow.triggers.base import BaseTrigger, TriggerEvent

_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    """One for the process, so that connections are kept."""
    if not _sessions:
        _sessions.append(aiohttp.ClientSession())
    return _sessions[0]


class BareTrigger(BaseTrigger):
    """Trigger that requests a URL repeatedly, with no login, no parsing and no error handling.

    :param url: to GET.
    :param poll_interval: seconds.
    """

    def __init__(self, *, url: str, poll_interval: float) -> None:
        super().__init__()
        self.url = url
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it."""
        return f"{__name__}.BareTrigger", {"url": self.url, "poll_interval": self.poll_interval}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Never fires while the vendor answers."""
        while True:
            await asyncio.sleep(self.poll_interval)
            async with _session().get(self.url) as answer:
                await answer.read()
                if answer.status != 200:
                    break
        yield TriggerEvent(answer.status)
