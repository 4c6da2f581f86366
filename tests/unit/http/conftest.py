"""Fixtures of the tests over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3.util.retry


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Repeat requests at once, and read no netrc file of the machine."""
    monkeypatch.setattr(urllib3.util.retry.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
