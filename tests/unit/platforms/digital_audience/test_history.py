"""Ranges of days on Digital Audience: a key of their own, the range in the metadata, and what is put again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.platforms.digital_audience.definition import object_key
from audience_onboarding.state.load_date import parse_load_date
from tests.unit.platforms.digital_audience.test_modes import (
    MONDAY,
    OPT_IN,
    OPT_OUT,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    World,
    clock,
    key_of,
    world,
)

__all__ = ["clock", "world"]


def key_of_range(mode: str, last: str) -> str:
    return key_of(mode, last).replace("_000000", "_235959")


def write(world: World, **by_day: str) -> None:
    days = {"mon": MONDAY, "tue": TUESDAY, "wed": WEDNESDAY, "thu": THURSDAY}
    for day, names in by_day.items():
        world.write(days[day], names)


def load(world: World, first: str, last: str, mode: str = OPT_IN, **changes: Any) -> dict[str, Any]:
    """A whole run about a range, without snapshots."""
    return world.confirm(world.send(last, mode, range_start=first, **{"snapshots": None, **changes}))


@pytest.mark.parametrize(("is_gzip", "end"), [(False, ".csv"), (True, ".csv.gz")])
def test_a_range_has_the_last_second_of_its_last_day(is_gzip: bool, end: str) -> None:
    key = object_key(7, OPT_IN, parse_load_date("2026-11-20"), is_gzip=is_gzip, is_range=True)

    assert key == f"onboard/audience=7/opt-in/20261120_235959{end}"


def test_a_range_is_one_file_that_tells_its_days(world: World) -> None:
    write(world, mon="ab", tue="bc", wed="cd")

    record = load(world, MONDAY, WEDNESDAY)

    key = key_of_range(OPT_IN, WEDNESDAY)
    assert world.bucket.written == [key]
    metadata = world.bucket.objects[key]["Metadata"]
    assert (metadata["load-date"], metadata["range-start"]) == (WEDNESDAY, MONDAY)
    assert metadata["rows"] == "4"
    assert (record["s3_key"], record["rows_sent"]) == (key, 4)
    assert world.store[f"load.{MONDAY}..{WEDNESDAY}.opt-in"] == record
    (put,) = world.store["upload_log"]
    assert put["load"] == f"{MONDAY}..{WEDNESDAY} opt-in {record['content_id']}"
    assert put["load_date"] == WEDNESDAY
    assert world.vendor.people == ["a", "b", "c", "d"]


def test_the_load_of_a_day_says_nothing_of_ranges(world: World) -> None:
    world.run(MONDAY, "ab", OPT_IN, snapshots=None)

    assert "range-start" not in world.bucket.objects[key_of(OPT_IN, MONDAY)]["Metadata"]


def test_the_same_range_again_sends_nothing(world: World) -> None:
    write(world, mon="ab", tue="bc")
    load(world, MONDAY, TUESDAY)

    assert load(world, MONDAY, TUESDAY)["content_id"]
    assert world.send(TUESDAY, OPT_IN, range_start=MONDAY, snapshots=None)["uploaded"] is False
    assert len(world.bucket.written) == 1


def test_other_content_of_the_same_range_is_a_conflict(world: World) -> None:
    write(world, mon="ab", tue="bc")
    load(world, MONDAY, TUESDAY)
    write(world, mon="ax")

    with pytest.raises(AirflowFailException, match="UploadConflictError: The key has other content"):
        load(world, MONDAY, TUESDAY)

    load(world, MONDAY, TUESDAY, overwrite=True)
    assert world.bucket.written == [key_of_range(OPT_IN, TUESDAY)] * 2
    assert world.vendor.people == ["a", "b", "c", "x"]


def test_two_ranges_that_end_on_the_same_day_share_a_key_which_is_said(world: World) -> None:
    write(world, mon="ab", tue="bc", wed="c")
    load(world, TUESDAY, WEDNESDAY)

    with pytest.raises(AirflowFailException) as caught:
        load(world, MONDAY, WEDNESDAY)

    assert str(caught.value) == (
        f"UploadConflictError: The load of {TUESDAY}..{WEDNESDAY} exists, ends on the same date as "
        f"{MONDAY}..{WEDNESDAY} and so has the same key, with other content "
        f"(s3://vendor-bucket/{key_of_range(OPT_IN, WEDNESDAY)}). Load the missing dates as a range that ends on "
        "another date. To replace the existing load, trigger this one again with 'Overwrite', which is under "
        "'Exceptions' in its form. See docs/how-to/troubleshooting.md#uploadconflicterror"
    )
    assert len(world.bucket.written) == 1
    load(world, MONDAY, WEDNESDAY, overwrite=True)
    assert world.vendor.people == ["a", "b", "c"]
    assert world.bucket.objects[key_of_range(OPT_IN, WEDNESDAY)]["Metadata"]["range-start"] == MONDAY


def test_a_range_stands_beside_the_load_of_its_last_day(world: World) -> None:
    write(world, mon="ab", tue="bc")
    world.run(TUESDAY, "bc", OPT_IN, snapshots=None)

    record = load(world, MONDAY, TUESDAY)

    assert world.bucket.written == [key_of(OPT_IN, TUESDAY), key_of_range(OPT_IN, TUESDAY)]
    assert record["same_day_files"] == [key_of(OPT_IN, TUESDAY)]
    # And neither is sent again.
    assert world.send(TUESDAY, OPT_IN, snapshots=None)["uploaded"] is False
    assert world.send(TUESDAY, OPT_IN, range_start=MONDAY, snapshots=None)["uploaded"] is False


def test_a_range_is_a_second_file_of_the_day_too(world: World) -> None:
    write(world, mon="ab", tue="bc")
    world.run(TUESDAY, "bc", OPT_IN, snapshots=None)

    with pytest.raises(AirflowFailException, match="DailyFileLimitError"):
        load(world, MONDAY, TUESDAY, on_second_daily_file="fail")


def test_a_range_can_be_taken_out(world: World) -> None:
    write(world, mon="ab", tue="bc")
    world.run(WEDNESDAY, "abcde", OPT_IN, snapshots=None)

    load(world, MONDAY, TUESDAY, OPT_OUT)

    assert world.bucket.written[-1] == key_of_range(OPT_OUT, TUESDAY)
    assert world.vendor.people == ["d", "e"]


def test_a_mirror_knows_what_a_range_has_added(world: World) -> None:
    world.run(MONDAY, "ab")
    write(world, mon="ab", tue="bx", wed="y")
    record = load(world, TUESDAY, WEDNESDAY, snapshots=world.state)
    assert record["changes"] == {"added": 2, "removed": 0}
    assert Path(record["snapshot"]).name.startswith(f"{TUESDAY}..{WEDNESDAY}-")
    assert Path(record["snapshot"]).exists()
    assert [kept["url"] for kept in world.store["snapshots"]["snapshots"]][:1] == [record["snapshot"]]

    mirror = world.run(THURSDAY, "abc")

    assert mirror["changes"] == {"added": 1, "removed": 2, "unchanged": 2}
    assert world.vendor.people == ["a", "b", "c"]


def test_a_mirror_of_a_range_is_refused(world: World) -> None:
    with pytest.raises(AirflowFailException, match="A date range cannot be loaded with mode 'mirror'"):
        world.send(TUESDAY, "mirror", range_start=MONDAY)

    assert world.bucket.written == []
