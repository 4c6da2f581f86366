"""Buffer over a byte stream, and its lines for the standard library's CSV reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from audience_onboarding.crm.sources.csv_structure import count_byte

if TYPE_CHECKING:
    import io

MAX_RECORD = 1024 * 1024
"""Maximum length of a record in bytes. A file with a longer one is not a CRM export."""


def read_up_to(stream: BinaryIO, size: int) -> bytes:
    """Read that many bytes, or fewer at the end of the stream."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class Buffer:
    """Bytes of a stream that are not consumed yet. Positions count from the next byte.

    All reads go into the same memory: fresh memory costs more than reading into it.

    :param stream: with ``readinto()``.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = cast("io.BufferedIOBase", stream)
        self._space = bytearray()
        self._start = self._end = 0
        self.ended = False

    def fill(self, size: int) -> int:
        """Buffer at least that many bytes, or fewer at the end of the stream; return their number, at most ``size``."""
        missing = size - (self._end - self._start)
        if missing > 0 and not self.ended:
            if self._start + size > len(self._space):
                rest = self._space[self._start : self._end]
                if size > len(self._space):
                    self._space = bytearray(size)
                self._space[: len(rest)] = rest
                self._start, self._end = 0, len(rest)
            target = self._end + missing
            with memoryview(self._space) as space:
                while self._end < target and (more := self._stream.readinto(space[self._end : target])):
                    self._end += more
            self.ended = self._end < target
        return min(size, self._end - self._start)

    def peek(self, size: int) -> bytes:
        """Return the next bytes without consuming them."""
        size = self.fill(size)
        with memoryview(self._space) as space:
            return bytes(space[self._start : self._start + size])

    def skip(self, size: int) -> None:
        """Consume bytes."""
        self._start += size

    def find_last(self, byte: bytes, end: int) -> int:
        """Return the position of the last such byte before ``end``, -1 for none."""
        return max(self._space.rfind(byte, self._start, self._start + end) - self._start, -1)

    def count(self, byte: bytes, start: int, end: int) -> int:
        """Return how many such bytes there are between two positions."""
        data = np.frombuffer(self._space, np.uint8)
        return count_byte(data[self._start + start : self._start + end], ord(byte))

    def line(self) -> bytes:
        """Return the next line with its end (``\\n``, ``\\r\\n`` or ``\\r``), empty at the end of the stream.

        A line that is longer than a record is cut.
        """
        size = 4096
        while True:
            data = self.peek(min(size, MAX_RECORD + 1))
            end = data.find(b"\n") + 1
            lone = data.find(b"\r", 0, end or None) + 1
            # A carriage return at the end of the data may have its line feed after it.
            if lone and (lone < len(data) or self._at_end(data)) and data[lone : lone + 1] != b"\n":
                end = lone
            if end or self._at_end(data) or len(data) > MAX_RECORD:
                line = data[: end or len(data)]
                self._start += len(line)
                return line
            size *= 4

    def _at_end(self, data: bytes) -> bool:
        return self.ended and len(data) == self._end - self._start


class Lines(Iterator[str]):
    """Lines of text. Keeps those of the current record, so that they can be read again.

    :ivar bytes_read: taken from the buffer.
    :ivar number: of lines.
    :ivar ended: the text is at its end.
    :ivar too_long: stopped, because a record is longer than :data:`MAX_RECORD`.
    :ivar undecodable: stopped at a line that is not UTF-8.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._again: deque[str] = deque()
        self._record: list[str] = []
        self._size = 0
        self.bytes_read = 0
        self.number = 0
        self.ended = False
        self.too_long = False
        self.undecodable = False

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
        else:
            data = self._buffer.line()
            self.bytes_read += len(data)
            try:
                line = data.decode("utf-8")
            except UnicodeDecodeError:
                self.undecodable = True
                raise StopIteration from None
        if not line:
            self.ended = True
            raise StopIteration
        self._size += len(line)
        if self._size > MAX_RECORD:
            # Also the memory limit, if other code in the process has raised the limit of csv.
            self.too_long = True
            raise StopIteration
        self.number += 1
        self._record.append(line)
        # The csv module of Python 3.10 refuses NUL; a replacement character is as invalid in any identifier.
        return line.replace("\0", "\ufffd") if "\0" in line else line

    def start_record(self) -> None:
        """Start a new record."""
        self._record.clear()
        self._size = 0

    def keep_first_line(self) -> None:
        """Read the lines of the record again, except for the first one."""
        rest = self._record[1:]
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)

    @property
    def holds_any(self) -> bool:
        """Whether lines are to be read again."""
        return bool(self._again)
