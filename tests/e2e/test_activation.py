"""Activation, upkeep and drift in a real Airflow: approvals, end dates, and what differs from the definitions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest

from scripts.local_stack import Sandbox, wait_for
from tests.e2e.runs import LOAD_DATE, finish
from tests.e2e.stack import Stack, own_vendor, vendor_user

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

CONNECTION, STORAGE = "digital_audience_activation", "activation_s3"
CONNECTIONS = {"DIGITAL_AUDIENCE_DEFAULT": CONNECTION, "AUDIENCE_S3": STORAGE}
APPROVED, KEPT = "approval_list", "kept_list"
EXTEND, BY_HAND, DRIFT = "extend_segment_end_dates", "set_segment_end_date", "check_drift"


def target(key: str, platform: str, **more: Any) -> dict[str, Any]:
    """A target on the account of that platform."""
    return {
        "key": key,
        "account": {"platform": platform, "name": "Example NL"},
        "segment_name": "{audience} on {platform}",
        "description": "for tests",
        "poll_interval_seconds": 2,
        **more,
    }


@pytest.fixture(scope="module")
def vendor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A vendor of its own, and two audiences there."""
    folder = tmp_path_factory.mktemp("vendor")
    with own_vendor(stack, folder, CONNECTIONS, activation_delay=0.5, bucket="activation") as sandbox:
        activations: dict[str, dict[str, Any]] = {
            APPROVED: {
                "targets": [
                    target("dv360", "DV360", approval=True),
                    target("xandr", "Xandr", approval={"timeout_hours": 1, "on_timeout": "fail"}),
                ]
            },
            KEPT: {
                "targets": [
                    target("soon", "DV360", duration_days=3),
                    target("later", "Xandr", duration_days=20),
                    target("past", "DV360", segment_name="Past", until=date(2026, 1, 1)),
                ],
                "extend": {"within_days": 7, "extend_by_days": 30},
            },
        }
        for key, activation in activations.items():
            stack.define(
                key,
                conn_id=CONNECTION,
                campaign={"name": f"Campaign of {key}"},
                upload={"aws_conn_id": STORAGE},
                description="As defined",
                activation=activation,
            )
            stack.extract(key, date(2026, 11, 20))
        # Airflow reads a file again every two minutes here.
        wanted = [f"{kind}_{key}" for key in activations for kind in ("onboard", "activate")]
        stack.airflow.wait_for_dags(*wanted, EXTEND, BY_HAND, DRIFT, timeout=240)
        for key in activations:
            stack.airflow.unpause(f"activate_{key}")
        # With this its scheduled run starts, which must not do what the test is about.
        stack.airflow.unpause(EXTEND)
        wait_for(lambda: ended(stack, EXTEND), "The scheduled upkeep", timeout=240, interval=1)
        # The forms have their own file, and know new definitions when that has been read again.
        for dag_id in (EXTEND, BY_HAND, DRIFT):
            wait_for(
                lambda dag_id=dag_id: KEPT in choices(stack, dag_id), f"The form of {dag_id}", timeout=240
            )
        yield sandbox


def ended(stack: Stack, dag_id: str) -> bool:
    """Whether all runs of a DAG, of which there is one at least, are over."""
    runs = stack.airflow.runs(dag_id)
    return bool(runs) and all(run["state"] in {"success", "failed"} for run in runs)


def choices(stack: Stack, dag_id: str) -> list[Any]:
    """The audiences that a form offers."""
    found: list[Any] = stack.airflow.api(f"dags/{dag_id}/details")["params"]["audience"]["schema"]["enum"]
    return found


def load(stack: Stack, key: str) -> tuple[int, str]:
    """Load an audience, which starts its activation; returns the audience's id and the activation's run."""
    run_id = finish(stack, f"onboard_{key}", {"load_date": LOAD_DATE})
    dag_id = f"activate_{key}"
    run = wait_for(
        lambda: next(iter(stack.airflow.runs(dag_id)), None), "The activation", timeout=180, interval=1
    )
    record = stack.airflow.xcom(f"onboard_{key}", run_id, "record_load")
    return record["audience_id"], run["dag_run_id"]


def segments(vendor: Sandbox, audience_id: int) -> dict[str, dict[str, Any]]:
    """The segments of an audience, by name."""
    found = [item for item in vendor.admin("segments") if item["audience_id"] == audience_id]
    by_name = {item["name"]: item for item in found}
    assert len(by_name) == len(found)
    return by_name


def log_of(stack: Stack, dag_id: str, run_id: str, task_id: str) -> str:
    (task,) = [item for item in stack.airflow.tasks(dag_id, run_id) if item["task_id"] == task_id]
    return stack.airflow.log(dag_id, run_id, task_id, try_number=max(task["try_number"], 1))


# --- approval -----------------------------------------------------------------------------------------------


def question(stack: Stack, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    """What a person is asked, once it can be answered.

    No person is as quick as a test: an answer that comes before the scheduler (3.3.2) has heard that the asking process
    is over lets it take the end of that process for the end of the resumed task, and ask again.
    """
    wanted = (f"dag_id={dag_id}, task_id={task_id}, run_id={run_id}", "state=awaiting_input")

    def waits() -> bool:
        log = (stack.airflow.home / "standalone.log").read_text(errors="replace")
        return any(
            "TaskInstance Finished" in line and all(part in line for part in wanted)
            for line in log.splitlines()
        )

    wait_for(waits, f"The question of {task_id}", timeout=180, interval=1)
    path = f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/-1/hitlDetails"
    details: dict[str, Any] = stack.airflow.api(path)
    return {**details, "path": path}


def test_one_target_is_approved_and_one_refused(stack: Stack, vendor: Sandbox) -> None:
    dag_id = f"activate_{APPROVED}"
    audience_id, run_id = load(stack, APPROVED)
    asked = {key: question(stack, dag_id, run_id, f"approve_{key}") for key in ("dv360", "xandr")}
    assert segments(vendor, audience_id) == {}
    assert asked["dv360"]["subject"] == "Activate Audience approval_list on DV360?"
    for shown in (f"Audience approval_list ({audience_id})", "| Members | 21 |", "EMAIL", LOAD_DATE, "(501)"):
        assert shown in asked["dv360"]["body"]
    for key, option in (("dv360", "Approve"), ("xandr", "Reject")):
        body = {"chosen_options": [option], "params_input": {}}
        stack.airflow.api(asked[key]["path"], method="PATCH", json=body)

    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"
    assert stack.airflow.task_states(dag_id, run_id) == {
        "approve_dv360": "success",
        "activate_dv360": "success",
        "wait_until_active_dv360": "success",
        "approve_xandr": "success",
        "activate_xandr": "skipped",
        "wait_until_active_xandr": "skipped",
    }
    ((name, segment),) = segments(vendor, audience_id).items()
    assert (name, segment["account_id"]) == ("Audience approval_list on DV360", 501)

    # Who, and when, is in the asset's event and in the record of the segment.
    remembered = stack.airflow.asset_state(f"audience/{APPROVED}")
    assert remembered["segment.dv360"]["id"] == segment["segment_id"]
    approved = remembered["segment.dv360"]["approved"]
    assert approved["by"]
    assert datetime.fromisoformat(approved["at"]) <= datetime.now(timezone.utc)
    assert remembered["approval_rejected.xandr"]["by"]
    (event,) = events(stack, f"segment/{APPROVED}/dv360")
    assert event["extra"]["segment_id"] == segment["segment_id"]
    assert event["extra"]["status"] == "Active"
    assert event["extra"]["total_upload_count"] == segment["upload_count"]
    assert (event["extra"]["approved"], event["extra"]["load_date"]) == (approved, LOAD_DATE)
    assert event["partition_key"] == LOAD_DATE
    assert events(stack, f"segment/{APPROVED}/xandr") == []

    # Another run asks nobody, and creates nothing.
    again = finish(stack, dag_id)
    states = stack.airflow.task_states(dag_id, again)
    assert {states[f"{task}_dv360"] for task in ("approve", "activate", "wait_until_active")} == {"success"}
    assert {states[f"{task}_xandr"] for task in ("approve", "activate", "wait_until_active")} == {"skipped"}
    assert stack.airflow.xcom(dag_id, again, "approve_dv360") == {"asked": False}
    assert "rejected it on" in log_of(stack, dag_id, again, "approve_xandr")
    assert segments(vendor, audience_id) == {name: segment}


def events(stack: Stack, asset: str) -> list[dict[str, Any]]:
    """The events of an asset."""
    (found,) = [
        item
        for item in stack.airflow.api(f"assets?name_pattern={quote(asset, safe='')}")["assets"]
        if item["name"] == asset
    ]
    listed: list[dict[str, Any]] = stack.airflow.api(f"assets/events?asset_id={found['id']}")["asset_events"]
    return listed


# --- upkeep -------------------------------------------------------------------------------------------------

SOON, LATER = "Audience kept_list on DV360", "Audience kept_list on Xandr"


@pytest.fixture(scope="module")
def kept(stack: Stack, vendor: Sandbox) -> int:
    """The audience whose segments are kept alive, activated."""
    dag_id = f"activate_{KEPT}"
    audience_id, run_id = load(stack, KEPT)
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"
    assert stack.airflow.task_states(dag_id, run_id)["activate_past"] == "skipped"
    assert "ended on 2026-01-01T23:59:59+00:00; skipping" in log_of(stack, dag_id, run_id, "activate_past")
    assert set(segments(vendor, audience_id)) == {SOON, LATER}
    return audience_id


def end_of(segment: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(segment["end_date"].replace("Z", "+00:00"))


def test_the_upkeep_moves_only_what_ends_within_the_window(stack: Stack, vendor: Sandbox, kept: int) -> None:
    before = segments(vendor, kept)

    run_id = finish(stack, EXTEND, {"audience": KEPT})

    after = segments(vendor, kept)
    assert after[LATER] == before[LATER]
    assert end_of(after[SOON]) > end_of(before[SOON]) + timedelta(days=26)
    report = stack.airflow.xcom(EXTEND, run_id, "report")
    assert {(row["target"], row["outcome"]) for row in report} == {
        ("soon", "extended"),
        ("later", "unchanged"),
    }
    (moved,) = [row for row in report if row["target"] == "soon"]
    assert datetime.fromisoformat(moved["from"]) == end_of(before[SOON])
    assert datetime.fromisoformat(moved["to"]) == end_of(after[SOON])
    assert "it does not end within 7 days" in log_of(stack, EXTEND, run_id, "report")

    again = finish(stack, EXTEND, {"audience": KEPT})
    assert stack.airflow.task_states(EXTEND, again)["extend"] == "skipped"
    assert segments(vendor, kept) == after


def test_by_hand_a_bad_date_is_refused_before_anything_runs(stack: Stack, vendor: Sandbox, kept: int) -> None:
    stack.airflow.unpause(BY_HAND)
    conf = {"audience": KEPT, "segment": "later"}
    runs = len(stack.airflow.runs(BY_HAND))
    for bad in ("2026-02-30", "soon", "", None, 20261231):
        assert stack.airflow.submit(BY_HAND, {**conf, "end_date": bad}) in {400, 422}
    assert stack.airflow.submit(BY_HAND, conf) in {400, 422}
    assert stack.airflow.submit(BY_HAND, {**conf, "audience": "nobody", "end_date": "2027-12-31"}) in {
        400,
        422,
    }
    assert len(stack.airflow.runs(BY_HAND)) == runs

    finish(stack, BY_HAND, {**conf, "end_date": "2027-12-31"})

    assert segments(vendor, kept)[LATER]["end_date"].startswith("2027-12-31T23:59:59")


# --- drift --------------------------------------------------------------------------------------------------


def test_drift_is_reported_and_then_reconciled(stack: Stack, vendor: Sandbox, kept: int) -> None:
    ask = vendor_user(vendor)
    run_id = finish(stack, DRIFT, {"audience": KEPT})
    assert stack.airflow.xcom(DRIFT, run_id, "detect_drift") == []
    now = datetime.now(timezone.utc)
    soon = segments(vendor, kept)[SOON]["segment_id"]
    ask("/audience/update", id=kept, name="Renamed in the portal", description="Other words")
    behind = (now + timedelta(days=1)).isoformat()
    ask("/segment/updateenddate", segmentid=soon, endDate=behind)
    order = {"audienceId": kept, "accountId": 503, "name": "By hand", "description": "d"}
    ask("/audience/activate", **order, startDate=now.isoformat(), endDate=behind)

    found = stack.airflow.xcom(DRIFT, finish(stack, DRIFT, {"audience": KEPT}), "detect_drift")

    expected = {
        ("audience", "name", True),
        ("audience", "description", True),
        (f"segment {SOON}", "end_date", True),
        ("segment By hand", "presence", False),
    }
    assert {(row["what"], row["field"], row["can_be_applied"]) for row in found} == expected
    assert not any(row["applied"] for row in found)
    (named,) = [item for item in vendor.admin("audiences") if item["id"] == kept]
    assert named["name"] == "Renamed in the portal"

    run_id = finish(stack, DRIFT, {"audience": KEPT, "apply": True})

    applied = stack.airflow.xcom(DRIFT, run_id, "detect_drift")
    assert {(row["what"], row["field"], row["applied"]) for row in applied} == expected
    (named,) = [item for item in vendor.admin("audiences") if item["id"] == kept]
    assert named["name"] == "Audience kept_list"
    assert end_of(segments(vendor, kept)[SOON]) > now + timedelta(days=29)
    left = stack.airflow.xcom(DRIFT, finish(stack, DRIFT, {"audience": KEPT}), "detect_drift")
    assert [(row["what"], row["field"]) for row in left] == [("segment By hand", "presence")]

    failing = stack.airflow.trigger(DRIFT, {"audience": KEPT, "fail_on_drift": True})
    assert stack.airflow.wait_for_run(DRIFT, failing) == "failed"
    assert "1 differences remain" in log_of(stack, DRIFT, failing, "detect_drift")
