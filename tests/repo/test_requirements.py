"""requirements.txt, pyproject.toml and requirements.lock are three views of one list."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def requirements_of(text: str) -> list[Requirement]:
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def by_name(requirements: list[Requirement]) -> dict[str, Requirement]:
    return {canonicalize_name(item.name): item for item in requirements}


@pytest.fixture(scope="module")
def direct(root: Path) -> dict[str, Requirement]:
    return by_name(requirements_of((root / "requirements.txt").read_text()))


@pytest.fixture(scope="module")
def lock_text(root: Path) -> str:
    return (root / "requirements.lock").read_text()


def pins_for(lock_text: str, python: str) -> dict[str, Version]:
    """What the lock installs on Linux with one version of Python."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }
    pins: dict[str, Version] = {}
    for item in requirements_of(lock_text):
        if item.marker is None or item.marker.evaluate(environment):
            (specifier,) = item.specifier
            assert specifier.operator == "==", item
            assert item.name not in pins, f"{item.name} is pinned twice for Python {python}"
            pins[canonicalize_name(item.name)] = Version(specifier.version)
    return pins


def test_pyproject_has_the_list_of_requirements_txt(
    direct: dict[str, Requirement], pyproject: dict[str, Any]
) -> None:
    assert by_name([Requirement(line) for line in pyproject["project"]["dependencies"]]) == direct


def test_every_range_has_both_ends(direct: dict[str, Requirement]) -> None:
    open_ended = [
        name
        for name, item in direct.items()
        if {"<", ">="} != {specifier.operator for specifier in item.specifier}
    ]
    assert not open_ended


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_has_every_direct_dependency_within_its_range(
    pyproject: dict[str, Any], direct: dict[str, Requirement], lock_text: str, python: str
) -> None:
    pins = pins_for(lock_text, python)
    wanted = list(direct.values())
    for lines in pyproject["project"]["optional-dependencies"].values():
        wanted += [Requirement(line) for line in lines]
    wanted += [Requirement(line) for line in pyproject["build-system"]["requires"]]
    missing = [str(item) for item in wanted if canonicalize_name(item.name) not in pins]
    assert not missing, "run make lock"
    outside = [
        f"{item} but {pins[canonicalize_name(item.name)]}"
        for item in wanted
        if not item.specifier.contains(pins[canonicalize_name(item.name)], prereleases=True)
    ]
    assert not outside, "run make lock"


def test_lock_covers_every_python_that_is_declared(pyproject: dict[str, Any]) -> None:
    allowed = Requirement(f"x{pyproject['project']['requires-python']}").specifier
    assert [f"3.{minor}" for minor in range(8, 20) if allowed.contains(f"3.{minor}.5")] == list(PYTHONS)
    listed = [
        line.rsplit(" ", 1)[1]
        for line in pyproject["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d", line)
    ]
    assert listed == list(PYTHONS)


def test_lock_says_nothing_of_the_machine_that_made_it(lock_text: str) -> None:
    # Constraints may have no extras, and nobody else has our indexes and folders.
    for line in lock_text.splitlines():
        assert not re.search(r"--|://|file:|@ |\\|/[a-z]+/", line.partition("#")[0]), line
        assert not re.search(r"\[.*\]", line.partition("#")[0]), line
        assert "/" not in line.partition("#")[2], line


def test_airflow_of_lock_and_image_are_the_same(root: Path, lock_text: str) -> None:
    pinned = pins_for(lock_text, "3.12")["apache-airflow"]
    image = re.search(r"apache/airflow:slim-([\d.]+)-python3\.12$", (root / "Dockerfile").read_text(), re.M)
    assert image is not None
    assert Version(image[1]) == pinned
