"""What each mode leaves in the audience: the vendor only replaces, so adding and taking out is done here."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from tests.unit.commbox.conftest import static
from tests.unit.commbox.world import MONDAY, NAME, TUESDAY, WEDNESDAY, World
from tests.unit.effects import Killed, points
from tests.unit.platforms.cases import every_case


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch, with_state=True)


# --- add and take out ---------------------------------------------------------------------------------------


def test_an_opt_in_keeps_who_is_there(world: World) -> None:
    world.run(MONDAY, "123", "replace")

    record = world.run(TUESDAY, "34", "opt-in")

    assert world.people == "1234"
    assert (record["rows_sent"], record["members"], record["user_count"]) == (2, 4, 4)
    assert record["changes"] == {"added": 1, "removed": 0}
    assert world.vendor.changes == [f"POST {NAME}", "PUT 31234"]


def test_an_opt_out_takes_them_out(world: World) -> None:
    world.run(MONDAY, "123", "replace")

    record = world.run(TUESDAY, "29", "opt-out")

    assert world.people == "13"
    assert (record["rows_sent"], record["members"], record["user_count"]) == (2, 2, 2)
    assert record["changes"] == {"added": 0, "removed": 1}


def test_one_after_the_other(world: World) -> None:
    world.run(MONDAY, "123", "opt-in")
    world.run(TUESDAY, "1", "opt-out")
    world.run(WEDNESDAY, "45", "opt-in")

    assert world.people == "2345"
    assert world.files() == [TUESDAY, WEDNESDAY]


def test_the_first_opt_in_creates_the_audience(world: World) -> None:
    record = world.run(MONDAY, "12", "opt-in")

    assert world.people == "12"
    assert "members" not in record
    assert world.vendor.changes == [f"POST {NAME}"]


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_where_it_changes_nothing_nothing_is_sent(world: World, mode: str) -> None:
    world.run(MONDAY, "123", "replace")

    load = world.send(TUESDAY, "12" if mode == "opt-in" else "89", mode)

    assert (load["uploaded"], load["confirmed"]) == (False, {"audience_id": "31234", "user_count": 3})
    assert world.confirm(load)["load_date"] == TUESDAY
    assert len(world.vendor.changes) == 1
    assert world.files() == [MONDAY]


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_who_is_there_has_to_be_known(world: World, mode: str) -> None:
    world.vendor.audiences["7"] = static("7", NAME, 5)

    with pytest.raises(
        AirflowFailException, match=r"not known who is in the audience.*once with mode replace"
    ):
        world.send(MONDAY, "12", mode)

    assert world.vendor.changes == []


def test_nobody_can_be_taken_out_of_an_audience_that_is_not_there(world: World) -> None:
    with pytest.raises(AirflowFailException, match="so that nobody can be taken out"):
        world.send(MONDAY, "12", "opt-out")

    assert world.vendor.changes == []


def test_an_audience_without_customers_holds_nobody(world: World) -> None:
    world.vendor.audiences["7"] = static("7", NAME, 0)

    world.run(MONDAY, "12", "opt-in")

    assert world.people == "12"


def test_an_audience_is_not_emptied(world: World) -> None:
    world.run(MONDAY, "12", "replace")

    with pytest.raises(AirflowFailException, match=r"would leave nobody in the audience.*Empty or delete"):
        world.send(TUESDAY, "123", "opt-out")

    assert world.people == "12"
    assert world.files() == [MONDAY]


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_a_load_that_is_confirmed_is_not_sent_again_unless_told(world: World, mode: str) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "34", mode)
    # Now the other way round, so that it would change something.
    world.run(TUESDAY, "34", "opt-out" if mode == "opt-in" else "opt-in")
    changes = len(world.vendor.changes)

    assert world.send(TUESDAY, None, mode)["uploaded"] is False
    assert len(world.vendor.changes) == changes
    assert world.send(TUESDAY, None, mode, supersede=True)["uploaded"] is True


def test_other_content_of_a_day_needs_a_word(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "4", "opt-in")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-17 \(opt-in\)"):
        world.send(TUESDAY, "5", "opt-in")

    world.confirm(world.send(TUESDAY, None, "opt-in", supersede=True))
    assert world.people == "12345"


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_upon_a_load_that_is_not_confirmed_nothing_is_built(world: World, mode: str) -> None:
    world.run(MONDAY, "123", "replace")
    world.send(TUESDAY, "1", "opt-out")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-17 \(opt-out\) was begun"):
        world.send(WEDNESDAY, "2", mode)
    assert world.people == "23"

    world.confirm(world.send(TUESDAY, None, "opt-out"))
    world.run(WEDNESDAY, "2", mode)
    assert world.people == ("23" if mode == "opt-in" else "3")


def test_unless_told_to(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.send(TUESDAY, "1", "opt-out")

    world.confirm(world.send(WEDNESDAY, "4", "opt-in", supersede=True))

    assert world.people == "1234"


def test_a_whole_list_needs_no_confirmation_of_what_was_before(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.send(TUESDAY, "1", "opt-out")

    world.run(WEDNESDAY, "45", "replace")
    world.run(WEDNESDAY, "6", "opt-in")

    assert world.people == "456"


def test_a_replace_after_an_opt_in_of_the_same_list_is_not_that_opt_in(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "4", "opt-in")

    assert world.send(TUESDAY, "4", "replace")["uploaded"] is True
    assert world.people == "4"


# --- mirror -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_state", [True, False])
def test_a_mirror_replaces_and_sends_nothing_where_nothing_has_changed(
    world: World, with_state: bool
) -> None:
    state = {} if with_state else {"state": None}
    world.run(MONDAY, "123", "mirror", **state)

    load = world.send(TUESDAY, "123", "mirror", **state)
    assert (load["uploaded"], load["confirmed"]["user_count"]) == (False, 3)
    world.confirm(load)
    world.run(WEDNESDAY, "234", "mirror", **state)

    assert world.people == "234"
    assert world.vendor.changes == [f"POST {NAME}", "PUT 31234"]


def test_with_snapshots_the_order_does_not_matter(world: World) -> None:
    world.run(MONDAY, "123", "mirror")

    assert world.send(TUESDAY, "321", "mirror")["uploaded"] is False
    assert world.send(TUESDAY, "321", "mirror", state=None)["uploaded"] is True


@pytest.mark.parametrize("with_state", [True, False])
def test_what_is_confirmed_but_replaced_since_is_no_reason_to_send_nothing(
    world: World, with_state: bool
) -> None:
    state = {} if with_state else {"state": None}
    world.run(MONDAY, "123", "mirror", **state)
    world.send(TUESDAY, "45", "mirror", **state)

    world.run(WEDNESDAY, "123", "mirror", **state)

    assert world.people == "123"


def test_a_dry_run_knows_what_would_change(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.effects.start()

    for mode, adds, removes in (("replace", 1, 2), ("mirror", 1, 2), ("opt-in", 1, 0), ("opt-out", 0, 1)):
        with pytest.raises(AirflowSkipException, match="Dry run"):
            world.send(TUESDAY, "34", mode, is_dry_run=True, audience_id="31234")
        report = world.context["ti"].pushed["dry_run"]
        assert (report["would_add"], report["would_remove"]) == (adds, removes)

    assert world.effects.names == []


# --- killed -------------------------------------------------------------------------------------------------

SENDING = ["set begun", "save_snapshot", "set begun", "set last_sent", "request", "set last_sent"]


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
                world.effects.start(dies=dies)
                with pytest.raises(Killed):
                    world.send(TUESDAY, "34", mode)
                world.effects.start()

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
                world.effects.start(dies=dies)
                with pytest.raises(Killed):
                    world.send(MONDAY, "12", "opt-in")
                world.effects.start()
                record = world.memory.get("audience") or {}
                if "intent" in record:
                    # Long enough ago to believe the vendor's list.
                    record["intent"]["at"] = "2020-01-01T00:00:00+00:00"
                    world.memory.set("audience", record)

                world.confirm(world.send(MONDAY, None, "opt-in"))

                assert world.people == "12"
                world.run(TUESDAY, "3", "opt-in")
                assert world.people == "123"


# --- ranges of days -----------------------------------------------------------------------------------------


def test_a_range_of_days_is_added_at_once(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    (world.folder / f"{TUESDAY}.csv").write_text("Phone\n0612345674\n0612345673\n")
    (world.folder / f"{WEDNESDAY}.csv").write_text("Phone\n0612345675\n0612345674\n")

    record = world.confirm(world.send(WEDNESDAY, None, "opt-in", history_from=TUESDAY))

    assert sorted(world.people) == list("12345")
    assert (record["rows_read"], record["rows_sent"], record["members"]) == (4, 3, 5)
    assert record["changes"] == {"added": 2, "removed": 0}
    assert (record["load_date"], record["history_from"]) == (WEDNESDAY, TUESDAY)
    assert record["snapshot"].rpartition("/")[2].startswith(f"{TUESDAY}..{WEDNESDAY}-")
    assert len(world.vendor.changes) == 2

    assert world.send(WEDNESDAY, None, "opt-in", history_from=TUESDAY)["uploaded"] is False
    assert len(world.vendor.changes) == 2


def test_and_taken_out_at_once(world: World) -> None:
    world.run(MONDAY, "12345", "replace")
    (world.folder / f"{TUESDAY}.csv").write_text("Phone\n0612345671\n")

    record = world.confirm(world.send(WEDNESDAY, "39", "opt-out", history_from=TUESDAY))

    assert sorted(world.people) == list("245")
    assert record["changes"] == {"added": 0, "removed": 2}


def test_other_content_of_a_range_is_a_conflict(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.run(TUESDAY, "4", "opt-in", history_from=MONDAY)

    with pytest.raises(
        AirflowFailException, match=rf"The load of {MONDAY}\.\.{TUESDAY} \(opt-in\) was sent before"
    ):
        world.send(TUESDAY, "5", "opt-in", history_from=MONDAY)

    world.confirm(world.send(TUESDAY, None, "opt-in", history_from=MONDAY, supersede=True))
    assert sorted(world.people) == list("12345")


def test_a_range_that_was_begun_and_is_not_confirmed_is_named(world: World) -> None:
    world.run(MONDAY, "123", "replace")
    world.send(TUESDAY, "4", "opt-in", history_from=MONDAY)

    with pytest.raises(
        AirflowFailException,
        match=rf"The load of {MONDAY}\.\.{TUESDAY} \(opt-in\) was begun and is not confirmed",
    ):
        world.send(WEDNESDAY, "5", "opt-in")
