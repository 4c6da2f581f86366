"""Digital Audience's operators against the sandbox and its S3: once, again, and when things are wrong."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.platforms.digital_audience import (
    DigitalAudienceActivateAudienceOperator,
    DigitalAudienceDeleteAudienceOperator,
    DigitalAudienceDeleteSegmentOperator,
    DigitalAudienceExtendSegmentEndDateOperator,
    DigitalAudienceListPlatformAccountsOperator,
    DigitalAudienceListSegmentsOperator,
    DigitalAudienceOnboardCrmToS3Operator,
    DigitalAudienceUpdateAudienceOperator,
)
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, task_context
from tests.integration.digital_audience.world import ASSET, create_audience
from tests.unit.platforms.cases import every_case

pytestmark = pytest.mark.usefixtures("connections")


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def calls(sandbox: Sandbox, operation: str) -> int:
    count: dict[str, int] = sandbox.admin("summary")["operations"].get(operation, {"success": 0})
    return count["success"]


def upload(extract: Path, stores: AssetStores, run_id: str = "manual__1", **changes: Any) -> dict[str, Any]:
    operator = DigitalAudienceOnboardCrmToS3Operator(
        **{
            "task_id": "upload",
            "source": str(extract.parent / "{load_date}.csv"),
            "columns": {"email": "E-mail", "phone": "Mobile"},
            "load_date": "2026-11-20",
            "asset": ASSET,
            **changes,
        }
    )
    return operator.execute(task_context(stores=stores, run_id=run_id))  # type: ignore[arg-type]


def wait(load: dict[str, Any]) -> dict[str, Any]:
    sensor = DigitalAudienceAudienceStateSensor(
        task_id="wait", upload=load, deferrable=False, poke_interval=0.1, timeout=60
    )
    result: dict[str, Any] = sensor.execute(task_context())  # type: ignore[arg-type]
    return result


def objects(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    return {item["key"]: item for item in sandbox.admin("objects")["objects"]}


def test_a_list_is_sent_once_and_corrected_on_demand(
    sandbox: Sandbox, stores: AssetStores, extract: Path
) -> None:
    audience_id = create_audience(stores)
    load = upload(extract, stores)
    key = f"onboard/audience={audience_id}/opt-in/20261120_000000.csv"
    assert (load["s3_key"], load["uploaded"]) == (key, True)
    assert (load["rows_read"], load["rows_sent"], load["duplicates"], load["rejected"]) == (5, 3, 1, 1)
    before = objects(sandbox)
    metadata = before[key]["metadata"]
    assert metadata["content-id"] == load["content_id"]
    assert (metadata["run-id"], metadata["load-date"]) == ("manual__1", "2026-11-20")
    seen = wait(load)
    assert (seen["audience_state"], seen["total_rows"]) == ("READY", 3)

    assert create_audience(stores) == audience_id
    again = upload(extract, stores, "manual__2")
    assert again["uploaded"] is False
    # The baseline of the real upload: with one of now, the wait would never end.
    assert again["baseline"] == load["baseline"]
    assert wait(again)["total_rows"] == 3
    assert objects(sandbox) == before
    assert calls(sandbox, "createCampaign") == calls(sandbox, "createCrmAudience") == 1

    with extract.open("a", encoding="utf-8") as file:
        file.write("dora@example.com,\n")
    with pytest.raises(AirflowFailException, match="UploadConflictError"):
        upload(extract, stores)
    corrected = upload(extract, stores, overwrite="True")
    assert (corrected["uploaded"], corrected["rows_sent"]) == (True, 4)
    assert wait(corrected)["total_rows"] == 4
    assert objects(sandbox)[key]["metadata"]["content-id"] == corrected["content_id"]


def test_an_error_is_one_message_without_personal_data(
    sandbox: Sandbox, stores: AssetStores, extract: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create_audience(stores)
    with every_case() as case, caplog.at_level(logging.DEBUG):
        for changes, message in (
            ({"audience_id": 999_999}, r"NotFoundError: Audience 999999"),
            ({"columns": {"email": "Mail address"}}, r"MissingColumnError: .*Mail address"),
            ({"source": "/nowhere/{load_date}.csv"}, r"SourceNotFoundError: .*/nowhere/2026-11-20.csv"),
            ({"bucket": "no-such-bucket"}, r"BucketNotFoundError: .*no-such-bucket"),
        ):
            with case(message):
                with pytest.raises(AirflowFailException, match=message) as caught:
                    upload(extract, stores, **changes)
                assert caught.value.__cause__ is None
                assert "anna@" not in (caplog.text + str(caught.value)).lower()
    assert objects(sandbox) == {}


def test_segments_and_audience_over_the_wire(sandbox: Sandbox, stores: AssetStores) -> None:
    audience_id = create_audience(stores)
    context: Any = task_context(stores=stores)

    def activate(**changes: Any) -> int | None:
        operator = DigitalAudienceActivateAudienceOperator(
            **{"task_id": "t", "segment_name": "s", "description": "d", "asset": ASSET, "days": 10, **changes}
        )
        return operator.execute(context)

    def listed() -> list[dict[str, Any]]:
        return DigitalAudienceListSegmentsOperator(task_id="t", asset=ASSET).execute(context)

    segment_id = activate(platform="DV360", account_name="Example NL")
    # Found at the vendor, without any memory.
    assert activate(asset=None, audience_id=audience_id, account_id=501) == segment_id
    assert calls(sandbox, "activateAudience") == 1
    (segment,) = listed()
    assert (segment["segment_id"], segment["end_date"]) == (segment_id, "2026-11-30T03:00:00Z")

    def move(end: datetime, **options: Any) -> bool:
        operator = DigitalAudienceExtendSegmentEndDateOperator(
            task_id="t", segment_id=segment_id, new_end_date=end.isoformat(), **options
        )
        return bool(operator.execute(context)["changed"])

    later = datetime(2027, 1, 1, tzinfo=timezone.utc)
    earlier = later - timedelta(days=5)
    assert [move(later), move(later), move(earlier), move(earlier, allow_shorten=True)] == [
        True,
        False,
        False,
        True,
    ]
    assert calls(sandbox, "updateSegmentEndDate") == 2
    assert listed()[0]["end_date"] == "2026-12-27T00:00:00Z"

    DigitalAudienceUpdateAudienceOperator(task_id="t", audience_id=audience_id, audience_name="New").execute(
        context
    )
    assert [item["name"] for item in sandbox.admin("audiences")] == ["New"]
    accounts = DigitalAudienceListPlatformAccountsOperator(task_id="t").execute(context)
    assert len(accounts) == 5
    assert "access_token" not in accounts[0]
    DigitalAudienceDeleteSegmentOperator(task_id="t", segment_id=segment_id).execute(context)
    assert listed() == []
    DigitalAudienceDeleteAudienceOperator(task_id="t", audience_id=audience_id).execute(context)
    assert sandbox.admin("audiences") == []
