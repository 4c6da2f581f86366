"""Private directory for unhashed data, which does not outlive its process."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "audience-onboarding-"
_NEW_PREFIX = ".audience-onboarding-new-"
_LOCK = ".lock"
_GRACE_SECONDS = 60


@contextmanager
def private_directory(parent: Path | str | None = None) -> Iterator[Path]:
    """Create a directory of mode 0700, and remove it on success, on error and on an interrupt.

    A killed process (SIGKILL, out of memory) cannot clean up. So each directory has a file that its process keeps
    locked, and the next process with the same parent removes the directories without a lock.

    :param parent: default: the system's temporary directory.
    """
    root = Path(parent) if parent is not None else Path(tempfile.gettempdir())
    # Renamed to its final name once it is locked, as the lock stays with the open file: no other process ever finds a
    # final name without a lock.
    new = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=root))  # mode 0700
    directory = root / f"{_PREFIX}{new.name.removeprefix(_NEW_PREFIX)}"
    lock: int | None = None
    try:
        # The time of the file system, which may differ from that of this machine.
        _remove_orphans(root, now=new.stat().st_mtime)
        lock = os.open(new / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(directory)
        yield directory
    finally:
        try:
            _remove(directory if directory.exists() else new)
        finally:
            if lock is not None:
                os.close(lock)


def _remove(directory: Path) -> None:
    """Remove a directory, the lock last: if the process is killed half-way, the rest is still an orphan."""
    with suppress(OSError):
        for entry in directory.iterdir():
            if entry.name == _LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=True)


def _remove_orphans(root: Path, *, now: float) -> None:
    for directory in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # not ours, or removed by another process
            if not _is_ours(directory.lstat()):
                continue
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(directory)
            finally:
                os.close(lock)
    for directory in root.glob(f"{_NEW_PREFIX}*"):  # empty except for the lock
        with suppress(OSError):
            status = directory.lstat()
            if _is_ours(status) and now - status.st_mtime >= _GRACE_SECONDS:
                _remove(directory)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)
