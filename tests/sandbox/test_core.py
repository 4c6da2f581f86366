"""The shared core: journal, timeline, bucket watcher, worker, settings, command line, bodies."""

from __future__ import annotations

import ast
import asyncio
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from sandbox.app import JournalMiddleware, call_details
from sandbox.bucket import BucketWatcher
from sandbox.cli import build_parser
from sandbox.clock import ManualClock, iso
from sandbox.digital_audience.bodies import Activate, CreateCrmAudience, UpdateEndDate, parse_time
from sandbox.journal import ApiCall, Journal
from sandbox.settings import SECRET, START_ONLY, SandboxSettings, SettingsStore, StartOnlySettingError
from sandbox.timeline import Timeline
from tests.sandbox.world import FakeStore, World, emails

INCLUDE = Path(__file__).resolve().parents[2] / "include"


def call(journal: Journal, operation: str | None, success: bool = True) -> int:
    status = 200 if success else 404
    return journal.api(operation=operation, method="GET", path="/x", http_status=status, success=success).seq


def test_journal_pages_filters_and_counts() -> None:
    journal = Journal(ManualClock(), limit=100)
    first = call(journal, "login")
    call(journal, "login", success=False)
    call(journal, "loadSegment")
    call(journal, None, success=False)
    journal.s3(operation="PutObject", method="PUT", key="k", http_status=412, success=False)
    assert [entry.seq for entry in journal.entries(since=first)[0]] == [2, 3, 4, 5]
    assert [entry.seq for entry in journal.entries(operation="login")[0]] == [1, 2]
    assert [entry.seq for entry in journal.entries(since=1, operation="login")[0]] == [2]
    assert [entry.kind for entry in journal.entries(kind="s3")[0]] == ["s3"]
    summary = journal.summary()
    assert (summary.logins.success, summary.logins.failure) == (1, 1)
    assert summary.operations["loadSegment"].success == 1
    assert summary.operations["unknown"].failure == 1
    assert summary.s3["PutObject"].failure == 1
    assert summary.last_seq == 5


def test_journal_numbers_go_on_after_a_clear() -> None:
    journal = Journal(ManualClock(), limit=100)
    last = call(journal, "login")
    journal.clear()
    assert journal.summary().operations == {}
    assert call(journal, "login") == last + 1


def test_journal_forgets_the_oldest_but_counts_all() -> None:
    journal = Journal(ManualClock(), limit=3)
    for _ in range(5):
        call(journal, "login")
    assert [entry.seq for entry in journal.entries()[0]] == [3, 4, 5]
    assert journal.summary().logins.success == 5


def test_journal_is_safe_for_threads() -> None:
    journal = Journal(ManualClock(), limit=10_000)
    threads = [
        threading.Thread(target=lambda: [call(journal, "login") for _ in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.seq for entry in journal.entries()[0]] == list(range(1, 801))
    assert journal.summary().logins.success == 800


def test_timeline_runs_what_is_due_in_order_and_what_that_adds() -> None:
    clock, ran = ManualClock(), []
    timeline, start = Timeline(), clock.now()

    def first() -> None:
        ran.append("first")
        timeline.schedule(start + timedelta(seconds=1), lambda: ran.append("added"))

    timeline.schedule(start + timedelta(seconds=2), lambda: ran.append("second"))
    timeline.schedule(start + timedelta(seconds=1), first)
    timeline.schedule(start + timedelta(seconds=3), lambda: ran.append("later"))
    assert timeline.run_due(start) == 0
    assert timeline.run_due(start + timedelta(seconds=2)) == 3
    assert ran == ["first", "added", "second"]
    assert timeline.next_due() == start + timedelta(seconds=3)
    timeline.clear()
    assert timeline.next_due() is None


def test_watcher_lists_only_after_a_write_and_reports_a_write_once() -> None:
    store = FakeStore(ManualClock())
    watcher = BucketWatcher(store)
    assert watcher.changes() == []
    store.put("k", b"1")
    assert watcher.changes() == []
    assert store.listings == 1
    watcher.touch()
    assert [info.key for info in watcher.changes()] == ["k"]
    watcher.touch()
    assert watcher.changes() == []


def test_watcher_sees_overwriting_and_writing_again_after_a_delete() -> None:
    store = FakeStore(ManualClock())
    watcher = BucketWatcher(store)

    def changed() -> bool:
        watcher.touch()
        return bool(watcher.changes())

    store.put("k", b"1")
    assert changed()
    store.put("k", b"2")
    assert changed()
    store.clock.advance(1)
    store.put("k", b"2")
    assert changed()
    kept = store.objects.pop("k")
    assert not changed()
    store.objects["k"] = kept
    assert changed()


def test_worker_thread_survives_an_error_and_stops(caplog: pytest.LogCaptureFixture) -> None:
    world = World(scan_interval=0.01, processing_delay=0)
    audience = world.audience()
    world.timeline.schedule(world.clock.now(), lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    world.worker.start()
    try:
        world.upload(audience, emails("a"))
        deadline = time.monotonic() + 10
        while audience.state != "READY" and time.monotonic() < deadline:
            time.sleep(0.005)
        assert audience.state == "READY"
    finally:
        world.worker.stop()
    assert "sandbox worker step failed" in caplog.text


def test_settings_change_as_a_whole_or_not_at_all() -> None:
    store = SettingsStore(SandboxSettings(scan_interval=2))
    assert store.patch({"match_percent": 10, "history_key": "date"}).match_percent == 10
    with pytest.raises(ValidationError):
        store.patch({"match_percent": 20, "processing_delay": -1})
    with pytest.raises(ValidationError):
        store.patch({"no_such_setting": 1})
    assert store.current.match_percent == 10
    store.reset()
    assert (store.current.match_percent, store.current.scan_interval) == (65, 2)


@pytest.mark.parametrize("name", sorted(START_ONLY))
def test_settings_that_count_at_start_only_are_refused_later(name: str) -> None:
    with pytest.raises(StartOnlySettingError, match=name):
        SettingsStore(SandboxSettings()).patch({name: "x"})


def test_visible_settings_hold_no_secret() -> None:
    shown = SettingsStore(SandboxSettings()).visible()
    assert shown["session_lifetime"] == 3600
    assert not {"password", "foreign_password", "aws_secret_access_key"} & shown.keys()
    assert not SECRET & shown.keys()
    named = {name for name in SandboxSettings.model_fields if name.endswith(("_key", "password"))}
    # history_key names a field of an answer
    assert named - {"history_key"} == SECRET


def test_every_setting_has_an_option_and_a_description() -> None:
    parser = build_parser()
    options = {option for action in parser._actions for option in action.option_strings}
    for name, field in SandboxSettings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in options
        assert field.description


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000000Z"),
        ("2025-12-16T11:36:10.6878666Z", "2025-12-16T11:36:10.687866Z"),
        ("2025-12-16T11:36:10.5+01:00", "2025-12-16T10:36:10.500000Z"),
    ],
)
def test_times_are_read(text: str, expected: str) -> None:
    assert iso(parse_time(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00.12345678Z",
        "2024-13-01T00:00:00Z",
        "01/02/2024",
        "",
        1704067200,
        None,
    ],
)
def test_other_times_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"ISO 8601|month must be"):
        parse_time(text)


ORDER = {
    "audienceId": 1,
    "accountId": 2,
    "name": "n",
    "description": "",
    "startDate": "2024-01-01T00:00:00Z",
    "endDate": "2024-12-31T23:59:59Z",
}


def test_names_bind_in_any_case() -> None:
    assert Activate.model_validate({key.upper(): value for key, value in ORDER.items()}).audienceid == 1
    body = {"SegmentId": 5, "enddate": ORDER["endDate"]}
    assert UpdateEndDate.model_validate(body).segmentid == 5


@pytest.mark.parametrize("missing", ORDER)
def test_activation_needs_every_field(missing: str) -> None:
    with pytest.raises(ValidationError):
        Activate.model_validate({key: value for key, value in ORDER.items() if key != missing})


@pytest.mark.parametrize(
    "changes",
    [
        {"audienceId": "1"},
        {"audienceId": 1.5},
        {"audienceId": True},
        {"audienceId": 0},
        {"name": ""},
        {"name": "  "},
        {"description": None},
        {"endDate": ORDER["startDate"]},
        {"startDate": "2024-01-01"},
    ],
)
def test_activation_is_strict_about_values(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Activate.model_validate({**ORDER, **changes})


@pytest.mark.parametrize(("sent", "read"), [(3101, 3101), ("3101", 3101)])
def test_a_campaign_id_may_be_quoted(sent: object, read: int) -> None:
    assert CreateCrmAudience.model_validate({"name": "n", "campaignId": sent}).campaignid == read


@pytest.mark.parametrize("sent", ["", "x", "1.0", "-1", None, [1], True])
def test_other_campaign_ids_are_refused(sent: object) -> None:
    with pytest.raises(ValidationError):
        CreateCrmAudience.model_validate({"name": "n", "campaignId": sent})


def test_the_sandbox_imports_nothing_of_the_clients() -> None:
    files = sorted((INCLUDE / "sandbox").rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"audience_onboarding", "plugins", "airflow", "dags"}, file


async def _receive() -> dict[str, object]:
    return {"type": "http.request", "body": b""}


def _scope() -> dict[str, object]:
    return {"type": "http", "method": "GET", "path": "/x", "raw_path": b"/X%3A1", "query_string": b"a=1"}


def test_a_call_is_noted_before_its_answer_is_complete() -> None:
    journal = Journal(ManualClock(), limit=10)
    noted_when_sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call_details(scope).operation = "loadSegment"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    async def send(_: Message) -> None:
        noted_when_sent.append(len(journal.entries()[0]))

    asyncio.run(JournalMiddleware(app, journal)(_scope(), _receive, send))
    assert noted_when_sent == [0, 0, 1]
    (entry,) = journal.entries()[0]
    assert isinstance(entry, ApiCall)
    assert (entry.operation, entry.path, entry.query, entry.http_status) == (
        "loadSegment",
        "/X%3A1",
        "a=1",
        200,
    )


def test_a_call_that_breaks_is_noted_too() -> None:
    journal = Journal(ManualClock(), limit=10)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    async def send(_: Message) -> None:
        """Nothing is sent."""

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(JournalMiddleware(app, journal)(_scope(), _receive, send))
    (entry,) = journal.entries()[0]
    assert isinstance(entry, ApiCall)
    assert (entry.http_status, entry.success) == (500, False)
