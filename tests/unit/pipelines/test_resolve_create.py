"""The DAG that settles unclear creations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from audience_onboarding.base.pools import CREATE_POOL
from audience_onboarding.dag_ids import RESOLVE_CREATE_DAG_ID
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.pipelines import build_resolve_create_dag, resolve_ambiguous_create_dag
from audience_onboarding.pipelines.common import get_asset
from audience_onboarding.platform_registry import PLATFORMS, get_platform
from audience_onboarding.state.store import campaign_asset
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import HOST, definition, fill_in, minimal, run_task
from tests.unit.state.helpers import check_refused

CAMPAIGN = campaign_asset("digital_audience", "digital_audience_default", "Always-on")
AUDIENCE = get_asset(definition())
INTENT = {"name": "Newsletter", "at": "2026-11-20T03:00:00+00:00", "run_id": "scheduled__1"}


@pytest.fixture
def stores(client: Any) -> AssetStores:
    """The vendor has an audience and two segments, of which one is of another audience."""
    client.load_audience.return_value = SimpleNamespace(name="Newsletter")
    client.load_segment.side_effect = lambda segment_id: SimpleNamespace(
        name="Newsletter", audience_id={11: 69249, 12: 5}[segment_id]
    )
    return AssetStores()


def resolution_hint(stores: AssetStores, **values: Any) -> dict[str, Any]:
    params = {"id": None, "accept_other_name": False, "audience": "newsletter", **values}
    context = task_context(stores=stores, **params)
    context["dag_run"].triggering_user_name = "anna"
    result: dict[str, Any] = run_task(build_resolve_create_dag([definition()]), "resolve", context)
    return result


def schema_of(dag: DAG, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = dag.params.get_param(name).schema
    return schema


def settleable(item: AudienceDefinition) -> set[str]:
    return {
        thing.what
        for thing in get_platform(item.platform).reconciliation.pending_creates(item, get_asset(item))
    }


# --- the DAG ------------------------------------------------------------------------------------------------


def test_it_is_started_by_hand_only_by_one_at_a_time_and_may_write_all_memories() -> None:
    dag = build_resolve_create_dag([definition(), definition(key="other")])
    task = dag.get_task("resolve")

    assert (dag.dag_id, dag.max_active_runs, task.pool) == (RESOLVE_CREATE_DAG_ID, 1, CREATE_POOL)
    assert dag.timetable.can_be_scheduled is False
    assert {asset.name for asset in task.inlets} == {CAMPAIGN.name, AUDIENCE.name, "audience/other"}
    assert task.outlets == []


def test_the_form_offers_the_audiences_by_key_and_name() -> None:
    dag = build_resolve_create_dag([definition()])

    assert schema_of(dag, "audience")["enum"] == ["newsletter"]
    (shown,) = schema_of(dag, "audience")["values_display"].values()
    assert "newsletter" in shown
    assert definition().name in shown
    assert schema_of(dag, "what")["enum"] == ["campaign", "audience", "segment dv360"]


def test_wrong_input_is_refused_before_the_run() -> None:
    dag = build_resolve_create_dag([definition()])
    good = {"audience": "newsletter", "what": "campaign", "outcome": "found", "id": "1"}
    wrong: list[dict[str, Any]] = [{"audience": "nobody"}, {"what": "load"}, {"outcome": "maybe"}]
    wrong += [{"id": given} for given in ("a b", "../1", 5)]

    fill_in(dag, good)
    check_refused(lambda changes: fill_in(dag, {**good, **changes}), wrong, ParamValidationError)
    required = [{}, {"audience": "newsletter", "what": "campaign"}]
    check_refused(lambda conf: fill_in(dag, conf), required, ParamValidationError)
    # Without any definition it refuses everything.
    check_refused(lambda conf: fill_in(build_resolve_create_dag([]), conf), [good], ParamValidationError)


def test_broken_definitions_do_not_take_it_down(folder: Path) -> None:
    (folder / "odd.yaml").write_text(yaml.safe_dump({"platform": "none"}), encoding="utf-8")

    dag = resolve_ambiguous_create_dag(Path("/project"))

    assert schema_of(dag, "audience")["enum"] == ["newsletter", "quiet"]


def test_a_definition_that_cannot_be_built_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = definition(key="odd")
    good = get_platform("digital_audience").reconciliation.pending_creates

    def fails_for_one(item: AudienceDefinition, asset: Any) -> Any:
        if item is odd:
            raise ValueError("a bug")
        return good(item, asset)

    monkeypatch.setattr(get_platform("digital_audience").reconciliation, "pending_creates", fails_for_one)

    assert schema_of(build_resolve_create_dag([odd, definition()]), "audience")["enum"] == ["newsletter"]


def test_every_platform_names_what_can_be_settled() -> None:
    for platform in PLATFORMS:
        assert "audience" in settleable(minimal(platform)), platform
        assert settleable(minimal(platform, id="7")) == set(), platform


def test_pinned_objects_and_segments_of_a_load_date_are_not_offered() -> None:
    pinned = settleable(definition(campaign={"id": 5}))

    assert "campaign" not in pinned
    assert "audience" in pinned
    dated = definition(activation__targets__0__segment_name="{key} {load_date:%Y-%m}")
    assert settleable(dated) == {"campaign", "audience"}


# --- its task -----------------------------------------------------------------------------------------------


def test_an_audience_that_was_found(stores: AssetStores) -> None:
    stores[AUDIENCE].set("audience", {"intent": INTENT})

    record = resolution_hint(stores, what="audience", outcome="found", id=" 69249 ")

    assert (record["audience"], record["by"], record["after"]["id"]) == ("newsletter", "anna", 69249)
    assert stores[AUDIENCE].get("audience")["account"] == HOST


def test_a_segment_has_to_be_one_of_the_audience(stores: AssetStores) -> None:
    stores[AUDIENCE].set("audience", {"id": 69249, "account": HOST})
    stores[AUDIENCE].set("segment.dv360", {"intent": INTENT})

    with pytest.raises(AirflowFailException, match="Segment 12 belongs to audience 5, not to 69249"):
        resolution_hint(stores, what="segment dv360", outcome="found", id="12")
    resolution_hint(stores, what="segment dv360", outcome="found", id="11")

    assert stores[AUDIENCE].get("segment.dv360")["id"] == 11


def test_wrong_values_fail_at_once_and_change_nothing(stores: AssetStores) -> None:
    stores[AUDIENCE].set("audience", {"intent": INTENT})
    cases: list[tuple[dict[str, str], str]] = [
        (
            {"what": "audience", "outcome": "found"},
            "NothingToResolveError: The id of the audience is missing",
        ),
        ({"what": "campaign", "outcome": "not_created"}, "There is no ambiguous create of the campaign"),
        ({"what": "segment x", "outcome": "not_created"}, "has no 'segment x' to resolve.*'campaign'"),
        (
            {"audience": "gone", "what": "audience", "outcome": "not_created"},
            "definition of the audience 'gone' is missing or invalid",
        ),
    ]
    check_refused(
        lambda case: resolution_hint(stores, **case[0]), cases, AirflowFailException, lambda case: case[1]
    )
    assert stores[AUDIENCE].values == {"audience": {"intent": INTENT}}
