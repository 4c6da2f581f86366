"""Frames in a row: in memory as long as they fit, in files of a private directory beyond."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from audience_onboarding.exceptions import ConfigurationError

MIB = 1024 * 1024


def spill(write: Callable[[], object], directory: Path) -> None:
    """Write something into a private directory.

    :raises ConfigurationError: the disk is full.
    """
    try:
        write()
    except OSError:
        pass  # told below, so that it is not even the context of ours
    else:
        return
    raise ConfigurationError(
        what="the CRM engine ran out of room to spill",
        where=str(directory.parent),
        next_step="Raise the memory limit, or give the spill directory more room",
    )


class FrameStore:
    """Frames that were put in, in that order. Files are never larger than what was put in at once.

    :param directory: a private one.
    :param name: begins the files' names.
    :param budget: bytes that may stay in memory.
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
        """Put a frame in."""
        self.heights.append(frame.height)
        size = int(frame.estimated_size())
        if self._in_memory + size <= self._budget:
            self._in_memory += size
            self._frames.append(frame)
            return
        path = self._directory / f"{self._name}-{len(self._frames)}.arrow"
        # Rechunked by being written: a view of a few rows would else drag its whole block along.
        spill(lambda: frame.write_ipc(path, compression="uncompressed"), self._directory)
        self._frames.append(path)

    def get(self, index: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """One of the frames, or some of its columns."""
        frame = self._frames[index]
        if isinstance(frame, pl.DataFrame):
            return frame if columns is None else frame.select(columns)
        return pl.read_ipc(frame, columns=None if columns is None else list(columns))

    def all(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """All of them."""
        for index in range(len(self._frames)):
            yield self.get(index, columns)

    def clear(self) -> None:
        """Let go of everything; the files go with their directory."""
        self._frames.clear()
        self.heights.clear()
