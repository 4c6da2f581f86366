"""Files that are no delimited text at all, and archives that are broken."""

# ruff: noqa: S608 (what looks like SQL is in a file that should be CSV)

from __future__ import annotations

import gzip
import io
import zipfile

import zstandard

from audience_onboarding.errors import EmptySourceError, MissingColumnError, SourceFormatError
from tests.unit.crm.malformed.case import GOOD, Case, Fails, Gives, csv_bytes, mail, malformed, phone, table

MANY = table(*(f"{mail(number)},{phone(number % 100)}" for number in range(5_000)))


def packed(text: bytes = MANY) -> bytes:
    """With gzip, the same each time."""
    return gzip.compress(text, mtime=0)


def zstd(text: bytes = MANY, *, check_sum: bool = True) -> bytes:
    """With zstd."""
    return zstandard.ZstdCompressor(write_checksum=check_sum).compress(text)


def zipped(name: str, text: bytes) -> bytes:
    """An archive with one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


def flipped(archive: bytes, place: int) -> bytes:
    """With one byte changed."""
    return archive[:place] + bytes([archive[place] ^ 0xFF]) + archive[place + 1 :]


def ascii_mode(archive: bytes) -> bytes:
    """After a transfer in text mode."""
    return archive.replace(b"\n", b"\r\n")


PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Title (canary@leak.example) >>\nendobj\n%%EOF\n"
HTML = csv_bytes(
    "<!DOCTYPE html>",
    "<html><head><title>Sign in</title></head>",
    f'<body><input value="{mail(1)}"></body>',
    "</html>",
)
JSON = '[{"email": "canary.1@leak.example", "phone": "0687654301"}, {"email": "canary.2@leak.example"}]'

KINDS = [
    Case("a zip archive", zipped("crm.csv", table(*GOOD)), Fails(SourceFormatError, "zip archive")),
    Case(
        "a workbook named .csv",
        zipped("[Content_Types].xml", b"<Types/>"),
        Fails(SourceFormatError, "Excel workbook"),
    ),
    Case(
        "an old workbook named .csv",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
        Fails(SourceFormatError, "Excel workbook"),
    ),
    Case("a PDF", PDF, Fails(SourceFormatError, "PDF")),
    Case(
        "a Parquet file named .csv",
        b"PAR1\x15\x04\x15\x10" + bytes(50) + b"PAR1",
        Fails(SourceFormatError, "Parquet"),
    ),
    Case("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20), Fails(SourceFormatError, "line 1 ")),
    Case("a program", b"\x7fELF\x02\x01\x01\0" + bytes(50), Fails(MissingColumnError)),
    Case(
        "random bytes", bytes((number * 167 + 13) % 256 for number in range(4096)), Fails(SourceFormatError)
    ),
    Case("a sign-in page", HTML, Fails(MissingColumnError, "no column 'email'")),
    Case(
        "a sign-in page of one line", HTML.replace(b"\n", b""), Fails(MissingColumnError, "looks like data")
    ),
    Case(
        "an error page of one long line, without a digit in it",
        b"<html><body>" + b"<p>Service Unavailable</p>" * 20_000 + b"</body></html>",
        Fails(SourceFormatError, "longer than"),
        large=True,
    ),
    Case(
        "the storage's error document",
        b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        Fails(MissingColumnError),
    ),
    Case(
        "XML of the people",
        f'<?xml version="1.0"?><people><person email="{mail(1)}"/></people>'.encode(),
        Fails(MissingColumnError, "looks like data"),
    ),
    Case("JSON of the people", JSON.encode(), Fails(MissingColumnError, "looks like data")),
    Case(
        "JSON, an object a line",
        csv_bytes(*(f'{{"email": "{mail(number)}"}}' for number in (1, 2))),
        Fails(MissingColumnError, "looks like data"),
    ),
    Case(
        "JSON over many lines",
        csv_bytes("[", "{", f'"email": "{mail(1)}",', f'"phone": "{phone(1)}"', "}", "]"),
        Fails(MissingColumnError),
    ),
    Case(
        "an SQL dump",
        csv_bytes("-- dump", f"INSERT INTO people VALUES ('{mail(1)}','{phone(1)}');"),
        Fails(MissingColumnError),
    ),
    Case(
        "an SQL statement of one line",
        f"INSERT INTO people (email, phone) VALUES ('{mail(1)}','{phone(1)}');".encode(),
        Fails(MissingColumnError, "looks like data"),
    ),
    Case(
        "vCards",
        csv_bytes("BEGIN:VCARD", f"EMAIL:{mail(1)}", f"TEL:{phone(1)}", "END:VCARD"),
        Fails(MissingColumnError),
    ),
    Case(
        "columns of fixed width",
        csv_bytes("email                        phone", f"{mail(1)}        {phone(1)}"),
        Fails(MissingColumnError),
    ),
    Case(
        "a table of Markdown",
        csv_bytes("| email | phone |", "|---|---|", f"| {mail(1)} | {phone(1)} |"),
        Gives(2, 1, rejected={"invalid_email": 1}),
        source={"delimiter": "|"},
    ),
    Case(
        "a pointer of Git LFS",
        csv_bytes("version https://git-lfs.github.com/spec/v1", "oid sha256:" + "0" * 64, "size 12"),
        Fails(MissingColumnError),
    ),
    Case("a message instead of a file", b"ERROR: timeout while exporting\n", Fails(MissingColumnError)),
    Case("a message after the rows", table(*GOOD) + b"ORA-01555: snapshot too old\n", malformed(4, 3, 4)),
    Case(
        "conflict markers of Git",
        table(GOOD[0], "<<<<<<< HEAD", GOOD[1], "=======", GOOD[2], ">>>>>>> x"),
        malformed(6, 3, 2, 4, 6),
    ),
]

ARCHIVES = [
    Case("gzip", packed(), Gives(5_000, 5_000), large=True),
    Case("gzip of several members", packed(table(GOOD[0])) + packed(csv_bytes(*GOOD[1:])), Gives(3, 3)),
    Case("gzip, cut off", packed()[:-500], Fails(SourceFormatError, "cut off"), large=True),
    Case("gzip, cut off in its header", packed()[:5], Fails(SourceFormatError, "cut off")),
    Case("gzip without its check sum", packed()[:-8], Fails(SourceFormatError, "cut off"), large=True),
    Case(
        "gzip, cut off in its second member",
        packed(table(GOOD[0])) + packed(csv_bytes(GOOD[1]))[:-3],
        Fails(SourceFormatError, "cut off"),
    ),
    Case(
        "gzip with one byte changed",
        flipped(packed(), 3_000),
        Fails(SourceFormatError, "broken gzip"),
        large=True,
    ),
    Case(
        "gzip with another check sum",
        flipped(packed(), -6),
        Fails(SourceFormatError, "broken gzip"),
        large=True,
    ),
    Case(
        "gzip after a transfer in text mode",
        ascii_mode(packed()),
        Fails(SourceFormatError, "gzip"),
        large=True,
    ),
    Case("gzip of nothing", packed(b""), Fails(EmptySourceError, "no line")),
    Case(
        "gzip with text behind it",
        packed(table(GOOD[0])) + csv_bytes(GOOD[1]),
        Fails(SourceFormatError, "broken gzip"),
    ),
    Case("gzip with nuls behind it, as of a tape", packed(table(*GOOD)) + bytes(512), Gives(3, 3)),
    Case("gzip twice", packed(packed(table(*GOOD))), Fails(SourceFormatError, "compressed twice")),
    Case(
        "gzip of a workbook",
        packed(zipped("xl/workbook.xml", b"<x/>")),
        Fails(SourceFormatError, "Excel workbook"),
    ),
    Case(
        "gzip of a tar archive",
        packed(b"crm.csv" + bytes(93) + b"0000644" + bytes(400) + table(*GOOD)),
        Fails(MissingColumnError),
    ),
    Case("gzip's first two bytes only", b"\x1f\x8b", Fails(SourceFormatError, "gzip")),
    Case(
        "gzip's first bytes and rubbish",
        b"\x1f\x8b\x08\0" + b"rubbish" * 50,
        Fails(SourceFormatError, "gzip"),
    ),
    Case("zstd", zstd(), Gives(5_000, 5_000), large=True),
    Case("zstd of several frames", zstd(table(GOOD[0])) + zstd(csv_bytes(*GOOD[1:])), Gives(3, 3)),
    Case("zstd, cut off", zstd()[:-500], Fails(SourceFormatError, "cut off"), large=True),
    Case(
        "zstd, cut off between two frames",
        zstd(table(GOOD[0])) + zstd(csv_bytes(GOOD[1]))[:2],
        Fails(SourceFormatError, "cut off"),
    ),
    Case(
        "zstd with another check sum",
        flipped(zstd(), -2),
        Fails(SourceFormatError, "broken zstd"),
        large=True,
    ),
    Case(
        "zstd with rubbish behind it",
        zstd(table(GOOD[0])) + b"rubbish",
        Fails(SourceFormatError, "broken zstd"),
    ),
    Case("bzip2", b"BZh91AY&SY" + bytes(40), Fails(SourceFormatError, "bzip2")),
    Case("xz", b"\xfd7zXZ\0" + bytes(40), Fails(SourceFormatError, "xz")),
]
