"""Contents of the wheel."""

from __future__ import annotations

import importlib
import shutil
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email import message_from_string
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from hatchling import build

from audience_onboarding import __version__

INFO = f"airflow_audience_onboarding-{__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy, as hatchling leaves out what git ignores and a copy has no git."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy2(root / name, source / name)
    shutil.copytree(
        root / "plugins", source / "plugins", ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        name = build.build_wheel(str(source / "dist"))
    with zipfile.ZipFile(source / "dist" / name) as archive:
        yield archive


def test_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile, root: Path) -> None:
    package = root / "plugins" / "audience_onboarding"
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    expected = {
        f"{package.name}/{path.as_posix()}"
        for path in files
        if not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }
    assert expected
    assert {name for name in wheel.namelist() if not name.startswith(f"{INFO}/")} == expected


def test_metadata(wheel: zipfile.ZipFile, pyproject: dict[str, Any]) -> None:
    metadata = message_from_string(wheel.read(f"{INFO}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("airflow-audience-onboarding", __version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in wheel.read(f"{INFO}/licenses/LICENSE").decode()
    required = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert len(required) == len(pyproject["project"]["dependencies"])


def test_entry_points(wheel: zipfile.ZipFile) -> None:
    points = ConfigParser()
    points.read_string(wheel.read(f"{INFO}/entry_points.txt").decode())
    # No airflow.plugins: together with the file in plugins/ Airflow would find the plugin twice.
    assert set(points.sections()) == {"apache_airflow_provider", "console_scripts"}
    command, info = (
        points[section][name].split(":")
        for section, name in (
            ("console_scripts", "audience-onboarding"),
            ("apache_airflow_provider", "provider_info"),
        )
    )
    assert callable(getattr(importlib.import_module(command[0]), command[1]))
    found = getattr(importlib.import_module(info[0]), info[1])()
    assert found["package-name"] == "airflow-audience-onboarding"


def test_this_environment_has_the_package_installed() -> None:
    installed = distribution("airflow-audience-onboarding")
    assert installed.version == __version__
    assert [point.name for point in installed.entry_points if point.group == "apache_airflow_provider"]
