"""A directory for raw data that nobody else can read and that does not outlive its process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "audience-onboarding-"
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
    _remove_orphans(root)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))  # mkdtemp makes it 0700
    lock: int | None = None
    try:
        lock = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_orphans(root: Path) -> None:
    for directory in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or gone meanwhile: not ours to clean
            stat = directory.lstat()
            # The grace keeps us off a directory that another process has made but not locked yet.
            if stat.st_uid != os.getuid() or time.time() - stat.st_mtime < _GRACE_SECONDS:
                continue
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(lock)
