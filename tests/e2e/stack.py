"""What the one Airflow of the end-to-end tests is: definitions, extracts, vendors. How it is shared: see shared.py.

The tests run beside each other, each on audiences of its own.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import requests
import yaml

from scripts.local_stack import (
    LOOPBACK,
    PROJECT,
    Airflow,
    Process,
    Sandbox,
    StackError,
    free_ports,
    wait_for,
)
from tests.children import child_env
from tests.e2e import airflow_plugins

CANARY_ADDRESS = "Canary.Bird.7c1f@leak.example"
CANARY_PHONE = "06 87 65 43 21"
CANARY_TRACES = ("canary.bird", "687654321", "87 65 43 21")
"""What would be found of the canaries, in lower case, if a raw value had leaked, normalised or not."""

SESSION_COOKIE = "digitalaudience="
"""What would be found, in lower case, of a session of Digital Audience."""

BACKFILL_DAYS = [date(2026, 11, day) for day in range(16, 21)]
MERGED_DAYS = [date(2026, 11, day) for day in range(11, 16)]


# Only how long the tests wait. Airflow's own values are made for hundreds of workers and days of running.
QUICK = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    # All first tasks come at once, and the server's first answer takes seconds: a supervisor that asks again after 5 is
    # told that its task runs already, and the try is lost.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    # Nothing changes in the files while the tests run.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
    "AIRFLOW__CORE__PARALLELISM": "6",
}


ROLLED_BACK = '"reason":"Database error"'
"""In an answer of Airflow's: SQLite had another writer for too long, and nothing of the request was done."""


class WatchedAirflow(Airflow):
    """Has an API server for the tests alone, and remembers which runs a test has asked for, to show them when it fails.

    Airflow (3.3.2) notes each change by a user in the event loop, with a commit that waits for SQLite's only writer. If
    that is a request of a task to the same server, which needs the loop for its own commit, both wait until SQLite
    gives up after five seconds. So the tests ask another server than the tasks do, and change one thing at a time.
    """

    def __init__(self, home: Path, **options: Any) -> None:
        super().__init__(home, **options)
        self.asked: dict[tuple[str, str], None] = {}
        self._front: Process | None = None
        self._front_port = free_ports(1)[0]
        self._is_stopping = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The address that Airflow gives for itself, in links."""
        return self.env["AIRFLOW__API__BASE_URL"].rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_front": None, "_keeper": None, "_is_stopping": None}

    def start(self, *, timeout: float = 240.0) -> None:
        """Start all, and talk to the tests' own server from then on."""
        super().start(timeout=timeout)
        self.url = f"http://{LOOPBACK}:{self._front_port}"
        wait_for(self._front_is_there, "The start of the tests' API server", timeout=timeout)
        self._keeper = threading.Thread(target=self._keep_front, name="front-keeper", daemon=True)
        self._keeper.start()

    def _is_healthy(self) -> bool:
        log = self.home / "standalone.log"
        if self._front is None and log.exists() and "Database ready" in log.read_text(errors="replace"):
            # Beside the others, and not after them.
            self._front = self._new_front()
        return super()._is_healthy()

    def _new_front(self) -> Process:
        command = [str(Path(sys.executable).parent / "airflow"), "api-server", "--apps", "core"]
        command += ["--host", LOOPBACK, "--port", str(self._front_port)]
        return Process(command, log=self.home / "front.log", env=self.env)

    def _keep_front(self) -> None:
        """Start the tests' server again if it is gone: it was seen to crash, in the interpreter, once in many runs."""
        while not self._is_stopping.wait(0.5):
            try:
                if self._front is not None:
                    self._front.check()
            except StackError:
                self._front = self._new_front()

    def _front_is_there(self) -> bool:
        if self._front is not None:
            self._front.check()
        try:
            return requests.get(f"{self.url}/api/v2/version", timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop all."""
        if self._keeper is not None:
            self._is_stopping.set()
            self._keeper.join()
        if self._front is not None:
            self._front.stop(timeout=timeout)
        super().stop(timeout=timeout)

    def ask(self, path: str, **options: Any) -> requests.Response:
        """As it is; one change at a time, and again if SQLite had another writer all the same."""

        is_change = options.get("method", "GET") != "GET"

        def answer() -> tuple[requests.Response] | None:
            try:
                with (self.home / "changes.lock").open("a") as lock:
                    if is_change:
                        fcntl.flock(lock, fcntl.LOCK_EX)
                    response = super(WatchedAirflow, self).ask(path, **options)
            except requests.ConnectionError as error:
                # The server is being started again. What may have been carried out is not asked for twice.
                if is_change and "NewConnectionError" not in str(error):
                    raise
                return None
            if not response.ok and ROLLED_BACK in response.text:
                return None
            # In a tuple, as an answer of an error is false.
            return (response,)

        return wait_for(answer, f"An answer to {path}", timeout=60, interval=0.1)[0]

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 500.0, interval: float = 1.0) -> str:
        """As it is, and longer: the other tests' runs are in its way. Each look costs what the tasks could use."""
        return super().wait_for_run(dag_id, run_id, timeout=timeout, interval=interval)

    def trigger(self, dag_id: str, conf: Any = None) -> str:
        """As it is, and remembered."""
        run_id = super().trigger(dag_id, conf)
        self.asked[dag_id, run_id] = None
        return run_id

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """As it is, and remembered."""
        self.asked[dag_id, run_id] = None
        return super().run(dag_id, run_id)


@dataclass
class Stack:
    """What the tests work with."""

    airflow: WatchedAirflow
    sandbox: Sandbox
    include: Path
    quiet_sandbox: Sandbox
    """For a test that counts what nobody else may add to; by the connection ``digital_audience_quiet``."""

    def extract(self, key: str, load_date: date, *, rows: int = 20, header: str = "E-mail,Mobile") -> None:
        """Write a CRM extract: distinct people, one duplicate, one row without anything to send, the canaries."""
        lines = [header]
        lines += [
            f"Person{number}@{key}.example,06{number:08d}" for number in range(10_000_000, 10_000_000 + rows)
        ]
        lines += [lines[1].upper(), "not an address,12", f"{CANARY_ADDRESS},{CANARY_PHONE}"]
        folder = self.include / "crm" / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{load_date.isoformat()}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def define(self, key: str, **changes: Any) -> None:
        """Write a definition."""
        definition: dict[str, Any] = {
            "platform": "digital_audience",
            "name": f"Audience {key}",
            "owner": "tests",
            "tags": ["test"],
            "campaign": {"name": "Shared campaign"},
            "source": {
                "path": f"crm/{key}/{{load_date}}.csv",
                "columns": {"email": "E-mail", "phone": "Mobile"},
            },
            "wait": {"poll_interval_seconds": 2},
            "retries": 2,
            "retry_delay_seconds": 5,
        }
        definition.update(changes)
        if definition["platform"] != "digital_audience":
            del definition["campaign"]
        folder = self.include / "audiences"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.yaml").write_text(yaml.safe_dump(definition), encoding="utf-8")


def schedule(cron: str, start: date) -> dict[str, Any]:
    """A schedule in UTC."""
    return {"cron": cron, "start": start, "timezone": "UTC"}


def target() -> dict[str, Any]:
    """An activation on one account."""
    return {
        "targets": [
            {
                "key": "dv360",
                "account": {"platform": "DV360", "name": "Example NL"},
                "segment_name": "The segment",
                "description": "for tests",
                "duration_days": 10,
                "poll_interval_seconds": 2,
            }
        ],
        "extend": {"within_days": 5, "extend_by_days": 30},
    }


def vendor_user(sandbox: Sandbox) -> Callable[..., Any]:
    """The vendor's API as a person uses it, beside the package: a POST with a body, else a GET."""
    session = requests.Session()
    url = sandbox.info["api_url"]
    user = {"userName": sandbox.info["username"], "password": sandbox.info["password"]}
    session.post(f"{url}/account/login", json=user, timeout=30).raise_for_status()

    def ask(path: str, **body: Any) -> Any:
        response = session.request("POST" if body else "GET", f"{url}{path}", json=body or None, timeout=30)
        response.raise_for_status()
        return response.json()["data"]

    return ask


def _break(stack: Stack) -> None:
    """Audiences for which the vendor, or its storage, says no; the answers repeat what they were given."""
    ask = vendor_user(stack.sandbox)
    campaign = ask("/campaign/createcampaign", name="Broken campaign")["id"]
    body = f"no such person: {CANARY_ADDRESS}, {CANARY_PHONE}"
    for key, fault in {
        "server_error": {
            "vendor": "digital_audience",
            "path": ".*/loadAudienceById/{id}",
            "status": 500,
            "body": {"success": False, "message": body},
        },
        "access_denied": {"preset": "s3_access_denied", "path": ".*audience={id}/.*"},
    }.items():
        audience_id = ask("/audience/createcrmaudience", name=f"Audience {key}", campaignId=campaign)["id"]
        order = {**fault, "path": fault["path"].format(id=audience_id), "times": 1000}
        stack.sandbox.admin("faults", method="POST", json=order)
        stack.define(key, id=audience_id, retries=1, retry_delay_seconds=1)
        stack.extract(key, date(2026, 11, 20))


def alerts_file(stack: Stack, key: str) -> Path:
    """Where the notifier of an audience writes."""
    return stack.include.parent / "alerts" / f"{key}.jsonl"


def audit_file(folder: Path) -> Path:
    """The database of the audit tables.

    :param folder: of the stack.
    """
    return folder / "audit.db"


def _write_what_tells(stack: Stack) -> None:
    """Audiences with alerts and an audit, see test_alerts.py."""
    alerts_file(stack, "").parent.mkdir()

    def define(
        key: str,
        *,
        alert: dict[str, Any] | None = None,
        audit: str = airflow_plugins.CONNECTION,
        **changes: Any,
    ) -> None:
        fields = {name: f"{{{{ audience_onboarding.{name} }}}}" for name in ("kind", "load_date", "link")}
        told = {
            "notifier": "tests.e2e.airflow_plugins.FileNotifier",
            "arguments": {"path": str(alerts_file(stack, key)), "fields": fields},
            **(alert or {}),
        }
        stack.define(
            key,
            alerts=[{"notifier": "tests.e2e.airflow_plugins.BrokenNotifier"}, told],
            audit={"conn_id": audit, "create": True},
            source={
                "path": f"crm/{key}/{{load_date}}.csv",
                "columns": {"email": "E-mail"},
                "on_missing": "wait",
            },
            **changes,
        )

    define(
        "watched_list",
        match_rates={"min_rate": {"email": 0.1}, "min_history": 1, "min_rows": 10, "on_violation": "fail"},
        activation=target(),
    )
    define("guarded_list", guards={"min_rows": 1000})
    define("unpunctual_list", alert={"late_after_hours": 8 / 3600}, audit="no_such_database")


def write_definitions(stack: Stack) -> None:
    """What the end-to-end tests define."""
    today = datetime.now(timezone.utc).date()
    stack.define("dry_list", activation=target(), campaign={"name": "Dry campaign"})
    stack.extract("dry_list", date(2026, 11, 20))
    stack.define("manual_list", activation=target())
    stack.extract("manual_list", date(2026, 11, 20))
    stack.define(
        "scheduled_list", schedule=schedule("* * * * *", today - timedelta(days=1)), activation=target()
    )
    for day in (today, today + timedelta(days=1)):
        stack.extract("scheduled_list", day)
    stack.define("history_list", schedule=schedule("0 3 * * *", date(2026, 1, 1)), activation=target())
    for number, day in enumerate(BACKFILL_DAYS):
        stack.extract("history_list", day, rows=20 + number)
    stack.define("again_list", schedule=schedule("0 3 * * *", date(2026, 1, 1)))
    stack.extract("again_list", date(2026, 11, 20))
    stack.define("merged")
    for number, day in enumerate(MERGED_DAYS):
        stack.extract("merged", day, rows=20 + number)
    stack.define("unclear_list")
    stack.extract("unclear_list", date(2026, 11, 20))
    stack.define("lost_list", campaign={"name": "Campaign lost_list"})
    for day in (20, 21):
        stack.extract("lost_list", date(2026, 11, day))
    stack.define(
        "fan_list",
        platform="fanfare",
        allow_unhashed=True,
        upload={"rows_per_import": 10},
        wait={"poll_interval_seconds": 2},
    )
    stack.define("unclear_fans", platform="fanfare", allow_unhashed=True)
    for key in ("alert_list", "unclear_alerts"):
        source = {"path": f"crm/{key}/{{load_date}}.csv", "columns": {"phone": "Mobile"}}
        stack.define(key, platform="commbox", allow_unhashed=True, source=source)
    for key in ("fan_list", "unclear_fans", "alert_list", "unclear_alerts"):
        stack.extract(key, date(2026, 11, 20))
    stack.define(
        "late_list",
        source={
            "path": "s3://crm-exports/late/{load_date:%Y%m%d}.csv.gz",
            "aws_conn_id": "audience_s3",
            "columns": {"email": "e-MAIL", "phone": "Mobile"},
            "delimiter": "auto",
            "on_missing": "wait",
            "poll_interval_seconds": 2,
        },
        rejects={"path": str(stack.include.parent / "rejects")},
    )
    _write_what_tells(stack)
    stack.define("wrong_password", conn_id="digital_audience_wrong")
    stack.define("unknown_audience", id=999_999)
    stack.define("missing_column")
    stack.define("missing_file")
    stack.define("missing_bucket", upload={"bucket": "no-such-bucket"})
    for key in ("wrong_password", "unknown_audience", "missing_bucket"):
        stack.extract(key, date(2026, 11, 20))
    stack.extract("missing_column", date(2026, 11, 20), header="E-mail,Telephone")
    _break(stack)


@contextmanager
def own_vendor(
    stack: Stack, folder: Path, conn_ids: Mapping[str, str], **options: str | float
) -> Iterator[Sandbox]:
    """A sandbox for one file of tests, so that what is counted there is only what happens there.

    :param folder: for its output.
    :param conn_ids: ids of the connections to it in Airflow, by what follows ``AIRFLOW_CONN_`` in their usual names.
    :param options: of the sandbox.
    """
    sandbox = Sandbox(folder, processing_delay=0.5, scan_interval=0.2, **options)
    sandbox.start()
    try:
        for name, value in sandbox.connections().items():
            conn_id = conn_ids.get(name.removeprefix("AIRFLOW_CONN_"))
            if conn_id:
                connection = json.loads(value)
                connection["extra"] = json.dumps(connection.get("extra", {}))
                stack.airflow.api("connections", method="POST", json={"connection_id": conn_id, **connection})
        yield sandbox
    finally:
        sandbox.stop()


@contextmanager
def running_stack(
    folder: Path, *, write: Callable[[Stack], None] = write_definitions, logs: str = "e2e-logs"
) -> Iterator[Stack]:
    """Start all of it, and end it.

    :param folder: for what it writes.
    :param write: writes the definitions and the extracts, before Airflow starts.
    :param logs: where the logs are kept, in ``build``.
    """
    sandbox = Sandbox(folder, processing_delay=0.5, scan_interval=0.2, activation_delay=0.5)
    quiet = Sandbox(folder / "quiet", processing_delay=0.5, scan_interval=0.2)
    started: list[Sandbox] = []
    try:
        for item in (sandbox, quiet):
            started.append(item)
            item.start()
        airflow = WatchedAirflow(
            folder / "airflow",
            definitions=folder / "include" / "audiences",
            env=_settings(sandbox, quiet, folder),
        )
        running = Stack(airflow, sandbox, folder / "include", quiet)
        write(running)
        try:
            airflow.start()
            yield running
        finally:
            # Nobody needs what it would tidy up.
            airflow.stop(timeout=0)
            kept = PROJECT / "build" / logs
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(airflow.home / "logs", kept, dirs_exist_ok=True)
            for log in airflow.home.glob("*.log"):
                shutil.copy(log, kept)
    finally:
        for item in started:
            item.stop()


def _settings(sandbox: Sandbox, quiet: Sandbox, folder: Path) -> dict[str, str]:
    airflow_plugins.install_into(folder / "site")
    connections = sandbox.connections()
    right = json.loads(connections["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"])
    right["extra"] = {"portal_url": "https://portal.example/audiences/{audience_id}"}
    connections["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"] = json.dumps(right)
    bundles = [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(path)},
        }
        for name, path in (("dags", PROJECT / "dags"), ("tests", PROJECT / "tests" / "e2e" / "dags"))
    ]
    return {
        **QUICK,
        **connections,
        "PYTHONPATH": child_env(folder / "site", PROJECT)["PYTHONPATH"],
        # Of a server that crashes: what it was doing, in its log.
        "PYTHONFAULTHANDLER": "1",
        f"AIRFLOW_CONN_{airflow_plugins.CONNECTION.upper()}": json.dumps(
            {"conn_type": "sqlite", "host": str(audit_file(folder))}
        ),
        "AIRFLOW_CONN_DIGITAL_AUDIENCE_WRONG": json.dumps(right | {"password": "wrong"}),
        "AIRFLOW_CONN_DIGITAL_AUDIENCE_QUIET": quiet.connections()["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"],
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
    }
