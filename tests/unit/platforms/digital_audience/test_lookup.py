"""Looking whether audience and campaign are known, and skipping what would create them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from audience_onboarding.platforms.digital_audience import (
    DigitalAudienceHook,
    DigitalAudienceLookupAudienceOperator,
    DigitalAudienceSettings,
)
from tests.fakes import AssetStores, task_context

AUDIENCE = Asset(name="audience/list", uri="audience/digital_audience/list")
CAMPAIGN = Asset(name="campaign/c/Always-on", uri="campaign/digital_audience/c/Always-on")
HOST = "https://vendor.example"
OF_ANOTHER = {"id": 7, "account": "https://another.example as u"}
RETIRED = {"run_id": "manual__r", "audience_id": 7, "at": "2026-11-20T03:00:00+00:00"}
INTENT = {"intent": {"name": "n", "at": "2026-11-20T03:00:00+00:00", "run_id": "r"}}


class NoVendor:
    """A client that knows its account, and calls nobody."""

    settings = DigitalAudienceSettings(
        base_url=HOST, user_name="u", password="p", portal_url="https://portal/{audience_id}"
    )


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: NoVendor()))


@pytest.fixture
def recall() -> DigitalAudienceLookupAudienceOperator:
    with DAG("a_dag", schedule=None):
        task = DigitalAudienceLookupAudienceOperator(
            task_id="recall",
            asset=AUDIENCE,
            campaign_asset=CAMPAIGN,
            campaign_task_id="campaign",
            audience_task_id="audience",
        )
        task >> [EmptyOperator(task_id=name) for name in ("campaign", "audience", "after")]
    return task


def run(
    task: Any, *, events: Sequence[dict[str, Any]] = (), last_load: Any = None, **known: Any
) -> tuple[list[str], dict[str, Any]]:
    """Return the skipped tasks and the pushed XComs."""
    stores = AssetStores()
    if last_load is not None:
        stores[AUDIENCE].set("last_load", last_load)
    for asset in (AUDIENCE, CAMPAIGN):
        kind = asset.name.partition("/")[0]
        for key in (kind, "retired"):
            if (value := known.get(key)) is not None and not (kind == "campaign" and key == "retired"):
                stores[asset].set(key, value)
    before = {name: dict(store.values) for name, store in stores.stores.items()}
    context = task_context(stores=stores, events=events)
    context["ti"].map_index = -1
    skipped: list[Any] = []
    try:
        assert task.execute(context) is None
    except DownstreamTasksSkipped as skip:
        skipped = list(skip.tasks)
    assert {name: dict(store.values) for name, store in stores.stores.items() if store.values} == before
    pushed = dict(context["ti"].pushed)
    assert pushed.pop("skipmixin_key", {"skipped": []}) == {"skipped": skipped}
    return skipped, pushed


def test_where_the_audience_is_known_nothing_is_created(recall: Any) -> None:
    assert run(recall, audience={"id": 7}) == (["campaign", "audience"], {"return_value": 7})
    assert recall._DigitalAudiencePortalLink == "https://portal/7"


def test_a_known_audience_needs_no_campaign(recall: Any) -> None:
    assert run(recall, audience={"id": 7}, campaign=INTENT) == (["campaign", "audience"], {"return_value": 7})


def test_where_the_campaign_is_known_only_the_audience_is_created(recall: Any) -> None:
    assert run(recall, campaign={"id": 11}) == (["campaign"], {"campaign_id": 11})


@pytest.mark.parametrize("known", [{}, {"campaign": INTENT}, {"campaign": INTENT, "audience": INTENT}])
def test_what_is_not_known_or_unclear_is_left_to_those_who_create_it(
    recall: Any, known: dict[str, Any]
) -> None:
    assert run(recall, **known) == ([], {})


def test_an_unclear_audience_does_not_keep_a_known_campaign_from_being_passed_over(recall: Any) -> None:
    assert run(recall, campaign={"id": 11}, audience=INTENT) == (["campaign"], {"campaign_id": 11})


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"retired": RETIRED}, "AudienceRetiredError: "),
        ({"audience": OF_ANOTHER}, "ConfigurationError: The stored id 7 of the audience belongs to"),
        ({"campaign": OF_ANOTHER}, "ConfigurationError: The stored id 7 of the campaign belongs to"),
    ],
)
def test_what_must_not_be_used_stops_it(recall: Any, known: dict[str, Any], message: str) -> None:
    with pytest.raises(AirflowFailException, match=message):
        run(recall, **known)


def test_lookup_lost_state_of_a_loaded_audience_fails_before_a_create(recall: Any) -> None:
    published = {"audience_id": 7, "load_date": "2026-11-20"}
    for known in ({}, {"campaign": {"id": 11}}, {"audience": INTENT}):
        with pytest.raises(
            AirflowFailException, match=r"StateLostError: .*was loaded before, with id 7.*Set 'id: 7'"
        ):
            run(recall, events=[published, {"sent": "by a user"}], **known)


def test_lookup_events_of_a_user_or_a_kept_state_are_no_lost_state(recall: Any) -> None:
    published = {"audience_id": 7, "load_date": "2026-11-20"}

    assert run(recall, events=[{"sent": "by a user"}]) == ([], {})
    # Its key was deleted to create the audience again.
    assert run(recall, events=[published], last_load={"load_date": "2026-11-20"}) == ([], {})
    assert run(recall, events=[published], audience={"id": 7}) == (
        ["campaign", "audience"],
        {"return_value": 7},
    )


def test_airflow_asks_it_again_where_a_skipped_task_is_cleared_by_itself(recall: Any) -> None:
    assert recall.inherits_from_skipmixin


def test_it_may_look_into_both_memories(recall: Any) -> None:
    assert recall.inlets == [AUDIENCE, CAMPAIGN]
