"""The sandbox as a process: options, ready file, signals, ports."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
import requests

from tests.sandbox.support import TIMEOUT, Running, run, start, wait_for

pytestmark = pytest.mark.integration


def test_help_works_on_the_directory() -> None:
    shown = run("--help")
    assert shown.returncode == 0, shown.stderr
    assert "--ready-file" in shown.stdout
    assert "--session-lifetime" in shown.stdout


def test_a_wrong_option_value_is_named() -> None:
    shown = run("--match-percent", "101")
    assert shown.returncode == 2
    assert "--match-percent" in shown.stderr


def test_the_printed_line_says_where_everything_is(cli_sandbox: Running) -> None:
    assert set(cli_sandbox.info) == {
        *("api_url", "admin_url", "s3_url", "bucket", "username", "password"),
        *("aws_access_key_id", "aws_secret_access_key", "region"),
        *("fanfare_url", "fanfare_secret_key", "fanfare_organization_id", "commbox_url", "commbox_api_key"),
    }
    assert cli_sandbox.info["fanfare_url"] == f"{cli_sandbox.api}/fanfare/api"
    assert cli_sandbox.info["commbox_url"] == f"{cli_sandbox.api}/commbox"
    assert cli_sandbox.info["fanfare_secret_key"].startswith("sk_test_")
    assert cli_sandbox.info["bucket"] == "audience-onboarding"
    for url in ("api_url", "s3_url"):
        assert cli_sandbox.info[url].startswith("http://127.0.0.1:")
    assert cli_sandbox.admin("health")["status"] == "ok"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, signal_number: int) -> None:
    ready_file = tmp_path / "deeper" / "ready.json"
    ready_file.parent.mkdir()
    process = start(ready_file, "--bucket", "another-bucket", "--advertise-host", "localhost")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        info = json.loads(line)
        assert json.loads(ready_file.read_text(encoding="utf-8")) == info
        assert [path.name for path in ready_file.parent.iterdir()] == ["ready.json"]
        assert info["bucket"] == "another-bucket"
        assert info["api_url"].startswith("http://localhost:")
        assert requests.get(f"{info['api_url']}/_sandbox/health", timeout=TIMEOUT).status_code == 200
        process.send_signal(signal_number)
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    assert not ready_file.exists()
    for url in (info["api_url"], info["s3_url"]):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=TIMEOUT)


@pytest.mark.parametrize("option", ["--port", "--s3-port"])
def test_a_taken_port_is_an_error_that_says_so(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start(tmp_path / "ready.json", option, port)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert port in err
    assert not (tmp_path / "ready.json").exists()


def test_only_loopback_answers(cli_sandbox: Running) -> None:
    assert cli_sandbox.process is not None
    listening = wait_for(lambda: _listening(cli_sandbox.process.pid if cli_sandbox.process else 0))
    assert {address for address, _ in listening} == {"127.0.0.1"}


def _listening(pid: int) -> set[tuple[str, int]]:
    """Return the TCP addresses a process listens on (Linux)."""
    table = Path(f"/proc/{pid}/net/tcp")
    if not table.exists():
        pytest.skip("needs /proc")
    inodes = {
        target.split("[")[1].rstrip("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if (target := str(link.readlink())).startswith("socket:[")
    }
    found = set()
    for row in table.read_text(encoding="ascii").splitlines()[1:]:
        columns = row.split()
        if columns[3] == "0A" and columns[9] in inodes:
            address, port = columns[1].split(":")
            found.add((".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)))
    return found
