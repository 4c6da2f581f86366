"""One process of a triggerer with hundreds of waits, and threads at work beside them, all on one connection."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from airflow.sdk import BaseHook

from audience_onboarding.http import RateLimiter, reset_clients
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.triggers import DigitalAudienceAudienceStateTrigger
from scripts.local_stack import Sandbox

CONNECTION = "digital_audience_default"
WAITS, THREADS, AUDIENCES = 300, 12, 5
INTERVAL = 2.5
"""Seconds between two looks of a wait."""
SECONDS = 4.0
"""How long each wait lasts."""
CEILING = 4800.0
"""Requests a minute: fewer than these waits and threads would send."""
LAG = 1.5
"""Seconds by which the sandbox may see requests closer together than they were sent, on a busy machine."""


class CountedTrigger(DigitalAudienceAudienceStateTrigger):
    """Counts its looks."""

    looks = 0

    def poll(self, client: DigitalAudienceClient) -> Any:
        self.looks += 1
        return super().poll(client)


@pytest.fixture
def connection(sandbox: Sandbox, connections: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The connection, with a ceiling."""
    name = "AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"
    fields = json.loads(sandbox.connections()[name])
    monkeypatch.setenv(name, json.dumps({**fields, "extra": {"max_requests_per_minute": CEILING}}))
    found = BaseHook.get_connection(CONNECTION)

    async def known(conn_id: str) -> Any:
        # Asking Airflow hundreds of times is not what is measured here.
        return found

    monkeypatch.setattr(BaseHook, "aget_connection", known)
    yield found
    reset_clients()


def logins(sandbox: Sandbox) -> int:
    count: int = sandbox.admin("summary")["logins"]["success"]
    return count


def arrivals(sandbox: Sandbox) -> list[float]:
    """When each request of this test reached the vendor."""
    entries = sandbox.admin("journal?kind=api")["entries"]
    return sorted(datetime.fromisoformat(item["time"].replace("Z", "+00:00")).timestamp() for item in entries)


def most_within(times: list[float], seconds: float) -> int:
    """The most requests in any window of that length."""
    most = first = 0
    for last, moment in enumerate(times):
        while moment - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_hundreds_of_waits_and_threads_keep_to_one_login_and_to_the_ceiling(
    sandbox: Sandbox, connection: Any
) -> None:
    client = DigitalAudienceHook(CONNECTION).client
    campaign = client.create_campaign("c").id
    ids = [client.create_crm_audience(name="a", campaign_id=campaign).id for _ in range(AUDIENCES)]
    sandbox.admin("expire-sessions", method="POST")
    reset_clients()
    logins_before, requests_before = logins(sandbox), len(arrivals(sandbox))
    deadline = time.time() + SECONDS
    triggers = [
        CountedTrigger(
            conn_id=CONNECTION, audience_id=ids[number % AUDIENCES], poll_interval=INTERVAL, deadline=deadline
        )
        for number in range(WAITS)
    ]
    over = threading.Event()
    calls = [0] * THREADS
    broken: list[Exception] = []

    def work(number: int) -> None:
        hook = DigitalAudienceHook(CONNECTION)
        try:
            while not over.is_set():
                hook.client.load_audience(ids[number % AUDIENCES])
                calls[number] += 1
        except Exception as error:
            broken.append(error)

    async def everybody() -> list[dict[str, Any]]:
        waits = [asyncio.ensure_future(anext(trigger.run())) for trigger in triggers]

        async def expire() -> int:
            # In the thick of it: while waits look and all threads are calling.
            while not (sum(trigger.looks for trigger in triggers) > 50 and all(calls)):
                await asyncio.sleep(0.05)
            at_first = await asyncio.to_thread(logins, sandbox)
            await asyncio.to_thread(sandbox.admin, "expire-sessions", method="POST")
            before = sum(calls)
            while sum(calls) < before + THREADS:
                await asyncio.sleep(0.05)
            # The rest of the ceiling is for the waits.
            over.set()
            return at_first - logins_before

        assert await expire() == 1
        return [event.payload for event in await asyncio.gather(*waits)]

    started = time.monotonic()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        events = asyncio.run(everybody())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    seconds = time.monotonic() - started

    assert broken == []
    assert {event["status"] for event in events} == {"timeout"}
    assert {event["state"] for event in events} == {"NODATA"}
    assert all(calls)
    # One login at first, and one more after the session was over for all.
    assert logins(sandbox) - logins_before == 2
    # No wait looks more often than once per interval, but for the last look at the deadline.
    assert max(trigger.looks for trigger in triggers) <= seconds / INTERVAL + 1
    assert min(trigger.looks for trigger in triggers) >= 1
    # What reached the vendor, by its own journal.
    times = arrivals(sandbox)[requests_before:]
    rate_limiter = RateLimiter(CEILING)
    for window in (1.0, 2.5, 5.0, 60.0):
        assert most_within(times, window) <= rate_limiter.burst + rate_limiter.per_second * (window + LAG), (
            window
        )
    assert most_within(times, 60.0) <= CEILING
    # The ceiling is what held them back: it was used up.
    assert len(times) > 0.6 * (rate_limiter.burst + rate_limiter.per_second * seconds)
