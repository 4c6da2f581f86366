"""Bytes that are not the text that they are said to be."""

from __future__ import annotations

import base64
import codecs

from audience_onboarding.errors import MissingColumnError, SourceFormatError
from tests.unit.crm.malformed.case import GOOD, Case, Fails, Gives, csv_bytes, mail, phone, table

ACCENTED = table(f"zo\u00eb.{mail(1)},{phone(1)}", f"ren\u00e9.{mail(2)},")
NOTES = csv_bytes("email,note,phone", f"{mail(1)},\u20ac 5 caf\u00e9,{phone(1)}", f"{mail(2)},x,{phone(2)}")


def as_(encoding: str, text: bytes = NOTES) -> bytes:
    """The text in another encoding."""
    return text.decode().encode(encoding)


ENCODINGS = [
    Case(
        "invalid utf-8 in the middle",
        table(GOOD[0]) + b"x\xff@leak.example,\n" + csv_bytes(GOOD[1]),
        Fails(SourceFormatError, "line 3 "),
    ),
    Case(
        "invalid utf-8 in a column that nobody wants",
        csv_bytes("email,note,phone", f"{mail(1)},x,", f"{mail(2)},\xff,", encoding="latin-1"),
        Fails(SourceFormatError, "line 3 "),
    ),
    Case(
        "invalid utf-8 in the header",
        b"email,phone,caf\xe9\n" + csv_bytes(f"{GOOD[0]},"),
        Fails(SourceFormatError, "line 1 "),
    ),
    Case(
        "utf-8 cut within a character at the end",
        table(GOOD[0]) + "canary.zo\u00eb".encode()[:-1],
        Fails(SourceFormatError, "line 3 "),
    ),
    Case(
        "utf-8 cut within a character in a quoted field",
        table(GOOD[0]) + '"canary.\u20ac'.encode()[:-1],
        Fails(SourceFormatError),
    ),
    Case("overlong utf-8", table(GOOD[0]) + b"canary\xc0\xaf,\n", Fails(SourceFormatError, "line 3 ")),
    Case(
        "surrogates in utf-8, as Oracle and MySQL write them",
        table(GOOD[0]) + b"canary\xed\xa0\xbd\xed\xb8\x80,\n",
        Fails(SourceFormatError, "line 3 "),
    ),
    Case(
        "utf-8 beyond Unicode",
        table(GOOD[0]) + b"canary\xf4\x90\x80\x80,\n",
        Fails(SourceFormatError, "line 3 "),
    ),
    Case(
        "encoded twice",
        table(f"zo\u00c3\u00ab.{mail(1)},{phone(1)}", f"{mail(2)},"),
        Gives(2, 2, invalid={"email": {"invalid_email": 1}}),
    ),
    Case(
        "replacement characters",
        table(f"zo\ufffd.{mail(1)},{phone(1)}", f"zo?.{mail(2)},"),
        Gives(2, 2, invalid={"email": {"invalid_email": 1}}),
    ),
    Case("utf-16 with byte order mark, said to be utf-8", as_("utf-16"), Fails(SourceFormatError, "utf-16")),
    Case(
        "utf-16 big endian with byte order mark, said to be utf-8",
        codecs.BOM_UTF16_BE + as_("utf-16-be"),
        Fails(SourceFormatError, "utf-16-be"),
    ),
    Case(
        "utf-16 without byte order mark, said to be utf-8",
        as_("utf-16-le", table(*GOOD)),
        Fails(MissingColumnError),
    ),
    Case(
        "utf-16 without byte order mark and with accents, said to be utf-8",
        as_("utf-16-le"),
        Fails(MissingColumnError),
    ),
    Case("utf-32, said to be utf-8", as_("utf-32"), Fails(SourceFormatError, "utf-32")),
    Case("utf-16, found out", as_("utf-16"), Gives(2, 2), source={"encoding": "auto"}),
    Case(
        "utf-16 without byte order mark, found out",
        as_("utf-16-le"),
        Gives(2, 2),
        source={"encoding": "auto"},
    ),
    Case("utf-16, rightly declared", as_("utf-16"), Gives(2, 2), source={"encoding": "utf-16"}),
    Case(
        "utf-16 of which the last byte is missing",
        as_("utf-16")[:-1],
        Fails(SourceFormatError, "line 3 "),
        source={"encoding": "utf-16"},
    ),
    Case(
        "utf-16 with a byte lost in the middle",
        as_("utf-16", table(*GOOD))[:60] + as_("utf-16", table(*GOOD))[61:],
        Fails(SourceFormatError),
        source={"encoding": "utf-16"},
    ),
    Case(
        "utf-16 with half a pair of surrogates",
        as_("utf-16-le", table(GOOD[0])) + b"\x3d\xd8,\0\n\0",
        Fails(SourceFormatError, "line 3 "),
        source={"encoding": "utf-16-le"},
    ),
    Case(
        "utf-16 of the other byte order",
        as_("utf-16-be", table(*GOOD)),
        Fails(MissingColumnError),
        source={"encoding": "utf-16-le"},
    ),
    Case(
        "utf-8 of even length, said to be utf-16",
        csv_bytes("email,phone", f"{mail(10)},"),
        Fails(MissingColumnError),
        source={"encoding": "utf-16"},
    ),
    Case(
        "utf-8 of odd length, said to be utf-16",
        csv_bytes("email,phone", f"{mail(1)},"),
        Fails(SourceFormatError),
        source={"encoding": "utf-16"},
    ),
    Case(
        "utf-8 with byte order mark, said to be utf-16",
        codecs.BOM_UTF8 + table(*GOOD),
        Fails(SourceFormatError, "utf-8"),
        source={"encoding": "utf-16"},
    ),
    Case("cp1252, said to be utf-8", as_("cp1252"), Fails(SourceFormatError, "line 2 ")),
    Case("latin-1, said to be utf-8", as_("latin-1", ACCENTED), Fails(SourceFormatError, "line 2 ")),
    Case("cp1252, rightly declared", as_("cp1252"), Gives(2, 2), source={"encoding": "cp1252"}),
    Case("cp1252, found out", as_("cp1252"), Gives(2, 2), source={"encoding": "auto"}),
    Case("latin-1, said to be cp1252", as_("latin-1", ACCENTED), Gives(2, 2), source={"encoding": "cp1252"}),
    Case(
        "cp1252 with a byte that means nothing",
        as_("cp1252", table(GOOD[0])) + b"canary\x81,\n",
        Fails(SourceFormatError, "line 3 "),
        source={"encoding": "cp1252"},
    ),
    Case(
        "utf-8, said to be cp1252",
        ACCENTED,
        Gives(2, 1, rejected={"invalid_email": 1}, invalid={"email": {"invalid_email": 1}}),
        source={"encoding": "cp1252"},
    ),
    Case(
        "utf-8 with byte order mark, said to be cp1252",
        codecs.BOM_UTF8 + table(*GOOD),
        Fails(SourceFormatError, "utf-8"),
        source={"encoding": "cp1252"},
    ),
    Case(
        "utf-8 in one half and cp1252 in the other",
        NOTES + csv_bytes(f"{mail(3)},caf\u00e9,", encoding="cp1252"),
        Fails(SourceFormatError, "line 4 "),
    ),
    Case("utf-7", as_("utf-7", ACCENTED), Gives(2, 2)),
    Case("EBCDIC, of a mainframe", as_("cp500", table(*GOOD)), Fails(SourceFormatError)),
    Case(
        "Cyrillic in cp1251, said to be utf-8",
        csv_bytes("email,note,phone", f"{mail(1)},\u0438\u043c\u044f,", encoding="cp1251"),
        Fails(SourceFormatError, "line 2 "),
    ),
    Case(
        "Japanese in Shift JIS, said to be utf-8",
        csv_bytes("email,note,phone", f"{mail(1)},\u540d\u524d,", encoding="shift_jis"),
        Fails(SourceFormatError, "line 2 "),
    ),
    Case(
        "a byte order mark in the middle of a field",
        table(f"cana\ufeffry.1@leak.example,{phone(1)}", GOOD[0]),
        Gives(2, 1, duplicates=1),
    ),
    Case("a byte order mark before each row", table(*("\ufeff" + row for row in GOOD)), Gives(3, 3)),
    Case("base64 of a table", base64.b64encode(table(*GOOD)), Fails(MissingColumnError)),
    Case(
        "quoted-printable of a table",
        table(*GOOD).replace(b"@", b"=40").replace(b"\n", b"=0A=\n"),
        Fails(MissingColumnError),
    ),
]
