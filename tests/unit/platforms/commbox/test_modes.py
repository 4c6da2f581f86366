"""The audience after loads of each mode: CommBox only replaces, so the operator adds and takes out itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.unit.effects import points
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.commbox.conftest import static
from tests.unit.platforms.commbox.world import MONDAY, NAME, TUESDAY, WEDNESDAY, World
from tests.unit.platforms.sequences import play_all


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch, with_state=True)


# --- add and take out ---------------------------------------------------------------------------------------


SEQUENCES = {
    "one after the other": "mon opt-in 123 | tue opt-out 1 -> 23 | wed opt-in 45 -> 2345",
    "an unconfirmed load, superseded": "mon replace 123 | tue opt-out? 1 | wed opt-in! 4 -> 1234",
    "a list after an unconfirmed one": "mon replace 123 | tue opt-out? 1 | wed replace 45 | wed opt-in 6 -> 456",
    "a replace is not the opt-in of the same list": "mon replace 123 | tue opt-in 4 | tue replace 4 -> 4",
    "a confirmed mirror that was replaced": "mon mirror 123 | tue mirror? 45 -> 45 | wed mirror 123 -> 123",
    "the same without snapshots": "mon mirror* 123 | tue mirror*? 45 -> 45 | wed mirror* 123 -> 123",
}


def test_who_is_in_the_audience_after_a_sequence_of_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_all(lambda name: World(tmp_path / str(name), monkeypatch, with_state=True), SEQUENCES)


# --- add and take out ---------------------------------------------------------------------------------------


def test_opt_ins_and_opt_outs_change_the_list(world: World) -> None:
    first = world.run(MONDAY, "123", "opt-in")
    assert "members" not in first
    added = world.run(TUESDAY, "34", "opt-in")
    assert world.people == "1234"
    removed = world.run(WEDNESDAY, "29", "opt-out")
    assert world.people == "134"

    found = [[record[name] for name in ("rows_sent", "members", "user_count")] for record in (added, removed)]
    assert found == [[2, 4, 4], [2, 3, 3]]
    assert (added["changes"], removed["changes"]) == ({"added": 1, "removed": 0}, {"added": 0, "removed": 1})
    assert world.vendor.changes == [f"POST {NAME}", "PUT 31234", "PUT 31234"]
    assert world.files() == [TUESDAY, WEDNESDAY]


def test_where_it_changes_nothing_nothing_is_sent(world: World) -> None:
    world.run(MONDAY, "123", "replace")

    for mode, people in (("opt-in", "12"), ("opt-out", "89")):
        load = world.send(TUESDAY, people, mode)
        assert (load["uploaded"], load["confirmed"]) == (False, {"audience_id": "31234", "user_count": 3})
        assert world.confirm(load)["load_date"] == TUESDAY
    assert len(world.vendor.changes) == 1
    assert world.files() == [MONDAY]


def test_the_people_in_the_audience_have_to_be_known(world: World) -> None:
    with pytest.raises(AirflowFailException, match="so no customer can be removed"):
        world.send(MONDAY, "12", "opt-out")
    world.vendor.has(static("7", NAME, 5))
    for mode in ("opt-in", "opt-out"):
        with pytest.raises(AirflowFailException, match=r"content is unknown.*once with mode replace"):
            world.send(MONDAY, "12", mode)
    assert world.vendor.changes == []

    # An audience without customers is known.
    world.vendor.has(static("7", NAME, 0))
    world.run(MONDAY, "12", "opt-in")
    assert world.people == "12"


def test_an_audience_is_not_emptied(world: World) -> None:
    world.run(MONDAY, "12", "replace")

    with pytest.raises(AirflowFailException, match=r"would leave the audience empty.*Empty or delete"):
        world.send(TUESDAY, "123", "opt-out")

    assert world.people == "12"
    assert world.files() == [MONDAY]


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_a_confirmed_load_is_not_sent_again_unless_it_supersedes(world: World, mode: str) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "34", mode)
    # Now the other way round, so that it would change something.
    world.run(TUESDAY, "34", "opt-out" if mode == "opt-in" else "opt-in")
    changes = len(world.vendor.changes)

    assert world.send(TUESDAY, None, mode)["uploaded"] is False
    assert len(world.vendor.changes) == changes
    assert world.send(TUESDAY, None, mode, overwrite=True)["uploaded"] is True


def test_other_content_of_a_day_needs_supersede(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "4", "opt-in")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-17 \(opt-in\)"):
        world.send(TUESDAY, "5", "opt-in")

    world.confirm(world.send(TUESDAY, None, "opt-in", overwrite=True))
    assert world.people == "12345"


@pytest.mark.parametrize(("mode", "after"), [("opt-in", "23"), ("opt-out", "3")])
def test_nothing_is_added_to_a_load_that_is_not_confirmed(world: World, mode: str, after: str) -> None:
    world.run(MONDAY, "123", "replace")
    world.send(TUESDAY, "1", "opt-out")

    with pytest.raises(
        AirflowFailException, match=r"UploadConflictError.*2026-11-17 \(opt-out\) was started"
    ):
        world.send(WEDNESDAY, "2", mode)
    assert world.people == "23"

    world.confirm(world.send(TUESDAY, None, "opt-out"))
    world.run(WEDNESDAY, "2", mode)
    assert world.people == after


# --- mirror -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [{}, {"snapshots": None}], ids=["snapshots", "none"])
def test_a_mirror_replaces_unless_nothing_has_changed(world: World, state: dict[str, Any]) -> None:
    world.run(MONDAY, "123", "mirror", **state)

    load = world.send(TUESDAY, "123", "mirror", **state)
    assert (load["uploaded"], load["confirmed"]["user_count"]) == (False, 3)
    world.confirm(load)
    # Only snapshots tell that the order does not matter.
    assert world.send(TUESDAY, "321", "mirror", **state, overwrite=True)["uploaded"] is bool(state)
    world.run(WEDNESDAY, "234", "mirror", **state)

    assert world.people == "234"


def test_a_dry_run_knows_what_would_change(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.effects.start()

    for mode, adds, removes in (("replace", 1, 2), ("mirror", 1, 2), ("opt-in", 1, 0), ("opt-out", 0, 1)):
        with pytest.raises(AirflowSkipException, match="Dry run"):
            world.send(TUESDAY, "34", mode, is_dry_run=True, audience_id="31234")
        report = world.context["ti"].pushed["dry_run_report"]
        assert (report["would_add"], report["would_remove"]) == (adds, removes)

    assert world.effects.names == []


# --- killed -------------------------------------------------------------------------------------------------

SENDING = [
    "set pending_loads",
    "save_snapshot",
    "set pending_loads",
    "set last_sent",
    "request",
    "set last_sent",
]


def test_the_points_are_all_there_are(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.effects.start()

    world.send(TUESDAY, "4", "opt-in")

    assert world.effects.names == SENDING


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_a_task_that_is_killed_loses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    with every_case() as case:
        for dies in points(len(SENDING)):
            world = World(tmp_path / f"{dies}", monkeypatch, with_state=True)
            with case(dies):
                world.run(MONDAY, "123", "replace")
                world.effects.kill(dies, lambda: world.send(TUESDAY, "34", mode))  # noqa: B023

                world.confirm(world.send(TUESDAY, None, mode))

                assert world.people == ("1234" if mode == "opt-in" else "12")
                world.run(WEDNESDAY, "5", "opt-in")
                assert world.people == ("12345" if mode == "opt-in" else "125")
                assert world.files() == [TUESDAY, WEDNESDAY]


def test_nor_does_the_one_that_creates_the_audience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with every_case() as case:
        for dies in points(8):
            world = World(tmp_path / f"{dies}", monkeypatch, with_state=True)
            with case(dies):
                world.effects.kill(dies, lambda: world.send(MONDAY, "12", "opt-in"))  # noqa: B023
                record = world.store.get("audience") or {}
                if "intent" in record:
                    # Long enough ago to believe the vendor's list.
                    record["intent"]["at"] = "2020-01-01T00:00:00+00:00"
                    world.store.set("audience", record)

                world.confirm(world.send(MONDAY, None, "opt-in"))

                assert world.people == "12"
                world.run(TUESDAY, "3", "opt-in")
                assert world.people == "123"


# --- ranges of days -----------------------------------------------------------------------------------------


def test_a_range_of_days_is_added_at_once(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    (world.folder / f"{TUESDAY}.csv").write_text("Phone\n0612345674\n0612345673\n")
    (world.folder / f"{WEDNESDAY}.csv").write_text("Phone\n0612345675\n0612345674\n")

    record = world.confirm(world.send(WEDNESDAY, None, "opt-in", range_start=TUESDAY))

    assert sorted(world.people) == list("12345")
    assert (record["rows_read"], record["rows_sent"], record["members"]) == (4, 3, 5)
    assert record["changes"] == {"added": 2, "removed": 0}
    assert (record["load_date"], record["range_start"]) == (WEDNESDAY, TUESDAY)
    assert record["snapshot"].rpartition("/")[2].startswith(f"{TUESDAY}..{WEDNESDAY}-")
    assert len(world.vendor.changes) == 2

    assert world.send(WEDNESDAY, None, "opt-in", range_start=TUESDAY)["uploaded"] is False
    assert len(world.vendor.changes) == 2


def test_and_taken_out_at_once(world: World) -> None:
    world.run(MONDAY, "12345", "replace")
    (world.folder / f"{TUESDAY}.csv").write_text("Phone\n0612345671\n")

    record = world.confirm(world.send(WEDNESDAY, "39", "opt-out", range_start=TUESDAY))

    assert sorted(world.people) == list("245")
    assert record["changes"] == {"added": 0, "removed": 2}


def test_other_content_of_a_range_is_a_conflict(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "4", "opt-in", range_start=MONDAY)

    with pytest.raises(
        AirflowFailException, match=rf"The load of {MONDAY}\.\.{TUESDAY} \(opt-in\) was sent before"
    ):
        world.send(TUESDAY, "5", "opt-in", range_start=MONDAY)

    world.confirm(world.send(TUESDAY, None, "opt-in", range_start=MONDAY, overwrite=True))
    assert sorted(world.people) == list("12345")


def test_a_range_that_was_begun_and_is_not_confirmed_is_named(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.send(TUESDAY, "4", "opt-in", range_start=MONDAY)

    with pytest.raises(
        AirflowFailException,
        match=rf"The load of {MONDAY}\.\.{TUESDAY} \(opt-in\) was started and is not confirmed",
    ):
        world.send(WEDNESDAY, "5", "opt-in")
