"""Digital Audience's background work, from the upload to S3 to the active segment, with a manual clock."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from sandbox.clock import iso
from tests.sandbox.support import Caller, Running, csv_bytes, emails, sha, table

pytestmark = pytest.mark.integration


@pytest.fixture
def caller(sandbox: Running) -> Caller:
    return sandbox.login()


def now(sandbox: Running) -> str:
    assert sandbox.clock is not None
    return iso(sandbox.clock.now())


def hashes(*names: str) -> set[str]:
    return {sha(name) for name in names}


def history(caller: Caller, audience: int) -> list[dict[str, Any]]:
    return list(caller.load(audience)["crmData"]["history"]["history"].values())


# --- uploads --------------------------------------------------------------------------------------------


def test_upload_changes_state_from_nodata_to_ready(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(processing_delay=10)
    audience = caller.audience()
    body = emails("a", "b")
    key = sandbox.upload(audience, body, content="v1")
    sandbox.step()
    picked_up = now(sandbox)
    loaded = caller.load(audience)
    assert (loaded["audienceState"], loaded["dataUpdated"]) == ("PROCESSING", None)
    assert loaded["crmData"]["insightsState"] == "PENDING"
    sandbox.step(9.9)
    assert caller.load(audience)["audienceState"] == "PROCESSING"
    sandbox.step(0.1)
    loaded = caller.load(audience)
    assert (loaded["audienceState"], loaded["dataUpdated"], loaded["updated"]) == (
        "READY",
        *[now(sandbox)] * 2,
    )
    counts = {"TOTAL": 2, "UNIQUE": 2, "MATCH": 2, "UMATCH": 2, "NOMATCH": 0}
    event = {
        **{"audienceId": audience, "mode": "opt-in", "totalRows": 2, "created": picked_up},
        **{"dataSet": {"EMAIL": counts}, "matchRates": {"EMAIL": 1.0}},
    }
    assert loaded["crmData"] == {
        **{"insightsState": "READY", "insightsStateId": 1, "size": 2},
        "history": {"totalEvents": 1, "history": {picked_up: event}},
    }
    # only the audience's own page has crmData
    order = caller.order(audience)
    caller.data("POST", "/audience/activate", json=order)
    renamed = caller.data("POST", "/audience/update", json={"id": audience, "name": "x"})
    assert renamed["crmData"] is None
    assert sandbox.members(audience) == hashes("a", "b")
    (event,) = sandbox.events()
    assert event["etag"] in str(sandbox.s3.head_object(Bucket=sandbox.bucket, Key=key)["ETag"])
    assert {name: event[name] for name in event.keys() - {"seq", "time", "etag", "last_modified"}} == {
        **{"kind": "object", "vendor": "digital_audience", "key": key, "size": len(body), "rows": 2},
        **{"metadata": {"content": "v1"}, "outcome": "accepted", "reason": None},
        **{"audience_id": audience, "mode": "opt-in", "sha256": hashlib.sha256(body).hexdigest()},
    }
    log = [line["event"] for line in sandbox.admin(f"audiences/{audience}/log")]
    assert log == ["created", "accepted", "ready", "activated"]


def test_counts_follow_the_match_settings(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(match_percent=50, usable_percent=80)
    audience = caller.audience()
    rows = [f"{sha(f'mail {number % 60}')},{sha(f'phone {number}')}" for number in range(80)]
    sandbox.load(audience, csv_bytes("email_sha256,phone_sha256", *rows))
    (event,) = history(caller, audience)
    assert (event["totalRows"], caller.load(audience)["crmData"]["size"]) == (80, 80)
    email, phone = event["dataSet"]["EMAIL"], event["dataSet"]["PHONE"]
    matched = [sha(f"mail {number}") for number in range(60) if int(sha(f"mail {number}")[:8], 16) < 2**31]
    assert (email["TOTAL"], email["UNIQUE"], email["MATCH"]) == (80, 60, len(matched))
    assert (phone["TOTAL"], phone["UNIQUE"]) == (80, 80)
    for kind, count in event["dataSet"].items():
        assert count["MATCH"] + count["NOMATCH"] == count["UNIQUE"]
        assert 0 < count["UMATCH"] < count["MATCH"]
        assert event["matchRates"][kind] == pytest.approx(count["MATCH"] / count["UNIQUE"], abs=1e-4)


def test_uploads_in_each_mode_change_members(sandbox: Running, caller: Caller) -> None:
    audience = caller.audience()
    steps = [
        ("opt-in", ("a", "b"), ("a", "b")),
        ("opt-in", ("b", "c"), ("a", "b", "c")),
        ("opt-out", ("a", "z"), ("b", "c")),
        ("replace", ("x",), ("x",)),
    ]
    with table() as check:
        for number, (mode, names, members) in enumerate(steps):
            sandbox.load(audience, emails(*names), mode=mode, name=f"2025121{number}_000000")
            sandbox.step(1)
            check((mode, names), sandbox.members(audience), hashes(*members))
    assert [event["mode"] for event in history(caller, audience)] == [mode for mode, _, _ in steps]
    crm = caller.load(audience)["crmData"]
    assert (crm["size"], crm["history"]["totalEvents"]) == (1, 4)
    assert sandbox.admin("summary")["objects"] == {"accepted": 4, "refused": 0, "ignored": 0}


def test_refused_file_changes_only_the_state(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(failure_state="BROKEN", processing_delay=5)
    audience, fresh = caller.audience(), caller.audience()
    sandbox.load(audience, emails("a"))
    before = caller.load(audience)
    # the check stops in line 2, the hash covers the whole object
    body = b"email_sha256\r\nnot a hash\r\n" + b"x\r\n" * 50
    key = sandbox.upload(audience, body, mode="replace")
    sandbox.step()
    assert caller.load(audience)["audienceState"] == "PROCESSING"
    sandbox.step(5)
    after = caller.load(audience)
    assert after["audienceState"] == "BROKEN"
    assert (after["dataUpdated"], after["crmData"]) == (before["dataUpdated"], before["crmData"])
    assert sandbox.members(audience) == hashes("a")
    reason = "line 2: email_sha256 is not 64 hexadecimal digits"
    log = [
        (line["event"], line["message"], line["key"]) for line in sandbox.admin(f"audiences/{audience}/log")
    ]
    assert log[-2:] == [("refused", reason, key), ("failed", reason, key)]
    event = sandbox.events()[-1]
    assert (event["outcome"], event["reason"], event["rows"]) == ("refused", reason, None)
    assert event["sha256"] == hashlib.sha256(body).hexdigest()
    sandbox.load(audience, emails("b"), name="20251216_000000")
    assert caller.load(audience)["audienceState"] == "READY"
    assert sandbox.members(audience) == hashes("a", "b")
    # a refused first file leaves no crmData
    sandbox.load(fresh, b"")
    loaded = caller.load(fresh)
    assert (loaded["audienceState"], loaded["crmData"], loaded["dataUpdated"]) == ("BROKEN", None, None)


def test_objects_without_an_audience_are_refused_or_ignored(sandbox: Running, caller: Caller) -> None:
    audience, deleted = caller.audience(), caller.audience()
    foreign = sandbox.foreigner().audience()
    caller.data("DELETE", f"/audience/delete?audienceId={deleted}")
    name = "20251215_000000.csv"
    mode = "mode folder is not opt-in, opt-out or replace"
    cases = {
        f"onboard/audience=1/opt-in/{name}": (emails("a"), "refused", "unknown audience id"),
        f"onboard/audience={deleted}/opt-in/{name}": (emails("a"), "refused", "unknown audience id"),
        f"onboard/audience={foreign}/opt-in/{name}": (emails("a"), "refused", "unknown audience id"),
        f"onboard/audience={audience}/in/{name}": (emails("a"), "refused", mode),
        "onboard/": (b"", "ignored", "folder marker"),
        f"onboard/audience={audience}/opt-in/": (b"", "ignored", "folder marker"),
        "locks/campaign": (b"x", "ignored", "no vendor reads this prefix"),
    }
    for key, (body, _, _) in cases.items():
        sandbox.s3.put_object(Bucket=sandbox.bucket, Key=key, Body=body)
    sandbox.work()
    events = {event["key"]: event for event in sandbox.events()}
    with table() as check:
        for key, (body, outcome, reason) in cases.items():
            digest = hashlib.sha256(body).hexdigest() if outcome == "refused" else None
            actual = [events[key][name] for name in ("outcome", "reason", "sha256")]
            check(key, actual, [outcome, reason, digest])
    assert caller.load(audience)["audienceState"] == "NODATA"
    assert sandbox.foreigner().load(foreign)["audienceState"] == "NODATA"


def test_uploads_of_one_audience_are_processed_one_by_one(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(processing_delay=10)
    audience, other = caller.audience(), caller.audience()
    keys = [
        sandbox.upload(audience, emails(name), mode=mode)
        for mode, name in (("opt-in", "first"), ("opt-out", "second"), ("replace", "third"))
    ]
    sandbox.upload(other, emails("o"))
    sandbox.step()
    # the other audience does not wait
    assert [event["audience_id"] for event in sandbox.events()] == [audience, other]
    sandbox.step(10)
    assert caller.load(audience)["audienceState"] == "PROCESSING"
    assert caller.load(other)["audienceState"] == "READY"
    assert sandbox.members(audience) == hashes("first")
    sandbox.step(10)
    assert sandbox.members(audience) == hashes("first")
    assert caller.load(audience)["audienceState"] == "PROCESSING"
    sandbox.step(10)
    assert sandbox.members(audience) == hashes("third")
    assert caller.load(audience)["audienceState"] == "READY"
    assert [event["key"] for event in sandbox.events() if event["audience_id"] == audience] == keys
    # an object that was read is not read again
    sandbox.s3.put_object(Bucket=sandbox.bucket, Key="elsewhere", Body=b"")
    sandbox.work()
    assert len(sandbox.events()) == 5


def test_uploads_overwritten_or_deleted_before_reading_are_refused(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(processing_delay=10)
    audience = caller.audience()
    # overwritten after it was read: a new upload
    for name in "ab":
        key = sandbox.load(audience, emails(name))
    assert sandbox.members(audience) == hashes("a", "b")
    assert [(event["key"], event["outcome"]) for event in sandbox.events()] == [(key, "accepted")] * 2
    assert len({event["etag"] for event in sandbox.events()}) == 2
    # overwritten or deleted while it waits
    sandbox.upload(audience, emails("first"), mode="replace", name="20251216_000000")
    sandbox.step()
    waiting = sandbox.upload(audience, emails("old"), mode="replace", name="20251216_000001")
    gone = sandbox.upload(audience, emails("gone"), mode="replace", name="20251216_000002")
    sandbox.step()
    sandbox.upload(audience, emails("new"), mode="replace", name="20251216_000001")
    sandbox.s3.delete_object(Bucket=sandbox.bucket, Key=gone)
    sandbox.work()
    assert sandbox.members(audience) == hashes("new")
    lost = "replaced or deleted before it was read"
    actual = [(event["key"], event["reason"]) for event in sandbox.events()[3:]]
    assert sorted(actual, key=str) == sorted([(waiting, lost), (gone, lost), (waiting, None)], key=str)
    loaded = caller.load(audience)
    assert (loaded["audienceState"], loaded["crmData"]["insightsState"]) == ("READY", "READY")


def test_audience_deleted_with_pending_uploads_stays_deleted(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(processing_delay=10)
    audience = caller.audience()
    segment = caller.activate(audience)
    sandbox.load(audience, emails("a"))
    sandbox.upload(audience, emails("b"), name="20251216_000000")
    sandbox.upload(audience, emails("c"), name="20251217_000000")
    sandbox.step()
    caller.data("DELETE", f"/audience/delete?audienceId={audience}")
    assert caller.send("GET", f"/segment/{segment}").status_code == 404
    sandbox.step(10)
    assert [event["reason"] for event in sandbox.events()] == [None, None, "unknown audience id"]
    assert sandbox.admin("audiences") == []


def test_history_by_date_keeps_the_last_event_of_a_day(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(history_key="date")
    audience = caller.audience()
    sandbox.load(audience, emails("a"), name="20251215_000000")
    sandbox.load(audience, emails("b", "c"), name="20251215_000001")
    history_data = caller.load(audience)["crmData"]["history"]
    day = now(sandbox)[:10]
    rows = {key: one["totalRows"] for key, one in history_data["history"].items()}
    assert (history_data["totalEvents"], rows) == (2, {day: 2})


def test_insights_after_a_delay_follow_the_latest_upload(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(insights_delay=30, processing_delay=0)
    audience = caller.audience()

    def state() -> tuple[str, str]:
        loaded = caller.load(audience)
        return loaded["audienceState"], loaded["crmData"]["insightsState"]

    sandbox.upload(audience, emails("a"))
    sandbox.step()
    assert state() == ("READY", "PENDING")
    sandbox.step(20)
    sandbox.upload(audience, emails("b"), name="20251216_000000")
    sandbox.step()
    for seconds, insights in ((10, "PENDING"), (19, "PENDING"), (1, "READY")):
        sandbox.step(seconds)
        assert state() == ("READY", insights)


# --- segments -------------------------------------------------------------------------------------------


def test_segment_after_the_delay_is_active(sandbox: Running, caller: Caller) -> None:
    sandbox.settings(activation_delay=10, processing_delay=0)
    audience = caller.audience()
    segment = caller.activate(audience)

    def view(*names: str) -> list[Any]:
        loaded = caller.data("GET", f"/segment/{segment}")
        return [loaded[name] for name in names]

    # without data it waits
    sandbox.step(1000)
    assert view("status", "active") == ["Pending", False]
    sandbox.upload(audience, emails("a"))
    sandbox.step()
    # data that arrives twice meanwhile is uploaded once
    sandbox.upload(audience, emails("b"), name="20251216_000000")
    sandbox.step(9)
    counts = ("totalPendingCount", "totalUploadCount", "totalSegmentUploadCount")
    assert view("status", "active", *counts) == ["Pending", False, 2, 0, 0]
    parent = caller.load(audience)
    names = ("activationStatus", "activationStatusId", "lifetimeStatus", "hasSegments")
    assert [parent[name] for name in names] == ["New", 0, None, True]
    sandbox.step(1)
    sandbox.step(10)
    assert view("status", "active", *counts) == ["Active", True, 0, 2, 1]
    parent = caller.load(audience)
    assert [parent[name] for name in names] == ["Active", 1, "Active", True]
    # new data goes to an active segment at once
    sandbox.upload(audience, emails("a"), mode="opt-out", name="20251217_000000")
    sandbox.step()
    assert view("totalUploadCount", "totalSegmentUploadCount") == [1, 2]
    (line,) = sandbox.admin("segments")
    assert (line["upload_count"], line["uploads"]) == (1, 2)


def test_segment_outside_its_dates_is_not_active(sandbox: Running, caller: Caller) -> None:
    assert sandbox.clock is not None
    today = sandbox.clock.now()
    audience = caller.audience()
    sandbox.load(audience, emails("a"))
    dates = {"startDate": iso(today + timedelta(days=1)), "endDate": iso(today + timedelta(days=2))}
    segment = caller.activate(audience, **dates)
    sandbox.work()

    def status() -> tuple[str, bool]:
        loaded = sandbox.login().data("GET", f"/segment/{segment}")
        return loaded["status"], loaded["active"]

    assert status() == ("Pending", False)
    sandbox.step(24 * 3600)
    assert status() == ("Active", True)
    sandbox.step(24 * 3600)
    assert status() == ("Inactive", False)
    body = {"segmentid": segment, "endDate": iso(today + timedelta(days=30))}
    sandbox.login().data("POST", "/segment/updateenddate", json=body)
    assert status() == ("Active", True)
