"""Tools of the local stack: ports, waiting, processes, and the environment that Airflow gets."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts import local_stack
from scripts.local_stack import Airflow, AirflowApi, Process, Sandbox, StackError, free_ports, wait_for


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
    assert free_ports(0) == []


def test_waiting_ends_with_an_answer_an_error_or_the_timeout() -> None:
    answers = iter([None, "", 0, "done", "later"])
    assert wait_for(lambda: next(answers), "It", timeout=30, interval=0) == "done"
    # The condition is checked at least once.
    assert wait_for(lambda: "there", "It", timeout=0) == "there"
    with pytest.raises(StackError, match="The start did not happen within 0 s"):
        wait_for(lambda: None, "The start", timeout=0)

    def fail() -> None:
        raise StackError("It has ended")

    with pytest.raises(StackError, match="It has ended"):
        wait_for(fail, "It", timeout=30)


class ManyDags(AirflowApi):
    """API that returns at most a hundred items, as Airflow does."""

    def api(self, path: str, **options: Any) -> Any:
        offset = int(path.rpartition("offset=")[2])
        ids = [f"dag_{number}" for number in range(250)]
        return {"dags": [{"dag_id": name} for name in ids[offset : offset + 100]], "total_entries": 250}


def test_lists_are_read_to_their_end() -> None:
    assert len(ManyDags("http://localhost").dag_ids()) == 250


# --- processes ----------------------------------------------------------------------------------------------

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@contextmanager
def python(code: str, log: Path, first: str = "") -> Iterator[Process]:
    """A process that runs ``code``, once it has printed ``first``."""
    process = Process([sys.executable, "-c", code], log=log)
    try:
        wait_for(lambda: first in log.read_text(), "The output", timeout=60, interval=0.01)
        yield process
    finally:
        process.stop(timeout=0)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that has ended, but whose code its parent has not read yet, is a zombie: Z.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_process_that_has_ended_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; print(*range(100), sep='\\n'); print('err', file=sys.stderr); sys.exit(3)"
    with python(code, tmp_path / "folder" / "a.log") as process:
        process._process.wait(60)
        with pytest.raises(StackError, match="ended with code 3") as caught:
            process.check()
        # Stopping twice is harmless.
        process.stop()

    assert {"99", "err"} <= set(process.log.read_text().split())
    assert "99" in str(caught.value)
    assert "\n50\n" not in str(caught.value)


def test_running_process_passes_the_check_until_it_is_stopped(tmp_path: Path) -> None:
    with python(SLEEP, tmp_path / "a.log", "up") as process:
        process.check()

    assert not is_alive(process.pid)


def test_process_may_end_in_order(tmp_path: Path) -> None:
    code = f"try:\n    {SLEEP}\nexcept KeyboardInterrupt:\n    print('goodbye', flush=True)\n"
    # A shell starts its background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with python(code, tmp_path / "a.log", "up") as process:
            process.stop()
    finally:
        signal.signal(signal.SIGINT, before)

    assert "goodbye" in process.log.read_text()


def test_process_that_ignores_the_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('child', child.pid, 'up', flush=True)\n"
        "time.sleep(600)\n"
    )
    with python(code, tmp_path / "a.log", "up") as process:
        child = int(process.log.read_text().split()[1])
        process.stop(timeout=0.1)

    assert not is_alive(process.pid)
    wait_for(lambda: not is_alive(child), "The end of the child", timeout=60, interval=0.01)


def test_stack_that_was_never_started_can_be_stopped(tmp_path: Path) -> None:
    Airflow(tmp_path / "home", env={}).stop()
    Sandbox(tmp_path).stop()


def test_sandbox_that_ends_at_once_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_stack, "PROJECT", tmp_path)
    sandbox = Sandbox(tmp_path)
    try:
        with pytest.raises(StackError, match="ended with code"):
            sandbox.start()
    finally:
        sandbox.stop()


# --- the environment ----------------------------------------------------------------------------------------


def test_the_developers_own_airflow_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/home/me/airflow")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT", "production")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")

    env = Airflow(tmp_path / "home", env={"AIRFLOW_CONN_X": "ours"}).env

    assert env["AIRFLOW_HOME"] == str(tmp_path / "home")
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in env
    assert "AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT" not in env
    assert (env["AIRFLOW_CONN_X"], env["SOMETHING_ELSE"]) == ("ours", "stays")


def test_each_airflow_has_its_own_ports_secrets_and_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUDIENCE_ONBOARDING_DEFINITIONS", raising=False)
    airflow = Airflow(tmp_path / "one", env={})
    one = airflow.env
    other = Airflow(tmp_path / "other", definitions=Path("/definitions"), env={}).env

    ports = ("API__PORT", "LOGGING__WORKER_LOG_SERVER_PORT", "LOGGING__TRIGGER_LOG_SERVER_PORT")
    assert len({env[f"AIRFLOW__{name}"] for env in (one, other) for name in ports}) == 6
    assert one["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert one["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{airflow.url}/execution/"
    for name in ("CORE__FERNET_KEY", "API__SECRET_KEY", "API_AUTH__JWT_SECRET"):
        assert one[f"AIRFLOW__{name}"] != other[f"AIRFLOW__{name}"]
    assert len(one["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    assert "AUDIENCE_ONBOARDING_DEFINITIONS" not in one
    assert other["AUDIENCE_ONBOARDING_DEFINITIONS"] == "/definitions"
