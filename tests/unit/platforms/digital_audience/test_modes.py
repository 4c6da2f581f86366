"""The audience after loads of each mode, with bucket and vendor in memory, also if a task is killed."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions as boto
import pytest
import time_machine
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.crm.guards import Guards
from audience_onboarding.exceptions import TransientError
from audience_onboarding.pipelines import build_onboarding_dag, onboard
from audience_onboarding.platforms.digital_audience import upload, upload_log
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.models import Audience
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.platforms.digital_audience.upload import DigitalAudienceOnboardCrmToS3Operator
from audience_onboarding.state.store import audience_asset
from audience_onboarding.storage import snapshot_files
from tests.fakes import task_context
from tests.unit.effects import Effects, JsonStores, points
from tests.unit.pipelines.conftest import REMOVE, definition, function_of
from tests.unit.platforms.cases import every_case
from tests.unit.platforms.kits import DIGITAL_AUDIENCE, as_stored
from tests.unit.platforms.sequences import play_all

ASSET = audience_asset("digital_audience", "newsletter")
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = "2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"
BUCKET = "vendor-bucket"
OPT_OUT = "opt-out"
OPT_IN = "opt-in"


def hash_of(name: str) -> str:
    return hashlib.sha256(f"{name}@example.com".encode()).hexdigest()


def key_of(mode: str, day: str) -> str:
    return f"onboard/audience=7/{mode}/{day.replace('-', '')}_000000.csv"


def refusal(code: str, status: int, operation: str) -> boto.ClientError:
    return boto.ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )  # type: ignore[typeddict-item]


class Bucket:
    """S3, as far as one small file takes it; what is written waits for the vendor."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.objects: dict[str, dict[str, Any]] = {}
        self.written: list[str] = []
        self.waiting: list[tuple[str, bytes]] = []
        self.meta = SimpleNamespace(region_name="eu-central-1", endpoint_url="http://s3")

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if Key not in self.objects:
            raise refusal("404", 404, "HeadObject")
        return self.objects[Key]

    def head_bucket(self, *, Bucket: str) -> None:  # noqa: N803
        pass

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [])

    def put_object(self, *, Key: str, Body: bytes, Metadata: dict[str, str], **more: Any) -> dict[str, str]:  # noqa: N803
        there = self.objects.get(Key)
        if more.get("IfNoneMatch") == "*" and there is not None:
            raise refusal("PreconditionFailed", 412, "PutObject")
        if "IfMatch" in more and (there is None or there["ETag"] != more["IfMatch"]):
            raise refusal("PreconditionFailed", 412, "PutObject")
        self.effects.before(f"put {Key.split('/')[2]}")
        self.objects[Key] = {
            "ETag": f'"{len(self.written)}"',
            "ContentLength": len(Body),
            "LastModified": datetime.now(timezone.utc),
            "Metadata": Metadata,
        }
        self.written.append(Key)
        self.waiting.append((Key, Body))
        self.effects.after()
        return {"ETag": self.objects[Key]["ETag"]}


class Vendor:
    """Takes in what waits in the bucket when it is told to."""

    def __init__(self, bucket: Bucket) -> None:
        self.settings = DIGITAL_AUDIENCE.settings
        self.bucket = bucket
        self.members: set[frozenset[str]] = set()
        self.state = "NODATA"
        self.history: list[dict[str, Any]] = []
        self.updated: datetime | None = None
        self.fails = False
        self._ticks = itertools.count()

    def load_audience(self, audience_id: int) -> Audience:
        entries = {str(number): entry for number, entry in enumerate(self.history)}
        return Audience.model_validate(
            {
                "id": audience_id,
                "audienceState": self.state,
                "dataUpdated": self.updated,
                "updated": self.updated,
                "crmData": {"size": len(self.members), "history": {"history": entries}},
            }
        )

    def load_changed_audience(
        self, audience_id: int, *, previous: bytes | None = None
    ) -> tuple[bytes, Audience] | None:
        audience = self.load_audience(audience_id)
        fingerprint = audience.model_dump_json().encode()
        return None if fingerprint == previous else (fingerprint, audience)

    def process(self) -> None:
        waiting, self.bucket.waiting = self.bucket.waiting, []
        for key, body in waiting:
            mode = key.split("/")[2]
            lines = body.decode().split("\r\n")[1:-1]
            rows = {frozenset(filter(None, line.split(","))) for line in lines}
            self.updated = datetime(2026, 11, 16, tzinfo=timezone.utc) + timedelta(minutes=next(self._ticks))
            if self.fails:
                self.state = "FAILED"
                continue
            gone = set().union(*rows)
            self.members = {
                "opt-in": self.members | rows,
                "replace": rows,
                "opt-out": {row for row in self.members if not row & gone},
            }[mode]
            self.state = "READY"
            self.history.append({"mode": mode, "totalRows": len(lines), "created": self.updated})

    @property
    def people(self) -> list[str]:
        """Their names."""
        names = {hash_of(name): name for name in "abcdefghijklmnopqrstuvwxyz"}
        return sorted(names[value] for row in self.members for value in row)


class World:
    """An audience with its DAG's two tasks that matter, and everything around them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.effects = Effects()
        self.stores = JsonStores(self.effects)
        self.bucket = Bucket(self.effects)
        self.vendor = Vendor(self.bucket)
        self.state = SnapshotLocation(str(folder / "state" / "newsletter"))
        monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: self.vendor))
        monkeypatch.setattr(upload, "s3_client", lambda conn_id: self.bucket)
        monkeypatch.setattr(onboard, "get_current_context", lambda: self.context)
        for name in ("save_snapshot", "delete_snapshot"):
            monkeypatch.setattr(
                snapshot_files, name, self.effects.counted(name, getattr(snapshot_files, name))
            )
        dag = build_onboarding_dag(
            definition(
                id=7,
                campaign=REMOVE,
                upload={"mode": "mirror", "bucket": BUCKET},
                snapshots={"path": "state"},
            ),
            base=folder,
        )
        self.record_load = function_of(dag, "record_load")
        self.context: Any = task_context(stores=self.stores)

    @property
    def store(self) -> dict[str, Any]:
        return self.stores[ASSET].content

    def write(self, day: str, names: str) -> None:
        rows = "".join(f"{name}@example.com\n" for name in names)
        (self.folder / f"{day}.csv").write_text(f"E-mail\n{rows}")

    def operator(self, day: str, mode: str, **changes: Any) -> DigitalAudienceOnboardCrmToS3Operator:
        return DigitalAudienceOnboardCrmToS3Operator(
            **{
                "task_id": "upload",
                "source": str(self.folder / "{load_date}.csv"),
                "columns": {"email": "E-mail"},
                "audience_id": 7,
                "bucket": BUCKET,
                "asset": ASSET,
                "load_date": day,
                "mode": mode,
                "snapshots": self.state,
                "memory_limit_mib": 128,
                **changes,
            }
        )

    def send(self, day: str, mode: str = "mirror", **changes: Any) -> dict[str, Any]:
        """Run the task to its end; where it waits, the vendor does its work meanwhile."""
        operator = self.operator(day, mode, **changes)
        self.context["params"]["overwrite"] = bool(changes.get("overwrite"))
        try:
            found = operator.execute(self.context)
        except TaskDeferred as deferred:
            found = self.resume(deferred, day, mode, **changes)
        return as_stored(found)  # type: ignore[no-any-return]

    def defers(self, day: str, mode: str = "mirror", **changes: Any) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            self.operator(day, mode, **changes).execute(self.context)
        return caught.value

    def resume(self, deferred: TaskDeferred, day: str, mode: str = "mirror", **changes: Any) -> Any:
        self.vendor.process()
        trigger: Any = deferred.trigger
        event = trigger.poll(self.vendor).event
        assert event is not None
        # Another process: only what the deferral carries is known.
        method = getattr(self.operator(day, mode, **changes), deferred.method_name)
        return method(self.context, event, **(deferred.kwargs or {}))

    def wait(self, load: dict[str, Any]) -> dict[str, Any]:
        """What the sensor sees."""
        sensor = DigitalAudienceAudienceStateSensor(task_id="wait", upload=load)
        known = sensor.early_result()
        if known is not None:
            return known
        self.vendor.process()
        event = sensor.trigger(deadline=0).poll(self.vendor).event
        assert event is not None
        assert event["status"] == "success"
        return event["result"]  # type: ignore[no-any-return]

    def confirm(self, load: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.record_load(load, self.wait(load))
        return found

    def run(self, day: str, names: str, mode: str = "mirror", **changes: Any) -> dict[str, Any]:
        """A whole run."""
        self.write(day, names)
        return self.confirm(self.send(day, mode, **changes))

    @property
    def people(self) -> str:
        return "".join(self.vendor.people)

    def taken_in(self) -> None:
        self.vendor.process()

    def files(self) -> list[str]:
        """The snapshots, by day."""
        folder = Path(self.state.folder)
        return sorted(path.name[:10] for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


Made = Callable[[object], World]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make a world of its own for each case."""
    return lambda name: World(tmp_path / str(name), monkeypatch)


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """Each test begins at three in the morning."""
    with time_machine.travel("2026-11-16T03:00:00Z", tick=False) as travel:
        yield travel


# --- mirror -------------------------------------------------------------------------------------------------


def test_the_first_mirror_adds_everybody_and_takes_nobody_out(world: World) -> None:
    record = world.run(MONDAY, "abc")

    assert world.vendor.people == ["a", "b", "c"]
    assert world.bucket.written == [key_of("opt-in", MONDAY)]
    assert (record["mode"], record["rows_sent"], record["s3_key"]) == ("mirror", 3, key_of("opt-in", MONDAY))
    assert record["changes"] == {"added": 3, "removed": 0, "unchanged": 0}
    assert record["s3_keys"] == [key_of("opt-in", MONDAY)]
    assert record["snapshot"].endswith(f"/state/newsletter/{MONDAY}-{record['content_id']}.parquet")
    assert Path(record["snapshot"]).stat().st_mode & 0o777 == 0o600
    assert world.store["last_load"] == record


def test_a_first_mirror_warns_that_others_stay(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run(MONDAY, "xy", "opt-in")
    world.run(TUESDAY, "ab")

    said = capsys.readouterr().out
    assert "people in the audience stay" in said
    assert "run it once with mode 'replace'" in said


SEQUENCES = {
    "a first mirror takes nobody out": "mon opt-in xy | tue mirror ab -> abxy",
    "a replace begins a mirror": "mon opt-in* xy | tue replace abx | wed mirror bc -> bc",
    "opt-ins and opt-outs in between": "mon mirror abc | tue opt-in xa | tue opt-out b -> acx | wed mirror abc -> abc",
    "all have opted out": "mon mirror ab | tue opt-out ab -> nobody | wed mirror bc -> bc",
    "an opt-out that was never confirmed": "mon mirror ab | tue opt-out? ab -> nobody | wed mirror ab -> ab",
    "a mirror that was never confirmed": "mon mirror abc | tue mirror? bcx -> bcx | wed mirror abc -> abc",
    "only people to take out": "mon mirror abc | tue mirror ab -> ab",
    "only people to add": "mon mirror abc | tue mirror abcd -> abcd",
    "an older list in place of a newer": "mon mirror ab | tue mirror bc | mon mirror! ab -> ab | tue mirror bc -> bc",
    "the same with replaces": "mon replace* ab | tue replace* bc | mon replace*! ab -> ab | tue replace* bc -> bc",
}


def test_who_is_in_the_audience_after_a_sequence_of_loads(made: Made) -> None:
    play_all(made, SEQUENCES)


def test_a_mirror_takes_out_first_and_adds_when_the_vendor_is_through(world: World) -> None:
    world.run(MONDAY, "abc")
    world.write(TUESDAY, "bcde")

    deferred = world.defers(TUESDAY)

    assert world.bucket.written[1:] == [key_of("opt-out", TUESDAY)]
    trigger: Any = deferred.trigger
    assert (trigger.expectation.mode, trigger.expectation.rows) == ("opt-out", 1)
    assert trigger.poll(world.vendor).event is None
    load = world.resume(deferred, TUESDAY)
    assert world.vendor.people == ["b", "c"]
    assert world.bucket.written[2:] == [key_of("opt-in", TUESDAY)]
    assert (load["uploaded"], load["rows_sent"]) == (True, 4)
    assert load["awaited"] == {"mode": "opt-in", "rows": 2}
    record = world.confirm(load)
    assert world.vendor.people == ["b", "c", "d", "e"]
    assert record["changes"] == {"added": 2, "removed": 1, "unchanged": 2}
    assert record["s3_keys"] == [key_of("opt-out", TUESDAY), key_of("opt-in", TUESDAY)]


def test_where_one_file_does_there_is_one(made: Made) -> None:
    for names, mode in (("ab", "opt-out"), ("abcd", "opt-in")):
        world = made(mode)
        world.run(MONDAY, "abc")
        world.write(TUESDAY, names)

        assert world.send(TUESDAY)["awaited"] == {"mode": mode, "rows": 1}
        assert world.bucket.written[1:] == [key_of(mode, TUESDAY)]


def test_where_nothing_has_changed_nothing_is_sent_and_the_load_is_confirmed(world: World) -> None:
    monday = world.run(MONDAY, "abc")
    world.effects.start()

    record = world.run(TUESDAY, "cab")

    assert len(world.bucket.written) == 1
    # record_load alone has written, and the snapshot stays the one it was.
    assert world.effects.names == [f"set load.{TUESDAY}.mirror", "set last_load"]
    assert (record["s3_key"], record["audience_state"], record["snapshot"]) == (
        None,
        "READY",
        monday["snapshot"],
    )
    assert record["changes"] == {"added": 0, "removed": 0, "unchanged": 3}
    assert world.store["last_load"]["load_date"] == TUESDAY


def test_a_load_that_is_confirmed_is_not_sent_again(world: World) -> None:
    world.run(MONDAY, "abc")
    world.run(TUESDAY, "bcd")
    written = list(world.bucket.written)

    again = world.send(TUESDAY)

    assert (again["uploaded"], world.bucket.written) == (False, written)
    assert world.confirm(again)["load_date"] == TUESDAY


def test_other_content_of_a_day_needs_a_word_whatever_of_it_would_be_sent(world: World) -> None:
    world.run(MONDAY, "abc")
    # Only an opt-in file was sent for Tuesday, so that no object is in the way of an opt-out.
    world.run(TUESDAY, "abcd")
    world.write(TUESDAY, "bcd")

    with pytest.raises(AirflowFailException, match=r"UploadConflictError.*2026-11-17 \(mirror\).*Overwrite"):
        world.send(TUESDAY)
    assert world.vendor.people == ["a", "b", "c", "d"]

    world.confirm(world.send(TUESDAY, overwrite=True))
    assert world.vendor.people == ["b", "c", "d"]


def test_other_content_of_a_day_that_was_begun_needs_a_word_too(world: World) -> None:
    world.run(MONDAY, "abc")
    world.write(TUESDAY, "ab")
    world.send(TUESDAY)
    world.write(TUESDAY, "abcd")

    with pytest.raises(
        AirflowFailException, match=r"UploadConflictError.*started before, with other content"
    ):
        world.send(TUESDAY)

    world.confirm(world.send(TUESDAY, overwrite=True))
    assert world.vendor.people == ["a", "b", "c", "d"]


def test_a_source_that_changes_while_the_vendor_works_stops_the_load(world: World) -> None:
    world.run(MONDAY, "abc")
    world.write(TUESDAY, "bcd")
    deferred = world.defers(TUESDAY)
    world.write(TUESDAY, "bcde")

    with pytest.raises(AirflowFailException, match="UploadConflictError: The source changed during"):
        world.resume(deferred, TUESDAY)

    assert world.bucket.written[1:] == [key_of("opt-out", TUESDAY)]


def test_an_opt_out_that_does_not_succeed_holds_the_opt_in_back(world: World) -> None:
    events: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"status": "failed", "message": "bad file"}, AirflowFailException, "AudienceFailedError.*bad file"),
        ({"status": "error", "error": "NotFoundError", "message": "gone"}, AirflowFailException, "NotFoundE"),
        ({"status": "timeout", "message": "still busy"}, TransientError, "not processed within 2 days"),
    ]
    with every_case() as case:
        for event, raised, message in events:
            with case(event["status"]), pytest.raises(raised, match=message):
                world.operator(MONDAY, "mirror").resume_after_opt_out(world.context, event, "c", "o")
    assert world.bucket.written == []


def test_an_older_mirror_is_skipped_unless_it_supersedes(world: World) -> None:
    world.run(MONDAY, "abc")
    world.run(TUESDAY, "bcd")

    with pytest.raises(
        AirflowSkipException, match=f"Skipping stale load: the load of {TUESDAY} is confirmed"
    ):
        world.send(MONDAY)
    world.run(MONDAY, "abc", overwrite=True)
    assert world.store["last_load"]["load_date"] == MONDAY


@pytest.mark.parametrize(
    ("mode", "changes"), [("mirror", {}), ("replace", {}), ("replace", {"snapshots": None})], ids=str
)
def test_an_older_list_comes_too_late_once_a_newer_one_is_sent(
    world: World, mode: str, changes: dict[str, Any]
) -> None:
    """The newer one may be confirmed only later, as in a backfill that a scheduled load overtakes."""
    for day, names in ((MONDAY, "abc"), (TUESDAY, "bcd"), (WEDNESDAY, "cde")):
        world.write(day, names)
    world.send(TUESDAY, mode, **changes)

    with pytest.raises(AirflowSkipException, match=f"Skipping stale load: the load of {TUESDAY} is uploaded"):
        world.send(MONDAY, mode, **changes)
    assert len(world.bucket.written) == 1

    world.send(WEDNESDAY, mode, **changes)
    assert world.bucket.written[1:]
    assert world.send(MONDAY, mode, **changes, overwrite=True)["uploaded"] is True


def test_the_snapshot_of_a_failed_mirror_is_deleted_by_the_next(world: World) -> None:
    world.run(MONDAY, "abc")
    world.write(TUESDAY, "bcx")
    world.send(TUESDAY)
    world.vendor.process()

    world.run(WEDNESDAY, "abc")

    assert world.files() == [MONDAY, WEDNESDAY]


def test_what_is_older_than_the_one_before_is_deleted_and_nothing_else(world: World) -> None:
    world.run(MONDAY, "abc")
    other = Path(world.state.folder) / "2026-01-01-of-somebody-else.parquet"
    other.write_text("x")
    world.run(TUESDAY, "bcd")
    world.run(WEDNESDAY, "cde")
    world.run(THURSDAY, "def")

    assert world.files() == ["2026-01-01", WEDNESDAY, THURSDAY]
    assert other.read_text() == "x"


@pytest.mark.parametrize("damage", ["delete", "cut"])
def test_without_its_snapshot_a_mirror_stops_and_a_replace_begins_anew(world: World, damage: str) -> None:
    snapshot = Path(world.run(MONDAY, "abc")["snapshot"])
    if damage == "delete":
        snapshot.unlink()
    else:
        snapshot.write_bytes(snapshot.read_bytes()[:50])
    world.write(TUESDAY, "bcd")

    with pytest.raises(
        AirflowFailException,
        match=r"(?i)snapshot of the last load .* mode replace",
    ):
        world.send(TUESDAY)
    record = world.run(TUESDAY, "bcd", "replace")

    assert record["changes"] == {}
    world.run(WEDNESDAY, "cd")
    assert world.vendor.people == ["c", "d"]


def test_a_snapshot_of_another_audience_is_none(world: World) -> None:
    world.run(MONDAY, "abc")
    world.write(TUESDAY, "bcd")

    load = world.send(TUESDAY, audience_id=8)

    assert load["changes"] == {"added": 3, "removed": 0, "unchanged": 0}


def test_opt_ins_and_opt_outs_count_their_changes(world: World) -> None:
    world.run(MONDAY, "abc")

    changes = [world.run(TUESDAY, names, mode)["changes"] for names, mode in (("xa", OPT_IN), ("b", OPT_OUT))]

    assert changes == [{"added": 1, "removed": 0}, {"added": 0, "removed": 1}]


# --- guards and dry runs ------------------------------------------------------------------------------------


def test_a_list_of_other_people_is_stopped_though_it_is_as_long(world: World) -> None:
    world.run(MONDAY, "abcdefgh")
    world.write(TUESDAY, "ijklmnop")
    strict = Guards(min_rows_for_ratios=5)

    with pytest.raises(AirflowFailException, match=r"max_row_drop: 8 of the 8 rows .* 100%, at most 50%"):
        world.send(TUESDAY, guards=strict)
    assert world.files() == [MONDAY]

    for changes in (
        {"guards": strict, "ignore_guards": True},
        {"guards": Guards(min_rows_for_ratios=9)},
        {"guards": Guards(min_rows_for_ratios=5, max_row_drop=None)},
    ):
        assert world.send(TUESDAY, **changes)["changes"]["removed"] == 8


def test_a_dry_run_knows_what_would_change_and_writes_nothing(world: World) -> None:
    def would_change(day: str, mode: str) -> tuple[int, int | None]:
        with pytest.raises(AirflowSkipException, match="Dry run"):
            world.send(day, mode, is_dry_run=True)
        report = world.context["ti"].pushed["dry_run_report"]
        return report["would_add"], report["would_remove"]

    world.write(MONDAY, "abc")
    without_snapshot = {"mirror": (3, None), "replace": (3, None), "opt-in": (3, 0), "opt-out": (0, 3)}
    assert {mode: would_change(MONDAY, mode) for mode in without_snapshot} == without_snapshot
    world.run(MONDAY, "abc")
    world.write(TUESDAY, "bcde")
    world.effects.start()

    with_snapshot = {"mirror": (2, 1), "replace": (2, 1), "opt-in": (2, 0), "opt-out": (0, 2)}
    assert {mode: would_change(TUESDAY, mode) for mode in with_snapshot} == with_snapshot
    assert world.effects.names == []
    assert world.files() == [MONDAY]


# --- what cannot be meant -----------------------------------------------------------------------------------


def test_what_cannot_be_meant_is_refused_before_anything_is_read(world: World) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"snapshots": None},
            "'mirror' needs 'snapshots', .*without it, opt-in, opt-out, replace are allowed",
        ),
        ({"asset": None}, "needs an asset"),
        (
            {"snapshots": SnapshotLocation(f"s3://{BUCKET}/onboard/x")},
            "Snapshots may not lie where the vendor reads",
        ),
        ({"mode": "append"}, "Unknown mode 'append'.*Allowed are opt-in, opt-out, replace, mirror"),
        ({"source": f"{world.state.folder}/*.parquet"}, "among the files of the source"),
    ]
    with every_case() as case:
        for changes, message in cases:
            with case(message), pytest.raises(AirflowFailException, match=message):
                world.operator(MONDAY, **{"mode": "mirror", **changes}).execute(world.context)


# --- killed -------------------------------------------------------------------------------------------------

SENDING = [
    "set pending_loads",
    "save_snapshot",
    "set pending_loads",
    "set upload_log",
    "put opt-out",
    "set upload_log",
    "set upload_log",
    "put opt-in",
    "set upload_log",
]
RECORDING = [
    f"set load.{THURSDAY}.mirror",
    "set last_load",
    "set snapshots",
    "delete_snapshot",
    "set snapshots",
]


def prepared(world: World) -> World:
    """Load lists until a snapshot is to be deleted."""
    world.run(TUESDAY, "abc")
    world.run(WEDNESDAY, "bcd")
    world.write(THURSDAY, "cdef")
    world.bucket.written.clear()
    world.effects.start()
    return world


def test_the_points_are_all_there_are(world: World) -> None:
    prepared(world)

    world.confirm(world.send(THURSDAY))

    assert world.effects.names == SENDING + RECORDING


def test_a_mirror_that_is_killed_sends_nothing_twice_and_loses_nothing(made: Made) -> None:
    with every_case() as case:
        for dies in points(len(SENDING)):
            world = prepared(made(dies))
            with case(dies):
                world.effects.kill(dies, lambda: world.send(THURSDAY))  # noqa: B023

                world.confirm(world.send(THURSDAY))

                assert world.vendor.people == ["c", "d", "e", "f"]
                assert world.bucket.written == [key_of("opt-out", THURSDAY), key_of("opt-in", THURSDAY)]
                assert world.files() == [WEDNESDAY, THURSDAY]
                assert world.send(THURSDAY)["uploaded"] is False


def test_a_killed_mirror_that_is_never_run_again_is_corrected_by_the_next_day(made: Made) -> None:
    with every_case() as case:
        for dies in points(len(SENDING)):
            world = prepared(made(dies))
            with case(dies):
                world.effects.kill(dies, lambda: world.send(THURSDAY))  # noqa: B023
                world.vendor.process()

                world.run("2026-11-20", "abd")

                assert world.vendor.people == ["a", "b", "d"]
                # Nothing that the killed one has written stays.
                assert world.files() == [WEDNESDAY, "2026-11-20"]


def test_a_record_that_is_killed_is_completed_by_a_retry(made: Made) -> None:
    with every_case() as case:
        for dies in points(len(RECORDING)):
            world = prepared(made(dies))
            with case(dies):
                load = world.send(THURSDAY)
                world.effects.kill(dies, lambda: world.confirm(load))  # noqa: B023

                world.confirm(load)

                assert world.files() == [WEDNESDAY, THURSDAY]
                assert world.store["snapshots"]["to_delete"] == []
                assert world.send(THURSDAY)["uploaded"] is False


def test_a_killed_mirror_that_is_run_again_after_the_next_one_was_begun(world: World) -> None:
    prepared(world)
    world.send(THURSDAY)
    world.write("2026-11-20", "abd")
    world.send("2026-11-20")

    # It comes too late, and the later one makes good what it has done.
    with pytest.raises(AirflowSkipException, match="Skipping stale load: the load of 2026-11-20 is uploaded"):
        world.send(THURSDAY)
    world.confirm(world.send("2026-11-20"))

    assert world.vendor.people == ["a", "b", "d"]


# --- replace: the newest data is what is there --------------------------------------------------------------


def test_also_where_puts_were_not_kept_yet(world: World) -> None:
    world.run(MONDAY, "ab", "replace", snapshots=None)
    tuesday = world.run(TUESDAY, "bc", "replace", snapshots=None)
    world.stores[ASSET].delete("upload_log")
    world.stores[ASSET].set("last_load", {**tuesday, "load_date": MONDAY, "content_id": "another"})

    assert world.send(TUESDAY, "replace", snapshots=None)["uploaded"] is True
    assert world.send(TUESDAY, "replace", snapshots=None)["uploaded"] is False


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_what_adds_or_takes_out_is_put_again_on_demand_only(world: World, mode: str) -> None:
    world.run(MONDAY, "ab", mode, snapshots=None)
    world.run(MONDAY, "ab", OPT_OUT if mode == OPT_IN else OPT_IN, snapshots=None)

    assert world.send(MONDAY, mode, snapshots=None)["uploaded"] is False
    assert world.send(MONDAY, mode, snapshots=None, overwrite=True)["uploaded"] is True
    assert world.send(MONDAY, mode, snapshots=None, overwrite=True)["uploaded"] is False


def test_a_few_who_were_added_since_do_not_bring_a_list_back(world: World) -> None:
    world.run(MONDAY, "ab", "replace", snapshots=None)
    world.run(MONDAY, "x", "opt-in", snapshots=None)
    world.write(MONDAY, "ab")

    assert world.send(MONDAY, "replace", snapshots=None)["uploaded"] is False


def test_a_list_that_goes_out_again_does_so_once_also_if_the_task_is_killed(made: Made) -> None:
    with every_case() as case:
        for dies in points(3):
            world = made(dies)
            with case(dies):
                world.run(MONDAY, "ab", "replace", snapshots=None)
                world.run(TUESDAY, "bc", "replace", snapshots=None)
                world.run(MONDAY, "ab", "replace", snapshots=None, overwrite=True)
                world.bucket.written.clear()

                world.effects.kill(dies, lambda: world.send(TUESDAY, "replace", snapshots=None))  # noqa: B023

                world.confirm(world.send(TUESDAY, "replace", snapshots=None))

                assert world.vendor.people == ["b", "c"]
                assert world.bucket.written == [key_of("replace", TUESDAY)]
                assert world.send(TUESDAY, "replace", snapshots=None)["uploaded"] is False


# --- one file a day -----------------------------------------------------------------------------------------


def test_a_second_file_of_the_day_is_said_and_recorded(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first = world.run(MONDAY, "ab", "opt-in", snapshots=None)
    assert "same_day_files" not in first

    second = world.run(MONDAY, "c", "opt-out", snapshots=None)

    assert second["same_day_files"] == [key_of("opt-in", MONDAY)]
    assert "one file per audience and day" in capsys.readouterr().out
    # A retry says the same.
    assert world.send(MONDAY, "opt-out", snapshots=None)["same_day_files"] == [key_of("opt-in", MONDAY)]


@pytest.mark.parametrize(
    ("shift", "is_second"), [(timedelta(hours=20, minutes=59), True), (timedelta(hours=21), False)]
)
def test_the_day_is_that_of_utc(world: World, clock: Any, shift: timedelta, is_second: bool) -> None:
    world.run(MONDAY, "ab", "opt-in", snapshots=None)
    clock.shift(shift)
    world.write(TUESDAY, "c")

    if is_second:
        with pytest.raises(
            AirflowFailException, match=r"DailyFileLimitError.*20261116_000000\.csv.*tomorrow"
        ):
            world.send(TUESDAY, "opt-in", snapshots=None, on_second_daily_file="fail")
        assert len(world.bucket.written) == 1
    else:
        assert world.send(TUESDAY, "opt-in", snapshots=None, on_second_daily_file="fail")["uploaded"] is True


def test_the_same_key_and_the_files_of_a_mirror_are_no_second_file(world: World, clock: Any) -> None:
    world.run(MONDAY, "ab", on_second_daily_file="fail")
    clock.shift(timedelta(days=1))

    world.run(TUESDAY, "bc", on_second_daily_file="fail")
    world.write(TUESDAY, "bd")
    world.confirm(world.send(TUESDAY, overwrite=True, on_second_daily_file="warn"))

    assert world.vendor.people == ["b", "d"]


def test_a_second_file_waits_until_the_vendor_is_through_with_the_first(world: World) -> None:
    world.write(MONDAY, "ab")
    world.send(MONDAY, "opt-in", snapshots=None)
    world.write(MONDAY, "a")
    waiting: dict[str, Any] = {"mode": "opt-out", "snapshots": None, "on_second_daily_file": "wait"}

    deferred = world.defers(MONDAY, **waiting)

    trigger: Any = deferred.trigger
    assert trigger.poll(world.vendor).event is None
    assert trigger.deadline == datetime(2026, 11, 17, tzinfo=timezone.utc).timestamp()
    assert len(world.bucket.written) == 1
    load = world.resume(deferred, MONDAY, **waiting)
    assert load["uploaded"] is True
    world.confirm(load)
    assert world.vendor.people == ["b"]


@pytest.mark.parametrize("status", ["timeout", "failed"])
def test_a_second_file_goes_out_when_the_day_is_over_or_the_first_has_failed(
    world: World, status: str
) -> None:
    world.write(MONDAY, "ab")
    world.send(MONDAY, "opt-in", snapshots=None)
    waiting: dict[str, Any] = {"mode": "opt-out", "snapshots": None, "on_second_daily_file": "wait"}
    deferred = world.defers(MONDAY, **waiting)

    load = world.operator(MONDAY, **waiting).resume_after_other_file(
        world.context, {"status": status, "message": "m"}, **(deferred.kwargs or {})
    )

    assert load["uploaded"] is True


def test_a_wait_that_is_refused_fails(world: World) -> None:
    event = {"status": "error", "error": "AuthenticationError", "message": "no"}

    with pytest.raises(AirflowFailException, match="AuthenticationError: no"):
        world.operator(MONDAY, "opt-in").resume_after_other_file(world.context, event, "c")


def test_only_what_is_of_use_is_remembered(world: World, clock: Any) -> None:
    for day in (MONDAY, TUESDAY, WEDNESDAY, THURSDAY):
        world.run(day, "ab", "replace", snapshots=None)
        clock.shift(timedelta(days=1))

    assert [entry["load_date"] for entry in world.store["upload_log"]] == [WEDNESDAY, THURSDAY]
    clock.shift(timedelta(days=30))
    world.run("2026-12-20", "ab", "replace", snapshots=None)
    # What was put last stays, however long ago.
    assert [entry["load_date"] for entry in world.store["upload_log"]] == [THURSDAY, "2026-12-20"]


def test_what_is_remembered_of_a_day_with_many_files_stays_small(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_log, "MAX_ENTRIES", 2)
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        world.run(day, "ab", "replace", snapshots=None)

    assert [entry["load_date"] for entry in world.store["upload_log"]] == [TUESDAY, WEDNESDAY]


def test_nobody_is_in_the_memory(world: World) -> None:
    world.run(MONDAY, "ab")
    world.run(TUESDAY, "bc")

    content = json.dumps(world.store)
    assert not any(hash_of(name) in content or f"{name}@" in content for name in "abc")
