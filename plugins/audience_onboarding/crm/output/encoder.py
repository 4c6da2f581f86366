"""From normalised values to the bytes of a vendor's file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

import polars as pl
import polars_hash as plh

from audience_onboarding.crm.output.profiles import FileProfile, Identifier, ProfileColumn

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEX_DIGITS = 64

_LAYOUT_VERSION = 1
"""Part of every ``content_id``. Raise it when the same normalised values come to give other bytes."""


@dataclass(frozen=True)
class CsvEncoder:
    """The columns of one file, and what is still to be done to their values.

    Frames have a String column per identifier, under its name, with null where nothing is sent.

    :param profile: the vendor's file.
    :param columns: those of its columns that are in the file.
    :param hashed_already: identifiers whose values are hashes as they are.
    """

    profile: FileProfile
    columns: tuple[ProfileColumn, ...]
    hashed_already: frozenset[Identifier] = frozenset()

    @property
    def names(self) -> list[str]:
        """Names of a frame's columns."""
        return [column.identifier.value for column in self.columns]

    def header(self) -> bytes:
        """The header line."""
        names = pl.DataFrame({str(number): [column.header] for number, column in enumerate(self.columns)})
        return b"".join(self._written(names, quote=True))

    def description(self) -> bytes:
        """All that decides, beside the values, which bytes come out."""
        parts = [
            str(_LAYOUT_VERSION),
            *(repr(getattr(self.profile, name)) for name in ("delimiter", "line_ending", "encoding")),
            *(repr(getattr(self.profile, name)) for name in ("hash_case", "compression")),
            *(f"{column.header!r} {column.transform} {column.prefix!r}" for column in self.columns),
        ]
        return "\n".join(parts).encode()

    def hashed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with hashes, 64 lower-case hexadecimal digits, in the place of what is sent hashed."""
        todo = [column.identifier.value for column in self.columns if self._is_to_hash(column)]
        return frame.with_columns(plh.col(name).chash.sha2_256() for name in todo) if todo else frame

    def lines(self, frame: pl.DataFrame) -> list[bytes]:
        """The rows of a frame as lines of the file, in pieces that may end anywhere."""
        expressions = []
        for column in self.columns:
            name = column.identifier.value
            value: pl.Expr = plh.col(name).chash.sha2_256() if self._is_to_hash(column) else pl.col(name)
            if column.transform == "sha256" and self.profile.hash_case == "upper":
                value = value.str.to_uppercase()
            if column.prefix:
                value = pl.lit(column.prefix) + value
            expressions.append(value.alias(name))
        # Hashes need no quotes, and not to look for the need is faster.
        return self._written(
            frame.select(expressions), quote=any(column.transform == "raw" for column in self.columns)
        )

    def size(self, frame: pl.DataFrame) -> int:
        """Number of bytes that :meth:`lines` gives, without hashing anything."""
        around = len(self.profile.line_ending) + len(self.profile.delimiter) * (len(self.columns) - 1)
        size = around * frame.height
        raw: list[ProfileColumn] = []
        for column in self.columns:
            if column.transform == "sha256":
                size += HEX_DIGITS * (frame.height - frame[column.identifier.value].null_count())
            else:
                raw.append(column)
        for column in raw:
            name = column.identifier.value
            text = pl.col(name)
            quotes = text.str.count_matches('"', literal=True)
            special = text.str.contains(f'[{self.profile.delimiter}"\r\n]')
            length = (
                text.str.len_bytes() + len(column.prefix) + pl.when(special).then(2 + quotes).otherwise(0)
            )
            size += int(frame.select(length.sum()).item() or 0)
        return size

    def _is_to_hash(self, column: ProfileColumn) -> bool:
        return column.transform == "sha256" and column.identifier not in self.hashed_already

    def _written(self, frame: pl.DataFrame, *, quote: bool) -> list[bytes]:
        out = _Pieces()
        frame.write_csv(
            cast("IO[bytes]", out),
            include_header=False,
            separator=self.profile.delimiter,
            line_terminator=self.profile.line_ending,
            quote_style="necessary" if quote else "never",
        )
        return out.pieces


class _Pieces(io.RawIOBase):
    """Keeps what is written as it comes: to put it together in a ``BytesIO`` and take it out takes longer than
    writing it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: ReadableBuffer) -> int:
        self.pieces.append(bytes(piece))  # no copy where they are bytes
        return len(self.pieces[-1])


def fingerprint(columns: Sequence[str]) -> pl.Expr:
    """A number per row that is the same for the same values: XXH64 of each, with a seed for its place."""
    numbers = [
        plh.col(name).nchash.xxhash64(seed=seed).fill_null(pl.lit(0, dtype=pl.UInt64))
        for seed, name in enumerate(columns, start=1)
    ]
    # Seeds differ, so that two values that swap places do not cancel out.
    combined = numbers[0]
    for number in numbers[1:]:
        combined = combined.xor(number)
    return combined.alias("fingerprint")


class ContentId:
    """What identifies the content of a file before its bytes are made.

    The hexadecimal SHA-256 over the layout and, row by row, the fingerprint of the normalised values. Files with the
    same id have the same bytes; other bytes have, but for one chance in 2**64 a row, another id.
    """

    def __init__(self, encoder: CsvEncoder) -> None:
        self._digest = hashlib.sha256(encoder.description())

    def add(self, fingerprints: pl.Series) -> None:
        """Take in some rows, by their fingerprints."""
        self._digest.update(fingerprints.to_numpy().astype("<u8", copy=False).tobytes())

    def hexdigest(self) -> str:
        """The id of what was taken in."""
        return self._digest.hexdigest()
