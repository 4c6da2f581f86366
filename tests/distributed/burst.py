"""Audiences that are all due at the same minute, and the checks of their result at the vendors."""

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
LOGS = "airflow-logs"  # bucket of the logs of tasks
PLATFORMS = ("digital_audience", "digital_audience", "fanfare", "commbox")  # of the audiences, in turn


@dataclass(frozen=True)
class Audience:
    """One audience of the burst."""

    key: str
    platform: str
    number: int

    @property
    def dag_id(self) -> str:
        """DAG that loads it."""
        return f"onboard_{self.key}"

    @property
    def name(self) -> str:
        """Name at the vendor."""
        return f"Burst {self.number:04}"

    @property
    def emails(self) -> list[str]:
        """Addresses of its members."""
        return [f"person{person}@burst{self.number:04}.example" for person in range(PEOPLE)]

    @property
    def phones(self) -> list[str]:
        """Numbers of its members, as the extract has them."""
        return [f"061{self.number:04}{person:03}" for person in range(PEOPLE)]

    def members(self) -> list[str]:
        """Return its members as :meth:`Vendors.members` returns them."""
        if self.platform == "commbox":
            return sorted(f"31{phone[1:]}" for phone in self.phones)
        if self.platform == "fanfare":
            return sorted(self.emails)
        return sorted(sha256(email.encode()).hexdigest() for email in self.emails)


@dataclass(frozen=True)
class Burst:
    """All audiences.

    :param folder: of the project: Compose file, definitions, extracts.
    """

    folder: Path
    audiences: list[Audience]
    _runs: dict[str, str] = field(default_factory=dict)

    def trigger(self, api: AirflowApi) -> None:
        """Trigger a run of each audience."""
        for audience in self.audiences:
            api.unpause(audience.dag_id)
        for audience in self.audiences:
            self._runs[audience.key] = api.trigger(audience.dag_id, {"load_date": LOAD_DATE.isoformat()})

    def states(self, api: AirflowApi) -> dict[str, str]:
        """Return the state of each run, by the audience's key."""
        return {item.key: api.run(item.dag_id, self.run(item))["state"] for item in self.audiences}

    def run(self, audience: Audience) -> str:
        """Return the id of an audience's run."""
        return self._runs[audience.key]


def write_definitions(folder: Path, count: int) -> Burst:
    """Write definitions and extracts below the folder of the project."""
    numbers = range(count)
    audiences = [Audience(f"burst_{at:04}", PLATFORMS[at % len(PLATFORMS)], at) for at in numbers]
    for audience in audiences:
        _write(folder / "include", audience)
    return Burst(folder, audiences)


def _write(include: Path, audience: Audience) -> None:
    columns = {"phone": "Mobile"} | ({} if audience.platform == "commbox" else {"email": "E-mail"})
    is_raw = audience.platform != "digital_audience"
    definition = {
        "platform": audience.platform,
        "name": audience.name,
        "owner": "tests",
        "source": {"path": f"crm/{audience.key}/{{load_date}}.csv", "columns": columns},
        "wait": {"poll_interval_seconds": 5},
        "retries": 8,
        "retry_delay_seconds": 5,
        **({"allow_unhashed": True} if is_raw else {"campaign": {"name": "Burst campaign"}}),
    }
    (include / "audiences" / f"{audience.key}.yaml").write_text(yaml.safe_dump(definition))
    extract = include / "crm" / audience.key / f"{LOAD_DATE}.csv"
    extract.parent.mkdir(parents=True)
    rows = [f"{email},{phone}" for email, phone in zip(audience.emails, audience.phones, strict=True)]
    extract.write_text("\n".join(["E-mail,Mobile", *rows]) + "\n")


class Vendors:
    """The sandbox's own API.

    :param url: of the sandbox.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str) -> Any:
        """Request a page of the sandbox itself, not of a vendor."""
        response = requests.get(f"{self._url}/_sandbox/{path}", timeout=60)
        response.raise_for_status()
        return response.json()

    def _ids(self, platform: str, kind: str, name: str) -> list[str]:
        items = self.ask("state")["vendors"][platform]["items"]
        return [item["id"] for item in items if (item["kind"], item["name"]) == (kind, name)]

    def audiences(self, audience: Audience) -> list[str]:
        """Return the ids of all audiences of that name."""
        return self._ids(audience.platform, "audience", audience.name)

    def campaigns(self) -> list[str]:
        """Return the ids of all campaigns of the burst."""
        return self._ids("digital_audience", "campaign", "Burst campaign")

    def members(self, audience: Audience, audience_id: str) -> list[str]:
        """Return the members of an audience, sorted, by the identifier that its platform matches on."""
        folder = "" if audience.platform == "digital_audience" else f"{audience.platform}/"
        found = self.ask(f"{folder}audiences/{audience_id}/members")["members"]
        if audience.platform == "commbox":
            return sorted(found)
        return sorted(value for item in found for name, value in item.items() if "mail" in name.lower())


def problems(burst: Burst, vendors: Vendors) -> list[str]:
    """Return what is wrong at the vendors after the burst: each audience exists once with its members, each file was
    processed once, and no upload is open."""
    state = vendors.ask("state")
    found = [f"open upload: {item['key']}" for item in state["open_uploads"]]
    # Airflow writes the log of a task again each time that the task resumes.
    written = [item for item in state["written"] if item["bucket"] != LOGS]
    for vendor, inventory in {"S3": {"files": written}, **state["vendors"]}.items():
        created = [item for item in inventory.get("created", ()) if item["kind"] != "import"]
        found += [
            f"{vendor}: {item.get('kind', 'file')} {item.get('name') or item['key']!r}: {item['times']} times"
            for item in (*created, *inventory["files"])
            if item["times"] != 1
        ]
    for audience in burst.audiences:
        ids = vendors.audiences(audience)
        if len(ids) != 1:
            found.append(f"{audience.name} exists {len(ids)} times")
        elif vendors.members(audience, ids[0]) != audience.members():
            found.append(f"{audience.name} has other members")
    return found
