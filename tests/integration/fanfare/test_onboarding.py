"""Fanfare's operators and sensors against the sandbox: once, in parts, after a kill, and when things fail."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from audience_onboarding.platforms.fanfare import (
    FanfareArchiveAudienceOperator,
    FanfareAudienceStatusSensor,
    FanfareCreateAudienceOperator,
    FanfareImportSensor,
    FanfareListAudiencesOperator,
    FanfareOnboardCrmOperator,
    FanfareReplaceRulesOperator,
    FanfareSyncAudienceOperator,
    FanfareUpdateAudienceOperator,
)
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.state.store import audience_asset, load_key
from scripts.local_stack import Sandbox, wait_for
from tests.fakes import AssetStores, task_context
from tests.integration.faults import calls, fault
from tests.integration.killed import FileStores, run_and_kill

pytestmark = pytest.mark.usefixtures("connections")

ASSET = audience_asset("fanfare", "list")
AUDIENCES = r"/fanfare/api/audiences"
COLUMNS = {"email": "E-mail", "phone": "Mobile"}
IMPORT = rf"{AUDIENCES}/[^/]+/import"


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def ensure(stores: AssetStores, **arguments: Any) -> str:
    operator = FanfareCreateAudienceOperator(
        task_id="ensure", **{"audience_name": "Fans", "asset": ASSET, **arguments}
    )
    audience_id = operator.execute(task_context(stores=stores))
    assert isinstance(audience_id, str)
    return audience_id


def onboarding(source: Path, **changes: Any) -> FanfareOnboardCrmOperator:
    arguments: dict[str, Any] = {
        "source": str(source),
        "columns": COLUMNS,
        "load_date": "2026-11-20",
        "allow_unhashed": True,
        "poke_interval": 0.1,
        "asset": ASSET,
    }
    return FanfareOnboardCrmOperator(task_id="upload", **{**arguments, **changes})


def run(operator: FanfareOnboardCrmOperator, stores: AssetStores) -> dict[str, Any]:
    """Execute it to its end, doing what the triggerer does."""
    context = task_context(stores=stores)
    step: Any = operator.execute
    arguments: tuple[Any, ...] = (context,)
    while True:
        try:
            result: dict[str, Any] = step(*arguments)
        except TaskDeferred as deferred:
            trigger: Any = deferred.trigger
            client = FanfareHook().client
            seen = wait_for(
                lambda t=trigger, c=client: t.poll(c).event, "The import", timeout=30, interval=0.05
            )
            step, arguments = getattr(operator, deferred.method_name), (context, seen)
        else:
            return result


def wait(upload: dict[str, Any]) -> dict[str, Any]:
    sensor = FanfareImportSensor(
        task_id="wait", upload=upload, deferrable=False, poke_interval=0.1, timeout=30
    )
    result: dict[str, Any] = sensor.execute(task_context())
    return result


def confirm(stores: AssetStores, upload: dict[str, Any], seen: dict[str, Any]) -> None:
    """What the DAG's task record_load does."""
    record = {**upload, **seen, "run_id": "manual__1"}
    stores[ASSET].set(load_key(upload["load_date"], upload["mode"]), json.loads(json.dumps(record)))


def fans(tmp_path: Path, rows: int) -> Path:
    path = tmp_path / "fans.csv"
    lines = [f"fan{number}@example.com,06{10_000_000 + number}" for number in range(rows)]
    path.write_text("\n".join(["E-mail,Mobile", *lines]) + "\n", encoding="utf-8")
    return path


def test_a_list_arrives_once_and_is_corrected_on_demand(
    sandbox: Sandbox, stores: AssetStores, extract: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The root logger as a task's is: urllib3 logs the query of each address at DEBUG, which the masker hides.
    caplog.set_level(logging.INFO)
    audience_id = ensure(stores)
    upload = run(onboarding(extract), stores)
    seen = wait(upload)

    counts = [upload[name] for name in ("rows_read", "rows_sent", "duplicates", "rejected")]
    assert counts == [5, 3, 1, 1]
    assert (seen["audience_id"], seen["members"], seen["processed_consumers"]) == (audience_id, 3, 3)
    assert (seen["imports"], seen["error_count"], seen["row_errors"]) == (1, 0, [])
    everything = caplog.text + json.dumps([upload, seen, stores[ASSET].values])
    key = sandbox.info["fanfare_secret_key"]
    for trace in ("X-Amz", "anna@", "612345678", key, "uploadUrl", "upload_url"):
        assert trace not in everything

    confirm(stores, upload, seen)
    again = run(onboarding(extract), stores)
    assert again["uploaded"] is False
    assert wait(again) == seen
    assert ensure(stores) == audience_id
    assert len(calls(sandbox, "POST", "/audiences")) == 1

    with extract.open("a", encoding="utf-8") as file:
        file.write("dora@example.com,\n")
    with pytest.raises(AirflowFailException, match="UploadConflictError"):
        run(onboarding(extract), stores)
    assert len(calls(sandbox, "POST", "/import")) == 1
    assert wait(run(onboarding(extract, overwrite=True), stores))["members"] == 4


def test_a_long_list_is_three_imports_in_order_and_a_failure_in_the_second_resumes_there(
    sandbox: Sandbox, stores: AssetStores, tmp_path: Path
) -> None:
    audience_id = ensure(stores)
    operator = onboarding(fans(tmp_path, 25_000), rows_per_import=10_000)
    sandbox.admin("settings", method="PATCH", json={"fanfare_rate_limit": 1_000_000})
    # The second import fails at the vendor.
    sandbox.admin("fanfare/fail-import", method="POST", json={"audience_id": audience_id, "skip": 1})

    with pytest.raises(AirflowFailException, match="ImportFailedError") as error:
        run(operator, stores)
    assert "not sent again" in str(error.value)
    assert len(calls(sandbox, "POST", "/import")) == 2

    upload = run(operator, stores)
    seen = wait(upload)

    assert (seen["imports"], seen["processed_consumers"], seen["members"]) == (3, 25_000, 25_000)
    # One, two in vain, two, three.
    assert len(calls(sandbox, "POST", "/import")) == 4
    puts = [item for item in sandbox.admin("journal?kind=s3")["entries"] if item["operation"] == "PutObject"]
    sizes = [item["size"] for item in puts]
    assert len(sizes) == 4
    assert sizes[1] == sizes[2] != sizes[3]
    imports = FanfareHook().client.get_audience(audience_id).imports or ()
    assert sorted(item.processed_consumers or 0 for item in imports if item.status == "COMPLETED") == [
        5_000,
        10_000,
        10_000,
    ]


def test_a_worker_that_is_killed_during_an_import_sends_it_again(
    sandbox: Sandbox, tmp_path: Path, extract: Path
) -> None:
    store, asset = tmp_path / "state.json", audience_asset("test", "list")
    audience_id = ensure(FileStores(store), asset=asset)
    client = FanfareHook().client
    fault(sandbox, "fanfare", "POST", IMPORT, when="after", action="delay", seconds=60)
    arguments = {
        "source": str(extract),
        "columns": COLUMNS,
        "load_date": "2026-11-20",
        "allow_unhashed": True,
    }

    run_and_kill(
        "audience_onboarding.platforms.fanfare:FanfareOnboardCrmOperator",
        arguments,
        store=store,
        done=lambda: client.get_import(audience_id),
        log=tmp_path / "killed.log",
    )
    sandbox.admin("faults", method="DELETE")
    upload = run(onboarding(extract, asset=asset), FileStores(store))

    assert wait(upload)["members"] == 3


def test_rows_that_the_vendor_refuses_are_shown_without_their_values(
    sandbox: Sandbox, stores: AssetStores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ensure(stores)
    sandbox.admin("settings", method="PATCH", json={"fanfare_refused_domains": "refused.example"})
    source = tmp_path / "fans.csv"
    source.write_text("E-mail,Mobile\nanna@example.com,\nben.secret@refused.example,\n", encoding="utf-8")

    seen = wait(run(onboarding(source), stores))

    assert (seen["processed_consumers"], seen["error_count"]) == (1, 1)
    ((row,),) = ([error["row"] for error in seen["row_errors"]],)
    assert isinstance(row, int)
    assert "ben.secret" not in json.dumps(seen) + caplog.text + json.dumps(stores[ASSET].values)


def test_dynamic_and_synced_audiences(sandbox: Sandbox, stores: AssetStores) -> None:
    rule = {"field": "totalOrders", "operator": "GREATER_THAN", "values": [3]}
    dynamic = ensure(AssetStores(), audience_name="Buyers", audience_type="DYNAMIC", rules=[rule])
    context = task_context(stores=stores)
    FanfareReplaceRulesOperator(
        task_id="rules", audience_id=dynamic, rules=[{**rule, "operator": "LESS_THAN"}]
    ).execute(context)
    (replaced,) = FanfareHook().client.list_rules(dynamic)
    assert replaced.operator == "LESS_THAN"
    FanfareAudienceStatusSensor(
        task_id="fresh", audience_id=dynamic, deferrable=False, poke_interval=0.1, timeout=30
    ).execute(context)

    source = {"sync_source": "klaviyo:list", "sync_source_id": "XyZ"}
    synced = ensure(AssetStores(), audience_name="Klaviyo", audience_type="SYNCED_LIST", sync_source=source)
    sync = FanfareSyncAudienceOperator(task_id="sync", audience_id=synced).execute(context)
    status = FanfareAudienceStatusSensor(
        task_id="synced", sync=sync, deferrable=False, poke_interval=0.1, timeout=30
    ).execute(context)
    assert status["sync_status"] == "SUCCESS"


def test_update_list_and_archive(stores: AssetStores, sandbox: Sandbox) -> None:
    audience_id = ensure(stores)
    context = task_context(stores=stores)
    FanfareUpdateAudienceOperator(task_id="update", asset=ASSET, changes={"name": "Friends"}).execute(context)
    listed = FanfareListAudiencesOperator(task_id="list").execute(context)
    assert [(item["id"], item["name"]) for item in listed] == [(audience_id, "Friends")]
    FanfareArchiveAudienceOperator(task_id="archive", audience_id=audience_id).execute(context)
    assert FanfareListAudiencesOperator(task_id="list").execute(context) == []
