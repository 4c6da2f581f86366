"""Snapshots that count, by the loads that were announced, begun and confirmed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.state.snapshot_ledger import Base, Kept, SnapshotBook
from tests.fakes import DictStore


class JsonStore(DictStore):
    """Keeps text, as the real store does."""

    def get(self, key: str) -> Any:
        found = super().get(key)
        return None if found is None else json.loads(found)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, json.dumps(value), retention=retention)


@pytest.fixture
def memory() -> JsonStore:
    return JsonStore()


def book(memory: JsonStore, audience_id: Any = 7) -> SnapshotBook:
    return SnapshotBook(memory, audience_id)


def kept(name: str, rows: int = 3) -> Kept:
    return Kept(name, "2026-11-20", "mirror", f"/s/{name}", rows)


def begin(memory: JsonStore, name: str, *, is_whole: bool = True) -> None:
    mine = book(memory)
    mine.announce(f"/s/{name}")
    mine.begin(kept(name), mine.base_of(name), is_whole=is_whole)


def confirm(memory: JsonStore, name: str, *, keep: int = 2) -> list[str]:
    return book(memory).confirm(name, keep=keep)


def load(memory: JsonStore, *names: str) -> None:
    """Loads that are begun and confirmed, one after the other."""
    for name in names:
        begin(memory, name)
        confirm(memory, name)


def test_at_first_there_is_nothing(memory: JsonStore) -> None:
    assert book(memory).base_of("a") == Base()
    assert confirm(memory, "a") == []
    assert memory.values == {}


def test_a_begun_load_is_compared_with_until_it_is_confirmed(memory: JsonStore) -> None:
    begin(memory, "a")
    assert book(memory).base_of("b") == Base(None, (kept("a"),))

    assert confirm(memory, "a") == []
    assert book(memory).base_of("b") == Base(kept("a"))


def test_a_retry_has_the_same_base_as_before(memory: JsonStore) -> None:
    begin(memory, "a")
    begin(memory, "b")
    confirm(memory, "a")

    assert book(memory).base_of("b") == Base(None, (kept("a"),))
    begin(memory, "c")
    # Something else was sent since: what it was compared with is not what is there.
    assert book(memory).base_of("b") == Base(kept("a"), (kept("b"), kept("c")))


def test_confirming_settles_loads_that_were_begun_before_only(memory: JsonStore) -> None:
    for name in ("a", "b", "c"):
        begin(memory, name)

    # Of 'c', that it was compared with 'a' counts still.
    assert confirm(memory, "b") == []
    assert book(memory).begun == (kept("c"),)
    assert confirm(memory, "c") == ["/s/a"]


def test_a_load_that_only_adds_or_takes_out_settles_itself_alone(memory: JsonStore) -> None:
    begin(memory, "a", is_whole=False)
    begin(memory, "b", is_whole=False)
    confirm(memory, "b")

    assert book(memory).base_of("c") == Base(kept("b"), (kept("a"),))
    begin(memory, "c")
    confirm(memory, "c")
    assert book(memory).base_of("d") == Base(kept("c"))


@pytest.mark.parametrize(("keep", "left"), [(2, ["/s/a", "/s/b"]), (3, ["/s/a"])])
def test_only_the_last_snapshots_are_kept(memory: JsonStore, keep: int, left: list[str]) -> None:
    for name in ("a", "b", "c", "d"):
        begin(memory, name)
        last = confirm(memory, name, keep=keep)

    assert last == left
    # Until they are gone, they are returned again.
    assert confirm(memory, "d", keep=keep) == left
    book(memory).deleted()
    assert confirm(memory, "d", keep=keep) == []


def test_a_late_confirmation_of_a_settled_load_changes_nothing(memory: JsonStore) -> None:
    load(memory, "a", "b")

    assert confirm(memory, "a") == []
    assert book(memory).confirmed == kept("b")


def test_an_announced_snapshot_is_given_back_if_it_was_never_begun(memory: JsonStore) -> None:
    assert book(memory).announce("/s/a") is None
    assert book(memory).announce("/s/a") is None
    assert book(memory).announce("/s/b") == "/s/a"
    load(memory, "b")
    book(memory).announce("/s/b")
    assert book(memory).announce("/s/c") is None


def test_loads_of_another_audience_do_not_count(memory: JsonStore) -> None:
    load(memory, "a")
    begin(memory, "b")

    for audience_id in (8, None):
        assert book(memory, audience_id).base_of("c") == Base()
    other = book(memory, 8)
    other.begin(kept("c"), Base(), is_whole=True)
    assert set(book(memory, 8).confirm("c", keep=2)) == {"/s/a"}
    assert book(memory, 8).confirmed == kept("c")


def test_an_audience_that_is_created_with_its_list_has_no_id_yet(memory: JsonStore) -> None:
    new = book(memory, None)
    new.begin(kept("a"), Base(), is_whole=True)

    assert book(memory).begun == (kept("a"),)
    confirm(memory, "a")
    assert book(memory).confirmed == kept("a")


def test_the_two_tasks_write_apart(memory: JsonStore) -> None:
    """There is no compare-and-set, and they may run at the same time."""
    begin(memory, "a")
    sending, recording = book(memory), book(memory)

    recording.confirm("a", keep=2)
    sending.begin(kept("b"), sending.base_of("b"), is_whole=True)

    assert book(memory).confirmed == kept("a")
    assert book(memory).begun == (kept("b"),)


# --- people taken out ---------------------------------------------------------------------------------------


def test_all_snapshots_that_count_are_known(memory: JsonStore) -> None:
    load(memory, "1", "2")
    begin(memory, "3")
    book(memory).announce("/s/announced")

    assert book(memory).urls() == ["/s/1", "/s/2", "/s/3", "/s/announced"]


def test_people_who_were_taken_out_are_not_counted_and_the_load_stays_as_it_was(memory: JsonStore) -> None:
    load(memory, "1", "2")

    book(memory).recount({"/s/2": 9, "/s/1": 0, "/s/other": 3})

    assert book(memory).confirmed == kept("2", rows=9)
    # The other one is empty, so there is no file of it.
    assert book(memory).urls() == ["/s/2"]
    writes = dict(memory.values)
    book(memory).recount({"/s/2": 9})
    assert memory.values == writes
