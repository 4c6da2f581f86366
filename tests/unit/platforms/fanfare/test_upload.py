"""Fanfare's imports in parts: every part once, in order, also if the task is killed in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from audience_onboarding.exceptions import (
    ConflictError,
    NotFoundError,
    Outcome,
    RequestRejectedError,
    TransientError,
    VendorUnavailableError,
)
from audience_onboarding.platforms.fanfare import upload as onboarding
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.definition import MAX_BYTES, MAX_ROWS
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.models import Audience, Import, ImportStarted
from audience_onboarding.platforms.fanfare.sensors import FanfareImportSensor
from audience_onboarding.platforms.fanfare.triggers import FanfareImportTrigger, poll_import
from audience_onboarding.platforms.fanfare.upload import CONFIRMED, FanfareOnboardCrmOperator
from tests.fakes import task_context
from tests.unit.effects import Effects, JsonStores, points
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.fanfare.conftest import audience_json, import_json
from tests.unit.platforms.kits import FANFARE, as_stored, report, without_content_and_time

ASSET = Asset("audience/fans")
AUDIENCE = "aud_1"
DAY = "2026-11-20"
NOW = 1_800_000_000.0
PEOPLE = [f"anna{number}@example.com,061234567{number}" for number in range(5)]
HEADER = "email,phone\r\n"
LINES = [f"anna{number}@example.com,+3161234567{number}\r\n" for number in range(5)]
SECRET = "X-Amz-Signature=0123456789abcdef"


class Vendor:
    """Imports in memory: ``POST`` makes one that waits for its file, the upload brings it on its way.

    :ivar on_upload: the status of an import that gets its file.
    :ivar taken_in: the lines of all imports that are through, in order.
    """

    def __init__(self, effects: Effects) -> None:
        self.settings = FANFARE.settings
        self.effects = effects
        self.audience = audience_json(id=AUDIENCE, name="Fans")
        self.imports: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, bytes] = {}
        self.on_upload = "PROCESSING"
        self.start_errors: list[Exception] = []
        self.upload_errors: list[Exception] = []
        self.questions: list[str] = []

    check_type = staticmethod(FanfareClient.check_type)

    def get_audience(self, audience_id: str) -> Audience:
        self.questions.append(audience_id)
        if audience_id != self.audience["id"]:
            raise NotFoundError(what="There is none", status=404)
        return Audience.model_validate(self.audience)

    def count(self, audience_id: str) -> int:
        return len(set(self.taken_in))

    def start_import(self, audience_id: str) -> ImportStarted:
        assert audience_id == self.audience["id"]
        if self.start_errors:
            raise self.start_errors.pop(0)
        self.effects.before("start")
        import_id = f"imp_{len(self.imports) + 1}"
        self.imports[import_id] = import_json(id=import_id, audienceId=audience_id)
        self.effects.after()
        return ImportStarted.model_validate(
            {**self.imports[import_id], "uploadUrl": f"https://bucket.example/{import_id}?{SECRET}"}
        )

    def upload(self, upload_url: str, body: bytes) -> None:
        import_id = upload_url.partition("?")[0].rpartition("/")[2]
        if self.upload_errors:
            raise self.upload_errors.pop(0)
        self.effects.before("upload")
        self.bodies[import_id] = body
        self.imports[import_id]["status"] = self.on_upload
        self.effects.after()

    def find_import(self, audience_id: str, import_id: str) -> Import | None:
        found = self.imports.get(import_id)
        return None if found is None else Import.model_validate(found)

    # --- what a test does and asks

    def finish(self, status: str = "COMPLETED", **changes: Any) -> None:
        """Bring all imports that have their file to an end."""
        for import_id, item in self.imports.items():
            if import_id in self.bodies and item["status"] == "PROCESSING":
                rows = len(self.rows(import_id))
                item.update(status=status, processedConsumers=rows, totalConsumers=rows, **changes)

    def rows(self, import_id: str) -> list[str]:
        header, *rows = self.bodies[import_id].decode().splitlines(keepends=True)
        assert header == HEADER
        return rows

    @property
    def sent(self) -> list[list[str]]:
        """The rows of each file that was sent, in order."""
        return [self.rows(import_id) for import_id in self.bodies]

    @property
    def taken_in(self) -> list[str]:
        return [
            row
            for import_id, item in self.imports.items()
            if item["status"] in {"COMPLETED", "SUCCESS"}
            for row in self.rows(import_id)
        ]


class World:
    """An audience, an extract of five people, and what is remembered. Each try is an operator of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.effects = Effects()
        self.stores = JsonStores(self.effects)
        self.vendor = Vendor(self.effects)
        self.source = folder / f"{DAY}.csv"
        self.write(PEOPLE)
        monkeypatch.setattr(FanfareHook, "client", property(lambda hook: self.vendor))
        monkeypatch.setattr(onboarding, "time", SimpleNamespace(time=lambda: NOW))

    def write(self, people: list[str]) -> None:
        self.source.write_text("E-mail,Phone\n" + "".join(f"{row}\n" for row in people))

    @property
    def store(self) -> dict[str, Any]:
        return self.stores[ASSET].content

    @property
    def context(self) -> Any:
        return task_context(stores=self.stores)

    def operator(self, **changes: Any) -> FanfareOnboardCrmOperator:
        return FanfareOnboardCrmOperator(
            **{
                "task_id": "upload",
                "source": str(self.source.parent / "{load_date}.csv"),
                "columns": {"email": "E-mail", "phone": "Phone"},
                "audience_id": AUDIENCE,
                "allow_unhashed": True,
                "asset": ASSET,
                "load_date": DAY,
                "memory_limit_mib": 128,
                **changes,
            }
        )

    def run(self, **changes: Any) -> dict[str, Any]:
        """Run a try that does not defer."""
        found: dict[str, Any] = as_stored(self.operator(**changes).execute(self.context))
        return found

    def defers(self, **changes: Any) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            self.operator(**changes).execute(self.context)
        return caught.value

    def event(self, deferred: TaskDeferred) -> dict[str, Any]:
        """Let the vendor finish, and return what the trigger reports then."""
        self.vendor.finish()
        trigger = deferred.trigger
        assert isinstance(trigger, FanfareImportTrigger)
        found: dict[str, Any] = as_stored(self.look(trigger.audience_id, trigger.import_id))
        return found

    def look(self, audience_id: str, import_id: str) -> dict[str, Any]:
        event = poll_import(self.vendor, audience_id, import_id).event  # type: ignore[arg-type]
        assert event is not None
        return event

    def resume(self, deferred: TaskDeferred, **changes: Any) -> dict[str, Any]:
        """Go on after a wait, in another process."""
        method = getattr(self.operator(**changes), deferred.method_name)
        found: dict[str, Any] = method(self.context, self.event(deferred), **(deferred.kwargs or {}))
        return found

    def resume_with(self, event: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return self.operator(**changes).resume_after_import(self.context, event)

    def to_the_end(self, **changes: Any) -> dict[str, Any]:
        """Run the task as Airflow does: each time it defers, the vendor finishes, and another process goes on."""
        go: Callable[[], dict[str, Any]] = lambda: self.run(**changes)  # noqa: E731
        while True:
            try:
                return go()
            except TaskDeferred as deferred:
                go = lambda waiting=deferred: self.resume(waiting, **changes)  # type: ignore[misc]  # noqa: E731

    def seen(self, load: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the sensor."""
        self.vendor.finish()
        sensor = FanfareImportSensor(task_id="wait", upload=load)
        return sensor.execute_complete(self.context, self.look(AUDIENCE, load["import_id"]))

    def confirm(self, load: dict[str, Any]) -> dict[str, Any]:
        """Write what the DAG's record_load writes."""
        seen = self.seen(load)
        self.stores[ASSET].set(f"load.{DAY}.opt-in", {**load, **seen, "run_id": "run_0"})
        return seen


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture
def vendor(world: World) -> Vendor:
    return world.vendor


# --- one part -----------------------------------------------------------------------------------------------


def test_a_short_list_is_one_import(world: World, vendor: Vendor) -> None:
    operator = world.operator()

    found = operator.execute(world.context)

    assert vendor.sent == [LINES]
    assert without_content_and_time(found) == report(
        load_date=DAY,
        mode="opt-in",
        source=str(world.source),
        rows_read=5,
        rows_sent=5,
        values_sent={"email": 5, "phone": 5},
        values_read={"email": 5, "phone": 5},
        audience_id=AUDIENCE,
        uploaded=True,
        import_id="imp_1",
        imports_before=[],
    )
    assert FANFARE.portal(operator) == f"https://portal/{AUDIENCE}"


def test_without_an_asset_the_task_itself_remembers(world: World, vendor: Vendor) -> None:
    context: Any = task_context()
    vendor.upload_errors = [VendorUnavailableError(what="Run out", status=403)]
    with pytest.raises(TransientError):
        world.operator(asset=None).execute(context)

    world.operator(asset=None).execute(context)
    world.operator(asset=None).execute(context)

    assert list(vendor.imports) == ["imp_1", "imp_2"]
    assert vendor.sent == [LINES]


def test_the_audience_may_be_the_one_that_the_asset_remembers(world: World) -> None:
    world.stores[ASSET].set("audience", {"id": AUDIENCE, "account": "https://vendor.example"})

    assert world.run(audience_id=None)["audience_id"] == AUDIENCE


# --- several parts ------------------------------------------------------------------------------------------


def test_a_long_list_goes_out_in_parts_each_waiting_for_the_one_before(world: World, vendor: Vendor) -> None:
    first = world.defers(rows_per_import=2, poke_interval=7, import_timeout=100, fanfare_conn_id="another")
    assert vendor.sent == [LINES[:2]]
    assert first.method_name == "resume_after_import"
    assert first.trigger.serialize()[1] == {
        "conn_id": "another",
        "audience_id": AUDIENCE,
        "import_id": "imp_1",
        "poll_interval": 7,
        "deadline": NOW + 100,
    }

    with pytest.raises(TaskDeferred) as second:
        world.resume(first, rows_per_import=2)
    assert vendor.sent == [LINES[:2], LINES[2:4]]

    vendor.finish(errorCount=1, errors=[{"row": 2, "issues": []}])
    found = world.resume(second.value, rows_per_import=2)
    assert vendor.sent == [LINES[:2], LINES[2:4], LINES[4:]]
    assert found["import_id"] == "imp_3"
    part = {"rows": 2, "import_status": "COMPLETED", "processed_consumers": 2}
    assert found["imports_before"] == [
        {"import_id": "imp_1", **part, "error_count": 0, "row_errors": []},
        {"import_id": "imp_2", **part, "error_count": 1, "row_errors": [{"row": 2, "issues": []}]},
    ]


def test_a_source_that_changes_between_two_imports_stops_the_load(world: World, vendor: Vendor) -> None:
    first = world.defers(rows_per_import=2)
    # As a query without ORDER BY may do each time.
    world.write(PEOPLE[::-1])

    with pytest.raises(AirflowFailException, match=r"source changed during its load.*Clear.*ORDER BY"):
        world.resume(first, rows_per_import=2)

    assert len(vendor.sent) == 1


def test_a_source_that_is_gone_between_two_imports_is_no_reason_to_skip(world: World) -> None:
    given = {"path": str(world.source), "on_missing": "skip"}
    first = world.defers(source=given, rows_per_import=2)
    world.source.unlink()

    with pytest.raises(AirflowFailException, match="SourceNotFoundError"):
        world.resume(first, source=given, rows_per_import=2)


@pytest.mark.parametrize(
    ("rows_per_import", "parts"),
    [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (3, [3, 2]), (4, [4, 1]), (5, [5]), (6, [5])],
)
def test_every_row_is_in_exactly_one_part(
    world: World, vendor: Vendor, rows_per_import: int, parts: list[int]
) -> None:
    found = world.to_the_end(rows_per_import=rows_per_import)

    assert [len(rows) for rows in vendor.sent] == parts
    assert [row for rows in vendor.sent for row in rows] == LINES
    assert len(found["imports_before"]) == len(parts) - 1


def test_a_part_holds_no_more_than_the_vendor_takes(
    world: World, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (world.operator().rows_per_import, MAX_ROWS, MAX_BYTES) == (100_000, 100_000, 10_000_000)
    monkeypatch.setattr(onboarding, "MAX_BYTES", len(HEADER) + len(LINES[0]) * 2)

    world.to_the_end()

    assert [len(rows) for rows in vendor.sent] == [2, 2, 1]


# --- the outcome of an import -------------------------------------------------------------------------------


def test_a_part_that_fails_ends_the_task_and_a_clear_goes_on_with_it(world: World, vendor: Vendor) -> None:
    with pytest.raises(TaskDeferred):
        world.resume(world.defers(rows_per_import=2), rows_per_import=2)
    vendor.finish("FAILED", errors=[{"row": 2, "issues": [{"type": "email", "input": "anna3@example.com"}]}])

    with pytest.raises(AirflowFailException, match=r"ImportFailedError.*import imp_2 is FAILED") as caught:
        world.resume_with(world.look(AUDIENCE, "imp_2"), rows_per_import=2)

    assert "finished imports of this load are not sent again" in str(caught.value)
    assert "anna" not in str(caught.value)
    assert len(vendor.imports) == 2

    found = world.to_the_end(rows_per_import=2)

    assert vendor.sent == [LINES[:2], LINES[2:4], LINES[2:4], LINES[4:]]
    assert found["import_id"] == "imp_4"
    assert [part["import_id"] for part in found["imports_before"]] == ["imp_1", "imp_3"]


TIMEOUT = {"status": "timeout", "state": "PROCESSING", "message": "import imp_1 is PROCESSING"}


def test_an_import_that_does_not_succeed(world: World, vendor: Vendor) -> None:
    events: list[tuple[dict[str, Any], type[Exception], str]] = [
        (
            {"status": "failed", "state": "FAILED", "message": "import imp_1 is FAILED"},
            AirflowFailException,
            "ImportFailedError: An import of the load failed",
        ),
        (
            {"status": "error", "error": "AuthenticationError", "message": "The key is old"},
            AirflowFailException,
            "AuthenticationError: The key is old",
        ),
        (
            TIMEOUT,
            TransientError,
            "did not finish within 0:01:40.*imp_1 is PROCESSING.*nothing is sent again",
        ),
    ]
    with every_case() as case:
        for event, kind, message in events:
            with case(event["status"]), pytest.raises(kind, match=message):
                world.resume_with(event, import_timeout=100)
    assert vendor.imports == {}


def test_a_wait_that_took_too_long_is_resumed(world: World, vendor: Vendor) -> None:
    world.defers(rows_per_import=2)
    with pytest.raises(TransientError):
        world.resume_with(TIMEOUT, rows_per_import=2)

    again = world.defers(rows_per_import=2)

    assert vendor.sent == [LINES[:2]]
    assert again.trigger.serialize()[1]["import_id"] == "imp_1"


def test_an_import_of_an_earlier_try_is_kept_or_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with every_case() as case:
        for status, has_its_file, sent_again in (
            ("PENDING", True, False),
            ("PROCESSING", True, False),
            ("COMPLETED", True, False),
            ("SUCCESS", True, False),
            ("success", True, False),
            ("FAILED", True, True),
            ("Failed", True, True),
            ("VALIDATING", True, False),
            # Whether its file was sent is not known: the process was killed about then.
            ("PENDING", False, True),
            ("PROCESSING", False, False),
            ("COMPLETED", False, False),
            ("FAILED", False, True),
            ("AWAITING_FILE", False, True),
            # The vendor does not show it any more.
            (None, True, True),
        ):
            world = World(tmp_path, monkeypatch)
            with case((status, has_its_file)):
                world.run()
                record = world.store[f"imports.{DAY}"]
                record["parts"]["1"]["sent"] = has_its_file
                world.stores[ASSET].set(f"imports.{DAY}", record)
                if status:
                    world.vendor.imports["imp_1"]["status"] = status
                else:
                    world.vendor.imports["imp_x"] = world.vendor.imports.pop("imp_1")

                found = world.run()

                assert found["import_id"] == ("imp_2" if sent_again else "imp_1")
                assert len(world.vendor.imports) == (2 if sent_again else 1)
                assert found["uploaded"] is True


def test_a_question_that_fails_is_no_reason_to_send_again(
    world: World, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()

    def fail(*arguments: Any) -> None:
        raise VendorUnavailableError(what="Down")

    monkeypatch.setattr(vendor, "find_import", fail)

    with pytest.raises(VendorUnavailableError):
        world.run()
    assert len(vendor.imports) == 1


def test_imports_that_are_through_are_not_asked_about(
    world: World, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.to_the_end(rows_per_import=2)
    asked: list[str] = []
    find = vendor.find_import

    def watched(audience_id: str, import_id: str) -> Import | None:
        asked.append(import_id)
        return find(audience_id, import_id)

    monkeypatch.setattr(vendor, "find_import", watched)
    world.run(rows_per_import=2)

    assert asked == ["imp_3"]


# --- errors on the way --------------------------------------------------------------------------------------


def test_another_import_under_way_is_waited_for_by_a_retry(world: World, vendor: Vendor) -> None:
    vendor.start_errors = [ConflictError(what="Import in progress", status=409)]

    with pytest.raises(TransientError, match=r"Another import.*aud_1.*Import in progress"):
        world.run()

    assert world.run()["import_id"] == "imp_1"


@pytest.mark.parametrize("when", ["start_errors", "upload_errors"])
def test_a_try_that_failed_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    with every_case() as case:
        for error, raised in (
            (VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN), VendorUnavailableError),
            (VendorUnavailableError(what="Slower", retry_after=30.0), VendorUnavailableError),
            (RequestRejectedError(what="Not a static list", status=400), AirflowFailException),
        ):
            world = World(tmp_path, monkeypatch)
            with case(error):
                setattr(world.vendor, when, [error])
                with pytest.raises(raised):
                    world.run()

                found = world.run()

                assert world.vendor.sent == [LINES]
                assert found["import_id"] == f"imp_{len(world.vendor.imports)}"


def test_only_a_static_list_that_is_there_takes_an_import(world: World, vendor: Vendor) -> None:
    with every_case() as case:
        for changes in ({"type": "DYNAMIC"}, {"type": "SYNCED_LIST"}, {"archived": True}):
            vendor.audience = audience_json(id=AUDIENCE, name="Fans", **changes)
            with (
                case(changes),
                pytest.raises(AirflowFailException, match="ConfigurationError: Audience aud_1"),
            ):
                world.run()
    assert vendor.imports == {}


@pytest.mark.parametrize("gone", ["deleted", "archived"])
@pytest.mark.parametrize("remembered", [True, False])
def test_an_audience_that_is_gone_says_how_to_start_again(
    world: World, vendor: Vendor, gone: str, remembered: bool
) -> None:
    if remembered:
        world.stores[ASSET].set("audience", {"id": AUDIENCE, "account": "https://vendor.example"})
    vendor.audience.update({"id": "aud_2"} if gone == "deleted" else {"archived": True})

    with pytest.raises(AirflowFailException) as caught:
        world.run()

    # Without that, a new name in the definition would change nothing.
    hint = "delete the key 'audience' in the state store of asset 'audience/fans'"
    assert (hint in str(caught.value)) is remembered


def test_what_cannot_be_meant_is_refused_before_the_extract_is_read(world: World, vendor: Vendor) -> None:
    world.source.unlink()
    tables: list[tuple[str, list[Any], str]] = [
        ("audience_id", ["../rules", "a/b", "a?b", "a b", "{{ x }}"], "Invalid id"),
        ("mode", ["replace", "opt-out", ""], r"Unknown mode.*Allowed are opt-in"),
        ("rows_per_import", [0, -1, MAX_ROWS + 1], r"ConfigurationError.*rows_per_import.*1 to 100,000"),
        ("allow_unhashed", [False], r"Fanfare accepts email and phone only unhashed.*allow_unhashed"),
    ]
    with every_case() as case:
        for name, values, message in tables:
            for value in values:
                with case((name, value)), pytest.raises(AirflowFailException, match=message):
                    world.run(**{name: value})
    assert vendor.questions == []
    with pytest.raises(AirflowFailException, match="NotFoundError"):
        world.run(audience_id="aud_2")


@pytest.mark.parametrize("audience_id", [AUDIENCE, None, "None"])
def test_a_dry_run_sends_nothing(world: World, vendor: Vendor, audience_id: Any) -> None:
    context = world.context

    with pytest.raises(AirflowSkipException, match="5 rows would be sent, nothing was"):
        world.operator(is_dry_run="True", audience_id=audience_id).execute(context)

    assert vendor.imports == {}
    assert world.effects.names == []
    assert context["ti"].pushed["dry_run_report"]["rows_sent"] == 5
    assert "anna" not in str(context["ti"].pushed)


# --- the same load, and another -----------------------------------------------------------------------------


def test_a_load_that_is_confirmed_is_not_sent_again(world: World) -> None:
    seen = world.confirm(world.to_the_end(rows_per_import=2))
    world.effects.start()

    again = world.run(rows_per_import=2)

    assert world.effects.names == []
    assert again["uploaded"] is False
    assert "import_id" not in again
    assert again["confirmed"] == {name: seen[name] for name in CONFIRMED}
    # The sensor has nothing to wait for, and returns the same as the first time.
    assert FanfareImportSensor(task_id="wait", upload=again).execute(world.context) == seen


def test_other_content_of_a_confirmed_day_needs_supersede(world: World, vendor: Vendor) -> None:
    world.confirm(world.run())
    world.write(PEOPLE[:1])

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-20.*run_0.*Overwrite"):
        world.run()
    assert len(vendor.imports) == 1

    assert world.run(overwrite="True")["import_id"] == "imp_2"
    assert vendor.sent == [LINES, LINES[:1]]


def test_a_load_that_is_sent_but_not_confirmed_is_waited_for(world: World, vendor: Vendor) -> None:
    first = world.run()

    second = world.run()

    assert len(vendor.imports) == 1
    # The second run has sent nothing, and so has no time of sending.
    assert first.pop("sent_at")
    assert second == first


@pytest.mark.parametrize("change", ["content", "rows_per_import", "audience"])
def test_parts_of_another_load_are_not_reused(world: World, vendor: Vendor, change: str) -> None:
    world.defers(rows_per_import=2)
    vendor.finish()
    changes: dict[str, Any] = {"rows_per_import": 2}
    if change == "content":
        world.write(PEOPLE[::-1])
    elif change == "rows_per_import":
        changes = {"rows_per_import": 3}
    else:
        vendor.audience["id"] = changes["audience_id"] = "aud_2"

    world.defers(**changes)

    expected = {"content": LINES[:2:-1], "rows_per_import": LINES[:3], "audience": LINES[:2]}
    assert vendor.sent[1:] == [expected[change]]


def test_each_day_and_each_range_has_its_own_parts(world: World, vendor: Vendor) -> None:
    first, last = "2026-11-19", "2026-11-21"
    for day in (first, last):
        world.source.with_name(f"{day}.csv").write_bytes(world.source.read_bytes())

    for day in (DAY, last, DAY, last):
        world.run(load_date=day)

    assert len(vendor.imports) == 2
    assert set(world.store) == {f"imports.{DAY}", f"imports.{last}"}
    vendor.on_upload = "COMPLETED"
    assert world.run(range_start=first)["uploaded"] is True
    assert set(world.store) == {f"imports.{DAY}", f"imports.{last}", f"imports.{first}..{DAY}"}
    assert len(vendor.imports) == 3


@pytest.mark.parametrize("rubbish", ["text", 7, [], {}, {"parts": 3}, {"parts": {"one": {}}}])
def test_an_invalid_record_is_ignored(world: World, rubbish: Any) -> None:
    world.stores[ASSET].set(f"imports.{DAY}", rubbish)

    assert world.run()["import_id"] == "imp_1"


# --- killed -------------------------------------------------------------------------------------------------

PART = ["start", f"set imports.{DAY}", "upload", f"set imports.{DAY}"]
POINTS = [*PART, f"set imports.{DAY}", *PART, f"set imports.{DAY}", *PART]
"""Each part: start, remember, upload, remember; and the outcome of it."""


def test_the_points_are_all_there_are(world: World) -> None:
    world.to_the_end(rows_per_import=2)

    assert world.effects.names == POINTS


@pytest.mark.parametrize("in_time", [True, False], ids=["vendor quick", "vendor slow"])
def test_a_task_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    with every_case() as case:
        for point in points(len(POINTS)):
            with case(point):
                killed_and_resumed(World(tmp_path, monkeypatch), point, in_time=in_time)


def killed_and_resumed(world: World, point: tuple[int, str], *, in_time: bool) -> None:
    vendor = world.vendor
    world.effects.kill(point, lambda: world.to_the_end(rows_per_import=2))
    through = list(vendor.taken_in)
    if in_time:
        # What was sent is through before the next try looks.
        vendor.finish()

    load = world.to_the_end(rows_per_import=2)
    seen = world.seen(load)

    # All rows are there, in the order of the file.
    assert list(dict.fromkeys(vendor.taken_in)) == LINES
    # At most the part in the middle of which it was killed goes out twice, and none that was through.
    assert len(vendor.sent) <= 4
    assert all(vendor.taken_in.count(row) == 1 for row in through)
    assert (seen["imports"], seen["members"], seen["processed_consumers"]) == (3, 5, 5)
    # Everything the load is made of is remembered as one of its imports.
    parts = world.store[f"imports.{DAY}"]["parts"]
    assert [part["rows"] for part in parts.values()] == [2, 2, 1]
    assert all(part["import_id"] in vendor.bodies for part in parts.values())


# --- what stays behind --------------------------------------------------------------------------------------


def test_no_personal_data_and_no_address_stays_behind(
    world: World, vendor: Vendor, capsys: pytest.CaptureFixture[str]
) -> None:
    issue = {"type": "email", "received": "anna3@example.com", "message": "anna3@example.com is taken"}
    first = world.defers(rows_per_import=2)
    vendor.finish(errorCount=1, errors=[{"row": 2, "issues": [issue, "31612345673 is taken"]}])
    load = world.to_the_end(rows_per_import=2)
    vendor.finish(errorCount=1, errors=[{"row": 1, "issues": [issue]}])
    seen = world.seen(load)

    everything = json.dumps([world.store, load, seen, first.trigger.serialize()]) + capsys.readouterr().out
    assert "Part 1: sent 2 rows as import imp_1" in everything
    assert "Fanfare rejected 2 rows" in everything
    for secret in ("anna", "3161234567", "example.com", "bucket.example", "0123456789abcdef", "sk_test"):
        assert secret not in everything
