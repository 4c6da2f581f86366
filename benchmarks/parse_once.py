"""``python -m benchmarks.parse_once BUNDLE FILE...``: parse and serialize DAG files as Airflow's DAG processor does, in
a process with the same imports, and print the cost as JSON.

``-`` in place of files: load the package's modules for one definition, in a process that has ``airflow.sdk``.
"""
# ruff: noqa: PLC0415 (the imports are part of the measurement)

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from pathlib import Path


def parse(bundle: Path, files: list[str]) -> dict[str, object]:
    """Return the seconds of processor time, and the DAGs."""
    import structlog
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file

    log = structlog.get_logger()
    tasks: dict[str, list[str]] = {}
    began = time.process_time()
    for file in files:
        request = DagFileParseRequest(
            file=file, bundle_path=bundle, bundle_name="dags-folder", callback_requests=[]
        )
        found = _parse_file(request, log)
        if found is None or found.import_errors:
            raise SystemExit(f"{file}: {found and found.import_errors}")
        for dag in found.serialized_dags:
            tasks[dag.dag_id] = [task["__var"]["task_id"] for task in dag.data["dag"]["tasks"]]
    return {"seconds": time.process_time() - began, "tasks": tasks}


def load(bundle: Path) -> dict[str, object]:
    """Return the wall-clock seconds of the import, and the extra ones of the first definition."""
    import airflow.sdk

    for name in airflow.sdk.__all__:
        with suppress(AttributeError, ImportError):
            getattr(airflow.sdk, name)
    began = time.perf_counter()
    from audience_onboarding.pipelines import audience_dags

    imported = time.perf_counter()
    audience_dags(bundle.parent)
    first = time.perf_counter()
    audience_dags(bundle.parent)
    second = time.perf_counter()
    return {"import": imported - began, "first": (first - imported) - (second - first)}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    folder, *names = sys.argv[1:]
    result = load(Path(folder)) if names == ["-"] else parse(Path(folder), names)
    print(json.dumps(result))
