"""Files with nothing in them, and files whose first line is not what it should be."""

from __future__ import annotations

import codecs

from audience_onboarding.errors import EmptySourceError, MissingColumnError, SourceFormatError
from tests.unit.crm.malformed.case import GOOD, Case, Fails, Gives, csv_bytes, mail, malformed, phone, table

BOM = codecs.BOM_UTF8
EMPTY = [
    Case("empty file", b"", Fails(EmptySourceError, "no line")),
    Case("only a byte order mark", BOM, Fails(EmptySourceError, "no line")),
    Case(
        "only a byte order mark of utf-16",
        codecs.BOM_UTF16_LE,
        Fails(EmptySourceError, "no line"),
        source={"encoding": "utf-16"},
    ),
    Case("only line ends", b"\n\r\n\r\r\n\n", Fails(EmptySourceError, "no line")),
    Case("only a header", table(), Fails(EmptySourceError, "header row only")),
    Case("only a header, crlf", table(end="\r\n"), Fails(EmptySourceError, "header row only")),
    Case("only a header, without line end", b"email,phone", Fails(EmptySourceError, "header row only")),
    Case("header and blank lines", table() + b"\n\r\n\n", Fails(EmptySourceError, "header row only")),
    Case("one nul", b"\0", Fails(MissingColumnError, "no column 'email'")),
    Case(
        "a block of nuls, as of a transfer that stopped",
        bytes(8192),
        Fails(MissingColumnError, "no column 'email'"),
    ),
    Case("only spaces", b"     ", Fails(MissingColumnError, "no column 'email'")),
    Case("only delimiters", b",,,\n,,,\n", Fails(MissingColumnError, "no column 'email'")),
]

HEADERS = [
    Case("no header", csv_bytes(*GOOD), Fails(MissingColumnError, "looks like data")),
    Case(
        "no header, and an empty first row",
        csv_bytes(",,", f"{mail(1)},{phone(1)},"),
        Fails(MissingColumnError, "no column 'email'"),
    ),
    Case(
        "no header, and a phone in the first row",
        csv_bytes(f"Jan,06-{phone(1)[2:]}", f"Piet,{phone(2)}"),
        Fails(MissingColumnError, "looks like data"),
    ),
    Case(
        "a wanted name twice",
        csv_bytes(f"email,phone,email\n{GOOD[0]},x"),
        Fails(MissingColumnError, "2 columns"),
    ),
    Case(
        "a wanted name twice but for case and space",
        csv_bytes("E-Mail,phone,e - mail", f"{GOOD[0]},x").replace(b"-", b""),
        Fails(MissingColumnError, "2 columns"),
    ),
    Case("the exact name wins", csv_bytes("Email,phone,email", f"x,{phone(1)},{mail(1)}"), Gives(1, 1)),
    Case("other names twice", csv_bytes("x,email,x,phone", f"1,{mail(1)},2,{phone(1)}"), Gives(1, 1)),
    Case("names in capitals", csv_bytes("EMAIL,Phone", *GOOD), Gives(3, 3)),
    Case("names in spaces", csv_bytes("  email ,\tphone ", *GOOD), Gives(3, 3)),
    Case("a no-break space in a name", csv_bytes("email\u00a0,pho\u00a0ne", *GOOD), Gives(3, 3)),
    Case("byte order mark", BOM + table(*GOOD), Gives(3, 3)),
    Case("byte order mark twice", BOM + BOM + table(*GOOD), Gives(3, 3)),
    Case("byte order mark and quotes", BOM + b'"email","phone"\n' + csv_bytes(*GOOD), Gives(3, 3)),
    Case(
        "byte order mark within the quotes", b'"\xef\xbb\xbfemail","phone"\n' + csv_bytes(*GOOD), Gives(3, 3)
    ),
    Case(
        "a zero-width space in a name",
        csv_bytes("e\u200bmail,phone", *GOOD),
        Fails(MissingColumnError, "no column 'email'"),
    ),
    Case(
        "letters that look alike in a name",
        csv_bytes("em\u0430il,phone", *GOOD),
        Fails(MissingColumnError, "no column 'email'"),
    ),
    Case("a column is missing", csv_bytes("email", mail(1)), Fails(MissingColumnError, "no column 'phone'")),
    Case("names in quotes with line ends", csv_bytes('"e\nmail",phone', *GOOD), Gives(3, 3)),
    Case(
        "names with a line end in quotes, crlf",
        csv_bytes('"e\r\nmail",phone', *GOOD, end="\r\n"),
        Gives(3, 3),
    ),
    Case("blank lines before the header", b"\n\r\n\n" + table(*GOOD), Gives(3, 3)),
    Case(
        "a title before the header",
        csv_bytes("Export of the CRM", "", "email,phone", *GOOD),
        Fails(MissingColumnError, "'Export of the CRM'"),
    ),
    Case(
        "Excel's sep= line before the header",
        csv_bytes("sep=,", "email,phone", *GOOD),
        Fails(MissingColumnError, "'sep='"),
    ),
    Case(
        "a comment before the header",
        csv_bytes("# made by x", "email,phone", *GOOD),
        Fails(MissingColumnError, "#"),
    ),
    Case(
        "a name too few",
        csv_bytes("email,phone", f"{GOOD[0]},x", f"{GOOD[1]},y"),
        Fails(EmptySourceError, "malformed_row 2"),
    ),
    Case("a name too many", csv_bytes("email,phone,", *GOOD), Fails(EmptySourceError, "malformed_row 3")),
    Case(
        "a delimiter at the end of each line",
        csv_bytes("email,phone,", *(f"{row}," for row in GOOD)),
        Gives(3, 3),
    ),
    Case(
        "a delimiter at the start of each line",
        csv_bytes(",email,phone", *(f",{row}" for row in GOOD)),
        Gives(3, 3),
    ),
    Case(
        "a delimiter at the end of the header is quoted",
        csv_bytes('email,"phone,"', *GOOD),
        Fails(MissingColumnError),
    ),
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
    Case(
        "a quote left open in the header",
        csv_bytes('email,"phone', *GOOD),
        Fails(SourceFormatError, "never closed"),
    ),
    Case(
        "text after a quote in the header",
        csv_bytes('email,"pho"ne', *GOOD),
        Fails(SourceFormatError, "header row"),
    ),
    Case(
        "a quote within a name",
        csv_bytes('email,pho"ne', *GOOD),
        Fails(MissingColumnError, "no column 'phone'"),
    ),
    Case(
        "another delimiter than declared",
        csv_bytes("email;phone", f"{mail(1)};{phone(1)}"),
        Fails(MissingColumnError),
    ),
    Case(
        "another delimiter than declared, and commas in the header",
        csv_bytes("email;phone;name, first;name, last", f"{mail(1)};{phone(1)};x;y"),
        Fails(MissingColumnError),
    ),
    Case(
        "header and rows with different delimiters",
        csv_bytes("email,phone", f"{mail(1)};{phone(1)}", f"{mail(2)};{phone(2)}"),
        Fails(EmptySourceError, "malformed_row 2"),
    ),
    Case(
        "a name of 100,000 characters",
        csv_bytes("x" * 100_000 + ",mail,phone", f"1,{GOOD[0]}"),
        Fails(MissingColumnError),
    ),
    Case(
        "hundreds of names, none of them right",
        csv_bytes(",".join(f"field {number}" for number in range(900)), "," * 899),
        Fails(MissingColumnError, "and 850 more"),
    ),
    Case(
        "an address among the names",
        csv_bytes(f"email,phone,{mail(0)}", f"{GOOD[0]},x", f"{GOOD[1]},"),
        Gives(2, 2),
    ),
    Case(
        "a terminal's escape sequence in a name",
        csv_bytes("mail\x1b[31m\x07,phone", *GOOD),
        Fails(MissingColumnError),
        secrets=("\x1b",),
    ),
    Case(
        "a header of two lines",
        csv_bytes("email,phone", "(address),(number)", *GOOD),
        Gives(4, 3, rejected={"invalid_email": 1}),
    ),
    Case("a totals line at the end", table(*GOOD, "Total: 3 records"), malformed(4, 3, 4)),
    Case(
        "a totals line with a delimiter at the end",
        table(*GOOD, "Total,3"),
        Gives(4, 3, rejected={"invalid_email": 1}),
    ),
]
