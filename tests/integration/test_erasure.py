"""Taking people out of audiences of each platform, against the sandbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from audience_onboarding.base.erasure import SnapshotEraser
from audience_onboarding.crm.output.profiles import Identifier
from audience_onboarding.crm.snapshots.snapshot import count_matching_rows
from audience_onboarding.crm.snapshots.subjects import SubjectHashes
from audience_onboarding.exceptions import AudienceOnboardingError, TransientError
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.digital_audience.load_files import LoadFiles
from audience_onboarding.state.snapshot_ledger import DiffBase, SnapshotLedger, SnapshotRef
from audience_onboarding.state.store import ERASURE_UPLOAD_LOG_KEY, PENDING_LOADS_KEY, SNAPSHOTS_KEY
from scripts.local_stack import Sandbox
from tests.integration.erase_and_retire import (
    World,
    defined,
    email_hash,
    hashes_in,
    phone_hash,
    seen_by,
    values_of,
)
from tests.integration.faults import fault

pytestmark = pytest.mark.usefixtures("connections")

EVERYBODY = ("anna", "ben", "carla")


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path) -> World:
    """Two audiences of Digital Audience, two of CommBox, one of Fanfare: with and without snapshots."""
    return World(
        sandbox,
        tmp_path,
        [
            defined("digital_audience", "kept", tmp_path, upload={"mode": "mirror"}),
            defined("digital_audience", "plain", tmp_path, snapshots=False),
            defined("commbox", "alerts", tmp_path),
            defined("commbox", "blind", tmp_path, snapshots=False),
            defined("fanfare", "fans", tmp_path),
        ],
    )


def people(*names: str) -> SubjectHashes:
    return SubjectHashes.read(
        {
            Identifier.EMAIL: [email_hash(name) for name in names],
            Identifier.PHONE: [phone_hash(name) for name in names],
        }
    )


def snapshots(folder: Path) -> list[Path]:
    return sorted((folder / "state").rglob("*.parquet"))


def files(sandbox: Sandbox, mode: str) -> list[str]:
    return [item["key"] for item in sandbox.admin("objects")["objects"] if f"/{mode}/" in item["key"]]


def test_the_opt_out_takes_exactly_the_person_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for key in ("kept", "plain"):
        world.load(key, EVERYBODY)

    # The second try is that of a task that was killed when it was done.
    results = [world.erase(key, "ben", task=key) for key in ("kept", "plain", "kept", "plain")]

    assert [item["status"] for item in results] == ["erased"] * 4
    assert [item["rows_sent"] for item in results[:2]] == [2, 2]
    assert world.members("kept") == world.members("plain") == ["anna", "carla"]
    # The file is that of the run, which is of 03:00:00, and never that of a load.
    keys = files(world.sandbox, "opt-out")
    assert [key.rpartition("/")[2] for key in keys] == ["20261120_030000.csv"] * 2
    store = values_of(world.stores, world.progress)
    assert hashes_in(results) == hashes_in(caplog.text) == hashes_in(store) == []


def test_any_of_the_identifiers_is_enough_and_either_case(world: World) -> None:
    world.load("plain", EVERYBODY)

    result = world.erase("plain", email_sha256=[], phone_sha256=[phone_hash("anna").upper()])

    assert result["rows_sent"] == 1
    assert world.members("plain") == ["ben", "carla"]


def test_a_retry_finds_its_own_file_and_waits_on(world: World) -> None:
    world.load("plain", EVERYBODY)
    operator, context = world.operator("plain"), world.context("erase", **world.conf("ben"))
    with pytest.raises(TaskDeferred):
        operator.execute(context)
    (before,) = world.sandbox.admin("objects?prefix=onboard")["objects"][-1:]

    result = world.erase("plain", "ben", task="erase")

    assert result["status"] == "erased"
    assert len(files(world.sandbox, "opt-out")) == 1
    assert world.sandbox.admin("objects")["objects"][-1]["last_modified"] == before["last_modified"]


def test_a_lost_answer_to_the_upload_sends_nothing_twice(world: World) -> None:
    world.load("plain", EVERYBODY)
    fault(world.sandbox, "s3", "PUT", ".*opt-out.*", when="after", action="drop", times=10)
    # Whether it notices that its object has arrived, or not.
    with suppress(TransientError, AirflowFailException):
        world.erase("plain", "ben", task="erase")
    world.sandbox.admin("faults", method="DELETE")

    assert world.erase("plain", "ben", task="erase")["status"] == "erased"

    assert len(files(world.sandbox, "opt-out")) == 1
    assert world.members("plain") == ["anna", "carla"]


def test_the_snapshots_hold_nobody_erased_and_tell_the_truth(world: World, tmp_path: Path) -> None:
    world.load("kept", EVERYBODY, day="2026-11-18")
    world.load("kept", ("anna", "ben"), day="2026-11-19")
    assert len(snapshots(tmp_path)) == 2

    result = world.erase("kept", "ben")

    assert result["erased_from_snapshot"] == 1
    assert len(snapshots(tmp_path)) == 2
    assert [count_matching_rows(path, people("ben")) for path in snapshots(tmp_path)] == [0, 0]
    (last, before) = world.store("kept").get(SNAPSHOTS_KEY)["snapshots"]
    assert (last["rows"], before["rows"]) == (1, 2)


@pytest.mark.parametrize("still_in_crm", [True, False])
def test_the_next_mirror_brings_back_only_people_of_its_list(world: World, still_in_crm: bool) -> None:
    world.load("kept", EVERYBODY, day="2026-11-18")
    world.erase("kept", "ben")
    opt_outs = files(world.sandbox, "opt-out")

    names = EVERYBODY if still_in_crm else ("anna", "carla")
    record = world.load("kept", names, day="2026-11-21")

    assert world.members("kept") == sorted(names)
    assert record["changes"] == {"added": int(still_in_crm), "removed": 0, "unchanged": 2}
    # Nobody is taken out a second time.
    assert files(world.sandbox, "opt-out") == opt_outs


def test_a_day_that_is_loaded_again_does_not_bring_the_person_back(world: World) -> None:
    for key in ("kept", "alerts"):
        world.load(key, EVERYBODY, day="2026-11-18")
        world.erase(key, "ben")

        world.load(key, EVERYBODY, day="2026-11-18")

        assert world.members(key) == ["anna", "carla"]


def test_the_last_person_leaves_no_snapshot_behind(world: World, tmp_path: Path) -> None:
    world.load("kept", ("ben",))

    world.erase("kept", "ben")

    assert snapshots(tmp_path) == []
    assert world.store("kept").get(SNAPSHOTS_KEY)["snapshots"][0]["url"] is None
    assert world.load("kept", EVERYBODY, day="2026-11-21")["changes"]["added"] == 3
    assert world.members("kept") == sorted(EVERYBODY)


def test_who_is_not_in_the_snapshot_is_not_sent_unless_asked_for(world: World) -> None:
    world.load("kept", ("anna",))

    assert world.erase("kept", "ben")["status"] == "not_found"
    assert files(world.sandbox, "opt-out") == []
    assert world.erase("kept", "ben", ignore_snapshots=True)["status"] == "erased"
    assert len(files(world.sandbox, "opt-out")) == 1


def test_a_lost_snapshot_means_that_everybody_may_be_in_it(world: World, tmp_path: Path) -> None:
    world.load("kept", EVERYBODY)
    (path,) = snapshots(tmp_path)
    path.unlink()

    assert world.erase("kept", "ben")["status"] == "erased"
    assert world.members("kept") == ["anna", "carla"]


def test_a_dry_run_sends_nothing(world: World, tmp_path: Path) -> None:
    for key in ("kept", "plain", "alerts"):
        world.load(key, EVERYBODY)

    results = {key: world.erase(key, "ben", dry_run=True) for key in ("kept", "plain", "alerts")}

    assert {item["status"] for item in results.values()} == {"would_erase"}
    assert files(world.sandbox, "opt-out") == []
    assert all(world.members(key) == sorted(EVERYBODY) for key in results)
    assert count_matching_rows(snapshots(tmp_path)[0], people("ben")) == 1


# --- one file a day -------------------------------------------------------------------------------------------


@pytest.fixture
def plain(world: World) -> Callable[..., None]:
    """Change the rule of the audience ``plain``."""

    def change(rule: str) -> None:
        world.by_key["plain"] = defined(
            "digital_audience", "plain", world.folder, snapshots=False, upload={"on_second_daily_file": rule}
        )

    return change


def test_the_rule_of_a_second_file_on_a_day_holds_for_erasures(
    world: World, plain: Callable[..., None]
) -> None:
    world.load("plain", EVERYBODY)

    plain("fail")
    with pytest.raises(AirflowFailException, match="DailyFileLimitError"):
        world.erase("plain", "ben")
    assert files(world.sandbox, "opt-out") == []
    plain("wait")
    assert world.erase("plain", "ben")["status"] == "erased"
    assert world.members("plain") == ["anna", "carla"]


def test_a_load_after_an_erasure_counts_its_file(world: World, plain: Callable[..., None]) -> None:
    world.load("plain", EVERYBODY)
    world.erase("plain", "ben")
    store = world.store("plain")
    assert len(store.get(ERASURE_UPLOAD_LOG_KEY)) == 1

    assert world.load("plain", ("anna",), day="2026-11-21")["uploaded"]

    assert len(store.get(ERASURE_UPLOAD_LOG_KEY)) == 1
    plain("fail")
    store.delete("upload_log")
    with pytest.raises(AirflowFailException, match="opt-out"):
        world.load("plain", ("carla",), day="2026-11-22")


@pytest.mark.parametrize("mode", ["replace", "opt-in"])
def test_a_load_that_read_its_source_before_an_erasure_starts_over(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    world.load("plain", ("anna", "ben"), day="2026-11-19", mode="replace")
    real = LoadFiles.publish

    def meanwhile(self: LoadFiles, *arguments: Any) -> Any:
        monkeypatch.setattr(LoadFiles, "publish", real)
        world.erase("plain", "ben")
        return real(self, *arguments)

    monkeypatch.setattr(LoadFiles, "publish", meanwhile)
    with pytest.raises(
        TransientError, match="People were erased from the audience while the list was prepared"
    ):
        world.load("plain", EVERYBODY, mode=mode)
    assert world.members("plain") == ["anna"]

    world.load("plain", ("anna", "carla"), mode=mode)
    assert world.members("plain") == ["anna", "carla"]


# --- CommBox --------------------------------------------------------------------------------------------------


def test_commbox_gets_the_list_without_the_person(world: World, tmp_path: Path) -> None:
    world.load("alerts", ("anna", "ben"))

    result = world.erase("alerts", "ben")

    assert (result["status"], result["rows_left"], result["erased_from_snapshot"]) == ("erased", 1, 1)
    assert world.members("alerts") == ["anna"]
    (path,) = snapshots(tmp_path)
    assert pl.read_parquet(path).height == 1

    # One was taken out, one is added: as many as before.
    world.load("alerts", ("carla",), day="2026-11-21", mode="opt-in")
    assert world.members("alerts") == ["anna", "carla"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_commbox_a_lost_answer_is_asked_for_again(world: World, when: str) -> None:
    world.load("alerts", EVERYBODY)
    fault(world.sandbox, "commbox", "PUT", ".*/Audiences/.*", when=when, action="drop")
    with pytest.raises(TransientError):
        world.erase("alerts", "ben", task="erase")

    assert world.erase("alerts", "ben", task="erase")["status"] == "erased"
    assert world.members("alerts") == ["anna", "carla"]


def test_commbox_a_try_after_the_list_was_taken_in_sends_nothing_again(world: World) -> None:
    def uploads() -> int:
        (line,) = [item for item in world.sandbox.admin("commbox/audiences") if "alerts" in item["name"]]
        return int(line["uploads"])

    world.load("alerts", EVERYBODY)
    with pytest.raises(TaskDeferred) as deferred:
        world.operator("alerts").execute(world.context("erase", **world.conf("ben")))
    assert seen_by(deferred.value.trigger)["status"] == "success"
    before = uploads()

    assert world.erase("alerts", "ben", task="erase")["status"] == "erased"

    assert uploads() == before
    # A load has taken its place since.
    world.load("alerts", ("carla",), day="2026-11-21")
    assert "later load" in world.erase("alerts", "ben", task="erase")["message"]


def test_commbox_without_a_snapshot_or_with_nobody_left_needs_a_person(world: World) -> None:
    world.load("blind", EVERYBODY)
    world.load("alerts", ("ben",))

    assert world.erase("blind", "ben")["status"] == "manual_action_required"
    assert "console" in world.erase("blind", "ben")["message"]
    assert world.erase("alerts", "ben")["status"] == "manual_action_required"
    assert world.members("blind") == sorted(EVERYBODY)
    assert world.erase("alerts", "anna")["status"] == "not_found"
    # CommBox has no column for addresses.
    result = world.erase("alerts", email_sha256=[email_hash("ben")], phone_sha256=[])
    assert result["status"] == "not_applicable"
    assert "phone" in result["message"]


def test_commbox_waits_while_a_load_is_not_confirmed(world: World) -> None:
    world.load("alerts", EVERYBODY)
    store = world.store("alerts")
    ledger = SnapshotLedger(store, world.ids["alerts"])
    ledger.add_pending(
        SnapshotRef("2026-11-21 replace x", "2026-11-21", "replace", None, 0),
        DiffBase(ledger.confirmed),
        is_whole=True,
    )

    with pytest.raises(TransientError, match="2026-11-21") as caught:
        world.erase("alerts", "ben")

    assert caught.value.retry_after
    assert world.members("alerts") == sorted(EVERYBODY)


def test_commbox_a_load_at_the_same_moment_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.load("alerts", EVERYBODY)
    sent = CommBoxClient.replace_audience

    def meanwhile(self: Any, audience_id: str, **arguments: Any) -> str:
        world.store("alerts").set(PENDING_LOADS_KEY, {"another": "load"})
        return sent(self, audience_id, **arguments)

    monkeypatch.setattr(CommBoxClient, "replace_audience", meanwhile)

    with pytest.raises(AirflowFailException, match=r"ConflictError: alerts: .*Overwrite"):
        world.erase("alerts", "ben")


def test_commbox_a_load_while_the_erasure_reads_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.load("alerts", EVERYBODY)
    real = SnapshotEraser.count_rows

    def meanwhile(self: SnapshotEraser) -> int | None:
        rows = real(self)
        monkeypatch.setattr(SnapshotEraser, "count_rows", real)
        world.load("alerts", ("anna", "ben"), day="2026-11-21")
        return rows

    monkeypatch.setattr(SnapshotEraser, "count_rows", meanwhile)
    with pytest.raises(TransientError, match="load started at the same time"):
        world.erase("alerts", "ben")
    assert world.members("alerts") == ["anna", "ben"]

    assert world.erase("alerts", "ben")["status"] == "erased"
    assert world.members("alerts") == ["anna"]


def test_commbox_a_load_after_an_unanswered_erasure_sends_its_list_again(world: World) -> None:
    world.load("alerts", EVERYBODY, mode="replace")
    fault(world.sandbox, "commbox", "PUT", ".*/Audiences/.*", when="after", action="drop")
    with pytest.raises(TransientError):
        world.erase("alerts", "ben")

    again = world.load("alerts", EVERYBODY, mode="replace", overwrite=True)

    assert again["uploaded"] is True
    assert world.members("alerts") == sorted(EVERYBODY)
    assert world.erase("alerts", "ben")["status"] == "erased"
    assert world.members("alerts") == ["anna", "carla"]


# --- Fanfare --------------------------------------------------------------------------------------------------


def test_fanfare_says_whether_the_person_is_a_member(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.load("fans", ("anna", "ben"))

    found, absent = world.erase("fans", "ben"), world.erase("fans", "carla")

    assert (found["status"], found["found"], found["members"]) == ("manual_action_required", 1, 2)
    assert "dashboard" in found["message"]
    assert (absent["status"], absent["members"]) == ("not_found", 2)
    assert "example.com" not in caplog.text
    assert hashes_in(caplog.text) == []


def test_everything_wrong_names_the_audience(world: World) -> None:
    world.load("plain", EVERYBODY)
    fault(world.sandbox, "digital_audience", "GET", ".*/loadAudienceById/.*", status=403, times=5)

    with pytest.raises((AirflowFailException, AudienceOnboardingError), match="plain: "):
        world.erase("plain", "ben")
