"""Operators with a fake client: what they send, and above all what they do not."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding import digital_audience
from audience_onboarding.base.onboarding import Rejects
from audience_onboarding.digital_audience.approval import DigitalAudienceApproveActivationOperator
from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.digital_audience.models import (
    Activation,
    Audience,
    Campaign,
    PlatformAccount,
    Segment,
    UpdateMode,
)
from audience_onboarding.digital_audience.onboarding import DigitalAudienceOnboardCrmToS3Operator, object_key
from audience_onboarding.digital_audience.operators import (
    DigitalAudienceActivateAudienceOperator,
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
    DigitalAudienceDeleteAudienceOperator,
    DigitalAudienceDeleteSegmentOperator,
    DigitalAudienceExtendSegmentEndDateOperator,
    DigitalAudienceListPlatformAccountsOperator,
    DigitalAudienceListSegmentsOperator,
    DigitalAudienceUpdateAudienceOperator,
)
from audience_onboarding.digital_audience.recalling import DigitalAudienceRecallAudienceOperator
from audience_onboarding.digital_audience.segment_names import SegmentName
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.errors import (
    NotFoundError,
    Outcome,
    RequestRejectedError,
    TransientError,
    VendorUnavailableError,
)
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from tests.fakes import AssetStores, task_context

HOST = "https://vendor.example"
ASSET = Asset("audience/list")
RUN_AFTER = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(
        base_url=HOST, user_name="u", password="p", portal_url="https://portal/{audience_id}"
    )
    made.create_campaign.return_value = Campaign(id=11)
    made.create_crm_audience.return_value = Audience(id=7)
    made.activate_audience.return_value = Activation(segment_id=5)
    made.load_audience_segments.return_value = []
    made.load_segment.return_value = Segment(segment_id=5)
    made.find_platform_account.return_value = PlatformAccount(id=8)
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def campaign(**changes: Any) -> DigitalAudienceCreateCampaignOperator:
    return DigitalAudienceCreateCampaignOperator(
        **{"task_id": "t", "campaign_name": "Always-on", "asset": ASSET, **changes}
    )


def audience(**changes: Any) -> DigitalAudienceCreateCrmAudienceOperator:
    return DigitalAudienceCreateCrmAudienceOperator(
        **{"task_id": "t", "audience_name": "List", "campaign_id": "11", "asset": ASSET, **changes}
    )


def recall(**changes: Any) -> DigitalAudienceRecallAudienceOperator:
    return DigitalAudienceRecallAudienceOperator(
        **{
            "task_id": "t",
            "asset": ASSET,
            "campaign_asset": ASSET,
            "campaign_task_id": "campaign",
            "audience_task_id": "audience",
            **changes,
        }
    )


def activate(**changes: Any) -> DigitalAudienceActivateAudienceOperator:
    return DigitalAudienceActivateAudienceOperator(
        **{
            "task_id": "t",
            "segment_name": "Segment",
            "description": "d",
            "audience_id": 7,
            "platform": "DV360",
            "account_name": "Example NL",
            "asset": ASSET,
            **changes,
        }
    )


CREATORS = pytest.mark.parametrize(
    ("make", "method", "key", "new_id"),
    [
        pytest.param(campaign, "create_campaign", "campaign", 11, id="campaign"),
        pytest.param(audience, "create_crm_audience", "audience", 7, id="audience"),
    ],
)


# --- campaigns and audiences: created once ------------------------------------------------------------------


@CREATORS
def test_it_is_created_once_over_runs(
    client: Any, stores: AssetStores, make: Any, method: str, key: str, new_id: int
) -> None:
    for run_id in ("run_1", "run_2", "run_2"):
        assert make().execute(task_context(stores=stores, run_id=run_id)) == new_id

    assert getattr(client, method).call_count == 1
    record = stores[ASSET].values[key]
    assert (record["id"], record["account"], record["run_id"]) == (new_id, HOST, "run_1")


@CREATORS
def test_without_an_asset_the_task_itself_remembers(
    client: Any, make: Any, method: str, key: str, new_id: int
) -> None:
    context = task_context()

    assert [make(asset=None).execute(context) for _ in range(2)] == [new_id, new_id]
    assert getattr(client, method).call_count == 1
    assert context["task_state_store"].get(key)["id"] == new_id


@CREATORS
def test_a_crash_after_the_intent_stops_until_a_person_has_looked(
    client: Any, stores: AssetStores, make: Any, method: str, key: str, new_id: int
) -> None:
    stores[ASSET].set(key, {"intent": {"name": "x", "at": "2026-11-19T03:00:00+00:00", "run_id": "run_0"}})

    with pytest.raises(
        AirflowFailException, match=r"AmbiguousCreateError.*run_0.*state store of asset 'audience/list'"
    ):
        make().execute(task_context(stores=stores))

    assert getattr(client, method).call_count == 0


@CREATORS
def test_an_unclear_outcome_is_never_sent_again(
    client: Any, stores: AssetStores, make: Any, method: str, key: str, new_id: int
) -> None:
    getattr(client, method).side_effect = VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN)

    for _ in range(3):
        with pytest.raises(AirflowFailException, match="AmbiguousCreateError"):
            make().execute(task_context(stores=stores))

    assert getattr(client, method).call_count == 1


@CREATORS
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (VendorUnavailableError(what="Refused", outcome=Outcome.NOT_DONE), VendorUnavailableError),
        (RequestRejectedError(what="No"), AirflowFailException),
    ],
)
def test_what_was_surely_not_done_leaves_no_intent(
    client: Any,
    stores: AssetStores,
    make: Any,
    method: str,
    key: str,
    new_id: int,
    error: Exception,
    raised: type[Exception],
) -> None:
    getattr(client, method).side_effect = error

    with pytest.raises(raised):
        make().execute(task_context(stores=stores))

    assert stores[ASSET].values == {}


@CREATORS
@pytest.mark.parametrize("dry_run", [True, "True", "true"])
def test_a_dry_run_sends_nothing_and_remembers_nothing(
    client: Any, stores: AssetStores, make: Any, method: str, key: str, new_id: int, dry_run: Any
) -> None:
    assert make(is_dry_run=dry_run).execute(task_context(stores=stores)) is None

    assert getattr(client, method).call_count == 0
    assert stores[ASSET].values == {}


@CREATORS
def test_a_dry_run_knows_what_is_there(
    client: Any, stores: AssetStores, make: Any, method: str, key: str, new_id: int
) -> None:
    stores[ASSET].set(key, {"id": 99, "account": HOST})

    assert make(is_dry_run="True").execute(task_context(stores=stores)) == 99


@CREATORS
@pytest.mark.parametrize("dry_run", [False, "False", "true"])
def test_the_id_of_another_host_is_an_error(
    client: Any, stores: AssetStores, make: Any, method: str, key: str, new_id: int, dry_run: Any
) -> None:
    stores[ASSET].set(key, {"id": 99, "account": "https://staging.example"})

    with pytest.raises(AirflowFailException, match=r"ConfigurationError.*staging\.example"):
        make(is_dry_run=dry_run).execute(task_context(stores=stores))

    assert getattr(client, method).call_count == 0


def test_what_is_sent_for_a_campaign_and_an_audience(client: Any, stores: AssetStores) -> None:
    campaign().execute(task_context(stores=stores))
    audience(description="d").execute(task_context(stores=stores))

    client.create_campaign.assert_called_once_with("Always-on")
    client.create_crm_audience.assert_called_once_with(name="List", campaign_id=11, description="d")


def test_an_audience_can_be_renamed_as_often_as_one_likes(client: Any) -> None:
    context = task_context()
    operator = DigitalAudienceUpdateAudienceOperator(task_id="t", audience_id="7", audience_name="New")

    operator.execute(context)
    operator.execute(context)

    assert client.update_audience.call_count == 2
    client.update_audience.assert_called_with(7, name="New", description=None)
    assert DigitalAudiencePortalLink().get_link(operator, ti_key=None) == "https://portal/7"


# --- segments -----------------------------------------------------------------------------------------------


def segment(segment_id: int, *, name: str = "Segment", account_id: int = 8, **more: Any) -> Segment:
    return Segment(segment_id=segment_id, name=name, account_id=account_id, **more)


def test_a_segment_is_created_from_the_run_not_from_the_clock(client: Any, stores: AssetStores) -> None:
    found = activate(days="10").execute(task_context(stores=stores))

    assert found == 5
    client.find_platform_account.assert_called_with(platform="DV360", name="Example NL", account_id=None)
    client.activate_audience.assert_called_once_with(
        audience_id=7,
        account_id=8,
        name="Segment",
        description="d",
        start_date=RUN_AFTER,
        end_date=RUN_AFTER + timedelta(days=10),
    )


def test_a_segment_can_be_given_its_start(client: Any) -> None:
    activate(segment_start="2027-01-01T00:00:00Z", days=1, account_id="8").execute(task_context())

    sent = client.activate_audience.call_args.kwargs
    assert sent["start_date"] == datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert sent["end_date"] == datetime(2027, 1, 2, tzinfo=timezone.utc)
    assert client.find_platform_account.call_args.kwargs["account_id"] == 8


def test_a_segment_that_the_vendor_lists_is_ours(client: Any, stores: AssetStores) -> None:
    client.load_audience_segments.return_value = [
        segment(1, name="Another"),
        segment(2, account_id=9),
        segment(3),
    ]

    assert activate().execute(task_context(stores=stores)) == 3
    assert client.activate_audience.call_count == 0
    assert stores[ASSET].values["segment.default"]["id"] == 3


def test_segments_of_others_are_not_ours(client: Any, stores: AssetStores) -> None:
    client.load_audience_segments.return_value = [segment(1, name="Another"), segment(2, account_id=9)]

    assert activate().execute(task_context(stores=stores)) == 5


def test_several_targets_of_an_audience_are_remembered_apart(client: Any, stores: AssetStores) -> None:
    client.activate_audience.side_effect = [Activation(segment_id=5), Activation(segment_id=6)]

    for target in ("one", "two", "one", "two"):
        activate(target=target, segment_name=target).execute(task_context(stores=stores))

    assert client.activate_audience.call_count == 2
    assert {key: record["id"] for key, record in stores[ASSET].values.items()} == {
        "segment.one": 5,
        "segment.two": 6,
    }


def test_an_unclear_activation_is_settled_by_the_vendors_list(client: Any, stores: AssetStores) -> None:
    client.activate_audience.side_effect = VendorUnavailableError(what="No answer", outcome=Outcome.UNKNOWN)
    with pytest.raises(TransientError, match="not clear yet"):
        activate().execute(task_context(stores=stores))
    client.load_audience_segments.return_value = [segment(5)]

    assert activate().execute(task_context(stores=stores)) == 5
    assert client.activate_audience.call_count == 1


@pytest.mark.parametrize("given", [None, "", "None"])
def test_an_audience_that_is_not_given_is_the_one_that_the_asset_remembers(
    client: Any, stores: AssetStores, given: Any
) -> None:
    stores[ASSET].set("audience", {"id": 70, "account": HOST})

    activate(audience_id=given).execute(task_context(stores=stores))

    assert client.activate_audience.call_args.kwargs["audience_id"] == 70


@pytest.mark.parametrize("asset", [ASSET, None])
def test_without_an_audience_nothing_is_sent(client: Any, asset: Asset | None) -> None:
    with pytest.raises(AirflowFailException, match="There is no audience yet"):
        activate(audience_id=None, asset=asset).execute(task_context())

    assert client.activate_audience.call_count == 0


@pytest.mark.parametrize("days", [0, -1, "0", "soon", "", "2.5", None])
def test_days_that_are_none_are_refused(client: Any, days: Any) -> None:
    with pytest.raises(AirflowFailException, match="not a number of days"):
        activate(days=days).execute(task_context())

    assert client.activate_audience.call_count == 0


@pytest.mark.parametrize("start", ["2027-01-01", "2027-01-01T00:00:00", "soon"])
def test_a_start_without_a_zone_is_refused(client: Any, start: str) -> None:
    with pytest.raises(AirflowFailException, match="segment_start"):
        activate(segment_start=start).execute(task_context())


def in_run(stores: AssetStores, **options: Any) -> dict[str, Any]:
    return task_context(stores=stores, **options)


def test_a_segment_never_ends_after_its_last_day(client: Any, stores: AssetStores) -> None:
    activate(days=10, until="2026-11-25T23:59:59+01:00").execute(in_run(stores))
    assert client.activate_audience.call_args.kwargs["end_date"] == datetime(
        2026, 11, 25, 22, 59, 59, tzinfo=timezone.utc
    )

    activate(days=2, until="2026-11-25T23:59:59+01:00", target="short").execute(in_run(stores))
    assert client.activate_audience.call_args.kwargs["end_date"] == RUN_AFTER + timedelta(days=2)


def test_a_target_whose_last_day_is_over_is_skipped(client: Any, stores: AssetStores) -> None:
    client.load_audience_segments.return_value = [segment(3)]

    with pytest.raises(AirflowSkipException, match=r"until 2026-11-20T03:00:00.*it is let go"):
        activate(until=RUN_AFTER.isoformat()).execute(in_run(stores))

    assert client.activate_audience.call_count == 0


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_segment_that_is_over_is_not_waited_for(
    client: Any, stores: AssetStores, is_remembered: bool
) -> None:
    if is_remembered:
        stores[ASSET].set("segment.default", {"id": 5, "account": HOST})
    client.load_audience_segments.return_value = [segment(5)]
    client.load_segment.return_value = segment(5, end_date=RUN_AFTER)

    with pytest.raises(AirflowSkipException, match=r"Segment 5 ended .*extend_segment"):
        activate().execute(in_run(stores))


def test_a_segment_that_was_deleted_in_the_portal_is_not_created_behind_ones_back(
    client: Any, stores: AssetStores
) -> None:
    stores[ASSET].set("segment.default", {"id": 5, "account": HOST})
    client.load_segment.side_effect = NotFoundError(what="Segment 5")

    with pytest.raises(AirflowFailException, match=r"Segment 5 is gone.*delete the key 'segment\.default'"):
        activate().execute(in_run(stores))

    assert client.activate_audience.call_count == 0


NAMING = SegmentName("{audience} {platform} {load_date:%Y-%m}", "List", "list", "default")


def test_a_name_with_a_load_date_is_a_segment_for_each(client: Any, stores: AssetStores) -> None:
    client.find_platform_account.return_value = PlatformAccount(id=8, platform_display_name="DV360")
    client.activate_audience.side_effect = [Activation(segment_id=5), Activation(segment_id=6)]

    found = [
        activate(naming=NAMING, load_date=day).execute(in_run(stores, run_id=f"run {number}"))
        for number, day in enumerate(("2026-11-05", "2026-11-06", "2026-12-01", "2026-11-05"))
    ]

    assert found == [5, 5, 6, 5]
    assert [call.kwargs["name"] for call in client.activate_audience.call_args_list] == [
        "List DV360 2026-11",
        "List DV360 2026-12",
    ]
    remembered = dict(stores[ASSET].values)
    # Found again when the audience is retired.
    assert remembered.pop("segments.default") == ["segment.default.2026-11", "segment.default.2026-12"]
    assert {key: record["id"] for key, record in remembered.items()} == {
        "segment.default.2026-11": 5,
        "segment.default.2026-12": 6,
    }


@pytest.mark.parametrize(
    ("load_date", "message"), [("", "holds the load date, and this run has none"), ("soon", "no.*load date")]
)
def test_a_name_with_a_load_date_wants_one(
    client: Any, stores: AssetStores, load_date: str, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        activate(naming=NAMING, load_date=load_date).execute(in_run(stores))

    assert client.activate_audience.call_count == 0


def test_a_name_without_a_load_date_needs_none(client: Any, stores: AssetStores) -> None:
    plain = SegmentName("{key}/{target}", "List", "list", "default")

    activate(naming=plain, load_date="").execute(in_run(stores))

    assert client.activate_audience.call_args.kwargs["name"] == "list/default"


APPROVED = {"asked": True, "approved": True, "by": "Anna", "at": "2026-11-20T09:00:00+00:00"}
BY = {"by": "Anna", "at": "2026-11-20T09:00:00+00:00"}


def test_who_has_approved_is_kept_with_the_segment_and_told_by_later_runs(
    client: Any, stores: AssetStores
) -> None:
    first, second = in_run(stores), in_run(stores, run_id="run_2")

    activate(approval=APPROVED).execute(first)
    activate(approval={"asked": False}).execute(second)

    assert stores[ASSET].values["segment.default"]["approved"] == BY
    told = [context["ti"].pushed["activation"] for context in (first, second)]
    assert [item["approved"] for item in told] == [BY, BY]
    assert [item["created"] for item in told] == [True, False]
    assert told[0]["segment_id"] == 5


@pytest.mark.parametrize("approval", [{"asked": False}, {"asked": True, "approved": False}])
def test_nothing_is_created_that_was_not_approved(
    client: Any, stores: AssetStores, approval: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="nobody has approved"):
        activate(approval=approval).execute(in_run(stores))

    assert client.activate_audience.call_count == 0
    assert stores[ASSET].values == {}


# --- end dates ----------------------------------------------------------------------------------------------


def extend(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = DigitalAudienceExtendSegmentEndDateOperator(
        **{"task_id": "t", "segment_id": "5", "new_end_date": "2026-12-20T00:00:00Z", **changes}
    ).execute(task_context())
    return found


WANTED = datetime(2026, 12, 20, tzinfo=timezone.utc)


@pytest.mark.parametrize("before", [WANTED - timedelta(days=1), None])
def test_an_end_date_moves_forward(client: Any, before: datetime | None) -> None:
    client.load_segment.return_value = segment(5, end_date=before)

    found = extend()

    client.update_segment_end_date.assert_called_once_with(5, WANTED)
    assert found == {
        "segment_id": 5,
        "end_date_before": before.isoformat() if before else None,
        "end_date": "2026-12-20T00:00:00+00:00",
        "changed": True,
    }


@pytest.mark.parametrize("before", [WANTED, WANTED + timedelta(seconds=1), WANTED + timedelta(days=365)])
def test_an_end_date_is_never_moved_back(client: Any, before: datetime) -> None:
    client.load_segment.return_value = segment(5, end_date=before)

    found = extend()

    assert client.update_segment_end_date.call_count == 0
    assert (found["end_date"], found["changed"]) == (before.isoformat(), False)


def test_an_end_date_can_be_moved_back_on_purpose(client: Any) -> None:
    client.load_segment.return_value = segment(5, end_date=WANTED + timedelta(days=1))

    assert extend(allow_shorten=True)["changed"]
    client.update_segment_end_date.assert_called_once_with(5, WANTED)


def test_an_end_date_that_is_right_is_not_sent_again(client: Any) -> None:
    client.load_segment.return_value = segment(5, end_date=WANTED)

    assert not extend(allow_shorten=True)["changed"]
    assert client.update_segment_end_date.call_count == 0


@pytest.mark.parametrize(
    "wanted", ["2026-12-20T00:00:00.1234567Z", "2026-12-20T00:00:00.5Z", "2026-12-20T00:00Z"]
)
def test_an_end_date_may_be_written_as_the_vendors_page_does(client: Any, wanted: str) -> None:
    # Python 3.10 reads three or six digits of a second only.
    client.load_segment.return_value = segment(5, end_date=None)

    assert extend(new_end_date=wanted)["end_date"].startswith("2026-12-20T00:00:00")


@pytest.mark.parametrize("wanted", ["2026-12-20", "2026-12-20T00:00:00", "never", ""])
def test_an_end_date_without_a_zone_is_refused(client: Any, wanted: str) -> None:
    with pytest.raises(AirflowFailException, match="new_end_date"):
        extend(new_end_date=wanted)

    assert client.update_segment_end_date.call_count == 0


# --- deleting and listing -----------------------------------------------------------------------------------


def test_an_audience_is_deleted_by_the_id_that_is_given(client: Any) -> None:
    DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id="7").execute(task_context())

    client.delete_audience.assert_called_once_with(7)


@pytest.mark.parametrize("given", [None, "", "None"])
def test_a_remembered_audience_is_never_deleted(client: Any, stores: AssetStores, given: Any) -> None:
    stores[ASSET].set("audience", {"id": 7, "account": HOST})

    with pytest.raises(AirflowFailException, match="is no id"):
        DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id=given, asset=ASSET).execute(
            task_context(stores=stores)
        )

    assert client.delete_audience.call_count == 0


def test_a_segment_is_deleted(client: Any) -> None:
    DigitalAudienceDeleteSegmentOperator(task_id="t", segment_id="5").execute(task_context())

    client.delete_segment.assert_called_once_with(5)


def test_lists_are_json(client: Any, stores: AssetStores) -> None:
    client.load_audience_segments.return_value = [segment(5, end_date=WANTED)]
    client.load_platform_accounts.return_value = [PlatformAccount(id=8, name="x")]
    context = task_context(stores=stores)

    segments = DigitalAudienceListSegmentsOperator(task_id="t", audience_id="7").execute(context)
    accounts = DigitalAudienceListPlatformAccountsOperator(task_id="t").execute(context)

    assert (segments[0]["segment_id"], segments[0]["end_date"]) == (5, "2026-12-20T00:00:00Z")
    assert accounts[0]["id"] == 8
    assert not any("token" in name.lower() for name in accounts[0])


# --- the upload, as far as it needs no file -----------------------------------------------------------------


def upload(**changes: Any) -> DigitalAudienceOnboardCrmToS3Operator:
    return DigitalAudienceOnboardCrmToS3Operator(
        **{
            "task_id": "upload",
            "source": "/nowhere/{load_date}.csv",
            "columns": {"email": "E-mail"},
            "audience_id": 7,
            "bucket": "b",
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("mode", "load_date", "key"),
    [
        (UpdateMode.OPT_IN, date(2022, 11, 7), "onboard/audience=69249/opt-in/20221107_000000.csv"),
        (UpdateMode.OPT_OUT, date(2026, 1, 2), "onboard/audience=69249/opt-out/20260102_000000.csv"),
        (UpdateMode.REPLACE, date(2026, 12, 31), "onboard/audience=69249/replace/20261231_000000.csv"),
    ],
)
def test_the_key_is_as_the_vendors_page_wants_it(mode: UpdateMode, load_date: date, key: str) -> None:
    assert object_key(69249, mode.value, load_date) == key
    assert object_key(69249, mode.value, load_date, is_gzip=True) == f"{key}.gz"


@pytest.mark.parametrize(
    ("folder", "is_refused"),
    [
        ("s3://b/onboard", True),
        ("s3://b//onboard/audience=7", True),
        ("s3://b/rejects", False),
        ("s3://b/onboarding", False),
        ("s3://other/onboard", False),
        ("/b/onboard", False),
    ],
)
def test_rejects_never_lie_where_the_vendor_reads(client: Any, folder: str, is_refused: bool) -> None:
    with pytest.raises(AirflowFailException) as caught:
        upload(rejects=Rejects(folder), load_date="2026-11-20").execute(task_context())

    said = "may not lie where the vendor looks for files" if is_refused else "SourceNotFoundError"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "append"}, "'append' is no mode.*opt-in, opt-out, replace"),
        ({"mode": ""}, "is no mode"),
        ({"load_date": "yesterday"}, "'yesterday' is not a load date"),
        ({"load_date": "2026-02-30"}, "'2026-02-30' is not a load date"),
        ({"source": "/x/{date}.csv"}, "placeholder that is not known"),
        ({"source": "/x/{}.csv"}, "placeholder that is not known"),
        ({"source": "/x/{load_date"}, "placeholder that is not known"),
        ({"source": "/x/{load_date.week}.csv"}, "placeholder that is not known"),
        ({"source": "/x/{load_date[0]}.csv"}, "placeholder that is not known"),
    ],
)
def test_an_upload_that_cannot_be_meant_is_refused_before_anything_is_asked(
    client: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        upload(**changes).execute(task_context())

    assert client.load_audience.call_count == 0


def test_the_load_date_of_the_run_is_refused_in_a_backfill_with_a_date(client: Any) -> None:
    context = task_context(run_type="backfill", partition_key="2026-11-19", load_date="2026-11-20")

    with pytest.raises(AirflowFailException, match="its own range"):
        upload().execute(context)


# --- all operators ------------------------------------------------------------------------------------------


OPERATORS = [
    campaign(),
    audience(),
    recall(),
    activate(),
    DigitalAudienceApproveActivationOperator(
        task_id="t", audience_name="List", segment_name="Segment", description="d"
    ),
    upload(),
    DigitalAudienceUpdateAudienceOperator(task_id="t", audience_id=7, audience_name="x"),
    DigitalAudienceExtendSegmentEndDateOperator(task_id="t", segment_id=5, new_end_date="x"),
    DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id=7),
    DigitalAudienceDeleteSegmentOperator(task_id="t", segment_id=5),
    DigitalAudienceListSegmentsOperator(task_id="t", audience_id=7),
    DigitalAudienceListPlatformAccountsOperator(task_id="t"),
]


def test_the_list_of_operators_is_complete() -> None:
    public = {name for name in digital_audience.__all__ if name.endswith("Operator")}

    assert {type(operator).__name__ for operator in OPERATORS} == public


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
class TestEveryOperator:
    def test_its_templated_fields_are_attributes(self, operator: Any) -> None:
        assert all(hasattr(operator, name) for name in operator.template_fields)
        assert "digital_audience_conn_id" in operator.template_fields

    def test_it_follows_our_retry_policy_by_itself(self, operator: Any) -> None:
        assert isinstance(operator.retry_policy, OnboardingRetryPolicy)

    def test_its_asset_is_an_inlet_and_no_outlet(self, operator: Any) -> None:
        assert {*operator.inlets} == ({ASSET} if operator.asset else set())
        assert operator.outlets == []

    def test_a_connection_that_cannot_be_used_fails_at_once(
        self, operator: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT", '{"conn_type": "digital_audience"}')

        with pytest.raises(AirflowFailException, match="ConfigurationError: The connection has no host"):
            operator.execute(task_context())


@pytest.mark.parametrize(
    "operator",
    [
        DigitalAudienceDeleteSegmentOperator(task_id="t", segment_id="five"),
        DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id="{{ x }}"),
        activate(audience_id="seven"),
        activate(account_id="eight"),
        audience(campaign_id=None),
        DigitalAudienceExtendSegmentEndDateOperator(
            task_id="t", segment_id="", new_end_date="2026-12-20T00:00:00Z"
        ),
    ],
)
def test_an_id_that_is_no_number_is_refused(client: Any, operator: Any) -> None:
    with pytest.raises(AirflowFailException, match="is no id"):
        operator.execute(task_context())

    assert not [call for call in client.method_calls if not call[0].startswith(("load_", "find_"))]
