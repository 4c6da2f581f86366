"""The main job in a real Airflow: by form, by schedule, by backfill, again, and when things are wrong."""

from __future__ import annotations

import gzip
import itertools
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
import requests

from scripts.local_stack import wait_for
from tests.e2e.conftest import BACKFILL_DAYS, CANARY_TRACES, Stack

# Minutes, on a busy machine: each Airflow task takes seconds.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CAMPAIGN_ASSET = "campaign/digital_audience_default/Shared campaign"
LOAD_DATE = "2026-11-20"


def calls(stack: Stack) -> dict[str, int]:
    """How often the vendor did each operation."""
    operations = stack.sandbox.admin("summary")["operations"]
    return {name: count["success"] for name, count in operations.items()}


def uploads(stack: Stack, audience_id: int) -> list[dict[str, Any]]:
    """The objects in an audience's folder, in the order in which they came."""
    found = [
        item
        for item in stack.sandbox.admin("objects")["objects"]
        if item["key"].startswith(f"onboard/audience={audience_id}/")
    ]
    return sorted(found, key=lambda item: item["last_modified"])


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
        timeout=30,
        interval=0.05,
    )


def vendor_user(stack: Stack) -> Callable[..., Any]:
    """The vendor's API as a person uses it, beside the package: a POST with a body, else a GET."""
    session = requests.Session()
    url = stack.sandbox.info["api_url"]
    user = {"userName": stack.sandbox.info["username"], "password": stack.sandbox.info["password"]}
    session.post(f"{url}/account/login", json=user, timeout=30).raise_for_status()

    def ask(path: str, **body: Any) -> Any:
        response = session.request("POST" if body else "GET", f"{url}{path}", json=body or None, timeout=30)
        response.raise_for_status()
        return response.json()["data"]

    return ask


def campaign_of(stack: Stack) -> int:
    """The campaign that all definitions share."""
    return int(stack.airflow.asset_state(CAMPAIGN_ASSET)["campaign"]["id"])


def s3_of(stack: Stack) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=stack.sandbox.info["s3_url"],
        aws_access_key_id=stack.sandbox.info["aws_access_key_id"],
        aws_secret_access_key=stack.sandbox.info["aws_secret_access_key"],
        region_name=stack.sandbox.info["region"],
    )


@pytest.fixture(scope="module")
def manual_run(stack: Stack) -> str:
    """A load by hand, with values in the form."""
    stack.airflow.wait_for_dags("activate_manual_list")
    stack.airflow.unpause("activate_manual_list")
    return finish(stack, "onboard_manual_list", {"load_date": LOAD_DATE, "mode": "replace"})


def test_a_dry_run_creates_and_sends_nothing(stack: Stack) -> None:
    run_id = finish(stack, "onboard_manual_list", {"load_date": LOAD_DATE, "dry_run": True})
    states = stack.airflow.task_states("onboard_manual_list", run_id)
    assert states["upload"] == states["record_load"] == states["publish"] == "skipped"
    report = stack.airflow.xcom("onboard_manual_list", run_id, "upload", "dry_run")
    assert (report["rows_read"], report["rows_sent"], report["duplicates"], report["rejected"]) == (
        23,
        21,
        1,
        1,
    )
    assert "createCampaign" not in calls(stack)
    assert stack.sandbox.admin("objects")["objects"] == []


def test_a_manual_run_with_form_values(stack: Stack, manual_run: str) -> None:
    record = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")
    assert (record["rows_read"], record["rows_sent"], record["duplicates"], record["rejected"]) == (
        23,
        21,
        1,
        1,
    )
    assert record["s3_key"] == f"onboard/audience={record['audience_id']}/replace/20261120_000000.csv"
    assert record["audience_state"] == "READY"
    assert set(record["match_rates"]) == {"EMAIL", "PHONE"}
    members = stack.sandbox.admin(f"audiences/{record['audience_id']}/members")
    assert len(members["members"]) == 21
    remembered = stack.airflow.asset_state("audience/manual_list")
    assert remembered["audience"]["id"] == record["audience_id"]
    assert remembered["last_load"]["s3_key"] == record["s3_key"]


def test_a_task_links_to_the_portal_and_to_the_object(stack: Stack, manual_run: str) -> None:
    record = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")
    path = f"dags/onboard_manual_list/dagRuns/{quote(manual_run, safe='')}/taskInstances/{{}}/links"
    portal = f"https://portal.example/audiences/{record['audience_id']}"
    upload = stack.airflow.api(path.format("upload"))["extra_links"]
    assert upload["Digital Audience portal"] == portal
    assert upload["S3 object"].endswith(f"/{record['bucket']}/{record['s3_key']}")
    waiting = stack.airflow.api(path.format("wait_until_ready"))["extra_links"]
    assert waiting == {"Digital Audience portal": portal}


def test_a_confirmed_load_starts_the_activation(stack: Stack, manual_run: str) -> None:
    assert manual_run
    run = wait_for(
        lambda: next(iter(stack.airflow.runs("activate_manual_list")), None), "The activation", timeout=60
    )
    assert run["run_type"] == "asset_triggered"
    assert stack.airflow.wait_for_run("activate_manual_list", run["dag_run_id"]) == "success"
    segment = stack.airflow.xcom("activate_manual_list", run["dag_run_id"], "wait_until_active_dv360")
    assert segment["status"] == "Active"
    assert calls(stack)["activateAudience"] == 1


def test_end_dates_are_extended_within_the_window_only(stack: Stack, manual_run: str) -> None:
    assert manual_run
    extend = "extend_segment_end_dates"
    run_id = finish(stack, extend)
    assert (
        stack.airflow.task_states(extend, run_id)["extend"] == "skipped"
    )  # it ends in ten days, not in five
    run_id = finish(stack, extend, {"audience": "manual_list", "within_days": 15, "days": 60})
    (moved,) = [item for item in stack.airflow.tasks(extend, run_id) if item["task_id"] == "extend"]
    assert moved["rendered_map_index"] == "The segment"
    assert calls(stack)["updateSegmentEndDate"] == 1
    again = finish(stack, extend, {"audience": "manual_list", "within_days": 15, "days": 60})
    assert stack.airflow.task_states(extend, again)["extend"] == "skipped"
    assert calls(stack)["updateSegmentEndDate"] == 1


def test_clear_and_rerun_does_nothing_twice(stack: Stack, manual_run: str) -> None:
    audience_id = stack.airflow.xcom("onboard_manual_list", manual_run, "record_load")["audience_id"]
    before, objects = calls(stack), uploads(stack, audience_id)
    activations = len(stack.airflow.runs("activate_manual_list"))
    clear_and_wait_for_start(stack, "onboard_manual_list", manual_run)
    assert stack.airflow.wait_for_run("onboard_manual_list", manual_run) == "success"
    assert stack.airflow.xcom("onboard_manual_list", manual_run, "upload")["uploaded"] is False

    def activated_again() -> bool:
        runs = stack.airflow.runs("activate_manual_list")
        return len(runs) > activations and all(run["state"] == "success" for run in runs)

    wait_for(activated_again, "The second activation", timeout=90)
    after = calls(stack)
    changing = ("createCampaign", "createCrmAudience", "activateAudience", "updateSegmentEndDate")
    assert {name: after[name] for name in changing} == {name: before[name] for name in changing}
    assert uploads(stack, audience_id) == objects


def test_a_scheduled_run_loads_its_day_and_activates(stack: Stack) -> None:
    dag_id = "onboard_scheduled_list"
    stack.airflow.wait_for_dags(dag_id, "activate_scheduled_list")
    stack.airflow.unpause("activate_scheduled_list")
    stack.airflow.unpause(dag_id)
    run = wait_for(lambda: next(iter(stack.airflow.runs(dag_id)), None), "The scheduled run", timeout=90)
    assert stack.airflow.wait_for_run(dag_id, run["dag_run_id"]) == "success"
    stack.airflow.unpause(dag_id, paused=True)
    assert run["run_type"] == "scheduled"
    record = stack.airflow.xcom(dag_id, run["dag_run_id"], "record_load")
    assert record["load_date"] == run["partition_key"]
    assert f"/opt-in/{record['load_date'].replace('-', '')}_000000.csv" in record["s3_key"]
    activation = wait_for(
        lambda: next(iter(stack.airflow.runs("activate_scheduled_list")), None), "The activation", timeout=60
    )
    assert stack.airflow.wait_for_run("activate_scheduled_list", activation["dag_run_id"]) == "success"
    assert activation["partition_key"] == record["load_date"]


def test_a_backfill_of_five_days(stack: Stack) -> None:
    dag_id = "onboard_history_list"
    stack.airflow.wait_for_dags(dag_id, "activate_history_list")
    stack.airflow.unpause("activate_history_list")
    before = calls(stack)
    stack.airflow.cli(
        "backfill",
        "create",
        "--dag-id",
        dag_id,
        "--from-date",
        BACKFILL_DAYS[0].isoformat(),
        "--to-date",
        f"{BACKFILL_DAYS[-1].isoformat()}T23:59",
    )
    stack.airflow.unpause(dag_id)

    def all_ended() -> list[dict[str, Any]] | None:
        runs = [run for run in stack.airflow.runs(dag_id) if run["run_type"] == "backfill"]
        done = [run for run in runs if run["state"] in {"success", "failed"}]
        return done if len(done) == len(BACKFILL_DAYS) else None

    runs = wait_for(all_ended, "The end of the backfill", timeout=540)
    stack.airflow.unpause(dag_id, paused=True)
    assert {run["state"] for run in runs} == {"success"}
    audience_id = stack.airflow.asset_state("audience/history_list")["audience"]["id"]
    keys = [item["key"] for item in uploads(stack, audience_id)]
    assert keys == [f"onboard/audience={audience_id}/opt-in/{day:%Y%m%d}_000000.csv" for day in BACKFILL_DAYS]
    # Each day is sent only after the day before it is through.
    times = [
        {item["task_id"]: item["end_date"] for item in stack.airflow.tasks(dag_id, run["dag_run_id"])}
        for run in sorted(runs, key=lambda run: str(run["partition_key"]))
    ]
    assert all(earlier["record_load"] < later["upload"] for earlier, later in itertools.pairwise(times))
    after = calls(stack)
    assert after["createCrmAudience"] - before.get("createCrmAudience", 0) == 1
    assert after["createCampaign"] == 1
    assert len(stack.sandbox.admin(f"audiences/{audience_id}/members")["members"]) == 25
    # Historical loads activate nothing.
    assert {stack.airflow.task_states(dag_id, run["dag_run_id"])["publish"] for run in runs} == {"skipped"}
    assert stack.airflow.runs("activate_history_list") == []


@pytest.mark.parametrize(
    ("key", "task_id", "message"),
    [
        ("wrong_password", "ensure_campaign", "Correct Login and Password of the connection"),
        ("unknown_audience", "upload", "Audience 999999: the vendor does not know the object"),
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


@pytest.fixture(scope="module")
def failed_runs(stack: Stack) -> dict[str, str]:
    """Runs of all the definitions with something wrong, started together."""
    runs = {}
    for key in ("wrong_password", "unknown_audience", "missing_column", "missing_file", "missing_bucket"):
        stack.airflow.wait_for_dags(f"onboard_{key}")
        stack.airflow.unpause(f"onboard_{key}")
        runs[key] = stack.airflow.trigger(f"onboard_{key}", {"load_date": LOAD_DATE})
    return runs


@pytest.mark.parametrize("conf", [{"load_date": "20/11/2026"}, {"mode": "append"}, {"dry_run": "maybe"}])
def test_wrong_input_in_the_form_is_refused_before_the_run(stack: Stack, conf: dict[str, Any]) -> None:
    response = requests.post(
        f"{stack.airflow.url}/api/v2/dags/onboard_manual_list/dagRuns",
        json={"logical_date": None, "conf": conf},
        headers=dict(stack.airflow._session.headers),
        timeout=30,
    )
    assert response.status_code in {400, 422}


def test_a_load_waits_for_its_file_in_the_triggerer_and_lists_its_rejects(stack: Stack) -> None:
    dag_id = "onboard_late_list"
    s3 = s3_of(stack)
    s3.create_bucket(
        Bucket="crm-exports", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
    )
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    run_id = stack.airflow.trigger(dag_id, {"load_date": LOAD_DATE})
    wait_for(
        lambda: stack.airflow.task_states(dag_id, run_id).get("upload") == "deferred",
        "The wait for the file",
        timeout=120,
        interval=0.2,
    )
    rows = "Name;E-mail;Mobile\nx;A@x.example;0612345678\n;not an address;06-bad\ny;b@x.example;\n"
    s3.put_object(Bucket="crm-exports", Key="late/20261120.csv.gz", Body=gzip.compress(rows.encode()))

    assert stack.airflow.wait_for_run(dag_id, run_id) == "success", stack.airflow.task_states(dag_id, run_id)
    record = stack.airflow.xcom(dag_id, run_id, "record_load")
    assert (record["rows_read"], record["rows_sent"], record["rejected"]) == (3, 2, 1)
    rejects = Path(record["rejects_file"])
    assert rejects.parent == stack.include.parent / "rejects" / "late_list"
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    assert rejects.read_text().splitlines() == [
        "file,row,field,outcome,reason,sample",
        ",2,email,row,invalid_email,n***",
        ",2,phone,row,invalid_phone,06****",
    ]


def test_fifty_waits_hold_no_worker_and_share_one_login(stack: Stack) -> None:
    ask = vendor_user(stack)
    campaign = ask("/campaign/createcampaign", name="waits")["id"]
    ids = [
        ask("/audience/createcrmaudience", name=f"w{number}", campaignId=campaign)["id"]
        for number in range(50)
    ]
    stack.airflow.wait_for_dags("many_waits")
    stack.airflow.unpause("many_waits")
    # A session that is over for all: the triggerer has to log in anew, and may do so once.
    stack.sandbox.admin("expire-sessions", method="POST")
    before = stack.sandbox.admin("summary")["logins"]["success"]
    run_id = stack.airflow.trigger("many_waits", {"audience_ids": ids})

    def waiting() -> list[str]:
        return [
            item["state"] for item in stack.airflow.tasks("many_waits", run_id) if item["task_id"] == "wait"
        ]

    wait_for(lambda: waiting() == ["deferred"] * 50 or None, "Fifty deferred waits", timeout=240)
    pool = stack.airflow.api("pools/default_pool")
    assert (pool["running_slots"], pool["queued_slots"]) == (0, 0)
    assert pool["deferred_slots"] == 50

    def polled() -> bool:
        loads = stack.sandbox.admin("journal?operation=loadAudienceById")["entries"]
        return (
            len({entry["path"] for entry in loads if entry["path"].split("/")[-1] in set(map(str, ids))})
            == 50
        )

    wait_for(polled, "A look at each of the fifty", timeout=60)
    assert stack.sandbox.admin("summary")["logins"]["success"] - before == 1
    s3 = s3_of(stack)
    content = b"email_sha256\r\n" + b"a" * 64 + b"\r\n"
    for audience_id in ids:
        s3.put_object(
            Bucket=stack.sandbox.info["bucket"],
            Key=f"onboard/audience={audience_id}/opt-in/20261120_000000.csv",
            Body=content,
        )
    assert stack.airflow.wait_for_run("many_waits", run_id, timeout=300) == "success"
    assert stack.sandbox.admin("summary")["logins"]["success"] - before == 1


def test_an_unclear_creation_stops_until_a_person_settles_it(stack: Stack) -> None:
    dag_id, asset = "onboard_unclear_list", "audience/unclear_list"
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    key = f"assets/{stack.airflow.asset_id(asset)}/state-store/audience"
    # What a worker leaves behind that dies right after it has sent the request.
    intent = {"name": "Audience unclear_list", "at": "2026-11-20T03:00:00+00:00", "run_id": "manual__before"}
    stack.airflow.api(key, method="PUT", json={"value": {"intent": intent}})
    before = calls(stack)

    def stopped(run_id: str, *, tries: int) -> None:
        assert stack.airflow.wait_for_run(dag_id, run_id) == "failed"
        log = stack.airflow.log(dag_id, run_id, "ensure_audience", try_number=tries)
        assert "AmbiguousCreateError: It is not clear whether audience 'Audience unclear_list'" in log
        assert calls(stack)["createCrmAudience"] == before["createCrmAudience"]

    run_id = stack.airflow.trigger(dag_id, {"load_date": LOAD_DATE})
    stopped(run_id, tries=1)
    clear_and_wait_for_start(stack, dag_id, run_id)
    stopped(run_id, tries=2)
    # A person finds it in the portal, and settles it in the way that the message names.
    created = vendor_user(stack)("/audience/createcrmaudience", name="by hand", campaignId=campaign_of(stack))
    stack.airflow.api(key, method="PUT", json={"value": {"id": created["id"]}})
    clear_and_wait_for_start(stack, dag_id, run_id)
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"
    assert len(uploads(stack, created["id"])) == 1


def test_the_connection_type_is_listed_with_its_form_and_its_test_button(stack: Stack) -> None:
    assert "digital_audience" in stack.airflow.cli("providers", "hooks")
    headers = dict(stack.airflow._session.headers)
    metas = requests.get(f"{stack.airflow.url}/ui/connections/hook_meta", headers=headers, timeout=60).json()
    (meta,) = [item for item in metas if item["connection_type"] == "digital_audience"]
    assert {"api_prefix", "paths", "portal_url", "verify_tls"} <= set(meta["extra_fields"])
    connection = {
        "connection_id": "trial",
        "conn_type": "digital_audience",
        "host": stack.sandbox.info["api_url"],
        "login": stack.sandbox.info["username"],
        "password": stack.sandbox.info["password"],
    }
    right = stack.airflow.api("connections/test", method="POST", json=connection)
    assert right["status"] is True
    assert "Logged in as" in right["message"]
    wrong = stack.airflow.api("connections/test", method="POST", json=connection | {"password": "wrong"})
    assert wrong["status"] is False
    assert "Correct Login and Password" in wrong["message"]


def test_the_pool_of_the_shared_campaign_was_created_by_the_plugin(stack: Stack) -> None:
    pool = stack.airflow.api("pools/audience_onboarding_create")
    assert pool["slots"] == 1


def test_zz_no_raw_identifier_and_no_secret_is_left_anywhere(stack: Stack, manual_run: str) -> None:
    """Runs last: looks through all that the runs of all files have left behind."""
    assert manual_run
    accounts = vendor_user(stack)("/organisation/loadplatformaccounts")
    secrets = [account["accessToken"] for account in accounts if account["accessToken"]]
    assert secrets
    secrets += [stack.sandbox.info[name] for name in ("password", "fanfare_secret_key", "commbox_api_key")]
    traces = [*CANARY_TRACES, *(secret.lower() for secret in secrets), "x-amz-signature"]

    places = {str(path): path.read_bytes() for path in stack.airflow.home.rglob("*") if path.is_file()}
    database = sqlite3.connect(stack.airflow.home / "airflow.db")
    places["database"] = "\n".join(database.iterdump()).encode()
    database.close()
    for item in stack.sandbox.admin("objects")["objects"]:
        body = s3_of(stack).get_object(Bucket=stack.sandbox.info["bucket"], Key=item["key"])["Body"].read()
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
    assert len(places) > 50


def test_zz_the_journal_is_clean(stack: Stack) -> None:
    contents = stack.sandbox.admin("objects")
    assert contents["open_uploads"] == []
    summary = stack.sandbox.admin("summary")
    assert summary["objects"]["refused"] == 0
    segments = summary["operations"]["activateAudience"]["success"]
    assert segments == 2  # manual_list and scheduled_list; history_list was a backfill
