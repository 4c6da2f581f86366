"""A directory for raw data that nobody else can read and that does not outlive its process."""

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
_UNBORN = ".audience-onboarding-new-"
_LOCK = ".lock"
_GRACE_SECONDS = 60


@contextmanager
def private_directory(parent: Path | str | None = None) -> Iterator[Path]:
    """A new directory of mode 0700, removed on success, on error and when interrupted by an exception.

    A process that is killed outright (SIGKILL, out of memory) cannot clean up. Each directory therefore holds
    a file that its process keeps locked; whoever comes next in the same parent removes those whose lock is
    free.

    :param parent: where to make it; the system's temporary directory where ``None``.
    """
    root = Path(parent) if parent is not None else Path(tempfile.gettempdir())
    # It gets its name when it is locked already (a lock stays with the open file): nobody ever sees one that is
    # about to be locked, and has to wait whether it will be.
    unborn = Path(tempfile.mkdtemp(prefix=_UNBORN, dir=root))  # mkdtemp makes it 0700
    directory = root / f"{_PREFIX}{unborn.name.removeprefix(_UNBORN)}"
    lock: int | None = None
    try:
        # The file system's own time: it may differ from this machine's.
        _remove_orphans(root, now=unborn.stat().st_mtime)
        lock = os.open(unborn / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        unborn.rename(directory)
        yield directory
    finally:
        try:
            _remove(directory if directory.exists() else unborn)
        finally:
            if lock is not None:
                os.close(lock)


def _remove(directory: Path) -> None:
    """Remove a directory, the lock last: killed half-way, what is left can still be told from one in use."""
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
        with suppress(OSError):  # somebody else's, or gone meanwhile: not ours to clean
            found = directory.lstat()
            if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
                continue
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(directory)
            finally:
                os.close(lock)
    for directory in root.glob(f"{_UNBORN}*"):  # these are empty, but for the lock
        with suppress(OSError):
            found = directory.lstat()
            is_ours = found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
            if is_ours and now - found.st_mtime >= _GRACE_SECONDS:
                _remove(directory)
