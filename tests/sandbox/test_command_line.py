"""The sandbox as a process: options, ready file, signals, ports, and work in the background."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests

from sandbox.cli import build_parser
from sandbox.settings import SandboxSettings
from tests.sandbox.support import TIMEOUT, Running, emails, wait_for

pytestmark = pytest.mark.integration

SANDBOX = Path(__file__).resolve().parents[2] / "include" / "sandbox"


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SANDBOX), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(SANDBOX), "--ready-file", str(folder / "ready.json"), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=TIMEOUT)[1]
    info: dict[str, str] = json.loads(line)
    return info


def test_command_line_for_each_setting_has_an_option() -> None:
    shown = run("--help")
    assert shown.returncode == 0, shown.stderr
    assert "--ready-file" in shown.stdout
    assert "--session-lifetime" in shown.stdout
    shown = run("--match-percent", "101")
    assert shown.returncode == 2
    assert "--match-percent" in shown.stderr
    options = {option for action in build_parser()._actions for option in action.option_strings}
    for name, field in SandboxSettings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in options
        assert field.description


def test_command_line_with_an_occupied_port_exits_with_its_number(tmp_path: Path) -> None:
    for option in ("--port", "--s3-port"):
        with socket.create_server(("127.0.0.1", 0)) as occupied:
            port = str(occupied.getsockname()[1])
            with started(tmp_path, option, port) as process:
                _, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 1
        assert port in err
        assert not (tmp_path / "ready.json").exists()


def test_process_until_sigint_works_and_cleans_up(tmp_path: Path) -> None:
    options = ("--processing-delay", "0.1", "--scan-interval", "0.05")
    with started(tmp_path, *options) as process:
        info = first_line(process)
        assert set(info) == {
            *("api_url", "admin_url", "s3_url", "bucket", "username", "password"),
            *("aws_access_key_id", "aws_secret_access_key", "region"),
            *("fanfare_url", "fanfare_secret_key", "fanfare_organization_id"),
            *("commbox_url", "commbox_api_key"),
        }
        assert info["fanfare_url"] == f"{info['api_url']}/fanfare/api"
        assert info["commbox_url"] == f"{info['api_url']}/commbox"
        assert info["fanfare_secret_key"].startswith("sk_test_")
        assert info["bucket"] == "audience-onboarding"
        assert {info[name][:17] for name in ("api_url", "admin_url", "s3_url")} == {"http://127.0.0.1:"}
        assert json.loads((tmp_path / "ready.json").read_text(encoding="utf-8")) == info
        assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]
        sandbox = Running(info)
        assert sandbox.admin("health")["status"] == "ok"
        # the background work runs by itself
        caller = sandbox.login()
        audience = caller.audience()
        sandbox.upload(audience, emails("a"))
        wait_for(lambda: caller.load(audience)["audienceState"] == "READY")
        # a changed setting applies at once
        sandbox.settings(scan_interval=600)
        sandbox.upload(audience, emails("b"))
        sandbox.settings(scan_interval=0.05, processing_delay=3600)
        wait_for(lambda: caller.load(audience)["audienceState"] == "PROCESSING")
        # the clock moves forward, and a reset returns it
        now = datetime.now(timezone.utc)
        later = (now + timedelta(days=30)).replace(microsecond=0)
        moved = sandbox.admin("clock", "POST", json={"at": later.isoformat()})
        assert moved["time"] >= later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        wait_for(lambda: sandbox.login().load(audience)["audienceState"] == "READY")
        assert sandbox.admin("clock")["time"][:10] == later.date().isoformat()
        for body in ({"at": "2040-03-01T03:00:00"}, {"at": "tomorrow"}, {}, {"days": 3}):
            assert sandbox.refused("clock", "POST", json=body) == 422
        sandbox.reset()
        assert sandbox.admin("clock")["time"] < (now + timedelta(days=1)).isoformat()
        # large objects lie in unnamed temporary files: opened, unlinked, and as long as the object
        proc = Path(f"/proc/{process.pid}")
        if proc.exists():
            for number in range(3):
                sandbox.s3.put_object(Bucket=sandbox.bucket, Key=f"elsewhere/{number}", Body=b"z" * (8 << 20))
            assert [size for size in _deleted(proc) if size == 8 << 20] == [8 << 20] * 3
            assert {address for address, _ in _listening(proc)} == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_process_with_other_names_stops_on_sigterm(tmp_path: Path) -> None:
    with started(tmp_path, "--bucket", "another-bucket", "--advertise-host", "localhost") as process:
        info = first_line(process)
        assert info["bucket"] == "another-bucket"
        assert info["api_url"].startswith("http://localhost:")
        assert requests.get(f"{info['api_url']}/_sandbox/health", timeout=TIMEOUT).status_code == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
    for url in (info["api_url"], info["s3_url"]):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=TIMEOUT)


def _links(proc: Path) -> Iterator[tuple[Path, str]]:
    for link in (proc / "fd").iterdir():
        try:
            yield link, str(link.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue


def _deleted(proc: Path) -> list[int]:
    """Return the sizes of the deleted files that a process holds open."""
    return [link.stat().st_size for link, target in _links(proc) if "(deleted)" in target]


def _listening(proc: Path) -> set[tuple[str, int]]:
    """Return the TCP addresses that a process listens on."""
    inodes = {target[8:-1] for _, target in _links(proc) if target.startswith("socket:[")}
    addresses = set()
    for row in (proc / "net" / "tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = row.split()
        if columns[3] == "0A" and columns[9] in inodes:
            address, port = columns[1].split(":")
            addresses.add((".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)))
    return addresses
