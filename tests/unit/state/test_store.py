"""Assets and stores that remember ids."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.sdk.execution_time.context import NEVER_EXPIRE

from audience_onboarding.state.store import (
    audience_asset,
    campaign_asset,
    get_state_store,
    load_key,
    platform_of,
    segment_asset,
    segment_key,
)
from tests.fakes import AssetStores, DictStore, task_context
from tests.unit.state.helpers import check


def test_an_asset_has_a_memory_that_outlives_the_run() -> None:
    stores, asset = AssetStores(), audience_asset("digital_audience", "newsletter")
    first: dict[str, Any] = {"asset_state_store": stores, "task_state_store": DictStore()}
    second: dict[str, Any] = {"asset_state_store": stores, "task_state_store": DictStore()}

    get_state_store(first, asset).set("audience", {"id": 1})

    assert get_state_store(second, asset).get("audience") == {"id": 1}
    assert get_state_store(second, audience_asset("digital_audience", "other")).get("audience") is None


def test_loads_and_segments_have_keys_of_their_own() -> None:
    loads = [("2026-11-20", "opt-in"), ("2026-11-20", "opt-out"), ("2026-11-21", "opt-in")]

    assert len({*(load_key(*load) for load in loads), segment_key("dv360"), segment_key("xandr")}) == 5


def test_the_asset_of_an_audience_is_told_by_its_key() -> None:
    asset = audience_asset("digital_audience", "newsletter_nl")

    assert (asset.name, asset.uri) == ("audience/newsletter_nl", "audience/digital_audience/newsletter_nl")
    assert platform_of(asset.uri) == "digital_audience"


def test_no_asset_makes_airflow_load_the_providers() -> None:
    for asset in (
        audience_asset("fanfare", "vip"),
        segment_asset("digital_audience", "vip", "dv360"),
        campaign_asset("digital_audience", "conn", "https://x"),
    ):
        # Airflow does for any scheme, in each process that makes such an asset.
        assert urlsplit(asset.uri).scheme == "", asset


def test_campaigns_are_told_apart_by_connection_and_name() -> None:
    def are_two(pair: tuple[tuple[str, str], tuple[str, str]]) -> bool:
        # Airflow deactivates one of two assets that share a URI but not a name, and tasks with it fail.
        first, second = (campaign_asset("digital_audience", *each) for each in pair)
        return first.name != second.name and first.uri != second.uri

    names = [
        ("Always-on CRM", "Always on CRM"),
        ("Always-on CRM", "always-on crm"),
        ("客户", "顾客"),
        ("Sale 50%", "Sale 50"),
        ("A/B", "A B"),
        ("?", "!"),
    ]
    check(are_two, [((("conn", one), ("conn", other)), True) for one, other in names])
    assert are_two((("a", "Always-on"), ("b", "Always-on")))
    same = [campaign_asset("digital_audience", "a", "Always-on") for _ in range(2)]
    assert same[0] == same[1]


def test_without_an_asset_the_task_remembers_and_its_memory_does_not_expire() -> None:
    context = task_context()
    store = get_state_store(context, None)

    store.set("campaign", {"id": 5})

    assert store.get("campaign") == context["task_state_store"].get("campaign") == {"id": 5}
    assert context["task_state_store"].retentions["campaign"] is NEVER_EXPIRE
    store.delete("campaign")
    assert store.get("campaign") is None
