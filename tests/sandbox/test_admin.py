"""The admin API, the bucket, and the sandbox in the test's own process."""

from __future__ import annotations

import ast
import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from starlette.types import Message, Receive, Scope, Send

from sandbox import ManualClock, Sandbox, SandboxSettings, SandboxStartError, running_sandbox
from sandbox.app import JournalMiddleware
from sandbox.bucket import BucketWatcher, ObjectInfo
from sandbox.faults import FaultOrder
from sandbox.journal import ApiCall, Journal
from sandbox.settings import SECRET, START_ONLY, SettingsStore, StartOnlySettingError
from tests.sandbox.support import TIMEOUT, Running, emails, in_background, phone_file, refusal, sha, wait_for

pytestmark = pytest.mark.integration

INCLUDE = Path(__file__).resolve().parents[2] / "include"


# --- journal --------------------------------------------------------------------------------------------


def test_journal_after_calls_has_every_call(sandbox: Running) -> None:
    caller = sandbox.login()
    campaign = caller.campaign("c")
    audience = caller.audience(campaign)
    segment = caller.activate(audience)
    caller.send("GET", "/segment/999999?x=1")
    entries = sandbox.entries(kind="api")
    assert [(entry["operation"], entry["ids"]) for entry in entries] == [
        ("login", {}),
        ("createCampaign", {"campaignId": campaign}),
        ("createCrmAudience", {"campaignId": campaign, "audienceId": audience}),
        ("activateAudience", {"audienceId": audience, "accountId": 501, "segmentId": segment}),
        ("loadSegment", {"segmentId": 999999}),
    ]
    assert entries[1]["body"] == {"name": "c"}
    names = ("path", "query", "http_status", "success", "status_code", "message")
    expected = ["/segment/999999", "x=1", 404, False, 2, "segment 999999 was not found"]
    assert [entries[-1][name] for name in names] == expected
    assert all(entry["user"] == sandbox.info["username"] for entry in entries)
    first = entries[0]["seq"]
    assert [entry["seq"] for entry in sandbox.entries(since=first + 2)] == [first + 3, first + 4]
    assert len(sandbox.entries(operation="createCampaign")) == 1
    assert sandbox.entries(operation="createCampaign", since=first + 1) == []
    summary = sandbox.admin("summary")
    assert summary["operations"]["loadSegment"] == {"success": 0, "failure": 1}
    # no password, no cookie, and no calls of the admin API
    for guess in ("secret-guess", ["secret-guess"]):
        body = {"userName": "x", "password": guess}
        sandbox.anonymous().send("POST", "/account/login", json=body)
    whole = str(sandbox.admin("journal"))
    for secret in (sandbox.info["password"], caller.session.cookies["digitalAudience"], "secret-guess"):
        assert secret not in whole
    assert sandbox.admin("summary")["last_seq"] == summary["last_seq"] + 2


def test_journal_above_its_limit_drops_the_oldest_and_counts_all() -> None:
    journal = Journal(ManualClock(), limit=3)
    for operation in (None, *["login"] * 4):
        journal.api(operation=operation, method="GET", path="/x", http_status=200, success=True)
    assert [entry.seq for entry in journal.entries()[0]] == [3, 4, 5]
    assert journal.summary()["logins"] == {"success": 4, "failure": 0}
    assert journal.summary()["operations"]["unknown"]["success"] == 1


def test_journal_middleware_before_the_end_of_an_answer_notes_the_call() -> None:
    journal = Journal(ManualClock(), limit=10)
    noted: list[int] = []

    body = {"type": "http.response.body", "body": b"1"}
    answer: list[Message] = [{"type": "http.response.start", "status": 200, "headers": []}]
    answer += [{**body, "more_body": True}, body]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in answer:
            await send(message)
        raise RuntimeError("broken")

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_: Message) -> None:
        noted.append(len(journal.entries()[0]))

    scope = {"type": "http", "method": "GET", "path": "/x", "raw_path": b"/X%3A1", "query_string": b"a=1"}
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            asyncio.run(JournalMiddleware(app, journal)(scope, receive, send))
        # the second call fails before its answer
        answer.clear()
    assert noted == [0, 0, 1]
    first, second = (entry for entry in journal.entries()[0] if isinstance(entry, ApiCall))
    assert (first.path, first.query, first.http_status) == ("/X%3A1", "a=1", 200)
    assert (second.http_status, second.success) == (500, False)


# --- members, settings, reset ---------------------------------------------------------------------------


def test_admin_audiences_after_an_upload_show_members(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience(name="mine")
    theirs = sandbox.foreigner().audience(name="theirs")
    sandbox.load(audience, emails("a", "b", "c"))
    lines = {line["id"]: line for line in sandbox.admin("audiences")}
    assert set(lines) == {audience, theirs}
    assert [lines[audience][name] for name in ("members", "state", "events")] == [3, "READY", 1]
    assert lines[theirs]["user"] == "foreign@example.com"
    everyone = sandbox.admin(f"audiences/{audience}/members")
    assert everyone["count"] == 3
    assert everyone["members"] == [{"email_sha256": item} for item in sorted(map(sha, "abc"))]
    page = sandbox.admin(f"audiences/{audience}/members", params={"offset": 1, "limit": 1})
    assert (page["count"], page["members"]) == (3, everyone["members"][1:2])
    assert [sandbox.refused(f"audiences/1/{path}") for path in ("members", "log")] == [404, 404]


def test_settings_with_one_invalid_change_stay_unchanged(sandbox: Running) -> None:
    changed = sandbox.settings(processing_delay=600, history_key="date")
    assert (changed["processing_delay"], changed["history_key"]) == (600, "date")
    for body in ({"bucket": "other"}, {"match_percent": 20, "processing_delay": -1}, {"no_such": 1}):
        assert sandbox.refused("settings", "PATCH", json=body) == 400
    shown = sandbox.admin("settings")
    assert (shown["processing_delay"], shown["match_percent"]) == (600, 100)
    for name in START_ONLY:
        store = SettingsStore(SandboxSettings())
        message = refusal(StartOnlySettingError, lambda store=store, name=name: store.patch({name: "x"}))
        assert name in (message or "")
    assert not SECRET & shown.keys()
    named = {name for name in SandboxSettings.model_fields if name.endswith(("_key", "password"))}
    # history_key names a field of an answer
    assert named - {"history_key"} == SECRET


def test_reset_after_work_restores_the_initial_state(sandbox: Running) -> None:
    sandbox.settings(processing_delay=0)
    caller = sandbox.login()
    audience = caller.audience()
    caller.activate(audience)
    sandbox.load(audience, emails("a"))
    sandbox.upload(audience, emails("b"), name="20251216_000000")
    sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key="left open")
    last = sandbox.admin("summary")["last_seq"]
    sandbox.reset()
    assert sandbox.work() == {"ran": 0, "left": 0}
    assert sandbox.admin("audiences") == sandbox.admin("campaigns") == sandbox.admin("segments") == []
    assert sandbox.admin("objects") == {"bucket": sandbox.bucket, "objects": [], "open_uploads": []}
    assert sandbox.admin("settings")["processing_delay"] == 1
    assert sandbox.entries() == []
    assert caller.send("GET", "/organisation/loadplatformaccounts").status_code == 401
    assert sandbox.entries()[0]["seq"] == last + 1
    assert sandbox.login().audience() > audience


# --- state and work -------------------------------------------------------------------------------------


def test_state_with_all_vendors_shows_items_files_and_writes(sandbox: Running) -> None:
    caller, commbox, fanfare = sandbox.login(), sandbox.commbox(), sandbox.fanfare()
    campaign = caller.campaign("twice")
    caller.campaign("twice")
    audience, second, third = (caller.audience(campaign, name=name) for name in "abc")
    segment = caller.activate(audience)
    key = sandbox.upload(audience, emails("x", "y"))
    sandbox.upload(second, emails("y", "x"))
    sandbox.upload(third, emails("x", "z"))
    theirs = commbox.create("31612345678")
    commbox.ok("PUT", f"/Audiences/{theirs}", files=phone_file("31612345678"))
    fanfare.load(fanfare.audience(), b"email\r\na@example.com\r\nb@example.com\r\n")
    sandbox.s3.create_multipart_upload(Bucket=sandbox.bucket, Key="k")
    state = sandbox.admin("state", params={"hashes": True})
    assert (state["under_way"], state["due"]) == (0, 0)
    ours = state["vendors"]["digital_audience"]
    assert {"kind": "campaign", "parent": None, "name": "twice", "times": 2} in ours["created"]
    items = {(item["kind"], item["id"]): item for item in ours["items"]}
    assert items["segment", str(segment)]["parent"] == str(audience)
    first, equal, other = (items["audience", str(ident)] for ident in (audience, second, third))
    assert first["members"] == 2
    assert first["digest"] == equal["digest"] != other["digest"]
    assert len(set(first["hashes"]) & set(other["hashes"])) == 1
    file = ours["files"][0]
    assert (file["key"], file["rows"], file["mode"], file["times"]) == (key, 2, "opt-in", 1)
    assert file["sha256"]
    (item,) = state["vendors"]["commbox"]["items"]
    assert (item["id"], item["members"]) == (theirs, 1)
    (accepted,) = state["vendors"]["commbox"]["files"]
    assert (accepted["audience_id"], accepted["rows"], accepted["times"]) == (theirs, 1, 2)
    kinds = {item["kind"]: item for item in state["vendors"]["fanfare"]["items"]}
    assert (kinds["audience"]["members"], kinds["import"]["state"]) == (2, "COMPLETED")
    assert {item["key"]: item["times"] for item in state["written"]}[key] == 1
    assert [upload["key"] for upload in state["open_uploads"]] == ["k"]
    for raw in ("example.com", "31612345678"):
        assert raw not in str(state)


def test_work_with_steps_runs_that_many_actions(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    caller.activate(audience)
    sandbox.upload(audience, emails("a"))
    with_steps = [(0, 0, 1, "PROCESSING", "New"), (1, 1, 1, "READY", "New"), (None, 1, 0, "READY", "Active")]
    for steps, ran, left, state, activation in with_steps:
        assert sandbox.work(steps) == {"ran": ran, "left": left}
        loaded = caller.load(audience)
        assert (loaded["audienceState"], loaded["activationStatus"]) == (state, activation)


def test_sandbox_with_concurrent_callers_serves_each(sandbox: Running) -> None:
    audiences = [sandbox.login().audience() for _ in range(8)]
    since = sandbox.entries()[-1]["seq"]

    def use(audience: int) -> None:
        sandbox.upload(audience, emails(str(audience)))
        for _ in range(5):
            sandbox.login().load(audience)

    with ThreadPoolExecutor(len(audiences)) as pool:
        list(pool.map(use, audiences))
    sandbox.work()
    assert [sandbox.members(audience) for audience in audiences] == [{sha(str(one))} for one in audiences]
    sequence = [entry["seq"] for entry in sandbox.entries(since=since)]
    assert sequence == list(range(since + 1, since + len(sequence) + 1))
    assert len(sequence) == 8 * (1 + 2 * 5 + 1)


# --- the bucket -----------------------------------------------------------------------------------------


def test_s3_with_if_none_match_writes_only_absent_objects(sandbox: Running) -> None:
    place = {"Bucket": sandbox.bucket, "Key": "elsewhere/put"}
    sandbox.s3.put_object(**place, Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        sandbox.s3.put_object(**place, Body=b"2", IfNoneMatch="*")
    assert sandbox.s3.get_object(**place)["Body"].read() == b"1"
    noted = [(entry["http_status"], entry["if_none_match"]) for entry in sandbox.entries(kind="s3")]
    assert noted == [(200, "*"), (412, "*")]
    place["Key"] = "elsewhere/multipart"

    def begin() -> tuple[str, dict[str, Any]]:
        upload = sandbox.s3.create_multipart_upload(**place, Metadata={"n": "1"})["UploadId"]
        parts = []
        for number, body in ((1, b"x" * (5 << 20)), (2, b"y")):
            part = sandbox.s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        return upload, {**place, "UploadId": upload, "MultipartUpload": {"Parts": parts}}

    first, complete = begin()
    open_uploads = sandbox.admin("objects")["open_uploads"]
    assert [(upload["key"], upload["upload_id"]) for upload in open_uploads] == [(place["Key"], first)]
    assert sandbox.keys() == ["elsewhere/put"]
    sandbox.s3.complete_multipart_upload(**complete, IfNoneMatch="*")
    second, again = begin()
    with pytest.raises(ClientError, match="PreconditionFailed"):
        sandbox.s3.complete_multipart_upload(**again, IfNoneMatch="*")
    sandbox.s3.abort_multipart_upload(**place, UploadId=second)
    contents = sandbox.admin("objects")
    assert contents["open_uploads"] == []
    stored = contents["objects"][0]
    assert (stored["key"], stored["size"], stored["metadata"]) == (place["Key"], (5 << 20) + 1, {"n": "1"})
    assert sandbox.admin("summary")["s3"] == {
        "PutObject": {"success": 1, "failure": 1},
        "AbortMultipartUpload": {"success": 1, "failure": 0},
        "CompleteMultipartUpload": {"success": 1, "failure": 1},
        "CreateMultipartUpload": {"success": 2, "failure": 0},
        "UploadPart": {"success": 4, "failure": 0},
    }


def test_s3_with_other_credentials_refuses(sandbox: Running) -> None:
    body = b"x" * (5 << 20)
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        sandbox.s3_client("wrong-key").put_object(Bucket=sandbox.bucket, Key="k", Body=body)
    answer = requests.put(f"{sandbox.info['s3_url']}/{sandbox.bucket}/k", data=body, timeout=TIMEOUT)
    assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)
    assert sandbox.keys() == []


class Listing:
    """A bucket that can only be listed, and counts the listings."""

    def __init__(self) -> None:
        self.objects: dict[str, ObjectInfo] = {}
        self.listings = 0

    def put(self, key: str, etag: str, second: int) -> None:
        modified = datetime(2025, 12, 15, tzinfo=timezone.utc) + timedelta(seconds=second)
        self.objects[key] = ObjectInfo(key, etag, 1, modified)

    def list_objects(self) -> list[ObjectInfo]:
        self.listings += 1
        return list(self.objects.values())


def test_watcher_after_writes_returns_new_and_overwritten_objects() -> None:
    store = Listing()
    watcher = BucketWatcher(store)  # type: ignore[arg-type]

    def changes() -> list[str]:
        watcher.touch()
        return [info.key for info in watcher.changes()]

    assert watcher.changes() == []
    store.put("x", "1", 2)
    # without a write there is no listing
    assert (watcher.changes(), store.listings) == ([], 1)
    store.put("b", "1", 1)
    store.put("a", "1", 2)
    # in the order of LastModified and then key
    assert changes() == ["b", "a", "x"]
    assert changes() == []
    for etag, second in (("2", 1), ("2", 3)):
        store.put("b", etag, second)
        assert changes() == ["b"]
    kept = store.objects.pop("b")
    assert changes() == []
    store.objects["b"] = kept
    assert changes() == ["b"]


# --- in the test's own process --------------------------------------------------------------------------


def test_sandbox_in_process_follows_a_manual_clock(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    settings = SandboxSettings(bucket="in-process", scan_interval=0.02, processing_delay=3600)
    sandbox = Sandbox(settings, clock=clock)
    try:
        running = Running(sandbox.start().ready_info(), clock)
        caller = running.login()
        audience = caller.audience()
        assert caller.load(audience)["created"] == "2025-12-15T11:36:16.489708Z"
        assert running.refused("clock", "POST", json={"at": "2040-03-01T03:00:00Z"}) == 409
        # the worker's thread survives an error
        sandbox.services.timeline.schedule(clock.now(), lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        wait_for(lambda: "sandbox worker step failed" in caplog.text)
        running.upload(audience, emails("a"))
        wait_for(lambda: caller.load(audience)["audienceState"] == "PROCESSING")
        clock.advance(3599)
        assert caller.load(audience)["audienceState"] == "PROCESSING"
        clock.advance(1)
        wait_for(lambda: running.login().load(audience)["audienceState"] == "READY")
        with pytest.raises(SandboxStartError, match="in-process already exists"):
            Sandbox(settings).start()
        assert [item["times"] for item in sandbox.state()["written"]] == [1]
        assert sandbox.work() == (0, 0)
    finally:
        sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        running.refused("health")
    # bucket and ports are free again
    with running_sandbox(settings) as handle:
        assert Running(handle.ready_info()).keys() == []


def test_stop_during_faults_ends_held_calls() -> None:
    sandbox = Sandbox(SandboxSettings(bucket="stopping"))
    running = Running(sandbox.start().ready_info())
    sandbox.faults.add(FaultOrder(vendor="fanfare", action="hold"))
    with in_background(lambda: running.fanfare().send("GET", "/audiences")) as results:
        wait_for(lambda: [line.held for line in sandbox.faults.lines()] == [[1]])
        for vendor in (None, "s3"):
            sandbox.faults.add(FaultOrder(action="refuse", vendor=vendor, seconds=600))
        sandbox.stop()
    assert isinstance(results[0], requests.ConnectionError)
    assert sandbox.faults.lines() == []
    with running_sandbox(SandboxSettings(bucket="stopping")) as handle:
        Running(handle.ready_info()).fanfare().audience()


def test_sandbox_modules_import_nothing_of_the_clients() -> None:
    files = sorted((INCLUDE / "sandbox").rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"audience_onboarding", "plugins", "airflow", "dags"}, file
