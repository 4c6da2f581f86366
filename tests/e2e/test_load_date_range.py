"""A range of days in a real Airflow: its DAG starts the audience's own DAG, once, and ends as that does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.runs import clear_and_wait_for_start, uploads
from tests.e2e.stack import MERGED_DAYS, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

HISTORY = "load_date_range"
KEY = "merged"
ONBOARD = f"onboard_{KEY}"
DAYS = MERGED_DAYS
FORM = {"audience": KEY, "from": DAYS[0].isoformat(), "to": DAYS[-1].isoformat(), "mode": "opt-in"}


def run(stack: Stack, **changes: Any) -> tuple[str, str]:
    """Run the DAG to its end; returns the id of the run, and its state."""
    run_id = stack.airflow.trigger(HISTORY, {**FORM, **changes})
    return run_id, stack.airflow.wait_for_run(HISTORY, run_id)


def started(stack: Stack) -> list[str]:
    """The runs of the audience's DAG, the oldest first."""
    return [
        item["dag_run_id"] for item in sorted(stack.airflow.runs(ONBOARD), key=lambda run: run["run_after"])
    ]


@pytest.fixture(scope="module")
def first_run(stack: Stack) -> str:
    """A range of five days with overlapping lists, loaded."""
    stack.airflow.wait_for_dags(ONBOARD, HISTORY)
    details = stack.airflow.api(f"dags/{HISTORY}/details")
    assert KEY in details["params"]["audience"]["schema"]["enum"]
    stack.airflow.unpause(HISTORY)
    run_id, state = run(stack)
    # It would wait for ever.
    assert state == "failed"
    assert f"{ONBOARD} is paused" in stack.airflow.log(HISTORY, run_id, "trigger_onboarding")
    assert started(stack) == []

    stack.airflow.unpause(ONBOARD)
    run_id, state = run(stack)
    assert state == "success", stack.airflow.task_states(HISTORY, run_id)
    return run_id


def test_a_range_is_one_load_of_everybody(stack: Stack, first_run: str) -> None:
    (run_id,) = started(stack)

    assert run_id.startswith("manual__history_2026-11-11_2026-11-15_opt-in_")
    assert stack.airflow.xcom(HISTORY, first_run, "trigger_onboarding", "trigger_run_id") == run_id
    record = stack.airflow.xcom(ONBOARD, run_id, "record_load")
    assert (record["load_date"], record["range_start"]) == ("2026-11-15", "2026-11-11")
    # 20 to 24 people, and on each day one of them twice, one row that cannot be sent and one more person.
    assert (record["rows_read"], record["rows_sent"], record["rejected"]) == (125, 25, 5)
    folder = f"onboard/audience={record['audience_id']}/opt-in"
    assert [item["key"] for item in uploads(stack, record["audience_id"])] == [
        f"{folder}/20261115_235959.csv"
    ]
    assert len(stack.sandbox.admin(f"audiences/{record['audience_id']}/members")["members"]) == 25
    assert stack.airflow.task_states(ONBOARD, run_id)["publish_load"] == "skipped"
    state = stack.airflow.asset_state(f"audience/{KEY}")
    assert state["load.2026-11-11..2026-11-15.opt-in"]["run_id"] == run_id


def test_it_links_to_the_run_that_it_has_started(stack: Stack, first_run: str) -> None:
    path = f"dags/{HISTORY}/dagRuns/{first_run}/taskInstances/trigger_onboarding/links"

    links = stack.airflow.api(path)["extra_links"]

    assert links["Triggered DAG"].endswith(f"/dags/{ONBOARD}/runs/{started(stack)[0]}")


def test_a_cleared_run_starts_no_second_one(stack: Stack, first_run: str) -> None:
    before = started(stack)

    clear_and_wait_for_start(stack, HISTORY, first_run)

    assert stack.airflow.wait_for_run(HISTORY, first_run) == "success"
    assert started(stack) == before


def test_the_same_range_again_and_a_dry_run_send_nothing(stack: Stack, first_run: str) -> None:
    audience_id = stack.airflow.asset_state(f"audience/{KEY}")["audience"]["id"]
    sent = uploads(stack, audience_id)

    for more in ({}, {"dry_run": True, "to": "2026-11-14"}):
        run_id, state = run(stack, **more)
        assert state == "success", stack.airflow.task_states(HISTORY, run_id)

    again, dry = started(stack)[-2:]
    assert stack.airflow.xcom(ONBOARD, again, "upload")["uploaded"] is False
    assert stack.airflow.xcom(ONBOARD, dry, "upload", "dry_run_report")["rows_sent"] == 24
    assert uploads(stack, audience_id) == sent


def test_it_fails_where_the_load_fails_and_says_where(stack: Stack, first_run: str) -> None:
    stack.extract(KEY, DAYS[0], rows=30)

    run_id, state = run(stack)

    assert state == "failed"
    failed = started(stack)[-1]
    assert stack.airflow.task_states(ONBOARD, failed)["upload"] == "failed"
    log = stack.airflow.log(HISTORY, run_id, "trigger_onboarding")
    assert (
        f"The run {failed} of {ONBOARD} has failed: {stack.airflow.base_url}/dags/{ONBOARD}/runs/{failed}"
        in log
    )
    # Not tried again: it would see the same.
    tries = {item["task_id"]: item["try_number"] for item in stack.airflow.tasks(HISTORY, run_id)}
    assert tries == {"validate_params": 1, "trigger_onboarding": 1}


def test_what_cannot_be_is_said_before_anything_is_started(stack: Stack, first_run: str) -> None:
    before = started(stack)

    run_id, state = run(stack, **{"from": "2026-11-16"})

    assert state == "failed"
    assert "The range start 2026-11-16 is after the last date" in stack.airflow.log(
        HISTORY, run_id, "validate_params"
    )
    assert started(stack) == before
