"""Check the structure of CSV text with NumPy, independently of Polars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from audience_onboarding.crm.sources.csv_dialect import Dialect

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_FIELD = 128 * 1024
"""Maximum length of a field (that of the standard library). A longer one is mostly an unclosed quote."""

_CHUNK = 256 * 1024
"""Bytes per NumPy operation: few enough for the processor's cache."""
_LINE_FEED = ord("\n")
_CARRIAGE_RETURN = ord("\r")

_Bytes: TypeAlias = "npt.NDArray[np.uint8]"
_Positions: TypeAlias = "npt.NDArray[np.intp]"


@dataclass(frozen=True)
class RegularText:
    """Whole records with a regular structure.

    :param text: without blank lines.
    :param lines: line feeds, including those of blank lines and inside quotes.
    """

    text: bytes
    rows: int
    lines: int

    def __repr__(self) -> str:
        return f"RegularText(rows={self.rows})"


class CsvStructure:
    """Checks the positions of quotes, delimiters and line ends.

    Between an opening and a closing quote they do not count; a doubled quote is a closing and an opening one. The rest
    must be the same delimiters and one line end per record. NumPy does it because it releases Python's lock.

    :param fields: number of fields of a record.
    """

    def __init__(self, dialect: Dialect, fields: int) -> None:
        self._delimiter = dialect.delimiter.encode("ascii")
        self._quote = dialect.quote.encode("ascii")
        self._fields = fields

    def check(self, text: bytes) -> RegularText | None:
        """Return the text if its structure is regular, else ``None``."""
        if b"\0" in text or not _is_utf8(text) or not _has_short_lines(text):
            return None
        if not text.endswith(b"\n"):
            text += b"\n"
        regular = self._check_records(text)
        if regular is not None or self._quote in text or not _has_blank_lines(text):
            return regular
        lines = text.splitlines(keepends=True)
        regular = self._check_records(b"".join(line for line in lines if line.strip(b"\r\n")))
        return None if regular is None else RegularText(regular.text, regular.rows, len(lines))

    def _check_records(self, text: bytes) -> RegularText | None:
        if not text:
            return RegularText(text, 0, 0)
        data = np.frombuffer(text, np.uint8)
        marks, kinds = _find_bytes(
            data, self._delimiter + self._quote + (b"\r\n" if b"\r" in text else b"\n")
        )
        lines = int(np.count_nonzero(kinds == _LINE_FEED))
        quotes = np.flatnonzero(kinds == ord(self._quote))
        if len(quotes):
            if not self._are_proper(data, marks[quotes]):
                return None
            runs = np.diff(quotes, prepend=0, append=len(kinds))
            outside = np.repeat(np.arange(len(runs)) % 2 == 0, runs)
            outside[quotes] = False
            marks, kinds = marks[outside], kinds[outside]
        for line_end in (b"\n", b"\r\n"):
            record = self._delimiter * (self._fields - 1) + line_end
            if kinds.tobytes() == record * (len(kinds) // len(record)):
                break
        else:
            return None
        ends = marks[len(record) - 1 :: len(record)] + 1 - len(line_end)
        if line_end == b"\r\n" and (data[ends] != _CARRIAGE_RETURN).any():
            return None  # a carriage return inside the last field
        if self._fields == 1 and (np.diff(ends, prepend=-len(line_end)) == len(line_end)).any():
            return None  # a blank line
        return RegularText(text, len(ends), lines)

    def _are_proper(self, data: _Bytes, quotes: _Positions) -> bool:
        """Return whether each quote opens after a delimiter or line end and closes before one, or is doubled.

        :param data: ends with a line feed.
        """
        if len(quotes) % 2:
            return False
        opening, closing = quotes[0::2], quotes[1::2]
        before = data[opening[1:] - 1] if opening[0] == 0 else data[opening - 1]
        return _are_all(before, self._quote + self._delimiter + b"\n") and _are_all(
            data[closing + 1], self._quote + self._delimiter + b"\r\n"
        )


def _find_bytes(data: _Bytes, searched: bytes) -> tuple[_Positions, _Bytes]:
    """Return the positions of any of these bytes, and the byte at each."""
    positions, kinds = [], []
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        matches = chunk == searched[0]
        for byte in searched[1:]:
            matches |= chunk == byte
        indexes = np.flatnonzero(matches)
        kinds.append(chunk[indexes])
        indexes += start
        positions.append(indexes)
    return np.concatenate(positions), np.concatenate(kinds)


def count_byte(data: _Bytes, byte: int) -> int:
    """Return how often a byte occurs."""
    return sum(
        int(np.count_nonzero(data[start : start + _CHUNK] == byte)) for start in range(0, len(data), _CHUNK)
    )


def _are_all(data: _Bytes, allowed: bytes) -> bool:
    return bool(np.isin(data, np.frombuffer(allowed, np.uint8)).all())


def _has_short_lines(text: bytes) -> bool:
    step = MAX_FIELD // 2
    return all(text.find(b"\n", start, start + step) >= 0 for start in range(0, len(text) - step, step))


def _has_blank_lines(text: bytes) -> bool:
    return b"\n\n" in text or b"\n\r\n" in text or text.startswith((b"\n", b"\r\n"))


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
