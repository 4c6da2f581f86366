"""The metrics of real loads, as a real StatsD server hears them: exactly what was read, sent and called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.base.metrics import METRICS, PREFIX
from audience_onboarding.pipelines import build_onboarding_dag
from audience_onboarding.platform_registry import PLATFORMS
from scripts.local_stack import Sandbox
from tests.integration.erase_and_retire import defined
from tests.integration.faults import exchanges, fault
from tests.small_airflow import Run, World, no_earlier_runs
from tests.statsd import Received, statsd

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connections", "alone")]

DAY = "2026-11-20"
EXTRACT = """\
E-mail,Mobile
anna@example.com,0612345678
BEN@example.com ,+31 6 23456789
anna@EXAMPLE.com,06-12345678
carla@example.com,0634567890
not an address,no number
,
"""
"""Three people, one of them twice, one row that cannot be sent, and an empty one."""

MODES = {"commbox": "replace", "digital_audience": "opt-in", "fanfare": "opt-in"}


@pytest.fixture
def alone() -> Iterator[None]:
    with no_earlier_runs():
        yield


@pytest.fixture
def received() -> Iterator[Received]:
    with statsd() as server:
        yield server


def run_of(
    platform: str, folder: Path, *, world: World | None = None, run_id: str = "manual__1", **more: Any
) -> Run:
    """Load the extract.

    :param more: of the definition.
    """
    (folder / f"{DAY}.csv").write_text(EXTRACT, encoding="utf-8")
    columns = {"phone": "Mobile"} if platform == "commbox" else {"email": "E-mail", "phone": "Mobile"}
    source = {"path": f"{folder}/{{load_date}}.csv", "columns": columns}
    definition = defined(platform, "people", folder, snapshots=False, retries=0, source=source, **more)
    dag = build_onboarding_dag(definition, base=folder, auto_register=False)
    return Run(dag, world or World(), run_id=run_id, params={"load_date": DAY}).execute()


def loads_well(platform: str, folder: Path, **more: Any) -> None:
    run = run_of(platform, folder, **more)
    assert run.is_successful, run.failures


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_load_is_measured_exactly(
    platform: str, tmp_path: Path, sandbox: Sandbox, received: Received
) -> None:
    loads_well(platform, tmp_path)

    load = (platform, "people", MODES[platform])
    assert received.sums("loads") == {(*load, "sent"): 1}
    rows = [received.sums(f"rows_{kind}") for kind in ("read", "sent", "duplicate")]
    assert rows == [{load: 6}, {load: 3}, {load: 1}]
    wrong = "invalid_phone" if platform == "commbox" else "invalid_email"
    assert received.sums("rows_rejected") == {(*load, "no_identifier"): 1, (*load, wrong): 1}
    measures_upload_and_wait(platform, load, sandbox, received)
    counts_calls_as_the_vendor(platform, sandbox, received)
    known = {f"{PREFIX}.{metric.name}": set(metric.tags) for metric in METRICS}
    packets = received.ours()
    for packet in packets:
        assert not packet.tags or {name for name, _ in packet.tags} == known[packet.name]
    sent = " ".join(f"{packet.name} {packet.tags}" for packet in packets).lower()
    for raw in ("anna", "ben", "carla", "@", "612345678", "623456789"):
        assert raw not in sent


def measures_upload_and_wait(
    platform: str, load: tuple[str, ...], sandbox: Sandbox, received: Received
) -> None:
    ((tags, size),) = received.sums("uploaded_bytes").items()
    assert tags == load
    assert size > 30
    ((tags, upload_time),) = received.values("upload_time")
    assert tags == load
    ((tags, confirmation_time),) = received.values("confirmation_time")
    assert tags == load[:2]
    assert 0 < confirmation_time < 60_000
    assert 0 < upload_time < 60_000
    looks = received.sums("polls")
    assert looks.pop((platform, "done")) == 1
    assert set(looks) <= {(platform, "pending")}
    rates = dict(received.values("match_rate"))
    if platform == "digital_audience":
        (stored,) = sandbox.admin("objects")["objects"]
        assert size == stored["size"]
        assert set(rates) == {(*load[:2], "EMAIL"), (*load[:2], "PHONE")}
        assert all(0 <= rate <= 1 for rate in rates.values())
    else:
        assert not rates


def counts_calls_as_the_vendor(platform: str, sandbox: Sandbox, received: Received) -> None:
    calls = received.sums("api_calls")
    assert {(key[0], key[2]) for key in calls} == {(platform, "2xx")}
    assert all(key[1] != "other" for key in calls)
    assert sum(calls.values()) == len(received.values("api_time"))
    # A presigned address is the storage's, not the vendor's.
    assert calls.pop((platform, "upload", "2xx"), 0) == (1 if platform == "fanfare" else 0)
    assert sum(calls.values()) == len([item for item in exchanges(sandbox) if item["vendor"] == platform])
    expected = {(platform, "ok"): 1.0} if platform == "digital_audience" else {}
    assert received.sums("logins") == expected
    assert not received.sums("api_retries")


def test_a_load_that_changes_nothing_has_no_rows(tmp_path: Path, sandbox: Sandbox) -> None:
    world = World()
    loads_well("digital_audience", tmp_path, world=world)
    with statsd() as received:
        loads_well("digital_audience", tmp_path, world=world, run_id="manual__2")

        assert received.sums("loads") == {("digital_audience", "people", "opt-in", "unchanged"): 1}
        assert not received.sums("rows_sent")
        assert not received.sums("uploaded_bytes")
        assert not received.values("confirmation_time")


def test_stops_are_counted(tmp_path: Path, sandbox: Sandbox, received: Received) -> None:
    run = run_of("fanfare", tmp_path, guards={"min_rows": 10})

    assert not run.is_successful
    assert received.sums("guard_failures") == {("fanfare", "people", "opt-in", "min_rows"): 1}
    assert not received.sums("loads")


def test_an_unclear_creation_is_counted(tmp_path: Path, sandbox: Sandbox, received: Received) -> None:
    fault(sandbox, "digital_audience", "POST", ".*campaign.*", action="drop", when="after")
    run = run_of("digital_audience", tmp_path)

    assert not run.is_successful
    assert received.sums("ambiguous_creates") == {("digital_audience", "people", "campaign"): 1}
    assert received.sums("api_calls")["digital_audience", "create_campaign", "none"] == 1
