"""Files that are no delimited text at all, and archives that are broken."""

# ruff: noqa: S608 (SQL in a file that should be CSV)

from __future__ import annotations

import gzip

import zstandard

from tests.unit.crm.malformed.case import (
    GOOD,
    Case,
    Gives,
    csv_bytes,
    flipped,
    mail,
    malformed,
    no_column,
    nothing,
    phone,
    table,
    unreadable,
)
from tests.unit.crm.workbooks import zipped

MANY = table(*(f"{mail(number)},{phone(number % 100)}" for number in range(5_000)))


def packed(text: bytes = MANY) -> bytes:
    """With gzip, the same each time."""
    return gzip.compress(text, mtime=0)


def zstd(text: bytes = MANY, *, check_sum: bool = True) -> bytes:
    """With zstd."""
    return zstandard.ZstdCompressor(write_checksum=check_sum).compress(text)


def ascii_mode(archive: bytes) -> bytes:
    """After a transfer in text mode."""
    return archive.replace(b"\n", b"\r\n")


EXCEL, TEXT, DATA = unreadable("Excel workbook"), no_column(), no_column("none has a similar name")
CUT_OFF, BROKEN_GZIP = unreadable("cut off"), unreadable("broken gzip")
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Title (canary@leak.example) >>\nendobj\n%%EOF\n"
HTML = csv_bytes(
    "<!DOCTYPE html>",
    "<html><head><title>Sign in</title></head>",
    f'<body><input value="{mail(1)}"></body>',
    "</html>",
)
JSON = '[{"email": "canary.1@leak.example", "phone": "0687654301"}, {"email": "canary.2@leak.example"}]'

KINDS = [
    Case("a zip archive", zipped({"crm.csv": table(*GOOD).decode()}), unreadable("zip archive")),
    Case("a workbook named .csv", zipped({"[Content_Types].xml": "<Types/>"}), EXCEL),
    Case("an old workbook named .csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), EXCEL),
    Case("a PDF", PDF, unreadable("PDF")),
    Case("a Parquet file named .csv", b"PAR1\x15\x04\x15\x10" + bytes(50) + b"PAR1", unreadable("Parquet")),
    Case("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20), unreadable("line 1 ")),
    Case("a program", b"\x7fELF\x02\x01\x01\0" + bytes(50), TEXT),
    Case("random bytes", bytes((number * 167 + 13) % 256 for number in range(4096)), unreadable()),
    Case("a sign-in page", HTML, no_column("no column 'email'")),
    Case("a sign-in page of one line", HTML.replace(b"\n", b""), DATA),
    Case(
        "an error page of one long line, without a digit in it",
        b"<html><body>" + b"<p>Service Unavailable</p>" * 20_000 + b"</body></html>",
        unreadable("longer than"),
        large=True,
    ),
    Case(
        "the storage's error document",
        b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        TEXT,
    ),
    Case(
        "XML of the people",
        f'<?xml version="1.0"?><people><person email="{mail(1)}"/></people>'.encode(),
        DATA,
    ),
    Case("JSON of the people", JSON.encode(), DATA),
    Case("JSON, an object a line", csv_bytes(*(f'{{"email": "{mail(number)}"}}' for number in (1, 2))), DATA),
    Case(
        "JSON over many lines",
        csv_bytes("[", "{", f'"email": "{mail(1)}",', f'"phone": "{phone(1)}"', "}", "]"),
        TEXT,
    ),
    Case("an SQL dump", csv_bytes("-- dump", f"INSERT INTO people VALUES ('{mail(1)}','{phone(1)}');"), TEXT),
    Case(
        "an SQL statement of one line",
        f"INSERT INTO people (email, phone) VALUES ('{mail(1)}','{phone(1)}');".encode(),
        DATA,
    ),
    Case("vCards", csv_bytes("BEGIN:VCARD", f"EMAIL:{mail(1)}", f"TEL:{phone(1)}", "END:VCARD"), TEXT),
    Case(
        "columns of fixed width",
        csv_bytes("email                        phone", f"{mail(1)}        {phone(1)}"),
        TEXT,
    ),
    Case(
        "a table of Markdown",
        csv_bytes("| email | phone |", "|---|---|", f"| {mail(1)} | {phone(1)} |"),
        Gives(2, 1, rejected={"invalid_email": 1}),
        {"delimiter": "|"},
    ),
    Case(
        "a pointer of Git LFS",
        csv_bytes("version https://git-lfs.github.com/spec/v1", "oid sha256:" + "0" * 64, "size 12"),
        TEXT,
    ),
    Case("a message instead of a file", b"ERROR: timeout while exporting\n", TEXT),
    Case("a message after the rows", table(*GOOD) + b"ORA-01555: snapshot too old\n", malformed(4, 3, 4)),
    Case(
        "conflict markers of Git",
        table(GOOD[0], "<<<<<<< HEAD", GOOD[1], "=======", GOOD[2], ">>>>>>> x"),
        malformed(6, 3, 2, 4, 6),
    ),
]

ONE, REST, GZIP, ZSTD = table(GOOD[0]), csv_bytes(*GOOD[1:]), packed(), zstd()
ARCHIVES = [
    Case("gzip", GZIP, Gives(5_000, 5_000), large=True),
    Case("gzip of several members", packed(ONE) + packed(REST), Gives(3, 3)),
    Case("gzip, cut off", GZIP[:-500], CUT_OFF, large=True),
    Case("gzip, cut off in its header", GZIP[:5], CUT_OFF),
    Case("gzip without its check sum", GZIP[:-8], CUT_OFF, large=True),
    Case("gzip, cut off in its second member", packed(ONE) + packed(REST)[:-3], CUT_OFF),
    Case("gzip with one byte changed", flipped(GZIP, 3_000), BROKEN_GZIP, large=True),
    Case("gzip with another check sum", flipped(GZIP, -6), BROKEN_GZIP, large=True),
    Case("gzip after a transfer in text mode", ascii_mode(GZIP), unreadable("gzip"), large=True),
    Case("gzip of nothing", packed(b""), nothing("no line")),
    Case("gzip with text behind it", packed(ONE) + REST, BROKEN_GZIP),
    Case("gzip with nuls behind it, as of a tape", packed(table(*GOOD)) + bytes(512), Gives(3, 3)),
    Case("gzip twice", packed(packed(table(*GOOD))), unreadable("compressed twice")),
    Case("gzip of a workbook", packed(zipped({"xl/workbook.xml": "<x/>"})), EXCEL),
    Case(
        "gzip of a tar archive",
        packed(b"crm.csv" + bytes(93) + b"0000644" + bytes(400) + table(*GOOD)),
        TEXT,
    ),
    Case("gzip's first two bytes only", b"\x1f\x8b", unreadable("gzip")),
    Case("gzip's first bytes and nuls", b"\x1f\x8b\x08" + bytes(100), unreadable("gzip")),
    Case("gzip's first bytes and rubbish", b"\x1f\x8b\x08\0" + b"rubbish" * 50, unreadable("gzip")),
    Case("zstd", ZSTD, Gives(5_000, 5_000), large=True),
    Case("zstd of several frames", zstd(ONE) + zstd(REST), Gives(3, 3)),
    Case("zstd, cut off", ZSTD[:-500], CUT_OFF, large=True),
    Case("zstd, cut off between two frames", zstd(ONE) + zstd(REST)[:2], CUT_OFF),
    Case("zstd with another check sum", flipped(ZSTD, -2), unreadable("broken zstd"), large=True),
    Case("zstd with rubbish behind it", zstd(ONE) + b"rubbish", unreadable("broken zstd")),
    Case("bzip2", b"BZh91AY&SY" + bytes(40), unreadable("bzip2")),
    Case("xz", b"\xfd7zXZ\0" + bytes(40), unreadable("xz")),
]
