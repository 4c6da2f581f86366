"""requirements.txt, pyproject.toml and requirements.lock are three views of one list.

These tests read the files; ``make lock`` and ``make compat`` resolve the requirements.
"""

from __future__ import annotations

import re
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.repo.pages import ROOT

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def requirements_of(lines: list[str]) -> dict[str, list[Requirement]]:
    """Return the requirements by their canonical name."""
    found: dict[str, list[Requirement]] = {}
    for line in (line.split(" #")[0].strip() for line in lines):
        if line and not line.startswith("#"):
            item = Requirement(line)
            found.setdefault(canonicalize_name(item.name), []).append(item)
    return found


DIRECT = requirements_of((ROOT / "requirements.txt").read_text().splitlines())
LOCK = requirements_of((ROOT / "requirements.lock").read_text().splitlines())


def pins_for(python: str) -> dict[str, Version]:
    """Return the versions that the lock installs on Linux with one version of Python."""
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
    for name, items in LOCK.items():
        fitting = [item for item in items if item.marker is None or item.marker.evaluate(environment)]
        assert len(fitting) <= 1, f"{name} is pinned twice for Python {python}"
        for item in fitting:
            (specifier,) = item.specifier
            assert specifier.operator == "==", item
            pins[name] = Version(specifier.version)
    return pins


def test_pyproject_has_the_list_of_requirements_txt(pyproject: dict[str, Any]) -> None:
    assert requirements_of(pyproject["project"]["dependencies"]) == DIRECT
    for (item,) in DIRECT.values():
        assert {specifier.operator for specifier in item.specifier} == {"<", ">="}, f"{item}: open range"


def test_lock_has_every_direct_dependency_within_its_range(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    lines = [*project["dependencies"], *pyproject["build-system"]["requires"]]
    lines += [line for extra in project["optional-dependencies"].values() for line in extra]
    problems = []
    for python in PYTHONS:
        pins = pins_for(python)
        for item in map(Requirement, lines):
            pin = pins.get(canonicalize_name(item.name))
            if pin is None or not item.specifier.contains(pin, prereleases=True):
                problems.append(f"Python {python}: {item}, but the lock has {pin}. Run make lock.")
    assert not problems, "\n".join(problems)


def test_lock_covers_every_python_that_is_declared(pyproject: dict[str, Any]) -> None:
    allowed = Requirement(f"x{pyproject['project']['requires-python']}").specifier
    assert [f"3.{minor}" for minor in range(8, 20) if allowed.contains(f"3.{minor}.5")] == list(PYTHONS)
    classifiers = "\n".join(pyproject["project"]["classifiers"])
    assert re.findall(r"Python :: (3\.\d+)$", classifiers, re.M) == list(PYTHONS)


def test_lock_has_no_trace_of_the_machine_that_made_it() -> None:
    # Constraints may have no extras, and the indexes and folders of one machine do not exist on another.
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        requirement, _, comment = line.partition("#")
        assert not re.search(r"--|://|file:|@ |\\|/[a-z]+/|\[.*\]", requirement), line
        assert "/" not in comment, line


def test_airflow_of_lock_and_image_are_the_same() -> None:
    pinned = pins_for("3.12")["apache-airflow"]
    assert re.search(rf"apache/airflow:slim-{pinned}-python3\.12$", (ROOT / "Dockerfile").read_text(), re.M)
