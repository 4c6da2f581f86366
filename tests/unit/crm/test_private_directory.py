from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from audience_onboarding.crm.private_directory import private_directory


def age(directory: Path) -> None:
    os.utime(directory, (0, 0))


def test_mode_and_removal(tmp_path: Path) -> None:
    with private_directory(tmp_path) as directory:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "raw").write_text("x")
    assert not list(tmp_path.iterdir())


def test_removal_on_interruption(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), private_directory(tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from audience_onboarding.crm.private_directory import private_directory\n"
        "with private_directory(sys.argv[1]) as directory:\n"
        "    (directory / 'raw').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    plugins = Path(__file__).parents[3] / "plugins"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(plugins)},
        check=False,
    )
    (left,) = tmp_path.iterdir()
    assert (left / "raw").exists()
    with private_directory(tmp_path):
        assert left.exists(), "too young: its process may be about to lock it"
    age(left)
    with private_directory(tmp_path) as directory:
        assert [*tmp_path.iterdir()] == [directory]


def test_directories_in_use_stay(tmp_path: Path) -> None:
    with private_directory(tmp_path) as one:
        age(one)
        with private_directory(tmp_path):
            assert one.exists()


def test_other_directories_stay(tmp_path: Path) -> None:
    others = [
        tmp_path / "other",
        tmp_path / "audience-onboarding-without-lock",
        tmp_path / "audience-onboarding-link",
    ]
    for other in others[:2]:
        other.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".lock").touch()
    others[2].symlink_to(outside)
    for other in (*others[:2], outside):
        age(other)
    os.utime(others[2], (0, 0), follow_symlinks=False)
    with private_directory(tmp_path):
        pass
    assert all(other.exists() for other in (*others, outside))
