"""What is put through every fault: the package's own DAGs, built from definitions as users write them.

A flow has a past (runs without faults), the run that is disturbed, and what the vendor must have in the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import DAG

from audience_onboarding.definitions.loader import read_definition
from audience_onboarding.pipelines import (
    build_activation_dag,
    build_extension_dag,
    build_onboarding_dag,
    build_resolve_create_dag,
)

DAY_ONE, DAY_TWO = "2026-11-20", "2026-11-21"
START = datetime(2026, 11, 21, 3, tzinfo=timezone.utc)
"""Time of the first run of each flow, on the virtual clock and at the vendors."""
STATE = "state"
"""The folder of the snapshots, beside the extracts."""

PEOPLE = {
    DAY_ONE: [("Anna.Canary@example.com", "0612345671"), ("ben.canary@example.com", "+31 6 12345672")],
    DAY_TWO: [("anna.canary@example.com", "06-12345671"), ("carla.canary@example.com", "0612345673")],
}
"""Who is in the extract of which day."""

RAW = ("canary@example.com", "612345671", "612345672", "612345673", "12345671", "12345672")
"""What must never be seen anywhere but at a vendor that takes it raw."""


@dataclass(frozen=True)
class Step:
    """A run of a DAG.

    :param dag: which DAG of the flow: ``onboard``, ``activate`` or ``extend``.
    :param load_date: the day that it is about.
    :param params: of the form.
    """

    dag: str
    load_date: str = DAY_ONE
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """What is disturbed, and what goes before.

    :param name: of the flow.
    :param platform: the vendor.
    :param definition: of the audience, as in its file.
    :param disturbed: the run.
    :param past: runs before it, undisturbed.
    :param members: e-mail or phone numbers, normalised, that the audience has in the end; ``None``: not looked at.
    :param rows: of the extract, where it is a long one.
    :param only_s3: whether only the exchanges with the storage are disturbed, because the others are those of another
        flow.
    """

    name: str
    platform: str
    definition: Mapping[str, Any]
    disturbed: Step
    past: tuple[Step, ...] = ()
    members: frozenset[str] | None = None
    rows: int = 0
    only_s3: bool = False

    @property
    def key(self) -> str:
        """The audience's key."""
        return f"chaos_{self.name}"


def _with(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {**base, **changes}


_SOURCE = {"path": "{load_date}.csv", "columns": {"email": "E-mail", "phone": "Phone"}}
# A wait that is in vain comes to its end within some looks.
_WAIT = {"poll_interval_seconds": 1800, "timeout_hours": 48}
_DIGITAL_AUDIENCE: dict[str, Any] = {
    "platform": "digital_audience",
    "name": "Chaos",
    "owner": "chaos",
    "campaign": {"name": "Chaos campaign"},
    "source": _SOURCE,
    "guards": {"max_row_drop": None},
    "retries": 3,
    "wait": _WAIT,
    "activation": {
        "targets": [
            {
                "key": "dv360",
                "account": {"platform": "DV360", "name": "Example NL"},
                "segment_name": "Chaos segment",
                "description": "of the chaos suite",
                "duration_days": 5,
                "poll_interval_seconds": 1800,
            }
        ],
        "extend": {"within_days": 7, "extend_by_days": 30},
    },
}
_FANFARE: dict[str, Any] = {
    "platform": "fanfare",
    "name": "Chaos",
    "owner": "chaos",
    "allow_unhashed": True,
    "source": _SOURCE,
    "retries": 3,
    "wait": _WAIT,
    # Two people are two imports.
    "upload": {"rows_per_import": 1},
}
_COMMBOX: dict[str, Any] = {
    "platform": "commbox",
    "name": "Chaos",
    "owner": "chaos",
    "allow_unhashed": True,
    "source": {"path": "{load_date}.csv", "columns": {"phone": "Phone"}},
    "guards": {"max_row_drop": None},
    "retries": 3,
    "wait": _WAIT,
}
_EMAILS = {day: frozenset(email.lower() for email, _ in people) for day, people in PEOPLE.items()}
_PHONES = {
    DAY_ONE: frozenset({"31612345671", "31612345672"}),
    DAY_TWO: frozenset({"31612345671", "31612345673"}),
}

FLOWS: tuple[Flow, ...] = (
    Flow(
        "da_onboarding",
        "digital_audience",
        _DIGITAL_AUDIENCE,
        Step("onboard"),
        members=_EMAILS[DAY_ONE],
    ),
    Flow(
        "da_replacing",
        "digital_audience",
        _with(_DIGITAL_AUDIENCE, upload={"mode": "replace"}),
        Step("onboard", DAY_TWO),
        past=(Step("onboard"),),
        members=_EMAILS[DAY_TWO],
    ),
    Flow(
        "da_mirroring",
        "digital_audience",
        _with(_DIGITAL_AUDIENCE, upload={"mode": "mirror"}, snapshots={"path": STATE}),
        Step("onboard", DAY_TWO),
        past=(Step("onboard"),),
        members=_EMAILS[DAY_TWO],
    ),
    Flow(
        "da_multipart",
        "digital_audience",
        _DIGITAL_AUDIENCE,
        Step("onboard"),
        rows=75_000,
        only_s3=True,
    ),
    Flow(
        "da_activation",
        "digital_audience",
        _DIGITAL_AUDIENCE,
        Step("activate"),
        past=(Step("onboard"),),
        members=_EMAILS[DAY_ONE],
    ),
    Flow(
        "da_extension",
        "digital_audience",
        _DIGITAL_AUDIENCE,
        Step("extend"),
        past=(Step("onboard"), Step("activate")),
        members=_EMAILS[DAY_ONE],
    ),
    Flow("fanfare_onboarding", "fanfare", _FANFARE, Step("onboard"), members=_EMAILS[DAY_ONE]),
    Flow("commbox_creating", "commbox", _COMMBOX, Step("onboard"), members=_PHONES[DAY_ONE]),
    Flow(
        "commbox_replacing",
        "commbox",
        _COMMBOX,
        Step("onboard", DAY_TWO),
        past=(Step("onboard"),),
        members=_PHONES[DAY_TWO],
    ),
    Flow(
        "commbox_adding",
        "commbox",
        _with(_COMMBOX, upload={"mode": "opt-in"}, snapshots={"path": STATE}),
        Step("onboard", DAY_TWO),
        past=(Step("onboard"),),
        members=_PHONES[DAY_ONE] | _PHONES[DAY_TWO],
    ),
)


def flow_called(name: str) -> Flow:
    """The flow of a name."""
    return next(flow for flow in FLOWS if flow.name == name)


def write_extracts(flow: Flow, folder: Path) -> None:
    """Write the definition and the extracts of a flow."""
    (folder / f"{flow.key}.yaml").write_text(yaml.safe_dump(dict(flow.definition)), encoding="utf-8")
    for day, people in PEOPLE.items():
        rows = people or []
        if flow.rows:
            rows = [(f"canary@example.com{n}.nl", f"06{10_000_000 + n}") for n in range(flow.rows)]
        lines = [f"{email},{phone}" for email, phone in rows]
        (folder / f"{day}.csv").write_text(
            "\n".join(["E-mail,Phone", *lines, "nobody,"]) + "\n", encoding="utf-8"
        )


@cache
def dags_of(flow_name: str, folder: Path) -> Mapping[str, Callable[[], DAG]]:
    """The DAGs of a flow, by :attr:`Step.dag`.

    :param folder: that :func:`write_extracts` has filled.
    """
    definition: Any = read_definition(folder / f"{flow_called(flow_name).key}.yaml")
    return {
        "onboard": cache(lambda: build_onboarding_dag(definition, base=folder, auto_register=False)),
        "activate": cache(lambda: build_activation_dag(definition, auto_register=False)),
        "extend": cache(lambda: build_extension_dag([definition])),
        "resolve": cache(lambda: build_resolve_create_dag([definition])),
    }


def in_folder(root: Path, flow: Flow) -> Path:
    """The folder of a flow, filled."""
    folder = root / f"{flow.name}-{os.getpid()}"
    if not folder.exists():
        folder.mkdir(parents=True)
        write_extracts(flow, folder)
    return folder
