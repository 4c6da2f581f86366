from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from audience_onboarding.crm.runtime.spill_dir import private_directory
from tests.children import child_env


def age(directory: Path) -> None:
    os.utime(directory, (0, 0))


def test_private_directory_used_has_mode_0700_and_is_removed(tmp_path: Path) -> None:
    with private_directory(tmp_path) as directory:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "raw").write_text("x")
    assert not list(tmp_path.iterdir())


def test_private_directory_interrupted_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), private_directory(tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_private_directory_of_killed_process_is_removed_by_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from audience_onboarding.crm.runtime.spill_dir import private_directory\n"
        "with private_directory(sys.argv[1]) as directory:\n"
        "    (directory / 'raw').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=child_env(),
        check=False,
    )
    (left,) = tmp_path.iterdir()
    assert (left / "raw").exists()
    with private_directory(tmp_path) as directory:
        assert [*tmp_path.iterdir()] == [directory]


def test_private_directory_in_use_stays(tmp_path: Path) -> None:
    with private_directory(tmp_path) as one:
        age(one)
        with private_directory(tmp_path):
            assert one.exists()


def test_private_directory_other_directories_stay(tmp_path: Path) -> None:
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


def test_private_directory_killed_while_created_is_removed_later(tmp_path: Path) -> None:
    young, old = tmp_path / ".audience-onboarding-new-a", tmp_path / ".audience-onboarding-new-b"
    for unborn in (young, old):
        unborn.mkdir()
        (unborn / ".lock").touch()
    age(old)
    with private_directory(tmp_path):
        assert young.exists(), "its process may be about to lock it"
        assert not old.exists()


def test_private_directory_final_name_is_always_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it removes the directory, a process leaves a directory that the next one recognizes as an orphan."""
    with (  # noqa: PT012
        pytest.raises(OSError, match="killed"),
        monkeypatch.context() as patch,
        private_directory(tmp_path) as directory,
    ):
        (directory / "raw").write_text("x")
        (directory / "spill").mkdir()

        def killed(*_: object, **__: object) -> None:
            assert not (directory / "raw").exists() or (directory / ".lock").exists()
            raise OSError("killed")

        patch.setattr(shutil, "rmtree", killed)
    assert (directory / ".lock").exists()
    with private_directory(tmp_path) as another:
        assert [*tmp_path.iterdir()] == [another]
