"""What each mode leaves in the audience, against the sandbox and its S3, where the snapshots lie too.

The operator of this module is one that a test kills: it stops for ever when it is about to put a file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from audience_onboarding.base.comparing import StateFolder, confirm_snapshot
from audience_onboarding.crm.guards import WHOLE_LIST
from audience_onboarding.digital_audience import (
    DigitalAudienceAudienceStateSensor,
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
    DigitalAudienceOnboardCrmToS3Operator,
)
from audience_onboarding.digital_audience import onboarding as onboarding_module
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.orchestration.memory import LAST_LOAD_KEY, audience_asset, days_of, load_key
from scripts.local_stack import Sandbox, wait_for
from tests.fakes import AssetStores, task_context
from tests.integration.killed import FileStores, run_and_kill

pytestmark = pytest.mark.usefixtures("connections")

ASSET = audience_asset("digital_audience", "list")
OURS = "our-own-bucket"
STATE = StateFolder(f"s3://{OURS}/state/list", aws_conn_id="audience_s3")
DAYS = ("2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19")
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = DAYS


class KilledOnboardOperator(DigitalAudienceOnboardCrmToS3Operator):
    """Stops for ever when it is about to put a file into the folder of a mode, and says so in a file."""

    def __init__(self, *, hangs_at: str, marker: str, **kwargs: Any) -> None:
        super().__init__(state=STATE, **kwargs)
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
        """Wait here: who is killed while the triggerer waits is not killed at all."""
        event = see(trigger)
        getattr(self, method_name)(self.context, event, **(kwargs or {}))


def see(trigger: Any) -> dict[str, Any]:
    client = DigitalAudienceHook().client
    found: dict[str, Any] = wait_for(
        lambda: trigger.look(client).event, "The vendor", timeout=30, interval=0.05
    )
    return found


class World:
    """An audience, its files and what is remembered of it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.stores: AssetStores = FileStores(folder / "store.json")
        context = task_context(stores=AssetStores())
        campaign = DigitalAudienceCreateCampaignOperator(task_id="campaign", campaign_name="C").execute(
            context
        )
        self.audience_id = DigitalAudienceCreateCrmAudienceOperator(
            task_id="audience", audience_name="A", campaign_id=campaign
        ).execute(context)
        info = sandbox.info
        self.s3 = boto3.client(
            "s3",
            endpoint_url=info["s3_url"],
            aws_access_key_id=info["aws_access_key_id"],
            aws_secret_access_key=info["aws_secret_access_key"],
            region_name=info["region"],
        )
        self.s3.create_bucket(Bucket=OURS, CreateBucketConfiguration={"LocationConstraint": info["region"]})

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
        arguments = {**self.arguments(day, names, mode), "state": STATE, **changes}

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
        memory = self.stores[ASSET]
        record = {**load, **seen, "run_id": "manual__1"}
        memory.set(load_key(days_of(load), load["mode"]), json.loads(json.dumps(record)))
        last = memory.get(LAST_LOAD_KEY) or {}
        if load["mode"] in WHOLE_LIST or load["load_date"] >= last.get("load_date", ""):
            memory.set(LAST_LOAD_KEY, json.loads(json.dumps(record)))
        confirm_snapshot(record, state=STATE, memory=memory)
        return record

    def run(self, day: str, names: str, mode: str = "mirror", **changes: Any) -> dict[str, Any]:
        return self.confirm(self.send(day, names, mode, **changes))

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

    def snapshots(self) -> list[str]:
        listed = self.s3.list_objects_v2(Bucket=OURS).get("Contents", [])
        return sorted(item["Key"].rpartition("/")[2][:10] for item in listed)


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path) -> Any:
    made = World(sandbox, tmp_path)
    yield made
    made.close()


def test_mirrors_one_after_the_other(world: World) -> None:
    world.run(MONDAY, "abc")
    assert world.people == "abc"

    changed = world.run(TUESDAY, "bcde")
    assert world.people == "bcde"
    assert changed["changes"] == {"added": 2, "removed": 1, "unchanged": 2}
    assert world.uploads == ["opt-in/20261116", "opt-out/20261117", "opt-in/20261117"]

    unchanged = world.run(WEDNESDAY, "edcb")
    assert (unchanged["uploaded"], unchanged["audience_state"]) == (False, "READY")
    assert len(world.uploads) == 3

    world.run(THURSDAY, "cd")
    assert world.people == "cd"
    assert world.uploads[3:] == ["opt-out/20261119"]
    assert world.snapshots() == [TUESDAY, THURSDAY]


def test_a_mirror_begins_with_what_a_replace_has_left(world: World) -> None:
    world.run(MONDAY, "xyz", "opt-in")
    world.run(TUESDAY, "abx", "replace")

    world.run(WEDNESDAY, "bc")

    assert world.people == "bc"


def test_opt_ins_and_opt_outs_in_between_are_taken_into_account(world: World) -> None:
    world.run(MONDAY, "abc")
    world.run(TUESDAY, "x", "opt-in")
    world.run(WEDNESDAY, "b", "opt-out")
    assert world.people == "acx"

    world.run(THURSDAY, "abc")

    assert world.people == "abc"


def test_a_mirror_that_was_never_confirmed_is_made_good_by_the_next(world: World) -> None:
    world.run(MONDAY, "abc")
    world.send(TUESDAY, "bcx")
    wait_for(lambda: world.people == "bcx", "The vendor", timeout=30, interval=0.05)

    world.run(WEDNESDAY, "abc")

    assert world.people == "abc"
    assert world.snapshots() == [MONDAY, WEDNESDAY]


@pytest.mark.chaos
@pytest.mark.parametrize("hangs_at", ["opt-out", "opt-in"])
@pytest.mark.parametrize("runs_again", [True, False])
def test_a_mirror_that_is_killed(world: World, tmp_path: Path, hangs_at: str, runs_again: bool) -> None:
    world.run(MONDAY, "abc")
    marker = tmp_path / "about-to-put"
    run_and_kill(
        f"{__name__}:killed",
        {**world.arguments(TUESDAY, "bcde", "mirror"), "hangs_at": hangs_at, "marker": str(marker)},
        store=tmp_path / "store.json",
        done=marker.exists,
        log=tmp_path / "log",
    )
    # What another process has written.
    world.stores = FileStores(tmp_path / "store.json")

    if runs_again:
        world.run(TUESDAY, "bcde")
        assert world.people == "bcde"
        assert world.uploads[1:] == ["opt-out/20261117", "opt-in/20261117"]
    else:
        world.run(WEDNESDAY, "abd")
        assert world.people == "abd"
        assert world.snapshots() == [MONDAY, WEDNESDAY]


def killed(*, task_id: str, asset: Any, **arguments: Any) -> KilledOnboardOperator:
    """The operator that is killed; its asset is that of the test, whatever the store is called."""
    return KilledOnboardOperator(task_id=task_id, asset=ASSET, **arguments)


def test_the_newest_list_comes_back_when_its_day_is_run_again(world: World) -> None:
    world.run(MONDAY, "ab", "replace")
    world.run(TUESDAY, "bc", "replace")
    with pytest.raises(AirflowSkipException, match="Superseded"):
        world.send(MONDAY, mode="replace")
    world.confirm(world.send(MONDAY, mode="replace", supersede=True))
    assert world.people == "ab"

    again = world.send(TUESDAY, mode="replace")

    assert again["uploaded"] is True
    world.confirm(again)
    assert world.people == "bc"
    assert world.uploads == ["replace/20261116", "replace/20261117"] * 2
    assert world.send(TUESDAY, mode="replace")["uploaded"] is False


def test_so_it_does_with_mirrors(world: World) -> None:
    world.run(MONDAY, "ab")
    world.run(TUESDAY, "bc")
    world.confirm(world.send(MONDAY, supersede=True))
    assert world.people == "ab"

    world.confirm(world.send(TUESDAY))

    assert world.people == "bc"


def test_a_second_file_of_the_day(world: World) -> None:
    world.send(MONDAY, "abc", "opt-in", state=None)
    with pytest.raises(AirflowFailException, match="SecondFileError"):
        world.send(MONDAY, "a", "opt-out", state=None, second_file_same_day="fail")

    # It waits until the first one is taken in, as the sandbox shows at once.
    load = world.send(MONDAY, "a", "opt-out", state=None, second_file_same_day="wait")

    assert load["same_day_files"] == [f"onboard/audience={world.audience_id}/opt-in/20261116_000000.csv"]
    world.confirm(load)
    assert world.people == "bc"
