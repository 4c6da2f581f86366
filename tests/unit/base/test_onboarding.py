"""From an extract to what is sent: once, in its turn, and nothing raw that is not meant to be."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from audience_onboarding.base import onboarding, turn
from audience_onboarding.base.onboarding import Rejects
from audience_onboarding.base.source_wait import SourceTrigger
from audience_onboarding.crm import engine
from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.profiles import SourceColumn
from audience_onboarding.errors import SourceNotFoundError, TransientError
from audience_onboarding.orchestration.memory import LAST_LOAD_KEY, load_key
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger
from tests.fakes import AssetStores, task_context
from tests.unit.base.plain import HOST, RAW, PlainOnboardOperator

ASSET = Asset("audience/list")
DAY = "2026-11-20"
NOW = 1_800_000_000.0
HASH = hashlib.sha256(b"anna@example.com").hexdigest()
CONTENT = f"email\r\n{HASH}\r\n".encode()


class RawOnboardOperator(PlainOnboardOperator):
    """Sends phone numbers as they are."""

    profile = RAW


class FakeS3:
    """Takes files."""

    written: ClassVar[list[tuple[str, str, bytes]]] = []
    meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="https://s3.eu-west-1.amazonaws.com")

    def upload_fileobj(self, stream: Any, bucket: str, key: str, **more: Any) -> None:
        self.written.append((bucket, key, stream.read()))


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


def upload(
    source: str | dict[str, Any] = "/nowhere/{load_date}.csv", *, raw: bool = False, **changes: Any
) -> Any:
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
    assert len(found["content_id"]) == 64
    assert (found["audience_id"], found["uploaded"], found["mode"]) == ("t-7", True, "replace")
    assert (found["load_date"], found["source"]) == (DAY, source.format(load_date=DAY))
    assert (found["rows_read"], found["rows_sent"], found["duplicates"], found["rejected"]) == (2, 1, 0, 1)
    assert (found["ignored_columns"], found["files"], found["hash_mismatches"]) == (1, 1, 0)
    assert json.loads(json.dumps(found)) == found


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
        ({"source": {"path": "x", "delimeter": ";"}}, "A source has no 'delimeter'. It has path, query"),
        (
            {"source": {"path": "x", "format": "json"}},
            "'json' is no format of a source. Allowed are auto, csv",
        ),
        ({"source": {"path": "x", "if_missing": "hope"}}, "'hope' is no if_missing of a source"),
        ({"source": {"path": "", "query": "SELECT 1"}}, "needs a path, or a query and its connection"),
        ({"source": ""}, "needs a path, or a query and its connection"),
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
    client: Any, stores: AssetStores, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    context = task_context(stores=stores)

    found = upload(source, raw=True, allow_raw=True).execute(context)

    everything = repr((found, context["ti"].pushed, stores.stores, capsys.readouterr())).lower()
    for raw in ("anna", "612345678", "no address"):
        assert raw not in everything


# --- the source -----------------------------------------------------------------------------------------------


def test_how_the_source_is_written_can_be_said(client: Any, stores: AssetStores, tmp_path: Path) -> None:
    (tmp_path / "20261120.txt").write_bytes("'Näme';'E-mail'\n'Zoë';'Anna@example.com'\n".encode("cp1252"))
    source = {
        "path": str(tmp_path / "{load_date:%Y%m%d}.txt"),
        "format": "csv",
        "delimiter": ";",
        "quote": "'",
        "encoding": "cp1252",
    }

    found = upload(source, columns={"email": " e-MAIL"}).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)
    assert found["source"] == str(tmp_path / "20261120.txt")


def test_several_files_are_one_list(
    client: Any, stores: AssetStores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"E-mail\n{name}@example.com\n", encoding="utf-8")

    found = upload(f"{tmp_path}/*.csv").execute(task_context(stores=stores))

    assert (found["rows_sent"], found["files"]) == (2, 2)
    assert "from 2 files" in capsys.readouterr().out


def test_a_column_may_hold_hashes_already(
    client: Any, stores: AssetStores, extract: Path, source: str
) -> None:
    extract.write_text(f"E-mail\n{HASH.upper()}\n", encoding="utf-8")

    upload(source, columns={"email": SourceColumn("E-mail", hashed=True)}).execute(
        task_context(stores=stores)
    )

    client.send_list.assert_called_once_with("t-7", CONTENT)


def test_the_country_of_phone_numbers_is_the_sources(client: Any, stores: AssetStores, extract: Path) -> None:
    extract.write_text("Phone\n070-174 06 05\n", encoding="utf-8")
    given = {"source": {"path": str(extract), "country": "SE"}, "columns": {"phone": "Phone"}}

    upload(raw=True, allow_raw=True, **given).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", b"phone\r\n+46701740605\r\n")


def test_the_file_may_look_different_from_what_the_platform_says(
    client: Any, stores: AssetStores, source: str
) -> None:
    profile = replace(PlainOnboardOperator.profile, line_ending="\n", hash_case="upper")

    upload(source, profile=profile).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", f"email\n{HASH.upper()}\n".encode())


def test_what_came_of_reading_is_in_the_log(
    client: Any, stores: AssetStores, extract: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extract.write_text(
        "E-mail,Mobile,Shoe size\n" + "anna@example.com,0612345678,38\n" * 3 + "no address,0612345679,44\n"
        "bob@,x,45\n",
        encoding="utf-8",
    )

    upload(source, raw=True, allow_raw=True).execute(task_context(stores=stores))

    text = re.sub(" +", " ", capsys.readouterr().out)
    for part in (
        "rows read 5",
        "to send 2",
        "duplicates 2",
        "rejected 1",
        "invalid_email: 1",
        "email: 5 filled, 1 to send, 1 invalid_email",
        "phone: 5 filled, 2 to send",
        "columns that nobody asked for: Shoe size",
    ):
        assert part in text


def test_a_long_read_shows_that_it_is_alive(
    client: Any,
    stores: AssetStores,
    source: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "PROGRESS_SECONDS", 0.0)

    upload(source).execute(task_context(stores=stores))

    assert re.search(r"Read 2 rows, 0\.0 MiB, [\d,]+ rows/s", capsys.readouterr().out)


# --- a source that is not there, or empty ---------------------------------------------------------------------


def missing(**more: Any) -> dict[str, Any]:
    return {"path": "/nowhere/{load_date}.csv", **more}


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_a_load_without_a_source_can_be_skipped(client: Any, stores: AssetStores, is_dry_run: bool) -> None:
    operator = upload(missing(if_missing="skip"), is_dry_run=is_dry_run)

    with pytest.raises(AirflowSkipException, match=r"no source.*nothing to load.*2026-11-20\.csv"):
        operator.execute(task_context(stores=stores))

    assert not client.send_list.called


def test_a_load_that_is_under_way_cannot_be_skipped_any_more(client: Any, stores: AssetStores) -> None:
    with pytest.raises(SourceNotFoundError):
        upload(missing(if_missing="skip"))._onboard(task_context(stores=stores), is_under_way=True)


@pytest.mark.parametrize(
    ("on_empty", "ending"), [("fail", AirflowFailException), ("skip", AirflowSkipException)]
)
def test_an_empty_source_fails_or_is_skipped(
    client: Any, stores: AssetStores, extract: Path, source: str, on_empty: Any, ending: type[Exception]
) -> None:
    extract.write_text("E-mail\n", encoding="utf-8")

    with pytest.raises(ending, match="nothing to"):
        upload(source, guards=Guards(on_empty=on_empty)).execute(task_context(stores=stores))

    assert not client.send_list.called


def test_a_source_whose_rows_are_all_rejected_is_not_empty(
    client: Any, stores: AssetStores, extract: Path, source: str
) -> None:
    extract.write_text("E-mail\nno address\n", encoding="utf-8")

    with pytest.raises(AirflowFailException, match=r"EmptySourceError.*invalid_email 1"):
        upload(source, guards=Guards(on_empty="skip")).execute(task_context(stores=stores))


# --- waiting for the source -----------------------------------------------------------------------------------


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(turn.time, "time", lambda: NOW)
    return NOW


def test_a_source_that_is_late_is_waited_for_in_the_triggerer(client: Any, now: float) -> None:
    source = missing(if_missing="wait", wait_timeout=3600, poll_interval=30, aws_conn_id="our_s3")

    with pytest.raises(TaskDeferred) as caught:
        upload(source, in_order_of="record_load").execute(task_context())

    assert isinstance(caught.value.trigger, SourceTrigger)
    assert caught.value.trigger.serialize()[1] == {
        "url": "/nowhere/2026-11-20.csv",
        "aws_conn_id": "our_s3",
        "poll_interval": 30,
        "deadline": now + 3600,
    }
    assert caught.value.method_name == "execute_when_there"
    assert caught.value.timeout is not None
    assert caught.value.timeout.total_seconds() > 3600
    assert client.method_calls == []


def test_a_source_that_is_there_is_not_waited_for(client: Any, stores: AssetStores, source: str) -> None:
    upload({"path": source, "if_missing": "wait"}).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)


def test_a_dry_run_wants_an_answer_now(client: Any, stores: AssetStores) -> None:
    with pytest.raises(AirflowFailException, match="SourceNotFoundError"):
        upload(missing(if_missing="wait"), is_dry_run="True").execute(task_context(stores=stores))


def test_a_source_that_has_come_is_loaded(client: Any, stores: AssetStores, source: str) -> None:
    operator = upload({"path": source, "if_missing": "wait"})

    operator.execute_when_there(task_context(stores=stores), {"status": "there"})

    client.send_list.assert_called_once_with("t-7", CONTENT)


def test_a_source_that_has_gone_again_is_not_waited_for_forever(client: Any, stores: AssetStores) -> None:
    with pytest.raises(AirflowFailException, match="SourceNotFoundError"):
        upload(missing(if_missing="wait")).execute_when_there(
            task_context(stores=stores), {"status": "there"}
        )


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"status": "timeout"},
            r"SourceNotFoundError.*within 1:00:00 \(/nowhere/2026-11-20\.csv\).*clear this task",
        ),
        ({"status": "error", "error": "StorageAccessError", "message": "no"}, "StorageAccessError: no"),
    ],
)
def test_a_source_that_does_not_come_fails_the_task(client: Any, event: dict[str, Any], message: str) -> None:
    operator = upload(missing(if_missing="wait", wait_timeout=3600))

    with pytest.raises(AirflowFailException, match=message):
        operator.execute_when_there(task_context(), event)

    assert client.method_calls == []


def test_earlier_loads_are_asked_about_after_the_wait_for_the_source(
    client: Any, source: str, earlier: list[str]
) -> None:
    earlier.append("scheduled__x__2026-11-19__y")
    operator = upload({"path": source, "if_missing": "wait"}, in_order_of="record_load")

    with pytest.raises(TaskDeferred) as caught:
        operator.execute_when_there(task_context(), {"status": "there"})

    assert isinstance(caught.value.trigger, EarlierLoadsTrigger)


# --- guards ---------------------------------------------------------------------------------------------------

STRICT = Guards(max_rejected_share=0.4, shares_from_rows=1)
"""Half of the extract is rejected."""


def test_a_guard_stops_a_load_before_anything_is_sent(client: Any, stores: AssetStores, source: str) -> None:
    with pytest.raises(AirflowFailException, match=r"GuardError.*guards\.max_rejected_share: 1 of 2 rows"):
        upload(source, guards=STRICT).execute(task_context(stores=stores))

    assert not client.send_list.called


@pytest.mark.parametrize("ignore_guards", [True, "True"])
def test_somebody_who_knows_may_ignore_it_which_is_logged_and_kept(
    client: Any, stores: AssetStores, source: str, ignore_guards: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = upload(source, guards=STRICT, ignore_guards=ignore_guards)

    found = operator.execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", CONTENT)
    assert found["guards"]["ignored"] is True
    assert "max_rejected_share: 1 of 2 rows" in found["guards"]["failed"][0]
    assert "Ignored, as the run says 'ignore_guards': guards.max_rejected_share" in capsys.readouterr().out


def test_that_no_guard_said_no_is_kept_as_well(client: Any, stores: AssetStores, source: str) -> None:
    found = upload(source, ignore_guards="False").execute(task_context(stores=stores))

    assert found["guards"] == {"ignored": False, "failed": []}


LAST = {"load_date": "2026-11-19", "mode": "replace", "rows_sent": 1000}


@pytest.mark.parametrize(
    ("mode", "last", "stops"),
    [
        ("replace", LAST, True),
        ("replace", {**LAST, "mode": "mirror"}, True),
        ("replace", {**LAST, "mode": "opt-in"}, False),
        ("replace", {**LAST, "rows_sent": 2}, False),
        ("replace", {**LAST, "rows_sent": "many"}, False),
        ("replace", "a thousand", False),
        ("replace", None, False),
        ("opt-in", {**LAST, "mode": "opt-in"}, True),
        ("opt-in", {**LAST, "mode": "opt-in", "load_date": DAY}, True),
        # A historical load says nothing about how long the list was later.
        ("opt-in", {**LAST, "mode": "opt-in", "load_date": "2026-11-21"}, False),
        ("opt-in", {**LAST, "mode": "opt-out"}, False),
        ("opt-in", LAST, False),
    ],
)
def test_a_list_is_compared_with_the_last_confirmed_one_of_its_kind(
    client: Any, stores: AssetStores, source: str, mode: str, last: Any, stops: bool
) -> None:
    if last is not None:
        stores[ASSET].values[LAST_LOAD_KEY] = last
    operator = upload(source, mode=mode, guards=Guards(max_shrink=0.5))

    if stops:
        with pytest.raises(
            AirflowFailException, match="max_shrink: 1 rows to send, the last confirmed load had 1,000"
        ):
            operator.execute(task_context(stores=stores))
    else:
        operator.execute(task_context(stores=stores))

    assert client.send_list.called is not stops


def test_without_an_asset_there_is_nothing_to_compare_with(client: Any, source: str) -> None:
    upload(source, asset=None, audience_id="t-9", guards=Guards(max_shrink=0.0)).execute(task_context())

    assert client.send_list.called


# --- rejects --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rejects" / "list"


def test_what_was_rejected_is_listed(
    client: Any, stores: AssetStores, source: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = "scheduled__2026-11-20T03:00:00+00:00__2026-11-20__xyz"

    found = upload(source, rejects=Rejects(str(folder))).execute(task_context(stores=stores, run_id=run))

    path = folder / "2026-11-20-scheduled__2026-11-20T03-00-00-00-00__2026-11-20__xyz.csv"
    assert [*folder.iterdir()] == [path]
    assert found["rejects_file"] == str(path)
    header, line = path.read_text(encoding="utf-8").splitlines()
    assert header == "file,row,field,outcome,reason,sample"
    assert line.startswith(",2,email,row,invalid_email,")
    assert "no address" not in line
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"1 rejected rows and fields are listed in {path}" in capsys.readouterr().out


def test_a_retry_lists_them_anew(client: Any, stores: AssetStores, source: str, folder: Path) -> None:
    for _ in range(2):
        upload(source, rejects=Rejects(str(folder))).execute(task_context(stores=stores))

    assert len([*folder.iterdir()]) == 1


def test_where_nothing_is_rejected_nothing_is_listed(
    client: Any, stores: AssetStores, extract: Path, source: str, folder: Path
) -> None:
    extract.write_text("E-mail\nanna@example.com\n", encoding="utf-8")

    found = upload(source, rejects=Rejects(str(folder))).execute(task_context(stores=stores))

    assert found["rejects_file"] is None
    assert not folder.exists()


def test_without_a_place_they_are_only_counted(client: Any, stores: AssetStores, source: str) -> None:
    assert upload(source).execute(task_context(stores=stores))["rejects_file"] is None


def test_when_a_guard_stops_the_load_people_want_to_know_why(
    client: Any, stores: AssetStores, source: str, folder: Path
) -> None:
    with pytest.raises(AirflowFailException, match="GuardError"):
        upload(source, guards=STRICT, rejects=Rejects(str(folder))).execute(task_context(stores=stores))

    assert len([*folder.iterdir()]) == 1


def test_what_cannot_be_listed_is_not_sent(
    client: Any, stores: AssetStores, source: str, tmp_path: Path
) -> None:
    (tmp_path / "a_file").touch()

    with pytest.raises(AirflowFailException, match="list of rejects cannot be written, so nothing is sent"):
        upload(source, rejects=Rejects(f"{tmp_path}/a_file")).execute(task_context(stores=stores))

    assert not client.send_list.called


def test_rejects_go_to_s3_by_their_own_connection(
    client: Any, stores: AssetStores, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(onboarding, "s3_client", lambda connection: asked.append(connection) or FakeS3())

    found = upload(source, rejects=Rejects("s3://ours/rejects/list", "our_s3")).execute(
        task_context(stores=stores)
    )

    assert found["rejects_file"] == f"s3://ours/rejects/list/{DAY}-manual__1.csv"
    assert asked == ["our_s3"]
    (bucket, key, content) = FakeS3.written[-1]
    assert (bucket, key) == ("ours", f"rejects/list/{DAY}-manual__1.csv")
    assert content.startswith(b"file,row,field,outcome,reason,sample\n,2,email,row,invalid_email,")


def test_no_list_of_rejects_lies_where_the_vendor_reads(
    client: Any, stores: AssetStores, source: str
) -> None:
    class Reading(PlainOnboardOperator):
        def is_read_by_the_vendor(self, url: str) -> bool:
            return url.startswith("s3://theirs/")

    operator = Reading(
        task_id="upload",
        source=source,
        columns={"email": "E-mail"},
        asset=ASSET,
        load_date=DAY,
        rejects=Rejects("s3://theirs/x"),
    )

    with pytest.raises(AirflowFailException, match="may not lie where the vendor looks for files"):
        operator.execute(task_context(stores=stores))

    assert client.method_calls == []


@pytest.mark.parametrize("path", ["{}/", "{}/*.csv", "{}/../*/*.csv", "{}/deeper/../"])
def test_no_list_of_rejects_becomes_a_source(
    client: Any, stores: AssetStores, extract: Path, path: str
) -> None:
    operator = upload(path.format(extract.parent), rejects=Rejects(str(extract.parent)))

    with pytest.raises(AirflowFailException, match="lie among the files of the source"):
        operator.execute(task_context(stores=stores))

    assert [*extract.parent.iterdir()] == [extract]


# --- a dry run ----------------------------------------------------------------------------------------------


def test_a_dry_run_prepares_and_counts_but_sends_nothing(
    client: Any, stores: AssetStores, source: str
) -> None:
    context = task_context(stores=stores)

    with pytest.raises(AirflowSkipException, match="1 rows would be sent, nothing was"):
        upload(source, is_dry_run="True").execute(context)

    assert not client.send_list.called
    report = context["ti"].pushed["dry_run"]
    assert json.loads(json.dumps(report)) == report
    assert (report["rows_sent"], report["duplicates"], report["rejected_by_reason"]) == (
        1,
        0,
        {"invalid_email": 1},
    )
    assert (report["would_add"], report["would_remove"]) == (1, None)
    assert report["guards"] == {"ignored": False, "failed": []}


@pytest.mark.parametrize(
    ("mode", "adds", "removes"), [("replace", 1, None), ("opt-in", 1, 0), ("opt-out", 0, 1)]
)
def test_a_dry_run_says_what_would_come_of_it(
    client: Any, stores: AssetStores, source: str, mode: str, adds: int, removes: int | None
) -> None:
    class TakesOut(PlainOnboardOperator):
        modes = ("replace", "opt-in", "opt-out")

    context = task_context(stores=stores)
    operator = TakesOut(
        task_id="upload",
        source=source,
        columns={"email": "E-mail"},
        asset=ASSET,
        load_date=DAY,
        mode=mode,
        is_dry_run=True,
    )

    with pytest.raises(AirflowSkipException):
        operator.execute(context)

    report = context["ti"].pushed["dry_run"]
    assert (report["would_add"], report["would_remove"]) == (adds, removes)


def test_a_dry_run_tells_of_guards_but_fails_by_none_and_writes_nothing(
    client: Any,
    stores: AssetStores,
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = task_context(stores=stores)
    rejects = Rejects(str(tmp_path / "rejects"))
    before = dict(stores[ASSET].values)

    with pytest.raises(AirflowSkipException, match=r"nothing was\. 1 of the guards would stop it\."):
        upload(source, is_dry_run=True, guards=STRICT, rejects=rejects).execute(context)

    assert "A guard would stop this load: guards.max_rejected_share" in capsys.readouterr().out
    assert len(context["ti"].pushed["dry_run"]["guards"]["failed"]) == 1
    assert not (tmp_path / "rejects").exists()
    assert stores[ASSET].values == before


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
        "content_id": "the same",
        "run_id": "an_earlier_run",
        **changes,
    }
    stores[ASSET].values[load_key(DAY, mode)] = record
    return record


def test_a_load_that_is_confirmed_is_not_sent_again(client: Any, stores: AssetStores, source: str) -> None:
    first = upload(source).execute(task_context(stores=stores))
    client.send_list.reset_mock()
    record = confirmed(stores, content_id=first["content_id"])

    found = upload(source).execute(task_context(stores=stores))

    assert not client.send_list.called
    assert (found["uploaded"], found["confirmed"]) == (False, record)


def test_other_content_for_a_confirmed_day_needs_a_word(
    client: Any, stores: AssetStores, source: str
) -> None:
    confirmed(stores, content_id="other")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*an_earlier_run.*Supersede"):
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
        with pytest.raises(AirflowSkipException, match=f"load of {last} is confirmed.*Supersede"):
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

    monkeypatch.setattr(turn, "ask_airflow", ask)
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
    monkeypatch.setattr(turn, "ask_airflow", lambda **arguments: pytest.fail("nobody is to be asked"))

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
