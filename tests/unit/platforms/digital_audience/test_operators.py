"""Digital Audience's operators with a mock of the client: what they send, and above all what they do not."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.base.load import RejectsLocation
from audience_onboarding.exceptions import ConfigurationError, NotFoundError
from audience_onboarding.platforms.digital_audience import (
    DigitalAudienceActivateAudienceOperator,
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
    DigitalAudienceDeleteAudienceOperator,
    DigitalAudienceDeleteSegmentOperator,
    DigitalAudienceExtendSegmentEndDateOperator,
    DigitalAudienceListPlatformAccountsOperator,
    DigitalAudienceListSegmentsOperator,
    DigitalAudienceOnboardCrmToS3Operator,
    DigitalAudienceUpdateAudienceOperator,
)
from audience_onboarding.platforms.digital_audience.definition import object_key
from audience_onboarding.platforms.digital_audience.load_files import get_bucket
from audience_onboarding.platforms.digital_audience.models import (
    Activation,
    Audience,
    Campaign,
    PlatformAccount,
    Segment,
)
from audience_onboarding.platforms.digital_audience.segment_names import SegmentName
from tests.fakes import AssetStores, task_context
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.kits import ASSET, DIGITAL_AUDIENCE, HOST

RUN_AFTER = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = DIGITAL_AUDIENCE.client(monkeypatch)
    made.create_campaign.return_value = Campaign(id=11)
    made.create_crm_audience.return_value = Audience(id=7)
    made.activate_audience.return_value = Activation(segment_id=5)
    made.load_audience_segments.return_value = []
    made.load_segment.return_value = Segment(segment_id=5)
    made.find_platform_account.return_value = PlatformAccount(id=8, platform_display_name="DV360")
    return made


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def test_what_is_sent_for_a_campaign_and_an_audience(client: Any) -> None:
    context: Any = task_context()
    DigitalAudienceCreateCampaignOperator(task_id="c", campaign_name="Always-on").execute(context)
    DigitalAudienceCreateCrmAudienceOperator(
        task_id="a", audience_name="List", campaign_id="11", description="d"
    ).execute(context)

    client.create_campaign.assert_called_once_with("Always-on")
    client.create_crm_audience.assert_called_once_with(name="List", campaign_id=11, description="d")


def test_an_audience_can_be_renamed_repeatedly(client: Any) -> None:
    context: Any = task_context()
    operator = DigitalAudienceUpdateAudienceOperator(task_id="t", audience_id="7", audience_name="New")

    operator.execute(context)
    operator.execute(context)

    assert client.update_audience.call_count == 2
    client.update_audience.assert_called_with(7, name="New", description=None)
    assert DIGITAL_AUDIENCE.portal(operator) == "https://portal/7"


# --- segments -----------------------------------------------------------------------------------------------


def segment(segment_id: int, *, name: str = "Segment", account_id: int = 8, **more: Any) -> Segment:
    return Segment(segment_id=segment_id, name=name, account_id=account_id, **more)


def activate(
    stores: AssetStores | None = None, *, context: dict[str, Any] | None = None, **changes: Any
) -> int | None:
    """Run the operator."""
    operator = DigitalAudienceActivateAudienceOperator(
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
    return operator.execute(context or task_context(stores=stores))  # type: ignore[arg-type]


def sent(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.activate_audience.call_args.kwargs
    return found


def test_a_segment_starts_when_the_run_was_due(client: Any) -> None:
    assert activate(days="10") == 5

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
    activate(segment_start="2027-01-01T00:00:00Z", days=1, account_id="8")

    start = datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert (sent(client)["start_date"], sent(client)["end_date"]) == (start, start + timedelta(days=1))
    assert client.find_platform_account.call_args.kwargs["account_id"] == 8


def test_several_targets_of_an_audience_are_remembered_apart(client: Any, stores: AssetStores) -> None:
    client.activate_audience.side_effect = [Activation(segment_id=5), Activation(segment_id=6)]

    for target in ("one", "two", "one", "two"):
        activate(stores, target=target, segment_name=target)

    assert client.activate_audience.call_count == 2
    remembered = {key: record["id"] for key, record in stores[ASSET].values.items()}
    assert remembered == {"segment.one": 5, "segment.two": 6}


@pytest.mark.parametrize("given", [None, "", "None"])
def test_without_an_audience_the_remembered_one_is_taken(
    client: Any, stores: AssetStores, given: Any
) -> None:
    for asset in (ASSET, None):
        with pytest.raises(AirflowFailException, match="There is no audience yet"):
            activate(stores, audience_id=given, asset=asset)
    assert client.activate_audience.call_count == 0
    stores[ASSET].set("audience", {"id": 70, "account": HOST})

    activate(stores, audience_id=given)

    assert sent(client)["audience_id"] == 70


NAMING = SegmentName("{audience} {platform} {load_date:%Y-%m}", "List", "list", "default")


def test_arguments_that_cannot_be_meant_create_nothing(client: Any) -> None:
    tables: list[tuple[str, list[Any], str]] = [
        ("days", [0, -1, "0", "soon", "", "2.5", None], "Invalid number of days"),
        ("segment_start", ["2027-01-01", "2027-01-01T00:00:00", "soon"], "segment_start"),
        ("audience_id", ["seven"], "Invalid id"),
        ("account_id", ["eight"], "Invalid id"),
    ]
    with every_case() as case:
        for name, values, message in tables:
            for value in values:
                with case((name, value)), pytest.raises(AirflowFailException, match=message):
                    activate(**{name: value})
        for load_date, message in (
            ("", "holds the load date, and this run has none"),
            ("soon", "no.*load date"),
        ):
            with case(f"load_date {load_date}"), pytest.raises(AirflowFailException, match=message):
                activate(naming=NAMING, load_date=load_date)
    assert client.activate_audience.call_count == 0


def test_a_segment_never_ends_after_its_last_day(client: Any) -> None:
    until = "2026-11-25T23:59:59+01:00"
    activate(days=10, until=until)
    assert sent(client)["end_date"] == datetime(2026, 11, 25, 22, 59, 59, tzinfo=timezone.utc)

    activate(days=2, until=until)
    assert sent(client)["end_date"] == RUN_AFTER + timedelta(days=2)


def test_a_target_whose_last_day_is_over_is_skipped(client: Any) -> None:
    client.load_audience_segments.return_value = [segment(3)]

    with pytest.raises(AirflowSkipException, match=r"ended on 2026-11-20T03:00:00.*skipping"):
        activate(until=RUN_AFTER.isoformat())

    assert client.activate_audience.call_count == 0


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_segment_that_is_over_is_not_waited_for(
    client: Any, stores: AssetStores, is_remembered: bool
) -> None:
    if is_remembered:
        stores[ASSET].set("segment.default", {"id": 5, "account": HOST})
    client.load_audience_segments.return_value = [segment(5)]
    client.load_segment.return_value = segment(5, end_date=RUN_AFTER)

    with pytest.raises(AirflowSkipException, match=r"Segment 5 ended .*set_segment_end_date"):
        activate(stores)


def test_a_segment_that_was_deleted_in_the_portal_is_not_created_again(
    client: Any, stores: AssetStores
) -> None:
    stores[ASSET].set("segment.default", {"id": 5, "account": HOST})
    client.load_segment.side_effect = NotFoundError(what="Segment 5")

    with pytest.raises(AirflowFailException, match=r"Segment 5 is gone.*delete the key 'segment\.default'"):
        activate(stores)

    assert client.activate_audience.call_count == 0


def test_a_name_with_a_load_date_is_a_segment_for_each(client: Any, stores: AssetStores) -> None:
    client.activate_audience.side_effect = [Activation(segment_id=5), Activation(segment_id=6)]

    days = ("2026-11-05", "2026-11-06", "2026-12-01", "2026-11-05")
    assert [activate(stores, naming=NAMING, load_date=day) for day in days] == [5, 5, 6, 5]

    names = [call.kwargs["name"] for call in client.activate_audience.call_args_list]
    assert names == ["List DV360 2026-11", "List DV360 2026-12"]
    remembered = dict(stores[ASSET].values)
    # Found again when the audience is retired.
    assert remembered.pop("segment_keys.default") == ["segment.default.2026-11", "segment.default.2026-12"]
    assert {key: record["id"] for key, record in remembered.items()} == {
        "segment.default.2026-11": 5,
        "segment.default.2026-12": 6,
    }


def test_a_name_without_a_load_date_needs_none(client: Any) -> None:
    activate(naming=SegmentName("{key}/{target}", "List", "list", "default"), load_date="")

    assert sent(client)["name"] == "list/default"


BY = {"by": "Anna", "at": "2026-11-20T09:00:00+00:00"}


def test_an_approval_is_kept_with_the_segment_and_reported_by_later_runs(
    client: Any, stores: AssetStores
) -> None:
    first, second = task_context(stores=stores), task_context(stores=stores, run_id="run_2")

    activate(context=first, approval={"asked": True, "approved": True, **BY})
    activate(context=second, approval={"asked": False})

    assert stores[ASSET].values["segment.default"]["approved"] == BY
    pushed = [context["ti"].pushed["activation"] for context in (first, second)]
    assert [item["approved"] for item in pushed] == [BY, BY]
    assert [item["created"] for item in pushed] == [True, False]
    assert pushed[0]["segment_id"] == 5


@pytest.mark.parametrize("approval", [{"asked": False}, {"asked": True, "approved": False}])
def test_nothing_is_created_that_was_not_approved(
    client: Any, stores: AssetStores, approval: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="creating it again is not approved"):
        activate(stores, approval=approval)

    assert client.activate_audience.call_count == 0
    assert stores[ASSET].values == {}


# --- end dates ----------------------------------------------------------------------------------------------

WANTED = datetime(2026, 12, 20, tzinfo=timezone.utc)


def extend(**changes: Any) -> dict[str, Any]:
    operator = DigitalAudienceExtendSegmentEndDateOperator(
        **{"task_id": "t", "segment_id": "5", "new_end_date": "2026-12-20T00:00:00Z", **changes}
    )
    found: dict[str, Any] = operator.execute(task_context())  # type: ignore[arg-type]
    return found


def test_an_end_date_moves_forward_only_unless_asked(client: Any) -> None:
    earlier, later = WANTED - timedelta(days=1), WANTED + timedelta(seconds=1)
    with every_case() as case:
        for before, options, is_changed in (
            (earlier, {}, True),
            (None, {}, True),
            (WANTED, {}, False),
            (later, {}, False),
            (WANTED + timedelta(days=365), {}, False),
            (later, {"allow_shorten": True}, True),
            (WANTED, {"allow_shorten": True}, False),
        ):
            with case((before, options)):
                client.update_segment_end_date.reset_mock()
                client.load_segment.return_value = segment(5, end_date=before)
                end = WANTED if is_changed or before is None else before
                assert extend(**options) == {
                    "segment_id": 5,
                    "end_date_before": before.isoformat() if before else None,
                    "end_date": end.isoformat(),
                    "changed": is_changed,
                }
                calls = [call.args for call in client.update_segment_end_date.call_args_list]
                assert calls == ([(5, WANTED)] if is_changed else [])


def test_how_an_end_date_is_written(client: Any) -> None:
    client.load_segment.return_value = segment(5, end_date=None)
    with every_case() as case:
        # As the vendor's page does; Python 3.10 reads three or six digits of a second only.
        for wanted in ("2026-12-20T00:00:00.1234567Z", "2026-12-20T00:00:00.5Z", "2026-12-20T00:00Z"):
            with case(wanted):
                assert extend(new_end_date=wanted)["end_date"].startswith("2026-12-20T00:00:00")
        client.update_segment_end_date.reset_mock()
        for wanted in ("2026-12-20", "2026-12-20T00:00:00", "never", ""):
            with case(wanted), pytest.raises(AirflowFailException, match="new_end_date"):
                extend(new_end_date=wanted)
        with case("no id"), pytest.raises(AirflowFailException, match="Invalid id"):
            extend(segment_id="")
    assert client.update_segment_end_date.call_count == 0


# --- deleting and listing -----------------------------------------------------------------------------------


def test_what_is_deleted_has_to_be_named(client: Any, stores: AssetStores) -> None:
    stores[ASSET].set("audience", {"id": 7, "account": HOST})
    context: Any = task_context(stores=stores)
    with every_case() as case:
        for given in (None, "", "None", "{{ x }}"):
            with case(given), pytest.raises(AirflowFailException, match="Invalid id"):
                DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id=given, asset=ASSET).execute(
                    context
                )
        with case("segment"), pytest.raises(AirflowFailException, match="Invalid id"):
            DigitalAudienceDeleteSegmentOperator(task_id="t", segment_id="five").execute(context)
    assert client.method_calls == []

    DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id="7").execute(context)
    DigitalAudienceDeleteSegmentOperator(task_id="t", segment_id="5").execute(context)

    client.delete_audience.assert_called_once_with(7)
    client.delete_segment.assert_called_once_with(5)


def test_an_audience_needs_the_id_of_its_campaign(client: Any) -> None:
    with pytest.raises(AirflowFailException, match="Invalid id"):
        DigitalAudienceCreateCrmAudienceOperator(
            task_id="t", audience_name="List", campaign_id=None, asset=ASSET
        ).execute(task_context())  # type: ignore[arg-type]

    assert client.create_crm_audience.call_count == 0


def test_lists_are_json(client: Any) -> None:
    client.load_audience_segments.return_value = [segment(5, end_date=WANTED)]
    client.load_platform_accounts.return_value = [PlatformAccount(id=8, name="x")]
    context: Any = task_context()

    segments = DigitalAudienceListSegmentsOperator(task_id="t", audience_id="7").execute(context)
    accounts = DigitalAudienceListPlatformAccountsOperator(task_id="t").execute(context)

    assert (segments[0]["segment_id"], segments[0]["end_date"]) == (5, "2026-12-20T00:00:00Z")
    assert accounts[0]["id"] == 8
    assert not any("token" in name.lower() for name in accounts[0])


# --- the upload, as far as it needs no file -----------------------------------------------------------------


def upload(context: dict[str, Any] | None = None, **changes: Any) -> None:
    """Run an upload that has to fail before anything is sent."""
    operator = DigitalAudienceOnboardCrmToS3Operator(
        **{
            "task_id": "upload",
            "source": "/nowhere/{load_date}.csv",
            "columns": {"email": "E-mail"},
            "audience_id": 7,
            "bucket": "b",
            **changes,
        }
    )
    operator.execute(context or task_context())  # type: ignore[arg-type]


def test_the_key_is_as_the_vendors_page_wants_it() -> None:
    with every_case() as case:
        for mode, load_date, key in (
            ("opt-in", date(2022, 11, 7), "onboard/audience=69249/opt-in/20221107_000000.csv"),
            ("opt-out", date(2026, 1, 2), "onboard/audience=69249/opt-out/20260102_000000.csv"),
            ("replace", date(2026, 12, 31), "onboard/audience=69249/replace/20261231_000000.csv"),
        ):
            with case(mode):
                assert object_key(69249, mode, load_date) == key
                assert object_key(69249, mode, load_date, is_gzip=True) == f"{key}.gz"


def test_rejects_never_lie_where_the_vendor_reads(client: Any) -> None:
    refused, missing = "may not lie where the vendor reads files", "SourceNotFoundError"
    with every_case() as case:
        for folder, message in (
            ("s3://b/onboard", refused),
            ("s3://b//onboard/audience=7", refused),
            ("s3://b/rejects", missing),
            ("s3://b/onboarding", missing),
            ("s3://other/onboard", missing),
            ("/b/onboard", missing),
        ):
            with case(folder), pytest.raises(AirflowFailException, match=message):
                upload(rejects=RejectsLocation(folder), load_date="2026-11-20")


def test_an_upload_that_cannot_be_meant_is_refused_before_anything_is_asked(client: Any) -> None:
    backfill = task_context(run_type="backfill", partition_key="2026-11-19", load_date="2026-11-20")
    with every_case() as case:
        for mode, message in (
            ("append", "Unknown mode 'append'.*opt-in, opt-out, replace"),
            ("", "Unknown mode"),
        ):
            with case(mode), pytest.raises(AirflowFailException, match=message):
                upload(mode=mode)
        for place in ("{date}.csv", "{}.csv", "{load_date", "{load_date.week}.csv", "{load_date[0]}.csv"):
            with case(place), pytest.raises(AirflowFailException, match="unknown placeholder"):
                upload(source=f"/x/{place}")
        with case("backfill with a date"), pytest.raises(AirflowFailException, match="its own range"):
            upload(backfill)
    assert client.method_calls == []


def test_bucket_comes_from_the_operator_or_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NO_BUCKET", "aws://")
    assert get_bucket("no_bucket", "ours") == "ours"
    with pytest.raises(ConfigurationError, match="bucket is unknown"):
        get_bucket("no_bucket")
