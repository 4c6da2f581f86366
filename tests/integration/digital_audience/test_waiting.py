"""Hook, triggers and sensor of Digital Audience against the sandbox."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timezone
from typing import Any

import pytest
from airflow.exceptions import TaskDeferred

from audience_onboarding.platforms.digital_audience.confirmation import Baseline
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.platforms.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)
from scripts.local_stack import Sandbox
from tests.fakes import task_context
from tests.integration.digital_audience.world import s3_of

pytestmark = pytest.mark.usefixtures("connections")

CONNECTION = "digital_audience_default"
GOOD = b"email_sha256\r\n" + b"a" * 64 + b"\r\n" + b"1" * 64 + b"\r\n"
BAD = b"email\r\nanna@example.com\r\n"
OURS = {"mode": "opt-in", "rows": 2}


def put(sandbox: Sandbox, audience_id: int, content: bytes = GOOD, *, day: str = "20261120") -> None:
    key = f"onboard/audience={audience_id}/opt-in/{day}_000000.csv"
    s3_of(sandbox).put_object(Bucket=sandbox.info["bucket"], Key=key, Body=content)


def make_audience() -> int:
    client = DigitalAudienceHook(CONNECTION).client
    return client.create_crm_audience(name="a", campaign_id=client.create_campaign("c").id).id


def baseline_of(audience_id: int) -> dict[str, str]:
    return Baseline.of(DigitalAudienceHook(CONNECTION).client.load_audience(audience_id)).to_dict()


async def event_of(trigger: Any) -> dict[str, Any]:
    (event,) = [event.payload async for event in trigger.run()]
    found: dict[str, Any] = event
    return found


def trigger_of(audience_id: int, *, seconds: float = 60, **expected: Any) -> Any:
    return DigitalAudienceAudienceStateTrigger(
        conn_id=CONNECTION,
        audience_id=audience_id,
        poll_interval=0.1,
        deadline=time.time() + seconds,
        **expected,
    )


def wait_on(audience_id: int, **expected: Any) -> dict[str, Any]:
    return asyncio.run(event_of(trigger_of(audience_id, **expected)))


def test_waiting_ends_with_our_upload_and_not_with_that_of_yesterday(sandbox: Sandbox) -> None:
    audience_id = make_audience()
    before = baseline_of(audience_id)

    async def scene() -> dict[str, Any]:
        waiting = asyncio.ensure_future(event_of(trigger_of(audience_id, baseline=before, **OURS)))
        await asyncio.to_thread(put, sandbox, audience_id)
        return await waiting

    event = asyncio.run(scene())
    assert event["status"] == "success"
    assert (event["result"]["audience_state"], event["result"]["total_rows"]) == ("READY", 2)
    assert 0 <= event["result"]["match_rates"]["EMAIL"] <= 1
    assert event["result"]["data_set"]["EMAIL"]["TOTAL"] == 2

    before = baseline_of(audience_id)
    early = wait_on(audience_id, baseline=before, seconds=0.3)
    assert (early["status"], early["state"]) == ("timeout", "READY")
    put(sandbox, audience_id, day="20261121")
    assert wait_on(audience_id, baseline=before, **OURS)["status"] == "success"


def test_a_refused_file_fails_its_wait_and_not_the_next_one(sandbox: Sandbox) -> None:
    audience_id = make_audience()
    before = baseline_of(audience_id)
    put(sandbox, audience_id, BAD)
    event = wait_on(audience_id, baseline=before)
    assert (event["status"], event["state"]) == ("failed", "FAILED")

    after_failure = baseline_of(audience_id)
    put(sandbox, audience_id, day="20261121")
    assert wait_on(audience_id, baseline=after_failure, **OURS)["status"] == "success"


def test_an_audience_that_is_gone_ends_the_wait_with_a_reason() -> None:
    event = wait_on(999_999)

    assert (event["status"], event["error"]) == ("error", "NotFoundError")
    assert "Audience 999999" in event["message"]


def test_a_segment_becomes_active_once_the_audience_has_data(sandbox: Sandbox) -> None:
    audience_id = make_audience()
    client = DigitalAudienceHook(CONNECTION).client
    segment_id = client.activate_audience(
        audience_id=audience_id,
        account_id=client.load_platform_accounts()[0].id,
        name="s",
        description="d",
        start_date=datetime(2020, 1, 1, tzinfo=timezone.utc),
        end_date=datetime(2100, 1, 1, tzinfo=timezone.utc),
    ).segment_id

    def wait(seconds: float) -> dict[str, Any]:
        trigger = DigitalAudienceSegmentStatusTrigger(
            conn_id=CONNECTION,
            segment_id=segment_id,
            poll_interval=0.1,
            deadline=time.time() + seconds,
        )
        return asyncio.run(event_of(trigger))

    assert wait(0.3)["status"] == "timeout"
    put(sandbox, audience_id)
    event = wait(60)
    assert (event["status"], event["result"]["status"]) == ("success", "Active")
    assert event["result"]["total_upload_count"] >= 0


def test_the_sensor_defers_without_a_login_or_pokes(sandbox: Sandbox) -> None:
    with pytest.raises(TaskDeferred):
        DigitalAudienceAudienceStateSensor(task_id="wait", audience_id=1).execute(task_context())  # type: ignore[arg-type]
    assert sandbox.admin("summary")["logins"]["success"] == 0

    audience_id = make_audience()
    put(sandbox, audience_id)
    sensor = DigitalAudienceAudienceStateSensor(
        task_id="wait", audience_id=audience_id, deferrable=False, poke_interval=0.1, timeout=60
    )
    assert sensor.execute(task_context())["audience_state"] == "READY"  # type: ignore[arg-type]
