"""Fixtures about the files of the repository itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.repo.pages import ROOT

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    """Content of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
