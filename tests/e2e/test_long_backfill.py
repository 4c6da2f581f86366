"""A month of history for two audiences at once, while the newest day comes in by schedule.

Whatever the order in which Airflow starts the runs: a ``replace`` ends with the newest list, an ``opt-in`` with
everybody who was ever in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from scripts.local_stack import StackError, wait_for
from tests.e2e.runs import audiences, hashed, member_emails, uploads
from tests.e2e.stack import Stack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(3600)]

DAYS = 30
LEAD = timedelta(minutes=4)
"""How long after the definitions are written, before Airflow starts, the scheduled run is due: the backfills are well
under way by then."""

KEYS = {"long_replace": "replace", "long_opt_in": "opt-in"}
ENDED = {"success", "failed"}


def people(day: int) -> set[str]:
    """Who is in the extract of a day: six people, of which each day brings two new ones."""
    return {f"person{number}@long.example" for number in range(2 * day, 2 * day + 6)}


def members(stack: Stack, key: str) -> list[str]:
    """Who is in the audience at the vendor."""
    audience_id = stack.airflow.asset_state(f"audience/{key}")["audience"]["id"]
    assert audiences(stack, f"Audience {key}") == [audience_id]
    return member_emails(stack.sandbox, audience_id)


@pytest.fixture(scope="module")
def due() -> datetime:
    """When the scheduled run is due. Never across midnight: the day of the run is that of the newest extract."""

    def moment() -> datetime | None:
        now = datetime.now(timezone.utc)
        found = (now + LEAD + timedelta(minutes=1)).replace(second=0, microsecond=0)
        return found if found.date() == now.date() else None

    return wait_for(moment, "Midnight", timeout=LEAD.total_seconds() + 120)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, due: datetime) -> Iterator[Stack]:
    """An Airflow of its own, which knows the audiences from the start."""
    with running_stack(
        tmp_path_factory.mktemp("long"), write=lambda stack: write(stack, due), logs="long-logs"
    ) as running:
        yield running


def write(stack: Stack, due: datetime) -> None:
    """The definitions, due daily at the given time from today on, and the extracts."""
    first = first_day(due)
    for key, mode in KEYS.items():
        stack.define(
            key,
            campaign={"name": "Long campaign"},
            # Not before today: else the first thing that Airflow would do is to make up for yesterday.
            schedule={"cron": f"{due.minute} {due.hour} * * *", "start": due.date(), "timezone": "UTC"},
            source={"path": f"crm/{key}/{{load_date}}.csv", "columns": {"email": "E-mail"}},
            upload={"mode": mode},
            wait={"poll_interval_seconds": 1},
            retries=3,
            retry_delay_seconds=1,
        )
        folder = stack.include / "crm" / key
        folder.mkdir(parents=True, exist_ok=True)
        for day in range(DAYS + 1):
            lines = ["E-mail", *sorted(people(day))]
            (folder / f"{first + timedelta(days=day)}.csv").write_text("\n".join(lines) + "\n")


def first_day(due: datetime) -> date:
    """The oldest day of the backfills."""
    return due.date() - timedelta(days=DAYS)


def wait_for_end(stack: Stack, dag_id: str) -> list[dict[str, Any]]:
    """Wait until the backfill and the scheduled run are through.

    :return: all runs, the newest day last.
    """

    def ended() -> list[dict[str, Any]] | None:
        runs = stack.airflow.runs(dag_id)
        return runs if len(runs) == DAYS + 1 and all(run["state"] in ENDED for run in runs) else None

    try:
        runs = wait_for(ended, f"The end of all runs of {dag_id}", timeout=3000, interval=5)
    except StackError as error:
        states = [(run["partition_key"], run["state"]) for run in stack.airflow.runs(dag_id)]
        raise StackError(f"{error}: {sorted(states)}") from error
    return sorted(runs, key=lambda run: str(run["partition_key"]))


@pytest.fixture(scope="module")
def loaded(stack: Stack, due: datetime) -> dict[str, list[dict[str, Any]]]:
    """Two backfills of thirty days at the same time, to their end: the runs of each audience."""
    dag_ids = {key: f"onboard_{key}" for key in KEYS}
    stack.airflow.wait_for_dags(*dag_ids.values())
    for dag_id in dag_ids.values():
        body = {
            "dag_id": dag_id,
            "from_date": f"{first_day(due)}T00:00:00Z",
            "to_date": f"{due.date() - timedelta(days=1)}T23:59:00Z",
            "max_active_runs": 10,
        }
        stack.airflow.api("backfills", method="POST", json=body)
        stack.airflow.unpause(dag_id)
    found = {key: wait_for_end(stack, dag_id) for key, dag_id in dag_ids.items()}
    for dag_id in dag_ids.values():
        stack.airflow.unpause(dag_id, paused=True)
    return found


@pytest.mark.parametrize(
    ("key", "wanted"),
    [("long_replace", people(DAYS)), ("long_opt_in", set().union(*map(people, range(DAYS + 1))))],
    ids=list(KEYS),
)
def test_the_audience_holds_what_it_should(
    stack: Stack, loaded: dict[str, list[dict[str, Any]]], key: str, wanted: set[str]
) -> None:
    runs = loaded[key]
    assert [run["state"] for run in runs] == ["success"] * (DAYS + 1)
    assert [run["run_type"] for run in runs] == ["backfill"] * DAYS + ["scheduled"]
    assert members(stack, key) == hashed(wanted)
    audience_id = stack.airflow.asset_state(f"audience/{key}")["audience"]["id"]
    keys = [item["key"] for item in uploads(stack, audience_id)]
    # Of a replace, the days that come after the newest one are left out.
    assert 1 < len(keys) <= DAYS + 1
    assert len(keys) == DAYS + 1 or KEYS[key] == "replace"
    state = stack.sandbox.admin("state")
    assert state["open_uploads"] == []
    assert {item["times"] for item in state["written"] if item["key"] in keys} == {1}


@pytest.mark.parametrize("key", KEYS)
def test_the_newest_load_does_not_wait_for_the_backfill(
    stack: Stack, loaded: dict[str, list[dict[str, Any]]], key: str
) -> None:
    assert in_between(stack, f"onboard_{key}", loaded[key])


def in_between(stack: Stack, dag_id: str, runs: list[dict[str, Any]]) -> bool:
    """Whether the newest day was through after some of the older ones, and before others were looked at.

    Otherwise the machine was too slow or too quick for ``LEAD``, and this has shown less than it says.
    """
    ends = [
        {item["task_id"]: item["end_date"] or "" for item in stack.airflow.tasks(dag_id, run["dag_run_id"])}
        for run in runs
    ]
    newest = str(ends[-1]["record_load"])
    looked_at = [str(end["upload"]) for end in ends[:-1]]
    return min(looked_at) < newest < max(looked_at)
