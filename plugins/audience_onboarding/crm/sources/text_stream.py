"""Decompress a text source and convert it to UTF-8, some MiB at a time.

A file of another kind is an error that names the kind and the fix. No stream closes the stream below it: its opener
does.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from audience_onboarding.exceptions import SourceFormatError, SourceNotFoundError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from zstandard import ZstdDecompressionObj

ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "iso8859-1", "iso8859-15", "utf-16", "utf-16-le", "utf-16-be")
"""Encodings of sources by Python's names; aliases such as ``latin-1`` and ``windows-1252`` work."""

_MIB = 1024 * 1024
_BLOCK = 4 * _MIB
_PACKED_BLOCK = 256 * 1024
_UNPACKED_BLOCK = _MIB
_BUFFER = _MIB
_ASCII_BLOCK = 64 * 1024
_START = 256
"""Bytes at the beginning that identify the kind of a file."""

_UTF8 = ("utf-8", "utf-8-sig")
_UTF16 = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}

_TEXT_NEXT = "Export it as CSV, plain or compressed with gzip or zstd"
_WORKBOOK_NEXT = "Set the format of the source to xlsx in the definition, or export it as CSV"
_ZIP_NEXT = f"{_TEXT_NEXT}; for a workbook, set the format of the source to xlsx"
_OTHER_KINDS = (
    (rb"PK\x03\x04.{26}(\[Content_Types\]\.xml|_rels/|docProps/|xl/)", "an Excel workbook", _WORKBOOK_NEXT),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive or an Excel workbook", _ZIP_NEXT),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or a protected Excel workbook", _WORKBOOK_NEXT),
    # After the four letters, the first field of a Thrift structure: a column may have the name PAR1.
    (rb"PAR[1E]\x15", "a Parquet file", "Set the format of the source to parquet in the definition"),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "compressed with bzip2", _TEXT_NEXT),
    (rb"\xfd7zXZ\x00", "compressed with xz", _TEXT_NEXT),
    (rb"\x04\x22\x4d\x18", "compressed with lz4", _TEXT_NEXT),
    (rb"\xff\x06\x00\x00sNaPpY", "compressed with snappy", _TEXT_NEXT),
    (rb"\x1f\x9d", "compressed with compress", _TEXT_NEXT),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _TEXT_NEXT),
    (rb"Rar!\x1a\x07", "a RAR archive", _TEXT_NEXT),
    (rb"Obj\x01", "an Avro file", _TEXT_NEXT),
    (rb"ARROW1\x00\x00", "an Arrow file", _TEXT_NEXT),
    (rb"SQLite format 3\x00", "an SQLite database", _TEXT_NEXT),
    (rb"%PDF-", "a PDF", _TEXT_NEXT),
)
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


def open_file(path: Path, where: str) -> BinaryIO:
    """Open a local file.

    :param where: name of the source, for messages.
    :raises SourceNotFoundError: it does not exist, or cannot be read.
    """
    try:
        return path.open("rb")
    except (FileNotFoundError, ValueError):  # a NUL in a path is a ValueError
        problem = "no such file"
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else "it cannot be opened"
    raise SourceNotFoundError(
        what="The CRM file cannot be opened",
        where=where,
        why=problem,
        next_step="Check the path in the definition and that the export has run",
    )


def decompressed(stream: BinaryIO, where: str) -> BinaryIO:
    """Return the stream, decompressed if it is gzip or zstd, also with several members or frames.

    The first bytes decide, not the name. At any compression ratio, memory is some MiB plus the window of zstd (2 MiB by
    default, 128 MiB at most).

    :param stream: at its beginning.
    :param where: name of the source, for messages.
    :raises SourceFormatError: it is a file of another kind; while reading: the archive is broken or cut off.
    """
    start, stream = _peek(stream)
    pieces: Iterator[bytes] | None = None
    if start.startswith(_GZIP):
        pieces = _gunzip(stream, where)
    elif start.startswith(_ZSTD) or _is_skippable(start[:4]):
        pieces = _unzstd(stream, where)
    if pieces is not None:
        start, stream = _peek(buffered(pieces))
        if start.startswith((_GZIP, _ZSTD)):
            raise _no_text(where, "compressed twice", "Compress it once, with gzip or zstd")
    for pattern, kind, next_step in _OTHER_KINDS:
        if re.match(pattern, start, re.DOTALL):
            raise _no_text(where, kind, next_step)
    return stream


def as_utf8(stream: BinaryIO, encoding: str, where: str) -> BinaryIO:
    """Return the text of the stream in UTF-8, without a byte order mark.

    UTF-8 is not validated here. UTF-16 without a byte order mark is little endian, as on Windows.

    :param stream: at its beginning, decompressed.
    :param encoding: one of :data:`ENCODINGS` or an alias.
    :param where: name of the source, for messages.
    :raises SourceFormatError: it has the byte order mark of another encoding; while reading: invalid bytes, with their
        line number.
    """
    name = codecs.lookup(encoding).name
    start, stream = _peek(stream)
    marked = _marked_encoding(start)
    if name == "utf-16":
        name = marked if marked in _UTF16 else "utf-16-le"
    if marked and marked != name and not (marked in _UTF8 and name in _UTF8):
        raise SourceFormatError(
            what=f"The CRM file is not {encoding} text",
            where=where,
            why=f"it has the byte order mark of {marked}",
            next_step="Export it as UTF-8"
            if marked == "utf-32"
            else f"Set the encoding of the source to {marked} in the definition",
        )
    stream.read(len(_mark(marked)))
    if name in _UTF8:
        return stream
    return buffered(_transcoded(stream, name, encoding, where))


def encoding_error(encoding: str, line: int, where: str) -> SourceFormatError:
    """Return the error for text that is not in the declared encoding.

    :param line: number of the line, from 1.
    """
    return SourceFormatError(
        what=f"Invalid {encoding} text in line {line} of the CRM file",
        where=where,
        next_step=f"Set the encoding of the source in the definition to one of {', '.join(ENCODINGS)}",
    )


def _no_text(where: str, kind: str, next_step: str) -> SourceFormatError:
    return SourceFormatError(
        what="The CRM file is not a text file", where=where, why=f"it is {kind}", next_step=next_step
    )


def _marked_encoding(start: bytes) -> str:
    """Return the encoding of a byte order mark; empty without one."""
    # UTF-32's little-endian mark begins with UTF-16's.
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8"
    return next((name for name, mark in _UTF16.items() if start.startswith(mark)), "")


def _mark(encoding: str) -> bytes:
    return codecs.BOM_UTF8 if encoding == "utf-8" else _UTF16.get(encoding, b"")


# --- streams -------------------------------------------------------------------------------------------------


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream. After an error, each read raises it again instead of signalling the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")
        self._error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._error is not None:
            raise self._error
        target = memoryview(buffer).cast("B")
        while not self._piece:
            try:
                piece = next(self._pieces, None)
            except BaseException as error:
                self._error = error
                raise
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        size = min(len(target), len(self._piece))
        target[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


def buffered(pieces: Iterator[bytes], size: int = _BUFFER) -> BinaryIO:
    """Return pieces of bytes as a file that can be read once.

    :param size: of the buffer, in bytes.
    """
    return io.BufferedReader(_Pieces(pieces), size)


def prefixed(start: bytes, stream: BinaryIO) -> BinaryIO:
    """Return a stream after bytes that were read from it already."""
    return buffered(chain([start], iter(partial(stream.read, _BUFFER), b"")))


def _peek(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """Return the first bytes, and the stream from its beginning."""
    if isinstance(stream, io.BufferedReader) and len(start := stream.peek(_START)) >= _START:
        return start[:_START], stream
    start = b""
    while len(start) < _START:
        block = stream.read(_START - len(start))
        if not block:
            break
        start += block
    if isinstance(stream, io.IOBase) and stream.seekable():  # some streams have read() only
        stream.seek(-len(start), io.SEEK_CUR)
        return start, stream
    return start, prefixed(start, stream)


# --- compression ---------------------------------------------------------------------------------------------


def _cut_off(where: str, kind: str) -> SourceFormatError:
    return SourceFormatError(
        what="The CRM file is cut off",
        where=where,
        why=f"the {kind} archive ends too early",
        next_step="Check that the export has finished writing, and export it again",
    )


def _broken(where: str, kind: str, why: str = "") -> SourceFormatError:
    return SourceFormatError(
        what=f"The CRM file is a broken {kind} archive",
        where=where,
        why=why,
        next_step="Export it again; a transfer in text mode may have changed its bytes",
    )


def _gunzip(stream: BinaryIO, where: str) -> Iterator[bytes]:
    packed = b""
    while True:  # one member per iteration
        # gzip pads files on tapes and block devices with NUL bytes.
        packed = packed.lstrip(b"\0") or _next_non_nul(stream)
        if not packed:
            return
        member = zlib.decompressobj(wbits=31)  # with header and checksum of gzip
        while not member.eof:
            packed = packed or stream.read(_PACKED_BLOCK)
            # The rest of the last output comes without new input, too.
            ended = not packed
            failed = False
            piece = b""
            try:
                piece = member.decompress(packed, _UNPACKED_BLOCK)
            except zlib.error:
                failed = True
            if failed:
                raise _broken(where, "gzip")
            if ended and not piece and not member.eof:
                raise _cut_off(where, "gzip")
            packed = member.unused_data if member.eof else member.unconsumed_tail
            if piece:
                yield piece


def _next_non_nul(stream: BinaryIO) -> bytes:
    while block := stream.read(_PACKED_BLOCK):
        if rest := block.lstrip(b"\0"):
            return rest
    return b""


_ZSTD_MAX_WINDOW = 128 * _MIB
_ZSTD_MAX_BLOCK = 128 * 1024
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_ZSTD_MAGIC_SIZE = 4
_ZSTD_BLOCK_HEADER = 3
_ZSTD_CHECKSUM = 4
_ZSTD_RLE = 1
_ZSTD_RESERVED = 3


def _is_skippable(magic: bytes) -> bool:
    return _ZSTD_SKIPPABLE.fullmatch(magic) is not None


def _unzstd(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """Decompress block by block (RFC 8878); a block has at most 128 KiB.

    The readers of the library accept a cut-off file as complete, or decompress their whole input at once, which may
    be thousands of times as large.
    """
    import zstandard

    packed = buffered(iter(partial(stream.read, _PACKED_BLOCK), b""))

    def read(size: int) -> bytes:
        data = packed.read(size)
        if len(data) < size:
            raise _cut_off(where, "zstd")
        return data

    while magic := packed.read(_ZSTD_MAGIC_SIZE):
        if _is_skippable(magic):
            left = int.from_bytes(read(4), "little")
            while left:
                left -= len(read(min(left, _PACKED_BLOCK)))
            continue
        if magic != _ZSTD:
            if _ZSTD.startswith(magic):
                raise _cut_off(where, "zstd")
            raise _broken(where, "zstd", "the compressed data is followed by other data")
        header = magic + read(1)
        header += read(_rest_of_frame_header(header[-1]))
        checksum = _ZSTD_CHECKSUM if header[4] & 0x04 else 0
        frame = _zstd_frame(header, where)
        last = False
        while not last:
            block = read(_ZSTD_BLOCK_HEADER)
            bits = int.from_bytes(block, "little")
            last = bool(bits & 1)
            kind, size = bits >> 1 & 3, bits >> 3
            if kind == _ZSTD_RESERVED or size > _ZSTD_MAX_BLOCK:
                raise _broken(where, "zstd")
            block += read(1 if kind == _ZSTD_RLE else size)
            if last:
                block += read(checksum)
            piece: bytes | None = None
            with suppress(zstandard.ZstdError):
                piece = frame.decompress(header + block)
            if piece is None or (last and not frame.eof):
                raise _broken(where, "zstd")
            header = b""
            if piece:
                yield piece


def _rest_of_frame_header(descriptor: int) -> int:
    """Return the number of bytes of a frame header after its descriptor: window, dictionary, content size."""
    single_segment = descriptor >> 5 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    return (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size


def _zstd_frame(header: bytes, where: str) -> ZstdDecompressionObj:
    import zstandard

    parameters: zstandard.FrameParameters | None = None
    with suppress(zstandard.ZstdError):
        parameters = zstandard.get_frame_parameters(header)
    if parameters is None:
        raise _broken(where, "zstd")
    if parameters.dict_id:
        raise SourceFormatError(
            what="The CRM file cannot be decompressed",
            where=where,
            why="it is compressed with a zstd dictionary",
            next_step="Compress it without a dictionary",
        )
    if parameters.window_size > _ZSTD_MAX_WINDOW:
        raise SourceFormatError(
            what="The CRM file cannot be decompressed",
            where=where,
            why=f"zstd needs {parameters.window_size // _MIB} MiB of memory, maximum {_ZSTD_MAX_WINDOW // _MIB} MiB",
            next_step="Compress it without --ultra and with --long=27 at most",
        )
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW).decompressobj()


# --- encodings -----------------------------------------------------------------------------------------------


def _transcoded(stream: BinaryIO, name: str, encoding: str, where: str) -> Iterator[bytes]:
    """Return the rest of the stream in UTF-8.

    :param name: Python's name of the encoding.
    :param encoding: its name in the definition, for messages.
    """
    decoder = codecs.getincrementaldecoder(name)()
    # In the other encodings, ASCII bytes are UTF-8 already, and checking a block for it is ten times as fast.
    ascii_is_ascii = name not in _UTF16
    # Small blocks, because one "é" makes a block slow.
    size = _ASCII_BLOCK if ascii_is_ascii else _BLOCK
    feeds = returns = 0
    ended = False
    while not ended:
        whole = stream.read(_BLOCK)
        ended = not whole
        for at in range(0, len(whole) or 1, size):
            block = whole[at : at + size]
            if ascii_is_ascii and block.isascii():
                piece = block
            else:
                bad: bytes | None = None
                text = ""
                try:
                    text = decoder.decode(block, final=ended)
                except UnicodeDecodeError as error:
                    bad = bytes(error.object[: error.start])
                if bad is not None:
                    # Outside the handler: its exception holds data.
                    before = bad.decode(name, "ignore")
                    feeds += before.count("\n")
                    returns += before.count("\r")
                    raise encoding_error(encoding, 1 + (feeds or returns), where)
                piece = text.encode("utf-8")
            feeds += piece.count(b"\n")
            returns += 0 if feeds else piece.count(b"\r")
            if piece:
                yield piece
