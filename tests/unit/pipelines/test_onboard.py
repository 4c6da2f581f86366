"""The onboarding DAG: its tasks, its form, and what its own functions do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError

from audience_onboarding.base.comparing import StateFolder
from audience_onboarding.base.onboarding import Rejects
from audience_onboarding.base.source_options import SourceOptions
from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, SourceColumn
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.orchestration.pools import CREATE_POOL
from audience_onboarding.pipelines import build_onboarding_dag, onboard
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import REMOVE, definition, function_of

BASE = Path("/project/include")


def build(**changes: Any) -> DAG:
    return build_onboarding_dag(definition(**changes), base=BASE)


def chain_of(dag: DAG) -> list[str]:
    """The tasks in the order in which they run."""
    order: list[str] = []
    while len(order) < len(dag.tasks):
        (next_one, *_) = sorted(
            task.task_id
            for task in dag.tasks
            if task.task_id not in order and task.upstream_task_ids <= set(order)
        )
        order.append(next_one)
    return order


# --- tasks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "creating"),
    [
        ({}, ["recall_audience", "ensure_campaign", "ensure_audience", "have_audience"]),
        ({"campaign": {"id": 5}}, ["ensure_audience"]),
        ({"campaign": REMOVE, "id": 7}, []),
        ({"id": 7}, []),
        ({"campaign": {"id": 5}, "id": 7}, []),
    ],
)
def test_what_is_pinned_is_not_created(changes: dict[str, Any], creating: list[str]) -> None:
    dag = build(**changes)

    assert chain_of(dag) == [
        *creating,
        "wait_for_turn",
        "upload",
        "wait_until_ready",
        "record_load",
        "publish",
    ]


def test_each_task_follows_the_one_before() -> None:
    dag = build()

    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "recall_audience": set(),
        "ensure_campaign": {"recall_audience"},
        "ensure_audience": {"recall_audience", "ensure_campaign"},
        "have_audience": {"recall_audience", "ensure_audience"},
        "wait_for_turn": set(),
        "upload": {"have_audience", "wait_for_turn"},
        "wait_until_ready": {"upload"},
        "record_load": {"upload", "wait_until_ready"},
        "publish": {"record_load"},
    }


def test_what_is_skipped_as_known_is_passed_over_and_nothing_else_is() -> None:
    rules = {task.task_id: task.trigger_rule for task in build().tasks}

    passing = {name for name, rule in rules.items() if rule == "none_failed_min_one_success"}
    assert passing == {"ensure_audience", "have_audience"}
    # A load whose turn is skipped is not sent.
    assert {rule for name, rule in rules.items() if name not in passing} == {"all_success"}


def test_no_load_but_one_that_creates_something_goes_through_a_creation() -> None:
    recall: Any = build().get_task("recall_audience")

    assert (recall.campaign_task_id, recall.audience_task_id) == ("ensure_campaign", "ensure_audience")
    assert build().get_task("have_audience").inherits_from_empty_operator


@pytest.mark.parametrize(
    ("task_id", "field", "pushed", "given"),
    [
        ("ensure_audience", "campaign_id", {("recall_audience", "campaign_id"): 5}, "5"),
        ("ensure_audience", "campaign_id", {("ensure_campaign", "return_value"): 6}, "6"),
        ("ensure_audience", "campaign_id", {}, ""),
        ("upload", "audience_id", {("recall_audience", "return_value"): 7}, "7"),
        ("upload", "audience_id", {("ensure_audience", "return_value"): 8}, "8"),
        ("upload", "audience_id", {}, ""),
    ],
)
@pytest.mark.parametrize("missing", [None, []], ids=["nothing", "empty list"])
def test_an_id_comes_from_whoever_has_it(
    task_id: str, field: str, pushed: dict[tuple[str, str], int], given: str, missing: Any
) -> None:
    template = getattr(build().get_task(task_id), field)
    # Airflow 3.3 gives an empty list for what was never pushed.
    ti = SimpleNamespace(xcom_pull=lambda *, task_ids, key: pushed.get((task_ids, key), missing))

    assert jinja2.Template(template).render(ti=ti) == given


def test_pinned_ids_reach_the_tasks() -> None:
    assert build(campaign={"id": 5}).get_task("ensure_audience").campaign_id == 5  # type: ignore[attr-defined]
    assert build(id=7).get_task("upload").audience_id == 7  # type: ignore[attr-defined]


def test_what_several_audiences_share_is_created_by_one_task_at_a_time() -> None:
    first, second = build(key="one"), build(key="two")

    for dag in (first, second):
        assert dag.get_task("ensure_campaign").pool == CREATE_POOL
    shared = [dag.get_task("ensure_campaign").asset.name for dag in (first, second)]  # type: ignore[attr-defined]
    assert len(set(shared)) == 1
    recalled = [dag.get_task("recall_audience").campaign_asset.name for dag in (first, second)]  # type: ignore[attr-defined]
    assert recalled == shared
    own = [dag.get_task("ensure_audience").asset.name for dag in (first, second)]  # type: ignore[attr-defined]
    assert len(set(own)) == 2


@pytest.mark.parametrize("task_id", ["ensure_audience", "upload", "record_load"])
def test_what_writes_the_audiences_memory_runs_once_at_a_time_in_a_backfill_too(task_id: str) -> None:
    assert build().get_task(task_id).max_active_tis_per_dag == 1


def test_every_task_follows_our_rules_of_retrying() -> None:
    for task in build(retries=5, retry_delay_seconds=7).tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert (task.retries, task.retry_delay.total_seconds(), task.owner) == (5, 7, "crm-team")


def test_only_publish_makes_an_event_of_the_audience() -> None:
    dag = build()

    assert {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets} == {
        "publish": ["audience/newsletter"]
    }
    assert {task.task_id for task in dag.tasks if task.inlets} == {
        "recall_audience",
        "ensure_campaign",
        "ensure_audience",
        "upload",
        "record_load",
    }


@pytest.mark.parametrize(
    ("until", "task_id"), [(None, "record_load"), ("confirmed", "record_load"), ("uploaded", "upload")]
)
def test_later_loads_wait_for_earlier_ones(until: str | None, task_id: str) -> None:
    dag = build(upload={} if until is None else {"wait_for_earlier_loads": until})

    assert dag.get_task("wait_for_turn").in_order_of == task_id  # type: ignore[attr-defined]
    assert dag.has_task(task_id)


@pytest.mark.parametrize(
    ("mode", "task_id"),
    [("opt-in", ""), ("opt-out", ""), ("replace", "record_load"), ("mirror", "record_load")],
)
def test_loads_that_need_no_order_wait_for_none(mode: str, task_id: str) -> None:
    turn = build(upload={"wait_for_earlier_loads": "never"}).get_task("wait_for_turn")

    params = {"mode": mode, "source": None, "history_from": None, "dry_run": False}
    turn.render_template_fields({"params": params})  # type: ignore[arg-type,typeddict-item]

    assert turn.in_order_of == task_id  # type: ignore[attr-defined]


def test_the_definition_reaches_the_tasks() -> None:
    dag = build(
        connection="a_connection",
        source={
            "path": "x.csv",
            "columns": {"email": "E-mail", "phone": "Phone"},
            "delimiter": ";",
            "encoding": "cp1252",
            "quote": "'",
            "country": "SE",
            "aws_connection": "source_s3",
            "if_missing": "wait",
            "wait_hours": 2,
            "poll_seconds": 30,
        },
        file={"hash_case": "upper"},
        guards={"min_rows": 10, "max_shrink": None},
        rejects={"path": "rejects", "aws_connection": "our_s3"},
        upload={"aws_connection": "vendor_s3", "bucket": "b", "memory_limit_mib": 256},
        wait={
            "success_states": ["DONE"],
            "failure_states": ["BAD"],
            "pending_states": ["BUSY"],
            "confirm_by": "history",
            "poll_seconds": 5,
            "timeout_hours": 1.5,
        },
    )
    upload: Any = dag.get_task("upload")
    wait: Any = dag.get_task("wait_until_ready")

    assert upload.columns == {"email": "E-mail", "phone": "Phone"}
    assert SourceOptions.of({**upload.source, "path": "x"}) == SourceOptions(
        path="x",
        delimiter=";",
        encoding="cp1252",
        quote="'",
        country="SE",
        aws_conn_id="source_s3",
        if_missing="wait",
        wait_timeout=7200,
        poll_interval=30,
    )
    assert upload.profile == replace(DIGITAL_AUDIENCE_S3, hash_case="upper")
    assert upload.guards == Guards(min_rows=10, max_shrink=None)
    assert upload.rejects == Rejects("/project/include/rejects/newsletter", "our_s3")
    assert (upload.aws_conn_id, upload.bucket) == ("vendor_s3", "b")
    assert (upload.memory_limit_mib, upload.timezone) == (256, "Europe/Amsterdam")
    assert (wait.success_states, wait.failure_states, wait.pending_states) == (("DONE",), ("BAD",), ("BUSY",))
    assert (wait.confirm_by, wait.poke_interval, wait.timeout) == ("history", 5, 5400)
    for task_id in (
        "recall_audience",
        "ensure_campaign",
        "ensure_audience",
        "upload",
        "wait_until_ready",
    ):
        assert dag.get_task(task_id).digital_audience_conn_id == "a_connection"  # type: ignore[attr-defined]


def test_a_folder_of_snapshots_reaches_the_task_and_lets_the_form_offer_a_mirror() -> None:
    dag = build(state={"path": "state", "aws_connection": "our_s3", "keep": 5}, upload={"mode": "mirror"})
    upload: Any = dag.get_task("upload")

    assert upload.state == StateFolder("/project/include/state/newsletter", "our_s3", 5)
    form = dag.params.get_param("mode")
    assert form.value == "mirror"
    assert form.schema["enum"] == ["opt-in", "opt-out", "replace", "mirror"]
    assert set(form.schema["values_display"]) == set(form.schema["enum"])
    without = build()
    assert without.get_task("upload").state is None  # type: ignore[attr-defined]
    assert without.params.get_param("mode").schema["enum"] == ["opt-in", "opt-out", "replace"]


def test_how_the_vendor_is_waited_for_reaches_the_task_that_sends_too() -> None:
    wait = {
        "success_states": ["DONE"],
        "failure_states": ["BAD"],
        "pending_states": ["BUSY"],
        "confirm_by": "history",
        "poll_seconds": 5,
        "timeout_hours": 1.5,
    }
    upload: Any = build(wait=wait, upload={"second_file_same_day": "wait"}).get_task("upload")

    assert (upload.success_states, upload.failure_states, upload.pending_states) == (
        ("DONE",),
        ("BAD",),
        ("BUSY",),
    )
    assert (upload.confirm_by, upload.poke_interval, upload.processing_timeout) == ("history", 5, 5400)
    assert upload.second_file_same_day == "wait"


def test_what_a_definition_leaves_out_is_left_out() -> None:
    upload: Any = build().get_task("upload")

    assert SourceOptions.of({**upload.source, "path": "x"}) == SourceOptions(path="x")
    assert (upload.profile, upload.guards, upload.rejects) == (DIGITAL_AUDIENCE_S3, Guards(), None)


def test_a_column_of_hashes_reaches_the_task() -> None:
    columns = {"email": {"column": "Hash", "hashed": True}, "phone": "Phone"}

    upload: Any = build(source__columns=columns).get_task("upload")

    assert upload.columns == {"email": SourceColumn("Hash", hashed=True), "phone": "Phone"}


def test_a_query_is_asked_unless_the_run_names_a_file() -> None:
    query = "SELECT email FROM crm\n  WHERE d = :load_date -- it's {x}"
    upload: Any = build(
        source={"query": query, "connection": "crm_db", "columns": {"email": "email"}}
    ).get_task("upload")

    def rendered(source: str | None) -> SourceOptions:
        context: Any = {"params": {"source": source}}
        return SourceOptions.of(upload.render_template(upload.source, context))

    assert rendered(None).is_query
    assert (rendered(None).query, rendered(None).conn_id) == (query, "crm_db")
    assert not rendered("s3://b/x.csv").is_query


@pytest.mark.parametrize(
    "path",
    [
        "crm/{load_date}.csv",
        "it's/{load_date}.csv",
        'a "quoted" name/{load_date:%Y%m%d}.csv',
        "both ' and \".csv",
        "back\\slash\\new.csv",
        "één klant 客户.csv",
        "{{curly}}/%}}{load_date}.csv",
    ],
)
def test_a_path_survives_the_template_whatever_it_holds(path: str) -> None:
    template = build(source__path=path).get_task("upload").source["path"]  # type: ignore[attr-defined]

    def render(source: str | None) -> str:
        return jinja2.Template(template).render(params={"source": source})

    assert render(None) == f"/project/include/{path}"
    assert render("") == f"/project/include/{path}"
    assert render("s3://other/{load_date}.csv") == "s3://other/{load_date}.csv"


# --- schedule -----------------------------------------------------------------------------------------------


def test_the_schedule_counts_in_the_definitions_time_zone() -> None:
    dag = build()

    assert dag.timetable.timezone == "Europe/Amsterdam"  # type: ignore[attr-defined]
    assert dag.timetable.expression == "0 3 * * *"  # type: ignore[attr-defined]
    assert dag.start_date == datetime(2026, 11, 15, 23, tzinfo=timezone.utc)
    assert dag.end_date is not None
    # The last day counts to its end.
    assert datetime(2026, 11, 20, 22, 59, 59, tzinfo=timezone.utc) <= dag.end_date
    assert dag.end_date < datetime(2026, 11, 20, 23, tzinfo=timezone.utc)
    assert not dag.catchup


def test_a_run_is_keyed_by_its_day() -> None:
    assert build().timetable.key_format == "%Y-%m-%d"  # type: ignore[attr-defined]


def test_without_an_end_it_goes_on() -> None:
    assert build(schedule__end=REMOVE).end_date is None


def test_without_a_schedule_it_is_run_by_hand() -> None:
    dag = build(schedule=REMOVE)

    assert not dag.timetable.can_be_scheduled
    assert dag.get_task("upload").timezone == "UTC"  # type: ignore[attr-defined]


# --- the form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("load_date", [None, "2026-11-20"], ["20-11-2026", "2026-02-30", "yesterday", 20261120, True]),
        ("history_from", [None, "2026-11-01"], ["01-11-2026", "2026-02-30", "", 20261101]),
        ("mode", ["opt-in", "opt-out", "replace"], ["append", "", None, "OPT-IN"]),
        ("source", [None, "s3://b/{load_date}.csv"], [5, ["x"]]),
        ("dry_run", [True, False], ["yes", None, 1]),
        ("supersede", [True, False], ["yes", None, 1]),
        ("ignore_guards", [True, False], ["yes", None, 1]),
        ("activate_on_backfill", [True, False], ["yes", None, 1]),
    ],
)
def test_the_form_takes_what_is_meant_and_refuses_the_rest(
    name: str, good: list[Any], bad: list[Any]
) -> None:
    form = build().params
    param = form.get_param(name)

    for value in good:
        assert param.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


def test_the_form_is_filled_in_so_that_a_schedule_works() -> None:
    form = build(upload={"mode": "replace"}).params

    assert form.dump() == {
        "load_date": None,
        "history_from": None,
        "mode": "replace",
        "source": None,
        "dry_run": False,
        "ignore_guards": False,
        "supersede": False,
        "activate_on_backfill": False,
    }
    assert set(form) == {name for name in form if form.get_param(name).schema.get("title")}


def test_a_dry_run_reaches_every_task_that_could_send_something() -> None:
    dag = build()

    for task_id in ("ensure_campaign", "ensure_audience", "upload"):
        task: Any = dag.get_task(task_id)
        assert "is_dry_run" in task.template_fields
        assert jinja2.Template(task.is_dry_run).render(params={"dry_run": True}) == "True"
        assert jinja2.Template(task.is_dry_run).render(params={"dry_run": False}) == "False"


def test_that_guards_are_ignored_reaches_the_upload() -> None:
    upload: Any = build().get_task("upload")

    assert "ignore_guards" in upload.template_fields
    assert jinja2.Template(upload.ignore_guards).render(params={"ignore_guards": True}) == "True"
    assert jinja2.Template(upload.ignore_guards).render(params={"ignore_guards": False}) == "False"


def test_a_range_of_days_reaches_the_upload() -> None:
    upload: Any = build().get_task("upload")

    assert "history_from" in upload.template_fields
    assert jinja2.Template(upload.history_from).render(params={"history_from": "2026-11-01"}) == "2026-11-01"
    assert jinja2.Template(upload.history_from).render(params={"history_from": None}) == ""


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
    "guards": {"ignored": True, "failed": ["guards.max_rejected_share: 40 of 1,000 rows rejected"]},
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
def context(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The context of a scheduled run; a test may change it."""
    made = task_context(
        stores=AssetStores(),
        run_id="scheduled__1",
        run_type="scheduled",
        activate_on_backfill=False,
        supersede=False,
    )
    monkeypatch.setattr(onboard, "get_current_context", lambda: made)
    return made


def record(context: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = function_of(build(), "record_load")({**LOAD, **changes}, SEEN)
    return found


def memory(context: dict[str, Any]) -> dict[str, Any]:
    return context["asset_state_store"].stores["audience/newsletter"].values  # type: ignore[no-any-return]


def test_a_confirmed_load_is_remembered(context: dict[str, Any]) -> None:
    found = record(context)

    assert memory(context) == {"load.2026-11-20.opt-in": found, "last_load": found}
    assert found["rows_read"] == found["rows_sent"] + found["duplicates"] + found["rejected"]
    assert (found["audience_state"], found["match_rates"]) == ("READY", {"EMAIL": 0.5, "PHONE": None})
    assert (found["run_id"], found["run_type"]) == ("scheduled__1", "scheduled")
    for name in ("content_id", "invalid_values", "rejects_file", "ignored_columns", "guards", "files"):
        assert found[name] == LOAD[name]


def test_a_load_that_was_sent_before_an_update_is_recorded_as_far_as_it_is_known(
    context: dict[str, Any],
) -> None:
    old = {
        name: value
        for name, value in LOAD.items()
        if name not in {"guards", "rejects_file", "ignored_columns", "files"}
    }

    found = function_of(build(), "record_load")(old, SEEN)

    assert found["rows_sent"] == 900
    assert "guards" not in found


def test_an_older_load_does_not_become_the_last_one(context: dict[str, Any]) -> None:
    newest = record(context)
    older = record(context, load_date="2026-11-19")

    assert memory(context)["last_load"] == newest
    assert memory(context)["load.2026-11-19.opt-in"] == older


@pytest.mark.parametrize("mode", ["replace", "mirror"])
def test_an_older_list_that_has_replaced_everything_on_purpose_is_the_last_load(
    context: dict[str, Any], mode: str
) -> None:
    record(context, mode=mode)
    context["params"]["supersede"] = True
    older = record(context, mode=mode, load_date="2026-11-19")

    assert memory(context)["last_load"] == older


@pytest.mark.parametrize("mode", ["replace", "mirror"])
def test_an_older_list_that_is_only_confirmed_later_is_not_the_last_load(
    context: dict[str, Any], mode: str
) -> None:
    """It was sent before the newer one: each day after it would else replace the newest again."""
    newest = record(context, mode=mode)
    record(context, mode=mode, load_date="2026-11-19")

    assert memory(context)["last_load"] == newest


def test_a_load_of_the_same_day_becomes_the_last_one(context: dict[str, Any]) -> None:
    record(context)
    second = record(context, mode="opt-out")

    assert memory(context)["last_load"] == second


HISTORY = {"history_from": "2026-11-01", "days_missing": 2}


def test_a_range_of_days_has_a_record_of_its_own(
    context: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    of_the_day = record(context)

    found = record(context, rows_sent=20_000, **HISTORY)

    assert memory(context)["load.2026-11-20.opt-in"] == of_the_day
    assert memory(context)["load.2026-11-01..2026-11-20.opt-in"] == found
    assert (found["load_date"], found["history_from"], found["days_missing"]) == (
        "2026-11-20",
        "2026-11-01",
        2,
    )
    assert "Load 2026-11-01..2026-11-20 (opt-in) of audience 7 is confirmed" in caplog.text
    assert "days without a source 2" in caplog.text


def test_a_range_of_days_is_the_last_load_and_keeps_what_days_are_compared_with(
    context: dict[str, Any],
) -> None:
    record(context, rows_sent=900)
    kept = {"load_date": "2026-11-20", "mode": "opt-in", "rows_sent": 900}

    first = record(context, rows_sent=20_000, **HISTORY)
    assert memory(context)["last_load"] == {**first, "last_of_a_day": kept}
    second = record(context, rows_sent=30_000, history_from="2026-10-01")
    assert memory(context)["last_load"] == {**second, "last_of_a_day": kept}
    record(context, rows_sent=40_000, load_date="2026-11-19", **{**HISTORY, "history_from": "2026-11-01"})
    assert memory(context)["last_load"]["rows_sent"] == 30_000
    newest = record(context, load_date="2026-11-21")
    assert memory(context)["last_load"] == newest


def test_a_range_of_days_may_be_the_first_load(context: dict[str, Any]) -> None:
    found = record(context, **HISTORY)

    assert memory(context)["last_load"] == found


def test_what_came_of_a_load_is_logged(context: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    record(context)

    record(context, changes={"added": 12, "removed": 3}, same_day_files=["onboard/another.csv"])
    for part in (
        "added               12",
        "removed              3",
        "another file was put on the same day: onboard/another.csv",
        "1,000",
        "900",
        "60",
        "40",
        "email_invalid: 40",
        "EMAIL: 50.0%",
        "PHONE: unknown",
        "rejects are listed in /rejects/newsletter/2026-11-20-scheduled__1.csv",
        "ignored: guards.max_rejected_share: 40 of 1,000 rows",
    ):
        assert part in caplog.text


# --- publishing ---------------------------------------------------------------------------------------------


class Event:
    """What a task can say of its outlet."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.partitions: list[str] = []

    def add_partitions(self, keys: Any) -> None:
        self.partitions += [keys] if isinstance(keys, str) else list(keys)


class Events(dict[str, Event]):
    """By the asset's name."""

    def __getitem__(self, asset: Any) -> Event:
        return self.setdefault(asset.name, Event())


@pytest.mark.parametrize(
    ("run_type", "asked_for", "is_published"),
    [
        ("scheduled", False, True),
        ("manual", False, True),
        ("backfill", False, False),
        ("backfill", True, True),
    ],
)
def test_a_historical_load_is_published_only_if_asked_for(
    context: dict[str, Any], run_type: str, asked_for: bool, is_published: bool
) -> None:
    events = context["outlet_events"] = Events()
    context["dag_run"] = SimpleNamespace(run_type=run_type)
    context["params"]["activate_on_backfill"] = asked_for
    publish = function_of(build(), "publish")

    if is_published:
        publish({"load_date": "2026-11-20"})
        event = dict(events)["audience/newsletter"]
        assert (event.extra, event.partitions) == ({"load_date": "2026-11-20"}, ["2026-11-20"])
    else:
        with pytest.raises(AirflowSkipException, match="activate_on_backfill"):
            publish({"load_date": "2026-11-20"})
        assert events == {}


@pytest.mark.parametrize("run_type", ["manual", "operator_triggered", "scheduled"])
@pytest.mark.parametrize("asked_for", [True, False])
def test_so_is_a_range_of_days_whoever_has_started_it(
    context: dict[str, Any], run_type: str, asked_for: bool
) -> None:
    events = context["outlet_events"] = Events()
    context["dag_run"] = SimpleNamespace(run_type=run_type)
    context["params"]["activate_on_backfill"] = asked_for
    record = {"load_date": "2026-11-20", "history_from": "2026-11-01"}
    publish = function_of(build(), "publish")

    if asked_for:
        publish(record)
        assert dict(events)["audience/newsletter"].partitions == ["2026-11-20"]
    else:
        with pytest.raises(AirflowSkipException, match="activate_on_backfill"):
            publish(record)
        assert events == {}


# --- what people see ----------------------------------------------------------------------------------------


def test_the_dag_says_what_it_is() -> None:
    dag = build(tags=["crm", "nl"], description="Everyone", source__columns={"phone": "Mobile"})

    columns = {"phone": {"column": "Hash", "hashed": True}}
    hashed = build(source={"query": "SELECT 1", "connection": "crm_db", "columns": columns}).doc_md or ""
    assert "phone from *Hash* (hashed already)" in hashed
    assert "query on connection crm_db" in hashed
    assert dag.dag_id == "onboard_newsletter"
    assert dag.tags == {"audience-onboarding", "crm", "nl", "digital_audience", "onboarding"}
    assert dag.dag_display_name == "Onboard: Newsletter"
    assert dag.doc_md is not None
    for part in (
        "Newsletter",
        "Everyone",
        "crm/{load_date}.csv",
        "phone from *Mobile*",
        "0 3 * * *",
        "crm-team",
    ):
        assert part in dag.doc_md


def test_what_waits_for_its_turn_holds_no_place_that_the_turn_before_it_needs() -> None:
    dag = build(source__if_missing="wait")
    turn: Any = dag.get_task("wait_for_turn")
    upload: Any = dag.get_task("upload")

    # Airflow counts a task that is deferred as one that runs.
    assert (turn.max_active_tis_per_dag, upload.max_active_tis_per_dag) == (None, 1)
    assert upload.in_order_of is None
    assert (turn.source, turn.timezone, turn.aws_conn_id) == (upload.source, upload.timezone, "audience_s3")
    assert (turn.history_from, turn.is_dry_run) == (upload.history_from, upload.is_dry_run)
