"""Operators with a vendor in memory: one audience, and the right list in it, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding import commbox
from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.hooks import CommBoxHook
from audience_onboarding.commbox.links import CommBoxPortalLink
from audience_onboarding.commbox.models import Audience
from audience_onboarding.commbox.operators import (
    CommBoxFindAudienceOperator,
    CommBoxListAudiencesOperator,
    CommBoxOnboardCrmOperator,
)
from audience_onboarding.commbox.sensors import CommBoxUserCountSensor
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.errors import (
    ConfigurationError,
    NotFoundError,
    Outcome,
    RequestRejectedError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.http import FileContent
from audience_onboarding.orchestration.ensure import SETTLE_AFTER
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from tests.fakes import task_context
from tests.unit.commbox.conftest import dynamic, static
from tests.unit.effects import Effects, JsonStores, Killed

HOST = "https://vendor.example"
ASSET = Asset("audience/alerts")
NAME = "Service alerts"
MONDAY, TUESDAY, WEDNESDAY = "2026-11-16", "2026-11-17", "2026-11-18"
PHONES = {MONDAY: "061234567", TUESDAY: "068765432", WEDNESDAY: "065555555"}


def csv_of(day: str, count: int = 3) -> bytes:
    """What is to be sent for a day."""
    return b"phone1\r\n" + b"".join(f"31{PHONES[day][1:]}{n}\r\n".encode() for n in range(count))


class Vendor:
    """Audiences in memory.

    :ivar fails: errors of the next changes, each with whether the change was carried out all the same.
    """

    def __init__(self, effects: Effects) -> None:
        self.settings = CommBoxSettings(base_url=HOST, key="k", portal_url="https://console/{audience_id}")
        self.effects = effects
        self.audiences: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.names: list[str] = []
        self.fails: list[tuple[Exception, bool]] = []
        self.changes: list[str] = []
        self.hidden = False

    check_static = staticmethod(CommBoxClient.check_static)

    def list_audiences(self) -> list[Audience]:
        shown = [] if self.hidden else self.audiences.values()
        return [Audience.model_validate(item) for item in shown]

    def load_audience(self, audience_id: str) -> Audience:
        for audience in self.list_audiences():
            if audience.id == audience_id:
                return audience
        raise NotFoundError(
            what=f"There is no audience {audience_id}", where="the list", next_step="Check that it exists"
        )

    def find_audience(self, name: str) -> Audience | None:
        found = [audience for audience in self.list_audiences() if audience.name == name]
        if len(found) > 1:
            raise ConfigurationError(what=f"{len(found)} audiences are called {name!r}")
        return self.check_static(found[0]) if found else None

    def create_audience(self, *, name: str, file: FileContent) -> str:
        audience_id = str(31234 + len(self.audiences))

        def do() -> None:
            self.audiences[audience_id] = static(audience_id, name)
            self._take(audience_id, file)

        self._change(f"POST {name}", do)
        return audience_id

    def replace_audience(self, audience_id: str, *, file: FileContent) -> str:
        if self.audiences[audience_id]["type"] != "Static":
            raise RequestRejectedError(what="It is dynamic", status=400)
        self._change(f"PUT {audience_id}", lambda: self._take(audience_id, file))
        return audience_id

    def _change(self, name: str, do: Callable[[], None]) -> None:
        self.changes.append(name)
        error, carried_out = self.fails.pop(0) if self.fails else (None, True)
        self.effects.before("request")
        if carried_out:
            do()
        self.effects.after()
        if error is not None:
            raise error

    def _take(self, audience_id: str, file: FileContent) -> None:
        content = b"".join(file.chunks())
        assert len(content) == file.size
        assert file.content_type == "text/csv"
        self.names.append(file.name)
        self.files[audience_id] = content
        self.audiences[audience_id]["user_count"] = content.count(b"\r\n") - 1

    def called(self, name: str = NAME) -> list[str]:
        """The ids of all audiences of a name."""
        return [audience_id for audience_id, item in self.audiences.items() if item["name"] == name]


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def stores(effects: Effects) -> JsonStores:
    return JsonStores(effects)


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, effects: Effects) -> Vendor:
    made = Vendor(effects)
    monkeypatch.setattr(CommBoxHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for day in PHONES:
        write(tmp_path, day)
    return tmp_path


def write(folder: Path, day: str, count: int = 3) -> None:
    rows = "".join(f"{PHONES[day]}{number}\n" for number in range(count))
    (folder / f"{day}.csv").write_text(f"Phone\n{rows}")


@pytest.fixture
def upload(folder: Path) -> Any:
    """Make the operator; each time another one, as each try is a process of its own."""

    def make(day: str = MONDAY, **changes: Any) -> CommBoxOnboardCrmOperator:
        return CommBoxOnboardCrmOperator(
            **{
                "task_id": "upload",
                "audience_name": NAME,
                "source": str(folder / "{load_date}.csv"),
                "columns": {"phone": "Phone"},
                "allow_raw": True,
                "asset": ASSET,
                "load_date": day,
                "memory_limit_mib": 128,
                **changes,
            }
        )

    return make


@pytest.fixture
def load(upload: Any, stores: JsonStores) -> Callable[..., dict[str, Any]]:
    """Run the task for a day."""

    def run(day: str = MONDAY, **changes: Any) -> dict[str, Any]:
        found: dict[str, Any] = upload(day, **changes).execute(task_context(stores=stores))
        assert json.loads(json.dumps(found)) == found
        return found

    return run


def confirm(stores: JsonStores, loaded: dict[str, Any], vendor: Vendor) -> None:
    """What sensor and record_load do."""
    count = vendor.audiences[loaded["audience_id"]]["user_count"]
    record = {**loaded, "audience_id": loaded["audience_id"], "user_count": count, "run_id": "run_0"}
    last = stores[ASSET].get("last_load") or {}
    stores[ASSET].set(f"load.{record['load_date']}.replace", record)
    if record["load_date"] >= last.get("load_date", ""):
        stores[ASSET].set("last_load", record)


# --- create and replace -------------------------------------------------------------------------------------


def test_the_first_load_creates_the_audience_with_its_list(
    vendor: Vendor, stores: JsonStores, upload: Any, folder: Path
) -> None:
    operator = upload()

    found = operator.execute(task_context(stores=stores, run_id="run_1"))

    assert len(found.pop("content_id")) == 64
    assert datetime.fromisoformat(found.pop("sent_at")).tzinfo is not None
    assert found == {
        "load_date": MONDAY,
        "mode": "replace",
        "source": str(folder / f"{MONDAY}.csv"),
        "rows_read": 3,
        "rows_sent": 3,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
        "invalid_values": {},
        "values_sent": {"phone": 3},
        "values_read": {"phone": 3},
        "unusable_values": {},
        "hash_mismatches": 0,
        "ignored_columns": 0,
        "files": 1,
        "rejects_file": None,
        "guards": {"ignored": False, "failed": []},
        "audience_id": "31234",
        "uploaded": True,
        "created": True,
    }
    assert vendor.changes == [f"POST {NAME}"]
    assert vendor.files == {"31234": csv_of(MONDAY)}
    assert vendor.names == ["20261116.csv"]
    record = stores[ASSET].get("audience")
    assert (record["id"], record["account"], record["run_id"]) == ("31234", HOST, "run_1")
    assert CommBoxPortalLink().get_link(operator, ti_key=None) == "https://console/31234"


def test_each_later_load_replaces_the_list(vendor: Vendor, load: Any) -> None:
    load(MONDAY)
    found = load(TUESDAY)

    assert (found["audience_id"], found["uploaded"], found["created"]) == ("31234", True, False)
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]
    assert vendor.files == {"31234": csv_of(TUESDAY)}


def test_an_audience_of_the_name_is_taken_and_not_created(vendor: Vendor, load: Any) -> None:
    vendor.audiences["7"] = static("7", NAME)

    assert load()["created"] is False
    assert vendor.changes == ["PUT 7"]


def test_an_audience_that_was_found_is_ours_also_when_it_is_called_something_else(
    vendor: Vendor, load: Any
) -> None:
    vendor.audiences["7"] = static("7", NAME)
    load(MONDAY)
    vendor.audiences["7"]["name"] = "Service alerts (old)"

    load(TUESDAY)

    assert vendor.changes == ["PUT 7", "PUT 7"]
    assert list(vendor.audiences) == ["7"]


def test_an_audience_that_is_given_is_replaced_whatever_it_is_called(
    vendor: Vendor, stores: JsonStores, load: Any
) -> None:
    vendor.audiences["7"] = static("7", "Another name")

    load(audience_id="7")

    assert vendor.changes == ["PUT 7"]
    # It is not what this asset has created.
    assert "audience" not in stores[ASSET].content


def test_an_audience_that_is_given_goes_before_the_remembered_one(vendor: Vendor, load: Any) -> None:
    load(MONDAY)
    vendor.audiences["7"] = static("7", NAME)

    load(TUESDAY, audience_id="7")

    assert vendor.changes[-1] == "PUT 7"
    assert vendor.files["31234"] == csv_of(MONDAY)


@pytest.mark.parametrize("given", [None, "", "None"])
def test_an_audience_that_is_not_given_is_looked_for(vendor: Vendor, load: Any, given: Any) -> None:
    assert load(audience_id=given)["created"] is True
    assert load(TUESDAY, audience_id=given)["created"] is False


@pytest.mark.parametrize("given", ["../1", "1?x", "a b"])
def test_an_id_that_would_be_another_path_is_refused(vendor: Vendor, load: Any, given: str) -> None:
    with pytest.raises(AirflowFailException, match="is no id"):
        load(audience_id=given)

    assert vendor.changes == []


@pytest.mark.parametrize(
    ("audiences", "said"),
    [
        ([dynamic("7", NAME)], "is Dynamic.*only a static audience takes a list"),
        ([static("7", NAME), static("8", NAME)], "2 audiences are called"),
        ([static("7", NAME), dynamic("8", NAME)], "2 audiences are called"),
    ],
)
def test_a_name_that_cannot_be_used_is_an_error_and_sends_nothing(
    vendor: Vendor, stores: JsonStores, load: Any, audiences: list[dict[str, Any]], said: str
) -> None:
    vendor.audiences = {item["id"]: item for item in audiences}

    with pytest.raises(AirflowFailException, match=f"ConfigurationError.*{said}"):
        load()

    assert vendor.changes == []
    assert stores[ASSET].content == {}


def test_an_audience_that_was_deleted_is_not_created_again_behind_somebodys_back(
    vendor: Vendor, stores: JsonStores, load: Any
) -> None:
    load(MONDAY)
    del vendor.audiences["31234"]

    with pytest.raises(
        AirflowFailException,
        match=r"NotFoundError.*no audience 31234.*deleted on purpose, delete the key 'audience' in the state store "
        r"of asset 'audience/alerts'",
    ):
        load(TUESDAY)
    assert vendor.audiences == {}

    stores[ASSET].delete("audience")
    assert load(TUESDAY)["created"] is True


def test_an_audience_that_became_dynamic_is_an_error(vendor: Vendor, load: Any) -> None:
    load(MONDAY)
    vendor.audiences["31234"]["type"] = "Dynamic"

    with pytest.raises(AirflowFailException, match="is Dynamic"):
        load(TUESDAY)


def test_the_id_of_another_account_is_an_error(vendor: Vendor, stores: JsonStores, load: Any) -> None:
    stores[ASSET].set("audience", {"id": "7", "account": "https://staging.example"})

    with pytest.raises(AirflowFailException, match=r"ConfigurationError.*staging\.example"):
        load()

    assert vendor.changes == []


def test_without_an_asset_the_task_itself_remembers(vendor: Vendor, upload: Any) -> None:
    context = task_context()

    first = upload(asset=None).execute(context)
    vendor.audiences["31234"]["name"] = "Renamed"
    second = upload(asset=None).execute(context)

    assert (first["created"], second["created"]) == (True, False)
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]


# --- unclear ------------------------------------------------------------------------------------------------

UNCLEAR = [
    VendorUnavailableError(what="No answer in time", outcome=Outcome.UNKNOWN),
    VendorUnavailableError(what="Server error", outcome=Outcome.UNKNOWN, status=500),
    UnexpectedResponseError(what="No id in it", outcome=Outcome.UNKNOWN),
]


@pytest.mark.parametrize("error", UNCLEAR, ids=lambda error: error.what)
def test_an_unclear_creation_is_settled_by_the_list_and_then_replaced(
    vendor: Vendor, stores: JsonStores, load: Any, error: Exception
) -> None:
    vendor.fails = [(error, True)]
    with pytest.raises(TransientError, match="not clear yet whether audience 'Service alerts' was created"):
        load()

    found = load()

    assert (found["audience_id"], found["created"], found["uploaded"]) == ("31234", False, True)
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]
    assert vendor.called() == ["31234"]
    # Settled, for all runs to come.
    assert stores[ASSET].get("audience")["id"] == "31234"


@pytest.mark.parametrize("error", UNCLEAR, ids=lambda error: error.what)
def test_a_list_that_lags_behind_creates_nothing_twice(vendor: Vendor, load: Any, error: Exception) -> None:
    vendor.fails = [(error, True)]
    with time_machine.travel("2026-11-16T03:00:00Z", tick=False) as clock:
        with pytest.raises(TransientError):
            load()
        vendor.hidden = True
        clock.shift(SETTLE_AFTER - timedelta(seconds=1))
        with pytest.raises(TransientError, match="not clear yet"):
            load()
        vendor.hidden = False
        clock.shift(timedelta(seconds=1))

        load()

    assert vendor.called() == ["31234"]


@pytest.mark.parametrize("error", UNCLEAR, ids=lambda error: error.what)
def test_an_unclear_creation_that_left_nothing_is_repeated_after_a_while(
    vendor: Vendor, load: Any, error: Exception
) -> None:
    vendor.fails = [(error, False)]
    with time_machine.travel("2026-11-16T03:00:00Z", tick=False) as clock:
        with pytest.raises(TransientError):
            load()
        clock.shift(SETTLE_AFTER)

        assert load()["created"] is True

    assert vendor.called() == ["31234"]
    assert vendor.files == {"31234": csv_of(MONDAY)}


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (VendorUnavailableError(what="Refused", outcome=Outcome.NOT_DONE), VendorUnavailableError),
        (RequestRejectedError(what="No column phone1", status=400), AirflowFailException),
    ],
)
def test_what_was_surely_not_created_may_be_tried_at_once(
    vendor: Vendor, stores: JsonStores, load: Any, error: Exception, raised: type[Exception]
) -> None:
    vendor.fails = [(error, False)]
    with pytest.raises(raised):
        load()
    assert "audience" not in stores[ASSET].content

    assert load()["created"] is True


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_replacement_without_an_answer_is_simply_repeated(
    vendor: Vendor, load: Any, carried_out: bool
) -> None:
    load(MONDAY)
    vendor.fails = [(UNCLEAR[0], carried_out)]
    with pytest.raises(VendorUnavailableError):
        load(TUESDAY)

    load(TUESDAY)

    assert vendor.files == {"31234": csv_of(TUESDAY)}
    assert vendor.called() == ["31234"]


# --- the same load, and another -----------------------------------------------------------------------------


def test_a_load_that_is_confirmed_is_not_sent_again(vendor: Vendor, stores: JsonStores, load: Any) -> None:
    confirm(stores, load(), vendor)
    vendor.changes.clear()
    stores.effects.start()

    again = load()

    assert vendor.changes == []
    assert stores.effects.names == []
    assert (again["uploaded"], again["confirmed"]) == (False, {"audience_id": "31234", "user_count": 3})
    # The sensor has nothing to wait for.
    assert CommBoxUserCountSensor(task_id="wait", upload=again).execute(task_context()) == again["confirmed"]


def test_a_load_that_is_not_confirmed_yet_is_sent_again(vendor: Vendor, load: Any) -> None:
    load()

    assert load()["uploaded"] is True
    assert vendor.changes == [f"POST {NAME}", "PUT 31234"]


def test_other_content_of_a_confirmed_day_needs_a_word(
    vendor: Vendor, stores: JsonStores, load: Any, folder: Path
) -> None:
    confirm(stores, load(), vendor)
    write(folder, MONDAY, 2)

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-16.*run_0.*Supersede"):
        load()
    assert vendor.files == {"31234": csv_of(MONDAY)}

    assert load(supersede="True")["uploaded"] is True
    assert vendor.files == {"31234": csv_of(MONDAY, 2)}


def test_an_older_list_does_not_take_the_place_of_a_newer_one(
    vendor: Vendor, stores: JsonStores, load: Any
) -> None:
    confirm(stores, load(MONDAY), vendor)
    confirm(stores, load(TUESDAY), vendor)

    with pytest.raises(AirflowSkipException, match=f"Superseded: the load of {TUESDAY} is confirmed"):
        load(MONDAY)

    assert vendor.files == {"31234": csv_of(TUESDAY)}
    assert load(MONDAY, supersede=True)["uploaded"] is True
    assert vendor.files == {"31234": csv_of(MONDAY)}


def test_an_older_list_comes_too_late_once_a_newer_one_is_sent(vendor: Vendor, load: Any) -> None:
    load(TUESDAY)

    with pytest.raises(AirflowSkipException, match=f"Superseded: the load of {TUESDAY} is sent"):
        load(MONDAY)

    assert vendor.files == {"31234": csv_of(TUESDAY)}


def test_a_list_that_was_replaced_by_an_older_one_is_sent_again(
    vendor: Vendor, stores: JsonStores, load: Any
) -> None:
    confirm(stores, load(MONDAY), vendor)
    confirm(stores, load(TUESDAY), vendor)
    confirm(stores, load(MONDAY, supersede=True), vendor)

    # It is confirmed, but not there any more.
    assert load(TUESDAY)["uploaded"] is True
    assert vendor.files == {"31234": csv_of(TUESDAY)}


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_list_that_was_replaced_by_one_that_is_not_confirmed_is_sent_again(
    vendor: Vendor, stores: JsonStores, load: Any, carried_out: bool
) -> None:
    confirm(stores, load(MONDAY), vendor)
    vendor.fails = [(UNCLEAR[0], carried_out)]
    with pytest.raises(VendorUnavailableError):
        load(TUESDAY)

    # Back to the list of yesterday.
    assert load(MONDAY, supersede=True)["uploaded"] is True
    assert vendor.files == {"31234": csv_of(MONDAY)}
    confirm(stores, load(MONDAY), vendor)
    assert load(MONDAY)["uploaded"] is False


def test_a_record_of_another_audience_confirms_nothing(vendor: Vendor, stores: JsonStores, load: Any) -> None:
    confirm(stores, load(), vendor)
    vendor.audiences["7"] = static("7", "Another")

    assert load(audience_id="7")["uploaded"] is True


# --- killed -------------------------------------------------------------------------------------------------

FIRST = ["set audience", "set last_sent", "request", "set last_sent", "set audience"]
LATER = ["set last_sent", "request", "set last_sent"]


def until_done(load: Any, day: str, clock: Any) -> dict[str, Any]:
    """What Airflow's retries do."""
    for _ in range(5):
        try:
            found: dict[str, Any] = load(day)
        except TransientError:
            clock.shift(timedelta(minutes=1))
        else:
            return found
    raise AssertionError("it never gets through")


def test_the_points_are_all_there_are(vendor: Vendor, stores: JsonStores, load: Any) -> None:
    load(MONDAY)
    assert stores.effects.names == FIRST
    stores.effects.start()

    load(TUESDAY)
    assert stores.effects.names == LATER


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("earlier", "number"),
    [*((False, number) for number in range(1, 6)), *((True, number) for number in range(1, 4))],
)
def test_a_task_that_is_killed_creates_nothing_twice_and_loses_nothing(
    vendor: Vendor, stores: JsonStores, load: Any, earlier: bool, number: int, when: str
) -> None:
    with time_machine.travel("2026-11-16T03:00:00Z", tick=False) as clock:
        if earlier:
            confirm(stores, load(MONDAY), vendor)
        stores.effects.start(dies=(number, when))
        with pytest.raises(Killed):
            load(TUESDAY)
        stores.effects.start()

        found = until_done(load, TUESDAY, clock)
        confirm(stores, found, vendor)

        assert vendor.called() == ["31234"]
        assert vendor.files == {"31234": csv_of(TUESDAY)}
        assert stores[ASSET].get("audience")["id"] == "31234"
        assert until_done(load, TUESDAY, clock)["uploaded"] is False


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_task_that_is_killed_never_makes_an_older_confirmation_stand_for_it(
    vendor: Vendor, stores: JsonStores, load: Any, number: int, when: str
) -> None:
    confirm(stores, load(MONDAY), vendor)
    load(TUESDAY)
    stores.effects.start(dies=(number, when))
    with pytest.raises(Killed):
        load(MONDAY, supersede=True)
    stores.effects.start()

    load(MONDAY, supersede=True)

    assert vendor.files == {"31234": csv_of(MONDAY)}


# --- before anything is sent --------------------------------------------------------------------------------


def test_without_consent_nothing_is_asked(vendor: Vendor, load: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"CommBox takes phone as they are, not hashed.*allow_raw"):
        load(allow_raw=False)

    assert vendor.changes == []


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("opt-in", "'opt-in' needs 'state', .*without it, replace, mirror are allowed"),
        ("opt-out", "'opt-out' needs 'state', .*without it, replace, mirror are allowed"),
        ("", "'' is no mode. Allowed are replace, mirror"),
    ],
)
def test_without_a_folder_of_snapshots_lists_are_only_replaced(
    vendor: Vendor, load: Any, mode: str, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        load(mode=mode)


def test_there_is_no_column_for_addresses(vendor: Vendor, load: Any, folder: Path) -> None:
    (folder / f"{MONDAY}.csv").write_text("Phone,E-mail\n0612345678,anna@example.com\n")

    with pytest.raises(AirflowFailException, match="no column for email"):
        load(columns={"phone": "Phone", "email": "E-mail"})

    assert vendor.changes == []


def test_an_empty_list_never_empties_an_audience(vendor: Vendor, load: Any, folder: Path) -> None:
    load(MONDAY)
    (folder / f"{TUESDAY}.csv").write_text("Phone\nnonsense\n")

    with pytest.raises(AirflowFailException, match="EmptySourceError"):
        load(TUESDAY)

    assert vendor.files == {"31234": csv_of(MONDAY)}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_a_dry_run_sends_nothing_and_remembers_nothing(
    vendor: Vendor, stores: JsonStores, upload: Any, there: bool, given: bool
) -> None:
    if there:
        vendor.audiences["7"] = static("7", NAME)
    context = task_context(stores=stores)

    with pytest.raises(AirflowSkipException, match="3 rows would be sent, nothing was"):
        upload(is_dry_run="True", audience_id="7" if given and there else None).execute(context)

    assert vendor.changes == []
    assert stores[ASSET].content == {}
    assert context["ti"].pushed["dry_run"]["rows_sent"] == 3


def test_nothing_personal_stays_behind(
    vendor: Vendor, stores: JsonStores, load: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    loads = [load(MONDAY), load(TUESDAY)]

    everything = json.dumps(loads) + json.dumps(stores[ASSET].content) + capsys.readouterr().out
    assert "Created audience 31234 with 3 customers" in everything
    assert "Replaced the customers of audience 31234 with 3 customers" in everything
    for number in ("61234567", "68765432"):
        assert number not in everything


# --- finding and listing ------------------------------------------------------------------------------------


def find(**changes: Any) -> CommBoxFindAudienceOperator:
    return CommBoxFindAudienceOperator(
        **{"task_id": "find", "audience_name": NAME, "asset": ASSET, **changes}
    )


def test_an_audience_is_found_by_name_or_by_what_is_remembered(
    vendor: Vendor, stores: JsonStores, load: Any
) -> None:
    assert find().execute(task_context(stores=stores)) is None
    vendor.audiences["7"] = static("7", NAME)
    operator = find()
    assert operator.execute(task_context(stores=stores)) == "7"
    assert CommBoxPortalLink().get_link(operator, ti_key=None) == "https://console/7"
    load(audience_id="7")
    vendor.audiences["7"]["name"] = "Renamed"

    assert find().execute(task_context(stores=stores)) == "7"


@pytest.mark.parametrize(
    ("audiences", "kind"),
    [
        ([dynamic("7", NAME)], "ConfigurationError.*Dynamic"),
        ([static("7", NAME), static("8", NAME)], "ConfigurationError.*2 audiences"),
    ],
)
def test_a_name_that_cannot_be_used_is_said_before_the_extract_is_read(
    vendor: Vendor, stores: JsonStores, audiences: list[dict[str, Any]], kind: str
) -> None:
    vendor.audiences = {item["id"]: item for item in audiences}

    with pytest.raises(AirflowFailException, match=kind):
        find().execute(task_context(stores=stores))


def test_an_audience_that_is_gone_is_said_with_what_to_do(vendor: Vendor, stores: JsonStores) -> None:
    stores[ASSET].set("audience", {"id": "7", "account": HOST})

    with pytest.raises(AirflowFailException, match=r"NotFoundError.*delete the key 'audience'"):
        find().execute(task_context(stores=stores))


def test_a_list_is_json(vendor: Vendor) -> None:
    vendor.audiences = {"7": static("7", NAME), "8": dynamic("8")}

    found = CommBoxListAudiencesOperator(task_id="t").execute(task_context())

    assert json.loads(json.dumps(found)) == found
    assert [(item["id"], item["type"], item["user_count"]) for item in found] == [
        ("7", "Static", 3),
        ("8", "Dynamic", None),
    ]


# --- all operators ------------------------------------------------------------------------------------------

OPERATORS = [
    find(),
    CommBoxListAudiencesOperator(task_id="t"),
    CommBoxOnboardCrmOperator(
        task_id="t",
        source="x",
        columns={"phone": "P"},
        audience_name=NAME,
        allow_raw=True,
        load_date=MONDAY,
    ),
]


def test_the_list_of_operators_is_complete() -> None:
    public = {name for name in commbox.__all__ if name.endswith("Operator")}

    assert {type(operator).__name__ for operator in OPERATORS} == public
    assert [getattr(commbox, name).__name__ for name in commbox.__all__] == commbox.__all__


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
class TestEveryOperator:
    def test_its_templated_fields_are_attributes(self, operator: Any) -> None:
        assert all(hasattr(operator, name) for name in operator.template_fields)
        assert "commbox_conn_id" in operator.template_fields

    def test_it_follows_our_retry_policy_by_itself(self, operator: Any) -> None:
        assert isinstance(operator.retry_policy, OnboardingRetryPolicy)
        assert operator.outlets == []

    def test_a_connection_that_cannot_be_used_fails_at_once(
        self, operator: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_COMMBOX_DEFAULT", '{"conn_type": "commbox"}')

        with pytest.raises(AirflowFailException, match="ConfigurationError: The connection has no key"):
            operator.execute(task_context())
