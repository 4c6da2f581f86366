"""Integration tests talk real HTTP to the sandbox and real S3 protocol to its storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local_stack import Sandbox


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all tests, as a process of its own."""
    delays = {
        "scan_interval": 0.05,
        "processing_delay": 0.1,
        "activation_delay": 0.1,
        "fanfare_import_delay": 0.1,
        "fanfare_refresh_delay": 0.1,
        "fanfare_sync_delay": 0.1,
        "commbox_processing_delay": 0.1,
    }
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"), **delays)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """The sandbox, empty."""
    sandbox_process.admin("reset", method="POST")
    return sandbox_process


@pytest.fixture
def connections(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's connections to the sandbox, with an empty memory of earlier logins."""
    from audience_onboarding.http import reset_clients

    for name, value in sandbox.connections().items():
        monkeypatch.setenv(name, value)
    reset_clients()


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    """A small CRM extract: three people, one of them twice, and one row that cannot be sent."""
    path = tmp_path / "2026-11-20.csv"
    path.write_text(
        "E-mail,Mobile\n"
        "anna@example.com,0612345678\n"
        "BEN@example.com ,+31 6 23456789\n"
        "anna@EXAMPLE.com,06-12345678\n"
        "carla@example.com,\n"
        "not an address,\n",
        encoding="utf-8",
    )
    return path
