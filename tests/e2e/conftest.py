"""One real Airflow for all end-to-end tests: scheduler, DAG processor, triggerer, API server, and the sandbox."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local_stack import PROJECT, Airflow, Sandbox

CANARY_ADDRESS = "Canary.Bird.7c1f@leak.example"
CANARY_PHONE = "06 87 65 43 21"
CANARY_TRACES = ("canary.bird", "687654321", "87 65 43 21")
"""What would be found of the canaries, in lower case, if a raw value had leaked, normalised or not."""

BACKFILL_DAYS = [date(2026, 11, day) for day in range(16, 21)]


@dataclass
class Stack:
    """What the tests work with."""

    airflow: Airflow
    sandbox: Sandbox
    include: Path

    def extract(self, key: str, load_date: date, *, rows: int = 20, header: str = "E-mail,Mobile") -> None:
        """Write a CRM extract: distinct people, one duplicate, one row without anything to send, the canaries."""
        lines = [header]
        lines += [
            f"Person{number}@{key}.example,06{number:08d}" for number in range(10_000_000, 10_000_000 + rows)
        ]
        lines += [lines[1].upper(), "not an address,12", f"{CANARY_ADDRESS},{CANARY_PHONE}"]
        folder = self.include / "crm" / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{load_date.isoformat()}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def define(self, key: str, **changes: Any) -> None:
        """Write a definition."""
        definition: dict[str, Any] = {
            "platform": "digital_audience",
            "name": f"Audience {key}",
            "owner": "tests",
            "tags": ["test"],
            "campaign": {"name": "Shared campaign"},
            "source": {
                "path": f"crm/{key}/{{load_date}}.csv",
                "columns": {"email": "E-mail", "phone": "Mobile"},
            },
            "wait": {"poll_seconds": 5},
            "retries": 2,
            "retry_delay_seconds": 5,
        }
        definition.update(changes)
        if definition["platform"] != "digital_audience":
            del definition["campaign"]
        folder = self.include / "audiences"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")


def schedule(cron: str, start: date) -> dict[str, Any]:
    """A schedule in UTC."""
    return {"cron": cron, "start": start, "timezone": "UTC"}


def target() -> dict[str, Any]:
    """An activation on one account."""
    return {
        "targets": [
            {
                "key": "dv360",
                "account": {"platform": "DV360", "name": "Example NL"},
                "segment_name": "The segment",
                "description": "for tests",
                "days": 10,
                "poll_seconds": 5,
            }
        ],
        "extend": {"within_days": 5, "days": 30},
    }


def _write_definitions(stack: Stack) -> None:
    today = datetime.now(timezone.utc).date()
    stack.define("manual_list", activation=target())
    stack.extract("manual_list", date(2026, 11, 20))
    stack.define(
        "scheduled_list", schedule=schedule("* * * * *", today - timedelta(days=1)), activation=target()
    )
    for day in (today, today + timedelta(days=1)):
        stack.extract("scheduled_list", day)
    stack.define("history_list", schedule=schedule("0 3 * * *", date(2026, 1, 1)), activation=target())
    for number, day in enumerate(BACKFILL_DAYS):
        stack.extract("history_list", day, rows=20 + number)
    stack.define("unclear_list")
    stack.extract("unclear_list", date(2026, 11, 20))
    stack.define(
        "fan_list",
        platform="fanfare",
        allow_raw=True,
        upload={"rows_per_import": 10},
        wait={"poll_seconds": 5},
    )
    stack.define("unclear_fans", platform="fanfare", allow_raw=True)
    for key in ("alert_list", "unclear_alerts"):
        source = {"path": f"crm/{key}/{{load_date}}.csv", "columns": {"phone": "Mobile"}}
        stack.define(key, platform="commbox", allow_raw=True, source=source)
    for key in ("fan_list", "unclear_fans", "alert_list", "unclear_alerts"):
        stack.extract(key, date(2026, 11, 20))
    stack.define(
        "late_list",
        source={
            "path": "s3://crm-exports/late/{load_date:%Y%m%d}.csv.gz",
            "aws_connection": "audience_s3",
            "columns": {"email": "e-MAIL", "phone": "Mobile"},
            "delimiter": "auto",
            "if_missing": "wait",
            "poll_seconds": 5,
        },
        rejects={"path": str(stack.include.parent / "rejects")},
    )
    stack.define("wrong_password", connection="digital_audience_wrong")
    stack.define("unknown_audience", id=999_999)
    stack.define("missing_column")
    stack.define("missing_file")
    stack.define("missing_bucket", upload={"bucket": "no-such-bucket"})
    for key in ("wrong_password", "unknown_audience", "missing_bucket"):
        stack.extract(key, date(2026, 11, 20))
    stack.extract("missing_column", date(2026, 11, 20), header="E-mail,Telephone")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack."""
    folder = tmp_path_factory.mktemp("e2e")
    sandbox = Sandbox(folder, processing_delay=0.5, scan_interval=0.2, activation_delay=0.5)
    sandbox.start()
    connections = sandbox.connections()
    right = json.loads(connections["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"])
    right["extra"] = {"portal_url": "https://portal.example/audiences/{audience_id}"}
    connections["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"] = json.dumps(right)
    wrong = right | {"password": "wrong"}
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(path)},
        }
        for name, path in (("dags", PROJECT / "dags"), ("tests", PROJECT / "tests" / "e2e" / "dags"))
    ]
    airflow = Airflow(
        folder / "airflow",
        definitions=folder / "include" / "audiences",
        env={
            **connections,
            "AIRFLOW_CONN_DIGITAL_AUDIENCE_WRONG": json.dumps(wrong),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        },
    )
    running = Stack(airflow, sandbox, folder / "include")
    _write_definitions(running)
    try:
        airflow.start()
        yield running
    finally:
        airflow.stop()
        sandbox.stop()
        kept = PROJECT / "build" / "e2e-logs"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(airflow.home / "logs", kept, dirs_exist_ok=True)
        shutil.copy(airflow.home / "standalone.log", kept)
