"""A range of days as one load: what is merged, what is refused, and what it is compared with."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.base import onboarding
from audience_onboarding.base.onboarding import Rejects, StateFolder
from audience_onboarding.base.source_options import SourceOptions, open_days
from audience_onboarding.crm.guards import Guards
from audience_onboarding.errors import SourceNotFoundError
from audience_onboarding.orchestration.load_date import parse_load_date
from audience_onboarding.orchestration.memory import LAST_LOAD_KEY, load_key
from tests.fakes import AssetStores, task_context
from tests.unit.base.databases import connect_to
from tests.unit.base.plain import HOST, PlainOnboardOperator

ASSET = Asset("audience/list")
FIRST, LAST = "2026-11-16", "2026-11-20"
DAYS = ("2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20")
RANGE = f"{FIRST}..{LAST}"


@pytest.fixture
def stores() -> AssetStores:
    made = AssetStores()
    made[ASSET].values["audience"] = {"id": "t-7", "account": HOST}
    return made


class Lists:
    """A folder with a list a day; each of the people is a letter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = f"{folder}/{{load_date}}.csv"

    def write(self, **by_day: str) -> None:
        for day, names in by_day.items():
            rows = "".join(f"{name}@example.com\n" for name in names)
            (self.folder / f"2026-11-{day[1:]}.csv").write_text(f"E-mail\n{rows}", encoding="utf-8")


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    made = Lists(tmp_path)
    made.write(_16="ab", _17="bc", _18="", _19="ca", _20="d")
    return made


def upload(source: Any, **changes: Any) -> Any:
    return PlainOnboardOperator(
        **{
            "task_id": "upload",
            "source": source,
            "columns": {"email": "E-mail"},
            "asset": ASSET,
            "load_date": LAST,
            "history_from": FIRST,
            "mode": "opt-in",
            "memory_limit_mib": 256,
            **changes,
        }
    )


def content(names: str) -> bytes:
    hashes = [hashlib.sha256(f"{name}@example.com".encode()).hexdigest() for name in names]
    return "".join(f"{line}\r\n" for line in ["email", *hashes]).encode()


def remember(stores: AssetStores, load: dict[str, Any], **changes: Any) -> None:
    """As the task that records does."""
    days = f"{load['history_from']}..{load['load_date']}" if "history_from" in load else load["load_date"]
    stores[ASSET].set(load_key(days, load["mode"]), {**load, "run_id": "manual__0", **changes})


# --- the way it should go -----------------------------------------------------------------------------------


def test_all_days_are_one_list_in_the_order_of_the_days(
    client: Any, stores: AssetStores, lists: Lists, capsys: pytest.CaptureFixture[str]
) -> None:
    found = upload(lists.path).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", content("abcd"))
    assert (found["load_date"], found["history_from"], found["mode"]) == (LAST, FIRST, "opt-in")
    assert (found["rows_read"], found["rows_sent"], found["duplicates"], found["rejected"]) == (7, 4, 3, 0)
    assert found["source"] == lists.path
    assert "days_missing" not in found
    assert json.loads(json.dumps(found)) == found
    assert "Merging 5 days, 2026-11-16 to 2026-11-20" in capsys.readouterr().out


@pytest.mark.parametrize("nothing", ["", None])
def test_without_a_first_day_it_is_the_load_of_one(
    client: Any, stores: AssetStores, lists: Lists, nothing: str | None
) -> None:
    found = upload(lists.path, history_from=nothing).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", content("d"))
    assert "history_from" not in found


def test_a_range_of_one_day_is_a_range(client: Any, stores: AssetStores, lists: Lists) -> None:
    found = upload(lists.path, history_from=LAST).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", content("d"))
    assert found["history_from"] == LAST


def test_the_load_date_may_be_the_runs(client: Any, stores: AssetStores, lists: Lists) -> None:
    context = task_context(stores=stores, load_date=LAST)

    assert upload(lists.path, load_date=None).execute(context)["rows_sent"] == 4


def test_a_day_may_have_several_files(client: Any, stores: AssetStores, tmp_path: Path) -> None:
    for day, names in ((FIRST, "ba"), (LAST, "ac")):
        (tmp_path / day).mkdir()
        for name in names:
            (tmp_path / day / f"part-{name}.csv").write_text(f"E-mail\n{name}@example.com\nx\n")
    folder = tmp_path / "rejects"
    source = {"path": f"{tmp_path}/{{load_date}}/", "if_missing": "skip"}

    found = upload(source, rejects=Rejects(str(folder)), guards=Guards(max_rejected_share=None)).execute(
        task_context(stores=stores)
    )

    client.send_list.assert_called_once_with("t-7", content("abc"))
    assert found["files"] == 4
    # The file with the folder of its day, as the names alone do not tell them apart.
    lines = Path(found["rejects_file"]).read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0].strip('"') for line in lines] == [
        f"{FIRST}/part-a.csv",
        f"{FIRST}/part-b.csv",
        f"{LAST}/part-a.csv",
        f"{LAST}/part-c.csv",
    ]


def test_rejects_name_the_file_of_the_day(
    client: Any, stores: AssetStores, lists: Lists, tmp_path: Path
) -> None:
    (tmp_path / f"{LAST}.csv").write_text("E-mail\nd@example.com\nno address\n", encoding="utf-8")
    folder = tmp_path / "rejects"

    found = upload(lists.path, rejects=Rejects(str(folder))).execute(task_context(stores=stores))

    assert found["rejects_file"] == f"{folder}/{RANGE}-manual__1.csv"
    (line,) = Path(found["rejects_file"]).read_text(encoding="utf-8").splitlines()[1:]
    assert line.startswith((f"{LAST}.csv,2,", f'"{LAST}.csv","2",'))


def test_a_dry_run_sends_nothing_and_tells_the_range(client: Any, stores: AssetStores, lists: Lists) -> None:
    context = task_context(stores=stores)

    with pytest.raises(AirflowSkipException, match="Dry run: 4 rows would be sent"):
        upload(lists.path, is_dry_run=True).execute(context)

    assert not client.send_list.called
    report = context["ti"].pushed["dry_run"]
    assert (report["history_from"], report["would_add"], report["would_remove"]) == (FIRST, 4, 0)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mode": "replace"},
            "ConfigurationError: A range of days cannot be loaded with mode 'replace': each list says who is in the "
            f"audience, so only that of the newest day counts ({RANGE}). Run 2026-11-20 alone, without a first day.",
        ),
        (
            {"history_from": "2026-11-21"},
            "ConfigurationError: The first day of the range, 2026-11-21, is after its last one, 2026-11-20. Give them "
            "the other way round.",
        ),
        (
            {"history_from": "2023-11-16"},
            "ConfigurationError: The range has 1,101 days, more than 1,100 (2023-11-16..2026-11-20). Load it as "
            "several ranges, one after the other.",
        ),
        (
            {"history_from": "yesterday"},
            "ConfigurationError: 'yesterday' is not a load date (history_from). Give it as YYYY-MM-DD.",
        ),
        (
            {"source": "/x/all.csv"},
            "ConfigurationError: The source of 2026-11-17 is that of 2026-11-16, so a range of days would read it "
            "again and again (/x/all.csv). Give each day a source of its own, by {load_date} in its path, or run one "
            "day alone, without a first day.",
        ),
        (
            {"source": "/x/{load_date:%Y%m}.csv", "history_from": "2026-10-31"},
            "ConfigurationError: The source of 2026-11-02 is that of 2026-11-01, so a range of days would read it "
            "again and again (/x/{load_date:%Y%m}.csv). Give each day a source of its own, by {load_date} in its "
            "path, or run one day alone, without a first day.",
        ),
        (
            {"source": {"query": "SELECT email FROM crm -- :load_date", "conn_id": "crm_db"}},
            "ConfigurationError: The query of the source is the same for all days, so a range of days would read its "
            "rows again and again (query on connection crm_db). Let it ask for the rows of :load_date, or run one day "
            "alone, without a first day.",
        ),
    ],
    ids=["replace", "reversed", "too long", "no date", "one file", "one file a month", "one query"],
)
@pytest.mark.parametrize("is_dry_run", [False, True])
def test_it_is_refused_before_anything_is_asked(
    client: Any, stores: AssetStores, changes: dict[str, Any], message: str, is_dry_run: bool
) -> None:
    arguments = {"source": "/x/{load_date}.csv", "is_dry_run": is_dry_run, **changes}

    with pytest.raises(AirflowFailException) as caught:
        upload(**arguments).execute(task_context(stores=stores))

    assert str(caught.value) == f"{message} See docs/troubleshooting.md#configurationerror"
    assert client.method_calls == []


def test_a_backfill_brings_its_own_range(client: Any, stores: AssetStores, lists: Lists) -> None:
    context = task_context(stores=stores, run_type="backfill", partition_key=LAST)

    with pytest.raises(AirflowFailException, match="Leave 'history_from' out of the conf"):
        upload(lists.path, load_date=None).execute(context)

    assert client.method_calls == []


@pytest.mark.parametrize("day", [FIRST, "2026-11-18"])
def test_neither_rejects_nor_snapshots_lie_among_the_files_of_any_day(
    client: Any, stores: AssetStores, tmp_path: Path, day: str
) -> None:
    source = f"{tmp_path}/{{load_date}}/"

    with pytest.raises(AirflowFailException, match="The list of rejects would lie among the files"):
        upload(source, rejects=Rejects(f"{tmp_path}/{day}")).execute(task_context(stores=stores))
    with pytest.raises(AirflowFailException, match="Snapshots would lie among the files of the source"):
        upload(source, state=StateFolder(f"{tmp_path}/{day}")).execute(task_context(stores=stores))


# --- days without a source ------------------------------------------------------------------------------------


@pytest.mark.parametrize("if_missing", ["fail", "wait"])
def test_days_without_a_source_are_all_named(
    client: Any, stores: AssetStores, lists: Lists, if_missing: str
) -> None:
    for day in ("17", "19"):
        (lists.folder / f"2026-11-{day}.csv").unlink()
    source = {"path": lists.path, "if_missing": if_missing}

    # Not deferred either: history does not come later.
    with pytest.raises(AirflowFailException) as caught:
        upload(source).execute(task_context(stores=stores))

    assert str(caught.value) == (
        f"SourceNotFoundError: 2 of 5 days have no source: 2026-11-17, 2026-11-19 ({lists.path}, {RANGE}). Bring "
        "them. To leave such days out, let 'source.if_missing' be 'skip'. "
        "See docs/troubleshooting.md#sourcenotfounderror"
    )
    assert not client.send_list.called


def test_of_many_days_without_a_source_twenty_are_named(
    client: Any, stores: AssetStores, lists: Lists
) -> None:
    with pytest.raises(
        AirflowFailException, match=r"31 of 36 days .* 2026-10-16, .*, 2026-11-04 and 11 more \("
    ):
        upload(lists.path, history_from="2026-10-16").execute(task_context(stores=stores))


def test_days_without_a_source_can_be_left_out(
    client: Any, stores: AssetStores, lists: Lists, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in ("16", "19"):
        (lists.folder / f"2026-11-{day}.csv").unlink()

    found = upload({"path": lists.path, "if_missing": "skip"}).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", content("bcd"))
    assert found["days_missing"] == 2
    said = capsys.readouterr().out
    assert "2 days have no source and are left out: 2026-11-16, 2026-11-19" in said


@pytest.mark.parametrize("if_missing", ["fail", "skip", "wait"])
def test_a_range_without_any_source_fails(client: Any, stores: AssetStores, if_missing: str) -> None:
    with pytest.raises(AirflowFailException) as caught:
        upload({"path": "/nowhere/{load_date}.csv", "if_missing": if_missing}).execute(
            task_context(stores=stores)
        )

    assert str(caught.value) == (
        "SourceNotFoundError: None of the 5 days has a source (/nowhere/{load_date}.csv, "
        f"{RANGE}). Check the path in the definition, and the range. "
        "See docs/troubleshooting.md#sourcenotfounderror"
    )


def test_something_else_in_the_place_of_a_file_is_no_day_without_a_source(
    client: Any, stores: AssetStores, lists: Lists
) -> None:
    (lists.folder / "2026-11-18.csv").unlink()
    (lists.folder / "2026-11-18.csv").mkdir()

    with pytest.raises(AirflowFailException, match=r"2026-11-18\.csv.*it is a directory"):
        upload({"path": lists.path, "if_missing": "skip"}).execute(task_context(stores=stores))

    assert not client.send_list.called


def test_a_file_that_broke_off_is_no_quiet_day(client: Any, stores: AssetStores, lists: Lists) -> None:
    (lists.folder / "2026-11-18.csv").write_text("")

    with pytest.raises(AirflowFailException, match=r"one of several CRM files is empty.*2026-11-18\.csv"):
        upload(lists.path).execute(task_context(stores=stores))
    assert not client.send_list.called

    # Unless the definition says that an empty file is nothing to do.
    upload(lists.path, guards=Guards(on_empty="skip")).execute(task_context(stores=stores))
    client.send_list.assert_called_once_with("t-7", content("abcd"))


def test_of_the_files_of_a_day_none_may_have_broken_off(
    client: Any, stores: AssetStores, tmp_path: Path
) -> None:
    (tmp_path / LAST).mkdir()
    (tmp_path / LAST / "a.csv").write_text("E-mail\na@example.com\n")
    (tmp_path / LAST / "b.csv").write_text("")

    with pytest.raises(AirflowFailException, match="one of several CRM files is empty"):
        upload(
            f"{tmp_path}/{{load_date}}/", history_from=LAST, guards=Guards(on_empty="skip", max_shrink=None)
        ).execute(task_context(stores=stores))


@pytest.mark.parametrize(
    ("on_empty", "ending"), [("fail", AirflowFailException), ("skip", AirflowSkipException)]
)
def test_days_that_are_all_empty_are_an_empty_source(
    client: Any, stores: AssetStores, lists: Lists, on_empty: Any, ending: type[Exception]
) -> None:
    lists.write(_16="", _17="", _18="", _19="", _20="")

    with pytest.raises(ending, match="nothing to"):
        upload(lists.path, guards=Guards(on_empty=on_empty)).execute(task_context(stores=stores))


def test_one_client_looks_at_all_days(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoBuckets:
        def get_paginator(self, name: str) -> Any:
            return self

        def paginate(self, **_: Any) -> list[dict[str, Any]]:
            return [{}]

    made: list[NoBuckets] = []

    def client() -> NoBuckets:
        made.append(NoBuckets())
        return made[-1]

    options = SourceOptions.of("s3://b/{load_date}/*.csv")
    days = onboarding.history_days(parse_load_date(FIRST), parse_load_date(LAST), mode="opt-in")
    with pytest.raises(SourceNotFoundError, match="None of the 5 days"):
        open_days(options, days, s3_client=client)

    assert len(made) == 1


# --- a query ------------------------------------------------------------------------------------------------


def test_a_query_is_asked_once_a_day(
    client: Any, stores: AssetStores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE crm (day TEXT, email TEXT)")
        people = [(FIRST, "a"), (FIRST, "b"), ("2026-11-18", "b"), (LAST, "c"), ("2026-11-21", "x")]
        rows = [(day, f"{name}@example.com") for day, name in people] + [("2026-11-18", "no address")]
        connection.executemany("INSERT INTO crm VALUES (?, ?)", rows)
        connection.commit()
    connect_to(path, monkeypatch)
    query = "SELECT email FROM crm WHERE day = :load_date ORDER BY email"
    folder = tmp_path / "rejects"

    found = upload(
        {"query": query, "conn_id": "crm_db"}, columns={"email": "email"}, rejects=Rejects(str(folder))
    ).execute(task_context(stores=stores))

    client.send_list.assert_called_once_with("t-7", content("abc"))
    assert (found["rows_read"], found["duplicates"], found["rejected"]) == (5, 1, 1)
    assert found["source"] == "query on connection crm_db"
    # Rows count from 1 in each day.
    (line,) = Path(found["rejects_file"]).read_text(encoding="utf-8").splitlines()[1:]
    assert "query on connection crm_db, 2026-11-18" in line
    assert ",2," in line.replace('"', "").partition("2026-11-18")[2]


# --- again --------------------------------------------------------------------------------------------------


def test_the_same_range_again_sends_nothing(client: Any, stores: AssetStores, lists: Lists) -> None:
    remember(stores, upload(lists.path).execute(task_context(stores=stores)))

    again = upload(lists.path).execute(task_context(stores=stores))

    assert again["uploaded"] is False
    assert client.send_list.call_count == 1


def test_another_list_of_any_day_is_a_conflict(client: Any, stores: AssetStores, lists: Lists) -> None:
    remember(stores, upload(lists.path).execute(task_context(stores=stores)))
    lists.write(_17="x")

    with pytest.raises(
        AirflowFailException, match=r"The load of 2026-11-16\.\.2026-11-20 \(opt-in\) was sent before"
    ):
        upload(lists.path).execute(task_context(stores=stores))

    assert upload(lists.path, supersede=True).execute(task_context(stores=stores))["uploaded"] is True


def test_a_range_is_another_load_than_its_last_day(client: Any, stores: AssetStores, lists: Lists) -> None:
    remember(stores, upload(lists.path, history_from=None).execute(task_context(stores=stores)))
    remember(stores, upload(lists.path).execute(task_context(stores=stores)))
    remember(stores, upload(lists.path, history_from="2026-11-19").execute(task_context(stores=stores)))

    assert client.send_list.call_count == 3


# --- how long it should be ----------------------------------------------------------------------------------

SHRINK = Guards(max_shrink=0.5, shares_from_rows=1)


def test_a_range_is_compared_with_itself(client: Any, stores: AssetStores, lists: Lists) -> None:
    # However long other loads were.
    stores[ASSET].set(LAST_LOAD_KEY, {"load_date": LAST, "mode": "opt-in", "rows_sent": 1000})
    load = upload(lists.path, guards=SHRINK).execute(task_context(stores=stores))
    remember(stores, load, rows_sent=9)

    with pytest.raises(AirflowFailException, match="4 rows to send, the last confirmed load had 9"):
        upload(lists.path, guards=SHRINK, supersede=True).execute(task_context(stores=stores))


def test_a_day_is_compared_with_the_last_day(client: Any, stores: AssetStores, lists: Lists) -> None:
    last = {"load_date": LAST, "history_from": FIRST, "mode": "opt-in", "rows_sent": 1000}
    stores[ASSET].set(LAST_LOAD_KEY, last)
    one_day = upload(lists.path, history_from=None, guards=SHRINK)
    one_day.execute(task_context(stores=stores))

    of_a_day = {"load_date": "2026-11-19", "mode": "opt-in", "rows_sent": 3}
    stores[ASSET].set(LAST_LOAD_KEY, {**last, "last_of_a_day": of_a_day})
    with pytest.raises(AirflowFailException, match="1 rows to send, the last confirmed load had 3"):
        one_day.execute(task_context(stores=stores))


def test_an_older_list_does_not_take_the_place_of_what_a_range_has_added(
    client: Any, stores: AssetStores, lists: Lists
) -> None:
    stores[ASSET].set(LAST_LOAD_KEY, {"load_date": LAST, "history_from": FIRST, "mode": "opt-in"})

    with pytest.raises(AirflowSkipException, match="Superseded: the load of 2026-11-20"):
        upload(lists.path, history_from=None, load_date="2026-11-19", mode="replace").execute(
            task_context(stores=stores)
        )
