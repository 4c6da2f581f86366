"""The DAG that settles unclear creations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.errors import NotFoundError
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.orchestration.memory import campaign_asset
from audience_onboarding.orchestration.pools import CREATE_POOL
from audience_onboarding.orchestration.settle import SETTLE_DAG_ID, how_to_settle
from audience_onboarding.pipelines import build_settle_dag, settle, settle_dag
from audience_onboarding.pipelines.common import asset_of
from audience_onboarding.platforms import PLATFORMS, part_of
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import definition, function_of

HOST = "https://vendor.example"
CAMPAIGN = campaign_asset("digital_audience", "digital_audience_default", "Always-on")
AUDIENCE = asset_of(definition())
INTENT = {"name": "Newsletter", "at": "2026-11-20T03:00:00+00:00", "run_id": "scheduled__1"}


class Client:
    """Knows audience 69249 and two segments."""

    settings = SimpleNamespace(account=HOST)

    def load_audience(self, audience_id: int) -> Any:
        if audience_id != 69249:
            raise NotFoundError(what="The vendor does not know it", where="GET /x", next_step="Look")
        return SimpleNamespace(name="Newsletter")

    def load_segment(self, segment_id: int) -> Any:
        return SimpleNamespace(name="Newsletter", audience_id={11: 69249, 12: 5}[segment_id])

    def load_audience_segments(self, audience_id: int) -> list[Any]:
        return []

    def find_platform_account(self, **by: Any) -> Any:
        return SimpleNamespace(id=3)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> AssetStores:
    monkeypatch.setattr(DigitalAudienceHook, "client", Client())
    return AssetStores()


def settle_by(stores: AssetStores, monkeypatch: pytest.MonkeyPatch, **values: Any) -> dict[str, Any]:
    dag = build_settle_dag([definition()])
    params = {"id": None, "accept_other_name": False, "audience": "newsletter", **values}
    context = task_context(stores=stores, **params)
    context["dag_run"].triggering_user_name = "anna"
    monkeypatch.setattr(settle, "get_current_context", lambda: context)
    result: dict[str, Any] = function_of(dag, "settle")()
    return result


def schema_of(dag: DAG, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = dag.params.get_param(name).schema
    return schema


def fill_in(dag: DAG, conf: dict[str, Any]) -> None:
    """Do with the form what Airflow does before it makes a run."""
    dag.params.update(conf)
    dag.params.validate()


# --- the DAG --------------------------------------------------------------------------------------------------


def test_it_is_started_by_hand_only_and_by_one_at_a_time() -> None:
    dag = build_settle_dag([definition()])
    task = dag.get_task("settle")

    assert (dag.dag_id, dag.max_active_runs, task.pool) == (SETTLE_DAG_ID, 1, CREATE_POOL)
    assert dag.timetable.can_be_scheduled is False
    assert isinstance(task.retry_policy, OnboardingRetryPolicy)


def test_it_may_write_where_the_creations_are_remembered_and_makes_no_event() -> None:
    task = build_settle_dag([definition(), definition(key="other")]).get_task("settle")

    assert {asset.name for asset in task.inlets} == {CAMPAIGN.name, AUDIENCE.name, "audience/other"}
    assert task.outlets == []


def test_the_form_offers_the_audiences_by_key_and_name() -> None:
    dag = build_settle_dag([definition()])

    assert schema_of(dag, "audience")["enum"] == ["newsletter"]
    (shown,) = schema_of(dag, "audience")["values_display"].values()
    assert "newsletter" in shown
    assert definition().name in shown
    targets = [f"segment {item.key}" for item in definition().activation.targets]  # type: ignore[union-attr]
    assert schema_of(dag, "what")["enum"] == ["campaign", "audience", *sorted(targets)]


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"audience": "newsletter", "what": "campaign"},
        {"audience": "nobody", "what": "campaign", "outcome": "found", "id": "1"},
        {"audience": "newsletter", "what": "load", "outcome": "found", "id": "1"},
        {"audience": "newsletter", "what": "campaign", "outcome": "maybe"},
        {"audience": "newsletter", "what": "campaign", "outcome": "found", "id": "a b"},
        {"audience": "newsletter", "what": "campaign", "outcome": "found", "id": "../1"},
        {"audience": "newsletter", "what": "campaign", "outcome": "found", "id": 5},
    ],
    ids=str,
)
def test_wrong_input_is_refused_before_the_run(conf: dict[str, Any]) -> None:
    dag = build_settle_dag([definition()])
    with pytest.raises(ParamValidationError):
        fill_in(dag, conf)


@pytest.mark.parametrize("key", ["campaign", "audience"])
def test_the_values_in_the_message_fit_the_form(key: str) -> None:
    message = how_to_settle("newsletter", key, base_url="")
    for text in re.findall(r'\{"audience".*?\}', message):
        fill_in(build_settle_dag([definition()]), json.loads(text.replace("<the id in the portal>", "69249")))


def test_without_any_definition_it_is_there_and_refuses_everything() -> None:
    dag = build_settle_dag([])

    with pytest.raises(ParamValidationError):
        fill_in(dag, {"audience": "x", "what": "campaign", "outcome": "not_created"})


def test_broken_definitions_do_not_take_it_down(folder: Path) -> None:
    (folder / "odd.yaml").write_text(yaml.safe_dump({"platform": "none"}), encoding="utf-8")

    dag = settle_dag(Path("/project"))

    assert schema_of(dag, "audience")["enum"] == ["newsletter", "quiet"]


def test_a_definition_that_cannot_be_built_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = definition(key="odd")
    good = part_of("digital_audience", "settling").settleable

    def settleable(item: AudienceDefinition, asset: Any) -> Any:
        if item is odd:
            raise ValueError("a bug")
        return good(item, asset)

    monkeypatch.setattr(part_of("digital_audience", "settling"), "settleable", settleable)

    assert schema_of(build_settle_dag([odd, definition()]), "audience")["enum"] == ["newsletter"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_says_what_can_be_settled(platform: str) -> None:
    raw: dict[str, Any] = {
        "key": "list",
        "platform": platform,
        "name": "List",
        "owner": "somebody",
        "source": {"path": "x.csv", "columns": {"phone": "Phone"}},
    }
    raw |= {"campaign": {"name": "C"}} if platform == "digital_audience" else {"allow_raw": True}
    model = part_of(platform, "definition").DEFINITION
    settleable = part_of(platform, "settling").settleable

    open_one, pinned = model.model_validate(raw), model.model_validate({**raw, "id": "7"})

    assert "audience" in {item.what for item in settleable(open_one, asset_of(open_one))}
    assert settleable(pinned, asset_of(pinned)) == []


def test_what_is_pinned_is_not_offered() -> None:
    pinned = definition(campaign={"id": 5})
    things = {item.what for item in part_of("digital_audience", "settling").settleable(pinned, AUDIENCE)}

    assert "campaign" not in things
    assert "audience" in things


def test_a_segment_of_each_load_date_needs_nobody_to_settle_it() -> None:
    dated = definition(activation__targets__0__segment_name="{key} {load_date:%Y-%m}")
    things = {item.what for item in part_of("digital_audience", "settling").settleable(dated, AUDIENCE)}

    assert things == {"campaign", "audience"}


# --- its task -------------------------------------------------------------------------------------------------


def test_an_audience_that_was_found(stores: AssetStores, monkeypatch: pytest.MonkeyPatch) -> None:
    stores[AUDIENCE].set("audience", {"intent": INTENT})

    record = settle_by(stores, monkeypatch, what="audience", outcome="found", id=" 69249 ")

    assert (record["audience"], record["by"], record["after"]["id"]) == ("newsletter", "anna", 69249)
    assert stores[AUDIENCE].get("audience")["account"] == HOST


def test_an_audience_whose_definition_has_gone_meanwhile(
    stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AirflowFailException, match="definition of the audience 'gone' is gone or broken"):
        settle_by(stores, monkeypatch, audience="gone", what="audience", outcome="not_created")


def test_a_campaign_that_was_not_created(stores: AssetStores, monkeypatch: pytest.MonkeyPatch) -> None:
    stores[CAMPAIGN].set("campaign", {"intent": INTENT})

    settle_by(stores, monkeypatch, what="campaign", outcome="not_created")

    assert stores[CAMPAIGN].values == {}


def test_a_segment_has_to_be_one_of_the_audience(
    stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target,) = definition().activation.targets  # type: ignore[union-attr]
    key, what = f"segment.{target.key}", f"segment {target.key}"
    stores[AUDIENCE].set("audience", {"id": 69249, "account": HOST})
    stores[AUDIENCE].set(key, {"intent": INTENT})

    with pytest.raises(AirflowFailException, match="Segment 12 belongs to audience 5, not to 69249"):
        settle_by(stores, monkeypatch, what=what, outcome="found", id="12")
    settle_by(stores, monkeypatch, what=what, outcome="found", id="11")

    assert stores[AUDIENCE].get(key)["id"] == 11


def test_what_is_wrong_fails_at_once_and_changes_nothing(
    stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores[AUDIENCE].set("audience", {"intent": INTENT})

    for values, message in (
        ({"what": "audience", "outcome": "found", "id": "5"}, "NotFoundError: .*does not know it"),
        ({"what": "audience", "outcome": "found"}, "NothingToSettleError: The id of the audience is missing"),
        ({"what": "campaign", "outcome": "not_created"}, "There is no unclear creation of the campaign"),
        ({"what": "segment x", "outcome": "not_created"}, "has no 'segment x' to settle.*'campaign'"),
    ):
        with pytest.raises(AirflowFailException, match=message):
            settle_by(stores, monkeypatch, **values)

    assert stores[AUDIENCE].values == {"audience": {"intent": INTENT}}
