"""Fixtures: one sandbox in this process for all tests of the session, reset for each of them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
for _entry in (
    _ROOT,
    _ROOT / "include",
):  # as the project's ``pythonpath``, so that this folder runs alone
    if str(_entry) not in sys.path:
        sys.path.insert(0, str(_entry))

from sandbox import ManualClock, Sandbox, SandboxSettings  # noqa: E402  (needs the path)
from tests.sandbox.support import CommBox, Fanfare, Running  # noqa: E402


@pytest.fixture(scope="session")
def _session_sandbox() -> Iterator[Running]:
    clock = ManualClock()
    settings = SandboxSettings(
        bucket="sandbox-tests", scan_interval=3600, match_percent=100, usable_percent=100
    )
    sandbox = Sandbox(settings, clock=clock)
    try:
        yield Running(sandbox.start().ready_info(), clock)
    finally:
        sandbox.stop()


@pytest.fixture
def sandbox(_session_sandbox: Running) -> Running:
    """Sandbox in its initial state. Time and background work move only with ``step`` and ``work``."""
    _session_sandbox.reset()
    return _session_sandbox


@pytest.fixture
def fanfare(sandbox: Running) -> Fanfare:
    """Client of Fanfare, with the key of the first organization."""
    return sandbox.fanfare()


@pytest.fixture
def commbox(sandbox: Running) -> CommBox:
    """Client of CommBox."""
    return sandbox.commbox()
