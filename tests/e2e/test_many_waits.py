"""Many waits in one triggerer."""

from __future__ import annotations

import pytest

from scripts.local_stack import wait_for
from tests.e2e.runs import s3_of
from tests.e2e.stack import Stack, vendor_user

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]


def test_fifty_waits_hold_no_worker_and_share_one_login(stack: Stack) -> None:
    sandbox = stack.quiet_sandbox
    ask = vendor_user(sandbox)
    campaign = ask("/campaign/createcampaign", name="waits")["id"]
    ids = [
        ask("/audience/createcrmaudience", name=f"w{number}", campaignId=campaign)["id"]
        for number in range(50)
    ]
    stack.airflow.wait_for_dags("many_waits")
    slots = {"name": "many_waits", "slots": 64, "include_deferred": False}
    stack.airflow.api("pools", method="POST", json=slots)
    stack.airflow.unpause("many_waits")
    # A session that is over for all: the triggerer has to log in anew, and may do so once.
    sandbox.admin("expire-sessions", method="POST")
    before = sandbox.admin("summary")["logins"]["success"]
    run_id = stack.airflow.trigger("many_waits", {"audience_ids": ids})

    def waiting() -> list[str]:
        return [
            item["state"] for item in stack.airflow.tasks("many_waits", run_id) if item["task_id"] == "wait"
        ]

    wait_for(lambda: waiting() == ["deferred"] * 50 or None, "Fifty deferred waits", timeout=600, interval=2)
    pool = stack.airflow.api("pools/many_waits")
    assert (pool["running_slots"], pool["queued_slots"]) == (0, 0)
    assert pool["deferred_slots"] == 50

    def polled() -> bool:
        loads = sandbox.admin("journal?operation=loadAudienceById")["entries"]
        return (
            len({entry["path"] for entry in loads if entry["path"].split("/")[-1] in set(map(str, ids))})
            == 50
        )

    wait_for(polled, "A look at each of the fifty", timeout=120)
    assert sandbox.admin("summary")["logins"]["success"] - before == 1
    s3 = s3_of(sandbox)
    content = b"email_sha256\r\n" + b"a" * 64 + b"\r\n"
    for audience_id in ids:
        s3.put_object(
            Bucket=sandbox.info["bucket"],
            Key=f"onboard/audience={audience_id}/opt-in/20261120_000000.csv",
            Body=content,
        )
    assert stack.airflow.wait_for_run("many_waits", run_id, timeout=300) == "success"
    assert sandbox.admin("summary")["logins"]["success"] - before == 1
