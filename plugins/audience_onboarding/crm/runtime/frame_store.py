"""Frames in memory up to a limit, and beyond it in files of a private directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import polars as pl

from audience_onboarding.exceptions import ConfigurationError, TerminalError

MIB = 1024 * 1024
POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)

Result = TypeVar("Result")


def run_polars(work: Callable[[], Result], what: str, where: str = "") -> Result:
    """Run work of Polars without passing on or chaining its messages, which may quote rows.

    :param what: the failure, for the message.
    :raises TerminalError: Polars failed.
    """
    try:
        return work()
    except POLARS_ERRORS as error:
        name = type(error).__name__
    # Outside the handler: otherwise the error of Polars would be its context.
    raise TerminalError(
        what=what,
        where=where,
        why=f"Polars raised {name}; its text is withheld because it may quote rows",
        next_step="Check the free space of the spill directory; if that is fine, please report it",
    )


def spill(write: Callable[[], object], directory: Path) -> None:
    """Write something into a private directory.

    :raises ConfigurationError: the disk is full.
    """
    try:
        write()
    except OSError:
        pass  # raised below, so that it is not even the context of the new error
    else:
        return
    raise ConfigurationError(
        what="No space left for the spill files of the CRM engine",
        where=str(directory.parent),
        next_step="Raise the memory limit, or use a spill directory with more free space",
    )


class FrameStore:
    """A list of frames. A file is never larger than the frame that was added.

    :param directory: a private one.
    :param name: prefix of the files' names.
    :param budget: bytes that may stay in memory.
    :ivar heights: number of rows of each frame.
    """

    def __init__(self, directory: Path, name: str, *, budget: int) -> None:
        self._directory = directory
        self._name = name
        self._budget = budget
        self._in_memory = 0
        self._frames: list[pl.DataFrame | Path] = []
        self.heights: list[int] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: pl.DataFrame) -> None:
        """Append a frame."""
        self.heights.append(frame.height)
        size = int(frame.estimated_size())
        if self._in_memory + size <= self._budget:
            self._in_memory += size
            self._frames.append(frame)
            return
        path = self._directory / f"{self._name}-{len(self._frames)}.arrow"
        spill(lambda: frame.write_ipc(path, compression="uncompressed"), self._directory)
        self._frames.append(path)

    def get(self, index: int) -> pl.DataFrame:
        """Return one frame."""
        frame = self._frames[index]
        return frame if isinstance(frame, pl.DataFrame) else pl.read_ipc(frame)

    def all(self) -> Iterator[pl.DataFrame]:
        """Return all frames."""
        return map(self.get, range(len(self._frames)))

    def clear(self) -> None:
        """Drop all frames; the files are removed with their directory."""
        self._frames.clear()
        self.heights.clear()
