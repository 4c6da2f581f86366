"""Loads of each mode against the sandbox and its S3, where the snapshots lie too."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from scripts.local_stack import Sandbox, wait_for
from tests.integration.digital_audience.world import MONDAY, THURSDAY, TUESDAY, WEDNESDAY, World
from tests.integration.faults import order
from tests.integration.killed import FileStores, run_and_kill

pytestmark = pytest.mark.usefixtures("connections")


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path) -> Iterator[World]:
    made = World(sandbox, tmp_path)
    yield made
    made.close()


def test_mirrors_one_after_the_other(world: World) -> None:
    world.run(MONDAY, "abc")
    assert world.people == "abc"

    changed = world.run(TUESDAY, "bcde")
    assert world.people == "bcde"
    assert changed["changes"] == {"added": 2, "removed": 1, "unchanged": 2}
    assert world.uploads == ["opt-in/20261116", "opt-out/20261117", "opt-in/20261117"]

    unchanged = world.run(WEDNESDAY, "edcb")
    assert (unchanged["uploaded"], unchanged["audience_state"]) == (False, "READY")
    assert len(world.uploads) == 3

    world.run(THURSDAY, "cd")
    assert world.people == "cd"
    assert world.uploads[3:] == ["opt-out/20261119"]
    assert world.snapshots() == [TUESDAY, THURSDAY]


def test_a_mirror_corrects_what_other_modes_and_an_unconfirmed_load_have_done(world: World) -> None:
    world.run(MONDAY, "xyz", "opt-in", snapshots=None)
    world.run(MONDAY, "abx", "replace")
    world.run(TUESDAY, "y", "opt-in")
    world.run(TUESDAY, "b", "opt-out")
    assert world.people == "axy"
    world.send(WEDNESDAY, "bcx")
    wait_for(lambda: world.people == "bcx", "The vendor", timeout=30, interval=0.05)

    world.run(THURSDAY, "abc")

    assert world.people == "abc"
    assert world.snapshots()[-1] == THURSDAY
    assert WEDNESDAY not in world.snapshots()


@pytest.mark.chaos
def test_a_mirror_that_is_killed_between_its_files_goes_on_with_the_second(
    world: World, tmp_path: Path
) -> None:
    world.run(MONDAY, "abc")
    marker = tmp_path / "about-to-put"
    run_and_kill(
        "tests.integration.digital_audience.world:killed",
        {**world.arguments(TUESDAY, "bcde", "mirror"), "hangs_at": "opt-in", "marker": str(marker)},
        store=tmp_path / "store.json",
        done=marker.exists,
        log=tmp_path / "log",
    )
    # Written by the killed process.
    world.stores = FileStores(tmp_path / "store.json")

    world.run(TUESDAY, "bcde")

    assert world.people == "bcde"
    assert world.uploads[1:] == ["opt-out/20261117", "opt-in/20261117"]


@pytest.mark.chaos
@pytest.mark.parametrize("path", ["onboard/.*", "state/.*"], ids=["the file", "its snapshot"])
def test_an_upload_that_airflow_terminates_aborts_what_it_has_open(
    world: World, sandbox: Sandbox, tmp_path: Path, path: str
) -> None:
    arguments = world.arguments(MONDAY, None, "replace")
    rows = "".join(f"person{number}@example.com\n" for number in range(300_000))
    (tmp_path / f"{MONDAY}.csv").write_text(f"E-mail\n{rows}")
    order(sandbox, vendor="s3", operation="UploadPart", path=path, action="delay", seconds=1, times=10)

    run_and_kill(
        "tests.integration.digital_audience.world:with_snapshots",
        arguments,
        store=tmp_path / "store.json",
        done=lambda: [key for key in world.open_multipart_uploads() if re.match(path, key)],
        log=tmp_path / "log",
        by=signal.SIGTERM,
    )

    assert world.open_multipart_uploads() == []
    assert world.uploads == []


def test_the_newest_list_comes_back_when_its_day_is_run_again(world: World) -> None:
    world.run(MONDAY, "ab", "replace")
    world.run(TUESDAY, "bc", "replace")
    with pytest.raises(AirflowSkipException, match="Skipping stale load"):
        world.send(MONDAY, mode="replace")
    world.pass_a_second()
    world.confirm(world.send(MONDAY, mode="replace", overwrite=True))
    assert world.people == "ab"
    world.pass_a_second()

    again = world.send(TUESDAY, mode="replace")

    assert again["uploaded"] is True
    world.confirm(again)
    assert world.people == "bc"
    assert world.uploads == ["replace/20261116", "replace/20261117"] * 2
    assert world.send(TUESDAY, mode="replace")["uploaded"] is False


def test_a_second_file_of_the_day(world: World) -> None:
    world.send(MONDAY, "abc", "opt-in", snapshots=None)
    with pytest.raises(AirflowFailException, match="DailyFileLimitError"):
        world.send(MONDAY, "a", "opt-out", snapshots=None, on_second_daily_file="fail")

    # It waits until the first one is taken in, as the sandbox shows at once.
    load = world.send(MONDAY, "a", "opt-out", snapshots=None, on_second_daily_file="wait")

    assert load["same_day_files"] == [f"onboard/audience={world.audience_id}/opt-in/20261116_000000.csv"]
    world.confirm(load)
    assert world.people == "bc"
