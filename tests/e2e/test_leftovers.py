"""What all the runs of all the other end-to-end tests have left behind."""

from __future__ import annotations

import sqlite3

import pytest

from tests.e2e.runs import LOAD_DATE, finish, s3_of
from tests.e2e.stack import (
    CANARY_TRACES,
    SESSION_COOKIE,
    Stack,
    alerts_file,
    audit_file,
    vendor_user,
)

SECRETS = ("password", "fanfare_secret_key", "commbox_api_key", "aws_secret_access_key")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.last]


@pytest.fixture(scope="module")
def a_run(stack: Stack, others_are_through: None) -> str:
    """One at least there is, whichever tests were chosen."""
    return finish(stack, "onboard_manual_list", {"load_date": LOAD_DATE, "mode": "replace"})


def test_no_raw_identifier_and_no_secret_is_left_anywhere(stack: Stack, a_run: str) -> None:
    accounts = vendor_user(stack.sandbox)("/organisation/loadplatformaccounts")
    secrets = [account["accessToken"] for account in accounts if account["accessToken"]]
    assert secrets
    secrets += [stack.sandbox.info[name] for name in SECRETS]
    traces = [*CANARY_TRACES, *(secret.lower() for secret in secrets), SESSION_COOKIE, "x-amz-signature"]

    told = [*alerts_file(stack, "").parent.iterdir(), audit_file(stack.include.parent)]
    files = [path for path in (*stack.airflow.home.rglob("*"), *told) if path.is_file()]
    places = {str(path): path.read_bytes() for path in files}
    database = sqlite3.connect(stack.airflow.home / "airflow.db")
    places["database"] = "\n".join(database.iterdump()).encode()
    database.close()
    s3 = s3_of(stack.sandbox)
    for item in stack.sandbox.admin("objects")["objects"]:
        body = s3.get_object(Bucket=stack.sandbox.info["bucket"], Key=item["key"])["Body"].read()
        places[item["key"]] = body + repr(item["metadata"]).encode()
    found = [
        (place, trace)
        for place, content in places.items()
        for trace in traces
        if trace.encode() in content.lower()
    ]
    assert found == []
    # The search would find them: the runs did read the canaries, and their hashes are there.
    assert any(b"email_sha256" in content for content in places.values())
    logged = {place for place in places if f"run_id={a_run}" in place}
    # Those that create campaign and audience have run only if nobody has loaded the list before.
    for task_id in ("lookup_audience", "upload", "wait_for_confirmation", "record_load"):
        assert any(f"task_id={task_id}/" in place for place in logged)


def test_no_upload_is_left_open_and_none_was_refused(stack: Stack, a_run: str) -> None:
    assert a_run
    contents = stack.sandbox.admin("objects")
    assert contents["open_uploads"] == []
    assert stack.sandbox.admin("summary")["objects"]["refused"] == 0


def test_nothing_was_activated_but_by_the_loads_that_say_so(stack: Stack, a_run: str) -> None:
    assert a_run
    activated = {segment["audience_id"] for segment in stack.sandbox.admin("segments")}
    named = {"Audience manual_list", "Audience scheduled_list", "Audience watched_list"}
    assert activated <= {item["id"] for item in stack.sandbox.admin("audiences") if item["name"] in named}
