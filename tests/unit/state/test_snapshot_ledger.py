"""Snapshots that count, by the loads that were announced, begun and confirmed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.state.snapshot_ledger import DiffBase, SnapshotLedger, SnapshotRef
from tests.fakes import DictStore


class JsonStore(DictStore):
    """Keeps text, as the real store does."""

    def get(self, key: str) -> Any:
        found = super().get(key)
        return None if found is None else json.loads(found)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        super().set(key, json.dumps(value), retention=retention)


@pytest.fixture
def store() -> JsonStore:
    return JsonStore()


def ledger(store: JsonStore, audience_id: Any = 7) -> SnapshotLedger:
    return SnapshotLedger(store, audience_id)


def kept(name: str, rows: int = 3) -> SnapshotRef:
    return SnapshotRef(name, "2026-11-20", "mirror", f"/s/{name}", rows)


def begin(store: JsonStore, name: str, *, is_whole: bool = True) -> None:
    mine = ledger(store)
    mine.announce(f"/s/{name}")
    mine.add_pending(kept(name), mine.get_base(name), is_whole=is_whole)


def confirm(store: JsonStore, name: str, *, keep: int = 2) -> list[str]:
    return ledger(store).confirm(name, keep=keep)


def load(store: JsonStore, *names: str) -> None:
    """Loads that are begun and confirmed, one after the other."""
    for name in names:
        begin(store, name)
        confirm(store, name)


def test_at_first_there_is_nothing(store: JsonStore) -> None:
    assert ledger(store).get_base("a") == DiffBase()
    assert confirm(store, "a") == []
    assert store.values == {}


def test_a_begun_load_is_compared_with_until_it_is_confirmed(store: JsonStore) -> None:
    begin(store, "a")
    assert ledger(store).get_base("b") == DiffBase(None, (kept("a"),))

    assert confirm(store, "a") == []
    assert ledger(store).get_base("b") == DiffBase(kept("a"))


def test_a_retry_has_the_same_base_as_before(store: JsonStore) -> None:
    begin(store, "a")
    begin(store, "b")
    confirm(store, "a")

    assert ledger(store).get_base("b") == DiffBase(None, (kept("a"),))
    begin(store, "c")
    # Something else was sent since: what it was compared with is not what is there.
    assert ledger(store).get_base("b") == DiffBase(kept("a"), (kept("b"), kept("c")))


def test_confirming_settles_loads_that_were_begun_before_only(store: JsonStore) -> None:
    for name in ("a", "b", "c"):
        begin(store, name)

    # Of 'c', that it was compared with 'a' counts still.
    assert confirm(store, "b") == []
    assert ledger(store).pending == (kept("c"),)
    assert confirm(store, "c") == ["/s/a"]


def test_a_load_that_only_adds_or_takes_out_settles_itself_alone(store: JsonStore) -> None:
    begin(store, "a", is_whole=False)
    begin(store, "b", is_whole=False)
    confirm(store, "b")

    assert ledger(store).get_base("c") == DiffBase(kept("b"), (kept("a"),))
    begin(store, "c")
    confirm(store, "c")
    assert ledger(store).get_base("d") == DiffBase(kept("c"))


@pytest.mark.parametrize(("keep", "left"), [(2, ["/s/a", "/s/b"]), (3, ["/s/a"])])
def test_only_the_last_snapshots_are_kept(store: JsonStore, keep: int, left: list[str]) -> None:
    for name in ("a", "b", "c", "d"):
        begin(store, name)
        last = confirm(store, name, keep=keep)

    assert last == left
    # Until they are gone, they are returned again.
    assert confirm(store, "d", keep=keep) == left
    ledger(store).mark_deleted()
    assert confirm(store, "d", keep=keep) == []


def test_a_late_confirmation_of_a_settled_load_changes_nothing(store: JsonStore) -> None:
    load(store, "a", "b")

    assert confirm(store, "a") == []
    assert ledger(store).confirmed == kept("b")


def test_an_announced_snapshot_is_given_back_if_it_was_never_begun(store: JsonStore) -> None:
    assert ledger(store).announce("/s/a") is None
    assert ledger(store).announce("/s/a") is None
    assert ledger(store).announce("/s/b") == "/s/a"
    load(store, "b")
    ledger(store).announce("/s/b")
    assert ledger(store).announce("/s/c") is None


def test_loads_of_another_audience_do_not_count(store: JsonStore) -> None:
    load(store, "a")
    begin(store, "b")

    for audience_id in (8, None):
        assert ledger(store, audience_id).get_base("c") == DiffBase()
    other = ledger(store, 8)
    other.add_pending(kept("c"), DiffBase(), is_whole=True)
    assert set(ledger(store, 8).confirm("c", keep=2)) == {"/s/a"}
    assert ledger(store, 8).confirmed == kept("c")


def test_an_audience_that_is_created_with_its_list_has_no_id_yet(store: JsonStore) -> None:
    new = ledger(store, None)
    new.add_pending(kept("a"), DiffBase(), is_whole=True)

    assert ledger(store).pending == (kept("a"),)
    confirm(store, "a")
    assert ledger(store).confirmed == kept("a")


def test_the_two_tasks_write_apart(store: JsonStore) -> None:
    """There is no compare-and-set, and they may run at the same time."""
    begin(store, "a")
    sending, recording = ledger(store), ledger(store)

    recording.confirm("a", keep=2)
    sending.add_pending(kept("b"), sending.get_base("b"), is_whole=True)

    assert ledger(store).confirmed == kept("a")
    assert ledger(store).pending == (kept("b"),)


# --- people taken out ---------------------------------------------------------------------------------------


def test_all_snapshots_that_count_are_known(store: JsonStore) -> None:
    load(store, "1", "2")
    begin(store, "3")
    ledger(store).announce("/s/announced")

    assert ledger(store).urls() == ["/s/1", "/s/2", "/s/3", "/s/announced"]


def test_people_who_were_taken_out_are_not_counted_and_the_load_stays_as_it_was(store: JsonStore) -> None:
    load(store, "1", "2")

    ledger(store).update_rows({"/s/2": 9, "/s/1": 0, "/s/other": 3})

    assert ledger(store).confirmed == kept("2", rows=9)
    # The other one is empty, so there is no file of it.
    assert ledger(store).urls() == ["/s/2"]
    writes = dict(store.values)
    ledger(store).update_rows({"/s/2": 9})
    assert store.values == writes
