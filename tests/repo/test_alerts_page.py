"""The page about alerts: its table is the one that is written, its queries and definitions do what they say."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.storage.audit_table import COLUMNS, ddl, write_row

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of a language, without their common indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", TEXT, re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]


CREATE, *QUERIES = blocks("sql")
ROWS: list[dict[str, Any]] = [
    {"run_id": "1", "run_type": "scheduled", "load_date": "2026-11-18", "outcome": "confirmed"},
    {
        "run_id": "2",
        "run_type": "scheduled",
        "load_date": "2026-11-19",
        "outcome": "stopped",
        "error": "GuardError",
    },
    {
        "run_id": "3",
        "run_type": "manual",
        "load_date": "2026-11-20",
        "outcome": "stopped",
        "triggered_by": "jo",
    },
    {
        "run_id": "4",
        "run_type": "manual",
        "load_date": "2026-11-20",
        "outcome": "unchanged",
        "triggered_by": "jo",
    },
    {"run_id": "5", "run_type": "scheduled", "load_date": "2026-11-13", "outcome": "dry_run"},
]


def test_the_table_is_the_one_that_is_written() -> None:
    assert CREATE.strip() == ddl("audience_onboarding_audit").replace(" IF NOT EXISTS", "")


def test_the_queries_answer_what_they_ask(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(CREATE)
    for number, row in enumerate(ROWS):
        write_row(
            lambda: sqlite3.connect(path),
            {
                **dict.fromkeys(COLUMNS),
                "dag_id": "onboard_x",
                "audience_key": "x",
                "ended_at": f"2026-11-21 00:00:0{number}",
                **row,
            },
            table="audience_onboarding_audit",
            label="db",
        )

    with closing(sqlite3.connect(path)) as connection:
        week, missing, by_hand = (connection.execute(query).fetchall() for query in QUERIES)

    assert [(row[1], row[2]) for row in week] == [
        ("2026-11-18", "confirmed"),
        ("2026-11-19", "stopped"),
        ("2026-11-20", "stopped"),
        ("2026-11-20", "unchanged"),
    ]
    assert missing == [("x", "2026-11-19", "GuardError")]
    assert [row[1:6] for row in by_hand] == [
        ("jo", "x", "2026-11-20", None, "unchanged"),
        ("jo", "x", "2026-11-20", None, "stopped"),
    ]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_what_is_shown_of_definitions_is_one(block: str) -> None:
    least = {
        "key": "x",
        "platform": "digital_audience",
        "name": "x",
        "owner": "x",
        "campaign": {"id": 1},
        "source": {"path": "x.csv", "columns": {"email": "E"}},
    }

    assert DigitalAudienceDefinition.model_validate({**least, **yaml.safe_load(block)})


def test_the_notifier_that_is_shown_works(tmp_path: Path) -> None:
    import json

    from airflow.sdk import BaseNotifier

    known: dict[str, Any] = {"BaseNotifier": BaseNotifier}
    exec("from __future__ import annotations\n" + blocks("python")[0], known)  # noqa: S102
    path = tmp_path / "out.jsonl"

    known["FileNotifier"](path=str(path))({"audience_onboarding": {"subject": 'it\'s "late"'}})

    assert json.loads(path.read_text()) == {"subject": 'it\'s "late"'}
