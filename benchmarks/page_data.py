"""Metadata database for the Audiences page, with the rows of a year of loads.

The tables are Airflow's own, made by ``airflow db migrate``; the rows are written straight into them, as a million rows
take too long by any other way. SQLite only.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

PLATFORMS = ("digital_audience", "fanfare", "commbox")
MOMENT = "%Y-%m-%d %H:%M:%S.%f"


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of an Airflow that has its own home."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **others,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        **more,
    }


def migrate(home: Path) -> Path:
    """Have Airflow make an empty database; gives the file."""
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment(home),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return home / "airflow.db"


def format_datetime(value: datetime) -> str:
    """As SQLAlchemy writes it into SQLite."""
    return value.astimezone(timezone.utc).strftime(MOMENT)


def load_record(key: str, platform: str, day: date, number: int, **more: Any) -> dict[str, Any]:
    """A record as ``record_load`` writes it.

    :param number: of the audience; the figures follow from it.
    """
    sent = 40_000 + (number * 7919 + day.toordinal() * 131) % 20_000
    rejected = sent // 200
    duplicates = sent // 50
    record = {
        "audience_id": 1000 + number,
        "load_date": day.isoformat(),
        "mode": "replace",
        "content_id": f"{number:08x}{day.toordinal():08x}" * 4,
        "rows_read": sent + rejected + duplicates,
        "rows_sent": sent,
        "duplicates": duplicates,
        "rejected": rejected,
        "rejected_by_reason": {"email.no_address": rejected - 3, "phone.too_short": 3},
        "files": [{"name": f"{day}.csv", "rows": sent + rejected + duplicates}],
        "rejects_file": f"s3://our-rejects/{key}/{day}-scheduled.csv",
        "guards": {"ignored": False, "failed": []},
        "audience_key": key,
        "platform": platform,
        "connection": f"{platform}_default",
        "outcome": "confirmed",
        "run_id": run_id_of(day),
        "run_type": "scheduled",
        "triggered_by": None,
        "started_at": f"{day}T03:00:02+00:00",
        "ended_at": f"{day}T03:20:00+00:00",
        "duration_seconds": 1198.0,
        "package_version": "0.0.0",
    }
    if platform == "digital_audience":
        rate = 0.4 + (number * 37 + day.toordinal() * 11) % 400 / 1000
        record |= {
            "bucket": "vendor-onboarding",
            "s3_key": f"onboard/audience={1000 + number}/replace/{day}.csv.gz",
            "audience_state": "READY",
            "data_updated": f"{day}T03:18:00+00:00",
            "size": sent,
            "total_rows": sent,
            "match_rates": {"EMAIL": rate, "PHONE": rate / 2},
            "data_set": {"EMAIL": {"total": sent, "matched": int(sent * rate)}},
        }
    elif platform == "fanfare":
        record |= {"import_status": "completed", "imports": 1, "processed_consumers": sent, "error_count": 0}
    else:
        record |= {"audience_name": key, "user_count": sent}
    return {**record, **more}


def run_id_of(day: date, run_type: str = "scheduled") -> str:
    """The id of a run by schedule."""
    return f"{run_type}__{day}T03:00:00+00:00__{day}__{day.toordinal():x}"


class Metadata:
    """Writes rows of Airflow's tables.

    :param path: of a database that :func:`migrate` has made.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._now = format_datetime(datetime.now(timezone.utc))
        self._last: dict[str, int] = {}
        self._rows("dag_bundle", [{"name": "dags-folder", "active": 1}], "INSERT OR IGNORE")

    def save(self) -> None:
        """Commit the rows written so far."""
        self._connection.commit()

    def close(self) -> None:
        """Write all of it."""
        self.save()
        self._connection.close()

    def _id(self, table: str) -> int:
        if table not in self._last:
            (self._last[table],) = self._connection.execute(
                f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608 (our own tables)
            ).fetchone()
        self._last[table] += 1
        return self._last[table]

    def _rows(self, table: str, rows: Iterable[Mapping[str, Any]], verb: str = "INSERT") -> None:
        rows = list(rows)
        if not rows:
            return
        names = list(rows[0])
        columns = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" for _ in names)
        self._connection.executemany(
            f"{verb} INTO {table} ({columns}) VALUES ({marks})",
            [tuple(row[name] for name in names) for row in rows],
        )

    def dag(self, dag_id: str, **more: Any) -> None:
        """A DAG.

        :param more: columns that are other than usual.
        """
        row = {
            "dag_id": dag_id,
            "is_paused": 0,
            "is_stale": 0,
            "bundle_name": "dags-folder",
            "owners": "crm-team",
            "dag_display_name": None,
            "description": None,
            "timetable_type": "",
            "partition_mapper_info": "[]",
            "max_active_tasks": 16,
            "max_consecutive_failed_dag_runs": 0,
            "has_task_concurrency_limits": 0,
            "next_dagrun_create_after": None,
        }
        self._rows("dag", [{**row, **more}], "INSERT OR REPLACE")

    def asset(self, name: str, uri: str, group: str, *, is_active: bool = True) -> int:
        """An asset; gives its id."""
        asset_id = self._id("asset")
        row = {"id": asset_id, "name": name, "uri": uri, "group": group, "extra": "{}"}
        self._rows("asset", [{**row, "created_at": self._now, "updated_at": self._now}])
        if is_active:
            self._rows("asset_active", [{"name": name, "uri": uri}], "INSERT OR REPLACE")
        return asset_id

    def asset_id(self, name: str) -> int:
        """The id of an asset."""
        found = self._connection.execute("SELECT id FROM asset WHERE name = ?", [name]).fetchone()
        return int(found[0])

    def reference(self, kind: str, asset_id: int, dag_id: str, task_id: str) -> None:
        """A DAG's task names an asset.

        :param kind: ``inlet`` or ``outlet``.
        """
        row = {"asset_id": asset_id, "dag_id": dag_id, "task_id": task_id}
        row |= {"created_at": self._now, "updated_at": self._now}
        self._rows(f"task_{kind}_asset_reference", [row])

    def remember(self, asset_id: int, values: Mapping[str, Any], *, run_id: str | None = None) -> None:
        """Entries of an asset's state store; text is written as it is."""
        self._rows(
            "asset_state_store",
            [
                {
                    "asset_id": asset_id,
                    "key": key,
                    "value": value if isinstance(value, str) else json.dumps(value),
                    "updated_at": self._now,
                    "last_updated_by_run_id": run_id,
                }
                for key, value in values.items()
            ],
            "INSERT OR REPLACE",
        )

    def runs(self, dag_id: str, runs: Iterable[Mapping[str, Any]]) -> list[int]:
        """Runs of a DAG; gives their ids.

        :param runs: each with ``run_id`` and ``run_after`` at least.
        """
        rows = []
        for run in runs:
            after = run["run_after"]
            state = run.get("state", "success")
            has_ended = state in {"success", "failed"}
            rows.append(
                {
                    "id": self._id("dag_run"),
                    "dag_id": dag_id,
                    "run_id": run["run_id"],
                    "run_type": run["run_id"].partition("__")[0],
                    "state": state,
                    "run_after": format_datetime(after),
                    "start_date": None
                    if state == "queued"
                    else format_datetime(after + timedelta(seconds=2)),
                    "end_date": format_datetime(run.get("ended", after + timedelta(minutes=21)))
                    if has_ended
                    else None,
                    "partition_key": run.get("partition_key"),
                    "conf": json.dumps(run.get("conf", {})),
                    "clear_number": 0,
                    "span_status": "not_started",
                    "created_at": format_datetime(after),
                    "updated_at": format_datetime(after),
                }
            )
        self._rows("dag_run", rows)
        return [row["id"] for row in rows]

    def events(self, asset_id: int, dag_id: str, events: Iterable[tuple[datetime, str, Any]]) -> None:
        """Write events of an asset: datetime, run id and extra of each."""
        self._rows(
            "asset_event",
            [
                {
                    "id": self._id("asset_event"),
                    "asset_id": asset_id,
                    "extra": json.dumps(extra),
                    "source_task_id": "publish_load",
                    "source_dag_id": dag_id,
                    "source_run_id": run_id,
                    "timestamp": format_datetime(at),
                }
                for at, run_id, extra in events
            ],
        )

    def xcom(self, dag_run_id: int, dag_id: str, run_id: str, task_id: str, key: str, value: Any) -> None:
        """Write an XCom of a task."""
        row = {"dag_run_id": dag_run_id, "task_id": task_id, "map_index": -1, "key": key, "dag_id": dag_id}
        row |= {"run_id": run_id, "value": json.dumps(value), "timestamp": self._now}
        self._rows("xcom", [row])

    def approval(self, dag_id: str, run_id: str, task_id: str, *, is_answered: bool = False) -> None:
        """A task that asks a person; it keeps its state until the triggerer has seen the answer."""
        own = uuid.uuid4().hex
        task = {"id": own, "dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1}
        task |= {"state": "awaiting_input", "try_number": 1, "max_tries": 0}
        task |= {"pool": "default_pool", "pool_slots": 1, "span_status": "not_started"}
        self._rows("task_instance", [task])
        answered = self._now if is_answered else None
        detail = {"ti_id": own, "options": '["Approve", "Reject"]', "subject": "Activate?", "params": "{}"}
        detail |= {"created_at": self._now, "responded_at": answered, "params_input": "{}"}
        self._rows("hitl_detail", [detail])


def due_tomorrow(today: date) -> datetime:
    """When the next run by schedule is due."""
    return datetime(today.year, today.month, today.day, 3, tzinfo=timezone.utc) + timedelta(days=1)


def fill(path: Path, *, audiences: int, loads: int, today: date) -> None:
    """A year of Airflow: each audience with a load a day, its runs and events, and one segment with its own.

    :param audiences: how many.
    :param loads: how many each has had, one a day, the last one today.
    """
    data = Metadata(path)
    for dag_id in (
        "resolve_ambiguous_create",
        "erase_person",
        "retire_audience",
        "load_date_range",
        "set_segment_end_date",
    ):
        data.dag(dag_id)
    data.dag("extend_segment_end_dates")
    campaign = data.asset(
        "campaign/digital_audience_default/Always-on", "campaign/digital_audience/x/Always-on", "campaign"
    )
    data.remember(campaign, {"campaign": {"id": 7, "name": "Always-on", "account": "https://vendor me"}})
    report: list[dict[str, Any]] = []
    for number in range(audiences):
        _audience(data, number, campaign, loads=loads, today=today, report=report)
    (run,) = data.runs("extend_segment_end_dates", [_run(today, "scheduled")])
    data.xcom(run, "extend_segment_end_dates", run_id_of(today), "report", "report", report)
    data.close()


def _run(day: date, kind: str, **more: Any) -> dict[str, Any]:
    after = datetime(day.year, day.month, day.day, 3, tzinfo=timezone.utc)
    return {"run_id": run_id_of(day, kind), "run_after": after, "partition_key": day.isoformat(), **more}


def _audience(
    data: Metadata, number: int, campaign: int, *, loads: int, today: date, report: list[dict[str, Any]]
) -> None:
    key = f"list_{number:05}"
    platform = PLATFORMS[number % len(PLATFORMS)]
    dag_id, activation = f"onboard_{key}", f"activate_{key}"
    data.dag(
        dag_id,
        owners=f"team-{number % 9}",
        dag_display_name=f"Onboard: List number {number}",
        description=f"Load the CRM extract of 'List number {number}' into its audience",
        next_dagrun_create_after=format_datetime(due_tomorrow(today)),
    )
    asset = data.asset(f"audience/{key}", f"audience/{platform}/{key}", "audience")
    data.reference("outlet", asset, dag_id, "publish_load")
    days = [today - timedelta(days=back) for back in range(loads - 1, -1, -1)]
    records = {day: load_record(key, platform, day, number) for day in days}
    # One in ten has its last load failed, one in fifteen is under way.
    failed = number % 10 == 3
    kept = days[:-1] if failed else days
    data.remember(asset, {f"load.{day}.replace": records[day] for day in kept})
    remembered: dict[str, Any] = {
        "audience": {"id": 1000 + number, "name": f"List number {number}", "account": "https://vendor me"}
    }
    if kept:
        remembered["last_load"] = records[kept[-1]]
    runs = data.runs(
        dag_id, [_run(day, "scheduled", state="success" if day in kept else "failed") for day in days]
    )
    if number % 15 == 4:
        data.runs(dag_id, [{**_run(today, "manual"), "state": "running"}])
    if failed and runs:
        stop = {"error": "GuardError" if number % 20 == 3 else "UploadConflictError", "message": "nothing"}
        data.xcom(runs[-1], dag_id, run_id_of(today), "upload", "failure", stop)
    data.events(asset, dag_id, [(_at(day), run_id_of(day), records[day]) for day in kept])
    if platform == "digital_audience":
        data.reference("inlet", campaign, dag_id, "ensure_campaign")
        data.dag(activation, owners=f"team-{number % 9}")
        segment = data.asset(f"segment/{key}/facebook", f"segment/{platform}/{key}/facebook", "segment")
        data.runs(activation, [_run(day, "asset_triggered") for day in kept])
        start, end = days[0], today + timedelta(days=3 + number % 60)
        told = {"segment_id": 5000 + number, "segment_name": f"List {number} on Facebook", "status": "Active"}
        told |= {
            "ad_platform": "Facebook",
            "start_date": f"{start}T00:00:00Z",
            "end_date": f"{end}T23:59:59Z",
        }
        data.events(
            segment, activation, [(_at(day), run_id_of(day, "asset_triggered"), told) for day in kept]
        )
        remembered["segment.facebook"] = {"id": 5000 + number, "name": f"List {number} on Facebook"}
        row = {"audience": key, "target": "facebook", "segment_id": 5000 + number, "outcome": "unchanged"}
        report.append({**row, "segment": f"List {number}", "from": f"{end}T23:59:59+00:00", "to": None})
    data.remember(asset, remembered)


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 3, 21, tzinfo=timezone.utc)
