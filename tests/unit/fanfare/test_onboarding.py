"""Importing a list in parts: every part once, in order, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from audience_onboarding.base import turn
from audience_onboarding.errors import (
    ConflictError,
    NotFoundError,
    Outcome,
    RequestRejectedError,
    TransientError,
    VendorUnavailableError,
)
from audience_onboarding.fanfare import onboarding
from audience_onboarding.fanfare.client import FanfareClient
from audience_onboarding.fanfare.hooks import FanfareHook
from audience_onboarding.fanfare.limits import MAX_BYTES, MAX_ROWS
from audience_onboarding.fanfare.links import FanfarePortalLink
from audience_onboarding.fanfare.models import Audience, Import, ImportStarted
from audience_onboarding.fanfare.onboarding import CONFIRMED, FanfareOnboardCrmOperator
from audience_onboarding.fanfare.sensors import FanfareImportSensor
from audience_onboarding.fanfare.settings import FanfareSettings
from audience_onboarding.fanfare.triggers import FanfareImportTrigger, look_at_import
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger
from tests.fakes import task_context
from tests.unit.effects import Effects, JsonStores, Killed
from tests.unit.fanfare.conftest import audience_json, import_json

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
        self.settings = FanfareSettings(
            base_url="https://vendor.example", key="sk_test_1", portal_url="https://portal/{audience_id}"
        )
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


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def stores(effects: Effects) -> JsonStores:
    return JsonStores(effects)


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, effects: Effects) -> Vendor:
    made = Vendor(effects)
    monkeypatch.setattr(FanfareHook, "client", property(lambda hook: made))
    monkeypatch.setattr(onboarding, "time", SimpleNamespace(time=lambda: NOW))
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / f"{DAY}.csv"
    path.write_text("E-mail,Phone\n" + "".join(f"{row}\n" for row in PEOPLE))
    return path


@pytest.fixture
def upload(source: Path) -> Any:
    """Make the operator; each time another one, as each try is a process of its own."""

    def make(**changes: Any) -> FanfareOnboardCrmOperator:
        return FanfareOnboardCrmOperator(
            **{
                "task_id": "upload",
                "source": str(source.parent / "{load_date}.csv"),
                "columns": {"email": "E-mail", "phone": "Phone"},
                "audience_id": AUDIENCE,
                "allow_raw": True,
                "asset": ASSET,
                "load_date": DAY,
                "memory_limit_mib": 128,
                **changes,
            }
        )

    return make


def event_of(vendor: Vendor, deferred: TaskDeferred) -> dict[str, Any]:
    """What the trigger of a deferral reports now."""
    trigger = deferred.trigger
    assert isinstance(trigger, FanfareImportTrigger)
    event = look_at_import(vendor, trigger.audience_id, trigger.import_id).event  # type: ignore[arg-type]
    assert event is not None
    found: dict[str, Any] = json.loads(json.dumps(event))
    return found


def deferral_of(operator: Any, stores: JsonStores) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(task_context(stores=stores))
    return caught.value


def to_the_end(make: Any, vendor: Vendor, stores: JsonStores, **changes: Any) -> dict[str, Any]:
    """Run the task as Airflow does: each time it defers, the vendor gets through, and another process goes on."""
    act = lambda operator: operator.execute(task_context(stores=stores))  # noqa: E731
    while True:
        try:
            found: dict[str, Any] = act(make(**changes))
        except TaskDeferred as deferred:
            vendor.finish()
            event, name = event_of(vendor, deferred), deferred.method_name
            act = lambda operator, event=event, name=name: getattr(operator, name)(  # noqa: E731
                task_context(stores=stores), event
            )
        else:
            assert json.loads(json.dumps(found)) == found
            return found


def confirm(stores: JsonStores, load: dict[str, Any], seen: dict[str, Any]) -> None:
    """What the DAG's record_load writes."""
    stores[ASSET].set(f"load.{DAY}.opt-in", {**load, **seen, "run_id": "run_0"})


# --- one part -----------------------------------------------------------------------------------------------


def test_a_short_list_is_one_import(vendor: Vendor, stores: JsonStores, upload: Any, source: Path) -> None:
    operator = upload()

    found = operator.execute(task_context(stores=stores))

    assert vendor.sent == [LINES]
    assert len(found.pop("content_id")) == 64
    assert datetime.fromisoformat(found.pop("sent_at")).tzinfo is not None
    assert found == {
        "load_date": DAY,
        "mode": "opt-in",
        "source": str(source),
        "rows_read": 5,
        "rows_sent": 5,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
        "invalid_values": {},
        "values_sent": {"email": 5, "phone": 5},
        "values_read": {"email": 5, "phone": 5},
        "unusable_values": {},
        "hash_mismatches": 0,
        "ignored_columns": 0,
        "files": 1,
        "rejects_file": None,
        "guards": {"ignored": False, "failed": []},
        "audience_id": AUDIENCE,
        "uploaded": True,
        "import_id": "imp_1",
        "imports_before": [],
    }
    assert FanfarePortalLink().get_link(operator, ti_key=None) == f"https://portal/{AUDIENCE}"


def test_without_an_asset_the_task_itself_remembers(vendor: Vendor, upload: Any) -> None:
    context = task_context()
    vendor.upload_errors = [VendorUnavailableError(what="Run out", status=403)]
    with pytest.raises(TransientError):
        upload(asset=None).execute(context)

    upload(asset=None).execute(context)
    upload(asset=None).execute(context)

    assert list(vendor.imports) == ["imp_1", "imp_2"]
    assert vendor.sent == [LINES]


def test_the_audience_may_be_the_one_that_the_asset_remembers(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    stores[ASSET].set("audience", {"id": AUDIENCE, "account": "https://vendor.example"})

    assert upload(audience_id=None).execute(task_context(stores=stores))["audience_id"] == AUDIENCE


# --- several parts ------------------------------------------------------------------------------------------


def test_a_long_list_goes_out_in_parts_each_waiting_for_the_one_before(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    first = deferral_of(upload(rows_per_import=2, poke_interval=7, import_timeout=100), stores)
    assert vendor.sent == [LINES[:2]]
    assert first.method_name == "execute_next_import"
    assert first.trigger.serialize()[1] == {
        "conn_id": "fanfare_default",
        "audience_id": AUDIENCE,
        "import_id": "imp_1",
        "poll_interval": 7,
        "deadline": NOW + 100,
    }

    vendor.finish()
    with pytest.raises(TaskDeferred) as second:
        upload(rows_per_import=2).execute_next_import(task_context(stores=stores), event_of(vendor, first))
    assert vendor.sent == [LINES[:2], LINES[2:4]]

    vendor.finish(errorCount=1, errors=[{"row": 2, "issues": []}])
    found = upload(rows_per_import=2).execute_next_import(
        task_context(stores=stores), event_of(vendor, second.value)
    )
    assert vendor.sent == [LINES[:2], LINES[2:4], LINES[4:]]
    assert found["import_id"] == "imp_3"
    assert found["imports_before"] == [
        {
            "import_id": "imp_1",
            "rows": 2,
            "import_status": "COMPLETED",
            "processed_consumers": 2,
            "error_count": 0,
            "row_errors": [],
        },
        {
            "import_id": "imp_2",
            "rows": 2,
            "import_status": "COMPLETED",
            "processed_consumers": 2,
            "error_count": 1,
            "row_errors": [{"row": 2, "issues": []}],
        },
    ]


def test_a_source_that_has_changed_between_two_imports_is_not_begun_again_and_again(
    vendor: Vendor, stores: JsonStores, upload: Any, source: Path
) -> None:
    first = deferral_of(upload(rows_per_import=2), stores)
    vendor.finish()
    # As a query without ORDER BY may do each time.
    source.write_text("E-mail,Phone\n" + "".join(f"{row}\n" for row in reversed(PEOPLE)))

    with pytest.raises(AirflowFailException, match=r"source has changed while its imports.*Clear.*ORDER BY"):
        upload(rows_per_import=2).execute_next_import(
            task_context(stores=stores), event_of(vendor, first), **(first.kwargs or {})
        )

    assert len(vendor.sent) == 1


def test_the_same_source_goes_on_after_an_import(vendor: Vendor, stores: JsonStores, upload: Any) -> None:
    first = deferral_of(upload(rows_per_import=4), stores)
    vendor.finish()

    found = upload(rows_per_import=4).execute_next_import(
        task_context(stores=stores), event_of(vendor, first), **(first.kwargs or {})
    )

    assert found["import_id"] == "imp_2"


def test_a_source_that_is_gone_between_two_imports_is_no_reason_to_skip(
    vendor: Vendor, stores: JsonStores, upload: Any, source: Path
) -> None:
    given = {"path": str(source), "if_missing": "skip"}
    first = deferral_of(upload(source=given, rows_per_import=2), stores)
    vendor.finish()
    source.unlink()

    with pytest.raises(AirflowFailException, match="SourceNotFoundError"):
        upload(source=given, rows_per_import=2).execute_next_import(
            task_context(stores=stores), event_of(vendor, first), **(first.kwargs or {})
        )


@pytest.mark.parametrize(
    ("rows_per_import", "parts"),
    [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (3, [3, 2]), (4, [4, 1]), (5, [5]), (6, [5])],
)
def test_every_row_is_in_exactly_one_part(
    vendor: Vendor, stores: JsonStores, upload: Any, rows_per_import: int, parts: list[int]
) -> None:
    found = to_the_end(upload, vendor, stores, rows_per_import=rows_per_import)

    assert [len(rows) for rows in vendor.sent] == parts
    assert [row for rows in vendor.sent for row in rows] == LINES
    assert len(found["imports_before"]) == len(parts) - 1


def test_a_part_holds_no_more_than_the_vendor_takes(
    vendor: Vendor, stores: JsonStores, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (upload().rows_per_import, MAX_ROWS, MAX_BYTES) == (100_000, 100_000, 10_000_000)
    monkeypatch.setattr(onboarding, "MAX_BYTES", len(HEADER) + len(LINES[0]) * 2)

    to_the_end(upload, vendor, stores)

    assert [len(rows) for rows in vendor.sent] == [2, 2, 1]


@pytest.mark.parametrize("rows", [0, -1, MAX_ROWS + 1])
def test_a_part_of_an_impossible_size_is_refused_before_anything_is_asked(
    vendor: Vendor, stores: JsonStores, upload: Any, rows: int
) -> None:
    with pytest.raises(AirflowFailException, match=r"ConfigurationError.*rows_per_import.*1 to 100,000"):
        upload(rows_per_import=rows).execute(task_context(stores=stores))

    assert vendor.questions == []


# --- what an import comes to --------------------------------------------------------------------------------


def test_a_part_that_fails_ends_the_task_and_a_clear_goes_on_with_it(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    first = deferral_of(upload(rows_per_import=2), stores)
    vendor.finish()
    with pytest.raises(TaskDeferred) as second:
        upload(rows_per_import=2).execute_next_import(task_context(stores=stores), event_of(vendor, first))
    vendor.finish("FAILED", errors=[{"row": 2, "issues": [{"type": "email", "input": "anna3@example.com"}]}])

    with pytest.raises(AirflowFailException, match=r"ImportFailedError.*import imp_2 is FAILED") as caught:
        upload(rows_per_import=2).execute_next_import(
            task_context(stores=stores), event_of(vendor, second.value)
        )

    assert "are through are not sent again" in str(caught.value)
    assert "anna" not in str(caught.value)
    assert len(vendor.imports) == 2

    found = to_the_end(upload, vendor, stores, rows_per_import=2)

    assert vendor.sent == [LINES[:2], LINES[2:4], LINES[2:4], LINES[4:]]
    assert found["import_id"] == "imp_4"
    assert [part["import_id"] for part in found["imports_before"]] == ["imp_1", "imp_3"]


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (
            {"status": "failed", "state": "FAILED", "message": "import imp_1 is FAILED"},
            AirflowFailException,
            "ImportFailedError: An import of the load has failed",
        ),
        (
            {"status": "error", "error": "AuthenticationError", "message": "The key is old"},
            AirflowFailException,
            "AuthenticationError: The key is old",
        ),
        (
            {"status": "timeout", "state": "PROCESSING", "message": "import imp_1 is PROCESSING"},
            TransientError,
            "not through within 0:01:40.*imp_1 is PROCESSING.*nothing is sent again",
        ),
    ],
)
def test_an_import_that_does_not_come_through(
    vendor: Vendor,
    stores: JsonStores,
    upload: Any,
    event: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        upload(import_timeout=100).execute_next_import(task_context(stores=stores), event)

    assert vendor.imports == {}


def test_a_wait_that_took_too_long_is_taken_up_again(vendor: Vendor, stores: JsonStores, upload: Any) -> None:
    deferral_of(upload(rows_per_import=2), stores)
    with pytest.raises(TransientError):
        upload(rows_per_import=2).execute_next_import(
            task_context(stores=stores), {"status": "timeout", "state": "PROCESSING", "message": "x"}
        )

    again = deferral_of(upload(rows_per_import=2), stores)

    assert vendor.sent == [LINES[:2]]
    assert again.trigger.serialize()[1]["import_id"] == "imp_1"


@pytest.mark.parametrize(
    ("status", "has_its_file", "sent_again"),
    [
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
    ],
)
def test_what_becomes_of_an_import_that_an_earlier_try_began(
    vendor: Vendor, stores: JsonStores, upload: Any, status: str, has_its_file: bool, sent_again: bool
) -> None:
    upload().execute(task_context(stores=stores))
    key = f"imports.{DAY}"
    record = stores[ASSET].get(key)
    record["parts"]["1"]["sent"] = has_its_file
    stores[ASSET].set(key, record)
    vendor.imports["imp_1"]["status"] = status

    found = upload().execute(task_context(stores=stores))

    assert found["import_id"] == ("imp_2" if sent_again else "imp_1")
    assert len(vendor.imports) == (2 if sent_again else 1)
    assert found["uploaded"] is True


def test_an_import_that_the_vendor_does_not_show_any_more_is_sent_anew(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    upload().execute(task_context(stores=stores))
    vendor.imports["imp_x"] = vendor.imports.pop("imp_1")

    assert upload().execute(task_context(stores=stores))["import_id"] == "imp_2"


def test_a_question_that_fails_is_no_reason_to_send_again(
    vendor: Vendor, stores: JsonStores, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload().execute(task_context(stores=stores))

    def fail(*arguments: Any) -> None:
        raise VendorUnavailableError(what="Down")

    monkeypatch.setattr(vendor, "find_import", fail)

    with pytest.raises(VendorUnavailableError):
        upload().execute(task_context(stores=stores))

    assert len(vendor.imports) == 1


def test_what_is_through_is_not_even_asked_about(
    vendor: Vendor, stores: JsonStores, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_the_end(upload, vendor, stores, rows_per_import=2)
    asked: list[str] = []
    find = vendor.find_import

    def watched(audience_id: str, import_id: str) -> Import | None:
        asked.append(import_id)
        return find(audience_id, import_id)

    monkeypatch.setattr(vendor, "find_import", watched)
    upload(rows_per_import=2).execute(task_context(stores=stores))

    assert asked == ["imp_3"]


# --- errors on the way --------------------------------------------------------------------------------------


def test_another_import_under_way_is_waited_for_by_a_retry(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    vendor.start_errors = [ConflictError(what="Import in progress", status=409)]

    with pytest.raises(TransientError, match=r"Another import.*aud_1.*Import in progress"):
        upload().execute(task_context(stores=stores))

    assert upload().execute(task_context(stores=stores))["import_id"] == "imp_1"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN), VendorUnavailableError),
        (VendorUnavailableError(what="Slower", retry_after=30.0), VendorUnavailableError),
        (RequestRejectedError(what="Not a static list", status=400), AirflowFailException),
    ],
)
@pytest.mark.parametrize("when", ["start_errors", "upload_errors"])
def test_a_try_that_did_not_come_off_is_begun_anew(
    vendor: Vendor, stores: JsonStores, upload: Any, when: str, error: Exception, raised: type[Exception]
) -> None:
    setattr(vendor, when, [error])
    with pytest.raises(raised):
        upload().execute(task_context(stores=stores))

    found = upload().execute(task_context(stores=stores))

    assert vendor.sent == [LINES]
    assert found["import_id"] == f"imp_{len(vendor.imports)}"


@pytest.mark.parametrize(
    "changes",
    [{"type": "DYNAMIC"}, {"type": "SYNCED_LIST"}, {"archived": True}],
    ids=str,
)
def test_only_a_static_list_that_is_there_takes_an_import(
    vendor: Vendor, stores: JsonStores, upload: Any, changes: dict[str, Any]
) -> None:
    vendor.audience.update(changes)

    with pytest.raises(AirflowFailException, match="ConfigurationError: Audience aud_1"):
        upload().execute(task_context(stores=stores))

    assert vendor.imports == {}


def test_an_audience_that_is_gone_is_said_so_before_the_extract_is_read(
    vendor: Vendor, stores: JsonStores, upload: Any, source: Path
) -> None:
    source.unlink()

    with pytest.raises(AirflowFailException, match="NotFoundError"):
        upload(audience_id="aud_2").execute(task_context(stores=stores))


@pytest.mark.parametrize("gone", ["deleted", "archived"])
@pytest.mark.parametrize("remembered", [True, False])
def test_an_audience_that_is_gone_says_how_to_start_anew(
    vendor: Vendor, stores: JsonStores, upload: Any, gone: str, remembered: bool
) -> None:
    if remembered:
        stores[ASSET].set("audience", {"id": AUDIENCE, "account": "https://vendor.example"})
    vendor.audience.update({"id": "aud_2"} if gone == "deleted" else {"archived": True})

    with pytest.raises(AirflowFailException) as caught:
        upload().execute(task_context(stores=stores))

    # Without that, a new name in the definition would change nothing.
    assert (
        "delete the key 'audience' in the state store of asset 'audience/fans'" in str(caught.value)
    ) is remembered


@pytest.mark.parametrize("audience_id", ["../rules", "a/b", "a?b", "a b", "{{ x }}"])
def test_an_id_that_would_be_another_path_is_refused(
    vendor: Vendor, stores: JsonStores, upload: Any, audience_id: str
) -> None:
    with pytest.raises(AirflowFailException, match="is no id"):
        upload(audience_id=audience_id).execute(task_context(stores=stores))

    assert vendor.questions == []


def test_without_consent_nothing_is_read(
    vendor: Vendor, stores: JsonStores, upload: Any, source: Path
) -> None:
    source.unlink()

    with pytest.raises(AirflowFailException, match=r"Fanfare takes email and phone as they are.*allow_raw"):
        upload(allow_raw=False).execute(task_context(stores=stores))

    assert vendor.questions == []


@pytest.mark.parametrize("mode", ["replace", "opt-out", ""])
def test_there_is_no_taking_out(vendor: Vendor, stores: JsonStores, upload: Any, mode: str) -> None:
    with pytest.raises(AirflowFailException, match=r"is no mode.*Allowed are opt-in"):
        upload(mode=mode).execute(task_context(stores=stores))


@pytest.mark.parametrize("audience_id", [AUDIENCE, None, "None"])
def test_a_dry_run_sends_nothing(vendor: Vendor, stores: JsonStores, upload: Any, audience_id: Any) -> None:
    context = task_context(stores=stores)

    with pytest.raises(AirflowSkipException, match="5 rows would be sent, nothing was"):
        upload(is_dry_run="True", audience_id=audience_id).execute(context)

    assert vendor.imports == {}
    assert stores.effects.names == []
    assert context["ti"].pushed["dry_run"]["rows_sent"] == 5
    assert "anna" not in str(context["ti"].pushed)


def test_earlier_loads_go_first_and_the_wait_for_an_import_does_not_ask_again(
    vendor: Vendor, stores: JsonStores, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = ["scheduled__x__2026-11-19__y"]
    monkeypatch.setattr(turn, "ask_airflow", lambda **arguments: earlier)
    deferred = deferral_of(upload(in_order_of="record_load"), stores)
    assert isinstance(deferred.trigger, EarlierLoadsTrigger)
    assert vendor.imports == {}

    with pytest.raises(TaskDeferred) as first:
        upload(in_order_of="record_load", rows_per_import=3).execute_in_turn(
            task_context(stores=stores), {"waiting_for": []}
        )
    vendor.finish()
    found = upload(in_order_of="record_load", rows_per_import=3).execute_next_import(
        task_context(stores=stores), event_of(vendor, first.value)
    )

    assert found["import_id"] == "imp_2"


# --- the same load, and another -----------------------------------------------------------------------------


def seen_by_the_sensor(vendor: Vendor, load: dict[str, Any]) -> dict[str, Any]:
    vendor.finish()
    event = look_at_import(vendor, AUDIENCE, load["import_id"]).event  # type: ignore[arg-type]
    assert event is not None
    return FanfareImportSensor(task_id="wait", upload=load).execute_complete(task_context(), event)


def test_a_load_that_is_confirmed_is_not_sent_again(vendor: Vendor, stores: JsonStores, upload: Any) -> None:
    load = to_the_end(upload, vendor, stores, rows_per_import=2)
    seen = seen_by_the_sensor(vendor, load)
    confirm(stores, load, seen)
    stores.effects.start()

    again = upload(rows_per_import=2).execute(task_context(stores=stores))

    assert stores.effects.names == []
    assert again["uploaded"] is False
    assert "import_id" not in again
    assert again["confirmed"] == {name: seen[name] for name in CONFIRMED}
    # The sensor has nothing to wait for, and says the same as the first time.
    assert FanfareImportSensor(task_id="wait", upload=again).execute(task_context()) == seen


def test_other_content_of_a_confirmed_day_needs_a_word(
    vendor: Vendor, stores: JsonStores, upload: Any, source: Path
) -> None:
    load = upload().execute(task_context(stores=stores))
    confirm(stores, load, seen_by_the_sensor(vendor, load))
    source.write_text(f"E-mail,Phone\n{PEOPLE[0]}\n")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-20.*run_0.*Supersede"):
        upload().execute(task_context(stores=stores))
    assert len(vendor.imports) == 1

    found = upload(supersede="True").execute(task_context(stores=stores))
    assert found["import_id"] == "imp_2"
    assert vendor.sent == [LINES, LINES[:1]]


def test_a_load_that_is_sent_but_not_confirmed_is_waited_for(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    first = upload().execute(task_context(stores=stores, run_id="run_1"))

    second = upload().execute(task_context(stores=stores, run_id="run_2"))

    assert len(vendor.imports) == 1
    # The second run has sent nothing, and so tells no moment of it.
    assert first.pop("sent_at")
    assert second == first


@pytest.mark.parametrize("change", ["content", "rows_per_import", "audience"])
def test_parts_of_something_else_are_no_parts_of_this(
    vendor: Vendor, stores: JsonStores, upload: Any, source: Path, change: str
) -> None:
    deferral_of(upload(rows_per_import=2), stores)
    vendor.finish()
    changes: dict[str, Any] = {"rows_per_import": 2}
    if change == "content":
        source.write_text("E-mail,Phone\n" + "".join(f"{row}\n" for row in reversed(PEOPLE)))
    elif change == "rows_per_import":
        changes = {"rows_per_import": 3}
    else:
        vendor.audience["id"] = "aud_2"
        changes["audience_id"] = "aud_2"

    deferral_of(upload(**changes), stores)

    assert len(vendor.sent) == 2
    assert (
        vendor.sent[1]
        == {
            "content": LINES[:2:-1],
            "rows_per_import": LINES[:3],
            "audience": LINES[:2],
        }[change]
    )


def test_each_day_has_its_own_parts(vendor: Vendor, stores: JsonStores, upload: Any, source: Path) -> None:
    source.with_name("2026-11-21.csv").write_bytes(source.read_bytes())

    for day in (DAY, "2026-11-21", DAY, "2026-11-21"):
        upload(load_date=day).execute(task_context(stores=stores))

    assert len(vendor.imports) == 2
    assert set(stores[ASSET].content) == {f"imports.{DAY}", "imports.2026-11-21"}


@pytest.mark.parametrize("rubbish", ["text", 7, [], {}, {"parts": 3}, {"parts": {"one": {}}}])
def test_a_record_that_is_none_is_begun_anew(
    vendor: Vendor, stores: JsonStores, upload: Any, rubbish: Any
) -> None:
    stores[ASSET].set(f"imports.{DAY}", rubbish)

    assert upload().execute(task_context(stores=stores))["import_id"] == "imp_1"


# --- killed -------------------------------------------------------------------------------------------------


def points() -> Iterator[tuple[int, str]]:
    """Each part: start, remember, upload, remember; and what came of it."""
    for number in range(1, 16):
        yield from ((number, "before"), (number, "after"))


def test_the_points_are_all_there_are(vendor: Vendor, stores: JsonStores, upload: Any) -> None:
    to_the_end(upload, vendor, stores, rows_per_import=2)

    part = ["start", f"set imports.{DAY}", "upload", f"set imports.{DAY}"]
    through = [f"set imports.{DAY}"]
    assert stores.effects.names == [*part, *through, *part, *through, *part]
    assert len(list(points())) > 2 * len(stores.effects.names)


@pytest.mark.parametrize("in_time", [True, False], ids=["vendor quick", "vendor slow"])
@pytest.mark.parametrize("point", points(), ids=lambda point: f"{point[1]} {point[0]}")
def test_a_task_that_is_killed_goes_on_where_it_was(
    vendor: Vendor, stores: JsonStores, upload: Any, point: tuple[int, str], in_time: bool
) -> None:
    stores.effects.start(dies=point)
    killed = False
    try:
        to_the_end(upload, vendor, stores, rows_per_import=2)
    except Killed:
        killed = True
    through = list(vendor.taken_in)
    if in_time:
        # What was sent is through before anybody looks again.
        vendor.finish()
    stores.effects.start()

    load = to_the_end(upload, vendor, stores, rows_per_import=2)
    seen = seen_by_the_sensor(vendor, load)

    assert killed is (point[0] <= 14)
    # Nobody is lost, and the order is that of the file.
    taken_in = list(dict.fromkeys(vendor.taken_in))
    assert taken_in == LINES
    # At most the part in the middle of which it was killed goes out twice, and none that was through.
    assert len(vendor.sent) <= 4
    assert all(vendor.taken_in.count(row) == 1 for row in through)
    assert (seen["imports"], seen["members"], seen["processed_consumers"]) == (3, 5, 5)
    # Everything the load is made of is remembered as one of its imports.
    parts = stores[ASSET].content[f"imports.{DAY}"]["parts"]
    assert [part["rows"] for part in parts.values()] == [2, 2, 1]
    assert all(part["import_id"] in vendor.bodies for part in parts.values())


# --- what stays behind --------------------------------------------------------------------------------------


def test_nothing_personal_and_no_address_stays_behind(
    vendor: Vendor, stores: JsonStores, upload: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    issue = {"type": "email", "received": "anna3@example.com", "message": "anna3@example.com is taken"}
    first = deferral_of(upload(rows_per_import=2), stores)
    vendor.finish(errorCount=1, errors=[{"row": 2, "issues": [issue, "31612345673 is taken"]}])
    load = to_the_end(upload, vendor, stores, rows_per_import=2)
    vendor.finish(errorCount=1, errors=[{"row": 1, "issues": [issue]}])
    seen = seen_by_the_sensor(vendor, load)

    everything = " ".join(
        [
            json.dumps(stores[ASSET].content),
            json.dumps(load),
            json.dumps(seen),
            json.dumps(first.trigger.serialize()),
            capsys.readouterr().out,
        ]
    )
    assert "Part 1: sent 2 rows as import imp_1" in everything
    assert "Fanfare did not take 2 rows" in everything
    for secret in ("anna", "3161234567", "example.com", "bucket.example", "0123456789abcdef", "sk_test"):
        assert secret not in everything


# --- the operator as such -----------------------------------------------------------------------------------


def test_its_templated_fields_are_attributes(upload: Any) -> None:
    operator = upload()

    assert all(hasattr(operator, name) for name in operator.template_fields)
    assert {"source", "audience_id", "supersede", "fanfare_conn_id"} <= set(operator.template_fields)


def test_it_follows_our_retry_policy_by_itself(upload: Any) -> None:
    operator = upload()

    assert isinstance(operator.retry_policy, OnboardingRetryPolicy)
    assert operator.inlets == [ASSET]
    assert operator.outlets == []


def test_its_connection_reaches_the_wait_in_the_triggerer(
    vendor: Vendor, stores: JsonStores, upload: Any
) -> None:
    deferred = deferral_of(upload(rows_per_import=2, fanfare_conn_id="another"), stores)

    assert deferred.trigger.serialize()[1]["conn_id"] == "another"


# --- ranges of days -----------------------------------------------------------------------------------------


def test_the_imports_of_a_range_are_not_those_of_its_last_day(
    vendor: Vendor, upload: Any, source: Path, stores: JsonStores
) -> None:
    first = "2026-11-19"
    (source.parent / f"{first}.csv").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    vendor.on_upload = "COMPLETED"

    load = upload(history_from=first).execute(task_context(stores=stores))

    assert load["uploaded"] is True
    kept = stores[ASSET].values
    assert f"imports.{first}..{DAY}" in kept
    assert f"imports.{DAY}" not in kept
