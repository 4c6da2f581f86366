"""A month of operation, day by day: what the vendor has is exactly right on each of them.

The package's own DAGs run, over real HTTP, against a sandbox whose clock is put forward. In the month: a list that
changes each day, two days without one, a list that is corrected on its own day and once more when it is too late,
somebody who is erased, runs that are repeated, and a segment that is kept alive from week to week.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from audience_onboarding.definitions.loader import read_definition
from audience_onboarding.http import reset_clients
from audience_onboarding.pipelines import (
    build_activation_dag,
    build_erase_dag,
    build_extension_dag,
    build_onboarding_dag,
)
from scripts.local_stack import Sandbox
from tests.small_airflow import Run, VirtualTime, World, no_earlier_runs

pytestmark = pytest.mark.integration

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
FIRST = date(2040, 3, 1)  # on the 25th, the clock goes forward in Amsterdam
DAYS = 30
WITHOUT_A_LIST = {9, 10}
CORRECTED = 12
ERASED = 20
EXTENDED_ON = {8, 15, 22, 29}
RUNS_FOR, WITHIN, EXTENDED_BY = 14, 7, 14
"""Days: how long a segment runs, when it is extended, and by how much."""

STAYS = 12
"""Days that somebody stays on the list."""

BASE: dict[str, Any] = {
    "name": "The month",
    "owner": "tests",
    "retries": 0,
    "source": {
        "path": "{load_date}.csv",
        "columns": {"email": "E-mail", "phone": "Phone"},
        "on_missing": "skip",
    },
    "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Amsterdam", "start": FIRST},
    "wait": {"poll_interval_seconds": 60, "timeout_hours": 6},
    "snapshots": {"path": "state"},
}
DIGITAL_AUDIENCE: dict[str, Any] = {
    **BASE,
    "platform": "digital_audience",
    "campaign": {"name": "The month"},
    "upload": {"mode": "mirror"},
    "activation": {
        "targets": [
            {
                "key": "dv360",
                "account": {"platform": "DV360", "name": "Example NL"},
                "segment_name": "The month",
                "description": "of the tests",
                "duration_days": RUNS_FOR,
            }
        ],
        "extend": {"within_days": WITHIN, "extend_by_days": EXTENDED_BY},
    },
}
COMMBOX: dict[str, Any] = {
    **{name: value for name, value in BASE.items() if name != "snapshots"},
    "platform": "commbox",
    "allow_unhashed": True,
    "source": {**BASE["source"], "columns": {"phone": "Phone"}},
    "upload": {"mode": "replace"},
}
FANFARE: dict[str, Any] = {
    **{name: value for name, value in BASE.items() if name != "snapshots"},
    "platform": "fanfare",
    "allow_unhashed": True,
}


@dataclass(frozen=True, order=True)
class Person:
    """Somebody of the CRM; the same one in another spelling each day."""

    number: int

    @property
    def email(self) -> str:
        return f"person.{self.number}@example.com"

    @property
    def phone(self) -> str:
        return f"31612345{self.number:03d}"

    def row(self, day: int) -> str:
        email = self.email.upper() if (self.number + day) % 2 else f" {self.email}"
        return f"{email},0{self.phone[2:]}"


def people_of(day: int) -> set[Person]:
    """Who is on the list of a day: two come each day, and stay for some."""
    return {Person(number) for number in range(100, 160) if 0 <= day - (number - 100) // 2 - 1 < STAYS}


def load_date(day: int) -> date:
    return FIRST + timedelta(days=day - 1)


def tick(day: int) -> datetime:
    """When the run of a day begins; in UTC, where each day has 24 hours."""
    return datetime.combine(load_date(day), time(3), tzinfo=AMSTERDAM).astimezone(timezone.utc)


@dataclass
class Month:
    """The one who operates it.

    :param definition: of the audience.
    :param folder: of the extracts.
    """

    sandbox: Sandbox
    clock: VirtualTime
    folder: Path
    definition: Any
    world: World = field(default_factory=World)

    def write(self, day: int, people: set[Person]) -> None:
        """Let the CRM write the list of a day."""
        rows = [person.row(day) for person in sorted(people)]
        rows.append(rows[0])  # twice
        text = "\n".join(["E-mail,Phone", *rows, "nobody,"]) + "\n"
        (self.folder / f"{load_date(day)}.csv").write_text(text, encoding="utf-8")

    def at(self, moment: datetime) -> None:
        """Put all clocks to a moment; other processes have come up since the last one."""
        reset_clients()
        self.clock.move_to(moment)
        self.sandbox.admin("clock", method="POST", json={"at": moment.astimezone(timezone.utc).isoformat()})

    def onboard(self, day: int, *, at: datetime, run_type: str = "scheduled", **params: Any) -> Run:
        """Load a day."""
        self.at(at)
        key = str(load_date(day))
        run = Run(
            build_onboarding_dag(self.definition, base=self.folder, auto_register=False),
            self.world,
            f"{run_type}__{at.isoformat()}",
            params if run_type == "scheduled" else {"load_date": key, **params},
            run_type=run_type,
            partition_key=key if run_type == "scheduled" else None,
            run_after=at,
        ).execute()
        assert not run.failures, run.failures[0].text
        if any(name.startswith("audience/") for name, _ in run.events):
            self._activate(run)
        return run

    def _activate(self, cause: Run) -> None:
        if getattr(self.definition, "activation", None) is None:
            return
        run = Run(
            build_activation_dag(self.definition, auto_register=False),
            self.world,
            f"activate {cause.run_id}",
            partition_key=cause.partition_key,
            run_type="asset_triggered",
            run_after=cause.run_after + timedelta(minutes=10),
        ).execute()
        assert not run.failures, run.failures[0].text

    def keep_alive(self, *, at: datetime) -> None:
        """Let the upkeep run."""
        self.at(at)
        run = Run(
            build_extension_dag([self.definition]),
            self.world,
            f"extend {at.isoformat()}",
            run_type="scheduled",
            run_after=at,
        ).execute()
        assert not run.failures, run.failures[0].text

    def erase(self, person: Person, *, at: datetime) -> dict[str, Any]:
        """Take somebody out, and return what has become of it."""
        self.at(at)
        run = Run(
            build_erase_dag([self.definition], base=self.folder),
            self.world,
            f"erase {at.isoformat()}",
            {"email_sha256": [sha256(person.email)], "phone_sha256": [sha256(person.phone)]},
            run_after=at,
        ).execute()
        assert not run.failures, run.failures[0].text
        report: dict[str, Any] = json.loads(run.xcoms["report", "return_value"])
        return report

    # --- what the vendor has

    def members(self) -> set[str]:
        """What the vendor knows the members by."""
        folder = "" if self.definition.platform == "digital_audience" else f"{self.definition.platform}/"
        (audience,) = self.sandbox.admin(f"{folder}audiences")
        answer = self.sandbox.admin(f"{folder}audiences/{audience['id']}/members?limit=1000")
        if self.definition.platform == "commbox":
            return set(answer["members"])
        name = "email_sha256" if self.definition.platform == "digital_audience" else "email"
        return {item[name] for item in answer["members"]}

    def end_dates(self) -> list[datetime]:
        """Of the segments."""
        return [datetime.fromisoformat(item["end_date"]) for item in self.sandbox.admin("segments")]

    def files(self) -> int:
        """How many files the vendor has taken in."""
        state = self.sandbox.admin("state")["vendors"]["digital_audience"]
        return sum(item["times"] for item in state["files"])


def put(sandbox: Sandbox, moment: datetime) -> None:
    """Put the vendors' clock."""
    sandbox.admin("clock", method="POST", json={"at": moment.astimezone(timezone.utc).isoformat()})


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hashes(people: set[Person]) -> set[str]:
    return {sha256(person.email) for person in people}


@pytest.fixture
def clock(sandbox: Sandbox) -> Iterator[VirtualTime]:
    def pass_at_the_vendors(seconds: float) -> None:
        put(sandbox, datetime.now(timezone.utc) + timedelta(seconds=seconds))

    time_of_all = VirtualTime(limit=timedelta(days=1).total_seconds(), meanwhile=pass_at_the_vendors)
    with time_of_all.installed(), no_earlier_runs():
        yield time_of_all


@pytest.fixture
def month(
    sandbox: Sandbox,
    connections: None,
    clock: VirtualTime,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Month:
    sandbox.admin(
        "settings",
        method="PATCH",
        json={"processing_delay": 0, "scan_interval": 0.01, "activation_delay": 0},
    )
    path = tmp_path / "the_month.yaml"
    path.write_text(yaml.safe_dump(request.param), encoding="utf-8")
    return Month(sandbox, clock, tmp_path, read_definition(path))


@pytest.mark.parametrize("month", [DIGITAL_AUDIENCE], indirect=True, ids=[""])
def test_a_month_on_digital_audience(month: Month) -> None:
    end: datetime | None = None
    erased: set[Person] = set()
    for day in range(1, DAYS + 1):
        wanted = people_of(day) - erased
        if day in WITHOUT_A_LIST:
            run = month.onboard(day, at=tick(day))
            assert "upload" in run.skipped or run.states["upload"] == "skipped"
            wanted = people_of(min(WITHOUT_A_LIST) - 1)
        elif day == CORRECTED:
            month.write(day, (wanted - {min(wanted)}) | {Person(900), Person(901)})
            month.onboard(day, at=tick(day))
            month.write(day, wanted)
            afternoon = tick(day) + timedelta(hours=12)
            month.onboard(day, at=afternoon, run_type="manual", overwrite=True)
        else:
            month.write(day, wanted)
            month.onboard(day, at=tick(day))
        if end is None:
            end = tick(day) + timedelta(minutes=10, days=RUNS_FOR)
        moment = datetime.combine(load_date(day), time(6), tzinfo=timezone.utc)
        month.keep_alive(at=moment)
        if day in EXTENDED_ON:
            end = moment + timedelta(days=EXTENDED_BY)
        if day == CORRECTED + 2:
            # Somebody corrects what two newer lists have overtaken: it is too late.
            month.write(CORRECTED, wanted | {Person(902)})
            month.onboard(CORRECTED, at=tick(day) + timedelta(hours=8), run_type="manual")
        if day == ERASED:
            # Somebody who would stay for another week. The CRM has forgotten them by the next list.
            erased = {sorted(wanted)[len(wanted) // 2]}
            report = month.erase(next(iter(erased)), at=tick(day) + timedelta(hours=7))
            assert report["audiences"] == {"the_month": "erased"}
            wanted -= erased
            month.write(day, wanted)
        elif day % 5 == 0 and day not in WITHOUT_A_LIST:
            files = month.files()
            month.onboard(day, at=tick(day) + timedelta(hours=10), run_type="manual")
            assert month.files() == files

        assert month.members() == hashes(wanted), f"day {day}"
        assert month.end_dates() == [end], f"day {day}"


@pytest.mark.parametrize("month", [COMMBOX, FANFARE], indirect=True, ids=["commbox", "fanfare"])
def test_a_month_on_the_other_platforms(month: Month) -> None:
    """CommBox has the list of the day, Fanfare, which takes nobody out, everybody who ever was on one."""
    has_all = month.definition.platform == "fanfare"
    held: set[Person] = set()
    for day in range(1, DAYS + 1):
        listed = people_of(day)
        if day in WITHOUT_A_LIST:
            assert month.onboard(day, at=tick(day)).states["upload"] == "skipped"
        else:
            if day == CORRECTED:
                month.write(day, listed - {min(listed), max(listed)})
                month.onboard(day, at=tick(day))
            month.write(day, listed)
            month.onboard(day, at=tick(day) + timedelta(hours=1), run_type="manual", overwrite=True)
            held = held | listed if has_all else listed

        wanted = {person.email if has_all else person.phone for person in held}
        assert month.members() == wanted, f"day {day}"
