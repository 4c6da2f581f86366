"""The metrics of real loads, as a real StatsD server hears them: exactly what was read, sent and called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.http import forget_clients
from audience_onboarding.orchestration.metrics import METRICS, PREFIX
from audience_onboarding.pipelines import build_onboarding_dag
from audience_onboarding.platforms import PLATFORMS, part_of
from scripts.local_stack import Sandbox
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


def defined(platform: str, folder: Path, **more: Any) -> AudienceDefinition:
    phone_only = platform == "commbox"
    values: dict[str, Any] = {
        "key": "people",
        "platform": platform,
        "name": "People",
        "owner": "tests",
        "retries": 0,
        "source": {
            "path": f"{folder}/{{load_date}}.csv",
            "columns": {"phone": "Mobile"} if phone_only else {"email": "E-mail", "phone": "Mobile"},
        },
        "wait": {"poll_seconds": 1},
    }
    if platform == "digital_audience":
        values["campaign"] = {"name": "People"}
    else:
        values["allow_raw"] = True
    values.update(more)
    model: type[AudienceDefinition] = part_of(platform, "definition").DEFINITION
    return model.model_validate(values)


def run_of(
    platform: str, folder: Path, *, world: World | None = None, run_id: str = "manual__1", **more: Any
) -> Run:
    """A load.

    :param more: of the definition.
    """
    (folder / f"{DAY}.csv").write_text(EXTRACT, encoding="utf-8")
    dag = build_onboarding_dag(defined(platform, folder, **more), base=folder, auto_register=False)
    return Run(dag, world or World(), run_id=run_id, params={"load_date": DAY}).execute()


def loads_well(platform: str, folder: Path, **more: Any) -> None:
    run = run_of(platform, folder, **more)
    assert run.is_successful, run.failures


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_load_is_counted_to_the_row(
    platform: str, tmp_path: Path, sandbox: Sandbox, received: Received
) -> None:
    loads_well(platform, tmp_path)

    load = (platform, "people", MODES[platform])
    assert received.sums("loads") == {(*load, "sent"): 1}
    assert received.sums("rows_read") == {load: 6}
    assert received.sums("rows_sent") == {load: 3}
    assert received.sums("rows_duplicate") == {load: 1}
    rejected = received.sums("rows_rejected")
    assert {key[:3] for key in rejected} == {load}
    wrong = "invalid_phone" if platform == "commbox" else "invalid_email"
    assert {key[3]: rows for key, rows in rejected.items()} == {"no_identifier": 1, wrong: 1}


def test_uploads_and_waits_are_measured(
    platform: str, tmp_path: Path, sandbox: Sandbox, received: Received
) -> None:
    loads_well(platform, tmp_path)

    load = (platform, "people", MODES[platform])
    (sent,) = received.sums("uploaded_bytes").items()
    assert sent[0] == load
    assert sent[1] > 30
    if platform == "digital_audience":
        (stored,) = sandbox.admin("objects")["objects"]
        assert sent[1] == stored["size"]
    ((tags, upload_time),) = received.values("upload_time")
    assert tags == load
    ((whose, confirmation_time),) = received.values("confirmation_time")
    assert whose == load[:2]
    assert 0 < confirmation_time < 60_000
    assert 0 < upload_time < 60_000
    looks = received.sums("looks")
    assert looks.pop((platform, "done")) == 1
    assert set(looks) <= {(platform, "pending")}
    rates = dict(received.values("match_rate"))
    if platform == "digital_audience":
        assert {key[:2] for key in rates} == {(platform, "people")}
        assert {key[2] for key in rates} == {"EMAIL", "PHONE"}
        assert all(0 <= rate <= 1 for rate in rates.values())
    else:
        assert not rates


def test_calls_are_counted_as_the_vendor_counts_them(
    platform: str, tmp_path: Path, sandbox: Sandbox, received: Received
) -> None:
    loads_well(platform, tmp_path)

    calls = received.sums("api_calls")
    assert {(key[0], key[2]) for key in calls} == {(platform, "2xx")}
    assert all(key[1] != "other" for key in calls)
    assert sum(calls.values()) == len(received.values("api_time"))
    # A presigned address is the storage's, not the vendor's.
    assert calls.pop((platform, "upload", "2xx"), 0) == (1 if platform == "fanfare" else 0)
    assert sum(calls.values()) == len([item for item in exchanges(sandbox) if item["vendor"] == platform])
    expected = {(platform, "ok"): 1.0} if platform == "digital_audience" else {}
    assert received.sums("logins") == expected
    assert not received.sums("api_repeats")


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
    assert received.sums("guard_stops") == {("fanfare", "people", "opt-in", "min_rows"): 1}
    assert not received.sums("loads")


def test_an_unclear_creation_is_counted(tmp_path: Path, sandbox: Sandbox, received: Received) -> None:
    fault(sandbox, "digital_audience", "POST", ".*campaign.*", action="drop", when="after")
    run = run_of("digital_audience", tmp_path)

    assert not run.is_successful
    assert received.sums("ambiguous_stops") == {("digital_audience", "people", "campaign"): 1}
    assert received.sums("api_calls")["digital_audience", "create_campaign", "none"] == 1


def test_nobodys_data_are_in_any_of_it(tmp_path: Path, sandbox: Sandbox, received: Received) -> None:
    for platform in PLATFORMS:
        forget_clients()
        run_of(platform, tmp_path, run_id=f"manual__{platform}")

    known = {f"{PREFIX}.{metric.name}": set(metric.tags) for metric in METRICS}
    packets = received.ours()
    for packet in packets:
        if packet.tags:
            assert {name for name, _ in packet.tags} == known[packet.name]
    said = " ".join(f"{packet.name} {packet.tags}" for packet in packets).lower()
    for raw in ("anna", "ben", "carla", "@", "612345678", "623456789"):
        assert raw not in said
