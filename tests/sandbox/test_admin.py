"""The admin API, and the sandbox inside a test's own process."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from sandbox import ManualClock, Sandbox, SandboxSettings, SandboxStartError, running_sandbox
from sandbox.faults import FaultOrder
from tests.sandbox.support import TIMEOUT, Running, emails, sha, wait_for

pytestmark = pytest.mark.integration


def test_the_journal_tells_who_did_what_to_what(sandbox: Running) -> None:
    caller = sandbox.login()
    campaign = caller.campaign("c")
    audience = caller.audience(campaign)
    segment = caller.activate(audience)
    caller.send("GET", "/segment/999999?x=1")
    entries = sandbox.entries(kind="api")
    assert [entry["operation"] for entry in entries] == [
        "login",
        "createCampaign",
        "createCrmAudience",
        "activateAudience",
        "loadSegment",
    ]
    assert [entry["ids"] for entry in entries] == [
        {},
        {"campaignId": campaign},
        {"campaignId": campaign, "audienceId": audience},
        {"audienceId": audience, "accountId": 501, "segmentId": segment},
        {"segmentId": 999999},
    ]
    assert entries[1]["body"] == {"name": "c"}
    last = entries[-1]
    assert (last["path"], last["query"], last["http_status"], last["success"]) == (
        "/segment/999999",
        "x=1",
        404,
        False,
    )
    assert (last["status_code"], last["message"]) == (2, "segment 999999 was not found")
    assert all(entry["user"] == sandbox.info["username"] for entry in entries)
    assert [entry["seq"] for entry in sandbox.entries(since=entries[2]["seq"])] == [
        entry["seq"] for entry in entries[3:]
    ]
    assert len(sandbox.entries(operation="createCampaign")) == 1
    assert sandbox.admin("summary")["operations"]["loadSegment"] == {"success": 0, "failure": 1}


def test_the_journal_holds_no_password_and_no_cookie(sandbox: Running) -> None:
    caller = sandbox.login()
    caller.campaign()
    sandbox.anonymous().send("POST", "/account/login", json={"userName": "x", "password": "secret-guess"})
    sandbox.anonymous().send("POST", "/account/login", json={"userName": "x", "password": ["secret-guess"]})
    whole = str(sandbox.admin("journal"))
    for secret in (sandbox.info["password"], caller.session.cookies["digitalAudience"], "secret-guess"):
        assert secret not in whole


def test_admin_calls_are_not_in_the_journal(sandbox: Running) -> None:
    sandbox.admin("health")
    sandbox.admin("summary")
    assert sandbox.entries() == []


def test_audiences_members_and_log(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience(name="mine")
    theirs = sandbox.foreigner().audience(name="theirs")
    sandbox.upload(audience, emails("a", "b", "c"))
    wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
    lines = {line["id"]: line for line in sandbox.admin("audiences")}
    assert set(lines) == {audience, theirs}
    assert (lines[audience]["members"], lines[audience]["state"], lines[audience]["events"]) == (
        3,
        "READY",
        1,
    )
    assert lines[theirs]["user"] == "foreign@example.com"
    everyone = sandbox.admin(f"audiences/{audience}/members")
    assert everyone["count"] == 3
    assert everyone["members"] == [{"email_sha256": item} for item in sorted(map(sha, "abc"))]
    page = sandbox.admin(f"audiences/{audience}/members", params={"offset": 1, "limit": 1})
    assert (page["count"], page["members"]) == (3, everyone["members"][1:2])
    for path in ("members", "log"):
        missing = requests.get(f"{sandbox.api}/_sandbox/audiences/1/{path}", timeout=TIMEOUT)
        assert missing.status_code == 404


def test_settings_change_at_run_time(sandbox: Running) -> None:
    changed = sandbox.settings(processing_delay=600, scan_interval=0.01)
    assert (changed["processing_delay"], changed["scan_interval"]) == (600, 0.01)
    assert "password" not in changed
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.upload(audience, emails("a"))
    wait_for(lambda: caller.load(audience)["audienceState"] == "PROCESSING")
    for body in ({"bucket": "other-bucket"}, {"processing_delay": -1}, {"no_such": 1}):
        answer = requests.patch(f"{sandbox.api}/_sandbox/settings", json=body, timeout=TIMEOUT)
        assert answer.status_code == 400
    assert sandbox.admin("settings")["processing_delay"] == 600


def test_a_changed_setting_counts_at_once(sandbox: Running) -> None:
    sandbox.settings(scan_interval=600)
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.upload(audience, emails("a"))
    sandbox.settings(scan_interval=0.05)
    wait_for(lambda: caller.load(audience)["audienceState"] == "READY")


def test_reset_is_a_fresh_start(sandbox: Running) -> None:
    sandbox.settings(processing_delay=0)
    caller = sandbox.login()
    audience = caller.audience()
    caller.activate(audience)
    sandbox.upload(audience, emails("a"))
    wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
    sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key="left open")
    last = sandbox.admin("summary")["last_seq"]
    sandbox.reset()
    assert sandbox.admin("audiences") == sandbox.admin("campaigns") == sandbox.admin("segments") == []
    assert sandbox.admin("objects") == {"bucket": sandbox.bucket, "objects": [], "open_uploads": []}
    assert sandbox.admin("settings")["processing_delay"] == 0.1
    assert sandbox.entries() == []
    assert caller.send("GET", "/organisation/loadplatformaccounts").status_code == 401
    assert sandbox.entries()[0]["seq"] == last + 1
    assert sandbox.login().audience() > audience


def test_resets_and_calls_are_quick(sandbox: Running) -> None:
    """Thousands of schedules of faults are run one after the other. The best of several: others use the machine too."""
    admin, fanfare = requests.Session(), sandbox.fanfare()
    resets, calls = [], []
    for _ in range(10):
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key="k", Body=b"x")
        began = time.perf_counter()
        admin.post(f"{sandbox.info['admin_url']}/_sandbox/reset", timeout=TIMEOUT)
        resets.append(time.perf_counter() - began)
    assert sandbox.admin("objects")["objects"] == []
    # one behind the other on one connection: this is where Nagle's algorithm shows
    for _ in range(10):
        began = time.perf_counter()
        fanfare.ok("GET", "/audiences")
        calls.append(time.perf_counter() - began)
    assert min(resets) < 0.02
    assert min(calls[1:]) < 0.02


def test_many_audiences_and_callers_at_once(sandbox: Running) -> None:
    caller = sandbox.login()
    campaign = caller.campaign()
    audiences = [caller.audience(campaign) for _ in range(12)]
    for audience in audiences:
        sandbox.upload(audience, emails(str(audience)))
    failures: list[str] = []

    def follow(audience: int) -> None:
        try:
            wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
        except AssertionError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=follow, args=(audience,)) for audience in audiences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for audience in audiences:
        assert sandbox.members(audience) == [{"email_sha256": sha(str(audience))}]
    sequence = [entry["seq"] for entry in sandbox.entries()]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_in_process_step_by_step() -> None:
    settings = SandboxSettings(bucket="step-by-step", processing_delay=3600, scan_interval=3600)
    sandbox = Sandbox(settings)
    try:
        running = Running(sandbox.start().ready_info())
        for _ in range(2):
            caller = running.login()
            audience = caller.audience()
            running.upload(audience, emails("a"))
            assert sandbox.work(0) == (0, 1)
            assert caller.load(audience)["audienceState"] == "PROCESSING"
            assert sandbox.work() == (1, 0)
            assert caller.load(audience)["audienceState"] == "READY"
            sandbox.faults.add(FaultOrder(vendor="digital_audience", status=503))
            assert caller.send("GET", "/organisation/loadplatformaccounts").status_code == 503
            state = sandbox.state()
            assert [item.members for item in state.vendors["digital_audience"].items] == [None, 1]
            assert [item.times for item in state.written] == [1]
            sandbox.reset()
            assert sandbox.state().vendors["digital_audience"].items == []
            assert sandbox.state().objects == []
    finally:
        sandbox.stop()


def test_it_stops_while_faults_go_on() -> None:
    sandbox = Sandbox(SandboxSettings(bucket="stopping"))
    running = Running(sandbox.start().ready_info())
    sandbox.faults.add(FaultOrder(vendor="fanfare", action="hold"))

    def called() -> None:
        with pytest.raises(requests.ConnectionError):
            running.fanfare().send("GET", "/audiences")

    thread = threading.Thread(target=called)
    thread.start()
    wait_for(lambda: [line.held for line in sandbox.faults.lines()] == [[1]])
    for vendor in (None, "s3"):
        sandbox.faults.add(FaultOrder(action="refuse", vendor=vendor, seconds=600))
    sandbox.stop()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert sandbox.faults.lines() == []
    # everything is free again
    with running_sandbox(SandboxSettings(bucket="stopping")) as handle:
        Running(handle.ready_info()).fanfare().audience()


def test_the_clock_is_put_forward_and_back(sandbox: Running) -> None:
    sandbox.settings(processing_delay=3600, scan_interval=0.02)
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.upload(audience, emails("a"))
    wait_for(lambda: caller.load(audience)["audienceState"] == "PROCESSING")
    now = datetime.now(timezone.utc)
    later = (now + timedelta(days=30)).replace(microsecond=0)
    answer = requests.post(f"{sandbox.api}/_sandbox/clock", json={"at": later.isoformat()}, timeout=TIMEOUT)
    assert answer.json()["time"] >= later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    wait_for(lambda: sandbox.login().load(audience)["audienceState"] == "READY")
    assert sandbox.admin("clock")["time"][:10] == later.date().isoformat()
    requests.post(f"{sandbox.api}/_sandbox/reset", timeout=TIMEOUT)
    assert sandbox.admin("clock")["time"] < (now + timedelta(days=1)).isoformat()


@pytest.mark.parametrize("body", [{"at": "2040-03-01T03:00:00"}, {"at": "tomorrow"}, {}, {"days": 3}])
def test_a_clock_needs_a_moment_with_a_time_zone(sandbox: Running, body: dict[str, Any]) -> None:
    answer = requests.post(f"{sandbox.api}/_sandbox/clock", json=body, timeout=TIMEOUT)
    assert answer.status_code == 422


def test_in_process_with_a_clock_of_one_s_own() -> None:
    clock = ManualClock()
    settings = SandboxSettings(bucket="in-process", scan_interval=0.02, processing_delay=3600)
    with running_sandbox(settings, clock=clock) as handle:
        running = Running(handle.ready_info())
        caller = running.login()
        audience = caller.audience()
        assert caller.load(audience)["created"] == "2025-12-15T11:36:16.489708Z"
        answer = requests.post(
            f"{handle.api_url}/_sandbox/clock", json={"at": "2040-03-01T03:00:00Z"}, timeout=TIMEOUT
        )
        assert answer.status_code == 409
        running.upload(audience, emails("a"))
        wait_for(lambda: caller.load(audience)["audienceState"] == "PROCESSING")
        clock.advance(3599)
        assert caller.load(audience)["audienceState"] == "PROCESSING"
        caller = running.login()
        clock.advance(1)
        wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
        with pytest.raises(SandboxStartError, match="in-process already exists"):
            Sandbox(settings).start()
        assert caller.load(audience)["audienceState"] == "READY"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{handle.api_url}/_sandbox/health", timeout=TIMEOUT)
    # bucket and ports are free again
    with running_sandbox(settings) as handle:
        assert Running(handle.ready_info()).admin("objects")["objects"] == []
