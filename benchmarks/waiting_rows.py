"""Fills the database of an Airflow with deferred tasks: run as a program, in the environment of that Airflow.

    python -m benchmarks.waiting_rows KIND AUDIENCES POLL_SECONDS ADDRESS

``KIND`` is one of :data:`TRIGGERS`. All rows are Airflow's own models: a DAG with a sensor, as the DAG processor stores
it, and for each audience a run whose sensor has deferred.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.connection import Connection
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session

from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from benchmarks.waiting_trigger import BareTrigger
from benchmarks.waiting_vendor import BARE

DAG_ID, TASK_ID, BUNDLE = "onboard", "wait", "dags-folder"
A_DAY = 24 * 3600.0
DAG = f"""
from airflow.sdk import DAG
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor

with DAG("{DAG_ID}", schedule=None):
    DigitalAudienceAudienceStateSensor(task_id="{TASK_ID}", audience_id=1)
"""


def _ours(number: int, poll_interval: float, _address: str) -> Any:
    """Return the trigger of the package's own sensor."""
    sensor = DigitalAudienceAudienceStateSensor(
        task_id=TASK_ID,
        upload={
            "audience_id": number,
            "baseline": {"state": "READY", "data_updated": "2026-01-30T03:00:00+00:00"},
            "mode": "replace",
            "rows_sent": 49_000,
        },
        poke_interval=poll_interval,
    )
    return sensor.trigger(deadline=time.time() + A_DAY)


def _bare(number: int, poll_interval: float, address: str) -> Any:
    return BareTrigger(url=f"{address}{BARE}{number}", poll_interval=poll_interval)


TRIGGERS: dict[str, Callable[[int, float, str], Any]] = {"ours": _ours, "bare": _bare}


def main(kind: str, audiences: int, poll_interval: float, address: str) -> None:
    """Write all of it."""
    folder = Path(conf.get("core", "dags_folder"))
    folder.mkdir(parents=True)
    (folder / f"{DAG_ID}.py").write_text(DAG, encoding="utf-8")
    with create_session() as session:
        session.add(DagBundleModel(name=BUNDLE))
        session.add(
            Connection(
                conn_id="digital_audience_default",
                conn_type="digital_audience",
                host=address,
                login="bench",
                password="bench",  # noqa: S106 (the stand-in takes any)
                # Rate limit of one process; the default of 1,200 a minute would be too low for 2,000 polls.
                extra=json.dumps({"max_requests_per_minute": max(1200, 2 * audiences * 60 / poll_interval)}),
            )
        )
    bag = DagBag(folder, bundle_path=folder, bundle_name=BUNDLE)
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    sync_bag_to_db(bag, BUNDLE, None)
    now = datetime.now(timezone.utc)
    with create_session() as session:
        task = SerializedDagModel.get_dag(DAG_ID, session=session).get_task(TASK_ID)
        version = DagVersion.get_latest_version(DAG_ID, session=session)
        for number in range(1, audiences + 1):
            run = DagRun(DAG_ID, f"manual__{number}", run_after=now, state="running", run_type="manual")
            run.created_dag_version_id = version.id
            classpath, kwargs = TRIGGERS[kind](number, poll_interval, address).serialize()
            trigger = Trigger(classpath, {})
            # The execution API stores a worker's values like this.
            trigger.encrypted_kwargs = json.dumps(kwargs)
            session.add_all((run, trigger))
            session.flush()
            deferred = TaskInstance(task, version.id, run_id=run.run_id, state="deferred")
            deferred.trigger_id = trigger.id
            deferred.try_number = 1
            deferred.start_date = now
            deferred.trigger_timeout = now + timedelta(seconds=A_DAY)
            deferred.next_method, deferred.next_kwargs = "execute_complete", {}
            session.add(deferred)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
