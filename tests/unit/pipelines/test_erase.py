"""The DAG that takes people out of all audiences: its form, its audiences, its report, and its storage."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError, TaskDeferred

from audience_onboarding.base.erasure import ErasureDeferral, ErasureResult
from audience_onboarding.base.erasure_conf import HASH_FIELDS, OTHER_FIELDS
from audience_onboarding.dag_ids import ERASE_DAG_ID
from audience_onboarding.exceptions import ConfigurationError, RequestRejectedError
from audience_onboarding.pipelines import build_erase_dag
from audience_onboarding.pipelines.common import get_asset
from audience_onboarding.pipelines.erase import (
    DefinitionCatalog,
    ErasePersonOperator,
    build_report,
    subject_hashes,
)
from audience_onboarding.platforms.digital_audience import erasure
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.state.store import AUDIENCE_KEY, RETIRED_KEY
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import BASE, HOST, definition, fill_in, run_task
from tests.unit.state.helpers import check_refused

HASH = "ab" * 32


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> AssetStores:
    monkeypatch.setattr(
        DigitalAudienceHook, "client", SimpleNamespace(settings=SimpleNamespace(account=HOST))
    )
    return AssetStores()


def dag_of(*keys: str) -> Any:
    return build_erase_dag([definition(key=key) for key in keys or ("newsletter",)], base=BASE)


def context_of(stores: AssetStores, conf: dict[str, Any], dag: Any = None) -> dict[str, Any]:
    context = task_context(stores=stores, **fill_in(dag or dag_of(), conf))
    context["dag_run"].conf = conf
    return context


# --- the DAG ------------------------------------------------------------------------------------------------


def test_it_is_started_by_hand_only_and_by_one_at_a_time() -> None:
    dag = dag_of("one", "two")

    assert (dag.dag_id, dag.max_active_runs, dag.timetable.can_be_scheduled) == (ERASE_DAG_ID, 1, False)
    erase = dag.get_task("erase").partial_kwargs
    assert {asset.name for asset in erase["inlets"]} == {"audience/one", "audience/two"}
    assert erase["pool"] == "audience_onboarding_conn_digital_audience_default"


def test_the_fields_of_the_form_are_removed_from_the_conf() -> None:
    assert set(dag_of().params) == {*HASH_FIELDS, *OTHER_FIELDS}


def test_airflow_stores_no_definition_with_it_and_renders_nothing() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    stored = json.dumps(DagSerialization.to_dict(dag_of()))

    assert '"the definitions"' in stored
    assert definition().source.label not in stored
    assert ErasePersonOperator.template_fields == ()


def test_the_form_takes_hashes_of_either_case_and_refuses_the_rest() -> None:
    dag = dag_of()
    no_hashes = ["anna@example.com", HASH[1:], f"{HASH}0", f"{HASH}\n", f" {HASH}"]
    wrong: list[dict[str, Any]] = [
        *({"email_sha256": [value]} for value in no_hashes),
        {"email_sha256": "anna@example.com"},
        *({"phone_sha256": [value]} for value in ("0612345678", 612345678)),
        {"personal_id_sha256": ["196408233234"]},
        {"personal_id_sha256": [HASH] * 1001},
        *({"audiences": value} for value in (["nobody"], "newsletter")),
        {"dry_run": "yes"},
    ]
    check_refused(lambda conf: fill_in(dag, conf), wrong, ParamValidationError)
    fill_in(dag, {"email_sha256": [HASH, HASH.upper()], "audiences": ["newsletter"]})


def test_without_any_definition_there_is_a_dag_all_the_same() -> None:
    dag = build_erase_dag([], base=BASE)

    fill_in(dag, {})
    check_refused(lambda conf: fill_in(dag, conf), [{"audiences": ["x"]}], ParamValidationError)


# --- people and audiences -----------------------------------------------------------------------------------


def found_by(stores: AssetStores, *keys: str, **conf: Any) -> tuple[list[str], dict[str, str]]:
    dag = dag_of(*keys)
    context = context_of(stores, {"email_sha256": [HASH], **conf}, dag)
    found: list[str] = run_task(dag, "select_audiences", context)
    return found, context["ti"].pushed["skipped_audiences"]


def remember(stores: AssetStores, key: str, **record: Any) -> None:
    stores[get_asset(definition(key=key))].set(AUDIENCE_KEY, {"id": 5, **record})


def test_audiences_that_are_not_there_yet_or_retired_are_left_out_with_a_reason(stores: AssetStores) -> None:
    remember(stores, "one")
    stores[get_asset(definition(key="three"))].set(
        RETIRED_KEY, {"audience": "three", "at": "2026-11-20", "by": "anna", "audience_id": 7}
    )

    found, skipped_audiences = found_by(stores, "one", "two", "three")

    assert found == ["one"]
    assert "the vendor has no audience of it yet" in skipped_audiences["two"]
    assert "was retired on 2026-11-20 by anna" in skipped_audiences["three"]


def test_audiences_can_be_chosen_and_are_judged_by_their_own_tasks(stores: AssetStores) -> None:
    remember(stores, "one", account="https://other.example")
    remember(stores, "two")

    assert found_by(stores, "one", "two") == (["one", "two"], {})
    assert found_by(stores, "one", "two", audiences=["two", "two"]) == (["two"], {})


def test_a_run_without_people_sends_nothing(stores: AssetStores) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "Missing hash"),
        ({"unknown_fields_removed": 1}, "unknown fields"),
        ({"removed": {"email_sha256": 1}, "email_sha256": []}, "Trigger a new run"),
    ]
    check_refused(
        lambda case: subject_hashes(context_of(stores, case[0])),
        cases,
        ConfigurationError,
        lambda case: case[1],
    )


# --- the operator -------------------------------------------------------------------------------------------


def operator(key: str = "newsletter") -> ErasePersonOperator:
    return ErasePersonOperator(
        task_id="erase", audience=key, audiences=DefinitionCatalog({"newsletter": definition()}, BASE)
    )


def test_it_waits_in_the_triggerer_without_a_hash_and_goes_on(
    stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(stores, {"email_sha256": [HASH]})
    seen: list[Any] = []
    monkeypatch.setattr(
        erasure, "start", lambda job: seen.append(job) or ErasureDeferral("the trigger", 60, "our file")
    )
    monkeypatch.setattr(
        erasure, "resume", lambda job, after, event: ErasureResult("erased", after, {"rows_sent": 1})
    )

    with pytest.raises(TaskDeferred) as deferred:
        operator().execute(context)

    assert deferred.value.kwargs == {"after": "our file"}
    assert deferred.value.timeout.total_seconds() > 60
    assert (seen[0].people.count, seen[0].run_after) == (1, context["dag_run"].run_after)
    assert HASH not in repr(seen[0])
    result = operator().execute_complete(context, {"status": "success"}, "our file")
    expected = {"audience": "newsletter", "platform": "digital_audience", "status": "erased"}
    assert result == {**expected, "message": "our file", "rows_sent": 1}


def test_an_error_names_the_audience(stores: AssetStores, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job: Any) -> None:
        raise RequestRejectedError(what="The vendor says no", next_step="Ask it")

    monkeypatch.setattr(erasure, "start", refuse)
    context: Any = context_of(stores, {"email_sha256": [HASH]})

    with pytest.raises(AirflowFailException, match="RequestRejectedError: newsletter: the vendor says no"):
        operator().execute(context)
    with pytest.raises(AirflowFailException, match="missing or invalid"):
        operator("gone").execute(context)


# --- the report ---------------------------------------------------------------------------------------------


def outcome(key: str, status: str, said: str = "Words") -> dict[str, Any]:
    return {"audience": key, "platform": "x", "status": status, "message": said}


def test_the_report_tells_what_each_has_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    result = build_report(
        ["a", "b"], [outcome("a", "erased"), outcome("b", "not_found")], {"c": "it is retired"}
    )

    assert result == {
        "audiences": {"a": "erased", "b": "not_found"},
        "skipped_audiences": {"c": "it is retired"},
    }
    assert "c: skipped, it is retired" in caplog.text
    assert "Erase the person in the CRM first" in caplog.text


def test_the_report_fails_where_a_person_is_needed_and_says_what_to_do() -> None:
    outcomes = [outcome("a", "manual_action_required", "Take them out in the dashboard")]

    with pytest.raises(
        AirflowFailException, match=r"a: Take them out in the dashboard \| b: its task failed"
    ):
        build_report(["a", "b"], outcomes, {})
    with pytest.raises(AirflowFailException, match="a: Take them out in the dashboard"):
        build_report(["a"], outcomes, {})
    assert build_report(["a"], outcomes, {}, is_dry_run=True)["audiences"] == {"a": "manual_action_required"}
    with pytest.raises(AirflowFailException, match="its task failed"):
        build_report(["b"], [], {}, is_dry_run=True)


def test_the_report_reads_the_results_of_all_audiences(stores: AssetStores) -> None:
    dag = dag_of("a", "b")
    context = context_of(stores, {"email_sha256": [HASH]}, dag)

    def pulled(*, task_ids: str, key: str = "return_value", map_indexes: Any = None) -> Any:
        return (
            {"x": "why"} if key == "skipped_audiences" else [outcome("a", "erased"), None][: len(map_indexes)]
        )

    def report(keys: Any) -> Any:
        return run_task(dag, "report", context, keys)

    context["ti"].xcom_pull = pulled

    with pytest.raises(AirflowFailException, match="b: its task failed"):
        report(["a", "b"])
    assert report(["a"]) == {"audiences": {"a": "erased"}, "skipped_audiences": {"x": "why"}}
    assert report([]) == {"audiences": {}, "skipped_audiences": {"x": "why"}}
    with pytest.raises(AirflowFailException, match="select_audiences failed"):
        report(None)
