"""The local stack's own tools: ports, waiting, processes, and what Airflow is started with."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import sys
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


def test_no_port_is_asked_for() -> None:
    assert free_ports(0) == []


# --- waiting ------------------------------------------------------------------------------------------------


def test_waiting_ends_with_the_first_answer() -> None:
    answers = iter([None, "", 0, "done", "later"])

    assert wait_for(lambda: next(answers), "It", timeout=10, interval=0) == "done"


def test_waiting_ends_at_the_time_out_and_says_for_what() -> None:
    with pytest.raises(StackError, match="The start did not happen within 0 s"):
        wait_for(lambda: None, "The start", timeout=0)


def test_there_is_one_look_at_least() -> None:
    assert wait_for(lambda: "there", "It", timeout=0) == "there"


def test_a_failure_ends_the_wait() -> None:
    def fail() -> None:
        raise StackError("It has ended")

    with pytest.raises(StackError, match="It has ended"):
        wait_for(fail, "It", timeout=10)


# --- Airflow's lists ----------------------------------------------------------------------------------------


class ManyDags(AirflowApi):
    """Gives a hundred at a time, whatever it is asked for, as Airflow does."""

    def api(self, path: str, **options: Any) -> Any:
        offset = int(path.rpartition("offset=")[2])
        ids = [f"dag_{number}" for number in range(250)]
        return {"dags": [{"dag_id": name} for name in ids[offset : offset + 100]], "total_entries": 250}


def test_lists_are_read_to_their_end() -> None:
    assert len(ManyDags("http://localhost").dag_ids()) == 250


# --- processes ----------------------------------------------------------------------------------------------


def python(code: str, log: Path) -> Process:
    return Process([sys.executable, "-c", code], log=log)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that has ended, but that nobody has asked for its code, is still in the table.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def printed(log: Path, text: str) -> bool | None:
    return (log.exists() and text in log.read_text()) or None


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "a.log"
    process = python("import sys; print('out'); print('err', file=sys.stderr)", log)
    process._process.wait(20)
    process.stop()

    assert sorted(log.read_text().split()) == ["err", "out"]


def test_a_process_that_has_ended_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = python("import sys; print('\\n'.join(map(str, range(100)))); sys.exit(3)", tmp_path / "a.log")
    process._process.wait(20)

    with pytest.raises(StackError, match="ended with code 3") as caught:
        process.check()

    assert "99" in str(caught.value)
    assert "\n50\n" not in str(caught.value)
    process.stop()


def test_a_process_that_runs_passes_the_check_until_it_is_stopped(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    process = python("import time; print('up', flush=True); time.sleep(600)", log)
    try:
        wait_for(lambda: printed(log, "up"), "The start", timeout=20, interval=0.01)
        process.check()
    finally:
        process.stop()

    assert not is_alive(process.pid)


def test_a_process_may_end_in_order(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    code = (
        "import time\ntry:\n    print('up', flush=True)\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('goodbye', flush=True)\n"
    )
    # As in a background job of a shell: whoever starts us may have turned SIGINT off.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = python(code, log)
        wait_for(lambda: printed(log, "up"), "The start", timeout=20, interval=0.01)
        process.stop()
    finally:
        signal.signal(signal.SIGINT, before)

    assert "goodbye" in log.read_text()


def test_a_process_that_does_not_listen_is_ended_with_all_its_children(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('child', child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = python(code, log)
    wait_for(lambda: printed(log, "child"), "The start", timeout=20, interval=0.01)
    child = int(log.read_text().split()[1])

    process.stop(timeout=0.1)

    assert not is_alive(process.pid)
    wait_for(lambda: not is_alive(child), "The end of the child", timeout=20, interval=0.01)


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    process = python("pass", tmp_path / "a.log")

    process.stop()
    process.stop()


# --- what is started ----------------------------------------------------------------------------------------


def test_the_developers_own_airflow_stays_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/home/somebody/airflow")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT", "production")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")

    airflow = Airflow(tmp_path / "home", env={"AIRFLOW_CONN_X": "ours"})

    assert airflow.env["AIRFLOW_HOME"] == str(tmp_path / "home")
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in airflow.env
    assert "AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT" not in airflow.env
    assert (airflow.env["AIRFLOW_CONN_X"], airflow.env["SOMETHING_ELSE"]) == ("ours", "stays")


def test_everything_listens_on_ports_of_its_own_for_this_machine_only(tmp_path: Path) -> None:
    one, other = (Airflow(tmp_path / name, env={}) for name in ("one", "other"))

    ports = [
        airflow.env[name]
        for airflow in (one, other)
        for name in (
            "AIRFLOW__API__PORT",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
        )
    ]
    assert len(set(ports)) == 6
    assert one.env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert one.env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{one.url}/execution/"


def test_secrets_are_fresh_and_long_enough(tmp_path: Path) -> None:
    one, other = (Airflow(tmp_path / name, env={}).env for name in ("one", "other"))

    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"):
        assert one[name] != other[name]
    assert len(one["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64


@pytest.mark.parametrize("folder", [None, Path("/definitions")])
def test_other_definitions_can_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path | None
) -> None:
    monkeypatch.delenv("AUDIENCE_ONBOARDING_DEFINITIONS", raising=False)

    airflow = Airflow(tmp_path, definitions=folder, env={})

    assert airflow.env.get("AUDIENCE_ONBOARDING_DEFINITIONS") == (None if folder is None else "/definitions")


def test_airflow_is_given_connections_to_the_sandbox(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.info = {
        "api_url": "http://127.0.0.1:9300",
        "username": "u",
        "password": "p",
        "aws_access_key_id": "id",
        "aws_secret_access_key": "key",
        "region": "eu-west-1",
        "s3_url": "http://127.0.0.1:9400",
        "bucket": "b",
        "fanfare_url": "http://127.0.0.1:9300/fanfare/api",
        "fanfare_secret_key": "sk_test_1",
        "fanfare_organization_id": "o",
        "commbox_url": "http://127.0.0.1:9300/commbox",
        "commbox_api_key": "k",
    }

    found = {name: json.loads(value) for name, value in sandbox.connections().items()}

    vendor = found["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"]
    assert (vendor["conn_type"], vendor["host"]) == ("digital_audience", "http://127.0.0.1:9300")
    storage = found["AIRFLOW_CONN_AUDIENCE_S3"]["extra"]
    assert storage["endpoint_url"] == "http://127.0.0.1:9400"
    assert storage["service_config"]["s3"]["bucket_name"] == "b"
    fanfare, commbox = found["AIRFLOW_CONN_FANFARE_DEFAULT"], found["AIRFLOW_CONN_COMMBOX_DEFAULT"]
    assert (fanfare["conn_type"], fanfare["password"], fanfare["extra"]) == (
        "fanfare",
        "sk_test_1",
        {"organization": "o"},
    )
    assert (commbox["conn_type"], commbox["host"], commbox["password"]) == (
        "commbox",
        "http://127.0.0.1:9300/commbox",
        "k",
    )


def test_what_was_never_started_can_be_stopped(tmp_path: Path) -> None:
    Sandbox(tmp_path).stop()
    Airflow(tmp_path, env={}).stop()


def test_a_sandbox_that_ends_at_once_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_stack, "PROJECT", tmp_path)
    sandbox = Sandbox(tmp_path)
    try:
        with pytest.raises(StackError, match="ended with code"):
            sandbox.start()
    finally:
        sandbox.stop()


# --- shared between processes -------------------------------------------------------------------------------


def test_another_process_may_talk_to_the_stack_and_not_end_it(tmp_path: Path) -> None:
    airflow = Airflow(tmp_path / "home", env={"OF_THE_TEST": "1"})
    sandbox = Sandbox(tmp_path)
    sandbox.info = {"api_url": "http://127.0.0.1:1"}
    for item in (airflow, sandbox):
        item._process = python("import time; time.sleep(60)", tmp_path / "log")

    try:
        there_airflow, there_sandbox = pickle.loads(pickle.dumps((airflow, sandbox)))
        there_airflow.stop()
        there_sandbox.stop()

        for item in (airflow, sandbox):
            assert item._process is not None
            item._process.check()
        assert there_airflow.url == airflow.url
        assert there_airflow.env == airflow.env
        assert there_sandbox.info == sandbox.info
    finally:
        airflow.stop(timeout=0)
        sandbox.stop()
