"""Reading of answers, and one client per process and account."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from audience_onboarding.exceptions import Outcome, UnexpectedResponseError
from audience_onboarding.http import (
    ApiClient,
    ProcessCache,
    ResponseModel,
    UtcDateTime,
    parse_json,
    reset_clients,
    shared_client,
)
from tests.unit.http.plain import KEY, Settings, error_of


class Client(ApiClient[Settings]):
    """Client of a platform."""

    hint = "Look at the host"
    read = ApiClient._parse


class OtherClient(ApiClient[Settings]):
    """Client of another platform."""


class Person(ResponseModel):
    """Part of an answer."""

    first_name: str


class Thing(ResponseModel):
    """An answer."""

    thing_id: int
    created_at: UtcDateTime | None = None
    people: tuple[Person, ...] = ()


def settings(host: str = "vendor.example") -> Settings:
    return Settings(base_url=f"https://{host}", key=KEY)


def read(data: Any, *, mutating: bool = False) -> Thing:
    return Client(settings()).read(Thing, data, request_label="Vendor GET /things", mutating=mutating)


def test_an_answer_is_read_by_the_vendors_names_without_unknown_fields_and_frozen() -> None:
    thing = read({"thingId": 7, "people": [{"firstName": "Anna", "new": 1}], "new": {"a": 1}})

    assert thing == Thing(thing_id=7, people=(Person(first_name="Anna"),))
    with pytest.raises(ValueError, match="frozen"):
        thing.thing_id = 8


def test_every_time_is_in_utc() -> None:
    for text in ("2026-11-20T03:00:00Z", "2026-11-20T03:00:00", "2026-11-20T04:00:00+01:00"):
        found = read({"thingId": 7, "createdAt": text}).created_at

        assert found == datetime(2026, 11, 20, 3, tzinfo=timezone.utc), text
        assert found.utcoffset() == timedelta(0), text


@pytest.mark.parametrize(("changes", "outcome"), [(True, Outcome.UNKNOWN), (False, Outcome.NOT_DONE)])
def test_an_odd_answer_is_named_by_field_and_its_values_are_not_quoted(
    changes: bool, outcome: Outcome
) -> None:
    for data, fields in (
        ({}, "thingId"),
        ({"thingId": "anna@example.com"}, "thingId"),
        ({"thingId": 7, "people": [{}, {"firstName": ["anna@example.com"]}]}, "people.0.firstName"),
        (None, "data"),
        (["anna@example.com"], "data"),
        ("anna@example.com", "data"),
    ):
        error = error_of(lambda data=data: read(data, mutating=changes), UnexpectedResponseError)

        message = str(error)
        assert "(Vendor GET /things): " in message, data
        assert fields in message, data
        assert "Look at the host" in message, data
        assert "anna" not in message, data
        assert (error.outcome, error.__suppress_context__) == (outcome, True), data


def test_json_of_an_answer_without_json_is_none() -> None:
    contents = {
        b'{"a": 1}': {"a": 1},
        b"[]": [],
        b"0": 0,
        b"null": None,
        b"": None,
        b"<html>": None,
        b"\xff": None,
    }

    def found(content: bytes) -> Any:
        response = requests.Response()
        response._content = content
        return parse_json(response)

    assert {content: found(content) for content in contents} == contents


def test_there_is_one_client_per_platform_and_account() -> None:
    reset_clients()

    client = shared_client(Client, settings())

    assert shared_client(Client, settings()) is client
    assert shared_client(Client, settings("other.example")) is not client
    # Two platforms with equal settings.
    assert type(shared_client(OtherClient, settings())) is OtherClient
    reset_clients()
    assert shared_client(Client, settings()) is not client


# --- one instance per key and process ------------------------------------------------------------------------

THREADS = 32


def test_many_threads_that_ask_at_once_get_one_instance() -> None:
    instances: ProcessCache[object] = ProcessCache()
    start = threading.Barrier(THREADS)
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    def ask(_: int) -> object:
        start.wait()
        return instances.get("key", make)

    with ThreadPoolExecutor(THREADS) as pool:
        got = list(pool.map(ask, range(THREADS)))

    assert len(made) == 1
    assert all(instance is made[0] for instance in got)


@pytest.mark.timeout(60)
def test_a_nested_call_of_the_same_thread_does_not_wait() -> None:
    instances: ProcessCache[object] = ProcessCache()
    quicker: list[object] = []

    def make() -> object:
        quicker.append(instances.get("key", object))
        return object()

    assert instances.get("key", make) is quicker[0]
    assert instances.get("key", object) is quicker[0]


def test_another_key_is_another_instance_and_clear_forgets() -> None:
    instances: ProcessCache[list[str]] = ProcessCache()
    first = instances.get("a", list)

    assert instances.get("b", list) is not first
    assert instances.get("a", list) is first
    instances.clear()
    assert instances.get("a", list) is not first


def test_after_a_failure_the_next_call_makes_the_instance() -> None:
    instances: ProcessCache[str] = ProcessCache()

    def fail() -> str:
        raise ValueError("not now")

    with pytest.raises(ValueError, match="not now"):
        instances.get("key", fail)

    assert instances.get("key", lambda: "now") == "now"


def test_a_forked_child_starts_empty_even_if_a_thread_of_its_parent_held_the_lock() -> None:
    instances: ProcessCache[str] = ProcessCache()
    instances.get("key", lambda: "of the parent")
    held, done = threading.Event(), threading.Event()

    def hold() -> str:
        held.set()
        done.wait()
        return "slow"

    holder = threading.Thread(target=instances.get, args=("slow", hold))
    holder.start()
    held.wait()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(
        target=lambda: answers.put(instances.get("key", lambda: "of the child")), daemon=True
    )
    try:
        child.start()
        assert answers.get(timeout=60) == "of the child"
    finally:
        done.set()
        holder.join()
        child.join(60)
    assert instances.get("key", lambda: "new") == "of the parent"
