"""A whole local stack on free loopback ports: the sandbox with its S3, and a standalone Airflow on SQLite.

The demo and the end-to-end tests both run on it.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote

import requests

PROJECT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
BUCKET = "audience-onboarding"

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a child gets when its parent dies."""

T = TypeVar("T")


class StackError(Exception):
    """The stack does not come up, or something in it does not end well."""


def free_ports(count: int) -> list[int]:
    """Return so many different free ports; another process may still take one before its use."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind((LOOPBACK, 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def wait_for(condition: Callable[[], T | None], what: str, *, timeout: float, interval: float = 0.25) -> T:
    """Ask again and again until there is an answer.

    :param condition: returns something true when the wait is over.
    :param what: subject of the message.
    :param timeout: in seconds.
    :raises StackError: there is none in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise StackError(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(interval)


def _prepare_child() -> None:
    # A shell's background job starts with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        # Nothing stays behind, even if we are killed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


class Process:
    """A child process in a session of its own, with its output in a file."""

    def __init__(self, command: list[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._output: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=log.parent,
            # Ctrl-C at the terminal is for us alone: we stop the children in order.
            start_new_session=True,
            preexec_fn=_prepare_child,  # noqa: PLW1509 - one thread only
        )

    @property
    def pid(self) -> int:
        """The process id; also the id of its group."""
        return self._process.pid

    def check(self) -> None:
        """Raise if it has ended.

        :raises StackError: with the end of its output.
        """
        if self._process.poll() is not None:
            end = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise StackError(
                f"The process ended with code {self._process.returncode}, see {self.log}:\n{end}"
            )

    def stop(self, *, timeout: float = 30.0) -> None:
        """Ask it to end; if it does not in time, end it and all its children."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()


class Sandbox:
    """The simulated vendors and their S3.

    :param folder: for its output.
    :param options: of ``python include/sandbox``, without the dashes.
    """

    def __init__(self, folder: Path, **options: str | float) -> None:
        self._folder = folder
        self._options = options
        self._process: Process | None = None
        self.info: dict[str, str] = {}

    def start(self) -> None:
        """Start it and wait until it is ready."""
        ready = self._folder / "sandbox.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, str(PROJECT / "include" / "sandbox"), "--ready-file", str(ready)]
        for name, value in {"bucket": BUCKET, **self._options}.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        process = Process(command, log=self._folder / "sandbox.log")
        self._process = process

        def is_ready() -> bool:
            process.check()
            return ready.exists()

        wait_for(is_ready, "The start of the sandbox", timeout=60)
        self.info = json.loads(ready.read_text())

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which may talk to it and cannot end it."""
        return {**self.__dict__, "_process": None}

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            self._process.stop()

    def admin(self, path: str, *, method: str = "GET", json: Any = None) -> Any:
        """Ask the sandbox itself, not the vendor that it plays."""
        response = requests.request(
            method, f"{self.info['admin_url']}/_sandbox/{path}", json=json, timeout=30
        )
        response.raise_for_status()
        return response.json() if response.content else None

    def connections(self) -> dict[str, str]:
        """The Airflow connections to it, as environment variables."""
        return {
            "AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT": json.dumps(
                {
                    "conn_type": "digital_audience",
                    "host": self.info["api_url"],
                    "login": self.info["username"],
                    "password": self.info["password"],
                }
            ),
            "AIRFLOW_CONN_FANFARE_DEFAULT": json.dumps(
                {
                    "conn_type": "fanfare",
                    "host": self.info["fanfare_url"],
                    "password": self.info["fanfare_secret_key"],
                    "extra": {"organization": self.info["fanfare_organization_id"]},
                }
            ),
            "AIRFLOW_CONN_COMMBOX_DEFAULT": json.dumps(
                {
                    "conn_type": "commbox",
                    "host": self.info["commbox_url"],
                    "password": self.info["commbox_api_key"],
                }
            ),
            "AIRFLOW_CONN_AUDIENCE_S3": json.dumps(
                {
                    "conn_type": "aws",
                    "login": self.info["aws_access_key_id"],
                    "password": self.info["aws_secret_access_key"],
                    "extra": {
                        "region_name": self.info["region"],
                        "endpoint_url": self.info["s3_url"],
                        "config_kwargs": {"s3": {"addressing_style": "path"}},
                        "service_config": {"s3": {"bucket_name": self.info["bucket"]}},
                    },
                }
            ),
        }


def _form(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that Airflow's UI sends to start a run."""
    return {"logical_date": None, "conf": dict(conf)}


class AirflowApi:
    """The REST API of an Airflow.

    :param url: of its API server.
    :param token: of a user.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self._session = requests.Session()
        if token is not None:
            self.use(token)

    def use(self, token: str) -> None:
        """Be another user."""
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(
        self, path: str, *, method: str = "GET", json: Any = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Return the server's response, even if it is an error.

        :param path: of the server, with its first slash.
        """
        return self._session.request(
            method, f"{self.url}{path}", json=json, headers=dict(headers or {}), timeout=60
        )

    def api(
        self, path: str, *, method: str = "GET", json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Ask the REST API.

        :param path: below ``/api/v2/``.
        :raises StackError: the answer is an error.
        """
        response = self.ask(f"/api/v2/{path}", method=method, json=json, headers=headers)
        if not response.ok:
            raise StackError(
                f"{method} {path} was answered with {response.status_code}: {response.text[:500]}"
            )
        return response.json() if response.content else None

    def all(self, path: str, key: str) -> list[dict[str, Any]]:
        """All items of a list, of which Airflow gives a hundred at a time.

        :param path: below ``/api/v2/``, without ``limit`` and ``offset``.
        :param key: under which the answer has them.
        """
        found: list[dict[str, Any]] = []
        while True:
            page = self.api(f"{path}{'&' if '?' in path else '?'}limit=100&offset={len(found)}")
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def dag_ids(self) -> set[str]:
        """The DAGs that Airflow knows by now."""
        return {dag["dag_id"] for dag in self.all("dags", "dags")}

    def wait_for_dags(self, *dag_ids: str, timeout: float = 120.0) -> None:
        """Wait until Airflow knows these DAGs."""
        wait_for(
            lambda: set(dag_ids) <= self.dag_ids(), f"The appearance of {', '.join(dag_ids)}", timeout=timeout
        )

    def unpause(self, dag_id: str, *, paused: bool = False) -> None:
        """Let the scheduler take a DAG's runs."""
        self.api(f"dags/{dag_id}", method="PATCH", json={"is_paused": paused})

    def submit(self, dag_id: str, conf: Mapping[str, Any]) -> int:
        """The status with which a form is answered, right or wrong."""
        return self.ask(f"/api/v2/dags/{dag_id}/dagRuns", method="POST", json=_form(conf)).status_code

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand, as the form in the UI does, and return its id."""
        run = self.api(f"dags/{dag_id}/dagRuns", method="POST", json=_form(conf or {}))
        return str(run["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """All runs of a DAG."""
        return self.all(f"dags/{dag_id}/dagRuns", "dag_runs")

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run."""
        found: dict[str, Any] = self.api(f"dags/{dag_id}/dagRuns/{_quoted(run_id)}")
        return found

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return self.all(f"dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances", "task_instances")

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each task of a run; of mapped ones the last."""
        return {item["task_id"]: item["state"] for item in self.tasks(dag_id, run_id)}

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 300.0, interval: float = 0.5) -> str:
        """Wait until a run has ended, and return its state.

        :param timeout: in seconds.
        :param interval: seconds between two polls.
        """

        def ended() -> str | None:
            state = self.run(dag_id, run_id)["state"]
            return state if state in {"success", "failed"} else None

        return wait_for(ended, f"The end of run {run_id} of {dag_id}", timeout=timeout, interval=interval)

    def wait_for_backfills(self, dag_id: str, *, timeout: float = 300.0) -> None:
        """Wait until all backfills of a DAG have ended. Airflow has one of a DAG at a time, and notices late that it is
        through.

        :param timeout: in seconds.
        """
        wait_for(
            lambda: all(item["completed_at"] for item in self.all(f"backfills?dag_id={dag_id}", "backfills")),
            f"The end of the backfills of {dag_id}",
            timeout=timeout,
            interval=1,
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom of a task."""
        path = f"dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries/{key}?deserialize=true"
        return self.api(path)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1) -> str:
        """The log of a task's try, as text."""
        path = f"dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/logs/{try_number}"
        return json.dumps(self.api(path, headers={"Accept": "application/json"}))

    def clear(self, dag_id: str, run_id: str, *, only_failed: bool = False) -> None:
        """Clear the tasks of a run, so that they run again.

        :param only_failed: only those that have failed, and their downstream tasks that did not run.
        """
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": only_failed, "reset_dag_runs": True}
        self.api(f"dags/{dag_id}/clearTaskInstances", method="POST", json=body)

    def asset_id(self, name: str) -> int | None:
        """Airflow's id of an asset, ``None`` if it does not know it."""
        assets = self.all(f"assets?name_pattern={_quoted(name)}", "assets")
        return next((asset["id"] for asset in assets if asset["name"] == name), None)

    def asset_state(self, name: str) -> dict[str, Any]:
        """All that the state store of an asset holds, by key."""
        asset_id = self.asset_id(name)
        if asset_id is None:
            return {}
        entries = self.api(f"assets/{asset_id}/state-store?limit=1000")
        return {entry["key"]: entry["value"] for entry in next(iter(_lists(entries)), [])}


class Airflow(AirflowApi):
    """A standalone Airflow: scheduler, DAG processor, triggerer and API server, on SQLite.

    :param home: its ``AIRFLOW_HOME``; recreated.
    :param definitions: the folder of the audience definitions, default the repository's.
    :param env: additional environment variables, among them the connections.
    """

    def __init__(self, home: Path, *, definitions: Path | None = None, env: Mapping[str, str]) -> None:
        self.home = home
        self.port, self._worker_log_port, self._trigger_log_port = free_ports(3)
        super().__init__(f"http://{LOOPBACK}:{self.port}")
        self._process: Process | None = None
        self.env = {
            **{name: value for name, value in os.environ.items() if not _is_foreign(name)},
            **self._settings(),
            **env,
        }
        if definitions is not None:
            self.env["AUDIENCE_ONBOARDING_DEFINITIONS"] = str(definitions)

    def _settings(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            # One user without a password: the server is reachable from this machine only.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES": "cookie,session,session_id,email,phone",
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._trigger_log_port),
            # The default is 300 s until a new file is seen.
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            # As in docker-compose.yaml.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def start(self, *, timeout: float = 180.0) -> None:
        """Start it and wait until all four components are healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).parent / "airflow"), "standalone"]
        self._process = Process(command, log=self.home / "standalone.log", env=self.env)
        wait_for(self._is_healthy, "The start of Airflow", timeout=timeout)
        response = requests.get(f"{self.url}/auth/token", timeout=30)
        response.raise_for_status()
        self.use(response.json()["access_token"])

    def _is_healthy(self) -> bool:
        if self._process is not None:
            self._process.check()
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which may talk to it and cannot end it."""
        return {**self.__dict__, "_process": None}

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop all components.

        :param timeout: seconds that they get to end by themselves.
        """
        if self._process:
            self._process.stop(timeout=timeout)

    def cli(self, *arguments: str) -> str:
        """Run ``airflow`` with the settings of this instance and return its output."""
        done = subprocess.run(  # noqa: S603 - our own command
            [str(Path(sys.executable).parent / "airflow"), *arguments],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise StackError(f"airflow {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout


def _is_foreign(variable: str) -> bool:
    """Return whether a variable of this process's environment would change the stack.

    Each task is a process of its own: without byte code on disk it compiles Airflow again, which takes seconds.
    """
    return variable.startswith("AIRFLOW") or variable == "PYTHONDONTWRITEBYTECODE"


def _lists(answer: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    return [value for value in answer.values() if isinstance(value, list)]


def _quoted(text: str) -> str:
    return quote(text, safe="")
