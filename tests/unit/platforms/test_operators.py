"""Behaviour that the operators of all vendors share, and of those that create something once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.exceptions import (
    ConfigurationError,
    Outcome,
    RequestRejectedError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.platforms import commbox, digital_audience, fanfare
from audience_onboarding.platforms.digital_audience.models import (
    Activation,
    Campaign,
    PlatformAccount,
    Segment,
)
from audience_onboarding.platforms.digital_audience.models import Audience as DigitalAudience
from audience_onboarding.platforms.fanfare.models import Audience as FanfareAudience
from audience_onboarding.state.create_once import VISIBILITY_TIMEOUT
from tests.fakes import AssetStores, task_context
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.fanfare.conftest import audience_json
from tests.unit.platforms.kits import ASSET, DIGITAL_AUDIENCE, FANFARE, HOST, KITS, Kit

OPERATORS: dict[str, dict[type[Any], dict[str, Any]]] = {
    "digital_audience": {
        digital_audience.DigitalAudienceCreateCampaignOperator: {"campaign_name": "Always-on"},
        digital_audience.DigitalAudienceCreateCrmAudienceOperator: {
            "audience_name": "List",
            "campaign_id": "11",
        },
        digital_audience.DigitalAudienceLookupAudienceOperator: {
            "asset": ASSET,
            "campaign_asset": ASSET,
            "campaign_task_id": "campaign",
            "audience_task_id": "audience",
        },
        digital_audience.DigitalAudienceActivateAudienceOperator: {
            "segment_name": "Segment",
            "description": "d",
            "audience_id": 7,
            "platform": "DV360",
            "account_name": "Example NL",
        },
        digital_audience.DigitalAudienceApproveActivationOperator: {
            "audience_name": "List",
            "segment_name": "Segment",
            "description": "d",
        },
        digital_audience.DigitalAudienceOnboardCrmToS3Operator: {
            "source": "/nowhere/{load_date}.csv",
            "columns": {"email": "E-mail"},
            "audience_id": 7,
            "bucket": "b",
        },
        digital_audience.DigitalAudienceUpdateAudienceOperator: {"audience_id": 7, "audience_name": "x"},
        digital_audience.DigitalAudienceExtendSegmentEndDateOperator: {"segment_id": 5, "new_end_date": "x"},
        digital_audience.DigitalAudienceDeleteAudienceOperator: {"audience_id": 7},
        digital_audience.DigitalAudienceDeleteSegmentOperator: {"segment_id": 5},
        digital_audience.DigitalAudienceListSegmentsOperator: {"audience_id": 7},
        digital_audience.DigitalAudienceListPlatformAccountsOperator: {},
    },
    "fanfare": {
        fanfare.FanfareCreateAudienceOperator: {"audience_name": "Fans"},
        fanfare.FanfareOnboardCrmOperator: {
            "source": "x",
            "columns": {"email": "E"},
            "audience_id": "aud_1",
            "allow_unhashed": True,
            "load_date": "2026-11-20",
        },
        fanfare.FanfareUpdateAudienceOperator: {"audience_id": "aud_1", "changes": {}},
        fanfare.FanfareReplaceRulesOperator: {"audience_id": "aud_1", "rules": []},
        fanfare.FanfareSyncAudienceOperator: {"audience_id": "aud_1"},
        fanfare.FanfareArchiveAudienceOperator: {"audience_id": "aud_1"},
        fanfare.FanfareListAudiencesOperator: {},
    },
    "commbox": {
        commbox.CommBoxFindAudienceOperator: {"audience_name": "Alerts"},
        commbox.CommBoxListAudiencesOperator: {},
        commbox.CommBoxOnboardCrmOperator: {
            "source": "x",
            "columns": {"phone": "P"},
            "audience_name": "Alerts",
            "allow_unhashed": True,
            "load_date": "2026-11-20",
        },
    },
}
MISSING = {"digital_audience": "host", "fanfare": "key", "commbox": "key"}


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_what_every_operator_has(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    public = kit.package.__all__
    assert public == sorted(public)
    assert [getattr(kit.package, name).__name__ for name in public] == public
    operators = OPERATORS[kit.name]
    assert {kind.__name__ for kind in operators} == {name for name in public if name.endswith("Operator")}
    monkeypatch.setenv(f"AIRFLOW_CONN_{kit.name.upper()}_DEFAULT", f'{{"conn_type": "{kit.name}"}}')
    message = f"ConfigurationError: The connection has no {MISSING[kit.name]}"

    with every_case() as case:
        for kind, arguments in operators.items():
            with case(kind.__name__):
                operator = kind(**{"task_id": "t", "asset": ASSET, **arguments})
                assert all(hasattr(operator, name) for name in operator.template_fields)
                assert f"{kit.name}_conn_id" in operator.template_fields
                assert isinstance(operator.retry_policy, OnboardingRetryPolicy)
                assert set(operator.inlets) == {ASSET}
                assert operator.outlets == []
            name = f"{kind.__name__} without a usable connection"
            with case(name), pytest.raises(AirflowFailException, match=message):
                kind(task_id="t", **arguments).execute(task_context())


# --- created once -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Creator:
    """An operator that creates something once.

    :ivar method: of the client, which creates.
    :ivar answer: of that method.
    :ivar key: under which the id is remembered.
    :ivar listed: what the vendor's list shows of it; ``None`` if there is no list to settle an unclear outcome by.
    """

    kit: Kit
    operator: type[Any]
    method: str
    answer: Any
    key: str
    new_id: int | str
    listed: Callable[[Any, int | str | None], None] | None = None
    has_dry_run: bool = True

    def make(self, **changes: Any) -> Any:
        arguments = OPERATORS[self.kit.name][self.operator]
        return self.operator(**{"task_id": "t", "asset": ASSET, **arguments, **changes})


def fans(audience_id: int | str) -> FanfareAudience:
    return FanfareAudience.model_validate(audience_json(id=audience_id, name="Fans"))


def list_fans(client: Any, audience_id: int | str | None) -> None:
    client.find_audience.return_value = None if audience_id is None else fans(audience_id)


def list_segments(client: Any, segment_id: int | str | None) -> None:
    client.find_platform_account.return_value = PlatformAccount(id=8)
    client.load_segment.return_value = Segment(segment_id=5)
    others = [Segment(segment_id=1, name="Another", account_id=8)]
    others.append(Segment(segment_id=2, name="Segment", account_id=9))
    ours = [] if segment_id is None else [Segment(segment_id=int(segment_id), name="Segment", account_id=8)]
    client.load_audience_segments.return_value = [*others, *ours]


CREATORS = [
    Creator(
        DIGITAL_AUDIENCE,
        digital_audience.DigitalAudienceCreateCampaignOperator,
        "create_campaign",
        Campaign(id=11),
        "campaign",
        11,
    ),
    Creator(
        DIGITAL_AUDIENCE,
        digital_audience.DigitalAudienceCreateCrmAudienceOperator,
        "create_crm_audience",
        DigitalAudience(id=7),
        "audience",
        7,
    ),
    Creator(
        DIGITAL_AUDIENCE,
        digital_audience.DigitalAudienceActivateAudienceOperator,
        "activate_audience",
        Activation(segment_id=5),
        "segment.default",
        5,
        list_segments,
        has_dry_run=False,
    ),
    Creator(
        FANFARE,
        fanfare.FanfareCreateAudienceOperator,
        "create_audience",
        fans("aud_1"),
        "audience",
        "aud_1",
        list_fans,
    ),
]
UNCLEAR = [
    VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN),
    UnexpectedResponseError(what="HTML", outcome=Outcome.UNKNOWN),
]


def of(creators: list[Creator]) -> Any:
    """Run a test for some of them."""
    names = [creator.operator.__name__ for creator in creators]
    return pytest.mark.parametrize("creator", creators, indirect=True, ids=names)


LISTED = of([creator for creator in CREATORS if creator.listed])
UNLISTED = of([creator for creator in CREATORS if not creator.listed])


@pytest.fixture(params=CREATORS, ids=lambda creator: creator.operator.__name__)
def creator(request: pytest.FixtureRequest) -> Creator:
    found: Creator = request.param
    return found


@pytest.fixture
def create(creator: Creator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The method of the client that creates."""
    client = creator.kit.client(monkeypatch)
    if creator.listed:
        creator.listed(client, None)
    made = getattr(client, creator.method)
    made.client = client
    made.return_value = creator.answer
    return made


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def test_it_is_created_once_over_runs(creator: Creator, create: Any, stores: AssetStores) -> None:
    for run_id in ("run_1", "run_2", "run_2"):
        found = creator.make().execute(task_context(stores=stores, run_id=run_id))
        assert found == creator.new_id

    assert create.call_count == 1
    record = stores[ASSET].values[creator.key]
    assert (record["id"], record["account"], record["run_id"]) == (creator.new_id, HOST, "run_1")


def test_without_an_asset_the_task_itself_remembers(creator: Creator, create: Any) -> None:
    context = task_context()

    assert [creator.make(asset=None).execute(context) for _ in range(2)] == [creator.new_id] * 2
    assert create.call_count == 1
    assert context["task_state_store"].get(creator.key)["id"] == creator.new_id


def test_an_error_that_says_not_done_leaves_no_intent(
    creator: Creator, create: Any, stores: AssetStores
) -> None:
    with every_case() as case:
        for error, raised in (
            (VendorUnavailableError(what="Refused", outcome=Outcome.NOT_DONE), VendorUnavailableError),
            (RequestRejectedError(what="No"), AirflowFailException),
            (ConfigurationError(what="No"), AirflowFailException),
        ):
            create.side_effect = error
            with case(error), pytest.raises(raised):
                creator.make().execute(task_context(stores=stores))
            assert stores[ASSET].values == {}


@of([creator for creator in CREATORS if creator.has_dry_run])
def test_a_dry_run_sends_nothing_and_reports_what_is_remembered(
    creator: Creator, create: Any, stores: AssetStores
) -> None:
    for dry_run in (True, "True", "true"):
        assert creator.make(is_dry_run=dry_run).execute(task_context(stores=stores)) is None
        assert stores[ASSET].values == {}
    if creator.listed:
        creator.listed(create.client, "aud_7")
        assert creator.make(is_dry_run="True").execute(task_context(stores=stores)) == "aud_7"
        assert stores[ASSET].values == {}

    stores[ASSET].set(creator.key, {"id": creator.new_id, "account": HOST})
    assert creator.make(is_dry_run="True").execute(task_context(stores=stores)) == creator.new_id
    assert create.call_count == 0


def test_the_id_of_another_account_is_an_error(creator: Creator, create: Any, stores: AssetStores) -> None:
    with every_case() as case:
        for account in ("https://staging.example", f"{HOST} organization org_2"):
            for dry_run in (False, "False", "true"):
                stores[ASSET].set(creator.key, {"id": 99, "account": account})
                changes = {"is_dry_run": dry_run} if creator.has_dry_run else {}
                message = rf"ConfigurationError.*99.*{account}"
                with case((account, dry_run)), pytest.raises(AirflowFailException, match=message):
                    creator.make(**changes).execute(task_context(stores=stores))
    assert create.call_count == 0


@UNLISTED
def test_an_unclear_outcome_without_a_list_stops_until_a_person_has_looked(
    creator: Creator, create: Any, stores: AssetStores
) -> None:
    create.side_effect = UNCLEAR[0]
    for _ in range(3):
        with pytest.raises(AirflowFailException, match="AmbiguousCreateError"):
            creator.make().execute(task_context(stores=stores))
    assert create.call_count == 1

    # The same after a crash, which leaves nothing but the intent.
    intent = {"name": "x", "at": "2026-11-19T03:00:00+00:00", "run_id": "run_0"}
    stores[ASSET].set(creator.key, {"intent": intent})
    message = r"AmbiguousCreateError.*run_0.*state store of asset 'audience/list'"
    with pytest.raises(AirflowFailException, match=message):
        creator.make().execute(task_context(stores=stores))
    assert create.call_count == 1


@LISTED
def test_an_unclear_outcome_with_a_list_is_settled_by_it(
    creator: Creator, create: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed_id = 6 if isinstance(creator.new_id, int) else "aud_6"
    with every_case() as case:
        for error in UNCLEAR:
            for is_there in (True, False):
                with (
                    case((error.what, is_there)),
                    time_machine.travel("2026-11-20T03:00:00Z", tick=False) as at,
                ):
                    creator.listed(create.client, None)
                    create.reset_mock(side_effect=True)
                    create.side_effect = [error, creator.answer]
                    stores = AssetStores()
                    # The list may lag behind: nothing is sent again at once.
                    for pause in (timedelta(0), VISIBILITY_TIMEOUT - timedelta(seconds=1)):
                        at.shift(pause)
                        with pytest.raises(TransientError, match=r"not clear yet whether .* was created"):
                            creator.make().execute(task_context(stores=stores))
                    at.shift(timedelta(seconds=1))
                    if is_there:
                        creator.listed(create.client, listed_id)
                    found = creator.make().execute(task_context(stores=stores))
                    assert found == (listed_id if is_there else creator.new_id)
                    assert create.call_count == (1 if is_there else 2)


@LISTED
def test_an_object_that_the_vendor_lists_is_taken(creator: Creator, create: Any, stores: AssetStores) -> None:
    listed_id = 6 if isinstance(creator.new_id, int) else "aud_6"
    creator.listed(create.client, listed_id)

    assert creator.make().execute(task_context(stores=stores)) == listed_id

    assert create.call_count == 0
    assert stores[ASSET].values[creator.key]["id"] == listed_id
