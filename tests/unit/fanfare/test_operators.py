"""Operators with a fake client: what they send, and above all what they do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import create_autospec

import pytest
import time_machine
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding import fanfare
from audience_onboarding.errors import (
    ConfigurationError,
    Outcome,
    RequestRejectedError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.fanfare.client import FanfareClient
from audience_onboarding.fanfare.hooks import FanfareHook
from audience_onboarding.fanfare.links import FanfarePortalLink
from audience_onboarding.fanfare.models import (
    Audience,
    AudienceChanges,
    AudienceDraft,
    AudienceStatus,
    AudienceType,
    RuleDraft,
    SyncStarted,
)
from audience_onboarding.fanfare.onboarding import FanfareOnboardCrmOperator
from audience_onboarding.fanfare.operators import (
    FanfareArchiveAudienceOperator,
    FanfareCreateAudienceOperator,
    FanfareListAudiencesOperator,
    FanfareReplaceRulesOperator,
    FanfareSyncAudienceOperator,
    FanfareUpdateAudienceOperator,
)
from audience_onboarding.fanfare.settings import FanfareSettings
from audience_onboarding.orchestration.ensure import SETTLE_AFTER
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from tests.fakes import AssetStores, task_context
from tests.unit.fanfare.conftest import audience_json

HOST = "https://vendor.example"
ASSET = Asset("audience/fans")
RULES = [{"field": "totalSpend", "operator": "GREATER_THAN", "values": [100]}]


def audience(audience_id: str = "aud_1", **changes: Any) -> Audience:
    return Audience.model_validate(audience_json(id=audience_id, name="Fans", **changes))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(FanfareClient, instance=True)
    made.settings = FanfareSettings(base_url=HOST, key="sk_test_1", portal_url="https://portal/{audience_id}")
    made.find_audience.return_value = None
    made.create_audience.return_value = audience()
    monkeypatch.setattr(FanfareHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def create(**changes: Any) -> FanfareCreateAudienceOperator:
    return FanfareCreateAudienceOperator(
        **{"task_id": "t", "audience_name": "Fans", "asset": ASSET, **changes}
    )


def sent_draft(client: Any) -> dict[str, Any]:
    (draft,) = client.create_audience.call_args.args
    assert isinstance(draft, AudienceDraft)
    return draft.to_json()


# --- created once -------------------------------------------------------------------------------------------


def test_an_audience_is_created_once_over_runs(client: Any, stores: AssetStores) -> None:
    for run_id in ("run_1", "run_2", "run_2"):
        operator = create(description="Presale")
        assert operator.execute(task_context(stores=stores, run_id=run_id)) == "aud_1"
        assert FanfarePortalLink().get_link(operator, ti_key=None) == "https://portal/aud_1"

    assert client.create_audience.call_count == 1
    assert sent_draft(client) == {"name": "Fans", "type": "STATIC_LIST", "description": "Presale"}
    record = stores[ASSET].values["audience"]
    assert (record["id"], record["account"], record["run_id"]) == ("aud_1", HOST, "run_1")


def test_an_audience_that_the_vendor_lists_is_ours(client: Any, stores: AssetStores) -> None:
    client.find_audience.return_value = audience("aud_7")

    assert create().execute(task_context(stores=stores)) == "aud_7"

    client.find_audience.assert_called_once_with("Fans", AudienceType.STATIC_LIST)
    assert client.create_audience.call_count == 0
    assert stores[ASSET].values["audience"]["id"] == "aud_7"


UNCLEAR = [
    VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN),
    UnexpectedResponseError(what="HTML", outcome=Outcome.UNKNOWN),
]


@pytest.mark.parametrize("error", UNCLEAR, ids=lambda error: error.what)
def test_an_unclear_creation_is_settled_by_the_list(
    client: Any, stores: AssetStores, error: Exception
) -> None:
    client.create_audience.side_effect = error
    with pytest.raises(TransientError, match="not clear yet whether audience 'Fans' was created"):
        create().execute(task_context(stores=stores))
    # The list may lag behind: nothing is sent again at once.
    with pytest.raises(TransientError, match="not clear yet"):
        create().execute(task_context(stores=stores))
    client.find_audience.return_value = audience("aud_7")

    assert create().execute(task_context(stores=stores)) == "aud_7"
    assert client.create_audience.call_count == 1


@pytest.mark.parametrize("error", UNCLEAR, ids=lambda error: error.what)
def test_an_unclear_creation_that_left_nothing_is_repeated_after_a_while(
    client: Any, stores: AssetStores, error: Exception
) -> None:
    client.create_audience.side_effect = [error, audience()]
    with time_machine.travel("2026-11-20T03:00:00Z", tick=False) as clock:
        with pytest.raises(TransientError):
            create().execute(task_context(stores=stores))
        clock.shift(SETTLE_AFTER - timedelta(seconds=1))
        with pytest.raises(TransientError):
            create().execute(task_context(stores=stores))
        clock.shift(timedelta(seconds=1))

        assert create().execute(task_context(stores=stores)) == "aud_1"

    assert client.create_audience.call_count == 2


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (VendorUnavailableError(what="Refused", outcome=Outcome.NOT_DONE), VendorUnavailableError),
        (RequestRejectedError(what="No"), AirflowFailException),
        (ConfigurationError(what="No"), AirflowFailException),
    ],
)
def test_what_was_surely_not_done_leaves_no_intent(
    client: Any, stores: AssetStores, error: Exception, raised: type[Exception]
) -> None:
    client.create_audience.side_effect = error

    with pytest.raises(raised):
        create().execute(task_context(stores=stores))

    assert stores[ASSET].values == {}


def test_a_name_that_cannot_be_used_is_an_error_and_creates_nothing(client: Any, stores: AssetStores) -> None:
    client.find_audience.side_effect = ConfigurationError(what="2 audiences are called 'Fans'")

    with pytest.raises(AirflowFailException, match="2 audiences are called"):
        create().execute(task_context(stores=stores))

    assert client.create_audience.call_count == 0
    assert stores[ASSET].values == {}


@pytest.mark.parametrize("dry_run", [True, "True"])
@pytest.mark.parametrize("there", [None, audience("aud_7")], ids=["absent", "there"])
def test_a_dry_run_sends_nothing_and_remembers_nothing(
    client: Any, stores: AssetStores, dry_run: Any, there: Audience | None
) -> None:
    client.find_audience.return_value = there

    found = create(is_dry_run=dry_run).execute(task_context(stores=stores))

    assert found == (None if there is None else "aud_7")
    assert client.create_audience.call_count == 0
    assert stores[ASSET].values == {}


@pytest.mark.parametrize(
    "account", ["https://staging.example", f"{HOST} organization org_2"], ids=["host", "organization"]
)
def test_the_id_of_another_account_is_an_error(client: Any, stores: AssetStores, account: str) -> None:
    stores[ASSET].set("audience", {"id": "aud_9", "account": account})

    with pytest.raises(AirflowFailException, match=r"ConfigurationError.*aud_9"):
        create().execute(task_context(stores=stores))

    assert client.create_audience.call_count == 0


# --- what is created ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, {"type": "STATIC_LIST"}),
        ({"audience_type": AudienceType.STATIC_LIST}, {"type": "STATIC_LIST"}),
        ({"audience_type": "DYNAMIC", "rules": RULES}, {"type": "DYNAMIC", "rules": RULES}),
        ({"audience_type": "DYNAMIC"}, {"type": "DYNAMIC"}),
        (
            {
                "audience_type": "SYNCED_LIST",
                "sync_source": {"sync_source": "klaviyo:list", "syncSourceId": "abc"},
            },
            {
                "type": "SYNCED_LIST",
                "primarySyncSource": {"syncSource": "klaviyo:list", "syncSourceId": "abc"},
            },
        ),
        (
            {"options": {"groupName": "Tiers", "groupType": "RFM", "name": "another", "type": "DYNAMIC"}},
            {"type": "STATIC_LIST", "groupName": "Tiers", "groupType": "RFM"},
        ),
    ],
)
def test_what_is_sent_for_each_type(
    client: Any, stores: AssetStores, changes: dict[str, Any], sent: dict[str, Any]
) -> None:
    create(**changes).execute(task_context(stores=stores))

    assert sent_draft(client) == {"name": "Fans", **sent}
    assert client.find_audience.call_args.args[1].value == sent["type"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": RULES}, "Only a dynamic audience has rules"),
        ({"sync_source": {"syncSource": "a", "syncSourceId": "b"}}, "A synced list, and only that"),
        ({"audience_type": "SYNCED_LIST"}, "A synced list, and only that"),
        ({"options": {"groupTyp": "RFM"}}, "groupTyp"),
        ({"options": {"groupType": "VIP"}}, "groupType"),
        (
            {"audience_type": "DYNAMIC", "rules": [{"field": "a", "operator": "LIKE", "values": []}]},
            r"rules\.0\.operator",
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_the_vendor_would_not_take_is_refused_before_anything_is_asked(
    client: Any, stores: AssetStores, changes: dict[str, Any], message: str, dry_run: bool
) -> None:
    with pytest.raises(AirflowFailException, match=f"ConfigurationError.*{message}"):
        create(is_dry_run=dry_run, **changes).execute(task_context(stores=stores))

    assert client.method_calls == []


@pytest.mark.parametrize("audience_type", ["STATIC", "static_list", ""])
def test_a_type_that_is_none_is_refused_where_it_is_written(audience_type: str) -> None:
    with pytest.raises(ValueError, match="AudienceType"):
        create(audience_type=audience_type)


# --- changing, syncing, archiving ---------------------------------------------------------------------------


def test_an_audience_can_be_changed_as_often_as_one_likes(client: Any) -> None:
    operator = FanfareUpdateAudienceOperator(
        task_id="t", audience_id="aud_1", changes={"name": "New", "description": None}
    )

    operator.execute(task_context())
    operator.execute(task_context())

    assert client.update_audience.call_count == 2
    audience_id, changes = client.update_audience.call_args.args
    assert isinstance(changes, AudienceChanges)
    assert (audience_id, changes.to_json()) == ("aud_1", {"name": "New", "description": None})
    assert FanfarePortalLink().get_link(operator, ti_key=None) == "https://portal/aud_1"


@pytest.mark.parametrize("changes", [{"rules": RULES}, {"nmae": "x"}, {"name": ""}, {"groupType": "x"}])
def test_changes_that_are_none_are_refused(client: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="Fanfare does not take these fields"):
        FanfareUpdateAudienceOperator(task_id="t", audience_id="aud_1", changes=changes).execute(
            task_context()
        )

    assert client.update_audience.call_count == 0


def test_all_rules_are_replaced_at_once(client: Any) -> None:
    FanfareReplaceRulesOperator(task_id="t", audience_id="aud_1", rules=RULES).execute(task_context())

    audience_id, rules = client.replace_rules.call_args.args
    assert audience_id == "aud_1"
    assert all(isinstance(rule, RuleDraft) for rule in rules)
    assert [rule.to_json() for rule in rules] == RULES


def test_one_bad_rule_replaces_nothing(client: Any) -> None:
    with pytest.raises(AirflowFailException, match="operator"):
        FanfareReplaceRulesOperator(
            task_id="t", audience_id="aud_1", rules=[*RULES, {**RULES[0], "operator": "LIKE"}]
        ).execute(task_context())

    assert client.replace_rules.call_count == 0


@pytest.mark.parametrize("started", [SyncStarted(success=True, status="PENDING"), None])
def test_a_sync_remembers_what_was_there_before_it(client: Any, started: SyncStarted | None) -> None:
    order: list[str] = []

    def status(audience_id: str) -> AudienceStatus:
        order.append("status")
        return AudienceStatus.model_validate(
            {"version": 3, "stale": True, "inProgress": False, "lastSyncedAt": "2026-11-20T03:00:00.5Z"}
        )

    def sync(audience_id: str) -> SyncStarted | None:
        order.append("sync")
        return started

    client.status.side_effect = status
    client.sync.side_effect = sync

    found = FanfareSyncAudienceOperator(task_id="t", audience_id="aud_1").execute(task_context())

    assert order == ["status", "sync"]
    assert found == {
        "audience_id": "aud_1",
        "baseline": {
            "version": 3,
            "last_refreshed_at": None,
            "last_synced_at": "2026-11-20T03:00:00.500000Z",
        },
    }


def test_an_audience_is_archived_by_the_id_that_is_given(client: Any) -> None:
    FanfareArchiveAudienceOperator(task_id="t", audience_id="aud_1").execute(task_context())

    client.archive_audience.assert_called_once_with("aud_1")


@pytest.mark.parametrize("given", [None, "", "None"])
def test_a_remembered_audience_is_never_archived(client: Any, stores: AssetStores, given: Any) -> None:
    stores[ASSET].set("audience", {"id": "aud_1", "account": HOST})

    with pytest.raises(AirflowFailException, match="is no id"):
        FanfareArchiveAudienceOperator(task_id="t", audience_id=given, asset=ASSET).execute(
            task_context(stores=stores)
        )

    assert client.archive_audience.call_count == 0


def test_archiving_needs_an_id_to_be_written() -> None:
    with pytest.raises(TypeError, match="audience_id"):
        FanfareArchiveAudienceOperator(task_id="t")  # type: ignore[call-arg]


@pytest.mark.parametrize(("with_archived", "found"), [(False, ["aud_1"]), (True, ["aud_1", "aud_2"])])
def test_a_list_is_json_without_what_is_long(client: Any, with_archived: bool, found: list[str]) -> None:
    client.list_audiences.return_value = iter([audience("aud_1"), audience("aud_2", archived=True)])

    listed = FanfareListAudiencesOperator(task_id="t", with_archived=with_archived).execute(task_context())

    assert [item["id"] for item in listed] == found
    assert not {"rules", "imports"} & set(listed[0])
    assert listed[0]["created_at"] == "2023-11-07T05:31:56Z"


# --- all operators ------------------------------------------------------------------------------------------

OPERATORS = [
    create(),
    FanfareOnboardCrmOperator(
        task_id="t", source="x", columns={"email": "E"}, audience_id="aud_1", allow_raw=True
    ),
    FanfareUpdateAudienceOperator(task_id="t", audience_id="aud_1", changes={}),
    FanfareReplaceRulesOperator(task_id="t", audience_id="aud_1", rules=[]),
    FanfareSyncAudienceOperator(task_id="t", audience_id="aud_1"),
    FanfareArchiveAudienceOperator(task_id="t", audience_id="aud_1"),
    FanfareListAudiencesOperator(task_id="t"),
]


def test_the_list_of_operators_is_complete() -> None:
    public = {name for name in fanfare.__all__ if name.endswith("Operator")}

    assert {type(operator).__name__ for operator in OPERATORS} == public


def test_everything_that_is_public_is_there() -> None:
    assert fanfare.__all__ == sorted(fanfare.__all__)
    assert [getattr(fanfare, name).__name__ for name in fanfare.__all__] == fanfare.__all__


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
class TestEveryOperator:
    def test_its_templated_fields_are_attributes(self, operator: Any) -> None:
        assert all(hasattr(operator, name) for name in operator.template_fields)
        assert "fanfare_conn_id" in operator.template_fields

    def test_it_follows_our_retry_policy_by_itself(self, operator: Any) -> None:
        assert isinstance(operator.retry_policy, OnboardingRetryPolicy)

    def test_its_asset_is_an_inlet_and_no_outlet(self, operator: Any) -> None:
        assert operator.inlets == ([ASSET] if operator.asset else [])
        assert operator.outlets == []

    def test_a_connection_that_cannot_be_used_fails_at_once(
        self, operator: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_FANFARE_DEFAULT", '{"conn_type": "fanfare"}')
        if isinstance(operator, FanfareOnboardCrmOperator):
            operator.load_date = "2026-11-20"

        with pytest.raises(AirflowFailException, match="ConfigurationError: The connection has no key"):
            operator.execute(task_context())


@pytest.mark.parametrize("given", [None, "", "None"])
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: FanfareUpdateAudienceOperator(task_id="t", changes={}, **more),
        lambda **more: FanfareReplaceRulesOperator(task_id="t", rules=[], **more),
        lambda **more: FanfareSyncAudienceOperator(task_id="t", **more),
    ],
    ids=["update", "rules", "sync"],
)
def test_an_audience_that_is_not_given_is_the_one_that_the_asset_remembers(
    client: Any, stores: AssetStores, make: Any, given: Any
) -> None:
    client.status.return_value = AudienceStatus(stale=False, in_progress=False)
    with pytest.raises(AirflowFailException, match="There is no audience yet"):
        make(audience_id=given, asset=ASSET).execute(task_context(stores=stores))
    assert client.method_calls == []
    stores[ASSET].set("audience", {"id": "aud_70", "account": HOST})

    make(audience_id=given, asset=ASSET).execute(task_context(stores=stores))

    assert {call.args[0] for call in client.method_calls} == {"aud_70"}
