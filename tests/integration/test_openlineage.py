"""What OpenLineage hears of real loads: Airflow's provider asks, and its file transport writes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.openlineage.extractors import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.providers.openlineage.sqlparser import DatabaseInfo
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException
from airflow.utils.state import TaskInstanceState
from openlineage.client import OpenLineageClient
from openlineage.client.transport.file import FileConfig, FileTransport

from audience_onboarding.crm.guards import Guards
from audience_onboarding.platforms.commbox import CommBoxOnboardCrmOperator
from audience_onboarding.platforms.digital_audience import DigitalAudienceOnboardCrmToS3Operator
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.platforms.fanfare import FanfareCreateAudienceOperator, FanfareOnboardCrmOperator
from audience_onboarding.state.store import audience_asset
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, task_context
from tests.integration.digital_audience.world import ASSET, create_audience
from tests.unit.base.databases import SqliteHook

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connections")]

DAY = "2026-11-20"
RUN_ID = "01930000-0000-7000-8000-000000000000"


@pytest.fixture
def stores() -> AssetStores:
    return AssetStores()


def told(operator: Any, state: TaskInstanceState, folder: Path) -> dict[str, Any]:
    """The event that Airflow's provider writes for a task of ours."""
    lineage = ExtractorManager().extract_metadata(
        SimpleNamespace(run_id="manual__1"), operator, state, SimpleNamespace()
    )
    path = folder / "events.jsonl"
    transport = FileTransport(FileConfig(log_file_path=str(path), append=True))
    adapter = OpenLineageAdapter(client=OpenLineageClient(transport=transport))
    common: dict[str, Any] = {
        "run_id": RUN_ID,
        "job_name": "a_dag.upload",
        "task": lineage,
        "nominal_start_time": None,
        "nominal_end_time": None,
        "owners": [],
        "tags": [],
        "job_description": None,
    }
    adapter.complete_task(**common, end_time="2026-11-20T03:00:00+00:00")
    (*_, last) = path.read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = json.loads(last)
    return found


def plain(value: Any) -> Any:
    """Without what each facet says of its own schema and producer."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not key.startswith("_")}
    return [plain(item) for item in value] if isinstance(value, list) else value


def upload(extract: Path, **more: Any) -> DigitalAudienceOnboardCrmToS3Operator:
    return DigitalAudienceOnboardCrmToS3Operator(
        task_id="upload",
        source=str(extract.parent / "{load_date}.csv"),
        columns={"email": "E-mail", "phone": "Mobile"},
        asset=ASSET,
        **more,
    )


def test_an_upload_tells_its_file_and_its_object(
    sandbox: Sandbox, stores: AssetStores, extract: Path, tmp_path: Path
) -> None:
    audience_id = create_audience(stores)
    operator = upload(extract, load_date=DAY)
    operator.execute(task_context(stores=stores))

    event = plain(told(operator, TaskInstanceState.SUCCESS, tmp_path))

    (stored,) = sandbox.admin("objects")["objects"]
    bucket = sandbox.info["bucket"]
    source = {"namespace": "file", "name": str(extract)}
    assert event["inputs"] == [
        {
            **source,
            "facets": {
                "dataSource": {"name": "file", "uri": "file://"},
                "schema": {
                    "fields": [
                        {"name": "E-mail", "type": "string", "description": "email", "fields": []},
                        {"name": "Mobile", "type": "string", "description": "phone", "fields": []},
                    ]
                },
            },
            "inputFacets": {
                "dataQualityMetrics": {
                    "rowCount": 5,
                    "fileCount": 1,
                    "columnMetrics": {
                        "E-mail": {"count": 5, "nullCount": 0, "quantiles": {}},
                        "Mobile": {"count": 3, "nullCount": 2, "quantiles": {}},
                    },
                }
            },
        }
    ]

    def lineage_of(column: str) -> dict[str, Any]:
        return {
            "inputFields": [{**source, "field": column, "transformations": []}],
            "transformationDescription": "normalised, SHA-256",
            "transformationType": "MASKED",
        }

    headers = [column.header for column in operator.profile.columns][:2]
    assert event["outputs"] == [
        {
            "namespace": f"s3://{bucket}",
            "name": f"onboard/audience={audience_id}/opt-in/20261120_000000.csv",
            "facets": {
                "dataSource": {"name": f"s3://{bucket}", "uri": f"s3://{bucket}"},
                "schema": {
                    "fields": [
                        {
                            "name": header,
                            "type": "string",
                            "description": f"{identifier}, normalised, SHA-256",
                            "fields": [],
                        }
                        for header, identifier in zip(headers, ("email", "phone"), strict=True)
                    ]
                },
                "columnLineage": {
                    "dataset": [],
                    "fields": {headers[0]: lineage_of("E-mail"), headers[1]: lineage_of("Mobile")},
                },
                "lifecycleStateChange": {"lifecycleStateChange": "CREATE"},
            },
            "outputFacets": {"outputStatistics": {"rowCount": 3, "size": stored["size"]}},
        }
    ]


def test_an_object_is_created_kept_or_overwritten_and_becomes_the_audience(
    sandbox: Sandbox, stores: AssetStores, extract: Path, tmp_path: Path
) -> None:
    audience_id = create_audience(stores)
    context: Any = task_context(stores=stores)
    upload(extract, load_date=DAY).execute(context)
    again = upload(extract, load_date=DAY)
    again.execute(context)

    (output,) = told(again, TaskInstanceState.SUCCESS, tmp_path)["outputs"]
    assert output["name"].endswith("20261120_000000.csv")
    assert not output.get("outputFacets")
    assert "lifecycleStateChange" not in output["facets"]

    with extract.open("a", encoding="utf-8") as file:
        file.write("dora@example.com,\n")
    other = upload(extract, load_date=DAY, overwrite=True)
    loaded = other.execute(context)

    (output,) = told(other, TaskInstanceState.SUCCESS, tmp_path)["outputs"]
    assert output["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "OVERWRITE"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 4

    sensor = DigitalAudienceAudienceStateSensor(
        task_id="wait", upload=loaded, deferrable=False, poke_interval=0.1, timeout=60
    )
    sensor.execute(context)

    event = told(sensor, TaskInstanceState.SUCCESS, tmp_path)
    host = sandbox.info["api_url"].partition("://")[2]
    places = [[(item["namespace"], item["name"]) for item in event[name]] for name in ("inputs", "outputs")]
    assert places == [
        [(f"s3://{loaded['bucket']}", loaded["s3_key"])],
        [(f"digital_audience://{host}", f"audiences/{audience_id}")],
    ]


def test_the_source_is_known_before_a_task_runs_and_after_it_has_failed(
    sandbox: Sandbox, stores: AssetStores, extract: Path, tmp_path: Path
) -> None:
    known = told(upload(extract, load_date=DAY), TaskInstanceState.RUNNING, tmp_path)
    assert [item["name"] for item in known["inputs"]] == [str(extract)]
    assert not known["outputs"]
    # Without a day, the source has no name.
    unknown = told(upload(extract), TaskInstanceState.RUNNING, tmp_path)
    assert not [item for item in unknown["inputs"] if item["namespace"] == "file"]

    create_audience(stores)
    operator = upload(extract, load_date=DAY, guards=Guards(min_rows=10))
    with pytest.raises(AirflowFailException, match="GuardError"):
        operator.execute(task_context(stores=stores))  # type: ignore[arg-type]

    event = told(operator, TaskInstanceState.FAILED, tmp_path)
    assert [item["name"] for item in event["inputs"]] == [str(extract)]
    assert not event["outputs"]


def test_commbox_tells_its_audience(
    sandbox: Sandbox, stores: AssetStores, extract: Path, tmp_path: Path
) -> None:
    place = sandbox.info["commbox_url"].partition("://")[2].partition("/")[0]
    for expected in ("CREATE", "OVERWRITE"):
        operator = CommBoxOnboardCrmOperator(
            task_id="upload",
            audience_name="Alerts",
            source=str(extract),
            columns={"phone": "Mobile"},
            allow_unhashed=True,
            load_date=DAY,
            asset=audience_asset("commbox", "alerts"),
        )
        loaded = operator.execute(task_context(stores=stores))  # type: ignore[arg-type]

        (output,) = told(operator, TaskInstanceState.SUCCESS, tmp_path)["outputs"]
        assert output["namespace"] == f"commbox://{place}"
        assert output["name"] == f"audiences/{loaded['audience_id']}"
        assert output["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == expected
        assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2
        assert output["facets"]["columnLineage"]["fields"]["phone1"]["transformationType"] == "IDENTITY"


def test_fanfare_tells_its_audience_and_no_presigned_address(
    sandbox: Sandbox, stores: AssetStores, extract: Path, tmp_path: Path
) -> None:
    asset = audience_asset("fanfare", "fans")
    FanfareCreateAudienceOperator(task_id="ensure", audience_name="Fans", asset=asset).execute(
        task_context(stores=stores)
    )
    operator = FanfareOnboardCrmOperator(
        task_id="upload",
        source=str(extract),
        columns={"email": "E-mail", "phone": "Mobile"},
        allow_unhashed=True,
        load_date=DAY,
        asset=asset,
    )
    loaded = operator.execute(task_context(stores=stores))

    event = told(operator, TaskInstanceState.SUCCESS, tmp_path)

    (output,) = event["outputs"]
    assert output["namespace"].startswith("fanfare://127.0.0.1:")
    assert output["name"] == f"audiences/{loaded['audience_id']}"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 3
    text = json.dumps(event).lower()
    key = sandbox.info["fanfare_secret_key"]
    for secret in ("anna", "ben@", "carla", "612345678", "x-amz", "signature", key):
        assert secret not in text


class TellingSqliteHook(SqliteHook):
    """Tells of its database what the hooks of other providers tell."""

    def get_openlineage_database_info(self, connection: Any) -> DatabaseInfo:
        return DatabaseInfo(scheme="sqlite", authority="crm.example:5432", database="crm")

    def get_openlineage_database_dialect(self, connection: Any) -> str:
        return "postgres"

    def get_openlineage_default_schema(self) -> str | None:
        return "public"


@pytest.mark.parametrize("hook", [SqliteHook, TellingSqliteHook])
def test_a_query_tells_its_tables_and_not_itself(
    hook: type[SqliteHook],
    sandbox: Sandbox,
    stores: AssetStores,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE people (mail TEXT, tel TEXT)")
        database.execute("INSERT INTO people VALUES ('anna@example.com', '0612345678')")
    others = Connection.get_hook
    monkeypatch.setattr(
        Connection,
        "get_hook",
        lambda self, **more: hook(self.conn_id) if self.conn_type == "sqlite" else others(self, **more),
    )
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    create_audience(stores)
    operator = DigitalAudienceOnboardCrmToS3Operator(
        task_id="upload",
        source={"query": "SELECT mail, tel FROM people WHERE mail <> 'zoe@example.com'", "conn_id": "crm"},
        columns={"email": "mail", "phone": "tel"},
        load_date=DAY,
        asset=ASSET,
    )
    operator.execute(task_context(stores=stores))

    event = told(operator, TaskInstanceState.SUCCESS, tmp_path)

    assert [(item["namespace"], item["name"]) for item in event["inputs"]] == (
        [("sqlite://crm.example:5432", "crm.public.people")] if hook is TellingSqliteHook else []
    )
    assert len(event["outputs"]) == 1
    assert "zoe" not in json.dumps(event)
    assert "anna" not in json.dumps(event)


def test_without_the_provider_nothing_is_told_and_nothing_breaks() -> None:
    code = """
import sys
import airflow.sdk.serde  # Airflow looks at its providers first, and ours is one of them
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("airflow.providers.openlineage", "openlineage")):
            raise ImportError(name)
for name in [name for name in sys.modules if name.startswith(("airflow.providers.openlineage", "openlineage"))]:
    del sys.modules[name]
sys.meta_path.insert(0, Missing())
from audience_onboarding.platforms.digital_audience import DigitalAudienceOnboardCrmToS3Operator
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
operator = DigitalAudienceOnboardCrmToS3Operator(
    task_id="upload", source="/x.csv", columns={"email": "E-mail"}, load_date="2026-11-20"
)
assert operator.get_openlineage_facets_on_start() is None
assert operator.get_openlineage_facets_on_complete(None) is None
sensor = DigitalAudienceAudienceStateSensor(task_id="wait", upload={"audience_id": 7, "bucket": "b", "s3_key": "k"})
assert sensor.get_openlineage_facets_on_complete(None) is None
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[-1:] == ["fine"], done.stderr
