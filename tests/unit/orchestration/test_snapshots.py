"""Which snapshots mean something, by what was announced, begun and confirmed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.orchestration.snapshots import Base, Kept, SnapshotBook
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


def kept(name: str) -> Kept:
    return Kept(name, "2026-11-20", "mirror", f"/s/{name}", 3)


def begin(memory: JsonStore, name: str, *, is_whole: bool = True) -> None:
    mine = book(memory)
    mine.announce(f"/s/{name}")
    mine.begin(kept(name), mine.base_of(name), is_whole=is_whole)


def confirm(memory: JsonStore, name: str, *, keep: int = 2) -> list[str]:
    return book(memory).confirm(name, keep=keep)


def test_at_first_there_is_nothing(memory: JsonStore) -> None:
    assert book(memory).base_of("a") == Base()
    assert confirm(memory, "a") == []
    assert memory.values == {}


def test_what_is_begun_is_compared_with_until_it_is_confirmed(memory: JsonStore) -> None:
    begin(memory, "a")
    assert book(memory).base_of("b") == Base(None, (kept("a"),))

    assert confirm(memory, "a") == []
    assert book(memory).base_of("b") == Base(kept("a"))


def test_a_retry_is_compared_with_what_it_was_compared_with_before(memory: JsonStore) -> None:
    begin(memory, "a")
    begin(memory, "b")
    confirm(memory, "a")

    assert book(memory).base_of("b") == Base(None, (kept("a"),))
    begin(memory, "c")
    # Something else was sent since: what it was compared with is not what is there.
    assert book(memory).base_of("b") == Base(kept("a"), (kept("b"), kept("c")))


def test_confirming_settles_what_was_begun_before_and_not_what_was_begun_after(memory: JsonStore) -> None:
    for name in ("a", "b", "c"):
        begin(memory, name)

    # Of 'c', that it was compared with 'a' counts still.
    assert confirm(memory, "b") == []
    assert book(memory).begun == (kept("c"),)
    assert confirm(memory, "c") == ["/s/a"]


def test_what_only_adds_or_takes_out_settles_itself_alone(memory: JsonStore) -> None:
    begin(memory, "a", is_whole=False)
    begin(memory, "b", is_whole=False)
    confirm(memory, "b")

    assert book(memory).base_of("c") == Base(kept("b"), (kept("a"),))
    begin(memory, "c")
    confirm(memory, "c")
    assert book(memory).base_of("d") == Base(kept("c"))


@pytest.mark.parametrize(("keep", "left"), [(2, ["/s/a", "/s/b"]), (3, ["/s/a"])])
def test_so_many_are_kept(memory: JsonStore, keep: int, left: list[str]) -> None:
    for name in ("a", "b", "c", "d"):
        begin(memory, name)
        last = confirm(memory, name, keep=keep)

    assert last == left
    # Until they are gone, they are told again.
    assert confirm(memory, "d", keep=keep) == left
    book(memory).deleted()
    assert confirm(memory, "d", keep=keep) == []


def test_a_late_confirmation_of_what_is_settled_changes_nothing(memory: JsonStore) -> None:
    for name in ("a", "b"):
        begin(memory, name)
        confirm(memory, name)

    assert confirm(memory, "a") == []
    assert book(memory).confirmed == kept("b")


def test_what_was_announced_and_never_begun_is_given_back(memory: JsonStore) -> None:
    assert book(memory).announce("/s/a") is None
    assert book(memory).announce("/s/a") is None
    assert book(memory).announce("/s/b") == "/s/a"


def test_what_means_something_is_not_given_back(memory: JsonStore) -> None:
    begin(memory, "a")
    confirm(memory, "a")
    book(memory).announce("/s/a")

    assert book(memory).announce("/s/b") is None


def test_what_is_about_another_audience_does_not_count(memory: JsonStore) -> None:
    begin(memory, "a")
    confirm(memory, "a")
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


# --- people taken out -----------------------------------------------------------------------------------------


def test_all_snapshots_are_known_but_those_that_mean_nothing() -> None:
    store = DictStore()
    book = SnapshotBook(store, 5)
    for number in range(1, 4):
        url = f"/state/{number}"
        book.announce(url)
        kept = Kept(f"load {number}", "2026-11-20", "replace", url, 10)
        book.begin(kept, book.base_of(kept.load), is_whole=True)
        if number < 3:
            SnapshotBook(store, 5).confirm(kept.load, keep=2)
        book = SnapshotBook(store, 5)
    book.announce("/state/announced")

    assert book.urls() == ["/state/1", "/state/2", "/state/3", "/state/announced"]


def test_people_who_were_taken_out_are_not_counted_and_the_load_stays_what_it_was() -> None:
    store = DictStore()
    book = SnapshotBook(store, 5)
    for number in (1, 2):
        kept = Kept(f"load {number}", "2026-11-20", "replace", f"/state/{number}", 10)
        book.begin(kept, book.base_of(kept.load), is_whole=True)
        SnapshotBook(store, 5).confirm(kept.load, keep=2)
        book = SnapshotBook(store, 5)

    book.recount({"/state/2": 9, "/state/1": 0, "/state/other": 3})

    confirmed = SnapshotBook(store, 5).confirmed
    assert confirmed == Kept("load 2", "2026-11-20", "replace", "/state/2", 9)
    # Nobody is left in the other one, so there is no file of it.
    assert SnapshotBook(store, 5).urls() == ["/state/2"]
    writes = dict(store.values)
    book = SnapshotBook(store, 5)
    book.recount({"/state/2": 9})
    assert store.values == writes
