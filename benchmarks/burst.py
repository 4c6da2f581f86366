"""Many audiences due at the same minute, beside as many runs of a DAG of as many tasks that do nothing: both on the
topology of docker-compose.yaml, with two workers.

The topology is that of ``make test-distributed``: it needs Linux, root, bubblewrap, PostgreSQL and Redis. Without
them, this part is skipped.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import ROOT, Entry, figure, parse_datetime
from benchmarks.runs import NO_OP, NO_OP_DAG
from scripts.local_stack import AirflowApi, wait_for
from tests.distributed.burst import Burst, Vendors, problems, write_definitions
from tests.distributed.conftest import QUICK, project
from tests.distributed.containers import missing_programs
from tests.distributed.topology import Topology

CEILINGS = {"digital_audience": 1200, "fanfare": 500, "commbox": 600}
"""Default rate limits in requests per minute: docs/explanation/retries-and-limits.md."""

ENDED = {"success", "failed"}
WORKERS = 2
CONCURRENCY = "4"
"""Tasks of a worker at once. The default, 16, is for machines with more than two cores."""

EXTRA = "/opt/airflow/include/no_op"


def _with_no_op(folder: Path, tasks: int) -> Path:
    """A Compose file that adds the DAG that does nothing."""
    place = folder / "include" / "no_op"
    place.mkdir()
    (place / "no_op.py").write_text(NO_OP_DAG.format(tasks=tasks))
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = (
        f'[{{"name": "dags-folder", "classpath": "{local}", "kwargs": {{}}}},'
        f' {{"name": "no-op", "classpath": "{local}", "kwargs": {{"path": "{EXTRA}"}}}}]'
    )
    names = ("apiserver", "scheduler", "dag-processor", "triggerer", "worker")
    services = {
        f"airflow-{name}": {
            "environment": {
                "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
                # As many runs of one DAG as there are audiences.
                "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "1000",
                "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            }
        }
        for name in names
    }
    file = folder / "no-op.yaml"
    file.write_text(yaml.safe_dump({"services": services}))
    return file


def _burst(burst: Burst, api: AirflowApi) -> dict[str, float]:
    """All audiences; gives seconds until all are uploaded and until all are confirmed, and tasks that have run."""
    api.wait_for_dags(*(audience.dag_id for audience in burst.audiences), timeout=600)
    began = time.time()
    burst.trigger(api)

    def ended_states() -> dict[str, str] | None:
        found = burst.states(api)
        return found if set(found.values()) <= ENDED else None

    states = wait_for(
        ended_states, "The end of all runs", timeout=600 + 40 * len(burst.audiences), interval=5
    )
    if set(states.values()) != {"success"}:
        raise SystemExit(f"Not all runs of the burst have succeeded: {Counter(states.values())}")
    uploaded, ended, tasks = began, began, 0
    for audience in burst.audiences:
        for task in api.tasks(audience.dag_id, burst.run(audience)):
            if not task["hostname"]:
                continue
            tasks += 1
            end = parse_datetime(task["end_date"]).timestamp()
            ended = max(ended, end)
            if task["task_id"] == "upload":
                uploaded = max(uploaded, end)
    return {"uploaded": uploaded - began, "ended": ended - began, "tasks": tasks}


def _no_op(api: AirflowApi, runs: int) -> float:
    """As many runs of the DAG that does nothing; gives the seconds."""
    api.wait_for_dags(NO_OP, timeout=600)
    api.unpause(NO_OP)
    api.wait_for_run(NO_OP, api.trigger(NO_OP), timeout=600)
    began = time.time()
    asked = [api.trigger(NO_OP) for _ in range(runs)]

    def count(state: str) -> int:
        return int(api.api(f"dags/{NO_OP}/dagRuns?limit=1&run_type=manual&state={state}")["total_entries"])

    wait_for(
        lambda: count("success") > len(asked), "The end of all runs", timeout=600 + 40 * runs, interval=5
    )
    last = api.api(f"dags/{NO_OP}/dagRuns?limit=1&order_by=-end_date")["dag_runs"][0]
    return parse_datetime(last["end_date"]).timestamp() - began


def _most_in_a_minute(vendors: Vendors) -> dict[str, int]:
    """Requests that each vendor got in the busiest minute."""
    entries: list[dict[str, Any]] = vendors.ask("journal?kind=api")["entries"]
    most: dict[str, int] = {}
    for vendor in CEILINGS:
        times = sorted(
            parse_datetime(item["time"]).timestamp() for item in entries if item["vendor"] == vendor
        )
        first = 0
        for number, at in enumerate(times):
            while times[first] <= at - 60:
                first += 1
            most[vendor] = max(most.get(vendor, 0), number - first + 1)
    return most


def figures(folder: Path, settings: Mapping[str, str]) -> Iterator[Entry]:
    """Return the entries of the report, each with its target.

    :param settings: ``BURST`` (200), audiences.
    """
    missing = missing_programs()
    if missing or os.geteuid():
        print(f"Left out: it needs root, and {', '.join(missing) or 'network namespaces'}", flush=True)
        return
    count = int(settings.get("BURST", "200"))
    place = project(folder / "burst" / "project")
    burst = write_definitions(place, count)
    topology = Topology(
        folder / "burst" / "topology",
        # Six tasks of a first load of Fanfare or CommBox, seven of Digital Audience.
        files=(ROOT / "docker-compose.yaml", QUICK, _with_no_op(place, 6)),
        variables={"AIRFLOW_WORKER_CONCURRENCY": CONCURRENCY},
        scale={"airflow-worker": WORKERS},
    )
    try:
        topology.up(timeout=600)
        api = topology.api()
        vendors = Vendors(f"http://{topology.address('sandbox')}:8100")
        no_op = _no_op(api, count)
        found = _burst(burst, api)
        wrong = problems(burst, vendors)
        if wrong:
            raise SystemExit("\n".join(wrong))
        most = _most_in_a_minute(vendors)
    finally:
        topology.down()
    name = f"Burst of {count} audiences, {WORKERS} workers"
    baseline = "as many runs of a DAG of 6 tasks that do nothing"
    yield figure(f"{name}: all confirmed", found["ended"], "s", (baseline, no_op), digits=1), ""
    yield figure(f"{name}: all uploaded", found["uploaded"], "s", (baseline, no_op), digits=1), ""
    yield figure(f"{name}: tasks that have run", found["tasks"], "", ("of the others", 6.0 * count)), ""
    for vendor, ceiling in CEILINGS.items():
        limit = ("rate limit of a connection", float(ceiling))
        yield (
            figure(f"{name}: requests to {vendor} in the busiest minute", most.get(vendor, 0), "", limit),
            "wanted: at most 1",
        )
