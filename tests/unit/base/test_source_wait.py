"""Waiting for a file in the triggerer: it looks, it lives through what passes, and it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.base import source_wait
from audience_onboarding.base.source_wait import SourceTrigger
from audience_onboarding.exceptions import StorageAccessError, StorageUnavailableError
from audience_onboarding.storage import file_sources

NOW = 1_800_000_000.0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of a trigger, none of which is waited for: the clock goes on by itself."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(source_wait.asyncio, "sleep", sleep)
    monkeypatch.setattr(source_wait.time, "time", lambda: NOW + sum(made))
    return made


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """What the looks see, one after the other, and the client that each was given."""

    def are(*seen: Any) -> list[Any]:
        clients: list[Any] = []
        left = list(seen)

        def look(url: str, s3_client: Callable[[], Any]) -> bool:
            clients.append(s3_client())
            found = left.pop(0) if left else False
            if isinstance(found, Exception):
                raise found
            return bool(found)

        monkeypatch.setattr(file_sources, "source_exists", look)
        return clients

    return are


def trigger(**changes: Any) -> SourceTrigger:
    arguments = {
        "url": "/data/2026-11-20.csv",
        "aws_conn_id": "aws_default",
        "poll_interval": 60.0,
        "deadline": NOW + 3600,
        **changes,
    }
    return SourceTrigger(**arguments)


def event_of(waiting: SourceTrigger) -> dict[str, Any]:
    async def first() -> Any:
        return [event.payload async for event in waiting.run()]

    (payload,) = asyncio.run(first())
    assert json.loads(json.dumps(payload)) == payload
    return payload  # type: ignore[no-any-return]


def test_it_fires_when_the_file_is_there(pauses: list[float], looks: Any) -> None:
    clients = looks(False, False, True)

    assert event_of(trigger()) == {"status": "there"}
    assert pauses == [5.0, 10.0, 20.0]
    assert clients == [None, None, None]


def test_it_looks_at_real_files(pauses: list[float], tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()

    assert event_of(trigger(url=f"{tmp_path}/*.csv")) == {"status": "there"}
    assert event_of(trigger(url=f"{tmp_path}/b.csv")) == {"status": "timeout"}


DOWN = StorageUnavailableError(what="down")


@pytest.mark.parametrize(
    ("seen", "wait", "status", "number"),
    [
        ([], 100, "timeout", 5),
        # In time at the last moment.
        ([False, True], 15, "there", 2),
        ([DOWN, DOWN, True], 3600, "there", 3),
        ([DOWN] * 10, 20, "timeout", 3),
    ],
    ids=["a last look at the deadline", "the last moment", "transient errors", "transient errors at the deadline"],
)  # fmt: skip
def test_it_looks_until_the_deadline(
    pauses: list[float], looks: Any, seen: list[Any], wait: float, status: str, number: int
) -> None:
    clients = looks(*seen)

    assert event_of(trigger(deadline=NOW + wait)) == {"status": status}
    assert len(clients) == len(pauses) == number
    assert sum(pauses) == wait or status == "there"


def test_it_reports_what_does_not_pass(pauses: list[float], looks: Any) -> None:
    clients = looks(StorageAccessError(what="the key may not list"), True)

    assert event_of(trigger()) == {
        "status": "error",
        "error": "StorageAccessError",
        "message": "the key may not list.",
    }
    assert len(clients) == 1


def test_a_client_for_s3_is_made_once_and_only_for_s3(
    pauses: list[float], looks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(source_wait, "s3_client", lambda connection: made.append(connection) or "a client")

    clients = looks(False, True)
    event_of(trigger(url="s3://b/2026-11-20.csv", aws_conn_id="our_s3"))
    assert (made, clients) == (["our_s3"], ["a client", "a client"])

    looks(True)
    event_of(trigger())
    assert made == ["our_s3"]


def test_it_survives_being_stored(pauses: list[float]) -> None:
    path, arguments = trigger(url="s3://b/x", aws_conn_id="our_s3").serialize()

    assert path == "audience_onboarding.base.source_wait.SourceTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert SourceTrigger(**arguments).serialize() == (path, arguments)
