"""A new audience is one YAML file: it is dropped in, and its DAGs are there; a broken one says where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local_stack import wait_for
from tests.e2e.stack import QUICK, Stack, target

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

INTERVAL = float(QUICK["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"])
"""Seconds between two looks of the DAG processor at a file; a user's has 30."""

PATIENCE = INTERVAL + 90
"""With the time that it takes to parse all files, while others are at work."""


@pytest.fixture
def folder(stack: Stack) -> Iterator[Path]:
    """The folder of the definitions; what the test has dropped into it is gone afterwards."""
    path = stack.include / "audiences"
    yield path
    for ours in path.glob("dropped_in*.yaml"):
        ours.unlink()


def import_error(stack: Stack) -> str:
    """What Airflow shows of broken definitions."""
    errors = stack.airflow.api("importErrors?limit=100")["import_errors"]
    found = [item["stack_trace"] for item in errors if item["filename"].endswith("definition_errors.py")]
    return "\n".join(found)


def current_dags(stack: Stack) -> set[str]:
    """The DAGs that were there when the processor last looked."""
    return {dag["dag_id"] for dag in stack.airflow.api("dags?limit=1000")["dags"] if not dag["is_stale"]}


def test_a_file_that_is_dropped_in_becomes_dags_and_a_broken_one_an_import_error(
    stack: Stack, folder: Path
) -> None:
    stack.airflow.wait_for_dags("onboard_manual_list")
    before = current_dags(stack)
    assert not any("dropped_in" in dag_id for dag_id in before)

    stack.define("dropped_in", activation=target())
    (folder / "dropped_in_broken.yaml").write_text(
        "platform: digital_audience\nname: Broken\nowner: tests\ncampaign: {id: 1}\nsource:\n"
        "  path: crm/{load_date}.csv\n  columns:\n    emial: E-mail\n"
    )

    made = {"onboard_dropped_in", "activate_dropped_in"}
    wait_for(lambda: made <= current_dags(stack), "The DAGs of the new file", timeout=PATIENCE, interval=1)
    wait_for(lambda: import_error(stack), "The import error of the broken file", timeout=PATIENCE, interval=1)
    line = "dropped_in_broken.yaml:8: source.columns.emial: unknown field. Did you mean 'email'?"
    assert line in import_error(stack)
    assert import_error(stack).count("See docs/how-to/troubleshooting.md#definitionerror") == 1
    assert "1 audience definition is invalid; its DAGs are missing" in import_error(stack)
    # None of the others is gone, and the new one has its form and its tasks.
    assert before | made <= current_dags(stack)
    assert "onboard_dropped_in_broken" not in current_dags(stack)
    tasks = {task["task_id"] for task in stack.airflow.api("dags/onboard_dropped_in/tasks")["tasks"]}
    assert {"upload", "record_load"} <= tasks

    (folder / "dropped_in.yaml").unlink()
    (folder / "dropped_in_broken.yaml").unlink()

    wait_for(lambda: not import_error(stack), "The end of the import error", timeout=PATIENCE, interval=1)
    wait_for(lambda: not made & current_dags(stack), "The end of the DAGs", timeout=2 * PATIENCE, interval=1)
    assert before <= current_dags(stack)
