"""What all operators share: memory, retries, and a connection."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.exceptions import ConfigurationError, Outcome, VendorUnavailableError
from tests.fakes import AssetStores, task_context
from tests.unit.base.plain import HOST, PlainEnsureOperator, PlainListOperator, PlainOnboardOperator

ASSET = Asset("audience/list")


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def ensure(**changes: Any) -> PlainEnsureOperator:
    return PlainEnsureOperator(**{"task_id": "t", "asset": ASSET, **changes})


# --- created once -------------------------------------------------------------------------------------------


def test_an_id_that_is_text_is_created_once_over_runs(client: Any, stores: AssetStores) -> None:
    for run_id in ("run_1", "run_2", "run_2"):
        assert ensure().execute(task_context(stores=stores, run_id=run_id)) == "t-7"

    client.create_thing.assert_called_once_with("Thing")
    record = stores[ASSET].values["audience"]
    assert (record["id"], record["account"], record["run_id"]) == ("t-7", HOST, "run_1")


def test_without_an_asset_the_task_itself_remembers(client: Any) -> None:
    context = task_context()

    assert [ensure(asset=None).execute(context) for _ in range(2)] == ["t-7", "t-7"]
    assert client.create_thing.call_count == 1


@pytest.mark.parametrize(
    ("asset", "audience_key", "named", "place"),
    [
        (ASSET, None, "list", "asset 'audience/list'"),
        (Asset("campaign/x/y"), "newsletter", "newsletter", "asset 'campaign/x/y'"),
        (ASSET, "newsletter", "newsletter", "asset 'audience/list'"),
        (Asset("anything"), None, None, "asset 'anything'"),
        (None, "newsletter", None, "this task's state store"),
    ],
    ids=["of its asset", "given", "given before that of its asset", "none", "no asset to settle"],
)
def test_an_unclear_creation_names_the_place_and_the_dag_that_settles_it(
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    asset: Asset | None,
    audience_key: str | None,
    named: str | None,
    place: str,
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/")
    client.create_thing.side_effect = VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN)

    with pytest.raises(AirflowFailException, match="AmbiguousCreateError") as caught:
        ensure(asset=asset, audience_key=audience_key).execute(task_context())

    message = str(caught.value)
    assert place in message
    assert HOST in message
    assert ("https://airflow.example/dags/resolve_ambiguous_create " in message) is (named is not None)
    assert (f'"audience": "{named}", "what": "audience"' in message) is (named is not None)


def test_a_dry_run_creates_nothing_and_remembers_nothing(client: Any, stores: AssetStores) -> None:
    for value in (True, "True", "1"):
        assert ensure(is_dry_run=value).execute(task_context(stores=stores)) is None
    assert client.create_thing.call_count == 0
    assert stores[ASSET].values == {}

    stores[ASSET].values["audience"] = {"id": "t-5", "account": HOST}
    assert ensure(is_dry_run=True).execute(task_context(stores=stores)) == "t-5"


@pytest.mark.parametrize(
    "remembered", [{"id": ["t-5"]}, {"id": "a b"}, {"id": None}, "t-5", ["t-5"]], ids=repr
)
def test_an_invalid_manual_entry_is_reported_and_nothing_is_created(
    client: Any, stores: AssetStores, remembered: Any
) -> None:
    stores[ASSET].values["audience"] = remembered

    with pytest.raises(AirflowFailException, match=r"ConfigurationError: The stored record of the audience"):
        ensure().execute(task_context(stores=stores))

    assert client.create_thing.call_count == 0


# --- which audience -----------------------------------------------------------------------------------------


def test_an_audience_that_is_not_given_is_the_one_that_is_remembered(
    client: Any, stores: AssetStores
) -> None:
    stores[ASSET].values["audience"] = {"id": "t-5", "account": HOST}
    context = task_context(stores=stores)
    operator = PlainListOperator(task_id="t", asset=ASSET)

    for missing in (None, "", "None"):
        assert operator._audience_id(context, missing) == "t-5"
    assert operator._audience_id(context, "t-9") == "t-9"


@pytest.mark.parametrize("remote_id", ["a b", "None", ["t-5"], None], ids=repr)
def test_an_audience_that_is_remembered_wrongly_is_not_taken(
    client: Any, stores: AssetStores, remote_id: Any
) -> None:
    stores[ASSET].values["audience"] = {"id": remote_id, "account": HOST}

    with pytest.raises(ConfigurationError, match="The stored record of the audience has no valid id"):
        PlainListOperator(task_id="t", asset=ASSET).execute(task_context(stores=stores))


@pytest.mark.parametrize("asset", [ASSET, None])
def test_without_an_audience_it_says_what_to_do(client: Any, asset: Asset | None) -> None:
    with pytest.raises(ConfigurationError, match=r"no audience yet.*onboarding DAG"):
        PlainListOperator(task_id="t", asset=asset).execute(task_context())


# --- assets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda **more: PlainEnsureOperator(task_id="t", **more),
        lambda **more: PlainListOperator(task_id="t", **more),
        lambda **more: PlainOnboardOperator(task_id="t", source="x", columns={}, **more),
    ],
)
def test_the_asset_is_an_inlet_and_no_outlet(make: Any) -> None:
    other = Asset("other")

    assert make(asset=ASSET).inlets == [ASSET]
    assert make(asset=ASSET, inlets=[ASSET]).inlets == [ASSET]
    assert make(asset=ASSET, inlets=[other]).inlets == [other, ASSET]
    assert make().inlets == []
    assert make(asset=ASSET).outlets == []
