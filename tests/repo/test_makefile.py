"""The Makefile and the shell scripts behind it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.repo.pages import ROOT, targets


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("MAKE")}, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_help_lists_every_target_and_is_the_default() -> None:
    default = run("make", cwd=ROOT)
    assert default.returncode == 0, default.stderr
    assert {"lint", "test", "demo", "docs", "env"} <= targets()
    assert set(re.findall(r"^ +make ([a-z-]+) ", default.stdout, re.M)) == targets()
    assert run("make", "help", cwd=ROOT).stdout == default.stdout


def test_scripts_are_executable_and_parse() -> None:
    scripts = [ROOT / ".ci" / "run", *(ROOT / "scripts").glob("*.sh")]
    assert len(scripts) > 1
    for path in scripts:
        assert path.stat().st_mode & stat.S_IXUSR, path
        shell = path.read_text().splitlines()[0].rsplit("/", 1)[1].split()[-1]
        checked = run(shell, "-n", str(path), cwd=ROOT)
        assert checked.returncode == 0, checked.stderr


def test_targets_named_in_comments_exist() -> None:
    """Pages are checked in ``test_examples.py``."""
    files = (".env.example", "docker-compose.yaml", "docker-compose.local.yaml")
    named = {
        name for file in files for name in re.findall(r"(?:`|run )make ([a-z-]+)", (ROOT / file).read_text())
    }
    assert named
    assert named <= targets()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a space in its name, with the files that these targets need."""
    folder = tmp_path / "a check out"
    (folder / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("bootstrap.sh", "make_env.py"):
        shutil.copy2(ROOT / "scripts" / name, folder / "scripts" / name)
    return folder


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_missing_or_unfit_python_is_reported(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"):
        fake(tools, name, "exit 1")
    done = run("make", "venv", cwd=checkout, PATH=f"{tools}:/usr/bin:/bin", PYTHON="")
    assert done.returncode != 0
    assert "No Python 3.10, 3.11, 3.12 or 3.13 found" in done.stderr
    assert not (checkout / ".venv").exists()

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
    files = {path.name for path in checkout.iterdir()}
    assert run("make", "env", cwd=checkout, PYTHON="").returncode == 0
    before = (checkout / ".env").read_text()
    assert run("make", "env", cwd=checkout, PYTHON="").returncode != 0
    assert (checkout / ".env").read_text() == before
    assert run("make", "env", "FORCE=1", "SANDBOX=1", cwd=checkout, PYTHON="").returncode == 0
    assert "COMPOSE_PROFILES='sandbox'" in (checkout / ".env").read_text()

    for folder in (".venv/bin", "build", "scripts/__pycache__"):
        (checkout / folder).mkdir(parents=True, exist_ok=True)
    assert run("make", "clean", cwd=checkout).returncode == 0
    assert {path.name for path in checkout.iterdir()} == files | {".env"}
    assert {path.name for path in (checkout / "scripts").iterdir()} == {"bootstrap.sh", "make_env.py"}
