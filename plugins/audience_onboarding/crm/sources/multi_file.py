"""Several files as one source."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from audience_onboarding.crm.sources.base import BlockReader, OpenSource, RowBatch, Source
from audience_onboarding.exceptions import EmptySourceError, SourceFormatError


@dataclass(frozen=True)
class MultiFileSource:
    """Files that are read one after the other.

    Each has a header of its own and finds its columns by name, so their order may differ. Rows count from 1 in each
    file, and say which file they are from.

    A file is opened when its turn comes and closed when its last block has been read: however many there are, a few
    are open at once. So the names of ignored columns are complete when the last block has been taken, and an error in
    the last file comes late; the engine sends nothing before.

    :param sources: in the order in which they are read; at least one.
    :param label: what messages call them together, such as the pattern or folder.
    :param may_be_empty: places in ``sources``, from 0, of those that may have no header: they are left out.
    """

    sources: Sequence[Source]
    label: str
    may_be_empty: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self.label

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        """Begin to read the first file, see :class:`~audience_onboarding.crm.sources.base.Source`.

        :raises SourceFormatError: a file has no header, but another one has: an export that broke off looks like that,
            and is not to pass for an empty one.
        """
        with ExitStack() as at_the_end:
            files = [_File(source.open(wanted, workdir), source.name) for source in self.sources]
            for file in files:
                at_the_end.callback(file.close)
            # Now, so that what is wrong with the columns is known before anything is read.
            if not any(file.has_header for file in files):
                raise EmptySourceError(
                    what="the CRM files hold nothing to send",
                    where=self.label,
                    why=f"none of the {len(files)} files has a header",
                    next_step="Check the export of this date; nothing was sent",
                )
            reading = OpenSource((), iter(()))
            reading.blocks = self._blocks(files, reading)
            yield reading

    def _blocks(self, files: Sequence[_File], reading: OpenSource) -> Iterator[BlockReader]:
        names = file_names([source.name for source in self.sources])
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            if number in self.may_be_empty and not file.has_header:
                file.give_back()
                continue
            of_file = file.reading
            reading.ignored = tuple(dict.fromkeys((*reading.ignored, *of_file.ignored)))
            for block in of_file.blocks:
                file.take()
                yield _Block(block, file, name)
            file.give_back()


def file_names(names: Sequence[str]) -> list[str]:
    """Short names that tell files apart: without the folders, or without those that all have in common.

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
    """A file that is open until its last block has been read, which may be in another thread."""

    def __init__(self, context: AbstractContextManager[OpenSource], name: str) -> None:
        self.name = name
        self._stack = ExitStack()
        self._context = context
        self._reading: OpenSource | None = None
        self._is_empty = False
        self._lock = threading.Lock()
        self._in_use = 1  # whoever takes blocks from it

    @property
    def has_header(self) -> bool:
        """Open it, unless it is."""
        if self._reading is None and not self._is_empty:
            try:
                self._reading = self._stack.enter_context(self._context)
            except EmptySourceError:
                self._is_empty = True
        return self._reading is not None

    @property
    def reading(self) -> OpenSource:
        if not self.has_header or self._reading is None:
            raise SourceFormatError(
                what="one of several CRM files is empty",
                where=self.name,
                why="it has no header, which the others have",
                next_step="Check that the export has finished writing; remove the file if it is none of the export's",
            )
        return self._reading

    def take(self) -> None:
        with self._lock:
            self._in_use += 1

    def give_back(self) -> None:
        with self._lock:
            self._in_use -= 1
            is_done = self._in_use == 0
        if is_done:
            self.close()

    def close(self) -> None:
        self._stack.close()


@dataclass(frozen=True)
class _Block:
    block: BlockReader
    file: _File
    name: str

    def read(self) -> RowBatch:
        """Parse it."""
        try:
            return replace(self.block.read(), file=self.name)
        finally:
            self.file.give_back()
