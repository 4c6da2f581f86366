"""An unclear creation from the lost answer to the settled end, against the sandbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.exceptions import TransientError
from audience_onboarding.pipelines import (
    build_activation_dag,
    build_onboarding_dag,
    build_resolve_create_dag,
    resolve_create,
)
from audience_onboarding.pipelines.common import get_asset
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, task_context
from tests.integration.faults import fault

pytestmark = pytest.mark.usefixtures("connections")

VENDOR = "digital_audience"


class Scene:
    """The DAGs of an audience, and what is remembered of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = {
            "key": "dv360",
            "account": {"platform": "DV360", "name": "Example NL"},
            "segment_name": "The segment",
            "description": "for tests",
        }
        self.definition = DigitalAudienceDefinition.model_validate(
            {
                "key": "list",
                "platform": VENDOR,
                "name": "The list",
                "owner": "tests",
                "campaign": {"name": "Always-on"},
                "source": {"path": "x.csv", "columns": {"email": "E-mail"}},
                "activation": {"targets": [target]},
            }
        )
        self.stores = AssetStores()
        self.loading = build_onboarding_dag(self.definition, base=folder)
        self.activating = build_activation_dag(self.definition)
        self._monkeypatch = monkeypatch

    def run(self, dag: DAG, task_id: str, **attributes: Any) -> Any:
        """Run a task as Airflow does, with its templates filled in."""
        task: Any = dag.get_task(task_id)
        for name, value in {"is_dry_run": False, **attributes}.items():
            if hasattr(task, name):
                setattr(task, name, value)
        return task.execute(task_context(stores=self.stores, dag_id=dag.dag_id))

    def stops(self, task_id: str, **attributes: Any) -> str:
        with pytest.raises(AirflowFailException, match=r"^AmbiguousCreateError: ") as caught:
            self.run(self.loading, task_id, **attributes)
        return str(caught.value)

    def settled(self, conf: dict[str, Any]) -> dict[str, Any]:
        """Fill in the form and run the DAG's task."""
        dag = build_resolve_create_dag([self.definition])
        dag.params.update(conf)
        context = task_context(stores=self.stores, run_id="manual__settle", **dag.params.validate())
        self._monkeypatch.setattr(resolve_create, "get_current_context", lambda: context)
        task: Any = dag.get_task("resolve")
        result: dict[str, Any] = task.python_callable()
        return result


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def confs_in(message: str) -> list[dict[str, Any]]:
    """The values for the form that a message names: for what was found, and for what was not."""
    return [json.loads(text) for text in re.findall(r'\{"audience".*?\}', message)]


def created(sandbox: Sandbox, operation: str) -> int:
    counts: dict[str, int] = sandbox.admin("summary")["operations"].get(operation, {"success": 0})
    return counts["success"]


def test_a_lost_answer_is_settled_with_the_values_of_the_message(sandbox: Sandbox, scene: Scene) -> None:
    fault(sandbox, VENDOR, "POST", "/campaign/createcampaign", when="after", action="drop")
    message = scene.stops("ensure_campaign")
    (campaign,) = sandbox.admin("campaigns")
    assert scene.stops("ensure_campaign")
    found, _ = confs_in(message)

    record = scene.settled({**found, "id": str(campaign["id"])})

    assert record["after"]["id"] == campaign["id"]
    assert scene.run(scene.loading, "ensure_campaign") == campaign["id"]
    assert created(sandbox, "createCampaign") == 1


def test_the_vendor_is_asked_whether_an_audience_is_ours(sandbox: Sandbox, scene: Scene) -> None:
    fault(sandbox, VENDOR, "POST", "/campaign/createcampaign", when="before", action="drop")
    _, absent = confs_in(scene.stops("ensure_campaign"))
    scene.settled(absent)
    campaign_id = scene.run(scene.loading, "ensure_campaign")
    assert [item["id"] for item in sandbox.admin("campaigns")] == [campaign_id]
    fault(sandbox, VENDOR, "POST", "/audience/createcrmaudience", when="after", action="drop")
    found, _ = confs_in(scene.stops("ensure_audience", campaign_id=campaign_id))
    (audience,) = sandbox.admin("audiences")
    store = scene.stores[get_asset(scene.definition)]
    before = dict(store.values)

    with pytest.raises(AirflowFailException, match="NotFoundError"):
        scene.settled({**found, "id": "1"})
    assert store.values == before

    scene.settled({**found, "id": str(audience["id"])})
    assert scene.run(scene.loading, "ensure_audience", campaign_id=campaign_id) == audience["id"]
    assert created(sandbox, "createCrmAudience") == 1


def test_a_segment_that_the_vendor_lists_was_created(sandbox: Sandbox, scene: Scene) -> None:
    campaign_id = scene.run(scene.loading, "ensure_campaign")
    scene.run(scene.loading, "ensure_audience", campaign_id=campaign_id)
    fault(sandbox, VENDOR, "POST", "/audience/activate", when="after", action="drop")
    with pytest.raises(TransientError, match="It is not clear yet whether segment"):
        scene.run(scene.activating, "activate_dv360", days=10)
    conf = {"audience": "list", "what": "segment dv360"}

    with pytest.raises(AirflowFailException, match="exists, with id") as caught:
        scene.settled({**conf, "outcome": "not_created"})
    (segment_id,) = re.findall(r"with id (\d+)", str(caught.value))
    scene.settled({**conf, "outcome": "found", "id": segment_id})

    assert scene.run(scene.activating, "activate_dv360", days=10) == int(segment_id)
    assert created(sandbox, "activateAudience") == 1
