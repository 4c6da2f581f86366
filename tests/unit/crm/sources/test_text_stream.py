"""Contents of a "CSV" file: compression, other encodings, no text at all."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pytest
import zstandard

from audience_onboarding.crm.sources import text_stream
from audience_onboarding.crm.sources.text_stream import ENCODINGS, as_utf8, decompressed, open_file
from audience_onboarding.exceptions import SourceFormatError, SourceNotFoundError, StorageUnavailableError
from tests.unit.crm.malformed.case import words
from tests.unit.crm.workbooks import zipped

MIB = 1024 * 1024
RANDOM = random.Random(4)
TEXT = b"email,phone\n" + b"".join(
    b"user%d@x.example,06%08d\n" % (n, RANDOM.randrange(10**8)) for n in range(40_000)
)


class Unseekable(io.RawIOBase):
    """Bytes that come in small portions and once only, as from a network."""

    def __init__(self, content: bytes, portion: int = 1000) -> None:
        self._stream = io.BytesIO(content)
        self._portion = portion

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        return self._stream.readinto(memoryview(buffer)[: self._portion])


def from_memory(content: bytes) -> BinaryIO:
    return io.BytesIO(content)


def from_network(content: bytes) -> BinaryIO:
    return Unseekable(content)  # type: ignore[return-value]


def drain(stream: BinaryIO) -> None:
    while stream.read(10_000):
        pass


def zstd(content: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)  # type: ignore[arg-type]


def zstd_streamed(content: bytes) -> bytes:
    """As the command line tool writes it: the frame has no content size."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor(write_checksum=True).stream_writer(out, closefd=False) as packer:
        for at in range(0, len(content), 100_000):
            packer.write(content[at : at + 100_000])
            packer.flush()
    return out.getvalue()


HALF = len(TEXT) // 2
SKIPPABLE = b"\x5a\x2a\x4d\x18" + (300_000).to_bytes(4, "little") + b"x" * 300_000

PACKED = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "gzip, uncompressed": gzip.compress(TEXT, 0),
    "gzip of two members": gzip.compress(TEXT[:HALF]) + gzip.compress(TEXT[HALF:]),
    "gzip with an empty member": gzip.compress(TEXT) + gzip.compress(b""),
    "gzip with padding": gzip.compress(TEXT) + b"\0" * 300_000,
    "gzip with padding between members": gzip.compress(TEXT[:HALF]) + b"\0" * 9 + gzip.compress(TEXT[HALF:]),
    "zstd": zstd(TEXT),
    "zstd without a checksum": zstd(TEXT, write_checksum=False),
    "zstd without its size": zstd(TEXT, write_content_size=False),
    "zstd, streamed": zstd_streamed(TEXT),
    "zstd of two frames": zstd(TEXT[:HALF]) + zstd_streamed(TEXT[HALF:]),
    "zstd with an empty frame": zstd(b"") + zstd(TEXT) + zstd(b""),
    "zstd with a skippable frame first": SKIPPABLE + zstd(TEXT),
    "zstd with a skippable frame last": zstd(TEXT) + SKIPPABLE,
}


@pytest.mark.parametrize("name", PACKED)
def test_text_stream_read_in_any_sizes_is_equal(name: str) -> None:
    for source in (from_memory, from_network):
        assert decompressed(source(PACKED[name]), "x").read() == TEXT
    stream = decompressed(from_network(PACKED[name]), "x")
    assert stream.readline() == b"email,phone\n"
    buffer = bytearray(7)
    assert stream.readinto(buffer) == 7  # type: ignore[attr-defined]
    read = [b"email,phone\n", bytes(buffer)]
    while block := stream.read(12_345):
        read.append(block)
    # Blocks are full, except the last one.
    assert {len(block) for block in read[2:-1]} == {12_345}
    assert b"".join(read) == TEXT
    assert stream.read(10) == b""


def test_text_stream_short_and_unusual_texts_are_unchanged() -> None:
    for content in (b"", b"a", b"\x1f", b"PK", b"PAR1", b"BZh", b"email\n", b"PAR1,PAR2\n", b"BZh9,x\n"):
        for source in (from_memory, from_network):
            for packed in (content, gzip.compress(content), zstd(content)):
                assert decompressed(source(packed), "x").read() == content, packed


def test_text_stream_plain_local_file_is_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(TEXT)
    with path.open("rb") as stream:
        assert as_utf8(decompressed(stream, "x"), "utf-8", "x") is stream
        assert stream.tell() == 0


def test_text_stream_with_read_only_works() -> None:
    class Reads:
        def __init__(self, content: bytes) -> None:
            self.read = io.BytesIO(content).read

    for content in PACKED.values():
        assert decompressed(Reads(content), "x").read() == TEXT  # type: ignore[arg-type]


def test_text_stream_closed_keeps_stream_below_open() -> None:
    below = io.BytesIO(gzip.compress(TEXT))
    decompressed(below, "x").close()
    assert not below.closed


@pytest.mark.parametrize("pack", [gzip.compress, zstd, zstd_streamed])
@pytest.mark.parametrize("source", [from_memory, from_network])
def test_decompressed_cut_off_anywhere_raises(
    pack: Callable[[bytes], bytes], source: Callable[[bytes], BinaryIO]
) -> None:
    whole = pack(TEXT[:3000])
    for size in range(5, len(whole)):
        with pytest.raises(SourceFormatError, match=r"cut off.*my\.csv.*ends too early"):
            decompressed(source(whole[:size]), "my.csv").read()


def test_decompressed_second_member_cut_off_raises() -> None:
    for pack in (gzip.compress, zstd):
        once = pack(TEXT[:100])
        for size in range(len(once) + 1, 2 * len(once)):
            with pytest.raises(SourceFormatError, match=r"cut off|broken"):
                decompressed(io.BytesIO((once + once)[:size]), "x").read()


def test_decompressed_error_comes_after_valid_data_and_repeats() -> None:
    for pack in (gzip.compress, zstd):
        stream = decompressed(io.BytesIO(pack(TEXT)[:-1]), "x")
        assert stream.read(100_000) == TEXT[:100_000]
        for _ in range(2):  # never a quiet end after an error
            with pytest.raises(SourceFormatError):
                drain(stream)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT)[:-8] + b"\0" * 8,  # check sum and size
        gzip.compress(TEXT)[:2000] + b"\xff" * 500 + gzip.compress(TEXT)[2500:],
        gzip.compress(TEXT) + b"and more",
        b"\x1f\x8b\x07" + bytes(200),
        zstd(TEXT, write_checksum=True)[:-4] + b"\0" * 4,
        zstd(TEXT, write_checksum=True)[:2000] + b"\xff" * 500 + zstd(TEXT, write_checksum=True)[2500:],
        zstd(TEXT) + b"and more",
        zstd(b"")[:4] + b"\xff" * 300,
        zstd(TEXT, write_checksum=False)[:9] + b"\x07\x00\x00" + bytes(100),
    ],
)
def test_decompressed_broken_archive_raises(content: bytes) -> None:
    with pytest.raises(SourceFormatError, match=r"broken (gzip|zstd) archive") as caught:
        decompressed(io.BytesIO(content), "my.csv.gz").read()
    assert caught.value.__context__ is None


def test_decompressed_damage_anywhere_is_an_error_or_harmless() -> None:
    for pack in (gzip.compress, lambda content: zstd(content, write_checksum=True)):
        whole = pack(TEXT[:2000])
        for at in range(4, len(whole)):
            damaged = bytearray(whole)
            damaged[at] ^= 0x55
            try:
                read = decompressed(io.BytesIO(bytes(damaged)), "x").read()
            except SourceFormatError:
                continue
            assert read == TEXT[:2000]


WORKBOOK = zipped({"[Content_Types].xml": "<Types/>"})


def parquet() -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"a": ["x"]}).write_parquet(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "advice"),
    [
        (WORKBOOK, "an Excel workbook", "format of the source to xlsx"),
        (zipped({"crm.csv": "email"}), "a zip archive", "gzip or zstd"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old or a protected Excel workbook", "xlsx"),
        (parquet(), "a Parquet file", "format of the source to parquet"),
        (bz2.compress(TEXT), "compressed with bzip2", "gzip or zstd"),
        (bz2.compress(b""), "compressed with bzip2", "gzip or zstd"),
        (lzma.compress(TEXT), "compressed with xz", "gzip or zstd"),
        (gzip.compress(gzip.compress(TEXT)), "compressed twice", "once"),
        (zstd(gzip.compress(TEXT)), "compressed twice", "once"),
        (gzip.compress(WORKBOOK), "an Excel workbook", "xlsx"),
        (b"%PDF-1.7\n", "a PDF", "CSV"),
    ],
    # Not by the content, which holds the time at which it was packed: each process would name the test otherwise.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decompressed_other_kind_is_named(content: bytes, kind: str, advice: str) -> None:
    for source in (from_memory, from_network):
        with pytest.raises(SourceFormatError, match="not a text file") as caught:
            decompressed(source(content), "s3://bucket/my.csv")
        assert kind in caught.value.why
        assert advice in caught.value.next_step
        assert caught.value.where == "s3://bucket/my.csv"


def test_decompressed_zstd_large_window_raises() -> None:
    dictionary = zstandard.train_dictionary(1000, [TEXT[at : at + 200] for at in range(0, 100_000, 200)])
    with pytest.raises(SourceFormatError, match="dictionary"):
        decompressed(io.BytesIO(zstd(TEXT, dict_data=dictionary)), "x").read()
    wide = zstandard.ZstdCompressionParameters(window_log=28, write_content_size=False)
    out = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=wide).stream_writer(out, closefd=False) as packer:
        packer.write(b"x")
    with pytest.raises(SourceFormatError, match=r"256 MiB.*maximum 128"):
        decompressed(io.BytesIO(out.getvalue()), "x").read()


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_decompressed_bomb_bounds_memory(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(bytes(64 * MIB))
    stream = decompressed(io.BytesIO(packed), "x")
    tracemalloc.start()
    size = 0
    while block := stream.read(MIB):
        size += len(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 64 * MIB
    assert peak < 8 * MIB


def test_decompressed_storage_error_is_passed_on() -> None:
    class Breaks(Unseekable):
        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            if size := super().readinto(buffer):
                return size
            raise StorageUnavailableError(what="the download broke off")

    for content in (TEXT, gzip.compress(TEXT), zstd(TEXT), "é\n".encode("cp1252") * 10_000):
        stream = as_utf8(decompressed(Breaks(content), "x"), "cp1252", "x")  # type: ignore[arg-type]
        with pytest.raises(StorageUnavailableError):
            drain(stream)


@pytest.mark.parametrize("name", ["none.csv", "crm\0.csv", "."])
def test_open_file_unreadable_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceNotFoundError, match=r"cannot be opened.*s3://b/crm\.csv"):
        open_file(tmp_path / name, "s3://b/crm.csv")


# --- encodings -----------------------------------------------------------------------------------------------

LATIN = "naam;plaats\nJosé;Zürich\n" * 10
EURO = "naam;prijs\nJosé;€ 5\n"


# Declared encoding = encoding that Python writes, which adds a byte order mark for utf-8-sig and utf-16.
RIGHTLY_DECLARED = words(
    "utf-8=utf-8 utf-8=utf-8-sig utf-8-sig=utf-8 utf-8-sig=utf-8-sig UTF8=utf-8 cp1252=cp1252 windows-1252=cp1252"
    " iso8859-15=iso8859-15 utf-16=utf-16 utf-16=utf-16-le utf-16-le=utf-16-le utf-16-le=utf-16"
    " utf-16-be=utf-16-be"
)


@pytest.mark.parametrize("source", [from_memory, from_network])
def test_as_utf8_any_encoding_becomes_utf8(source: Callable[[bytes], BinaryIO]) -> None:
    cases = [(each.split("=")[0], EURO, EURO.encode(each.split("=")[1])) for each in RIGHTLY_DECLARED]
    cases += [
        ("latin-1", LATIN, LATIN.encode("latin-1")),
        ("iso8859-1", "\x80\x9f", b"\x80\x9f"),
        ("utf-16", EURO, codecs.BOM_UTF16_BE + EURO.encode("utf-16-be")),
        ("utf-16-be", EURO, codecs.BOM_UTF16_BE + EURO.encode("utf-16-be")),
        ("utf-16", "😀\n", "😀\n".encode("utf-16")),
        *((encoding, "", b"") for encoding in ENCODINGS),
    ]
    for encoding, text, content in cases:
        assert as_utf8(source(content), encoding, "x").read() == text.encode(), (encoding, content)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-be"])
def test_as_utf8_long_text_in_any_sizes_is_equal(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "_BLOCK", 400_000)
    text = "".join(f"user{n}@x.example;{'é' * (n % 3)}€\r\n" for n in range(40_000))
    content = text.encode(encoding)
    for portion in (1001, MIB):
        stream = as_utf8(Unseekable(content, portion), encoding, "x")  # type: ignore[arg-type]
        read = []
        while block := stream.read(99_999):
            read.append(block)
        assert {len(block) for block in read[:-1]} == {99_999}
        assert b"".join(read) == text.encode()


@pytest.mark.parametrize(
    ("encoding", "content", "line"),
    [
        ("cp1252", b"email\nx\n\x81@x.example\n", 3),
        ("cp1252", b"email\r\nx\r\n\x81@x.example\r\n", 3),
        ("cp1252", b"email\rx\r\x81@x.example\r", 3),
        ("cp1252", b"\x81", 1),
        ("cp1252", b"x\n" * 300_000 + b"\x9d", 300_001),
        ("cp1252", "é\n".encode("cp1252") * 300_000 + b"\x9d", 300_001),
        ("utf-16", "email\nx\n".encode("utf-16") + b"\x00", 3),  # half a character
        ("utf-16-le", "email\nx".encode("utf-16-le") + b"\x00\xd8" + "\n".encode("utf-16-le"), 2),
        ("utf-16", codecs.BOM_UTF16_BE + "a\nb\nc".encode("utf-16-be") + b"\xdc\x00", 3),
        ("utf-16", "ab\n".encode("utf-16") + "ab\n".encode("utf-16-le") * 100_000 + b"\x00\xdc", 100_002),
    ],
)
def test_as_utf8_invalid_bytes_error_has_line(
    encoding: str, content: bytes, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_stream, "_BLOCK", 400_000)
    stream = as_utf8(io.BytesIO(content), encoding, "my.csv")
    with pytest.raises(
        SourceFormatError, match=rf"Invalid {encoding} text in line {line} of the CRM file"
    ) as caught:
        stream.read()
    assert caught.value.where == "my.csv"
    # The decoder's exception holds the data.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("declared", "content", "marked"),
    [
        ("utf-8", EURO.encode("utf-16"), "utf-16-le"),
        ("cp1252", EURO.encode("utf-16"), "utf-16-le"),
        ("cp1252", EURO.encode("utf-8-sig"), "utf-8"),
        ("utf-16", EURO.encode("utf-8-sig"), "utf-8"),
        ("utf-16-be", EURO.encode("utf-16"), "utf-16-le"),
        ("utf-16", EURO.encode("utf-32"), "utf-32"),
        ("utf-8", EURO.encode("utf-32"), "utf-32"),
    ],
)
def test_as_utf8_other_byte_order_mark_raises(declared: str, content: bytes, marked: str) -> None:
    with pytest.raises(SourceFormatError, match=f"not {declared} text.*byte order mark of {marked}"):
        as_utf8(io.BytesIO(content), declared, "x")
