"""Rows with too much or too little in them, line ends, and quotes."""

from __future__ import annotations

from audience_onboarding.crm.output.profiles import Identifier
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

NOTE = "email,note,phone"


def noted(*notes: str, end: str = "\n") -> bytes:
    """Rows with a note as it stands between address and phone."""
    return csv_bytes(
        NOTE, *(f"{mail(number)},{note},{phone(number)}" for number, note in enumerate(notes, 1)), end=end
    )


ALL, BOTH = Gives(3, 3), Gives(2, 2)
FIRST_OF_2, SECOND_OF_2, SECOND_OF_3 = malformed(2, 1, 1), malformed(2, 1, 2), malformed(3, 2, 2)

ROWS = [
    *(
        Case(
            f"a block that begins like a zlib stream, {start!a}",
            csv_bytes("note,email,phone", f"{start},{mail(1)},{phone(1)}", f"y,{mail(2)},{phone(2)}"),
            BOTH,
        )
        for start in ("x\x01", "x\u0680")
    ),
    Case("a short row", table(GOOD[0], mail(2), GOOD[2]), SECOND_OF_3),
    Case("a long row", table(GOOD[0], f"{GOOD[1]},x", GOOD[2]), SECOND_OF_3),
    Case(
        "a short and a long row that cancel out",
        table(mail(1), f"{GOOD[1]},x", GOOD[2]),
        malformed(3, 1, 1, 2),
    ),
    Case(
        "a long and a short row that cancel out",
        table(f"{GOOD[0]},x", mail(2), GOOD[2]),
        malformed(3, 1, 1, 2),
    ),
    Case("a row cut in two by a line end without quotes", noted("x", "a\nb", "y"), malformed(4, 2, 2, 3)),
    Case("a short row at the end", table(GOOD[0], mail(2)), SECOND_OF_2),
    Case("a short row at the end, cut within the address", table(GOOD[0]) + b"canary.2@le", SECOND_OF_2),
    Case(
        "a row cut within the phone",
        table(GOOD[0]) + f"{mail(2)},068765".encode(),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 1}}),
    ),
    Case("an empty field more", table(GOOD[0], f"{GOOD[1]},", GOOD[2]), SECOND_OF_3),
    Case("a comma in a name without quotes", noted("Jansen, Jan", "x"), FIRST_OF_2),
    Case("a decimal comma without quotes", noted("12,50", "1250", "1.250"), malformed(3, 2, 1)),
    Case(
        "a comma at the end of the last row, without line end",
        table(GOOD[0]) + f"{GOOD[1]},".encode(),
        SECOND_OF_2,
    ),
    Case("all rows short", csv_bytes(NOTE, *GOOD), nothing("malformed_row 3")),
    Case(
        "only delimiters in a row", table(GOOD[0], ",", GOOD[1]), Gives(3, 2, rejected={"no_identifier": 1})
    ),
    Case("blank lines", table(GOOD[0], "", "", GOOD[1], "", GOOD[2], "", ""), ALL),
    Case("blank lines, crlf", table(GOOD[0], "", "", GOOD[1], "", GOOD[2], "", "", end="\r\n"), ALL),
    Case("blank lines before a short row", table("", GOOD[0], "", mail(2), "", GOOD[2]), SECOND_OF_3),
    Case("lines of spaces", table(GOOD[0], "   ", GOOD[1], "\t"), malformed(4, 2, 2, 4)),
    Case("Control-Z at the end, as of DOS", table(*GOOD) + b"\x1a", malformed(4, 3, 4)),
    Case("a nul at the end", table(*GOOD) + b"\0", malformed(4, 3, 4)),
    Case("a block of nuls at the end", table(*GOOD) + bytes(4096), malformed(4, 3, 4)),
    Case(
        "a block of nuls in the middle",
        table(GOOD[0]) + bytes(4096) + b"\n" + csv_bytes(*GOOD[1:]),
        malformed(4, 3, 2),
    ),
]

LINE_ENDS = [
    Case("carriage returns only", table(*GOOD, end="\r"), ALL),
    Case("carriage returns only, none at the end", table(*GOOD, end="\r")[:-1], ALL),
    Case("carriage returns only, and blank lines", table(GOOD[0], "", GOOD[1], "", end="\r"), BOTH),
    Case("carriage returns only, and a short row", table(GOOD[0], mail(2), end="\r"), SECOND_OF_2),
    Case("line ends of all kinds", f"email,phone\r\n{GOOD[0]}\n{GOOD[1]}\r{GOOD[2]}\r\n".encode(), ALL),
    Case(
        "one carriage return among line feeds",
        f"email,phone\n{GOOD[0]}\r{GOOD[1]}\n{GOOD[2]}\n".encode(),
        ALL,
    ),
    Case("no line end at the end", table(*GOOD)[:-1], ALL),
    Case("no line end at the end, crlf", table(*GOOD, end="\r\n")[:-2], ALL),
    Case("a carriage return at the end", table(*GOOD, end="\r\n")[:-1], ALL),
    Case("carriage returns doubled", table(*GOOD, end="\r\r\n"), ALL),
    Case("line feed before carriage return", table(*GOOD, end="\n\r"), ALL),
    Case("a carriage return in a field without quotes", noted("a\rb", "x"), malformed(3, 1, 1, 2)),
]

QUOTES = [
    Case("all in quotes", table(*(f'"{mail(number)}","{phone(number)}"' for number in (1, 2))), BOTH),
    Case("all in quotes, crlf", table(f'"{mail(1)}","{phone(1)}"', f'"{mail(2)}",""', end="\r\n"), BOTH),
    Case("quoted delimiters", noted('"a, b"', '",,,"', '","'), ALL),
    Case("quoted line feeds", noted('"a\nb"', '"\n\n"', "x"), ALL),
    Case("quoted line ends, crlf", noted('"a\r\nb"', '"\r\n\r\n"', "x", end="\r\n"), ALL),
    Case("a quoted carriage return among line feeds", noted('"a\rb"', "x", "y"), ALL),
    Case(
        "quoted line feeds among crlf, and a short row",
        noted('"a\nb"', "x", end="\r\n") + b"short\r\n",
        malformed(3, 2, 3),
    ),
    Case("doubled quotes", noted('"say ""x"""', '""""', '""""""'), ALL),
    Case("doubled quotes around a delimiter", noted('"a"",""b"', '""","""'), BOTH),
    Case("doubled quotes around a line end", noted('"a""\n""b"', "x"), BOTH),
    Case("a quote within a field without quotes", noted('7" single', "x", '12" and 7"'), ALL),
    Case(
        "an Excel formula that keeps a zero",
        table(f'{mail(1)},="{phone(1)}"', GOOD[1]),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 1}}),
    ),
    Case("text after a quote", noted('"x"y', "z"), FIRST_OF_2),
    Case("a space after a quote", noted('"x" ', "z"), FIRST_OF_2),
    Case("a space before a quote", noted(' "x"', "z"), BOTH),
    Case("a space before a quote with a delimiter", noted(' "x,y"', "z"), FIRST_OF_2),
    Case("a quote escaped by a backslash", noted(r'"say \"x\""', "y", "z"), malformed(3, 2, 1)),
    Case("a backslash before the closing quote", noted('"C:\\"', "\\", "y"), ALL),
    Case("a delimiter escaped by a backslash", noted(r"a\,b", "y"), FIRST_OF_2),
    Case(
        "single quotes",
        table(*(f"'{mail(number)}','{phone(number)}'" for number in (1, 2)), GOOD[2]),
        Gives(3, 1, rejected={"invalid_email": 2}),
    ),
    Case("single quotes around a delimiter", noted("'a, b'", "x"), FIRST_OF_2),
    Case("curly quotes around a delimiter", noted("\u201ca, b\u201d", "x"), FIRST_OF_2),
    Case("an open quote at the start", table(f'"{mail(1)},{phone(1)}', *GOOD[1:]), unreadable("line 2 ")),
    Case("an open quote in the middle", noted("x", '"y', "z"), unreadable("line 3 ")),
    Case("an open quote at the end", table(*GOOD) + b'"', unreadable("line 5 ")),
    Case("an open quote in the last field", table(GOOD[0]) + f'{mail(2)},"'.encode(), unreadable("line 3 ")),
    Case("an open quote after a quoted line end", noted('"a\nb"', '"c'), unreadable("line 4 ")),
    Case("a stray quote that a later one closes", noted('"x', "y", 'z"z'), malformed(3, 2, 1)),
    # Two people are one row here, undetectably: it is a proper record.
    Case("a stray quote that a later one closes properly", noted('"x', 'y"', "z"), BOTH),
    Case(
        "a stray quote that a later one closes properly, in the last field",
        table(f'{mail(1)},"{phone(1)}', f'{mail(2)},{phone(2)}"', GOOD[2]),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 1}}),
    ),
    Case("two stray quotes, each on a line", noted('"x', "a", '"y"z', "b", "c"), malformed(5, 3, 1, 3)),
    Case(
        "a quoted field of a whole line",
        csv_bytes(NOTE, '"q"', f'{mail(1)},"",""', '""'),
        malformed(3, 1, 1, 3),
    ),
    Case("a whole row in quotes", table(f'"{GOOD[0]}"', GOOD[1]), FIRST_OF_2),
    Case("three quotes", noted('"""x"""', '"""', "y"), unreadable("line 3 ")),
    Case("quoted nothing", table('"",""', f'"{mail(1)}",""'), Gives(2, 1, rejected={"no_identifier": 1})),
    Case(
        "another quote, declared",
        csv_bytes(NOTE, f"{mail(1)},'x, ''y''',", f'{mail(2)},"z,'),
        BOTH,
        {"quote": "'"},
    ),
]

DELIMITERS = [
    Case("tabs", table(*GOOD).replace(b",", b"\t"), ALL, {"delimiter": "\t"}),
    Case("tabs that became spaces", table(*GOOD).replace(b",", b"    "), no_column(), {"delimiter": "\t"}),
    Case(
        "vertical bars, and a short row",
        table(GOOD[0], mail(2)).replace(b",", b"|"),
        SECOND_OF_2,
        {"delimiter": "|"},
    ),
    Case(
        "semicolons and decimal commas",
        csv_bytes("email;spent;phone", f"{mail(1)};12,50;{phone(1)}", f"{mail(2)};1.250,00;{phone(2)}"),
        BOTH,
        {"delimiter": ";"},
    ),
    Case(
        "semicolons, found out",
        csv_bytes("email;spent;phone", f"{mail(1)};12,50;{phone(1)}", f"{mail(2)};0,5;"),
        BOTH,
        {"delimiter": "auto"},
    ),
    Case(
        "tabs and single quotes, found out",
        csv_bytes("'email'\t'phone'", f"'{mail(1)}'\t'{phone(1)}'", f"'{mail(2)}'\t''"),
        BOTH,
        {"delimiter": "auto", "quote": "auto"},
    ),
    Case("single quotes as delimiters", table(*GOOD).replace(b",", b"'"), ALL, {"delimiter": "'"}),
    Case(
        "one column, found out",
        csv_bytes("email", mail(1), mail(2)),
        BOTH,
        {"delimiter": "auto"},
        columns={Identifier.EMAIL: "email"},
    ),
    Case(
        "one column, with a blank line, an empty field and a line of spaces",
        csv_bytes("email", mail(1), "", '""', f'"{mail(2)}"', "   "),
        Gives(4, 2, rejected={"no_identifier": 2}),
        columns={Identifier.EMAIL: "email"},
    ),
]
