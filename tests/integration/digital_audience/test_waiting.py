"""Hook, triggers and sensors against the sandbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import boto3
import pytest
from airflow.exceptions import TaskDeferred

from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.readiness import Baseline
from audience_onboarding.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)
from audience_onboarding.http import forget_clients
from scripts.local_stack import Sandbox
from tests.fakes import task_context

pytestmark = pytest.mark.usefixtures("connections")

CONNECTION = "digital_audience_default"
GOOD = b"email_sha256\r\n" + b"a" * 64 + b"\r\n" + b"1" * 64 + b"\r\n"
BAD = b"email\r\nanna@example.com\r\n"


def put(
    sandbox: Sandbox,
    audience_id: int,
    content: bytes,
    *,
    mode: str = "opt-in",
    stamp: str = "20261120_000000",
) -> None:
    boto3.client(
        "s3",
        endpoint_url=sandbox.info["s3_url"],
        aws_access_key_id=sandbox.info["aws_access_key_id"],
        aws_secret_access_key=sandbox.info["aws_secret_access_key"],
        region_name=sandbox.info["region"],
    ).put_object(
        Bucket=sandbox.info["bucket"], Key=f"onboard/audience={audience_id}/{mode}/{stamp}.csv", Body=content
    )


def make_audience() -> int:
    client = DigitalAudienceHook(CONNECTION).client
    return client.create_crm_audience(name="a", campaign_id=client.create_campaign("c").id).id


async def first_event(trigger: Any) -> dict[str, Any]:
    async for event in trigger.run():
        payload: dict[str, Any] = event.payload
        return payload
    raise AssertionError("the trigger ended without an event")


def wait_on(audience_id: int, *, seconds: float = 30, **expected: Any) -> Awaitable[dict[str, Any]]:
    return first_event(
        DigitalAudienceAudienceStateTrigger(
            conn_id=CONNECTION,
            audience_id=audience_id,
            poll_interval=0.2,
            deadline=time.time() + seconds,
            **expected,
        )
    )


def test_the_test_button_says_yes() -> None:
    answer, message = DigitalAudienceHook(CONNECTION).test_connection()
    assert answer
    assert "5 platform accounts" in message


def test_the_test_button_says_what_is_wrong(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = sandbox.connections()["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"].replace(
        "sandbox-password", "not-the-password"
    )
    monkeypatch.setenv("AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT", wrong)
    answer, message = DigitalAudienceHook(CONNECTION).test_connection()
    assert not answer
    assert "Correct Login and Password" in message
    assert "not-the-password" not in message


def test_waiting_ends_with_our_upload_and_its_match_rates(sandbox: Sandbox) -> None:
    audience_id = make_audience()
    baseline = Baseline.of(DigitalAudienceHook(CONNECTION).client.load_audience(audience_id))

    async def scene() -> dict[str, Any]:
        waiting = asyncio.ensure_future(
            wait_on(audience_id, baseline=baseline.to_dict(), mode="opt-in", rows=2)
        )
        await asyncio.to_thread(put, sandbox, audience_id, GOOD)
        return await waiting

    event = asyncio.run(scene())
    assert event["status"] == "success"
    assert event["result"]["audience_state"] == "READY"
    assert event["result"]["total_rows"] == 2
    assert 0 <= event["result"]["match_rates"]["EMAIL"] <= 1
    assert event["result"]["data_set"]["EMAIL"]["TOTAL"] == 2


def test_yesterdays_ready_is_not_taken_for_ours(sandbox: Sandbox) -> None:
    audience_id = make_audience()
    put(sandbox, audience_id, GOOD)
    asyncio.run(wait_on(audience_id))  # type: ignore[arg-type]
    baseline = Baseline.of(DigitalAudienceHook(CONNECTION).client.load_audience(audience_id)).to_dict()
    early = asyncio.run(wait_on(audience_id, baseline=baseline, seconds=0.5))  # type: ignore[arg-type]
    assert (early["status"], early["state"]) == ("timeout", "READY")
    put(sandbox, audience_id, GOOD, stamp="20261121_000000")
    event = asyncio.run(wait_on(audience_id, baseline=baseline, mode="opt-in", rows=2))  # type: ignore[arg-type]
    assert event["status"] == "success"


def test_a_file_that_the_vendor_refuses_fails_the_wait_and_is_not_held_against_the_next(
    sandbox: Sandbox,
) -> None:
    audience_id = make_audience()
    client = DigitalAudienceHook(CONNECTION).client
    baseline = Baseline.of(client.load_audience(audience_id)).to_dict()
    put(sandbox, audience_id, BAD)
    event = asyncio.run(wait_on(audience_id, baseline=baseline))  # type: ignore[arg-type]
    assert (event["status"], event["state"]) == ("failed", "FAILED")
    after_failure = Baseline.of(client.load_audience(audience_id)).to_dict()
    put(sandbox, audience_id, GOOD, stamp="20261121_000000")
    event = asyncio.run(wait_on(audience_id, baseline=after_failure, mode="opt-in", rows=2))  # type: ignore[arg-type]
    assert event["status"] == "success"


def test_an_audience_that_is_gone_ends_the_wait_with_a_reason() -> None:
    event = asyncio.run(wait_on(999_999))  # type: ignore[arg-type]
    assert event["status"] == "error"
    assert event["error"] == "NotFoundError"
    assert "Audience 999999" in event["message"]


def test_fifty_waits_share_one_login(sandbox: Sandbox) -> None:
    audience_ids = [make_audience() for _ in range(50)]
    forget_clients()
    before = sandbox.admin("summary")["logins"]["success"]

    async def scene() -> list[dict[str, Any]]:
        waiting = [asyncio.ensure_future(wait_on(item, rows=2, seconds=60)) for item in audience_ids]
        for audience_id in audience_ids:
            await asyncio.to_thread(put, sandbox, audience_id, GOOD)
        return await asyncio.gather(*waiting)

    events = asyncio.run(scene())
    assert {event["status"] for event in events} == {"success"}
    assert sandbox.admin("summary")["logins"]["success"] - before == 1


def test_a_segment_becomes_active_once_the_audience_has_data(sandbox: Sandbox) -> None:
    import pendulum

    audience_id = make_audience()
    client = DigitalAudienceHook(CONNECTION).client
    now = pendulum.now("UTC")
    segment_id = client.activate_audience(
        audience_id=audience_id,
        account_id=client.load_platform_accounts()[0].id,
        name="s",
        description="d",
        start_date=now,
        end_date=now.add(days=10),
    ).segment_id

    def trigger(seconds: float) -> DigitalAudienceSegmentStatusTrigger:
        return DigitalAudienceSegmentStatusTrigger(
            conn_id=CONNECTION,
            segment_id=segment_id,
            poll_interval=0.2,
            deadline=time.time() + seconds,
        )

    early = asyncio.run(first_event(trigger(0.5)))
    assert early["status"] == "timeout"
    put(sandbox, audience_id, GOOD)
    event = asyncio.run(first_event(trigger(30)))
    assert event["status"] == "success"
    assert event["result"]["status"] == "Active"
    assert event["result"]["total_upload_count"] >= 0


def test_the_sensor_defers_without_asking_the_vendor(sandbox: Sandbox) -> None:
    sensor = DigitalAudienceAudienceStateSensor(task_id="wait", audience_id=1)
    with pytest.raises(TaskDeferred):
        sensor.execute(task_context())
    assert sandbox.admin("summary")["logins"]["success"] == 0


def test_the_sensor_can_poke_instead(sandbox: Sandbox) -> None:
    audience_id = make_audience()
    put(sandbox, audience_id, GOOD)
    sensor = DigitalAudienceAudienceStateSensor(
        task_id="wait", audience_id=audience_id, deferrable=False, poke_interval=0.2, timeout=30
    )
    result = sensor.execute(task_context())
    assert result["audience_state"] == "READY"
