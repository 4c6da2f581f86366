"""What the end-to-end tests do with runs, and ask the vendors afterwards."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import boto3

from scripts.local_stack import Sandbox, wait_for
from tests.e2e.stack import Stack

CAMPAIGN = "Shared campaign"
LOAD_DATE = "2026-11-20"


def calls(stack: Stack, audience_id: int) -> Counter[str]:
    """How often the vendor did each operation for an audience; other tests work with others at the same time."""
    return Counter(
        entry["operation"]
        for entry in stack.sandbox.admin("journal?kind=api")["entries"]
        if entry["success"] and entry["ids"].get("audienceId") == audience_id
    )


def campaigns(stack: Stack, name: str) -> list[int]:
    """The campaigns of a name that the vendor has."""
    return [item["id"] for item in stack.sandbox.admin("campaigns") if item["name"] == name]


def audiences(stack: Stack, name: str) -> list[int]:
    """The audiences of a name that the vendor has."""
    return [item["id"] for item in stack.sandbox.admin("audiences") if item["name"] == name]


def uploads(stack: Stack, audience_id: int) -> list[dict[str, Any]]:
    """The objects in an audience's folder, in the order in which they came."""
    found = [
        item
        for item in stack.sandbox.admin("objects")["objects"]
        if item["key"].startswith(f"onboard/audience={audience_id}/")
    ]
    return sorted(found, key=lambda item: item["last_modified"])


def member_emails(sandbox: Sandbox, audience_id: int) -> list[str]:
    """The hashed e-mail addresses of the members that an audience has at the vendor, sorted."""
    members = sandbox.admin(f"audiences/{audience_id}/members")["members"]
    return sorted(value for item in members for name, value in item.items() if "mail" in name.lower())


def hashed(addresses: Iterable[str]) -> list[str]:
    """What the vendor knows e-mail addresses by, sorted."""
    return sorted(hashlib.sha256(address.lower().encode()).hexdigest() for address in addresses)


def finish(stack: Stack, dag_id: str, conf: dict[str, Any] | None = None) -> str:
    """Run a DAG by hand to its end, which must be a success."""
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    run_id = stack.airflow.trigger(dag_id, conf)
    state = stack.airflow.wait_for_run(dag_id, run_id)
    assert state == "success", stack.airflow.task_states(dag_id, run_id)
    return run_id


def clear_and_wait_for_start(stack: Stack, dag_id: str, run_id: str) -> None:
    """Clear a run, and wait until it is under way again."""
    stack.airflow.clear(dag_id, run_id)
    wait_for(
        lambda: stack.airflow.run(dag_id, run_id)["state"] in {"queued", "running"},
        "The start of the cleared run",
        timeout=90,
        interval=0.05,
    )


def s3_of(sandbox: Sandbox) -> Any:
    """The vendor's S3."""
    return boto3.client(
        "s3",
        endpoint_url=sandbox.info["s3_url"],
        aws_access_key_id=sandbox.info["aws_access_key_id"],
        aws_secret_access_key=sandbox.info["aws_secret_access_key"],
        region_name=sandbox.info["region"],
    )


def ended_backfills(stack: Stack, dag_id: str, count: int, *, timeout: float) -> list[dict[str, Any]]:
    """The runs of all backfills of a DAG, once so many have ended.

    :param timeout: in seconds.
    """

    def ended() -> list[dict[str, Any]] | None:
        runs = [run for run in stack.airflow.runs(dag_id) if run["run_type"] == "backfill"]
        done = [run for run in runs if run["state"] in {"success", "failed"}]
        return done if len(done) == count else None

    return wait_for(ended, f"The end of {count} runs of {dag_id}", timeout=timeout, interval=1)
