"""Puts include/ on the path, as the project's ``pythonpath`` does, so that this folder runs alone."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
for _entry in (_ROOT, _ROOT / "include"):
    if str(_entry) not in sys.path:
        sys.path.insert(0, str(_entry))

from collections.abc import Iterator  # noqa: E402  (after the path is right)

import pytest  # noqa: E402

from tests.sandbox.support import Running, started  # noqa: E402


@pytest.fixture(scope="session")
def cli_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox, started as the Makefile starts it, for the whole session."""
    with started(
        tmp_path_factory.mktemp("sandbox") / "ready.json",
        *("--processing-delay", "0.1", "--activation-delay", "0.1", "--scan-interval", "0.05"),
        *("--match-percent", "100", "--usable-percent", "100"),
        *("--fanfare-import-delay", "0.1", "--fanfare-refresh-delay", "0.1", "--fanfare-sync-delay", "0.1"),
        *("--commbox-processing-delay", "0.1"),
    ) as running:
        yield running


@pytest.fixture
def sandbox(cli_sandbox: Running) -> Running:
    """That sandbox, as it was just after its start."""
    cli_sandbox.reset()
    return cli_sandbox
