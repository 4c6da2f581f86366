"""What is wrong, in a real Airflow: what is said, and what is not tried again."""

from __future__ import annotations

import sqlite3

import pytest

from tests.e2e.runs import LOAD_DATE
from tests.e2e.stack import CANARY_TRACES, SESSION_COOKIE, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]


BROKEN = ("server_error", "access_denied")


@pytest.fixture(scope="module")
def failed_runs(stack: Stack) -> dict[str, str]:
    """Runs of all the definitions with something wrong, started together."""
    runs = {}
    for key in (
        *BROKEN,
        "wrong_password",
        "unknown_audience",
        "missing_column",
        "missing_file",
        "missing_bucket",
    ):
        stack.airflow.wait_for_dags(f"onboard_{key}")
        stack.airflow.unpause(f"onboard_{key}")
        runs[key] = stack.airflow.trigger(f"onboard_{key}", {"load_date": LOAD_DATE})
    return runs


@pytest.mark.parametrize(
    ("key", "task_id", "message"),
    [
        ("wrong_password", "ensure_campaign", "Correct Login and Password of the connection"),
        ("unknown_audience", "upload", "Audience 999999: object or path not found"),
        ("missing_column", "upload", "Mobile"),
        ("missing_file", "upload", "2026-11-20.csv"),
        ("missing_bucket", "upload", "no-such-bucket"),
    ],
)
def test_what_is_wrong_is_said_once_and_not_retried(
    stack: Stack, failed_runs: dict[str, str], key: str, task_id: str, message: str
) -> None:
    dag_id, run_id = f"onboard_{key}", failed_runs[key]
    assert stack.airflow.wait_for_run(dag_id, run_id) == "failed"
    (task,) = [item for item in stack.airflow.tasks(dag_id, run_id) if item["task_id"] == task_id]
    assert (task["state"], task["try_number"], task["max_tries"]) == ("failed", 1, 2)
    log = stack.airflow.log(dag_id, run_id, task_id)
    assert message in log
    assert "Error: " in log


@pytest.mark.parametrize(
    ("key", "tries", "message"),
    [
        # What the vendor says in such an answer holds the canaries.
        ("server_error", 2, "500"),
        ("access_denied", 1, "AccessDenied"),
    ],
)
def test_what_the_vendor_refuses_is_said_without_what_was_sent(
    stack: Stack, failed_runs: dict[str, str], key: str, tries: int, message: str
) -> None:
    dag_id, run_id = f"onboard_{key}", failed_runs[key]
    assert stack.airflow.wait_for_run(dag_id, run_id) == "failed"
    (task,) = [item for item in stack.airflow.tasks(dag_id, run_id) if item["task_id"] == "upload"]
    assert (task["state"], task["try_number"]) == ("failed", tries)
    folder = stack.airflow.home / "logs" / f"dag_id={dag_id}"
    logs = "".join(path.read_text().lower() for path in folder.rglob("*.log"))
    assert message.lower() in logs
    database = sqlite3.connect(stack.airflow.home / "airflow.db")
    rows = "\n".join(database.iterdump()).lower()
    database.close()
    assert f"onboard_{key}" in rows
    secrets = [stack.sandbox.info["password"], stack.sandbox.info["aws_secret_access_key"]]
    traces = [*CANARY_TRACES, *secrets, SESSION_COOKIE, "x-amz-signature"]
    assert [trace for trace in traces if trace.lower() in logs or trace.lower() in rows] == []
