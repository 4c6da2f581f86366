"""What the packages may drag in: DAG files reach them while they are parsed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[3] / "plugins"
HEAVY = {"polars", "numpy", "boto3", "botocore", "phonenumbers", "airflow"}


@pytest.mark.parametrize(
    "module",
    ["audience_onboarding.crm", "audience_onboarding.storage", "audience_onboarding.storage.sources"],
)
def test_packages_are_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PLUGINS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(done.stdout.split())


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("folder", ["crm", "storage"])
def test_no_airflow(folder: str) -> None:
    for path in (PLUGINS / "audience_onboarding" / folder).glob("*.py"):
        assert "airflow" not in imported(path), path


def test_the_engine_has_no_network() -> None:
    network = {
        "boto3",
        "botocore",
        "requests",
        "urllib",
        "urllib3",
        "http",
        "socket",
        "ssl",
        "asyncio",
        "aiohttp",
        "httpx",
    }
    for path in (PLUGINS / "audience_onboarding" / "crm").glob("*.py"):
        assert not network & imported(path), path
