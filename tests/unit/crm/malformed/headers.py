"""Files with nothing in them, and files whose first line is not a usable header."""

from __future__ import annotations

import codecs

from tests.unit.crm.malformed.case import (
    GOOD,
    Case,
    Gives,
    csv_bytes,
    mail,
    malformed,
    no_column,
    nothing,
    phone,
    table,
    unreadable,
)

BOM = codecs.BOM_UTF8
NO_EMAIL = no_column("no column 'email'")
DATA = no_column("none has a similar name")
ALL = Gives(3, 3)
NO_LINE, ONLY_HEADER = nothing("no line"), nothing("header row only")


def renamed(header: str, end: str = "\n") -> bytes:
    """Three good rows under another header."""
    return csv_bytes(header, *GOOD, end=end)


EMPTY = [
    Case("empty file", b"", NO_LINE),
    Case("only a byte order mark", BOM, NO_LINE),
    Case("only a byte order mark of utf-16", codecs.BOM_UTF16_LE, NO_LINE, {"encoding": "utf-16"}),
    Case("only line ends", b"\n\r\n\r\r\n\n", NO_LINE),
    Case("only a header", table(), ONLY_HEADER),
    Case("only a header, crlf", table(end="\r\n"), ONLY_HEADER),
    Case("only a header, without line end", b"email,phone", ONLY_HEADER),
    Case("header and blank lines", table() + b"\n\r\n\n", ONLY_HEADER),
    Case("one nul", b"\0", NO_EMAIL),
    Case("a block of nuls, as of a transfer that stopped", bytes(8192), NO_EMAIL),
    Case("only spaces", b"     ", NO_EMAIL),
    Case("only delimiters", b",,,\n,,,\n", NO_EMAIL),
]

HEADERS = [
    Case("no header", csv_bytes(*GOOD), DATA),
    Case("no header, and an empty first row", csv_bytes(",,", f"{mail(1)},{phone(1)},"), NO_EMAIL),
    Case(
        "no header, and a phone in the first row",
        csv_bytes(f"Jan,06-{phone(1)[2:]}", f"Piet,{phone(2)}"),
        DATA,
    ),
    Case(
        "no header, and a phone in groups in the first row",
        b"Jan,06 87 65 43 01\nPiet,x\n",
        DATA,
        secrets=("06 87 65 43 01",),
    ),
    Case(
        "no header, and a hash in the first row",
        f"eee{'1' * 61},x\n".encode(),
        DATA,
        secrets=("eee" + "1" * 61,),
    ),
    Case("a wanted name twice", csv_bytes("email,phone,email", f"{GOOD[0]},x"), no_column("2 columns")),
    Case(
        "a mapped name twice, in other case and spacing",
        csv_bytes("EMail,phone,e  mail", f"{GOOD[0]},x"),
        no_column("2 columns"),
    ),
    Case("the exact name wins", csv_bytes("Email,phone,email", f"x,{phone(1)},{mail(1)}"), Gives(1, 1)),
    Case("other names twice", csv_bytes("x,email,x,phone", f"1,{mail(1)},2,{phone(1)}"), Gives(1, 1)),
    Case("empty names", csv_bytes(",email,,phone", f"1,{mail(1)},2,"), Gives(1, 1)),
    Case("names in capitals", renamed("EMAIL,Phone"), ALL),
    Case("names in spaces", renamed("  email ,\tphone "), ALL),
    Case("a no-break space in a name", renamed("email\u00a0,pho\u00a0ne"), ALL),
    Case("byte order mark", BOM + table(*GOOD), ALL),
    Case("byte order mark twice", BOM + BOM + table(*GOOD), ALL),
    Case("byte order mark and quotes", BOM + renamed('"email","phone"'), ALL),
    Case("byte order mark within the quotes", renamed('"\ufeffemail","phone"'), ALL),
    Case("a zero-width space in a name", renamed("e\u200bmail,phone"), NO_EMAIL),
    Case("similar letters in a name", renamed("em\u0430il,phone"), NO_EMAIL),
    Case("a column is missing", csv_bytes("email", mail(1)), no_column("no column 'phone'")),
    Case("a column has another name", renamed("mail,phone"), no_column("did you mean 'mail'?")),
    Case("names in quotes with line ends", renamed('"e\nmail",phone'), ALL),
    Case("names with a line end in quotes, crlf", renamed('"e\r\nmail",phone', "\r\n"), ALL),
    Case("a quoted delimiter in another name", csv_bytes('"a, b",email,phone', f"x,{GOOD[0]}"), Gives(1, 1)),
    Case("blank lines before the header", b"\n\r\n\n" + table(*GOOD), ALL),
    Case(
        "a title before the header",
        b"Export of the CRM\n\n" + table(*GOOD),
        no_column("it has 1 column(s)"),
    ),
    Case("Excel's sep= line before the header", b"sep=,\n" + table(*GOOD), no_column("it has 2 column(s)")),
    Case("a comment before the header", b"# made by x\n" + table(*GOOD), no_column("it has 1 column(s)")),
    Case("a name too few", table(f"{GOOD[0]},x", f"{GOOD[1]},y"), nothing("malformed_row 2")),
    Case("a name too many", renamed("email,phone,"), nothing("malformed_row 3")),
    Case("a delimiter at the end of each line", csv_bytes("email,phone,", *(f"{row}," for row in GOOD)), ALL),
    Case(
        "a delimiter at the start of each line", csv_bytes(",email,phone", *(f",{row}" for row in GOOD)), ALL
    ),
    Case("a delimiter at the end of the header is quoted", renamed('email,"phone,"'), no_column()),
    Case(
        "the header again within the rows",
        table(GOOD[0], "email,phone", GOOD[1], "email,phone"),
        Gives(4, 2, rejected={"invalid_email": 2}),
    ),
    Case(
        "two exports in one file, with a byte order mark in the middle",
        BOM + table(GOOD[0]) + BOM + table(GOOD[0], GOOD[1]),
        Gives(4, 2, duplicates=1, rejected={"invalid_email": 1}),
    ),
    Case("a quote left open in the header", renamed('email,"phone'), unreadable("Unclosed quote")),
    Case("text after a quote in the header", renamed('email,"pho"ne'), unreadable("header row")),
    Case("a quote within a name", renamed('email,pho"ne'), no_column("no column 'phone'")),
    Case("another delimiter than declared", csv_bytes("email;phone", f"{mail(1)};{phone(1)}"), no_column()),
    Case(
        "another delimiter than declared, and commas in the header",
        csv_bytes("email;phone;name, first;name, last", f"{mail(1)};{phone(1)};x;y"),
        no_column(),
    ),
    Case(
        "header and rows with different delimiters",
        table(f"{mail(1)};{phone(1)}", f"{mail(2)};{phone(2)}"),
        nothing("malformed_row 2"),
    ),
    Case(
        "a name of 100,000 characters", csv_bytes("x" * 100_000 + ",mail,phone", f"1,{GOOD[0]}"), no_column()
    ),
    Case(
        "hundreds of names, none of them right",
        csv_bytes(",".join(f"field {number}" for number in range(900)), "," * 899),
        no_column("it has 900 column(s)"),
    ),
    Case(
        "an address among the names",
        csv_bytes(f"email,phone,{mail(0)}", f"{GOOD[0]},x", f"{GOOD[1]},"),
        Gives(2, 2),
    ),
    Case(
        "a terminal's escape sequence in a name",
        renamed("mail\x1b[31m\x07,phone"),
        no_column(),
        secrets=("\x1b",),
    ),
    Case(
        "a header of two lines",
        table("(address),(number)", *GOOD),
        Gives(4, 3, rejected={"invalid_email": 1}),
    ),
    Case("a totals line at the end", table(*GOOD, "Total: 3 records"), malformed(4, 3, 4)),
    Case(
        "a totals line with a delimiter at the end",
        table(*GOOD, "Total,3"),
        Gives(4, 3, rejected={"invalid_email": 1}),
    ),
]
