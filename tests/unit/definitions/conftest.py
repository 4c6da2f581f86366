"""A folder of definitions to write into."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.definitions import read_definition
from audience_onboarding.exceptions import DefinitionError

GOOD: dict[str, Any] = {
    "platform": "digital_audience",
    "name": "Newsletter",
    "owner": "crm-team",
    "campaign": {"name": "Always-on"},
    "source": {"path": "crm/{load_date}.csv", "columns": {"email": "E-mail"}},
    "schedule": {
        "cron": "0 3 * * *",
        "timezone": "Europe/Amsterdam",
        "start": "2026-11-16",
        "end": "2026-11-20",
    },
    "activation": {
        "targets": [
            {
                "key": "dv360",
                "account": {"platform": "DV360", "name": "Example NL"},
                "segment_name": "Newsletter",
                "description": "CRM onboarding",
            }
        ],
        "extend": {"within_days": 7, "extend_by_days": 30},
    },
}


class _Remove:
    def __repr__(self) -> str:
        # Part of the names of tests, which have to be the same in every process.
        return "REMOVE"


REMOVE = _Remove()
"""In a change: leave the field out."""


def changed(**changes: Any) -> dict[str, Any]:
    """The good definition with changes, by dotted name with ``__`` for the dot."""
    definition = copy.deepcopy(GOOD)
    for name, value in changes.items():
        *folders, last = name.split("__")
        place: Any = definition
        for folder in folders:
            place = place[int(folder)] if folder.isdigit() else place[folder]
        if value is REMOVE:
            del place[last]
        else:
            place[last] = value
    return definition


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a definition under a name; text as it is."""

    def to_file(content: Any, name: str = "newsletter.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(
                content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True),
                encoding="utf-8",
            )
        return path

    return to_file


def misread(write: Callable[..., Path], cases: Iterable[tuple[dict[str, Any], str]]) -> list[str]:
    """Return the cases in which changes to the good definition are not reported with this text.

    :param cases: changes, and a text of the error; a regular expression that is searched in its lines.
    """
    problems = []
    for changes, text in cases:
        try:
            read_definition(write(changed(**changes)))
        except DefinitionError as error:
            if not re.search(text, str(error), re.MULTILINE):
                problems.append(f"{changes}: {error}")
        else:
            problems.append(f"{changes}: is read")
    return problems
