"""Fanfare's operators with a mock of the client: what they send, and above all what they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.platforms.fanfare.models import (
    AudienceChanges,
    AudienceDraft,
    AudienceStatus,
    AudienceType,
    RuleDraft,
    SyncStarted,
)
from audience_onboarding.platforms.fanfare.operators import (
    FanfareArchiveAudienceOperator,
    FanfareCreateAudienceOperator,
    FanfareListAudiencesOperator,
    FanfareReplaceRulesOperator,
    FanfareSyncAudienceOperator,
    FanfareUpdateAudienceOperator,
)
from tests.fakes import AssetStores, task_context
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.fanfare.conftest import audience_json
from tests.unit.platforms.kits import ASSET, FANFARE, HOST
from tests.unit.platforms.test_operators import fans

RULES = [{"field": "totalSpend", "operator": "GREATER_THAN", "values": [100]}]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = FANFARE.client(monkeypatch)
    made.find_audience.return_value = None
    made.create_audience.return_value = fans("aud_1")
    return made


@pytest.fixture
def context() -> Any:
    return task_context(stores=AssetStores())


def create(**changes: Any) -> FanfareCreateAudienceOperator:
    return FanfareCreateAudienceOperator(
        **{"task_id": "t", "audience_name": "Fans", "asset": ASSET, **changes}
    )


# --- what is created ----------------------------------------------------------------------------------------


def test_what_is_sent_for_each_type(client: Any) -> None:
    synced = {"syncSource": "klaviyo:list", "syncSourceId": "abc"}
    with every_case() as case:
        for changes, sent in (
            ({}, {"type": "STATIC_LIST"}),
            ({"description": "Presale"}, {"type": "STATIC_LIST", "description": "Presale"}),
            ({"audience_type": AudienceType.STATIC_LIST}, {"type": "STATIC_LIST"}),
            ({"audience_type": "DYNAMIC", "rules": RULES}, {"type": "DYNAMIC", "rules": RULES}),
            ({"audience_type": "DYNAMIC"}, {"type": "DYNAMIC"}),
            (
                {
                    "audience_type": "SYNCED_LIST",
                    "sync_source": {"sync_source": "klaviyo:list", "syncSourceId": "abc"},
                },
                {"type": "SYNCED_LIST", "primarySyncSource": synced},
            ),
            (
                {"options": {"groupName": "Tiers", "groupType": "RFM", "name": "another", "type": "DYNAMIC"}},
                {"type": "STATIC_LIST", "groupName": "Tiers", "groupType": "RFM"},
            ),
        ):
            with case(changes):
                operator = create(**changes)
                operator.execute(task_context(stores=AssetStores()))  # type: ignore[arg-type]
                (draft,) = client.create_audience.call_args.args
                assert isinstance(draft, AudienceDraft)
                assert draft.to_json() == {"name": "Fans", **sent}
                client.find_audience.assert_called_with("Fans", AudienceType(sent["type"]))
                assert FANFARE.portal(operator) == "https://portal/aud_1"


def test_what_the_vendor_would_not_take_is_refused_before_anything_is_asked(
    client: Any, context: Any
) -> None:
    bad_rule = {"field": "a", "operator": "LIKE", "values": []}
    with every_case() as case:
        for changes, message in (
            ({"rules": RULES}, "only a dynamic audience has .rules."),
            (
                {"sync_source": {"syncSource": "a", "syncSourceId": "b"}},
                "only a synced list has a .sync_source.",
            ),
            ({"audience_type": "SYNCED_LIST"}, "only a synced list has a .sync_source."),
            ({"options": {"groupTyp": "RFM"}}, "groupTyp"),
            ({"options": {"groupType": "VIP"}}, "groupType"),
            ({"audience_type": "DYNAMIC", "rules": [bad_rule]}, r"rules\.0\.operator"),
        ):
            for dry_run in (True, False):
                expected = pytest.raises(AirflowFailException, match=f"ConfigurationError.*{message}")
                with case((message, dry_run)), expected:
                    create(is_dry_run=dry_run, **changes).execute(context)
        for unknown in ("STATIC", "static_list", ""):
            with case(unknown), pytest.raises(ValueError, match="AudienceType"):
                create(audience_type=unknown)
    assert client.method_calls == []


def test_a_name_that_cannot_be_used_creates_nothing(client: Any, context: Any) -> None:
    client.find_audience.side_effect = ConfigurationError(what="2 audiences are called 'Fans'")

    with pytest.raises(AirflowFailException, match="2 audiences are called"):
        create().execute(context)

    assert client.create_audience.call_count == 0
    assert context["asset_state_store"][ASSET].values == {}


# --- changing, syncing, archiving ---------------------------------------------------------------------------


def test_an_audience_can_be_changed_repeatedly(client: Any, context: Any) -> None:
    operator = FanfareUpdateAudienceOperator(
        task_id="t", audience_id="aud_1", changes={"name": "New", "description": None}
    )

    operator.execute(context)
    operator.execute(context)

    assert client.update_audience.call_count == 2
    audience_id, changes = client.update_audience.call_args.args
    assert isinstance(changes, AudienceChanges)
    assert (audience_id, changes.to_json()) == ("aud_1", {"name": "New", "description": None})
    assert FANFARE.portal(operator) == "https://portal/aud_1"


def test_all_rules_are_replaced_at_once(client: Any, context: Any) -> None:
    FanfareReplaceRulesOperator(task_id="t", audience_id="aud_1", rules=RULES).execute(context)

    audience_id, rules = client.replace_rules.call_args.args
    assert audience_id == "aud_1"
    assert all(isinstance(rule, RuleDraft) for rule in rules)
    assert [rule.to_json() for rule in rules] == RULES


def test_invalid_changes_and_rules_are_refused(client: Any, context: Any) -> None:
    with every_case() as case:
        for changes in ({"rules": RULES}, {"nmae": "x"}, {"name": ""}, {"groupType": "x"}):
            expected = pytest.raises(AirflowFailException, match="Invalid fields for Fanfare")
            with case(changes), expected:
                FanfareUpdateAudienceOperator(task_id="t", audience_id="aud_1", changes=changes).execute(
                    context
                )
        rules = [*RULES, {**RULES[0], "operator": "LIKE"}]
        with case("one bad rule"), pytest.raises(AirflowFailException, match="operator"):
            FanfareReplaceRulesOperator(task_id="t", audience_id="aud_1", rules=rules).execute(context)
    assert client.method_calls == []


@pytest.mark.parametrize("started", [SyncStarted(success=True, status="PENDING"), None])
def test_a_sync_remembers_what_was_there_before_it(
    client: Any, context: Any, started: SyncStarted | None
) -> None:
    client.status.return_value = AudienceStatus.model_validate(
        {"version": 3, "stale": True, "inProgress": False, "lastSyncedAt": "2026-11-20T03:00:00.5Z"}
    )
    client.sync.return_value = started

    found = FanfareSyncAudienceOperator(task_id="t", audience_id="aud_1").execute(context)

    assert [call[0] for call in client.method_calls] == ["status", "sync"]
    assert found == {
        "audience_id": "aud_1",
        "baseline": {
            "version": 3,
            "last_refreshed_at": None,
            "last_synced_at": "2026-11-20T03:00:00.500000Z",
        },
    }


def test_what_is_archived_has_to_be_named(client: Any, context: Any) -> None:
    context["asset_state_store"][ASSET].set("audience", {"id": "aud_1", "account": HOST})
    for given in (None, "", "None"):
        with pytest.raises(AirflowFailException, match="Invalid id"):
            FanfareArchiveAudienceOperator(task_id="t", audience_id=given, asset=ASSET).execute(context)
    with pytest.raises(TypeError, match="audience_id"):
        FanfareArchiveAudienceOperator(task_id="t")  # type: ignore[call-arg]
    assert client.archive_audience.call_count == 0

    FanfareArchiveAudienceOperator(task_id="t", audience_id="aud_1").execute(context)

    client.archive_audience.assert_called_once_with("aud_1")


@pytest.mark.parametrize(("with_archived", "found"), [(False, ["aud_1"]), (True, ["aud_1", "aud_2"])])
def test_a_list_is_json_without_what_is_long(
    client: Any, context: Any, with_archived: bool, found: list[str]
) -> None:
    archived = fans("aud_2").model_validate(audience_json(id="aud_2", archived=True))
    client.list_audiences.return_value = iter([fans("aud_1"), archived])

    listed = FanfareListAudiencesOperator(task_id="t", with_archived=with_archived).execute(context)

    assert [item["id"] for item in listed] == found
    assert not {"rules", "imports"} & set(listed[0])
    assert listed[0]["created_at"] == "2023-11-07T05:31:56Z"


MAKERS: dict[str, Callable[..., Any]] = {
    "update": lambda given: FanfareUpdateAudienceOperator(
        task_id="t", changes={}, audience_id=given, asset=ASSET
    ),
    "rules": lambda given: FanfareReplaceRulesOperator(task_id="t", rules=[], audience_id=given, asset=ASSET),
    "sync": lambda given: FanfareSyncAudienceOperator(task_id="t", audience_id=given, asset=ASSET),
}


@pytest.mark.parametrize("given", [None, "", "None"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_without_an_audience_the_remembered_one_is_taken(
    client: Any, context: Any, make: Any, given: Any
) -> None:
    client.status.return_value = AudienceStatus(stale=False, in_progress=False)
    with pytest.raises(AirflowFailException, match="There is no audience yet"):
        make(given).execute(context)
    assert client.method_calls == []
    context["asset_state_store"][ASSET].set("audience", {"id": "aud_70", "account": HOST})

    make(given).execute(context)

    assert {call.args[0] for call in client.method_calls} == {"aud_70"}
