"""From an extract to what is sent: once, in its turn, and nothing raw that is not meant to be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from audience_onboarding.base import onboarding
from audience_onboarding.errors import TransientError
from audience_onboarding.orchestration.memory import LAST_LOAD_KEY, load_key
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger
from tests.fakes import AssetStores, task_context
from tests.unit.base.plain import HOST, RAW, PlainOnboardOperator

ASSET = Asset("audience/list")
DAY = "2026-11-20"
HASH = hashlib.sha256(b"anna@example.com").hexdigest()
CONTENT = f"email\r\n{HASH}\r\n".encode()


class RawOnboardOperator(PlainOnboardOperator):
    """Sends phone numbers as they are."""

    profile = RAW


@pytest.fixture
def stores() -> AssetStores:
    made = AssetStores()
    made[ASSET].values["audience"] = {"id": "t-7", "account": HOST}
    return made


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / f"{DAY}.csv"
    path.write_text("E-mail,Mobile\nAnna@example.com ,0612345678\nno address,\n", encoding="utf-8")
    return path


@pytest.fixture
def source(extract: Path) -> str:
    return str(extract.parent / "{load_date}.csv")


def upload(source: str = "/nowhere/{load_date}.csv", *, raw: bool = False, **changes: Any) -> Any:
    kind = RawOnboardOperator if raw else PlainOnboardOperator
    columns = {"email": "E-mail", "phone": "Mobile"} if raw else {"email": "E-mail"}
    return kind(
        **{
            "task_id": "upload",
            "source": source,
            "columns": columns,
            "asset": ASSET,
            "load_date": DAY,
            "memory_limit_mib": 256,
            **changes,
        }
    )


# --- the way it should go -----------------------------------------------------------------------------------


def test_the_extract_of_the_day_is_prepared_and_sent(client: Any, stores: AssetStores, source: str) -> None:
    found = upload(source).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)
    assert found["content_sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (found["audience_id"], found["uploaded"], found["mode"]) == ("t-7", True, "replace")
    assert (found["load_date"], found["source"]) == (DAY, source.format(load_date=DAY))
    assert (found["rows_read"], found["rows_sent"], found["duplicates"], found["rejected"]) == (2, 1, 0, 1)


def test_an_audience_that_is_given_needs_no_memory(client: Any, source: str) -> None:
    upload(source, audience_id="t-9", asset=None).execute(task_context())

    client.send_list.assert_called_once_with("t-9", CONTENT)


def test_the_load_date_is_the_runs_where_none_is_given(client: Any, stores: AssetStores, source: str) -> None:
    context = task_context(stores=stores, run_type="scheduled", partition_key=DAY, load_date=None)

    assert upload(source, load_date=None).execute(context)["load_date"] == DAY


def test_the_platforms_first_mode_is_the_default_and_others_can_be_asked_for() -> None:
    assert upload().mode == "replace"
    assert upload(mode="opt-in").mode == "opt-in"


# --- what cannot be meant -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "append"}, r"'append' is no mode\. Allowed are replace, opt-in"),
        ({"mode": ""}, "is no mode"),
        ({"load_date": "yesterday"}, "'yesterday' is not a load date"),
        ({"load_date": "2026-02-30"}, "'2026-02-30' is not a load date"),
        ({"source": "/x/{date}.csv"}, "placeholder that is not known"),
        ({"raw": True}, "Plain takes phone as they are, not hashed"),
        ({"columns": {"mail": "E-mail"}}, r"'mail' is no identifier\. Allowed are email, phone"),
    ],
)
def test_it_is_refused_before_anything_is_asked(
    client: Any, stores: AssetStores, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        upload(**changes).execute(task_context(stores=stores))

    assert client.method_calls == []


def test_an_extract_that_is_not_there_sends_nothing(client: Any, stores: AssetStores) -> None:
    with pytest.raises(AirflowFailException, match=r"SourceNotFoundError.*2026-11-20\.csv"):
        upload().execute(task_context(stores=stores))

    assert not client.send_list.called


# --- raw identifiers ----------------------------------------------------------------------------------------


def test_what_is_not_hashed_is_sent_only_where_that_is_meant(
    client: Any, stores: AssetStores, source: str
) -> None:
    with pytest.raises(AirflowFailException, match="allow_raw: true"):
        upload(source, raw=True).execute(task_context(stores=stores))
    assert not client.send_list.called

    upload(source, raw=True, allow_raw=True).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", f"email,phone\r\n{HASH},+31612345678\r\n".encode())


def test_that_raw_is_allowed_makes_nothing_raw(client: Any, stores: AssetStores, source: str) -> None:
    upload(source, allow_raw=True).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)


def test_nothing_raw_is_in_what_is_returned_and_logged(
    client: Any, stores: AssetStores, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    context = task_context(stores=stores)

    found = upload(source, raw=True, allow_raw=True).execute(context)

    everything = repr((found, context["ti"].pushed, stores.stores, caplog.text)).lower()
    for raw in ("anna", "612345678", "no address"):
        assert raw not in everything


# --- a dry run ----------------------------------------------------------------------------------------------


def test_a_dry_run_prepares_and_counts_but_sends_nothing(
    client: Any, stores: AssetStores, source: str
) -> None:
    context = task_context(stores=stores)

    with pytest.raises(AirflowSkipException, match="1 rows would be sent, nothing was"):
        upload(source, is_dry_run="True").execute(context)

    assert not client.send_list.called
    assert context["ti"].pushed["dry_run"]["rows_sent"] == 1


def test_a_dry_run_needs_no_audience_yet(client: Any, source: str) -> None:
    with pytest.raises(AirflowSkipException):
        upload(source, is_dry_run=True, audience_id="None").execute(task_context())

    assert client.method_calls == []


def test_a_dry_run_looks_at_the_audience_that_is_given(client: Any, source: str) -> None:
    with pytest.raises(AirflowSkipException):
        upload(source, is_dry_run=True, audience_id="t-9").execute(task_context())

    client.state_of.assert_called_once_with("t-9")


# --- once ---------------------------------------------------------------------------------------------------


def confirmed(stores: AssetStores, *, mode: str = "replace", **changes: Any) -> dict[str, Any]:
    """A record of a load that the vendor has taken in."""
    record = {
        "load_date": DAY,
        "audience_id": "t-7",
        "content_sha256": hashlib.sha256(CONTENT).hexdigest(),
        "run_id": "an_earlier_run",
        **changes,
    }
    stores[ASSET].values[load_key(DAY, mode)] = record
    return record


def test_a_load_that_is_confirmed_is_not_sent_again(client: Any, stores: AssetStores, source: str) -> None:
    record = confirmed(stores)

    found = upload(source).execute(task_context(stores=stores))

    assert not client.send_list.called
    assert (found["uploaded"], found["confirmed"]) == (False, record)


def test_other_content_for_a_confirmed_day_needs_a_word(
    client: Any, stores: AssetStores, source: str
) -> None:
    confirmed(stores, content_sha256="other")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*an_earlier_run.*supersede"):
        upload(source).execute(task_context(stores=stores))
    assert not client.send_list.called

    upload(source, supersede="True").execute(task_context(stores=stores))
    client.send_list.assert_called_once_with("t-7", CONTENT)


@pytest.mark.parametrize(
    "changes",
    [{"mode": "opt-in"}, {"audience_id": "t-8"}, {"load_date": "2026-11-19"}],
    ids=["another mode", "another audience", "another day"],
)
def test_what_is_confirmed_of_something_else_does_not_count(
    client: Any, stores: AssetStores, source: str, changes: dict[str, Any]
) -> None:
    confirmed(stores, **changes)

    upload(source).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)


@pytest.mark.parametrize("record", ["confirmed", ["x"], {}, {"load_date": DAY}])
def test_a_record_that_makes_no_sense_keeps_nothing_from_being_sent(
    client: Any, stores: AssetStores, source: str, record: Any
) -> None:
    stores[ASSET].values[load_key(DAY, "replace")] = record

    upload(source).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)


# --- in order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "last", "is_skipped"),
    [
        ("replace", "2026-11-21", True),
        ("replace", DAY, False),
        ("replace", "2026-11-19", False),
        ("replace", None, False),
        ("opt-in", "2026-11-21", False),
    ],
)
def test_an_older_list_never_takes_the_place_of_a_newer_one(
    client: Any, stores: AssetStores, source: str, mode: str, last: str | None, is_skipped: bool
) -> None:
    if last:
        stores[ASSET].values[LAST_LOAD_KEY] = {"load_date": last}
    operator = upload(source, mode=mode)

    if is_skipped:
        with pytest.raises(AirflowSkipException, match=f"load of {last} is confirmed.*supersede"):
            operator.execute(task_context(stores=stores))
        upload(source, mode=mode, supersede=True).execute(task_context(stores=stores))
    else:
        operator.execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that an upload has to wait for."""
    runs: list[str] = []

    def ask(*, dag_id: str, task_id: str, run_id: str) -> list[str]:
        assert (dag_id, task_id, run_id) == ("a_dag", "record_load", "manual__1")
        return runs

    monkeypatch.setattr(onboarding, "ask_airflow", ask)
    return runs


def test_an_upload_waits_for_earlier_loads_in_the_triggerer(client: Any, earlier: list[str]) -> None:
    earlier.append("scheduled__x__2026-11-19__y")

    with pytest.raises(TaskDeferred) as caught:
        upload(in_order_of="record_load").execute(task_context())

    assert isinstance(caught.value.trigger, EarlierLoadsTrigger)
    assert caught.value.method_name == "execute_in_turn"
    assert client.method_calls == []


@pytest.mark.parametrize(
    "changes", [{"in_order_of": None}, {"in_order_of": "record_load", "is_dry_run": "True"}]
)
def test_a_dry_run_and_an_upload_without_order_wait_for_nobody(
    client: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(onboarding, "ask_airflow", lambda **arguments: pytest.fail("nobody is to be asked"))

    with pytest.raises(AirflowFailException, match="no mode"):
        upload(mode="no mode", **changes).execute(task_context())


@pytest.mark.parametrize(
    "go",
    [
        lambda operator, context: operator.execute(context),
        lambda operator, context: operator.execute_in_turn(context, {"waiting_for": []}),
    ],
    ids=["first in line", "after a wait"],
)
def test_an_upload_whose_turn_it_is_goes_ahead(
    client: Any, stores: AssetStores, source: str, earlier: list[str], go: Any
) -> None:
    go(upload(source, in_order_of="record_load"), task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)


def test_an_upload_whose_turn_does_not_come_is_tried_again_later(client: Any) -> None:
    with pytest.raises(TransientError, match=r"not through after 1 day.*run_a, run_b"):
        upload().execute_in_turn(task_context(), {"waiting_for": ["run_a", "run_b"]})

    assert client.method_calls == []


# --- templates ----------------------------------------------------------------------------------------------


def test_every_templated_field_is_an_attribute() -> None:
    operator = upload()

    assert all(hasattr(operator, name) for name in operator.template_fields)
