"""Bytes in another encoding than the declared one."""

from __future__ import annotations

import base64
import codecs

from tests.unit.crm.malformed.case import (
    GOOD,
    Case,
    Gives,
    csv_bytes,
    mail,
    no_column,
    phone,
    table,
    unreadable,
)

ACCENTED = table(f"zo\u00eb.{mail(1)},{phone(1)}", f"ren\u00e9.{mail(2)},")
NOTES = csv_bytes("email,note,phone", f"{mail(1)},\u20ac 5 caf\u00e9,{phone(1)}", f"{mail(2)},x,{phone(2)}")


def as_(encoding: str, text: bytes = NOTES) -> bytes:
    """The text in another encoding."""
    return text.decode().encode(encoding)


def noted(note: str, encoding: str) -> bytes:
    """A row with a note in an encoding."""
    return csv_bytes("email,note,phone", f"{mail(1)},{note},", encoding=encoding)


ONE_ADDRESS_BAD = Gives(2, 2, invalid={"email": {"invalid_email": 1}})
UTF16, UTF16_LE, CP1252, AUTO = ({"encoding": name} for name in ("utf-16", "utf-16-le", "cp1252", "auto"))
LINE_2, LINE_3 = unreadable("line 2 "), unreadable("line 3 ")

NOT_UTF_8_IN_LINE_3 = {
    "invalid utf-8 in the middle": b"x\xff@leak.example,\n" + csv_bytes(GOOD[1]),
    "utf-8 cut within a character at the end": "canary.zo\u00eb".encode()[:-1],
    "overlong utf-8": b"canary\xc0\xaf,\n",
    "surrogates in utf-8, as Oracle and MySQL write them": b"canary\xed\xa0\xbd\xed\xb8\x80,\n",
    "utf-8 beyond Unicode": b"canary\xf4\x90\x80\x80,\n",
}
NOTE_NOT_UTF_8_IN_LINE_2 = {
    "cp1252, declared as utf-8": as_("cp1252"),
    "latin-1, declared as utf-8": as_("latin-1", ACCENTED),
    "Cyrillic in cp1251, declared as utf-8": noted("\u0438\u043c\u044f", "cp1251"),
    "Japanese in Shift JIS, declared as utf-8": noted("\u540d\u524d", "shift_jis"),
}

ENCODINGS = [
    *(Case(name, table(GOOD[0]) + line, LINE_3) for name, line in NOT_UTF_8_IN_LINE_3.items()),
    *(Case(name, content, LINE_2) for name, content in NOTE_NOT_UTF_8_IN_LINE_2.items()),
    Case(
        "invalid utf-8 in a column that is not mapped",
        csv_bytes("email,note,phone", f"{mail(1)},x,", f"{mail(2)},\xff,", encoding="latin-1"),
        LINE_3,
    ),
    Case(
        "invalid utf-8 in the header",
        b"email,phone,caf\xe9\n" + csv_bytes(f"{GOOD[0]},"),
        unreadable("line 1 "),
    ),
    Case(
        "invalid utf-8 after thousands of rows",
        table(*[GOOD[0]] * 5000) + b"\xe9\n",
        unreadable("line 5002 "),
        large=True,
    ),
    Case(
        "utf-8 cut within a character in a quoted field",
        table(GOOD[0]) + '"canary.\u20ac'.encode()[:-1],
        unreadable(),
    ),
    Case("encoded twice", table(f"zo\u00c3\u00ab.{mail(1)},{phone(1)}", f"{mail(2)},"), ONE_ADDRESS_BAD),
    Case(
        "replacement characters", table(f"zo\ufffd.{mail(1)},{phone(1)}", f"zo?.{mail(2)},"), ONE_ADDRESS_BAD
    ),
    Case("utf-16 with byte order mark, declared as utf-8", as_("utf-16"), unreadable("utf-16")),
    Case(
        "utf-16 big endian with byte order mark, declared as utf-8",
        codecs.BOM_UTF16_BE + as_("utf-16-be"),
        unreadable("utf-16-be"),
    ),
    Case("utf-16 without byte order mark, declared as utf-8", as_("utf-16-le", table(*GOOD)), no_column()),
    Case("utf-16 without byte order mark and with accents, declared as utf-8", as_("utf-16-le"), no_column()),
    Case("utf-32, declared as utf-8", as_("utf-32"), unreadable("utf-32")),
    Case("utf-16, found out", as_("utf-16"), Gives(2, 2), AUTO),
    Case("utf-16 without byte order mark, found out", as_("utf-16-le"), Gives(2, 2), AUTO),
    Case("utf-16, rightly declared", as_("utf-16"), Gives(2, 2), UTF16),
    Case("utf-16 with byte order mark, declared by its order", as_("utf-16"), Gives(2, 2), UTF16_LE),
    Case("utf-16 of which the last byte is missing", as_("utf-16")[:-1], LINE_3, UTF16),
    Case(
        "utf-16 with a byte lost in the middle",
        as_("utf-16", table(*GOOD))[:60] + as_("utf-16", table(*GOOD))[61:],
        unreadable(),
        UTF16,
    ),
    Case(
        "utf-16 with half a pair of surrogates",
        as_("utf-16-le", table(GOOD[0])) + b"\x3d\xd8,\0\n\0",
        LINE_3,
        UTF16_LE,
    ),
    Case("utf-16 of the other byte order", as_("utf-16-be", table(*GOOD)), no_column(), UTF16_LE),
    Case("utf-8 of even length, declared as utf-16", table(f"{mail(10)},"), no_column(), UTF16),
    Case("utf-8 of odd length, declared as utf-16", table(f"{mail(1)},"), unreadable(), UTF16),
    Case(
        "utf-8 with byte order mark, declared as utf-16",
        codecs.BOM_UTF8 + table(*GOOD),
        unreadable("utf-8"),
        UTF16,
    ),
    Case("cp1252, rightly declared", as_("cp1252"), Gives(2, 2), CP1252),
    Case("cp1252, found out", as_("cp1252"), Gives(2, 2), AUTO),
    Case("latin-1, declared as cp1252", as_("latin-1", ACCENTED), Gives(2, 2), CP1252),
    Case(
        "cp1252 with a byte that means nothing",
        as_("cp1252", table(GOOD[0])) + b"canary\x81,\n",
        LINE_3,
        CP1252,
    ),
    Case(
        "utf-8, declared as cp1252",
        ACCENTED,
        Gives(2, 1, rejected={"invalid_email": 1}, invalid={"email": {"invalid_email": 1}}),
        CP1252,
    ),
    Case(
        "utf-8 with byte order mark, declared as cp1252",
        codecs.BOM_UTF8 + table(*GOOD),
        unreadable("utf-8"),
        CP1252,
    ),
    Case(
        "utf-8 in one half and cp1252 in the other",
        NOTES + csv_bytes(f"{mail(3)},caf\u00e9,", encoding="cp1252"),
        unreadable("line 4 "),
    ),
    Case("utf-7", as_("utf-7", ACCENTED), Gives(2, 2)),
    Case("EBCDIC, of a mainframe", as_("cp500", table(*GOOD)), unreadable()),
    Case(
        "a byte order mark in the middle of a field",
        table(f"cana\ufeffry.1@leak.example,{phone(1)}", GOOD[0]),
        Gives(2, 1, duplicates=1),
    ),
    Case("a byte order mark before each row", table(*("\ufeff" + row for row in GOOD)), Gives(3, 3)),
    Case("base64 of a table", base64.b64encode(table(*GOOD)), no_column()),
    Case(
        "quoted-printable of a table",
        table(*GOOD).replace(b"@", b"=40").replace(b"\n", b"=0A=\n"),
        no_column(),
    ),
    *(
        Case(f"{name}, rightly declared", as_(name, ACCENTED), Gives(2, 2), {"encoding": name})
        for name in (
            "utf-8-sig",
            "utf-16-be",
            "windows-1252",
            "latin-1",
            "ISO-8859-1",
            "iso8859-15",
            "UTF-16LE",
        )
    ),
]
