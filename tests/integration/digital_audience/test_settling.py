"""An unclear creation from the lost answer to the settled end, against the sandbox."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.orchestration.memory import campaign_asset
from audience_onboarding.pipelines import build_activation_dag, build_onboarding_dag, build_settle_dag, settle
from audience_onboarding.pipelines.common import asset_of
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, task_context
from tests.integration.faults import fault

pytestmark = pytest.mark.usefixtures("connections")

VENDOR = "digital_audience"
CAMPAIGN = campaign_asset(VENDOR, "digital_audience_default", "Always-on")


@pytest.fixture
def definition() -> AudienceDefinition:
    return DigitalAudienceDefinition.model_validate(
        {
            "key": "list",
            "platform": VENDOR,
            "name": "The list",
            "owner": "tests",
            "campaign": {"name": "Always-on"},
            "source": {"path": "x.csv", "columns": {"email": "E-mail"}},
            "activation": {
                "targets": [
                    {
                        "key": "dv360",
                        "account": {"platform": "DV360", "name": "Example NL"},
                        "segment_name": "The segment",
                        "description": "for tests",
                    }
                ]
            },
        }
    )


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


@pytest.fixture
def loading(definition: AudienceDefinition, tmp_path: Any) -> DAG:
    return build_onboarding_dag(definition, base=tmp_path)


def run(dag: DAG, task_id: str, stores: AssetStores, **attributes: Any) -> Any:
    """Run a task as Airflow does, with its templates filled in."""
    task: Any = dag.get_task(task_id)
    for name, value in {"is_dry_run": False, **attributes}.items():
        if hasattr(task, name):
            setattr(task, name, value)
    return task.execute(task_context(stores=stores, dag_id=dag.dag_id))


def stops(dag: DAG, task_id: str, stores: AssetStores, **attributes: Any) -> str:
    with pytest.raises(AirflowFailException, match=r"^AmbiguousCreateError: ") as caught:
        run(dag, task_id, stores, **attributes)
    return str(caught.value)


def settled(
    definition: AudienceDefinition, stores: AssetStores, monkeypatch: pytest.MonkeyPatch, conf: dict[str, Any]
) -> dict[str, Any]:
    """Fill in the form and run the DAG's task."""
    dag = build_settle_dag([definition])
    dag.params.update(conf)
    context = task_context(stores=stores, run_id="manual__settle", **dag.params.validate())
    monkeypatch.setattr(settle, "get_current_context", lambda: context)
    task: Any = dag.get_task("settle")
    result: dict[str, Any] = task.python_callable()
    return result


def confs_in(message: str) -> list[dict[str, Any]]:
    """The values for the form that a message names: for what was found, and for what was not."""
    return [json.loads(text) for text in re.findall(r'\{"audience".*?\}', message)]


def created(sandbox: Sandbox, operation: str) -> int:
    counts: dict[str, int] = sandbox.admin("summary")["operations"].get(operation, {"success": 0})
    return counts["success"]


def test_an_answer_that_got_lost_is_settled_with_the_values_of_the_message(
    sandbox: Sandbox,
    definition: AudienceDefinition,
    loading: DAG,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(sandbox, VENDOR, "POST", "/campaign/createcampaign", when="after", action="drop")
    message = stops(loading, "ensure_campaign", stores)
    (campaign,) = sandbox.admin("campaigns")
    assert stops(loading, "ensure_campaign", stores)
    found, _ = confs_in(message)

    record = settled(definition, stores, monkeypatch, {**found, "id": str(campaign["id"])})

    assert record["after"]["id"] == campaign["id"]
    assert run(loading, "ensure_campaign", stores) == campaign["id"]
    assert created(sandbox, "createCampaign") == 1


def test_a_request_that_got_lost_is_settled_and_sent_again(
    sandbox: Sandbox,
    definition: AudienceDefinition,
    loading: DAG,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(sandbox, VENDOR, "POST", "/campaign/createcampaign", when="before", action="drop")
    message = stops(loading, "ensure_campaign", stores)
    _, absent = confs_in(message)

    settled(definition, stores, monkeypatch, absent)

    campaign_id = run(loading, "ensure_campaign", stores)
    assert [item["id"] for item in sandbox.admin("campaigns")] == [campaign_id]
    assert stores[CAMPAIGN].get("campaign")["id"] == campaign_id


def test_the_vendor_is_asked_whether_an_audience_is_ours(
    sandbox: Sandbox,
    definition: AudienceDefinition,
    loading: DAG,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign_id = run(loading, "ensure_campaign", stores)
    fault(sandbox, VENDOR, "POST", "/audience/createcrmaudience", when="after", action="drop")
    message = stops(loading, "ensure_audience", stores, campaign_id=campaign_id)
    (audience,) = sandbox.admin("audiences")
    found, absent = confs_in(message)
    before = dict(stores[asset_of(definition)].values)

    with pytest.raises(AirflowFailException, match="NotFoundError"):
        settled(definition, stores, monkeypatch, {**found, "id": "1"})
    with pytest.raises(AirflowFailException, match="is no id"):
        settled(definition, stores, monkeypatch, {**found, "id": "abc"})
    with pytest.raises(AirflowFailException, match="one of the two is wrong"):
        settled(definition, stores, monkeypatch, {**absent, "id": str(audience["id"])})
    assert stores[asset_of(definition)].values == before

    settled(definition, stores, monkeypatch, {**found, "id": str(audience["id"])})
    assert run(loading, "ensure_audience", stores, campaign_id=campaign_id) == audience["id"]
    assert created(sandbox, "createCrmAudience") == 1


def test_a_segment_that_the_vendor_lists_was_created(
    sandbox: Sandbox,
    definition: DigitalAudienceDefinition,
    loading: DAG,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(loading, "ensure_audience", stores, campaign_id=run(loading, "ensure_campaign", stores))
    activating = build_activation_dag(definition)
    fault(sandbox, VENDOR, "POST", "/audience/activate", when="after", action="drop")
    with pytest.raises(Exception, match="It is not clear yet whether segment"):
        run(activating, "activate_dv360", stores, days=10)
    conf = {"audience": "list", "what": "segment dv360"}

    with pytest.raises(AirflowFailException, match="is there, with id") as caught:
        settled(definition, stores, monkeypatch, {**conf, "outcome": "not_created"})
    (segment_id,) = re.findall(r"with id (\d+)", str(caught.value))
    settled(definition, stores, monkeypatch, {**conf, "outcome": "found", "id": segment_id})

    assert run(activating, "activate_dv360", stores, days=10) == int(segment_id)
    assert created(sandbox, "activateAudience") == 1
