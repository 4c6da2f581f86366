"""Erasing a person from three audiences, and retiring an audience, in a real Airflow."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from scripts.local_stack import Sandbox, wait_for
from tests.e2e.stack import Stack, own_vendor, vendor_user

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

ERASE, RETIRE = "erase_person", "retire_audience"
DAY = "2026-11-20"
CONNECTIONS = {
    "DIGITAL_AUDIENCE_DEFAULT": "digital_audience_taking",
    "COMMBOX_DEFAULT": "commbox_taking",
    "AUDIENCE_S3": "taking_s3",
}
ERASED = ("takingplain", "takingkept", "takingalerts")
RETIRED, STAYS = "takingretired", "takingstays"
PHONE = "31610000003"
"""Of the fourth person of each list."""


def phone_hash(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()


HASHES = [phone_hash(PHONE), hashlib.sha256(b"person10000003@takingplain.example").hexdigest()]


@pytest.fixture(scope="module")
def vendor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Vendors of its own, with five audiences that are loaded."""
    with own_vendor(stack, tmp_path_factory.mktemp("vendor"), CONNECTIONS, bucket="taking") as sandbox:
        common: dict[str, Any] = {
            "conn_id": "digital_audience_taking",
            "campaign": {"name": "Campaign to stay"},
            "upload": {"aws_conn_id": "taking_s3"},
        }
        state = {"path": str(stack.include.parent / "taking_state")}
        stack.define("takingplain", **common)
        stack.define(
            "takingkept", **{**common, "snapshots": state, "upload": {**common["upload"], "mode": "mirror"}}
        )
        stack.define(
            "takingalerts",
            platform="commbox",
            conn_id="commbox_taking",
            allow_unhashed=True,
            snapshots=state,
            source={"path": "crm/takingalerts/{load_date}.csv", "columns": {"phone": "Mobile"}},
        )
        stack.define(RETIRED, **common)
        stack.define(STAYS, **common)
        keys = (*ERASED, RETIRED, STAYS)
        for key in keys:
            stack.extract(key, date.fromisoformat(DAY))
        # A file is read again every two minutes, and later on a busy machine.
        stack.airflow.wait_for_dags(ERASE, RETIRE, *(f"onboard_{key}" for key in keys), timeout=400)
        for dag_id in (ERASE, RETIRE, *(f"onboard_{key}" for key in keys)):
            stack.airflow.unpause(dag_id)
        # The forms have their own files, and know new definitions when these have been read again.
        wait_for(lambda: set(keys) <= _choices(stack), "The forms", timeout=400)
        runs = {key: stack.airflow.trigger(f"onboard_{key}", {"load_date": DAY}) for key in keys}
        for key, run_id in runs.items():
            state_of_run = stack.airflow.wait_for_run(f"onboard_{key}", run_id)
            assert state_of_run == "success", stack.airflow.task_states(f"onboard_{key}", run_id)
        yield sandbox


def _choices(stack: Stack) -> set[str]:
    retire = stack.airflow.api(f"dags/{RETIRE}/details")["params"]["audience"]["schema"].get("enum", ())
    erase = stack.airflow.api(f"dags/{ERASE}/details")["params"]["audiences"]["schema"]["items"]
    return set(retire) & set(erase.get("enum", ()))


def members(vendor: Sandbox, key: str) -> set[str]:
    """What the vendor knows the members of an audience by: hashes of phone numbers."""
    if key == "takingalerts":
        (found,) = [item for item in vendor.admin("commbox/audiences") if item["name"] == f"Audience {key}"]
        listed = vendor.admin(f"commbox/audiences/{found['id']}/members")["members"]
        return {phone_hash(number) for number in listed}
    (audience,) = audiences(vendor, key)
    found = vendor.admin(f"audiences/{audience}/members")["members"]
    return {value for item in found for name, value in item.items() if "phone" in name}


def audiences(vendor: Sandbox, key: str) -> list[int]:
    return [item["id"] for item in vendor.admin("audiences") if item["name"] == f"Audience {key}"]


def database(stack: Stack) -> str:
    """All rows of Airflow's database."""
    connection = sqlite3.connect(stack.airflow.home / "airflow.db")
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def logs(stack: Stack) -> bytes:
    return b"\n".join(path.read_bytes() for path in stack.airflow.home.rglob("*.log*") if path.is_file())


def log_of(stack: Stack, dag_id: str, run_id: str, task_id: str) -> str:
    return stack.airflow.log(dag_id, run_id, task_id)


def test_a_raw_address_is_refused_and_stored_nowhere(stack: Stack, vendor: Sandbox) -> None:
    runs = len(stack.airflow.runs(ERASE))
    for conf in (
        {"email_sha256": ["Raw.Person@refused.example"]},
        {"phone_sha256": "raw.person@refused.example"},
        {"personal_id_sha256": [HASHES[0] + "raw.person"]},
    ):
        assert stack.airflow.submit(ERASE, conf) in {400, 422}

    assert len(stack.airflow.runs(ERASE)) == runs
    assert "raw.person" not in database(stack).lower()
    assert b"raw.person" not in logs(stack).lower()


def test_fields_that_the_form_does_not_have_are_removed_before_a_task_sees_them(
    stack: Stack, vendor: Sandbox
) -> None:
    run_id = stack.airflow.trigger(ERASE, {"email": "Other.Raw@unknown.example"})

    assert stack.airflow.wait_for_run(ERASE, run_id) == "failed"

    assert stack.airflow.run(ERASE, run_id)["conf"] == {"unknown_fields_removed": 1}
    assert "other.raw" not in database(stack).lower()
    assert b"other.raw" not in logs(stack).lower()


def test_a_person_is_erased_from_three_audiences_and_airflow_keeps_no_hash(
    stack: Stack, vendor: Sandbox
) -> None:
    before = {key: members(vendor, key) for key in ERASED}
    assert all(HASHES[0] in found for found in before.values())

    conf = {"phone_sha256": [HASHES[0].upper()], "email_sha256": [HASHES[1]], "audiences": list(ERASED)}
    run_id = stack.airflow.trigger(ERASE, conf)
    assert stack.airflow.wait_for_run(ERASE, run_id) == "success", stack.airflow.task_states(ERASE, run_id)

    for key in ERASED:
        assert members(vendor, key) == before[key] - {HASHES[0]}
    report = stack.airflow.xcom(ERASE, run_id, "report")
    assert report["audiences"] == dict.fromkeys(ERASED, "erased")
    names = {task["rendered_map_index"] for task in stack.airflow.tasks(ERASE, run_id)} - {None}
    assert names == set(ERASED)
    assert stack.airflow.run(ERASE, run_id)["conf"] == {
        "phone_sha256": [],
        "email_sha256": [],
        "audiences": list(ERASED),
        "removed": {"phone_sha256": 1, "email_sha256": 1},
    }
    everything = database(stack).lower() + logs(stack).decode(errors="replace").lower()
    assert [made for made in HASHES if made in everything] == []

    # Who clears it is told to begin anew.
    stack.airflow.clear(ERASE, run_id)
    wait_for(lambda: stack.airflow.run(ERASE, run_id)["state"] != "success", "The clear", timeout=60)
    assert stack.airflow.wait_for_run(ERASE, run_id) == "failed"
    (task,) = [item for item in stack.airflow.tasks(ERASE, run_id) if item["task_id"] == "select_audiences"]
    log = stack.airflow.log(ERASE, run_id, "select_audiences", try_number=task["try_number"])
    assert "Trigger a new run with the hashes" in log


# --- retirement -----------------------------------------------------------------------------------------------


def segments(vendor: Sandbox, audience_id: int) -> list[int]:
    return [item["segment_id"] for item in vendor.admin("segments") if item["audience_id"] == audience_id]


def activate(vendor: Sandbox, audience_id: int, name: str) -> None:
    ask = vendor_user(vendor)
    account = ask("/organisation/loadplatformaccounts")[0]["id"]
    ask(
        "/audience/activate",
        audienceId=audience_id,
        accountId=account,
        name=name,
        description="for tests",
        startDate="2026-11-20T00:00:00Z",
        endDate="2026-12-20T00:00:00Z",
    )


def answered(stack: Stack, run_id: str, option: str) -> str:
    """Answer the question of a run, and wait for its end; returns what was asked."""
    path = f"dags/{RETIRE}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    wait_for(
        lambda: stack.airflow.task_states(RETIRE, run_id)["approve"] == "awaiting_input",
        "The question",
        timeout=300,
    )
    # A person takes longer. An answer within a second or so lets Airflow (3.3.2) take the end of the process that has
    # asked for the end of the one that goes on: it fails that try, asks again, and the answer is lost.
    asked_at = datetime.fromisoformat(stack.airflow.api(path)["created_at"].replace("Z", "+00:00"))
    wait_for(
        lambda: datetime.now(timezone.utc) - asked_at > timedelta(seconds=10),
        "The end of the process that has asked",
        timeout=30,
    )
    body = str(stack.airflow.api(path)["body"])
    stack.airflow.api(path, method="PATCH", json={"chosen_options": [option], "params_input": {}})
    assert stack.airflow.wait_for_run(RETIRE, run_id) == "success", stack.airflow.task_states(RETIRE, run_id)
    return body


def test_an_audience_is_retired_only_when_approved_and_stays_so_until_it_is_opened_again(
    stack: Stack, vendor: Sandbox
) -> None:
    (retired,), (stays,) = audiences(vendor, RETIRED), audiences(vendor, STAYS)
    for audience_id in (retired, stays):
        activate(vendor, audience_id, f"Segment of {audience_id}")
    campaigns = vendor.admin("campaigns")

    # Rejected: nothing is deleted.
    run_id = stack.airflow.trigger(RETIRE, {"audience": RETIRED})
    asked = answered(stack, run_id, "Reject")
    assert f"Segment of {retired}" in asked
    assert f"Audience {RETIRED}" in asked
    assert stack.airflow.task_states(RETIRE, run_id)["delete"] == "skipped"
    assert audiences(vendor, RETIRED) == [retired]
    assert len(segments(vendor, retired)) == 1

    # Approved: exactly its own.
    run_id = stack.airflow.trigger(RETIRE, {"audience": RETIRED})
    answered(stack, run_id, "Approve")
    assert audiences(vendor, RETIRED) == []
    assert segments(vendor, retired) == []
    assert audiences(vendor, STAYS) == [stays]
    assert len(segments(vendor, stays)) == 1
    assert vendor.admin("campaigns") == campaigns
    record = stack.airflow.asset_state(f"audience/{RETIRED}")["retired"]
    assert (record["audience_id"], [item["name"] for item in record["segments"]]) == (
        retired,
        [f"Segment of {retired}"],
    )
    assert "unknown" not in (record["by"], record["approved_by"])
    events = stack.airflow.api(f"assets/events?source_dag_id={RETIRE}")["asset_events"]
    told = [
        item
        for item in events
        if item["extra"].get("audience_id") == retired and "approved_by" in item["extra"]
    ]
    assert [item["name"] for item in told] == [f"audience/{RETIRED}"]

    # A load stops, and says what to do.
    dag_id = f"onboard_{RETIRED}"
    load = stack.airflow.trigger(dag_id, {"load_date": DAY})
    assert stack.airflow.wait_for_run(dag_id, load) == "failed"
    log = log_of(stack, dag_id, load, "lookup_audience")
    assert "AudienceRetiredError" in log
    assert audiences(vendor, RETIRED) == []

    # Opened again, it begins anew.
    run_id = stack.airflow.trigger(RETIRE, {"audience": RETIRED, "action": "reopen"})
    assert stack.airflow.wait_for_run(RETIRE, run_id) == "success"
    load = stack.airflow.trigger(dag_id, {"load_date": DAY})
    assert stack.airflow.wait_for_run(dag_id, load) == "success"
    (anew,) = audiences(vendor, RETIRED)
    assert anew != retired
