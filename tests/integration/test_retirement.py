"""Retiring audiences of each platform, against the sandbox: what is shown, what is deleted, what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.retirement import AudienceInventory
from audience_onboarding.exceptions import (
    AudienceRetiredError,
    ConfigurationError,
    NotFoundError,
    StaleApprovalError,
    TransientError,
)
from audience_onboarding.pipelines import retire
from audience_onboarding.pipelines.common import get_asset
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.platforms.digital_audience import DigitalAudienceActivateAudienceOperator
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.state.match_rates import rates_key
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    LAST_LOAD_KEY,
    PENDING_LOADS_KEY,
    RETIRED_KEY,
    SNAPSHOTS_KEY,
    UPLOAD_LOG_KEY,
    load_key,
    rejection_key,
    segment_key,
    segment_keys_key,
)
from scripts.local_stack import Sandbox
from tests.fakes import DictStore
from tests.integration.erase_and_retire import World, defined
from tests.integration.faults import calls, fault

pytestmark = pytest.mark.usefixtures("connections")

EVERYBODY = ("anna", "ben", "carla")
TARGET = {
    "key": "dv360",
    "account": {"platform": "DV360", "name": "Example NL"},
    "segment_name": "{key} {load_date:%Y-%m}",
    "description": "of the tests",
}


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path) -> World:
    """Two audiences of Digital Audience, one of each other platform."""
    return World(
        sandbox,
        tmp_path,
        [
            defined(
                "digital_audience",
                "kept",
                tmp_path,
                upload={"mode": "mirror"},
                activation={"targets": [TARGET]},
            ),
            defined("digital_audience", "stays", tmp_path, snapshots=False),
            defined("commbox", "alerts", tmp_path),
            defined("fanfare", "fans", tmp_path),
        ],
    )


class Retirement:
    """A run of the DAG, its tasks called one after the other."""

    def __init__(self, world: World, key: str, run_id: str = "manual__retire") -> None:
        self.world = world
        self.key = key
        self.definition = world.by_key[key]
        self.context: Any = world.context(audience=key)
        self.context["run_id"] = run_id
        self.context["ti"].xcom_pull = lambda **_: {"responded_by_user": {"id": "1", "name": "boss"}}
        self.progress = DictStore()
        self.shown: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        self.shown = retire.inspect_audience(
            self.definition, self.context, others=self.world.by_key, base=self.world.folder
        )
        return self.shown

    def delete(self) -> str:
        done: str = get_platform(self.definition.platform).retirement.delete(
            self.definition,
            self.world.store(self.key),
            self.progress,
            AudienceInventory.from_dict(self.shown["seen"]),
        )
        return done

    def close(self, done: str = "deleted") -> dict[str, Any]:
        return retire.write_retirement(
            self.definition, self.context, self.shown, {"done": done}, base=self.world.folder
        )


def at_vendor(world: World) -> dict[str, int]:
    """Audiences by name, with the number of their segments."""
    segments = world.sandbox.admin("segments")
    return {
        item["name"]: sum(segment["audience_id"] == item["id"] for segment in segments)
        for item in world.sandbox.admin("audiences")
    }


@pytest.fixture
def loaded(world: World) -> World:
    for key in ("kept", "stays"):
        world.load(key, EVERYBODY)
        world.segment(key, f"First of {key}")
        world.segment(key, f"Second of {key}")
    return world


def test_a_retirement_deletes_what_it_has_shown_and_leaves_a_record(loaded: World, tmp_path: Path) -> None:
    run, store = Retirement(loaded, "kept"), loaded.store("kept")
    campaigns = loaded.sandbox.admin("campaigns")
    dated = segment_key("dv360", "2026-11")
    more = [segment_key("dv360"), dated, segment_keys_key("dv360")]
    more += [rejection_key("dv360"), rates_key("mirror")]
    for key in more:
        store.set(key, {"id": 5})
    store.set(segment_keys_key("dv360"), [dated])
    audience_id = loaded.ids["kept"]

    text = run.look()["text"]
    shown = ("Audience kept", str(audience_id), "members: 3", "First of kept", "Second of kept", "ends ")
    assert [word for word in shown if word not in text] == []
    assert at_vendor(loaded) == {"Audience kept": 2, "Audience stays": 2}
    assert list((tmp_path / "state").rglob("*.parquet"))
    done = run.delete()
    assert "2 segments are deleted" in done
    assert at_vendor(loaded) == {"Audience stays": 2}
    assert loaded.sandbox.admin("campaigns") == campaigns

    record = run.close(done)

    assert (record["by"], record["approved_by"], record["audience_id"]) == ("anna", "boss", audience_id)
    assert (record["members"], record["snapshots"], len(record["segments"])) == (3, 1, 2)
    assert list((tmp_path / "state").rglob("*.parquet")) == []
    forgotten = (AUDIENCE_KEY, LAST_LOAD_KEY, SNAPSHOTS_KEY, PENDING_LOADS_KEY, UPLOAD_LOG_KEY, *more)
    assert [key for key in forgotten if store.get(key) is not None] == []
    assert store.get(RETIRED_KEY) == record
    # Single loads stay, as a history.
    assert store.get(load_key("2026-11-20", "mirror"))["rows_sent"] == 3
    # A retry of the task writes no other record.
    assert run.close("again") == record


def test_a_load_after_it_creates_nothing_until_it_is_opened_again(loaded: World) -> None:
    run = Retirement(loaded, "stays")
    run.look()
    run.delete()
    run.close()

    with pytest.raises(AirflowFailException, match=r"AudienceRetiredError: .*'stays'.*reopen"):
        loaded.load("stays", EVERYBODY, day="2026-11-21")
    with pytest.raises(AudienceRetiredError):
        Retirement(loaded, "stays").look()
    assert "Audience stays" not in at_vendor(loaded)

    retire.reopen_audience(run.definition, run.context, is_dry_run=True)
    assert loaded.store("stays").get(RETIRED_KEY)
    retire.reopen_audience(run.definition, run.context, is_dry_run=False)
    with pytest.raises(ConfigurationError, match="is not retired"):
        retire.reopen_audience(run.definition, run.context, is_dry_run=False)
    loaded.load("stays", EVERYBODY, day="2026-11-21")
    assert at_vendor(loaded)["Audience stays"] == 0


def test_with_a_pinned_id_a_load_after_it_stops_as_well(loaded: World, tmp_path: Path) -> None:
    pinned = defined(
        "digital_audience", "pinned", tmp_path, snapshots=False, id=loaded.ids["stays"], campaign=None
    )
    loaded.by_key["pinned"] = pinned
    run = Retirement(loaded, "pinned")
    assert "lose it**: stays" in run.look()["text"]
    run.delete()
    run.close()

    with pytest.raises(AirflowFailException, match="AudienceRetiredError"):
        loaded.load("pinned", EVERYBODY)
    activate = DigitalAudienceActivateAudienceOperator(
        task_id="activate",
        segment_name="x",
        description="x",
        audience_id=pinned.id,
        account_id=1,
        asset=get_asset(pinned),
    )
    with pytest.raises(AirflowFailException, match="AudienceRetiredError"):
        activate.execute(loaded.context())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_to_a_deletion_is_settled_by_the_next_try(loaded: World, when: str) -> None:
    run = Retirement(loaded, "kept")
    run.look()
    for path in (".*/[Ss]egment/.*", ".*/audience/delete.*"):
        fault(loaded.sandbox, "digital_audience", "DELETE", path, when=when, action="drop")
        with pytest.raises(TransientError):
            run.delete()

    run.delete()

    assert at_vendor(loaded) == {"Audience stays": 2}
    # And once more, as after a lost answer of the task itself.
    assert "deleted" in run.delete()


def test_an_audience_that_has_changed_since_the_approval_is_not_deleted(loaded: World) -> None:
    run = Retirement(loaded, "kept")
    run.look()
    loaded.segment("kept", "Third of kept")
    with pytest.raises(StaleApprovalError, match="Third of kept"):
        run.delete()
    assert at_vendor(loaded)["Audience kept"] == 3

    run.look()
    DigitalAudienceHook().client.update_audience(loaded.ids["kept"], name="Something else")
    with pytest.raises(StaleApprovalError, match="Something else"):
        run.delete()
    assert at_vendor(loaded)["Something else"] == 3


def test_an_audience_that_is_gone_and_not_by_us_is_an_error(loaded: World) -> None:
    run = Retirement(loaded, "kept")
    run.look()
    DigitalAudienceHook().client.delete_audience(loaded.ids["kept"])

    with pytest.raises(NotFoundError):
        run.delete()
    # The next inspection reports it, and only the stored state is cleared.
    assert "has deleted or archived the audience" in Retirement(loaded, "kept").look()["text"]
    run.look()
    assert run.delete() == "There was nothing to delete"


def test_when_there_is_nothing_to_look_at(loaded: World, tmp_path: Path) -> None:
    loaded.by_key["wrong"] = defined("digital_audience", "wrong", tmp_path, id=999_999, campaign=None)
    with pytest.raises(NotFoundError):
        Retirement(loaded, "wrong").look()

    intent = {"name": "x", "at": "2026-11-20T03:00:00+00:00"}
    loaded.store("kept").set(AUDIENCE_KEY, {"intent": intent})
    with pytest.raises(ConfigurationError, match="resolve_ambiguous_create"):
        Retirement(loaded, "kept").look()

    loaded.by_key["new"] = defined("digital_audience", "new", tmp_path)
    run = Retirement(loaded, "new")
    assert "The vendor has no audience yet" in run.look()["text"]
    assert run.delete() == "There was nothing to delete"
    assert run.close()["audience_id"] is None


# --- the other platforms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after", None])
def test_fanfare_archives_and_a_new_load_after_reopening_creates_another_one(
    world: World, when: str | None
) -> None:
    first = world.load("fans", EVERYBODY)["audience_id"]
    run = Retirement(world, "fans")
    assert "archived" in run.look()["text"]
    if when:
        fault(world.sandbox, "fanfare", "DELETE", ".*/audiences/.*", when=when, action="drop")
        with pytest.raises(TransientError):
            run.delete()

    assert run.delete() == f"Audience {first} is archived"
    assert run.delete() == f"Audience {first} is archived"
    sent = [item for item in calls(world.sandbox, "DELETE", f"/audiences/{first}") if not item["fault"]]
    assert len(sent) == (0 if when == "after" else 1)
    run.close()
    with pytest.raises(AirflowFailException, match="AudienceRetiredError"):
        world.load("fans", EVERYBODY)
    retire.reopen_audience(run.definition, run.context, is_dry_run=False)

    assert world.load("fans", EVERYBODY)["audience_id"] != first


def test_commbox_says_what_is_to_be_done_by_hand(world: World, tmp_path: Path) -> None:
    world.load("alerts", EVERYBODY)
    run = Retirement(world, "alerts")
    assert "by hand" in run.look()["text"]

    done = run.delete()
    record = run.close(done)

    assert "still exists" in done
    assert "by hand" in record["manual_action"]
    assert list((tmp_path / "state").rglob("*.parquet")) == []
    assert world.members("alerts") == sorted(EVERYBODY)
    with pytest.raises(AirflowFailException, match="AudienceRetiredError"):
        world.load("alerts", EVERYBODY, day="2026-11-21")
