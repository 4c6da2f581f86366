"""Bytes of a text source: unpacked and brought to UTF-8 while they are read, never whole.

Three things may hide in a file that somebody calls CSV: compression, another encoding, and something that is no text
at all. The first two are undone here, some MiB at a time; the third is named, with what to do about it.

None of the streams closes the one below it: whoever opened that one closes it.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
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
"""Bytes at the beginning that tell what a file is."""

_UTF8 = ("utf-8", "utf-8-sig")
_UTF16 = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}

_TEXT_NEXT = "Export it as CSV, plain or compressed with gzip or zstd"
_WORKBOOK_NEXT = "Set the format of the source to xlsx in the definition, or export it as CSV"
_ZIP_NEXT = f"{_TEXT_NEXT}; for a workbook, set the format of the source to xlsx"
_OTHER_KINDS = (
    (rb"PK\x03\x04.{26}(\[Content_Types\]\.xml|_rels/|docProps/|xl/)", "an Excel workbook", _WORKBOOK_NEXT),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a zip archive or an Excel workbook", _ZIP_NEXT),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or a protected Excel workbook", _WORKBOOK_NEXT),
    # What follows the four letters is the first field of a Thrift structure; a column may be called PAR1.
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
    """A local file.

    :param where: name of the source, for messages.
    :raises SourceNotFoundError: it is not there, or may not be read.
    """
    try:
        return path.open("rb")
    except (FileNotFoundError, ValueError):  # a NUL in a path is a ValueError
        problem = "no such file"
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else "it cannot be opened"
    raise SourceNotFoundError(
        what="the CRM file cannot be opened",
        where=where,
        why=problem,
        next_step="Check the path in the definition and that the export has run",
    )


def decompressed(stream: BinaryIO, where: str) -> BinaryIO:
    """The stream, unpacked where it is gzip (also several members) or zstd (also several frames).

    What it is, its first bytes tell, not its name. However well it is packed, no more than some MiB of it are
    held, besides the window that zstd needs to look back (2 MiB by default, 128 MiB at most).

    :param stream: at its beginning.
    :param where: name of the source, for messages.
    :raises SourceFormatError: it is another kind of file. Also while it is read: the archive is broken or cut off.
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
    """The text of the stream in UTF-8, without a byte order mark.

    UTF-8 goes through unchecked. UTF-16 without a byte order mark is read as little endian, as Windows writes it.

    :param stream: at its beginning, not compressed.
    :param encoding: one of :data:`ENCODINGS` or an alias.
    :param where: name of the source, for messages.
    :raises SourceFormatError: a byte order mark says that it is another encoding. Also while it is read: bytes that
        are none of this encoding, with the number of their line.
    """
    name = codecs.lookup(encoding).name
    start, stream = _peek(stream)
    marked = _marked_encoding(start)
    if name == "utf-16":
        name = marked if marked in _UTF16 else "utf-16-le"
    if marked and marked != name and not (marked in _UTF8 and name in _UTF8):
        raise SourceFormatError(
            what=f"the CRM file is not {encoding} text",
            where=where,
            why=f"it begins with the byte order mark of {marked}",
            next_step="Export it as UTF-8"
            if marked == "utf-32"
            else f"Set the encoding of the source to {marked} in the definition",
        )
    stream.read(len(_mark(marked)))
    if name in _UTF8:
        return stream
    return buffered(_transcoded(stream, name, encoding, where))


def encoding_error(encoding: str, line: int, where: str) -> SourceFormatError:
    """The error for text that is not what the definition says.

    :param line: number of the line, from 1.
    """
    return SourceFormatError(
        what=f"line {line} of the CRM file is not {encoding} text",
        where=where,
        next_step=f"Set the encoding of the source in the definition; known are {', '.join(ENCODINGS)}",
    )


def _no_text(where: str, kind: str, next_step: str) -> SourceFormatError:
    return SourceFormatError(
        what="the CRM file is not a text file", where=where, why=f"it is {kind}", next_step=next_step
    )


def _marked_encoding(start: bytes) -> str:
    """The encoding that a byte order mark tells; empty without one."""
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
    """Pieces of bytes as a stream. What went wrong once, goes wrong again: never a quiet end after an error."""

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


class PrefixedStream(io.RawIOBase):
    """Bytes that were taken from a stream already, then the stream."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start = start
        self._stream = stream
        self._readinto = getattr(stream, "readinto", None)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        if self._start:
            size = min(len(target), len(self._start))
            target[:size] = self._start[:size]
            self._start = self._start[size:]
            return size
        if self._readinto is not None:
            return int(self._readinto(target) or 0)
        block = self._stream.read(len(target))
        target[: len(block)] = block
        return len(block)


def buffered(pieces: Iterator[bytes], size: int = _BUFFER) -> BinaryIO:
    """Pieces of bytes as a file that can be read once, in blocks of so many bytes."""
    return io.BufferedReader(_Pieces(pieces), size)


def _peek(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes, and the stream with them again."""
    if isinstance(stream, io.BufferedReader) and len(start := stream.peek(_START)) >= _START:
        return start[:_START], stream
    start = b""
    while len(start) < _START:
        block = stream.read(_START - len(start))
        if not block:
            break
        start += block
    seekable = getattr(stream, "seekable", None)  # some streams can be read, and nothing else
    if seekable is not None and seekable():
        stream.seek(-len(start), io.SEEK_CUR)
        return start, stream
    return start, io.BufferedReader(PrefixedStream(start, stream), _BUFFER)


# --- compression ---------------------------------------------------------------------------------------------


def _cut_off(where: str, kind: str) -> SourceFormatError:
    return SourceFormatError(
        what="the CRM file is cut off",
        where=where,
        why=f"the {kind} archive ends too early",
        next_step="Check that the export has finished writing, and export it again",
    )


def _broken(where: str, kind: str, why: str = "") -> SourceFormatError:
    return SourceFormatError(
        what=f"the CRM file is a broken {kind} archive",
        where=where,
        why=why,
        next_step="Export it again; a transfer in text mode may have changed its bytes",
    )


def _gunzip(stream: BinaryIO, where: str) -> Iterator[bytes]:
    packed = b""
    while True:  # one member a turn
        # gzip pads with NUL bytes what goes to a tape or a block device.
        packed = packed.lstrip(b"\0") or _next_non_nul(stream)
        if not packed:
            return
        member = zlib.decompressobj(wbits=31)  # with gzip's header and check sum
        while not member.eof:
            packed = packed or stream.read(_PACKED_BLOCK)
            # Output that the last call had no room for comes out without new input as well.
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
_ZSTD_CHECK_SUM = 4
_ZSTD_RLE = 1
_ZSTD_RESERVED = 3


def _is_skippable(magic: bytes) -> bool:
    return _ZSTD_SKIPPABLE.fullmatch(magic) is not None


def _unzstd(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """Unpack block by block (RFC 8878), which none of the library's own readers does.

    These take a cut-off file for a complete one, or unpack all of the input that they are given at once, which may
    be thousands of times as much. A block unpacks to 128 KiB at most.
    """
    import zstandard

    # Small reads are cheap from a buffer.
    packed = io.BufferedReader(PrefixedStream(b"", stream), _PACKED_BLOCK)

    def take(size: int) -> bytes:
        taken = packed.read(size)
        if len(taken) < size:
            raise _cut_off(where, "zstd")
        return taken

    while magic := packed.read(_ZSTD_MAGIC_SIZE):
        if _is_skippable(magic):
            left = int.from_bytes(take(4), "little")
            while left:
                left -= len(take(min(left, _PACKED_BLOCK)))
            continue
        if magic != _ZSTD:
            if _ZSTD.startswith(magic):
                raise _cut_off(where, "zstd")
            raise _broken(where, "zstd", "something else follows the packed data")
        header = magic + take(1)
        header += take(_rest_of_frame_header(header[-1]))
        check_sum = _ZSTD_CHECK_SUM if header[4] & 0x04 else 0
        frame = _zstd_frame(header, where)
        last = False
        while not last:
            block = take(_ZSTD_BLOCK_HEADER)
            bits = int.from_bytes(block, "little")
            last = bool(bits & 1)
            kind, size = bits >> 1 & 3, bits >> 3
            if kind == _ZSTD_RESERVED or size > _ZSTD_MAX_BLOCK:
                raise _broken(where, "zstd")
            block += take(1 if kind == _ZSTD_RLE else size)
            if last:
                block += take(check_sum)
            piece: bytes | None = None
            with suppress(zstandard.ZstdError):
                piece = frame.decompress(header + block)
            if piece is None or (last and not frame.eof):
                raise _broken(where, "zstd")
            header = b""
            if piece:
                yield piece


def _rest_of_frame_header(descriptor: int) -> int:
    """Bytes of a frame's header after its descriptor: window, dictionary and size of the content."""
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
            what="the CRM file cannot be unpacked",
            where=where,
            why="it is compressed with a zstd dictionary",
            next_step="Compress it without a dictionary",
        )
    if parameters.window_size > _ZSTD_MAX_WINDOW:
        raise SourceFormatError(
            what="the CRM file cannot be unpacked",
            where=where,
            why=f"zstd needs {parameters.window_size // _MIB} MiB of memory for it, {_ZSTD_MAX_WINDOW // _MIB} are"
            " allowed",
            next_step="Compress it without --ultra and with --long=27 at most",
        )
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW).decompressobj()


# --- encodings -----------------------------------------------------------------------------------------------


def _transcoded(stream: BinaryIO, name: str, encoding: str, where: str) -> Iterator[bytes]:
    """UTF-8 of what is left of the stream.

    :param name: Python's name of the encoding.
    :param encoding: what the definition calls it, for messages.
    """
    decoder = codecs.getincrementaldecoder(name)()
    # In the others, ASCII is what it is in UTF-8; most of a CRM file is, and looking is ten times as fast.
    ascii_is_ascii = name not in _UTF16
    # So a file of small pieces, of which most are ASCII, is better than a few that each hold one "é".
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
                    # Out here, because the exception above holds data.
                    before = bad.decode(name, "ignore")
                    feeds += before.count("\n")
                    returns += before.count("\r")
                    raise encoding_error(encoding, 1 + (feeds or returns), where)
                piece = text.encode("utf-8")
            feeds += piece.count(b"\n")
            returns += 0 if feeds else piece.count(b"\r")
            if piece:
                yield piece
