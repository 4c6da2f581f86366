"""Audiences that are all due at the same minute, and what has to have become of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import requests
import yaml

from scripts.local_stack import AirflowApi

LOAD_DATE = date(2026, 11, 20)
PEOPLE = 5
LOGS = "airflow-logs"
"""The bucket of the tasks' logs."""

PLATFORMS = ("digital_audience", "digital_audience", "fanfare", "commbox")
"""In turns."""


@dataclass(frozen=True)
class Audience:
    """One of them."""

    key: str
    platform: str
    number: int

    @property
    def dag_id(self) -> str:
        """The DAG that loads it."""
        return f"onboard_{self.key}"

    @property
    def name(self) -> str:
        """At the vendor."""
        return f"Burst {self.number:04}"

    @property
    def emails(self) -> list[str]:
        """Who is in it."""
        return [f"person{person}@burst{self.number:04}.example" for person in range(PEOPLE)]

    @property
    def phones(self) -> list[str]:
        """Who is in it, as the extract has it."""
        return [f"061{self.number:04}{person:03}" for person in range(PEOPLE)]


@dataclass(frozen=True)
class Burst:
    """All of them.

    :param folder: of the project: Compose file, definitions, extracts.
    """

    folder: Path
    audiences: list[Audience]
    _runs: dict[str, str] = field(default_factory=dict)

    def trigger(self, api: AirflowApi) -> None:
        """Make them due, all at once."""
        for audience in self.audiences:
            api.unpause(audience.dag_id)
        for audience in self.audiences:
            self._runs[audience.key] = api.trigger(audience.dag_id, {"load_date": LOAD_DATE.isoformat()})

    def states(self, api: AirflowApi) -> dict[str, str]:
        """The state of each run, by the audience's key."""
        return {
            audience.key: api.run(audience.dag_id, self._runs[audience.key])["state"]
            for audience in self.audiences
        }

    def run(self, audience: Audience) -> str:
        """The id of an audience's run."""
        return self._runs[audience.key]


def write_definitions(folder: Path, count: int) -> Burst:
    """Write definitions and extracts.

    :param folder: of the project.
    """
    audiences = [
        Audience(f"burst_{number:04}", PLATFORMS[number % len(PLATFORMS)], number) for number in range(count)
    ]
    for audience in audiences:
        _write(folder / "include", audience)
    return Burst(folder, audiences)


def _write(include: Path, audience: Audience) -> None:
    columns = {"email": "E-mail", "phone": "Mobile"}
    definition: dict[str, Any] = {
        "platform": audience.platform,
        "name": audience.name,
        "owner": "tests",
        "source": {"path": f"crm/{audience.key}/{{load_date}}.csv", "columns": columns},
        "wait": {"poll_seconds": 5},
        "retries": 8,
        "retry_delay_seconds": 5,
    }
    if audience.platform == "digital_audience":
        definition["campaign"] = {"name": "Burst campaign"}
    else:
        definition["allow_raw"] = True
    if audience.platform == "commbox":
        definition["source"]["columns"] = {"phone": "Mobile"}
    (include / "audiences" / f"{audience.key}.yaml").write_text(yaml.safe_dump(definition))
    extract = include / "crm" / audience.key / f"{LOAD_DATE}.csv"
    extract.parent.mkdir(parents=True)
    rows = [f"{email},{phone}" for email, phone in zip(audience.emails, audience.phones, strict=True)]
    extract.write_text("\n".join(["E-mail,Mobile", *rows]) + "\n")


class Vendors:
    """What the sandbox tells of itself.

    :param url: of its API.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str) -> Any:
        """Ask the sandbox itself, not the vendor that it plays."""
        response = requests.get(f"{self._url}/_sandbox/{path}", timeout=60)
        response.raise_for_status()
        return response.json()

    def audiences(self, audience: Audience) -> list[str]:
        """The ids of all audiences of that name."""
        items = self.ask("state")["vendors"][audience.platform]["items"]
        return [item["id"] for item in items if item["kind"] == "audience" and item["name"] == audience.name]

    def campaigns(self) -> list[str]:
        """The ids of all campaigns of Digital Audience."""
        items = self.ask("state")["vendors"]["digital_audience"]["items"]
        return [item["id"] for item in items if item["kind"] == "campaign"]

    def members(self, audience: Audience, audience_id: str) -> list[str]:
        """Who is in an audience, by the identifier that the platform tells people apart by, sorted."""
        folder = "" if audience.platform == "digital_audience" else f"{audience.platform}/"
        found = self.ask(f"{folder}audiences/{audience_id}/members")["members"]
        if audience.platform == "commbox":
            return sorted(found)
        return sorted(value for item in found for name, value in item.items() if "mail" in name.lower())


def wanted(audience: Audience) -> list[str]:
    """Who has to be in an audience, as :meth:`Vendors.members` has them."""
    if audience.platform == "commbox":
        return sorted(f"31{phone[1:]}" for phone in audience.phones)
    if audience.platform == "fanfare":
        return sorted(audience.emails)
    return sorted(sha256(email.encode()).hexdigest() for email in audience.emails)


def problems(burst: Burst, vendors: Vendors) -> list[str]:
    """What is not as it should be at the vendors when all are through: each audience once, with its people, each file
    taken once, nothing left open."""
    state = vendors.ask("state")
    found = [f"open upload: {item['key']}" for item in state["open_uploads"]]
    for vendor, inventory in state["vendors"].items():
        found += [
            f"{vendor}: {item['kind']} {item['name']!r} was created {item['times']} times"
            for item in inventory["created"]
            if item["times"] != 1 and item["kind"] != "import"
        ]
        found += [
            f"{vendor}: file {item['key']} was taken {item['times']} times"
            for item in inventory["files"]
            if item["times"] != 1
        ]
    found += [
        f"{item['key']} was written {item['times']} times"
        for item in state["written"]
        # Airflow writes the log of a task anew each time that it goes on.
        if item["times"] != 1 and item["bucket"] != LOGS
    ]
    for audience in burst.audiences:
        ids = vendors.audiences(audience)
        if len(ids) != 1:
            found.append(f"{audience.name} is there {len(ids)} times")
            continue
        if vendors.members(audience, ids[0]) != wanted(audience):
            found.append(f"{audience.name} has not the people it should have")
    return found
