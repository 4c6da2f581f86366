"""The onboarding DAG: its tasks, its form, and its own functions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base.load import RejectsLocation
from audience_onboarding.base.pools import CREATE_POOL
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, SourceColumn
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.pipelines.common import get_asset
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import (
    NO_FLAGS,
    REMOVE,
    check_form,
    definition,
    onboarding,
    outlets_of,
    rendered,
    run_task,
    upstream_of,
)
from tests.unit.state.helpers import check

# --- tasks --------------------------------------------------------------------------------------------------


def test_each_task_follows_the_one_before_and_pinned_objects_are_not_created() -> None:
    loading = {
        "wait_for_confirmation": {"upload"},
        "record_load": {"upload", "wait_for_confirmation"},
        "publish_load": {"record_load"},
        "wait_for_prerequisites": set(),
    }
    given: dict[str, Any] = {**loading, "upload": {"wait_for_prerequisites"}}
    found: dict[str, Any] = {
        **loading,
        "upload": {"wait_for_prerequisites", "ensure_audience"},
        "ensure_audience": set(),
    }
    created = {
        **loading,
        "upload": {"audience_ready", "wait_for_prerequisites"},
        "lookup_audience": set(),
        "ensure_campaign": {"lookup_audience"},
        "ensure_audience": {"lookup_audience", "ensure_campaign"},
        "audience_ready": {"lookup_audience", "ensure_audience"},
    }
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, created),
        ({"campaign": {"id": 5}}, found),
        ({"campaign": REMOVE, "id": 7}, given),
        ({"id": 7}, given),
        ({"campaign": {"id": 5}, "id": 7}, given),
    ]
    check(lambda changes: upstream_of(onboarding(**changes)), cases)
    assert onboarding(campaign={"id": 5}).get_task("ensure_audience").campaign_id == 5
    assert onboarding(id=7).get_task("upload").audience_id == 7


def test_a_load_passes_over_the_creation_of_known_objects_and_over_nothing_else() -> None:
    dag = onboarding()
    rules = {task.task_id: task.trigger_rule for task in dag.tasks}
    recall: Any = dag.get_task("lookup_audience")

    passing = {name for name, rule in rules.items() if rule == "none_failed_min_one_success"}
    assert passing == {"ensure_audience", "audience_ready"}
    # A skipped load is not sent.
    assert {rule for name, rule in rules.items() if name not in passing} == {"all_success"}
    assert (recall.campaign_task_id, recall.audience_task_id) == ("ensure_campaign", "ensure_audience")
    assert dag.get_task("audience_ready").inherits_from_empty_operator


# Airflow 3.3 gives an empty list for an XCom that was never pushed.
@pytest.mark.parametrize("missing", [None, []], ids=["nothing", "empty list"])
def test_an_id_comes_from_the_task_that_has_it(missing: Any) -> None:
    dag = onboarding()

    def given(case: tuple[str, str, dict[tuple[str, str], int]]) -> str:
        task_id, field, pushed = case
        ti = SimpleNamespace(xcom_pull=lambda *, task_ids, key: pushed.get((task_ids, key), missing))
        return rendered(getattr(dag.get_task(task_id), field), ti=ti)

    cases: list[tuple[tuple[str, str, dict[tuple[str, str], int]], str]] = [
        (("ensure_audience", "campaign_id", {("lookup_audience", "campaign_id"): 5}), "5"),
        (("ensure_audience", "campaign_id", {("ensure_campaign", "return_value"): 6}), "6"),
        (("ensure_audience", "campaign_id", {}), ""),
        (("upload", "audience_id", {("lookup_audience", "return_value"): 7}), "7"),
        (("upload", "audience_id", {("ensure_audience", "return_value"): 8}), "8"),
        (("upload", "audience_id", {}), ""),
    ]
    check(given, cases)


def test_a_campaign_of_several_audiences_is_created_by_one_task_at_a_time() -> None:
    def names(task_id: str, attribute: str = "asset") -> list[str]:
        return [getattr(dag.get_task(task_id), attribute).name for dag in dags]

    dags = [onboarding(key="one"), onboarding(key="two")]

    # Its pool has one slot.
    assert {dag.get_task("ensure_campaign").pool for dag in dags} == {CREATE_POOL}
    assert len(set(names("ensure_campaign"))) == 1
    assert names("lookup_audience", "campaign_asset") == names("ensure_campaign")
    assert len(set(names("ensure_audience"))) == 2


def test_tasks_write_the_memory_once_at_a_time_and_only_publish_makes_an_event() -> None:
    dag = onboarding()
    writing = {"ensure_audience", "upload", "record_load"}

    # Also in a backfill.
    assert {dag.get_task(task_id).max_active_tis_per_dag for task_id in writing} == {1}
    assert outlets_of(dag) == {"publish_load": ["audience/newsletter"]}
    with_inlets = {task.task_id for task in dag.tasks if task.inlets}
    assert with_inlets == {*writing, "lookup_audience", "ensure_campaign"}


def test_later_loads_wait_for_earlier_ones_as_far_as_they_need_an_order() -> None:
    def waits_for(case: tuple[str | None, str]) -> str:
        until, mode = case
        dag = onboarding(upload={"wait_for_earlier_loads": until} if until else {})
        sensor: Any = dag.get_task("wait_for_prerequisites")
        params = {"mode": mode, "source": None, "range_start": None, "dry_run": False}
        sensor.render_template_fields({"params": params})
        assert not sensor.wait_for_task_id or dag.has_task(sensor.wait_for_task_id)
        return str(sensor.wait_for_task_id)

    cases: list[tuple[tuple[str | None, str], str]] = [
        ((None, "opt-in"), "record_load"),
        (("confirmed", "opt-in"), "record_load"),
        (("uploaded", "opt-in"), "upload"),
        (("never", "opt-in"), ""),
        (("never", "opt-out"), ""),
        (("never", "replace"), "record_load"),
        (("never", "mirror"), "record_load"),
    ]
    check(waits_for, cases)


def test_waiting_holds_no_slot_that_earlier_loads_need() -> None:
    dag = onboarding(source__on_missing="wait")
    sensor: Any = dag.get_task("wait_for_prerequisites")
    upload: Any = dag.get_task("upload")

    # Airflow counts a deferred task as a running one.
    assert (sensor.max_active_tis_per_dag, upload.max_active_tis_per_dag) == (None, 1)
    assert (sensor.source, sensor.timezone, sensor.aws_conn_id) == (
        upload.source, upload.timezone, "audience_s3"
    )  # fmt: skip
    assert (sensor.range_start, sensor.is_dry_run) == (upload.range_start, upload.is_dry_run)


# --- from the definition to the tasks -----------------------------------------------------------------------


def test_the_definition_reaches_the_tasks() -> None:
    columns = {"email": {"column": "Hash", "hashed": True}, "phone": "Phone"}
    reading = {
        "delimiter": ";",
        "encoding": "cp1252",
        "quote": "'",
        "phone_region": "SE",
        "on_missing": "wait",
    }
    waiting = {"aws_conn_id": "source_s3", "wait_timeout_hours": 2, "poll_interval_seconds": 30}
    sending = {"aws_conn_id": "vendor_s3", "bucket": "b", "memory_limit_mib": 256}
    states = {"success_states": ["DONE"], "failure_states": ["BAD"], "pending_states": ["BUSY"]}
    dag = onboarding(
        conn_id="a_connection",
        retries=5,
        retry_delay_seconds=7,
        source={"path": "x.csv", "columns": columns, **reading, **waiting},
        output_file={"hash_case": "upper"},
        guards={"min_rows": 10, "max_row_drop": None},
        rejects={"path": "rejects", "aws_conn_id": "our_s3"},
        upload={**sending, "on_second_daily_file": "wait"},
        wait={**states, "confirm_by": "history", "poll_interval_seconds": 5, "timeout_hours": 1.5},
    )
    upload: Any = dag.get_task("upload")
    wait: Any = dag.get_task("wait_for_confirmation")

    assert upload.columns == {"email": SourceColumn("Hash", hashed=True), "phone": "Phone"}
    assert SourceOptions.parse({**upload.source, "path": "x"}) == SourceOptions(
        path="x",
        aws_conn_id="source_s3",
        wait_timeout=7200,
        poll_interval=30,
        own_path="{{ '/project/include/x.csv' }}",
        override_folder="/project/include/",
        **reading,
    )
    assert upload.profile == replace(DIGITAL_AUDIENCE_S3, hash_case="upper")
    assert upload.guards == Guards(min_rows=10, max_row_drop=None)
    assert upload.rejects == RejectsLocation("/project/include/rejects/newsletter", "our_s3")
    assert (upload.aws_conn_id, upload.bucket) == ("vendor_s3", "b")
    assert (upload.memory_limit_mib, upload.timezone) == (256, "Europe/Amsterdam")
    assert (wait.poke_interval, wait.timeout) == (5, 5400)
    # The upload waits for the file of an earlier load, by the same rules.
    assert (upload.poke_interval, upload.processing_timeout) == (5, 5400)
    assert upload.on_second_daily_file == "wait"
    for task in (wait, upload):
        assert {name: list(getattr(task.rules, name)) for name in states} == states
        assert task.rules.confirm_by == "history"
    ours = ("lookup_audience", "ensure_campaign", "ensure_audience", "upload", "wait_for_confirmation")
    assert {dag.get_task(task_id).digital_audience_conn_id for task_id in ours} == {"a_connection"}
    for task in dag.tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert (task.retries, task.retry_delay.total_seconds(), task.owner) == (5, 7, "crm-team")


def test_a_folder_of_snapshots_reaches_the_task_and_lets_the_form_offer_a_mirror() -> None:
    dag = onboarding(
        snapshots={"path": "state", "aws_conn_id": "our_s3", "retain": 5}, upload={"mode": "mirror"}
    )
    upload: Any = dag.get_task("upload")

    assert upload.snapshots == SnapshotLocation("/project/include/state/newsletter", "our_s3", 5)
    form = dag.params.get_param("mode")
    assert form.value == "mirror"
    assert form.schema["enum"] == ["opt-in", "opt-out", "replace", "mirror"]
    assert set(form.schema["values_display"]) == set(form.schema["enum"])


def test_defaults_of_the_definition() -> None:
    dag = onboarding()
    upload: Any = dag.get_task("upload")

    assert SourceOptions.parse({**upload.source, "path": "x"}) == SourceOptions(
        path="x",
        own_path="{{ '/project/include/crm/{load_date}.csv' }}",
        override_folder="/project/include/crm/",
    )
    assert (upload.profile, upload.guards, upload.rejects) == (DIGITAL_AUDIENCE_S3, Guards(), None)
    assert upload.snapshots is None
    assert dag.params.get_param("mode").schema["enum"] == ["opt-in", "opt-out", "replace"]


def test_a_query_is_asked_unless_the_run_names_a_file() -> None:
    query = "SELECT email FROM crm\n  WHERE d = :load_date -- it's {x}"
    columns = {"email": "email"}
    upload: Any = onboarding(source={"query": query, "conn_id": "crm_db", "columns": columns}).get_task(
        "upload"
    )

    def options(source: str | None) -> SourceOptions:
        context: Any = {"params": {"source": source}}
        return SourceOptions.parse(upload.render_template(upload.source, context))

    assert options(None).is_query
    assert (options(None).query, options(None).conn_id) == (query, "crm_db")
    assert not options("s3://b/x.csv").is_query


def test_a_run_may_name_a_file_in_the_folder_of_the_definition_only() -> None:
    upload: Any = onboarding().get_task("upload")

    def url(source: str | None) -> str:
        context: Any = {"params": {"source": source}}
        return SourceOptions.parse(upload.render_template(upload.source, context)).url(date(2026, 11, 20))

    assert url(None) == "/project/include/crm/2026-11-20.csv"
    assert url("/project/include/crm/again.csv") == "/project/include/crm/again.csv"
    with pytest.raises(ConfigurationError, match="not in the folder of the definition"):
        url("/etc/passwd")


def test_a_path_survives_the_template_whatever_it_holds() -> None:
    def path_of(case: tuple[str, str | None]) -> str:
        path, given = case
        template: Any = onboarding(source__path=path).get_task("upload").source["path"]
        return rendered(template, params={"source": given})

    paths = ["crm/{load_date}.csv", "it's/{load_date}.csv", 'a "quoted" name/{load_date:%Y%m%d}.csv']
    paths += [
        "both ' and \".csv",
        "back\\slash\\new.csv",
        "één klant 客户.csv",
        "{{curly}}/%}}{load_date}.csv",
    ]
    check(path_of, [((path, empty), f"/project/include/{path}") for path in paths for empty in (None, "")])
    other = "s3://other/{load_date}.csv"
    check(path_of, [((path, other), other) for path in paths])


# --- schedule -----------------------------------------------------------------------------------------------


def test_the_schedule_counts_in_the_definitions_time_zone() -> None:
    dag, by_hand = onboarding(), onboarding(schedule=REMOVE)

    assert (dag.timetable.timezone, dag.timetable.expression) == ("Europe/Amsterdam", "0 3 * * *")
    assert dag.timetable.key_format == "%Y-%m-%d"
    assert dag.start_date == datetime(2026, 11, 15, 23, tzinfo=timezone.utc)
    # The last day counts to its end.
    last_second = datetime(2026, 11, 20, 22, 59, 59, tzinfo=timezone.utc)
    assert dag.end_date is not None
    assert last_second <= dag.end_date < last_second + timedelta(seconds=1)
    assert not dag.catchup
    # End and schedule may be left out.
    assert onboarding(schedule__end=REMOVE).end_date is None
    assert not by_hand.timetable.can_be_scheduled
    assert by_hand.get_task("upload").timezone == "UTC"


# --- the form -----------------------------------------------------------------------------------------------


def test_the_form_takes_good_values_and_refuses_others() -> None:
    flags = ("dry_run", "overwrite", "ignore_guards", "activate_on_backfill")
    check_form(
        onboarding(),
        {
            "load_date": ([None, "2026-11-20"], ["20-11-2026", "2026-02-30", "yesterday", 20261120, True]),
            "range_start": ([None, "2026-11-01"], ["01-11-2026", "2026-02-30", "", 20261101]),
            "mode": (["opt-in", "opt-out", "replace"], ["append", "", None, "OPT-IN"]),
            "source": ([None, "s3://b/{load_date}.csv"], [5, ["x"]]),
            **dict.fromkeys(flags, ([True, False], NO_FLAGS)),
        },
    )


def test_the_form_is_filled_in_so_that_a_schedule_works() -> None:
    flags = ("dry_run", "ignore_guards", "overwrite", "activate_on_backfill")

    assert onboarding(upload={"mode": "replace"}).params.dump() == {
        **dict.fromkeys(("load_date", "range_start", "source")),
        "mode": "replace",
        **dict.fromkeys(flags, False),
    }


def test_the_form_reaches_every_task_that_could_send_something() -> None:
    dag = onboarding()

    def given(case: tuple[str, str, str, Any]) -> str:
        task_id, field, name, value = case
        task: Any = dag.get_task(task_id)
        assert field in task.template_fields
        return rendered(getattr(task, field), params={name: value})

    creating_and_sending = ("ensure_campaign", "ensure_audience", "upload")
    flags = [(task_id, "is_dry_run", "dry_run") for task_id in creating_and_sending]
    flags += [("upload", "ignore_guards", "ignore_guards")]
    check(given, [((*flag, value), str(value)) for flag in flags for value in (True, False)])
    first_day = ("upload", "range_start", "range_start")
    check(given, [((*first_day, "2026-11-01"), "2026-11-01"), ((*first_day, None), "")])


# --- recording ----------------------------------------------------------------------------------------------


LOAD = {
    "audience_id": 7,
    "load_date": "2026-11-20",
    "mode": "opt-in",
    "source": "/project/include/crm/2026-11-20.csv",
    "bucket": "b",
    "s3_key": "onboard/audience=7/opt-in/20261120_000000.csv",
    "content_id": "abc",
    "rows_read": 1000,
    "rows_sent": 900,
    "duplicates": 60,
    "rejected": 40,
    "rejected_by_reason": {"email_invalid": 40},
    "invalid_values": {"phone": {"invalid_phone": 5}},
    "values_sent": {"email": 900},
    "values_read": {"email": 1000},
    "hash_mismatches": 0,
    "ignored_columns": 3,
    "files": 1,
    "rejects_file": "/rejects/newsletter/2026-11-20-scheduled__1.csv",
    "guards": {"ignored": True, "failed": ["guards.max_rejected_ratio: 40 of 1,000 rows rejected"]},
    "uploaded": True,
    "baseline": {},
}
SEEN = {
    "audience_id": 7,
    "audience_state": "READY",
    "data_updated": "2026-11-20T04:00:00+00:00",
    "size": 900,
    "match_rates": {"EMAIL": 0.5, "PHONE": None},
    "data_set": {},
}


@pytest.fixture
def context() -> dict[str, Any]:
    """The context of a scheduled run; a test may change it."""
    return task_context(
        stores=AssetStores(),
        run_id="scheduled__1",
        run_type="scheduled",
        activate_on_backfill=False,
        overwrite=False,
    )


def record(context: dict[str, Any], load: dict[str, Any] = LOAD, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = run_task(onboarding(), "record_load", context, {**load, **changes}, SEEN)
    return found


def store(context: dict[str, Any]) -> Any:
    return context["asset_state_store"].stores["audience/newsletter"].values


def test_a_confirmed_load_is_remembered(context: dict[str, Any]) -> None:
    found = record(context)

    assert store(context) == {"load.2026-11-20.opt-in": found, "last_load": found}
    assert found["rows_read"] == found["rows_sent"] + found["duplicates"] + found["rejected"]
    assert (found["audience_state"], found["match_rates"]) == ("READY", {"EMAIL": 0.5, "PHONE": None})
    assert (found["run_id"], found["run_type"]) == ("scheduled__1", "scheduled")
    for name in ("content_id", "invalid_values", "rejects_file", "ignored_columns", "guards", "files"):
        assert found[name] == LOAD[name]
    # A load that was sent before an update is recorded without the newer fields.
    newer = {"guards", "rejects_file", "ignored_columns", "files"}
    older = record(context, {name: value for name, value in LOAD.items() if name not in newer})
    assert older["rows_sent"] == 900
    assert not newer & set(older)


def test_the_newest_load_and_a_later_one_of_its_day_is_the_last_load(context: dict[str, Any]) -> None:
    newest = record(context)
    older = record(context, load_date="2026-11-19")

    assert store(context)["last_load"] == newest
    assert store(context)["load.2026-11-19.opt-in"] == older
    second = record(context, mode="opt-out")
    assert store(context)["last_load"] == second


@pytest.mark.parametrize("mode", ["replace", "mirror"])
@pytest.mark.parametrize("on_purpose", [True, False])
def test_an_older_whole_list_is_the_last_load_only_if_sent_on_purpose(
    context: dict[str, Any], mode: str, on_purpose: bool
) -> None:
    """One that is only confirmed later was sent before the newer one, which each later day would else replace."""
    newest = record(context, mode=mode)
    context["params"]["overwrite"] = on_purpose
    older = record(context, mode=mode, load_date="2026-11-19")

    assert store(context)["last_load"] == (older if on_purpose else newest)


HISTORY = {"range_start": "2026-11-01", "days_missing": 2}


def test_a_range_of_days_has_a_record_of_its_own(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    of_the_day = record(context)

    found = record(context, rows_sent=20_000, **HISTORY)

    assert store(context)["load.2026-11-20.opt-in"] == of_the_day
    assert store(context)["load.2026-11-01..2026-11-20.opt-in"] == found
    days = (found["load_date"], found["range_start"], found["days_missing"])
    assert days == ("2026-11-20", "2026-11-01", 2)
    assert "Load 2026-11-01..2026-11-20 (opt-in) of audience 7 is confirmed" in caplog.text
    assert "days without a source 2" in caplog.text


def test_a_range_of_days_is_the_last_load_and_keeps_the_load_that_days_are_compared_with(
    context: dict[str, Any],
) -> None:
    first_of_all = record(context, **HISTORY)
    assert store(context)["last_load"] == first_of_all
    record(context, rows_sent=900)
    kept = {"load_date": "2026-11-20", "mode": "opt-in", "rows_sent": 900}

    first = record(context, rows_sent=20_000, **HISTORY)
    assert store(context)["last_load"] == {**first, "last_single_day_load": kept}
    second = record(context, rows_sent=30_000, range_start="2026-10-01")
    assert store(context)["last_load"] == {**second, "last_single_day_load": kept}
    record(context, rows_sent=40_000, load_date="2026-11-19", **HISTORY)
    assert store(context)["last_load"]["rows_sent"] == 30_000
    newest = record(context, load_date="2026-11-21")
    assert store(context)["last_load"] == newest


def test_the_result_of_a_load_is_logged(context: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    record(context, changes={"added": 12, "removed": 3}, same_day_files=["onboard/another.csv"])

    for part in (
        "added               12",
        "removed              3",
        "another file was uploaded on the same day: onboard/another.csv",
        *("1,000", "900", "60", "40", "email_invalid: 40", "EMAIL: 50.0%", "PHONE: unknown"),
        "rejects are listed in /rejects/newsletter/2026-11-20-scheduled__1.csv",
        "ignored: guards.max_rejected_ratio: 40 of 1,000 rows",
    ):
        assert part in caplog.text


# --- publishing ---------------------------------------------------------------------------------------------


class Event:
    """Event of an outlet, which takes an extra and partitions."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.partitions: list[str] = []

    def add_partitions(self, keys: Any) -> None:
        self.partitions += [keys] if isinstance(keys, str) else list(keys)


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_historical_load_is_published_only_if_asked_for(
    context: dict[str, Any], is_asked_for: bool
) -> None:
    context["params"]["activate_on_backfill"] = is_asked_for
    day = {"load_date": "2026-11-20"}
    days = {**day, "range_start": "2026-11-01"}
    for run_type, load, is_historical in (
        ("scheduled", day, False),
        ("manual", day, False),
        ("backfill", day, True),
        *((run_type, days, True) for run_type in ("manual", "operator_triggered", "scheduled")),
    ):
        event = Event()
        context["outlet_events"] = {get_asset(definition()): event}
        context["dag_run"] = SimpleNamespace(run_type=run_type)
        if is_historical and not is_asked_for:
            with pytest.raises(AirflowSkipException, match="activate_on_backfill"):
                run_task(onboarding(), "publish_load", context, load)
            assert (event.extra, event.partitions) == ({}, []), (run_type, load)
        else:
            run_task(onboarding(), "publish_load", context, load)
            assert (event.extra, event.partitions) == (load, ["2026-11-20"]), (run_type, load)


# --- texts for people ---------------------------------------------------------------------------------------


def test_the_dag_describes_itself() -> None:
    dag = onboarding(tags=["crm", "nl"], description="Everyone", source__columns={"phone": "Mobile"})
    columns = {"phone": {"column": "Hash", "hashed": True}}
    hashed = onboarding(source={"query": "SELECT 1", "conn_id": "crm_db", "columns": columns}).doc_md or ""

    assert "phone from *Hash* (already hashed)" in hashed
    assert "query on connection crm_db" in hashed
    assert dag.dag_id == "onboard_newsletter"
    assert dag.tags == {"audience-onboarding", "crm", "nl", "digital_audience", "onboarding"}
    assert dag.dag_display_name == "Onboard: Newsletter"
    parts = ("Newsletter", "Everyone", "crm/{load_date}.csv", "phone from *Mobile*", "0 3 * * *", "crm-team")
    for part in parts:
        assert part in (dag.doc_md or "")
