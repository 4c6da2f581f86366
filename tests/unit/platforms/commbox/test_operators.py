"""CommBox's operators with a vendor in memory: one audience with the right list, also if a task is killed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.exceptions import (
    Outcome,
    RequestRejectedError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.platforms.commbox.operators import (
    CommBoxFindAudienceOperator,
    CommBoxListAudiencesOperator,
)
from audience_onboarding.state.create_once import VISIBILITY_TIMEOUT
from tests.fakes import task_context
from tests.unit.effects import points
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.commbox.conftest import dynamic, static
from tests.unit.platforms.commbox.world import ASSET, MONDAY, NAME, TUESDAY, WEDNESDAY, Vendor, World
from tests.unit.platforms.kits import COMMBOX, HOST, as_stored, report, without_content_and_time

LISTS = {MONDAY: "012", TUESDAY: "345", WEDNESDAY: "678"}
NOW = "2026-11-16T03:00:00Z"


def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(folder, monkeypatch, with_state=False)
    for day, people in LISTS.items():
        world.write(day, people)
    return world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return made(tmp_path, monkeypatch)


@pytest.fixture
def vendor(world: World) -> Vendor:
    return world.vendor


# --- create and replace -------------------------------------------------------------------------------------


def test_the_first_load_creates_the_audience_with_its_list(world: World, vendor: Vendor) -> None:
    operator = world.operator(MONDAY)

    found = operator.execute(task_context(stores=world.stores, run_id="run_1"))  # type: ignore[arg-type]

    assert without_content_and_time(found) == report(
        load_date=MONDAY,
        mode="replace",
        source=str(world.folder / f"{MONDAY}.csv"),
        rows_read=3,
        rows_sent=3,
        values_sent={"phone": 3},
        values_read={"phone": 3},
        audience_id="31234",
        uploaded=True,
        created=True,
    )
    assert vendor.changes == [f"POST {NAME}"]
    assert world.people == LISTS[MONDAY]
    assert vendor.names == ["20261116.csv"]
    record = world.store.get("audience")
    assert (record["id"], record["account"], record["run_id"]) == ("31234", HOST, "run_1")
    assert COMMBOX.portal(operator) == "https://portal/31234"


@pytest.mark.parametrize("given", [None, "", "None"])
def test_each_later_load_replaces_the_list(world: World, vendor: Vendor, given: Any) -> None:
    world.send(MONDAY, audience_id=given)
    found = world.send(TUESDAY, audience_id=given)

    assert (found["audience_id"], found["uploaded"], found["created"]) == ("31234", True, False)
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]
    assert world.people == LISTS[TUESDAY]


def test_an_audience_of_the_name_is_taken_and_stays_ours_when_renamed(world: World, vendor: Vendor) -> None:
    vendor.has(static("7", NAME))
    assert world.send(MONDAY)["created"] is False
    vendor.audiences["7"]["name"] = "Service alerts (old)"

    world.send(TUESDAY)

    assert vendor.changes == ["PUT 7", "PUT 7"]
    assert list(vendor.audiences) == ["7"]


def test_an_audience_that_is_given_goes_before_name_and_memory(world: World, vendor: Vendor) -> None:
    vendor.has(static("7", "Another name"))

    world.send(MONDAY, audience_id="7")
    # It is not what this asset has created.
    assert "audience" not in world.store.content
    created = world.send(TUESDAY)
    world.send(WEDNESDAY, audience_id="7")

    assert vendor.changes == ["PUT 7", f"POST {NAME}", "PUT 7"]
    assert vendor.files[created["audience_id"]].count(b"\r\n") == 4


def test_a_name_that_cannot_be_used_is_an_error_before_anything_is_sent(world: World, vendor: Vendor) -> None:
    with every_case() as case:
        for audiences, message in (
            ([dynamic("7", NAME)], "is Dynamic.*only a static audience accepts a list"),
            ([static("7", NAME), static("8", NAME)], "2 audiences are called"),
            ([static("7", NAME), dynamic("8", NAME)], "2 audiences are called"),
        ):
            vendor.has(*audiences)
            for act in (world.send, lambda: find().execute(world.context)):
                error = pytest.raises(AirflowFailException, match=f"ConfigurationError.*{message}")
                with case((message, act)), error:
                    act()
    assert vendor.changes == []
    assert world.store.content == {}


def test_an_audience_that_was_deleted_is_not_created_again_silently(world: World, vendor: Vendor) -> None:
    world.send(MONDAY)
    vendor.has()
    message = (
        r"NotFoundError.*no audience 31234.*deleted on purpose, delete the key 'audience' in the state store "
        r"of asset 'audience/alerts'"
    )

    for act in (lambda: world.send(TUESDAY), lambda: find().execute(world.context)):
        with pytest.raises(AirflowFailException, match=message):
            act()
    assert vendor.audiences == {}

    world.store.delete("audience")
    assert world.send(TUESDAY)["created"] is True


def test_a_remembered_audience_has_to_be_static_and_of_this_account(world: World, vendor: Vendor) -> None:
    world.send(MONDAY)
    vendor.audiences["31234"]["type"] = "Dynamic"
    with pytest.raises(AirflowFailException, match="is Dynamic"):
        world.send(TUESDAY)

    world.store.set("audience", {"id": "31234", "account": "https://staging.example"})
    with pytest.raises(AirflowFailException, match=r"ConfigurationError.*staging\.example"):
        world.send(TUESDAY)
    assert vendor.changes == [f"POST {NAME}"]


def test_without_an_asset_the_task_itself_remembers(world: World, vendor: Vendor) -> None:
    assert world.send(MONDAY, asset=None)["created"] is True
    vendor.audiences["31234"]["name"] = "Renamed"

    assert world.send(MONDAY, asset=None)["created"] is False
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]


# --- unclear ------------------------------------------------------------------------------------------------

UNCLEAR = [
    VendorUnavailableError(what="No answer in time", outcome=Outcome.UNKNOWN),
    VendorUnavailableError(what="Server error", outcome=Outcome.UNKNOWN, status=500),
    UnexpectedResponseError(what="No id in it", outcome=Outcome.UNKNOWN),
]


@pytest.mark.parametrize("error", UNCLEAR, ids=lambda error: error.what)
@pytest.mark.parametrize("seen", ["at once", "late", "never"])
def test_an_unclear_creation_is_settled_by_the_list(
    world: World, vendor: Vendor, error: Exception, seen: str
) -> None:
    vendor.fails = [(error, seen != "never")]
    vendor.hidden = seen == "late"
    unclear = "not clear yet whether audience 'Service alerts' was created"
    with time_machine.travel(NOW, tick=False) as clock:
        with pytest.raises(TransientError, match=unclear):
            world.send()
        if seen != "at once":
            clock.shift(VISIBILITY_TIMEOUT - timedelta(seconds=1))
            with pytest.raises(TransientError, match=unclear):
                world.send()
            vendor.hidden = False
            clock.shift(timedelta(seconds=1))

        found = world.send()

    assert (found["audience_id"], found["created"], found["uploaded"]) == ("31234", seen == "never", True)
    assert vendor.changes == [f"POST {NAME}", f"POST {NAME}" if seen == "never" else "PUT 31234"]
    assert list(vendor.audiences) == ["31234"]
    assert world.people == LISTS[MONDAY]
    # Settled, for all runs to come.
    assert world.store.get("audience")["id"] == "31234"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (VendorUnavailableError(what="Refused", outcome=Outcome.NOT_DONE), VendorUnavailableError),
        (RequestRejectedError(what="No column phone1", status=400), AirflowFailException),
    ],
)
def test_a_creation_that_surely_failed_may_be_tried_at_once(
    world: World, vendor: Vendor, error: Exception, raised: type[Exception]
) -> None:
    vendor.fails = [(error, False)]
    with pytest.raises(raised):
        world.send()
    assert "audience" not in world.store.content

    assert world.send()["created"] is True


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_replacement_without_an_answer_is_simply_repeated(
    world: World, vendor: Vendor, carried_out: bool
) -> None:
    world.send(MONDAY)
    vendor.fails = [(UNCLEAR[0], carried_out)]
    with pytest.raises(VendorUnavailableError):
        world.send(TUESDAY)

    world.send(TUESDAY)

    assert world.people == LISTS[TUESDAY]
    assert list(vendor.audiences) == ["31234"]


# --- the same load, and another -----------------------------------------------------------------------------


def test_a_load_that_is_confirmed_is_not_sent_again(world: World, vendor: Vendor) -> None:
    world.confirm(world.send())
    vendor.changes.clear()
    world.effects.start()

    again = world.send()

    assert vendor.changes == world.effects.names == []
    assert (again["uploaded"], again["confirmed"]) == (False, {"audience_id": "31234", "user_count": 3})
    # For another audience, it is not confirmed.
    vendor.has(*vendor.audiences.values(), static("7", "Another"))
    assert world.send(audience_id="7")["uploaded"] is True


def test_a_load_that_is_not_confirmed_yet_is_sent_again(world: World, vendor: Vendor) -> None:
    world.send()

    assert world.send()["uploaded"] is True
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]


def test_other_content_of_a_confirmed_day_needs_supersede(world: World) -> None:
    world.confirm(world.send())

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-16.*manual__1.*Overwrite"):
        world.send(MONDAY, "01")
    assert world.people == LISTS[MONDAY]

    assert world.send(overwrite="True")["uploaded"] is True
    assert world.people == "01"


def test_an_older_list_does_not_replace_a_newer_one(world: World) -> None:
    world.confirm(world.send(MONDAY))
    load = world.send(TUESDAY)
    with pytest.raises(AirflowSkipException, match=f"Skipping stale load: the load of {TUESDAY} is uploaded"):
        world.send(MONDAY)
    world.confirm(load)
    with pytest.raises(
        AirflowSkipException, match=f"Skipping stale load: the load of {TUESDAY} is confirmed"
    ):
        world.send(MONDAY)
    assert world.people == LISTS[TUESDAY]

    world.context["params"]["overwrite"] = True
    world.confirm(world.send(MONDAY, overwrite=True))
    assert world.people == LISTS[MONDAY]

    # It is confirmed, but not there any more.
    assert world.send(TUESDAY)["uploaded"] is True
    assert world.people == LISTS[TUESDAY]


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_list_that_an_unconfirmed_one_has_replaced_is_sent_again(
    world: World, vendor: Vendor, carried_out: bool
) -> None:
    world.confirm(world.send(MONDAY))
    vendor.fails = [(UNCLEAR[0], carried_out)]
    with pytest.raises(VendorUnavailableError):
        world.send(TUESDAY)

    # Back to the list of yesterday.
    assert world.send(MONDAY, overwrite=True)["uploaded"] is True
    assert world.people == LISTS[MONDAY]
    world.confirm(world.send(MONDAY))
    assert world.send(MONDAY)["uploaded"] is False


# --- killed -------------------------------------------------------------------------------------------------

FIRST = ["set audience", "set last_sent", "request", "set last_sent", "set audience"]
LATER = ["set last_sent", "request", "set last_sent"]


def until_done(world: World, day: str, clock: Any) -> dict[str, Any]:
    """Run the task as Airflow does with its retries."""
    for _ in range(5):
        try:
            return world.send(day)
        except TransientError:
            clock.shift(timedelta(minutes=1))
    raise AssertionError("it never gets through")


def test_the_points_are_all_there_are(world: World) -> None:
    for day, names in ((MONDAY, FIRST), (TUESDAY, LATER)):
        world.effects.start()
        world.send(day)
        assert world.effects.names == names


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "later"])
def test_a_task_that_is_killed_creates_nothing_twice_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    with every_case() as case:
        for dies in points(len(LATER if earlier else FIRST)):
            world = made(tmp_path, monkeypatch)
            with case(dies), time_machine.travel(NOW, tick=False) as clock:
                if earlier:
                    world.confirm(world.send(MONDAY))
                world.effects.kill(dies, lambda: world.send(TUESDAY))  # noqa: B023

                world.confirm(until_done(world, TUESDAY, clock))

                assert list(world.vendor.audiences) == ["31234"]
                assert world.people == LISTS[TUESDAY]
                assert world.store.get("audience")["id"] == "31234"
                assert until_done(world, TUESDAY, clock)["uploaded"] is False


def test_an_older_confirmation_is_not_taken_for_a_killed_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with every_case() as case:
        for dies in points(len(LATER)):
            world = made(tmp_path, monkeypatch)
            with case(dies):
                world.confirm(world.send(MONDAY))
                world.send(TUESDAY)
                world.effects.kill(dies, lambda: world.send(MONDAY, overwrite=True))  # noqa: B023

                world.send(MONDAY, overwrite=True)

                assert world.people == LISTS[MONDAY]


# --- before anything is sent --------------------------------------------------------------------------------


def test_what_cannot_be_meant_is_refused_before_anything_is_sent(world: World, vendor: Vendor) -> None:
    (world.folder / f"{WEDNESDAY}.csv").write_text("Phone,E-mail\n0612345678,anna@example.com\n")
    without_state = "needs 'snapshots', .*without it, replace, mirror are allowed"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"allow_unhashed": False}, r"CommBox accepts phone only unhashed.*allow_unhashed"),
        ({"mode": "opt-in"}, f"'opt-in' {without_state}"),
        ({"mode": "opt-out"}, f"'opt-out' {without_state}"),
        ({"mode": ""}, "Unknown mode ''. Allowed are replace, mirror"),
        ({"columns": {"phone": "Phone", "email": "E-mail"}}, "no column for email"),
        *(({"audience_id": given}, "Invalid id") for given in ("../1", "1?x", "a b")),
    ]
    with every_case() as case:
        for changes, message in cases:
            with case(changes), pytest.raises(AirflowFailException, match=message):
                world.send(WEDNESDAY, **changes)
    assert vendor.changes == []


def test_an_empty_list_never_empties_an_audience(world: World) -> None:
    world.send(MONDAY)
    (world.folder / f"{TUESDAY}.csv").write_text("Phone\nnonsense\n")

    with pytest.raises(AirflowFailException, match="EmptySourceError"):
        world.send(TUESDAY)

    assert world.people == LISTS[MONDAY]


@pytest.mark.parametrize(("there", "given"), [(False, None), (True, None), (True, "7")])
def test_a_dry_run_sends_nothing_and_remembers_nothing(
    world: World, vendor: Vendor, there: bool, given: str | None
) -> None:
    if there:
        vendor.has(static("7", NAME))

    with pytest.raises(AirflowSkipException, match="3 rows would be sent, nothing was"):
        world.send(is_dry_run="True", audience_id=given)

    assert vendor.changes == []
    assert world.store.content == {}
    assert world.context["ti"].pushed["dry_run_report"]["rows_sent"] == 3


def test_no_personal_data_stays_behind(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    loads = [world.send(MONDAY), world.send(TUESDAY)]

    everything = json.dumps([loads, world.store.content]) + capsys.readouterr().out
    assert "Created audience 31234 with 3 customers" in everything
    assert "Replaced the customers of audience 31234 with 3 customers" in everything
    assert "61234567" not in everything


# --- finding and listing ------------------------------------------------------------------------------------


def find() -> CommBoxFindAudienceOperator:
    return CommBoxFindAudienceOperator(task_id="find", audience_name=NAME, asset=ASSET)


def test_an_audience_is_found_by_name_or_by_what_is_remembered(world: World, vendor: Vendor) -> None:
    assert find().execute(world.context) is None
    vendor.has(static("7", NAME))
    operator = find()
    assert operator.execute(world.context) == "7"
    assert COMMBOX.portal(operator) == "https://portal/7"
    world.send(audience_id="7")
    vendor.audiences["7"]["name"] = "Renamed"

    assert find().execute(world.context) == "7"


def test_a_list_is_json(vendor: Vendor) -> None:
    vendor.has(static("7", NAME), dynamic("8"))

    found = CommBoxListAudiencesOperator(task_id="t").execute(task_context())  # type: ignore[arg-type]

    assert [(item["id"], item["type"], item["user_count"]) for item in as_stored(found)] == [
        ("7", "Static", 3),
        ("8", "Dynamic", None),
    ]
