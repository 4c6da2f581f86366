"""Operators against the sandbox and its S3: once, again, after a crash, and when things are wrong."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.digital_audience import (
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
from audience_onboarding.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.orchestration.memory import audience_asset, campaign_asset
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, task_context

pytestmark = pytest.mark.usefixtures("connections")

ASSET = audience_asset("digital_audience", "list")
CAMPAIGN = campaign_asset("digital_audience", "digital_audience_default", "Campaign")


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def calls(sandbox: Sandbox, operation: str) -> int:
    count: dict[str, int] = sandbox.admin("summary")["operations"].get(operation, {"success": 0})
    return count["success"]


def create_audience(stores: AssetStores) -> int:
    campaign_id = DigitalAudienceCreateCampaignOperator(
        task_id="campaign", campaign_name="Campaign", asset=CAMPAIGN
    ).execute(task_context(stores=stores))
    audience_id = DigitalAudienceCreateCrmAudienceOperator(
        task_id="audience", audience_name="Audience", campaign_id=campaign_id, asset=ASSET
    ).execute(task_context(stores=stores))
    assert isinstance(audience_id, int)
    return audience_id


def upload(
    extract: Path, stores: AssetStores, *, context: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "source": str(extract.parent / "{load_date}.csv"),
        "columns": {"email": "E-mail", "phone": "Mobile"},
        "load_date": "2026-11-20",
        "asset": ASSET,
    }
    operator = DigitalAudienceOnboardCrmToS3Operator(task_id="upload", **{**arguments, **changes})
    result: dict[str, Any] = operator.execute(context or task_context(stores=stores))
    return result


def wait(load: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = DigitalAudienceAudienceStateSensor(
        task_id="wait",
        upload=load,
        deferrable=False,
        poke_interval=0.2,
        timeout=30,
    ).execute(task_context())
    return result


def objects(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    return {item["key"]: item for item in sandbox.admin("objects")["objects"]}


def test_the_main_job(sandbox: Sandbox, stores: AssetStores, extract: Path) -> None:
    audience_id = create_audience(stores)
    load = upload(extract, stores)
    key = f"onboard/audience={audience_id}/opt-in/20261120_000000.csv"
    assert load["s3_key"] == key
    assert load["uploaded"] is True
    assert (load["rows_read"], load["rows_sent"], load["duplicates"], load["rejected"]) == (5, 3, 1, 1)
    metadata = objects(sandbox)[key]["metadata"]
    assert metadata["content-id"] == load["content_id"]
    assert (metadata["run-id"], metadata["load-date"]) == ("manual__1", "2026-11-20")
    seen = wait(load)
    assert seen["audience_state"] == "READY"
    assert seen["total_rows"] == 3
    context = task_context(stores=stores)
    activated = DigitalAudienceActivateAudienceOperator(
        task_id="activate",
        asset=ASSET,
        segment_name="segment",
        description="about it",
        platform="DV360",
        account_name="Example NL",
        days=10,
    ).execute(context)
    segments = DigitalAudienceListSegmentsOperator(task_id="list", asset=ASSET).execute(context)
    assert [item["segment_id"] for item in segments] == [activated]
    assert segments[0]["end_date"] == "2026-11-30T03:00:00Z"


def test_everything_again_does_nothing_twice(sandbox: Sandbox, stores: AssetStores, extract: Path) -> None:
    first_id = create_audience(stores)
    first = upload(extract, stores)
    wait(first)
    before = objects(sandbox)
    assert create_audience(stores) == first_id
    again = upload(extract, stores, context=task_context(stores=stores, run_id="manual__2"))
    assert again["uploaded"] is False
    # The baseline of the real upload: with one of now, the wait would never end.
    assert again["baseline"] == first["baseline"]
    assert wait(again)["total_rows"] == 3
    assert objects(sandbox) == before
    assert calls(sandbox, "createCampaign") == calls(sandbox, "createCrmAudience") == 1


def test_other_content_for_the_same_day_stops_unless_it_supersedes(
    sandbox: Sandbox, stores: AssetStores, extract: Path
) -> None:
    create_audience(stores)
    first = upload(extract, stores)
    wait(first)
    with extract.open("a", encoding="utf-8") as file:
        file.write("dora@example.com,\n")
    with pytest.raises(AirflowFailException, match="UploadConflictError"):
        upload(extract, stores)
    corrected = upload(extract, stores, supersede="True")
    assert corrected["uploaded"] is True
    assert corrected["rows_sent"] == 4
    assert wait(corrected)["total_rows"] == 4
    assert objects(sandbox)[first["s3_key"]]["metadata"]["content-id"] == corrected["content_id"]


def test_an_older_list_never_replaces_a_newer_one(
    sandbox: Sandbox, stores: AssetStores, extract: Path
) -> None:
    create_audience(stores)
    stores[ASSET].set("last_load", {"load_date": "2026-11-21", "mode": "replace"})
    with pytest.raises(AirflowSkipException, match=r"Superseded: the load of 2026-11-21 is confirmed"):
        upload(extract, stores, mode="replace")
    assert objects(sandbox) == {}
    # To add older records to newer ones undoes nothing.
    assert upload(extract, stores, mode="opt-in")["uploaded"] is True
    assert upload(extract, stores, mode="replace", supersede=True)["uploaded"] is True
    stores[ASSET].set("last_load", {"load_date": "2026-11-20", "mode": "replace"})
    assert upload(extract, stores, mode="replace")["uploaded"] is False


def test_a_dry_run_sends_nothing_and_reports_counts(
    sandbox: Sandbox, stores: AssetStores, extract: Path
) -> None:
    context = task_context(stores=stores)
    for operator in (
        DigitalAudienceCreateCampaignOperator(
            task_id="c", campaign_name="C", asset=CAMPAIGN, is_dry_run="True"
        ),
        DigitalAudienceCreateCrmAudienceOperator(
            task_id="a", audience_name="A", campaign_id=1, asset=ASSET, is_dry_run="True"
        ),
    ):
        assert operator.execute(context) is None
    with pytest.raises(AirflowSkipException, match="3 rows would be sent"):
        upload(extract, stores, context=context, is_dry_run="True", audience_id="None")
    assert context["ti"].pushed["dry_run"]["rows_sent"] == 3
    assert objects(sandbox) == {}
    assert calls(sandbox, "createCampaign") == 0


def test_a_source_in_s3(sandbox: Sandbox, stores: AssetStores, extract: Path) -> None:
    create_audience(stores)
    info = sandbox.info
    client = boto3.client(
        "s3",
        endpoint_url=info["s3_url"],
        aws_access_key_id=info["aws_access_key_id"],
        aws_secret_access_key=info["aws_secret_access_key"],
        region_name=info["region"],
    )
    client.create_bucket(
        Bucket="crm-exports", CreateBucketConfiguration={"LocationConstraint": info["region"]}
    )
    client.put_object(Bucket="crm-exports", Key="daily/20261120.csv", Body=extract.read_bytes())
    load = upload(extract, stores, source="s3://crm-exports/daily/{load_date:%Y%m%d}.csv")
    assert load["rows_sent"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audience_id": 999_999}, r"NotFoundError: Audience 999999"),
        ({"columns": {"email": "Mail address"}}, r"MissingColumnError: .*Mail address"),
        ({"source": "/nowhere/{load_date}.csv"}, r"SourceNotFoundError: .*/nowhere/2026-11-20.csv"),
        ({"source": "{day}.csv"}, r"ConfigurationError: .*\{load_date\}"),
        ({"bucket": "no-such-bucket"}, r"BucketNotFoundError: .*no-such-bucket"),
        ({"mode": "append"}, r"ConfigurationError: 'append' is no mode.*opt-in, opt-out, replace"),
        ({"load_date": "20-11-2026"}, r"ConfigurationError: '20-11-2026' is not a load date"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(
    stores: AssetStores,
    extract: Path,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    message: str,
) -> None:
    create_audience(stores)
    with caplog.at_level(logging.DEBUG), pytest.raises(AirflowFailException, match=message) as caught:
        upload(extract, stores, **changes)
    assert caught.value.__cause__ is None
    assert "anna@" not in (caplog.text + str(caught.value)).lower()


def test_an_end_date_moves_forward_only(sandbox: Sandbox, stores: AssetStores) -> None:
    create_audience(stores)
    context = task_context(stores=stores)
    segment_id = DigitalAudienceActivateAudienceOperator(
        task_id="activate", asset=ASSET, segment_name="s", description="d", account_id=501, days=10
    ).execute(context)

    def move(end: datetime, **options: Any) -> bool:
        result = DigitalAudienceExtendSegmentEndDateOperator(
            task_id="extend", segment_id=segment_id, new_end_date=end.isoformat(), **options
        ).execute(context)
        return bool(result["changed"])

    later = datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert move(later)
    assert not move(later)
    assert not move(later - timedelta(days=5))
    assert calls(sandbox, "updateSegmentEndDate") == 1
    assert move(later - timedelta(days=5), allow_shorten=True)


def test_an_activation_finds_the_segment_that_is_there_without_any_memory(
    sandbox: Sandbox, stores: AssetStores
) -> None:
    audience_id = create_audience(stores)

    def activate() -> int:
        operator = DigitalAudienceActivateAudienceOperator(
            task_id="activate", audience_id=audience_id, segment_name="s", description="d", account_id=501
        )
        return operator.execute(task_context())

    assert activate() == activate()
    assert calls(sandbox, "activateAudience") == 1


def test_update_list_and_delete(sandbox: Sandbox, stores: AssetStores) -> None:
    audience_id = create_audience(stores)
    context = task_context(stores=stores)
    DigitalAudienceUpdateAudienceOperator(
        task_id="update", audience_id=audience_id, audience_name="New name"
    ).execute(context)
    accounts = DigitalAudienceListPlatformAccountsOperator(task_id="accounts").execute(context)
    assert len(accounts) == 5
    assert "access_token" not in accounts[0]
    segment_id = DigitalAudienceActivateAudienceOperator(
        task_id="activate", asset=ASSET, segment_name="s", description="d", account_id=501
    ).execute(context)
    DigitalAudienceDeleteSegmentOperator(task_id="ds", segment_id=segment_id).execute(context)
    assert DigitalAudienceListSegmentsOperator(task_id="ls", asset=ASSET).execute(context) == []
    DigitalAudienceDeleteAudienceOperator(task_id="da", audience_id=audience_id).execute(context)
    assert calls(sandbox, "deleteAudience") == 1
