"""A range of days as one load: merged days, refused ranges, and comparisons with other loads."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base import upload_operator
from audience_onboarding.base.load import RejectsLocation
from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.base.source_options import open_days
from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import SourceNotFoundError
from audience_onboarding.state.load_date import parse_load_date
from audience_onboarding.state.store import LAST_LOAD_KEY, load_key
from tests.fakes import AssetStores, task_context
from tests.unit.base.bench import Bench, csv_of
from tests.unit.base.databases import connect_to

FIRST, LAST = "2026-11-16", "2026-11-20"
RANGE = f"{FIRST}..{LAST}"


@pytest.fixture
def bench(client: Any, stores: AssetStores, tmp_path: Path) -> Bench:
    """A folder with a list a day, loaded as one range; each of the people is a letter."""
    made = Bench(client, stores, tmp_path, range_start=FIRST, mode="opt-in")
    write(made, _16="ab", _17="bc", _18="", _19="ca", _20="d")
    return made


def write(bench: Bench, **by_day: str) -> None:
    for day, names in by_day.items():
        rows = "".join(f"{name}@example.com\n" for name in names)
        bench.write(f"2026-11-{day[1:]}.csv", f"E-mail\n{rows}")


def remove(bench: Bench, *days: int) -> None:
    for day in days:
        (bench.folder / f"2026-11-{day}.csv").unlink()


def remember(bench: Bench, load: dict[str, Any], **changes: Any) -> None:
    """Record a load as the task that records does."""
    days = f"{load['range_start']}..{load['load_date']}" if "range_start" in load else load["load_date"]
    bench.store[load_key(days, load["mode"])] = {**load, "run_id": "manual__0", **changes}


def rejects_in(found: dict[str, Any]) -> list[str]:
    """Lines of the list of rejects without its quotes."""
    text = Path(found["rejects_file"]).read_text(encoding="utf-8")
    return [line.replace('"', "") for line in text.splitlines()[1:]]


# --- the usual way ------------------------------------------------------------------------------------------


def test_all_days_are_one_list_in_the_order_of_the_days(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench.run()

    bench.sent(csv_of(*"abcd"))
    assert (found["load_date"], found["range_start"], found["mode"]) == (LAST, FIRST, "opt-in")
    assert (found["rows_read"], found["rows_sent"], found["duplicates"], found["rejected"]) == (7, 4, 3, 0)
    assert found["source"] == bench.source
    assert "days_missing" not in found
    assert json.loads(json.dumps(found)) == found
    assert "Merging 5 days, 2026-11-16 to 2026-11-20" in capsys.readouterr().out


@pytest.mark.parametrize("first", ["", None, LAST])
def test_without_a_first_day_it_is_the_load_of_one(bench: Bench, first: str | None) -> None:
    found = bench.run(range_start=first)

    bench.sent(csv_of("d"))
    # A range of one day is a range.
    assert found.get("range_start") == (first or None)


def test_the_load_date_may_be_that_of_the_run(bench: Bench) -> None:
    bench.context = task_context(stores=bench.stores, load_date=LAST)

    assert bench.run(load_date=None)["rows_sent"] == 4


def test_a_day_may_have_several_files(bench: Bench) -> None:
    for day, names in ((FIRST, "ba"), (LAST, "ac")):
        for name in names:
            bench.write(f"{day}/part-{name}.csv", f"E-mail\n{name}@example.com\nx\n")

    found = bench.run(
        source={"path": f"{bench.folder}/{{load_date}}/", "on_missing": "skip"},
        rejects=RejectsLocation(str(bench.folder / "rejects")),
        guards=Guards(max_rejected_ratio=None),
    )

    bench.sent(csv_of(*"abc"))
    assert found["files"] == 4
    # The file with the folder of its day, as the names alone do not tell them apart.
    parts = [f"{FIRST}/part-a.csv", f"{FIRST}/part-b.csv", f"{LAST}/part-a.csv", f"{LAST}/part-c.csv"]
    assert [line.split(",")[0] for line in rejects_in(found)] == parts


def test_rejects_name_the_file_of_the_day(bench: Bench) -> None:
    bench.write(f"{LAST}.csv", "E-mail\nd@example.com\nno address\n")

    found = bench.run(rejects=RejectsLocation(str(bench.folder / "rejects")))

    assert found["rejects_file"] == f"{bench.folder}/rejects/{RANGE}-manual__1.csv"
    (line,) = rejects_in(found)
    assert line.startswith(f"{LAST}.csv,2,")


def test_a_dry_run_sends_nothing_and_reports_the_range(bench: Bench) -> None:
    bench.skips("Dry run: 4 rows would be sent", is_dry_run=True)

    report = bench.context["ti"].pushed["dry_run_report"]
    assert (report["range_start"], report["would_add"], report["would_remove"]) == (FIRST, 4, 0)


# --- refused ------------------------------------------------------------------------------------------------

REPEATED = (
    "ConfigurationError: The source of {} is that of {}, so a range would read it repeatedly ({}). Give "
    "each day its own source, by {{load_date}} in its path, or run one day alone, without a first day."
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mode": "replace"},
            "ConfigurationError: A date range cannot be loaded with mode 'replace': each list is complete, so only the "
            f"newest counts ({RANGE}). Load 2026-11-20 alone, without a range start.",
        ),
        (
            {"range_start": "2026-11-21"},
            "ConfigurationError: The range start 2026-11-21 is after the last date 2026-11-20. Swap the two dates.",
        ),
        (
            {"range_start": "2023-11-16"},
            "ConfigurationError: The range has 1,101 days, more than 1,100 (2023-11-16..2026-11-20). Load it as "
            "several ranges, one after the other.",
        ),
        (
            {"range_start": "yesterday"},
            "ConfigurationError: 'yesterday' is not a load date (range_start). Give it as YYYY-MM-DD.",
        ),
        ({"source": "/x/all.csv"}, REPEATED.format("2026-11-17", "2026-11-16", "/x/all.csv")),
        (
            {"source": "/x/{load_date:%Y%m}.csv", "range_start": "2026-10-31"},
            REPEATED.format("2026-11-02", "2026-11-01", "/x/{load_date:%Y%m}.csv"),
        ),
        (
            {"source": {"query": "SELECT email FROM crm -- :load_date", "conn_id": "crm_db"}},
            "ConfigurationError: The query is the same for all days, so a range would read its rows repeatedly (query "
            "on connection crm_db). Filter by :load_date in the query, or run one day alone, without a first day.",
        ),
    ],
    ids=["replace", "reversed", "too long", "no date", "one file", "one file a month", "one query"],
)  # fmt: skip
def test_an_invalid_range_is_refused_before_any_request(
    bench: Bench, changes: dict[str, Any], message: str
) -> None:
    for is_dry_run in (False, True):
        with pytest.raises(AirflowFailException) as caught:
            bench.run(**{"source": "/x/{load_date}.csv", "is_dry_run": is_dry_run, **changes})
        assert str(caught.value) == f"{message} See docs/how-to/troubleshooting.md#configurationerror"
    assert bench.client.method_calls == []


def test_a_backfill_brings_its_own_range(bench: Bench) -> None:
    bench.context = task_context(stores=bench.stores, run_type="backfill", partition_key=LAST)

    bench.fails("Leave 'range_start' out of the conf", load_date=None)

    assert bench.client.method_calls == []


@pytest.mark.parametrize("day", [FIRST, "2026-11-18"])
def test_neither_rejects_nor_snapshots_lie_among_the_files_of_any_day(bench: Bench, day: str) -> None:
    source, folder = f"{bench.folder}/{{load_date}}/", f"{bench.folder}/{day}"

    bench.fails(
        "The list of rejects would lie among the files", source=source, rejects=RejectsLocation(folder)
    )
    bench.fails(
        "Snapshots would lie among the files of the source", source=source, snapshots=SnapshotLocation(folder)
    )


# --- days without a source ------------------------------------------------------------------------------------


def not_found(bench: Bench, **changes: Any) -> str:
    """Return the message of a range whose sources are not all there."""
    with pytest.raises(AirflowFailException) as caught:
        bench.run(**changes)
    assert not bench.client.send_list.called
    message, see = str(caught.value).removeprefix("SourceNotFoundError: ").split(" See docs/")
    assert see == "how-to/troubleshooting.md#sourcenotfounderror"
    return message


def test_days_without_a_source_are_all_named(bench: Bench) -> None:
    remove(bench, 17, 19)

    # "wait" does not defer either: history does not come later.
    for on_missing in ("fail", "wait"):
        source = {"path": bench.source, "on_missing": on_missing}
        assert not_found(bench, source=source) == (
            f"2 of 5 days have no source: 2026-11-17, 2026-11-19 ({bench.source}, {RANGE}). Provide the files. To "
            "leave out such days, set 'source.on_missing' to 'skip'."
        )


def test_of_many_days_without_a_source_twenty_are_named(bench: Bench) -> None:
    bench.fails(r"31 of 36 days .* 2026-10-16, .*, 2026-11-04 and 11 more \(", range_start="2026-10-16")


def test_days_without_a_source_can_be_left_out(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    remove(bench, 16, 19)

    found = bench.run(source={"path": bench.source, "on_missing": "skip"})

    bench.sent(csv_of(*"bcd"))
    assert found["days_missing"] == 2
    said = capsys.readouterr().out
    assert "2 days have no source and are left out: 2026-11-16, 2026-11-19" in said


def test_a_range_without_any_source_fails(bench: Bench) -> None:
    for on_missing in ("fail", "skip", "wait"):
        source = {"path": "/nowhere/{load_date}.csv", "on_missing": on_missing}
        assert not_found(bench, source=source) == (
            f"None of the 5 days has a source (/nowhere/{{load_date}}.csv, {RANGE}). Check the path in the definition, "
            "and the range."
        )


def test_a_folder_in_place_of_a_file_is_not_a_missing_source(bench: Bench) -> None:
    remove(bench, 18)
    (bench.folder / "2026-11-18.csv").mkdir()

    bench.fails(r"2026-11-18\.csv.*it is a directory", source={"path": bench.source, "on_missing": "skip"})


def test_an_empty_file_fails_the_range_unless_the_definition_skips_it(bench: Bench) -> None:
    bench.write("2026-11-18.csv", "")

    bench.fails(r"One of several CRM files is empty.*2026-11-18\.csv")

    bench.run(guards=Guards(on_empty="skip"))
    bench.sent(csv_of(*"abcd"))


def test_no_file_of_a_day_may_be_empty(bench: Bench) -> None:
    bench.write(f"{LAST}/a.csv", "E-mail\na@example.com\n")
    bench.write(f"{LAST}/b.csv", "")

    bench.fails(
        "One of several CRM files is empty",
        source=f"{bench.folder}/{{load_date}}/",
        range_start=LAST,
        guards=Guards(on_empty="skip", max_row_drop=None),
    )


def test_days_that_are_all_empty_are_an_empty_source(bench: Bench) -> None:
    write(bench, _16="", _17="", _18="", _19="", _20="")

    bench.fails("no row to send", guards=Guards(on_empty="fail"))
    bench.skips("nothing to", guards=Guards(on_empty="skip"))


def test_one_client_looks_at_all_days() -> None:
    class NoBuckets:
        def get_paginator(self, name: str) -> Any:
            return self

        def paginate(self, **_: Any) -> list[dict[str, Any]]:
            return [{}]

    made: list[NoBuckets] = []

    def client() -> NoBuckets:
        made.append(NoBuckets())
        return made[-1]

    options = SourceOptions.parse("s3://b/{load_date}/*.csv")
    days = upload_operator.range_dates(parse_load_date(FIRST), parse_load_date(LAST), mode="opt-in")
    with pytest.raises(SourceNotFoundError, match="None of the 5 days"):
        open_days(options, days, s3_client=client)

    assert len(made) == 1


# --- a query ------------------------------------------------------------------------------------------------


def test_a_query_runs_once_a_day(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.folder / "crm.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE crm (day TEXT, email TEXT)")
        people = [(FIRST, "a"), (FIRST, "b"), ("2026-11-18", "b"), (LAST, "c"), ("2026-11-21", "x")]
        rows = [(day, f"{name}@example.com") for day, name in people] + [("2026-11-18", "no address")]
        connection.executemany("INSERT INTO crm VALUES (?, ?)", rows)
        connection.commit()
    connect_to(path, monkeypatch)
    query = "SELECT email FROM crm WHERE day = :load_date ORDER BY email"

    found = bench.run(
        source={"query": query, "conn_id": "crm_db"},
        columns={"email": "email"},
        rejects=RejectsLocation(str(bench.folder / "rejects")),
    )

    bench.sent(csv_of(*"abc"))
    assert (found["rows_read"], found["duplicates"], found["rejected"]) == (5, 1, 1)
    assert found["source"] == "query on connection crm_db"
    # Rows count from 1 in each day.
    (line,) = rejects_in(found)
    assert "query on connection crm_db, 2026-11-18,2," in line


# --- again --------------------------------------------------------------------------------------------------


def test_the_same_range_again_sends_nothing_and_another_list_is_a_conflict(bench: Bench) -> None:
    remember(bench, bench.run())

    assert bench.run()["uploaded"] is False
    assert bench.client.send_list.call_count == 1
    write(bench, _17="x")
    bench.fails(r"The load of 2026-11-16\.\.2026-11-20 \(opt-in\) was sent before")
    assert bench.run(overwrite=True)["uploaded"] is True


def test_a_range_is_another_load_than_its_last_day(bench: Bench) -> None:
    for first in (None, FIRST, "2026-11-19"):
        remember(bench, bench.run(range_start=first))

    assert bench.client.send_list.call_count == 3


# --- comparisons with other loads ---------------------------------------------------------------------------

SHRINK = Guards(max_row_drop=0.5, min_rows_for_ratios=1)


def test_a_range_is_compared_with_itself(bench: Bench) -> None:
    # However long other loads were.
    bench.store[LAST_LOAD_KEY] = {"load_date": LAST, "mode": "opt-in", "rows_sent": 1000}
    remember(bench, bench.run(guards=SHRINK), rows_sent=9)

    bench.fails("4 rows to send, the last confirmed load had 9", guards=SHRINK, overwrite=True)


def test_a_day_is_compared_with_the_last_day(bench: Bench) -> None:
    last = {"load_date": LAST, "range_start": FIRST, "mode": "opt-in", "rows_sent": 1000}
    bench.store[LAST_LOAD_KEY] = last
    bench.run(range_start=None, guards=SHRINK)

    of_a_day = {"load_date": "2026-11-19", "mode": "opt-in", "rows_sent": 3}
    bench.store[LAST_LOAD_KEY] = {**last, "last_single_day_load": of_a_day}
    bench.fails("1 rows to send, the last confirmed load had 3", range_start=None, guards=SHRINK)


def test_an_older_list_does_not_replace_what_a_range_has_added(bench: Bench) -> None:
    bench.store[LAST_LOAD_KEY] = {"load_date": LAST, "range_start": FIRST, "mode": "opt-in"}

    bench.skips(
        "Skipping stale load: the load of 2026-11-20",
        range_start=None,
        load_date="2026-11-19",
        mode="replace",
    )
