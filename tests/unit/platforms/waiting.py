"""Waits in the triggerer without a vendor and without real time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base import polling
from audience_onboarding.base import triggers as base_triggers
from audience_onboarding.platforms.commbox import triggers as commbox_triggers
from tests.unit.platforms.kits import Kit, as_stored

START = 1000.0
FAR = START + 200_000.0


class Clock:
    """Time that moves only when everything sleeps; the shortest sleep ends first."""

    def __init__(self) -> None:
        self.now = START
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def sleep(self, seconds: float) -> None:
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        self._sleepers.append((self.now + seconds, self._count, waker))
        await waker

    async def wait_for(self, awaitable: Any, timeout: float | None) -> Any:
        """As the one of asyncio, by this clock."""
        wanted = asyncio.ensure_future(awaitable)
        late = asyncio.ensure_future(self.sleep(0.0 if timeout is None else timeout))
        await asyncio.wait(
            {wanted} if timeout is None else {wanted, late}, return_when=asyncio.FIRST_COMPLETED
        )
        late.cancel()
        if wanted.done():
            return await wanted
        wanted.cancel()
        raise asyncio.TimeoutError

    async def run(self, scene: Coroutine[Any, Any, Any]) -> Any:
        """Run a scene; time goes on when nothing else does."""
        task = asyncio.ensure_future(scene)
        while not task.done():
            for _ in range(12):
                await asyncio.sleep(0)
            self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[2].done()]
            if self._sleepers and not task.done():
                first = min(self._sleepers, key=lambda sleeper: sleeper[:2])
                self.now = max(self.now, first[0])
                for moment, _, waker in self._sleepers:
                    if moment <= self.now and not waker.done():
                        waker.set_result(None)
        return task.result()


class Scripted:
    """A client of any vendor: shows one thing after the other; the last stays.

    :ivar asked: the arguments of each call.
    :ivar times: when each call came, in seconds from the start.
    :ivar members: the answer to ``count``, or its error.
    """

    def __init__(self, clock: Clock, settings: Any) -> None:
        self.clock = clock
        self.settings = settings
        self.shows: list[Any] = []
        self.asked: list[tuple[Any, ...]] = []
        self.times: list[float] = []
        self.members: Any = 7

    def show(self, *ids: Any) -> Any:
        self.asked.append(ids)
        self.times.append(self.clock.now - START)
        found = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(found, Exception):
            raise found
        return found

    load_segment = find_import = status = list_audiences = show

    def load_changed_audience(self, audience_id: int, *, previous: bytes | None = None) -> Any:
        found = self.show(audience_id)
        fingerprint = found.model_dump_json().encode()
        return None if fingerprint == previous else (fingerprint, found)

    def count(self, audience_id: str) -> int:
        if isinstance(self.members, Exception):
            raise self.members
        found: int = self.members
        return found

    def run(self, scene: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(self.clock.run(scene))

    def event_of(self, trigger: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.run(event_of(trigger))
        return found

    def warnings_of(self, trigger: Any) -> list[str]:
        """Return the warnings that a trigger logs until its event."""
        trigger._log = log = _Log()
        self.event_of(trigger)
        return log.warnings


class _Log:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.warnings.append(message % arguments)

    def info(self, message: str, *arguments: object) -> None:
        assert "@" not in message % arguments


async def event_of(trigger: Any) -> dict[str, Any]:
    """Return the one event of a trigger."""
    (event,) = [event.payload async for event in trigger.run()]
    found: dict[str, Any] = as_stored(event)
    return found


def scripted(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Let the triggers of a vendor use a scripted client under the connection ``a_connection``, and its clock."""
    clock = Clock()
    made = Scripted(clock, kit.settings)

    async def aget_connection(conn_id: str) -> str:
        return conn_id

    async def at_once(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def client_of(connection: str) -> Scripted:
        assert connection == "a_connection"
        return made

    ours = SimpleNamespace(
        sleep=clock.sleep,
        wait_for=clock.wait_for,
        TimeoutError=asyncio.TimeoutError,
        create_task=asyncio.create_task,
        shield=asyncio.shield,
        to_thread=at_once,
        get_running_loop=asyncio.get_running_loop,
    )
    monkeypatch.setattr(base_triggers.BaseHook, "aget_connection", aget_connection)
    monkeypatch.setattr(base_triggers, "align_to_grid", lambda pause: pause)
    monkeypatch.setattr(kit.hook, "client_of", staticmethod(client_of))
    for module in (base_triggers, commbox_triggers, polling):
        monkeypatch.setattr(
            module, "time", SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now)
        )
        monkeypatch.setattr(module, "asyncio", ours)
    return made


async def together(*scenes: Awaitable[Any]) -> list[Any]:
    """Run scenes at the same time."""
    return await asyncio.gather(*scenes)
