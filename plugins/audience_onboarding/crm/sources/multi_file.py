"""Several files as one source."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from audience_onboarding.crm.sources.base import (
    BlockReader,
    LazyBatch,
    OpenSource,
    RowBatch,
    Source,
    empty_source_error,
)
from audience_onboarding.exceptions import EmptySourceError, SourceFormatError


@dataclass(frozen=True)
class MultiFileSource:
    """Files that are read one after the other.

    Each has its own header, so the order of columns may differ. Row numbers start at 1 in each file, and rows have the
    name of their file.

    Each file is opened before its first block and closed after its last one, so only a few are open at once. So
    ``unmapped`` is complete only after the last block, and an error in the last file comes late; the engine sends
    nothing before.

    :param sources: in the order of reading; at least one.
    :param label: name for messages, such as the pattern or folder.
    :param may_be_empty: indexes in ``sources`` of files that may have no header; they are skipped.
    """

    sources: Sequence[Source]
    label: str
    may_be_empty: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.label

    @contextmanager
    def open(self, columns: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Open the first file, see :class:`.Source`.

        :raises SourceFormatError: a file has no header but another one has. An interrupted export has this form, and
            must not count as an empty one.
        """
        with ExitStack() as stack:
            files = [_File(source.open(columns, workdir), source.name) for source in self.sources]
            for file in files:
                stack.callback(file.close)
            # Now, so that an error in the columns comes before any row is read.
            if not any(file.has_header for file in files):
                raise empty_source_error(self.label, f"none of the {len(files)} files has a header")
            opened = OpenSource(0, iter(()))
            opened.blocks = self._blocks(files, opened)
            yield opened

    def _blocks(self, files: Sequence[_File], opened: OpenSource) -> Iterator[BlockReader]:
        names = file_names([source.name for source in self.sources])
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            if number in self.may_be_empty and not file.has_header:
                file.release()
                continue
            source = file.opened
            opened.unmapped = max(opened.unmapped, source.unmapped)
            for block in source.blocks:
                file.acquire()
                yield LazyBatch(partial(_read_block, block, file, name))
            file.release()


def file_names(names: Sequence[str]) -> list[str]:
    """Return short, distinct names of files: without folders, or without the folders that all have in common.

    :param names: paths or URLs.
    """
    parts = [name.rstrip("/").split("/") for name in names]
    common = 0
    if len({part[-1] for part in parts}) == len(parts):
        return [part[-1] for part in parts]
    while all(len(part) > common + 1 and part[common] == parts[0][common] for part in parts):
        common += 1
    return ["/".join(part[common:]) for part in parts]


class _File:
    """A file that is open until its last block has been read, in any thread."""

    def __init__(self, context: AbstractContextManager[OpenSource], name: str) -> None:
        self.name = name
        self._stack = ExitStack()
        self._context = context
        self._opened: OpenSource | None = None
        self._is_empty = False
        self._lock = threading.Lock()
        self._in_use = 1  # by the iterator over its blocks

    @property
    def has_header(self) -> bool:
        """Whether it has a header. Opens it, unless it is open."""
        if self._opened is None and not self._is_empty:
            try:
                self._opened = self._stack.enter_context(self._context)
            except EmptySourceError:
                self._is_empty = True
        return self._opened is not None

    @property
    def opened(self) -> OpenSource:
        if not self.has_header or self._opened is None:
            raise SourceFormatError(
                what="One of several CRM files is empty",
                where=self.name,
                why="it has no header, but others have",
                next_step="Check that the export has finished writing; remove the file if it is not part of it",
            )
        return self._opened

    def acquire(self) -> None:
        with self._lock:
            self._in_use += 1

    def release(self) -> None:
        with self._lock:
            self._in_use -= 1
            is_done = self._in_use == 0
        if is_done:
            self.close()

    def close(self) -> None:
        self._stack.close()


def _read_block(block: BlockReader, file: _File, name: str) -> RowBatch:
    try:
        return replace(block.read(), file=name)
    finally:
        file.release()
