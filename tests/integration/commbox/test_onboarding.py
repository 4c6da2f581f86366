"""CommBox's operators and waits against the sandbox: once, again, after a kill, and a thousand at once."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.base.snapshot_diff import SnapshotLocation, confirm_snapshot
from audience_onboarding.platforms.commbox import (
    CommBoxFindAudienceOperator,
    CommBoxListAudiencesOperator,
    CommBoxOnboardCrmOperator,
    CommBoxUserCountSensor,
)
from audience_onboarding.platforms.commbox.triggers import CommBoxUserCountTrigger
from audience_onboarding.state.store import LAST_LOAD_KEY, audience_asset, load_key, record_period
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, task_context
from tests.integration.faults import calls, fault
from tests.integration.killed import FileStores, run_and_kill

pytestmark = pytest.mark.usefixtures("connections")

ASSET = audience_asset("commbox", "list")
AUDIENCES = "/commbox/audiences"
COLUMNS = {"phone": "Mobile"}
INTERVAL, LOOKS_BEFORE_THE_CHANGE = 0.25, 3


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def upload(source: Path, stores: AssetStores, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "source": str(source),
        "columns": COLUMNS,
        "audience_name": "Alerts",
        "load_date": "2026-11-20",
        "allow_unhashed": True,
        "asset": ASSET,
    }
    operator = CommBoxOnboardCrmOperator(task_id="upload", **{**arguments, **changes})
    result: dict[str, Any] = operator.execute(task_context(stores=stores))
    return result


def wait(load: dict[str, Any]) -> dict[str, Any]:
    sensor = CommBoxUserCountSensor(
        task_id="wait", upload=load, deferrable=False, poke_interval=0.1, timeout=30
    )
    result: dict[str, Any] = sensor.execute(task_context())
    return result


def confirm(
    stores: AssetStores, load: dict[str, Any], state: SnapshotLocation | None = None
) -> dict[str, Any]:
    """Wait and record as the DAG does."""
    seen = wait(load)
    record = json.loads(json.dumps({**load, **seen, "run_id": "manual__1"}))
    stores[ASSET].set(LAST_LOAD_KEY, record)
    stores[ASSET].set(load_key(record_period(record), record["mode"]), record)
    if state is not None:
        confirm_snapshot(record, location=state, store=stores[ASSET])
    return seen


def numbers(tmp_path: Path, count: int) -> Path:
    path = tmp_path / "numbers.csv"
    path.write_text(
        "Mobile\n" + "".join(f"06{10_000_000 + number}\n" for number in range(count)), encoding="utf-8"
    )
    return path


def audiences() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = CommBoxListAudiencesOperator(task_id="list").execute(task_context())
    return found


def test_the_first_load_creates_the_audience_and_later_ones_replace_it(
    sandbox: Sandbox, stores: AssetStores, tmp_path: Path
) -> None:
    find = CommBoxFindAudienceOperator(task_id="find", audience_name="Alerts", asset=ASSET)
    context: Any = task_context(stores=stores)
    assert find.execute(context) is None
    first = upload(numbers(tmp_path, 5), stores)
    seen = confirm(stores, first)
    assert (first["rows_sent"], seen["user_count"]) == (5, 5)
    audience_id = first["audience_id"]
    assert find.execute(context) == audience_id

    again = upload(numbers(tmp_path, 5), stores)
    assert again["uploaded"] is False
    assert wait(again) == {name: seen[name] for name in ("audience_id", "user_count")}
    assert calls(sandbox, "PUT", f"/{audience_id}") == []
    with pytest.raises(AirflowSkipException, match="Skipping stale load"):
        upload(numbers(tmp_path, 2), stores, load_date="2026-11-19")
    with pytest.raises(AirflowFailException, match="UploadConflictError"):
        upload(numbers(tmp_path, 2), stores)
    assert wait(upload(numbers(tmp_path, 2), stores, overwrite=True))["user_count"] == 2

    next_day = upload(numbers(tmp_path, 3), stores, load_date="2026-11-21", audience_id=audience_id)
    assert next_day["audience_id"] == audience_id
    assert wait(next_day)["user_count"] == 3
    assert len(audiences()) == 1


def members(sandbox: Sandbox, audience_id: str) -> str:
    """The last digits of the numbers, in order."""
    found = sandbox.admin(f"commbox/audiences/{audience_id}/members")["members"]
    return "".join(number[-1] for number in found)


def test_people_are_added_and_taken_out(sandbox: Sandbox, stores: AssetStores, tmp_path: Path) -> None:
    state = SnapshotLocation(str(tmp_path / "state"))
    for day, mode, digits, wanted in (
        ("2026-11-16", "replace", "123", "123"),
        ("2026-11-17", "opt-in", "34", "1234"),
        ("2026-11-18", "opt-out", "29", "134"),
        ("2026-11-19", "mirror", "431", "134"),
        ("2026-11-20", "mirror", "56", "56"),
    ):
        source = tmp_path / f"{day}.csv"
        source.write_text("Mobile\n" + "".join(f"061234567{digit}\n" for digit in digits))
        load = upload(source, stores, load_date=day, mode=mode, snapshots=state)
        confirm(stores, load, state)

        assert members(sandbox, load["audience_id"]) == wanted
        # The same list in another order is the same.
        assert load["uploaded"] is (digits != "431")

    assert len(list((tmp_path / "state").iterdir())) == 2


def test_a_worker_that_is_killed_after_the_post_leaves_one_audience(sandbox: Sandbox, tmp_path: Path) -> None:
    store, source = tmp_path / "state.json", numbers(tmp_path, 4)
    fault(sandbox, "commbox", "POST", AUDIENCES, when="after", action="delay", seconds=60)
    arguments = {
        "source": str(source),
        "columns": COLUMNS,
        "audience_name": "Alerts",
        "load_date": "2026-11-20",
        "allow_unhashed": True,
    }

    run_and_kill(
        "audience_onboarding.platforms.commbox:CommBoxOnboardCrmOperator",
        arguments,
        store=store,
        done=audiences,
        log=tmp_path / "killed.log",
    )
    assert "intent" in json.loads(store.read_text())["audience"]
    sandbox.admin("faults", method="DELETE")
    load = upload(source, FileStores(store), asset=audience_asset("test", "list"))

    assert wait(load)["user_count"] == 4
    assert [item["id"] for item in audiences()] == [load["audience_id"]]


def test_waits_share_one_look_per_interval(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of triggers in one event loop, as in a triggerer, against the real list over HTTP."""
    ids = [
        upload(numbers(tmp_path, 2), AssetStores(), audience_name=f"List {number}")["audience_id"]
        for number in range(5)
    ]
    before = len(calls(sandbox, "GET", "/audiences"))
    triggers = [
        CommBoxUserCountTrigger(
            conn_id="commbox_default",
            audience_id=ids[number % len(ids)],
            rows=3,
            poll_interval=INTERVAL,
            deadline=time.time() + 120,
        )
        for number in range(500)
    ]
    connection = BaseHook.get_connection("commbox_default")

    async def known(conn_id: str) -> Any:
        # Asking Airflow hundreds of times is not what is measured here.
        return connection

    monkeypatch.setattr(BaseHook, "aget_connection", known)

    async def all_events() -> tuple[list[Any], float]:
        started = time.monotonic()
        waits = [asyncio.ensure_future(anext(trigger.run())) for trigger in triggers]
        while len(calls(sandbox, "GET", "/audiences")) - before < LOOKS_BEFORE_THE_CHANGE:
            await asyncio.sleep(0.05)
        for audience_id in ids:
            await asyncio.to_thread(upload, numbers(tmp_path, 3), AssetStores(), audience_id=audience_id)
        return [event.payload for event in await asyncio.gather(*waits)], time.monotonic() - started

    events, seconds = asyncio.run(all_events())

    assert {event["status"] for event in events} == {"success"}
    # The uploads look at the list as well, once each.
    looks = len(calls(sandbox, "GET", "/audiences")) - before - len(ids)
    assert LOOKS_BEFORE_THE_CHANGE <= looks <= seconds / INTERVAL + 1
