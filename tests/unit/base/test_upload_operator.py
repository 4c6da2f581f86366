"""From an extract to the vendor: sent once, in turn, and raw only where allowed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base import upload_operator
from audience_onboarding.base.load import RejectsLocation
from audience_onboarding.crm import prepare
from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.output.profiles import SourceColumn
from audience_onboarding.exceptions import SourceNotFoundError
from audience_onboarding.state.store import LAST_LOAD_KEY, load_key
from tests.fakes import AssetStores, task_context
from tests.unit.base.bench import DAY, HASHES, Bench, csv_of
from tests.unit.base.plain import RAW, PlainOnboardOperator

HASH = HASHES["anna"]
CONTENT = csv_of("anna")
NOWHERE = "/nowhere/{load_date}.csv"


class RawOnboardOperator(PlainOnboardOperator):
    """Sends phone numbers as they are."""

    profile = RAW


ALLOWED_RAW: dict[str, Any] = {
    "kind": RawOnboardOperator,
    "columns": {"email": "E-mail", "phone": "Mobile"},
    "allow_unhashed": True,
}


@pytest.fixture
def bench(client: Any, stores: AssetStores, tmp_path: Path) -> Bench:
    """Runs uploads of an extract of two rows, of which one is good."""
    made = Bench(client, stores, tmp_path)
    made.write(f"{DAY}.csv", "E-mail,Mobile\nAnna@example.com ,0612345678\nno address,\n")
    return made


# --- the usual way ------------------------------------------------------------------------------------------


def test_the_extract_of_the_day_is_prepared_and_sent(bench: Bench) -> None:
    found = bench.run()

    bench.sent(CONTENT)
    assert len(found["content_id"]) == 64
    assert (found["audience_id"], found["uploaded"], found["mode"]) == ("t-7", True, "replace")
    assert (found["load_date"], found["source"]) == (DAY, bench.source.format(load_date=DAY))
    assert (found["rows_read"], found["rows_sent"], found["duplicates"], found["rejected"]) == (2, 1, 0, 1)
    assert (found["ignored_columns"], found["files"], found["hash_mismatches"]) == (1, 1, 0)
    assert (found["guards"], found["rejects_file"]) == ({"ignored": False, "failed": []}, None)
    assert json.loads(json.dumps(found)) == found


def test_a_given_audience_needs_no_memory_and_has_nothing_to_compare_with(bench: Bench) -> None:
    bench.run(audience_id="t-9", asset=None, guards=Guards(max_row_drop=0.0))

    bench.sent(CONTENT, to="t-9")


def test_the_load_date_is_that_of_the_run_unless_one_is_given(bench: Bench) -> None:
    bench.context.update(
        task_context(stores=bench.stores, run_type="scheduled", partition_key=DAY, load_date=None)
    )

    assert bench.run(load_date=None)["load_date"] == DAY


def test_the_first_mode_of_the_platform_is_the_default(bench: Bench) -> None:
    assert bench.operator().mode == "replace"
    assert bench.operator(mode="opt-in").mode == "opt-in"
    assert all(hasattr(bench.operator(), name) for name in bench.operator().template_fields)


# --- refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "append"}, r"Unknown mode 'append'\. Allowed are replace, opt-in"),
        ({"mode": ""}, "Unknown mode"),
        ({"load_date": "yesterday"}, "'yesterday' is not a load date"),
        ({"load_date": "2026-02-30"}, "'2026-02-30' is not a load date"),
        ({"source": "/x/{date}.csv"}, "unknown placeholder"),
        ({**ALLOWED_RAW, "allow_unhashed": False}, "Plain accepts phone only unhashed"),
        ({"columns": {"mail": "E-mail"}}, r"Unknown identifier 'mail'\. Allowed are email, phone"),
        ({"source": {"path": "x", "delimeter": ";"}}, "Unknown field of a source: 'delimeter'. Allowed are path"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_refused_before_any_request(
    bench: Bench, changes: dict[str, Any], message: str
) -> None:
    bench.fails(message, **changes)

    assert bench.client.method_calls == []


# --- raw identifiers ----------------------------------------------------------------------------------------


def test_raw_values_are_sent_only_where_allowed_and_never_logged(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.fails("allow_unhashed: true", **{**ALLOWED_RAW, "allow_unhashed": False})

    found = bench.run(**ALLOWED_RAW)

    bench.sent(f"email,phone\r\n{HASH},+31612345678\r\n".encode())
    logged = repr((found, bench.context["ti"].pushed, bench.stores.stores, capsys.readouterr())).lower()
    assert not [raw for raw in ("anna", "612345678", "no address") if raw in logged]


def test_allow_unhashed_makes_no_hashed_column_raw(bench: Bench) -> None:
    bench.run(allow_unhashed=True)

    bench.sent(CONTENT)


# --- killed -------------------------------------------------------------------------------------------------


def test_on_kill_interrupts_a_running_upload_and_nothing_else(bench: Bench) -> None:
    operator = bench.operator()
    operator.on_kill()

    def kill(*_: Any) -> None:
        with pytest.raises(SystemExit) as caught:
            operator.on_kill()
        # A second signal must not interrupt the clean-up.
        operator.on_kill()
        raise caught.value

    bench.client.send_list.side_effect = kill
    with pytest.raises(SystemExit) as caught:
        operator.execute(bench.context)

    assert caught.value.code == 143
    operator.on_kill()


# --- the source -----------------------------------------------------------------------------------------------


def test_source_columns_and_profile_reach_the_engine(bench: Bench) -> None:
    text = f"'Näme';'E-mail';'Phone'\n'Zoë';'{HASH.upper()}';'070-174 06 05'\n"
    bench.write("20261120.txt", text.encode("cp1252"))
    path = str(bench.folder / "{load_date:%Y%m%d}.txt")
    written = {"format": "csv", "delimiter": ";", "quote": "'", "encoding": "cp1252"}

    found = bench.run(
        kind=RawOnboardOperator,
        allow_unhashed=True,
        source={"path": path, **written, "phone_region": "SE"},
        columns={"email": SourceColumn(" e-MAIL", hashed=True), "phone": "Phone"},
        profile=replace(RAW, line_ending="\n", hash_case="upper"),
    )

    bench.sent(f"email,phone\n{HASH.upper()},+46701740605\n".encode())
    assert found["source"] == str(bench.folder / "20261120.txt")


def test_several_files_are_one_list(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        bench.write(f"more/{name}.csv", f"E-mail\n{name}@example.com\n")

    found = bench.run(source=f"{bench.folder}/more/*.csv")

    assert (found["rows_sent"], found["files"]) == (2, 2)
    assert "from 2 files" in capsys.readouterr().out


def test_the_log_has_progress_and_counts(
    bench: Bench,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(prepare, "PROGRESS_SECONDS", 0.0)
    rows = "anna@example.com,0612345678,38\n" * 3 + "no address,0612345679,44\nbob@,x,45\n"
    bench.write(f"{DAY}.csv", f"E-mail,Mobile,Shoe size\n{rows}")

    bench.run(**ALLOWED_RAW)

    text = re.sub(" +", " ", capsys.readouterr().out)
    assert re.search(r"Read 5 rows, 0\.0 MiB, [\d,]+ rows/s", caplog.text)
    lines = (
        "rows read 5",
        "to send 2",
        "duplicates 2",
        "rejected 1",
        "invalid_email: 1",
        "email: 5 filled, 1 to send, 1 invalid_email",
        "phone: 5 filled, 2 to send",
        "unmapped columns: 1",
    )
    assert [line for line in lines if line not in text] == []


# --- a missing or empty source --------------------------------------------------------------------------------


def missing(**more: Any) -> dict[str, Any]:
    return {"path": NOWHERE, **more}


def test_a_missing_source_fails_or_is_skipped_as_declared(bench: Bench) -> None:
    bench.fails(r"SourceNotFoundError.*2026-11-20\.csv", source=NOWHERE)
    for is_dry_run in (False, True):
        bench.skips(
            r"no source.*nothing to load.*2026-11-20\.csv",
            source=missing(on_missing="skip"),
            is_dry_run=is_dry_run,
        )
    # Only the sensor waits.
    bench.fails(r"SourceNotFoundError.*only LoadPrerequisitesSensor does", source=missing(on_missing="wait"))
    # A load that is under way cannot be skipped any more.
    with pytest.raises(SourceNotFoundError):
        bench.operator(source=missing(on_missing="skip"))._run(bench.context, resuming=True)


def test_an_empty_source_fails_or_is_skipped_as_declared(bench: Bench) -> None:
    bench.write(f"{DAY}.csv", "E-mail\n")

    bench.fails("no row to send", guards=Guards(on_empty="fail"))
    bench.skips("nothing to", guards=Guards(on_empty="skip"))
    # A source with rows that are all rejected is not empty.
    bench.write(f"{DAY}.csv", "E-mail\nno address\n")
    bench.fails(r"EmptySourceError.*invalid_email 1", guards=Guards(on_empty="skip"))


# --- guards ---------------------------------------------------------------------------------------------------

STRICT = Guards(max_rejected_ratio=0.4, min_rows_for_ratios=1)
"""Half of the extract is rejected."""


def test_a_guard_stops_a_load_before_anything_is_sent_but_after_the_rejects_are_listed(bench: Bench) -> None:
    folder = bench.folder / "rejects"

    bench.fails(
        r"GuardError.*guards\.max_rejected_ratio: 1 of 2 rows",
        guards=STRICT,
        rejects=RejectsLocation(str(folder)),
    )

    assert len([*folder.iterdir()]) == 1


@pytest.mark.parametrize("ignore_guards", [True, "True"])
def test_ignored_guards_are_logged_and_recorded(
    bench: Bench, ignore_guards: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench.run(guards=STRICT, ignore_guards=ignore_guards)

    bench.sent(CONTENT)
    assert found["guards"]["ignored"] is True
    assert "max_rejected_ratio: 1 of 2 rows" in found["guards"]["failed"][0]
    assert "Ignored, because of 'ignore_guards': guards.max_rejected_ratio" in capsys.readouterr().out


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
        ("opt-in", {**LAST, "mode": "opt-in"}, True),
        ("opt-in", {**LAST, "mode": "opt-in", "load_date": DAY}, True),
        # A historical load says nothing about how long the list was later.
        ("opt-in", {**LAST, "mode": "opt-in", "load_date": "2026-11-21"}, False),
        ("opt-in", {**LAST, "mode": "opt-out"}, False),
        ("opt-in", LAST, False),
    ],
)
def test_a_list_is_compared_with_the_last_confirmed_one_of_its_kind(
    bench: Bench, mode: str, last: Any, stops: bool
) -> None:
    bench.store[LAST_LOAD_KEY] = last
    changes: dict[str, Any] = {"mode": mode, "guards": Guards(max_row_drop=0.5)}

    if stops:
        bench.fails("max_row_drop: 1 rows to send, the last confirmed load had 1,000", **changes)
    else:
        bench.run(**changes)
        bench.sent(CONTENT)


# --- rejects --------------------------------------------------------------------------------------------------


def test_rejected_rows_are_listed_once_for_a_run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = "scheduled__2026-11-20T03:00:00+00:00__2026-11-20__xyz"
    bench.context.update(task_context(stores=bench.stores, run_id=run_id))
    folder = bench.folder / "rejects" / "list"

    for _ in range(2):
        found = bench.run(rejects=RejectsLocation(str(folder)))

    path = folder / "2026-11-20-scheduled__2026-11-20T03-00-00-00-00__2026-11-20__xyz.csv"
    assert [*folder.iterdir()] == [path]
    assert found["rejects_file"] == str(path)
    header, line = path.read_text(encoding="utf-8").splitlines()
    assert header == "file,row,field,outcome,reason,sample"
    assert line.startswith(",2,email,row,invalid_email,")
    assert "no address" not in line
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"1 rejected rows and fields are listed in {path}" in capsys.readouterr().out


def test_a_load_without_rejects_writes_no_list(bench: Bench) -> None:
    bench.write(f"{DAY}.csv", "E-mail\nanna@example.com\n")

    assert bench.run(rejects=RejectsLocation(str(bench.folder / "rejects")))["rejects_file"] is None
    assert not (bench.folder / "rejects").exists()


def test_nothing_is_sent_if_the_rejects_cannot_be_listed(bench: Bench) -> None:
    bench.write("a_file", "")

    bench.fails(
        "Writing the rejects failed, so nothing is sent",
        rejects=RejectsLocation(f"{bench.folder}/a_file"),
    )


def test_rejects_go_to_s3_by_their_own_connection(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    written: list[tuple[str, str, bytes]] = []
    s3 = SimpleNamespace(
        meta=SimpleNamespace(region_name="eu-west-1", endpoint_url="https://s3.eu-west-1.amazonaws.com"),
        upload_fileobj=lambda stream, bucket, key, **_: written.append((bucket, key, stream.read())),
    )
    monkeypatch.setattr(upload_operator, "s3_client", lambda connection: asked.append(connection) or s3)

    found = bench.run(rejects=RejectsLocation("s3://ours/rejects/list", "our_s3"))

    assert found["rejects_file"] == f"s3://ours/rejects/list/{DAY}-manual__1.csv"
    assert asked == ["our_s3"]
    ((bucket, key, content),) = written
    assert (bucket, key) == ("ours", f"rejects/list/{DAY}-manual__1.csv")
    assert content.startswith(b"file,row,field,outcome,reason,sample\n,2,email,row,invalid_email,")


def test_no_list_of_rejects_lies_where_the_vendor_reads(bench: Bench) -> None:
    class Reading(PlainOnboardOperator):
        def is_vendor_path(self, url: str) -> bool:
            return url.startswith("s3://theirs/")

    bench.fails(
        "may not lie where the vendor reads files", kind=Reading, rejects=RejectsLocation("s3://theirs/x")
    )

    assert bench.client.method_calls == []


@pytest.mark.parametrize("path", ["{}/", "{}/*.csv", "{}/../*/*.csv", "{}/deeper/../"])
def test_no_list_of_rejects_becomes_a_source(bench: Bench, path: str) -> None:
    bench.fails(
        "lie among the files of the source",
        source=path.format(bench.folder),
        rejects=RejectsLocation(str(bench.folder)),
    )

    assert [item.name for item in bench.folder.iterdir()] == [f"{DAY}.csv"]


# --- a dry run ----------------------------------------------------------------------------------------------


class TakesOut(PlainOnboardOperator):
    """Has a mode that removes."""

    modes = ("replace", "opt-in", "opt-out")


@pytest.mark.parametrize(
    ("mode", "adds", "removes"), [("replace", 1, None), ("opt-in", 1, 0), ("opt-out", 0, 1)]
)
def test_a_dry_run_prepares_and_counts_but_sends_nothing(
    bench: Bench, mode: str, adds: int, removes: int | None
) -> None:
    bench.skips("1 rows would be sent, nothing was", kind=TakesOut, mode=mode, is_dry_run="True")

    report = bench.context["ti"].pushed["dry_run_report"]
    assert json.loads(json.dumps(report)) == report
    assert (report["rows_sent"], report["duplicates"]) == (1, 0)
    assert report["rejected_by_reason"] == {"invalid_email": 1}
    assert (report["would_add"], report["would_remove"]) == (adds, removes)
    assert report["guards"] == {"ignored": False, "failed": []}


def test_a_dry_run_reports_guards_but_fails_by_none_and_writes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    before = dict(bench.store)

    bench.skips(
        r"nothing was\. 1 of the guards would stop it\.",
        is_dry_run=True,
        guards=STRICT,
        rejects=RejectsLocation(str(bench.folder / "rejects")),
    )

    assert "This guard would stop the load: guards.max_rejected_ratio" in caplog.text
    assert len(bench.context["ti"].pushed["dry_run_report"]["guards"]["failed"]) == 1
    assert not (bench.folder / "rejects").exists()
    assert bench.store == before


def test_a_dry_run_needs_no_audience_but_looks_at_a_given_one(bench: Bench) -> None:
    bench.store.clear()
    bench.skips("nothing was", is_dry_run=True, audience_id="None")
    assert bench.client.method_calls == []

    bench.skips("nothing was", is_dry_run=True, audience_id="t-9")
    bench.client.state_of.assert_called_once_with("t-9")


# --- once ---------------------------------------------------------------------------------------------------


def confirmed(bench: Bench, *, mode: str = "replace", **changes: Any) -> dict[str, Any]:
    """Remember a load that the vendor has confirmed."""
    record = {
        "load_date": DAY,
        "audience_id": "t-7",
        "content_id": "x",
        "run_id": "an_earlier_run",
        **changes,
    }
    bench.store[load_key(DAY, mode)] = record
    return record


def test_a_confirmed_load_is_not_sent_again(bench: Bench) -> None:
    record = confirmed(bench, content_id=bench.run()["content_id"])

    found = bench.run()

    bench.sent(CONTENT)
    assert (found["uploaded"], found["confirmed"]) == (False, record)


def test_other_content_for_a_confirmed_day_has_to_supersede(bench: Bench) -> None:
    confirmed(bench, content_id="other")

    bench.fails(r"UploadConflictError.*an_earlier_run.*Overwrite")
    bench.run(overwrite="True")

    bench.sent(CONTENT)


@pytest.mark.parametrize("changes", [{"mode": "opt-in"}, {"audience_id": "t-8"}, {"load_date": "2026-11-19"}])
def test_a_confirmation_of_something_else_does_not_count(bench: Bench, changes: dict[str, Any]) -> None:
    confirmed(bench, **changes)

    bench.run()

    bench.sent(CONTENT)


@pytest.mark.parametrize("record", ["confirmed", ["x"], {}, {"load_date": DAY}])
def test_an_unreadable_record_does_not_stop_the_load(bench: Bench, record: Any) -> None:
    bench.store[load_key(DAY, "replace")] = record

    bench.run()

    bench.sent(CONTENT)


# --- in order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "last", "is_skipped"),
    [
        ("replace", "2026-11-21", True),
        ("replace", DAY, False),
        ("replace", "2026-11-19", False),
        ("opt-in", "2026-11-21", False),
    ],
)
def test_an_older_list_never_replaces_a_newer_one(
    bench: Bench, mode: str, last: str, is_skipped: bool
) -> None:
    bench.store[LAST_LOAD_KEY] = {"load_date": last}

    if is_skipped:
        bench.skips(f"load of {last} is confirmed.*Overwrite", mode=mode)
    bench.run(mode=mode, overwrite=is_skipped)

    bench.sent(CONTENT)
