"""A range of days against the sandbox: a month of overlapping lists on S3 becomes one file, and everybody is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.platforms.digital_audience import DigitalAudienceOnboardCrmToS3Operator
from scripts.local_stack import Sandbox
from tests.fakes import task_context
from tests.integration.digital_audience.world import ASSET, OURS, World

pytestmark = pytest.mark.usefixtures("connections")

LAST = date(2026, 11, 30)
DAYS = [LAST - timedelta(days=number) for number in reversed(range(30))]
STEP, LENGTH = 20, 50
"""Each day's list begins so many people later than the one before, and has so many."""


def people_of(number: int) -> range:
    return range(number * STEP, number * STEP + LENGTH)


def address(person: int) -> str:
    return f"Person{person}@Example.com"


def hash_of(person: int) -> str:
    return hashlib.sha256(address(person).lower().encode()).hexdigest()


class History:
    """A month of lists in a bucket of our own."""

    def __init__(self, world: World) -> None:
        self.world = world
        for number, day in enumerate(DAYS):
            self.write(day, people_of(number))

    def write(self, day: date, people: Any) -> None:
        rows = "".join(f"{address(person)}\n" for person in people)
        self.world.s3.put_object(Bucket=OURS, Key=f"crm/{day}.csv", Body=f"E-mail\n{rows}".encode())

    def remove(self, day: date) -> None:
        self.world.s3.delete_object(Bucket=OURS, Key=f"crm/{day}.csv")

    def send(self, *, first: date = DAYS[0], context: Any = None, **changes: Any) -> dict[str, Any]:
        on_missing = changes.pop("on_missing", "fail")
        operator = DigitalAudienceOnboardCrmToS3Operator(
            **{
                "task_id": "upload",
                "asset": ASSET,
                "source": {"path": f"s3://{OURS}/crm/{{load_date}}.csv", "on_missing": on_missing},
                "columns": {"email": "E-mail"},
                "audience_id": self.world.audience_id,
                "load_date": LAST.isoformat(),
                "range_start": first.isoformat(),
                "mode": "opt-in",
                "memory_limit_mib": 128,
                **changes,
            }
        )
        found: dict[str, Any] = operator.execute(context or task_context(stores=self.world.stores))
        return found

    @property
    def members(self) -> set[str]:
        members = self.world.sandbox.admin(f"audiences/{self.world.audience_id}/members")["members"]
        return {member["email_sha256"] for member in members}

    @property
    def keys(self) -> list[str]:
        bucket = self.world.sandbox.info["bucket"]
        listed = self.world.s3.list_objects_v2(Bucket=bucket, Prefix="onboard/").get("Contents", [])
        return [item["Key"] for item in listed]


@pytest.fixture
def history(sandbox: Sandbox, tmp_path: Path) -> Iterator[History]:
    world = World(sandbox, tmp_path)
    yield History(world)
    world.close()


def hashes(people: set[int]) -> set[str]:
    return {hash_of(person) for person in people}


EVERYBODY = {person for number in range(30) for person in people_of(number)}


def test_a_month_is_one_file_with_everybody_once(history: History) -> None:
    context = task_context(stores=history.world.stores)
    with pytest.raises(AirflowSkipException, match="Dry run: 630 rows would be sent"):
        history.send(context=context, is_dry_run=True)
    assert history.keys == []
    assert context["ti"].pushed["dry_run_report"]["range_start"] == "2026-11-01"

    load = history.send()
    history.world.confirm(load)

    assert history.members == hashes(EVERYBODY)
    assert (load["rows_read"], load["rows_sent"]) == (30 * LENGTH, len(EVERYBODY))
    assert load["rows_read"] == load["rows_sent"] + load["duplicates"] + load["rejected"]
    assert load["files"] == 30
    key = f"onboard/audience={history.world.audience_id}/opt-in/20261130_235959.csv"
    assert history.keys == [key]
    bucket = history.world.sandbox.info["bucket"]
    metadata = history.world.s3.head_object(Bucket=bucket, Key=key)["Metadata"]
    assert (metadata["load-date"], metadata["range-start"]) == ("2026-11-30", "2026-11-01")

    again = history.send()

    assert (again["uploaded"], again["content_id"]) == (False, load["content_id"])
    assert history.world.uploads == ["opt-in/20261130"]
    history.write(DAYS[3], [5000])
    with pytest.raises(AirflowFailException, match="UploadConflictError"):
        history.send()


def test_days_without_a_file_are_named_or_left_out(history: History) -> None:
    for number in (0, 7):
        history.remove(DAYS[number])

    with pytest.raises(AirflowFailException, match="2 of 30 days have no source: 2026-11-01, 2026-11-08"):
        history.send()
    assert history.keys == []

    load = history.send(on_missing="skip")
    history.world.confirm(load)
    assert load["days_missing"] == 2
    there = set(range(30)) - {0, 7}
    assert history.members == hashes({person for number in there for person in people_of(number)})


def test_a_month_can_be_taken_out(history: History) -> None:
    history.write(date(2026, 10, 31), range(1000))
    history.world.confirm(history.send(load_date="2026-10-31", range_start=None))
    assert len(history.members) == 1000

    history.world.confirm(history.send(mode="opt-out"))

    assert history.members == hashes(set(range(1000)) - EVERYBODY)
