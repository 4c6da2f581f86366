"""An Airflow whose components are processes of their own, to be killed and started again one by one."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from scripts.local_stack import LOOPBACK, Airflow, Process, StackError, wait_for
from tests.e2e.stack import WatchedAirflow

AIRFLOW = str(Path(sys.executable).parent / "airflow")

COMPONENTS = ("api-server", "scheduler", "triggerer", "dag-processor")

NOTICES_SOON = {
    # Who has not been heard of for so long is dead. The defaults are 300, 10, 300, 30 and 30 seconds.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
}


class SeparateAirflow(WatchedAirflow):
    """Scheduler, triggerer, DAG processor and the tasks' API server, each a child of this process.

    The server that the tests ask is another one, and is never killed.
    """

    def __init__(self, home: Path, **options: Any) -> None:
        super().__init__(home, **options)
        self._components: dict[str, Process] = {}
        self._dead: list[Process] = []

    def start(self, *, timeout: float = 240.0) -> None:
        """Make the database, start all, and wait until all are healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.cli("db", "migrate")
        for name in COMPONENTS:
            self.begin(name)
        front = ["api-server", "--apps", "core", "--host", LOOPBACK, "--port", str(self._front_port)]
        self._front = Process([AIRFLOW, *front], log=self.home / "front.log", env=self.env)
        self.server = self.url
        self.url = f"http://{LOOPBACK}:{self._front_port}"
        wait_for(self._is_healthy, "The start of all components", timeout=timeout)
        self.wait_for_server(timeout=timeout)
        response = requests.get(f"{self.server}/auth/token", timeout=30)
        response.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def _is_healthy(self) -> bool:
        for process in self._components.values():
            process.check()
        return Airflow._is_healthy(self)

    def begin(self, name: str) -> None:
        """Start a component.

        :param name: one of ``COMPONENTS``.
        """
        self._components[name] = Process([AIRFLOW, name], log=self.home / f"{name}.log", env=self.env)

    def wait_for_server(self, *, timeout: float = 120.0) -> None:
        """Wait until the tasks' API server answers."""

        def answers() -> bool:
            with suppress(requests.RequestException):
                return requests.get(f"{self.server}/api/v2/version", timeout=5).ok
            return False

        wait_for(answers, "An answer of the API server", timeout=timeout)

    def kill(self, name: str, *, with_children: bool) -> None:
        """End a component with SIGKILL.

        :param name: one of ``COMPONENTS``.
        :param with_children: with all that it has started, as when its container ends; else its children go on.
        """
        process = self._components.pop(name)
        self._dead.append(process)
        victims = [process.pid]
        if with_children:
            victims += descendants(process.pid)
        self._kill(*victims)

    def complete(self) -> None:
        """Start what is not running, and wait until all are healthy."""
        for name in COMPONENTS:
            if name not in self._components:
                self.begin(name)
        wait_for(self._is_healthy, "The health of all components", timeout=180)
        self.wait_for_server()

    def kill_task(self, dag_id: str, run_id: str, task_id: str) -> int:
        """Kill the process of a task alone; who supervises it lives.

        :return: its id.
        """
        pid = self._task_process(dag_id, run_id, task_id)
        self._kill(pid)
        return pid

    def kill_worker(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Kill a task with its supervisor, so that nobody says that it has ended."""
        pid = self._task_process(dag_id, run_id, task_id)
        supervisor = parent_of(pid)
        assert "LocalExecutor" in command_of(supervisor), command_of(supervisor)
        self._kill(supervisor, pid)

    @staticmethod
    def _kill(*pids: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, pids)), f"The end of {pids}", timeout=20, interval=0.05)

    def _task_process(self, dag_id: str, run_id: str, task_id: str) -> int:
        """The process that carries out a task.

        :raises StackError: there is none.
        """
        (task,) = [item for item in self.tasks(dag_id, run_id) if item["task_id"] == task_id]
        # Airflow gives it this title, and its supervisor another one.
        title = f"airflow worker -- {task['id']}"
        for pid in descendants(self._components["scheduler"].pid):
            if command_of(pid).strip() == title:
                return pid
        raise StackError(f"There is no process of {task_id} in {dag_id}")

    def stop(self, *, timeout: float = 30.0) -> None:
        """Stop all components, and what killed ones have left."""
        for process in [*self._components.values(), *self._dead]:
            process.stop(timeout=timeout)
        super().stop(timeout=timeout)


def parent_of(pid: int) -> int:
    """The process that has started it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Others end while we look.
        with suppress(OSError):
            parents[int(folder.name)] = parent_of(int(folder.name))
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def command_of(pid: int) -> str:
    """The command line of a process, or the title that it has given itself; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether it runs: one that has ended and was not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
