"""Contents of the wheel, and the files of other makers in it."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email import message_from_string
from typing import Any

import pytest
from hatchling import build

from audience_onboarding import __version__
from tests.repo.pages import ROOT

INFO = f"airflow_audience_onboarding-{__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built from a copy, as hatchling leaves out what git ignores and a copy has no git."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy2(ROOT / name, source / name)
    shutil.copytree(
        ROOT / "plugins", source / "plugins", ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        name = build.build_wheel(str(source / "dist"))
    with zipfile.ZipFile(source / "dist" / name) as archive:
        yield archive


def test_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "plugins" / "audience_onboarding"
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


# --- files of other makers ------------------------------------------------------------------------------------

VENDORED = ROOT / "plugins" / "audience_onboarding" / "ui" / "static" / "vendor"
LINE = re.compile(
    r"^\| `(?P<name>[^`]+)` .*`(?P<licence>[^`]+)` \| `(?P<sum>[0-9a-f]{64})` \|$", re.MULTILINE
)


def test_each_file_has_its_sum_its_licence_and_its_version() -> None:
    text = (VENDORED / "README.md").read_text(encoding="utf-8")
    names = {"README.md"}
    for line in LINE.finditer(text):
        assert hashlib.sha256((VENDORED / line["name"]).read_bytes()).hexdigest() == line["sum"], line["name"]
        assert "MIT License" in (VENDORED / line["licence"]).read_text(encoding="utf-8")
        names |= {line["name"], line["licence"]}
    assert {path.name for path in VENDORED.iterdir()} == names
    (version,) = re.findall(r"\| ([\d.]+) \| MIT", text)
    assert f"Chart.js v{version}\n" in (VENDORED / "chart.umd.min.js").read_text(encoding="utf-8")[:200]


def test_the_page_fetches_nothing_from_elsewhere() -> None:
    """Inline scripts and styles are forbidden, too: the policy of the page refuses them."""
    static = VENDORED.parent
    for path in [*static.glob("*.js"), *static.glob("*.css"), *static.glob("*.html")]:
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert found == set(), path.name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="):
            assert word not in text, f"{path.name} has {word}"
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style| on\w+=\"", text), path.name
