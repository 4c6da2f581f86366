"""What is shown of a test that fails with a whole Airflow: the runs that it asked for, and what the vendors saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack

UNFINISHED = {"failed", "up_for_retry", "running", "queued", "deferred"}


def show(report: pytest.TestReport, stack: Stack) -> None:
    """Add sections to the report of a failed test."""
    for title, text_of in (("Airflow", _runs), ("sandbox", _journal)):
        # Whatever goes wrong here, the failure itself has to be shown.
        try:
            text = text_of(stack)
        except Exception as error:
            text = f"cannot be shown: {error!r}"
        report.sections.append((title, text))


def _runs(stack: Stack) -> str:
    lines = []
    for dag_id, run_id in list(stack.airflow.asked):
        lines.append(f"{dag_id} {run_id}: {stack.airflow.run(dag_id, run_id)['snapshots']}")
        for task in stack.airflow.tasks(dag_id, run_id):
            lines.append(
                f"  {task['task_id']}[{task['map_index']}] {task['snapshots']} (try {task['try_number']})"
            )
            if task["state"] in UNFINISHED and task["try_number"] and task["map_index"] < 1:
                lines += _end_of_log(stack.airflow.home / "logs", dag_id, run_id, task)
    return "\n".join(lines)


def _end_of_log(logs: Path, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
    folder = logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
    if task["map_index"] >= 0:
        folder /= f"map_index={task['map_index']}"
    return [
        f"    {line}"
        for path in sorted(folder.glob(f"attempt={task['try_number']}.log*"))
        for line in path.read_text(errors="replace").splitlines()[-15:]
    ]


def _journal(stack: Stack) -> str:
    entries = stack.sandbox.admin("journal")["entries"][-40:]
    return "\n".join(json.dumps(entry) for entry in entries)
