"""CommBox's file rules, and how user_count follows a file."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.clock import ManualClock
from sandbox.commbox import views
from sandbox.commbox.files import Customers, FileRefusedError, read_file
from sandbox.commbox.state import CommBoxState, NoSuchAudienceError, NotStaticError
from sandbox.settings import SandboxSettings, SettingsStore
from sandbox.timeline import Timeline


def read(text: str | bytes, **settings: Any) -> Customers:
    content = text.encode() if isinstance(text, str) else text
    return read_file(content, SandboxSettings(**settings))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_of_numbers(ending: str) -> None:
    found = read(ending.join(["phone1", "442079832100", "31612345678", ""]))
    assert found == Customers(("442079832100", "31612345678"), 2, 2, 0)


def test_other_columns_are_ignored() -> None:
    found = read('name,phone1,city\n"Berg, Anna",31612345678,Delft\n')
    assert found.phones == ("31612345678",)


@pytest.mark.parametrize(
    "bad", ["+31612345678", "0612345678", "31 612345678", "3161234", "3161234567890123", "x", ""]
)
def test_a_bad_number_is_left_out_or_refuses_the_file(bad: str) -> None:
    text = f"phone1,name\n31612345678,a\n{bad},b\n"
    assert read(text) == Customers(("31612345678",), 1, 2, 1)
    with pytest.raises(FileRefusedError, match="line 3: phone1 is not digits"):
        read(text, commbox_bad_phone="refuse")


def test_repeats_count_once_or_each_time() -> None:
    text = "phone1\n31612345678\n31612345678\n"
    assert read(text).user_count == 1
    each = read(text, commbox_duplicates="each")
    assert (each.user_count, each.phones) == (2, ("31612345678",))


def test_a_file_without_customers_is_refused_unless_told_otherwise() -> None:
    for text in ("phone1\n", "phone1,name\nx,a\n"):
        with pytest.raises(FileRefusedError, match="no customer"):
            read(text)
        assert read(text, commbox_empty_file="accept").user_count == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "file is empty"),
        (b"phone\n31612345678\n", "phone1 is missing"),
        (b"Phone1\n31612345678\n", "phone1 is missing"),
        (b"phone1;name\n31612345678;a\n", "phone1 is missing"),
        (b"phone1,phone1\n1,2\n", "twice"),
        (b"\xef\xbb\xbfphone1\n31612345678\n", "byte order mark"),
        (b"phone1\n\xff\n", "not UTF-8"),
        (b"PK\x03\x04rest of a workbook", "Excel is not simulated"),
        (b"\xd0\xcf\x11\xe0rest of an older one", "Excel is not simulated"),
        (b"https://example.com/audience.csv", "phone1 is missing"),
        (b"phone1,name\n31612345678\n", "line 2: 1 fields, header has 2"),
        (b'phone1\n"31612345678\n', "broken quoting"),
    ],
)
def test_a_file_that_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason):
        read(content)


class World:
    """CommBox's memory on a clock that stands still."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.settings = SettingsStore(SandboxSettings(**settings))
        self.timeline = Timeline()
        self.state = CommBoxState(self.clock, self.settings, self.timeline)

    def step(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.timeline.run_due(self.clock.now())

    def count(self, ident: str) -> Any:
        return views.audience(self.state.audiences[ident], self.settings.current).get("user_count", "absent")


def customers(*phones: str) -> Customers:
    return Customers(phones, len(phones), len(phones), 0)


@pytest.mark.parametrize(("pending", "first"), [("zero", 0), ("absent", "absent")])
def test_user_count_follows_a_file_after_the_delay(pending: str, first: Any) -> None:
    world = World(commbox_processing_delay=5, commbox_pending_count=pending)
    ident = world.state.create("list", customers("1", "2")).id
    assert ident == "312345"
    assert world.count(ident) == first
    world.step(4.9)
    assert world.count(ident) == first
    world.step(0.1)
    assert world.count(ident) == 2

    world.state.replace(ident, customers("3"))
    assert world.count(ident) == 2
    world.step(5)
    assert world.count(ident) == 1
    assert world.state.audiences[ident].members == ("3",)


def test_without_a_delay_it_follows_at_once() -> None:
    world = World(commbox_processing_delay=0)
    ident = world.state.create("list", customers("1")).id
    assert world.count(ident) == 1


def test_the_last_file_stays_the_last() -> None:
    world = World(commbox_processing_delay=60)
    ident = world.state.create("list", customers("1", "2", "3")).id
    world.settings.patch({"commbox_processing_delay": 1})
    world.state.replace(ident, customers("4"))
    world.step(1)
    assert world.count(ident) == 1
    world.step(60)
    assert world.count(ident) == 1


def test_names_repeat_and_ids_do_not_come_back() -> None:
    world = World()
    first, second = (world.state.create("list", customers("1")) for _ in range(2))
    assert first.id != second.id
    world.state.reset()
    assert world.state.create("list", customers("1")).id not in {first.id, second.id}


def test_only_a_static_audience_can_be_replaced() -> None:
    world = World()
    dynamic = world.state.create_dynamic("rules")
    with pytest.raises(NotStaticError):
        world.state.replace(dynamic.id, customers("1"))
    with pytest.raises(NoSuchAudienceError):
        world.state.replace("1", customers("1"))
    assert set(views.audience(dynamic, world.settings.current)) == {"id", "name", "created_time", "type"}


def test_times_with_and_without_z() -> None:
    world = World()
    assert views.stamp(world.clock.now(), world.settings.current) == "2025-12-15T11:36:16.489Z"
    world.settings.patch({"commbox_times": "bare"})
    assert views.stamp(world.clock.now(), world.settings.current) == "2025-12-15T11:36:16.489"


def test_error_bodies_are_those_of_the_page() -> None:
    assert views.error(429, "now") == {
        "status": 429,
        "description": "Too Many Requests \u2013 Rate limit exceeded",
        "response_time": "now",
    }
    assert views.error(500, "now")["description"] == "Server Error"
    assert views.error(404, "now")["description"] == "Not Found"
    assert views.error(599, "now")["description"] == "Error"
