"""Encode normalized values as the bytes of a vendor's file."""

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

_ENCODING_VERSION = 1
"""Part of each ``content_id``. Raise it when the same normalized values get other bytes."""


@dataclass(frozen=True)
class CsvEncoder:
    """Encoder of the rows of one file.

    Frames have a String column per identifier, under its name; null is a value that is not sent.

    :param profile: the vendor's file.
    :param columns: the columns in the file.
    :param hashed_already: identifiers whose values are hashes already.
    """

    profile: FileProfile
    columns: tuple[ProfileColumn, ...]
    hashed_already: frozenset[Identifier] = frozenset()

    @property
    def names(self) -> list[str]:
        """Names of the columns of a frame."""
        return [column.identifier.value for column in self.columns]

    def header(self) -> bytes:
        """Return the header line."""
        names = pl.DataFrame({str(number): [column.header] for number, column in enumerate(self.columns)})
        return b"".join(self._to_csv(names, quote=True))

    def description(self) -> bytes:
        """Return the settings on which the bytes depend, besides the values."""
        parts = [
            str(_ENCODING_VERSION),
            *(repr(getattr(self.profile, name)) for name in ("delimiter", "line_ending", "encoding")),
            *(repr(getattr(self.profile, name)) for name in ("hash_case", "compression")),
            *(f"{column.header!r} {column.transform} {column.prefix!r}" for column in self.columns),
        ]
        return "\n".join(parts).encode()

    def hashed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Replace values that are sent hashed by their hashes, 64 lower-case hexadecimal digits."""
        unhashed = [column.identifier.value for column in self.columns if self._is_to_hash(column)]
        return frame.with_columns(plh.col(name).chash.sha2_256() for name in unhashed) if unhashed else frame

    def lines(self, frame: pl.DataFrame) -> list[bytes]:
        """Return the rows as lines of the file, in pieces that may end anywhere."""
        expressions = []
        for column in self.columns:
            name = column.identifier.value
            value: pl.Expr = plh.col(name).chash.sha2_256() if self._is_to_hash(column) else pl.col(name)
            if column.transform == "sha256" and self.profile.hash_case == "upper":
                value = value.str.to_uppercase()
            if column.prefix:
                value = pl.lit(column.prefix) + value
            expressions.append(value.alias(name))
        # Hashes never need quotes, and "never" is faster.
        return self._to_csv(
            frame.select(expressions), quote=any(column.transform == "raw" for column in self.columns)
        )

    def size(self, frame: pl.DataFrame) -> int:
        """Return the number of bytes of :meth:`lines`, without hashing."""
        separators = len(self.profile.line_ending) + len(self.profile.delimiter) * (len(self.columns) - 1)
        size = separators * frame.height
        for column in self.columns:
            name = column.identifier.value
            if column.transform == "sha256":
                size += HEX_DIGITS * (frame.height - frame[name].null_count())
                continue
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

    def _to_csv(self, frame: pl.DataFrame, *, quote: bool) -> list[bytes]:
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
    """Keeps the pieces that are written. Joining them in a ``BytesIO`` would take longer than writing them."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: ReadableBuffer) -> int:
        self.pieces.append(bytes(piece))  # no copy where they are bytes
        return len(self.pieces[-1])


def fingerprint(columns: Sequence[str]) -> pl.Expr:
    """Return a number per row, equal for equal values: XXH64 of each value, with its position as the seed."""
    numbers = [
        plh.col(name).nchash.xxhash64(seed=seed).fill_null(pl.lit(0, dtype=pl.UInt64))
        for seed, name in enumerate(columns, start=1)
    ]
    # Seeds differ, so that two values that swap places give another number.
    combined = numbers[0]
    for number in numbers[1:]:
        combined = combined.xor(number)
    return combined.alias("fingerprint")


class ContentId:
    """Identifier of the content of a file, known before its bytes are made.

    It is the hexadecimal SHA-256 of the encoder's description and the fingerprint of each row. Files with equal ids
    have equal bytes; the chance that a changed row keeps the id is 1 in 2**64.
    """

    def __init__(self, encoder: CsvEncoder) -> None:
        self._digest = hashlib.sha256(encoder.description())

    def add(self, fingerprints: pl.Series) -> None:
        """Add rows, by their fingerprints."""
        self._digest.update(fingerprints.to_numpy().astype("<u8", copy=False).tobytes())

    def hexdigest(self) -> str:
        """Return the id of the rows added so far."""
        return self._digest.hexdigest()
