"""Digital Audience at the sandbox: an audience, its lists, and what is remembered of it."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import boto3
from airflow.sdk.exceptions import TaskDeferred

from audience_onboarding.base.snapshot_diff import SnapshotLocation, confirm_snapshot
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.platforms.digital_audience import (
    DigitalAudienceAudienceStateSensor,
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
    DigitalAudienceOnboardCrmToS3Operator,
)
from audience_onboarding.platforms.digital_audience import upload as onboarding_module
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.state.store import (
    LAST_LOAD_KEY,
    audience_asset,
    campaign_asset,
    load_key,
    record_period,
)
from scripts.local_stack import Sandbox, wait_for
from tests.fakes import AssetStores, task_context
from tests.integration.killed import FileStores

ASSET = audience_asset("digital_audience", "list")
CAMPAIGN = campaign_asset("digital_audience", "digital_audience_default", "Campaign")
OURS = "our-own-bucket"
STATE = SnapshotLocation(f"s3://{OURS}/state/list", aws_conn_id="audience_s3")
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = "2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"


def killed(*, task_id: str, asset: Any, **arguments: Any) -> KilledOnboardOperator:
    """Make the operator that is killed; its asset is that of the tests, whatever the store is called."""
    return KilledOnboardOperator(task_id=task_id, asset=ASSET, **arguments)


def with_snapshots(*, task_id: str, asset: Any, **arguments: Any) -> DigitalAudienceOnboardCrmToS3Operator:
    """Make an operator whose snapshots lie in S3, too."""
    return DigitalAudienceOnboardCrmToS3Operator(task_id=task_id, asset=ASSET, snapshots=STATE, **arguments)


class KilledOnboardOperator(DigitalAudienceOnboardCrmToS3Operator):
    """Stops for ever when it is about to put a file into the folder of a mode, and says so in a file."""

    def __init__(self, *, hangs_at: str, marker: str, **kwargs: Any) -> None:
        super().__init__(snapshots=STATE, **kwargs)
        client_of = onboarding_module.s3_client

        def hanging(conn_id: str) -> Any:
            client = client_of(conn_id)
            client.meta.events.register("before-send.s3.PutObject", hold)
            return client

        def hold(request: Any, **_: Any) -> None:
            if f"/{hangs_at}/" in request.url:
                Path(marker).touch()
                threading.Event().wait()

        onboarding_module.s3_client = hanging  # type: ignore[assignment]

    def execute(self, context: Any) -> dict[str, Any]:
        self.context = context
        return super().execute(context)

    def defer(self, *, trigger: Any, method_name: str, kwargs: Any = None, **_: Any) -> Any:
        """Wait here: the process must not end before it is killed."""
        event = see(trigger)
        getattr(self, method_name)(self.context, event, **(kwargs or {}))


def see(trigger: Any) -> dict[str, Any]:
    client = DigitalAudienceHook().client
    found: dict[str, Any] = wait_for(
        lambda: trigger.poll(client).event, "The vendor", timeout=30, interval=0.05
    )
    return found


def s3_of(sandbox: Sandbox) -> Any:
    info = sandbox.info
    return boto3.client(
        "s3",
        endpoint_url=info["s3_url"],
        aws_access_key_id=info["aws_access_key_id"],
        aws_secret_access_key=info["aws_secret_access_key"],
        region_name=info["region"],
    )


def create_audience(stores: AssetStores) -> int:
    context: Any = task_context(stores=stores)
    campaign_id = DigitalAudienceCreateCampaignOperator(
        task_id="campaign", campaign_name="Campaign", asset=CAMPAIGN
    ).execute(context)
    audience_id = DigitalAudienceCreateCrmAudienceOperator(
        task_id="audience", audience_name="Audience", campaign_id=campaign_id, asset=ASSET
    ).execute(context)
    assert isinstance(audience_id, int)
    return audience_id


class World:
    """An audience, its files and what is remembered of it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.stores: AssetStores = FileStores(folder / "store.json")
        self.audience_id = create_audience(AssetStores())
        self.s3 = s3_of(sandbox)
        self.s3.create_bucket(
            Bucket=OURS, CreateBucketConfiguration={"LocationConstraint": sandbox.info["region"]}
        )

    def close(self) -> None:
        for item in self.s3.list_objects_v2(Bucket=OURS).get("Contents", []):
            self.s3.delete_object(Bucket=OURS, Key=item["Key"])
        self.s3.delete_bucket(Bucket=OURS)

    def arguments(self, day: str, names: str | None, mode: str) -> dict[str, Any]:
        """The operator's, as JSON; each of the people is a letter."""
        if names is not None:
            rows = "".join(f"{name}@example.com\n" for name in names)
            (self.folder / f"{day}.csv").write_text(f"E-mail\n{rows}")
        return {
            "source": str(self.folder / "{load_date}.csv"),
            "columns": {"email": "E-mail"},
            "audience_id": self.audience_id,
            "load_date": day,
            "mode": mode,
            "memory_limit_mib": 128,
            "poke_interval": 0.1,
        }

    def send(
        self, day: str, names: str | None = None, mode: str = "mirror", **changes: Any
    ) -> dict[str, Any]:
        """Run the task to its end, doing what the triggerer does."""
        arguments = {**self.arguments(day, names, mode), "snapshots": STATE, **changes}

        def operator() -> DigitalAudienceOnboardCrmToS3Operator:
            return DigitalAudienceOnboardCrmToS3Operator(task_id="upload", asset=ASSET, **arguments)

        context = task_context(stores=self.stores)
        try:
            found: dict[str, Any] = operator().execute(context)  # type: ignore[arg-type]
        except TaskDeferred as deferred:
            event = see(deferred.trigger)
            found = getattr(operator(), deferred.method_name)(context, event, **(deferred.kwargs or {}))
        return found

    def confirm(self, load: dict[str, Any]) -> dict[str, Any]:
        """The tasks that wait and record."""
        seen = DigitalAudienceAudienceStateSensor(
            task_id="wait", upload=load, deferrable=False, poke_interval=0.1, timeout=30
        ).execute(task_context())
        store = self.stores[ASSET]
        record = {**load, **seen, "run_id": "manual__1"}
        store.set(load_key(record_period(load), load["mode"]), json.loads(json.dumps(record)))
        last = store.get(LAST_LOAD_KEY) or {}
        if load["mode"] in FULL_LIST_MODES or load["load_date"] >= last.get("load_date", ""):
            store.set(LAST_LOAD_KEY, json.loads(json.dumps(record)))
        confirm_snapshot(record, location=STATE, store=store)
        return record

    def run(self, day: str, names: str, mode: str = "mirror", **changes: Any) -> dict[str, Any]:
        return self.confirm(self.send(day, names, mode, **changes))

    def pass_a_second(self) -> None:
        """Wait until S3 writes another second: the vendor sees a put of the same content by ``LastModified`` alone."""

        def second() -> Any:
            self.s3.put_object(Bucket=OURS, Key="second", Body=b"")
            return self.s3.head_object(Bucket=OURS, Key="second")["LastModified"]

        now = second()
        wait_for(lambda: second() > now, "The next second", timeout=30, interval=0.05)

    @property
    def people(self) -> str:
        known = {hashlib.sha256(f"{name}@example.com".encode()).hexdigest(): name for name in "abcdefghxyz"}
        members = self.sandbox.admin(f"audiences/{self.audience_id}/members")["members"]
        return "".join(sorted(known[member["email_sha256"]] for member in members))

    @property
    def uploads(self) -> list[str]:
        """What the vendor has taken in, in order."""
        log = self.sandbox.admin(f"audiences/{self.audience_id}/log")
        return ["/".join(entry["key"].split("/")[2:])[:-11] for entry in log if entry["event"] == "accepted"]

    def open_multipart_uploads(self) -> list[str]:
        """Keys of uploads that are neither completed nor aborted."""
        buckets = (OURS, self.sandbox.info["bucket"])
        listed = [self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) for bucket in buckets]
        return [upload["Key"] for uploads in listed for upload in uploads]

    def snapshots(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=OURS, Prefix="state/").get("Contents", [])
        return sorted(item["Key"].rpartition("/")[2][:10] for item in listed)
