"""One instance per key and process."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from audience_onboarding.http import ProcessCache

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
