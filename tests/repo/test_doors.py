"""The Makefile, the CI script and the shell scripts."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

TARGETS = {
    "help",
    "venv",
    "demo",
    "docs",
    "docs-serve",
    "test",
    "test-distributed",
    "test-browser",
    "test-long",
    "test-more",
    "chaos",
    "compat",
    "lint",
    "format",
    "schema",
    "screenshots",
    "bench",
    "lock",
    "env",
    "clean",
}
SCRIPTS = (".ci/run", "scripts/bootstrap.sh", "scripts/lock.sh")


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("MAKE")}, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_lists_every_target_and_is_the_default(root: Path) -> None:
    defined = set(re.findall(r"^([a-z-]+):(?!=)", (root / "Makefile").read_text(), re.M)) - {"force"}
    assert defined == TARGETS
    default = run("make", cwd=root)
    assert default.returncode == 0, default.stderr
    assert set(re.findall(r"^ +make ([a-z-]+) ", default.stdout, re.M)) == TARGETS
    assert run("make", "help", cwd=root).stdout == default.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable_and_parse(root: Path, script: str) -> None:
    path = root / script
    assert path.stat().st_mode & stat.S_IXUSR
    shell = path.read_text().splitlines()[0].rsplit("/", 1)[1].split()[-1]
    checked = run(shell, "-n", str(path), cwd=root)
    assert checked.returncode == 0, checked.stderr


def test_documented_targets_exist(root: Path) -> None:
    named = set()
    for page in ("README.md", "CONTRIBUTING.md", ".env.example", "docker-compose.yaml"):
        named |= set(re.findall(r"`make ([a-z-]+)", (root / page).read_text()))
    assert named <= TARGETS


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """Just enough of the repository for the doors, in a folder with a space in its name."""
    folder = tmp_path / "a check out"
    (folder / "scripts").mkdir(parents=True)
    for name in (
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "scripts/bootstrap.sh",
        "scripts/make_env.py",
    ):
        shutil.copy2(root / name, folder / name)
    return folder


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_no_fitting_python_is_said_plainly(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"):
        fake(tools, name, "exit 1")
    done = run("make", "venv", cwd=checkout, PATH=f"{tools}:/usr/bin:/bin", PYTHON="")
    assert done.returncode != 0
    assert "No Python 3.10, 3.11, 3.12 or 3.13 found" in done.stderr
    assert not (checkout / ".venv").exists()


def test_unfit_chosen_python_is_said_plainly(checkout: Path) -> None:
    done = run("make", "venv", "PYTHON=/nonexistent/python", cwd=checkout)
    assert done.returncode != 0
    assert "PYTHON=/nonexistent/python does not run a Python" in done.stderr


def test_finished_environment_is_left_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".ready").touch()
    os.utime(checkout / ".venv" / ".ready", (2**31 - 1, 2**31 - 1))
    fake(checkout / "scripts", "bootstrap.sh", "echo must not run; exit 1")
    done = run("make", "venv", cwd=checkout, PYTHON="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_env_and_clean(checkout: Path) -> None:
    assert run("make", "env", cwd=checkout, PYTHON="").returncode == 0
    before = (checkout / ".env").read_text()
    assert run("make", "env", cwd=checkout, PYTHON="").returncode != 0
    assert (checkout / ".env").read_text() == before
    assert run("make", "env", "FORCE=1", "SANDBOX=1", cwd=checkout, PYTHON="").returncode == 0
    assert "COMPOSE_PROFILES='sandbox'" in (checkout / ".env").read_text()

    for folder in (".venv/bin", "build", "scripts/__pycache__"):
        (checkout / folder).mkdir(parents=True, exist_ok=True)
    assert run("make", "clean", cwd=checkout).returncode == 0
    assert sorted(path.name for path in checkout.iterdir()) == [
        ".env",
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "scripts",
    ]
