"""Files with too much of something, and faults that lie on the border of two blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.unit.crm.malformed.case import (
    GOOD,
    Case,
    Fails,
    Gives,
    csv_bytes,
    mail,
    malformed,
    nothing,
    phone,
    table,
    unreadable,
)

KIB = 1024
BORDER = 4 * KIB
"""Size of blocks of the cases that are about borders."""


def people(count: int, start: int = 0) -> Iterator[str]:
    """Rows without fault."""
    return (f"{mail(number)},{phone(number % 100)}" for number in range(start, start + count))


def wide(columns: int) -> Callable[[], bytes]:
    """Two good rows and a short one, of so many columns."""

    def build() -> bytes:
        more = "," * (columns - 2)
        return csv_bytes(f"email,phone{more}", f"{GOOD[0]}{more}", f"{GOOD[1]}{more[1:]}", f"{GOOD[2]}{more}")

    return build


def at_border(piece: bytes, offset: int, after: bytes = b"") -> bytes:
    """A file in which the border of two blocks lies ``offset`` bytes into the piece, which begins a line.

    Before it are good rows; the last one is lengthened by spaces to fit.
    """
    rows = table(*people(75))
    assert len(rows) + 60 < BORDER - offset
    filling = BORDER - offset - len(rows)
    last = f"{mail('last')}{' ' * (filling - 1 - len(mail('last')) - 1)},\n".encode()
    text = rows + last
    assert len(text) == BORDER - offset
    return text + piece + after


TAIL = csv_bytes(*people(40, 1000))


def at_each_place(name: str, piece: bytes, outcome: Fails | Gives, step: int = 1) -> list[Case]:
    """The piece with the border at each of its bytes."""
    return [
        Case(
            f"{name}, border {offset} bytes into it",
            at_border(piece, offset, TAIL),
            outcome,
            {"block_size": BORDER},
            large=True,
        )
        for offset in range(0, len(piece) + 1, step)
    ]


large = partial(Case, large=True)
SIZES = [
    large(
        "an unquoted field of 200 KB",
        csv_bytes("email,note,phone", f"{mail(1)},{'x' * 200_000},", f"{mail(2)},y,"),
        unreadable("longer than"),
    ),
    large(
        "a quoted field of 200 KB",
        csv_bytes("email,note,phone", f'{mail(1)},"{"x" * 200_000}",', f"{mail(2)},y,"),
        unreadable(),
    ),
    large(
        "an address of 100 KB",
        table("x" * 100_000 + f"@leak.example,{phone(1)}", GOOD[1]),
        Gives(2, 2, invalid={"email": {"invalid_email": 1}}),
    ),
    large(
        "a line of more than 1 MB",
        lambda: table(GOOD[0]) + b"canary," + b"x" * 1_100_000 + b"\n",
        unreadable("longer than"),
    ),
    large(
        "a line of more than 1 MB without line end",
        lambda: table(GOOD[0]) + b"canary," + b"x" * 1_100_000,
        unreadable("longer than"),
    ),
    large("a header of more than 1 MB", lambda: b"email," + b"x" * 1_100_000, unreadable("longer than")),
    large(
        "a row of more than 1 MB of delimiters",
        lambda: table(GOOD[0]) + b"," * 1_100_000 + b"\n",
        unreadable("longer than"),
    ),
    large(
        "a quote that is open for longer than a field may be",
        lambda: table(f'"{mail(1)},', *people(6_000)),
        unreadable("line 2 "),
    ),
    large(
        "a quote that is open for longer than a field may be, from the middle",
        lambda: table(*people(3_000), f'"{mail("x")},', *people(6_000)),
        unreadable("line 3002 "),
    ),
    large("10,000 columns", wide(10_000), malformed(3, 2, 2)),
    large(
        "many rows of which one is short",
        lambda: table(*people(6_000), "short", *people(6_000, 6_000)),
        malformed(12_001, 12_000, 6_001),
    ),
    large(
        "very many short rows",
        lambda: table(*["canary"] * 12_000, GOOD[0], *["canary"] * 12_000),
        malformed(24_001, 1, *range(1, 12_001), *range(12_002, 24_002)),
    ),
    large(
        "very many blank lines",
        lambda: table(*[""] * 40_000, GOOD[0], *[""] * 40_000, "short"),
        malformed(2, 1, 2),
    ),
    large("many rows of nothing", lambda: table(*[","] * 20_000), nothing("no_identifier 20000")),
]

BORDERS = [
    *at_each_place(
        "a quoted line feed",
        b'"b@leak.example","06\n87\n65"\n',
        Gives(117, 117, invalid={"phone": {"invalid_phone": 1}}),
    ),
    *at_each_place(
        "doubled quotes",
        b'b@leak.example,"""""x"",""\n"""\n',
        Gives(117, 117, invalid={"phone": {"invalid_phone": 1}}),
        2,
    ),
    *at_each_place("a quoted line end, crlf", b'"b@leak.example\r\n","\r\n"\r\n', Gives(117, 117), 2),
    *at_each_place(
        "characters of many bytes",
        "zo\u00eb\u20ac\U0001f600@leak.example,\nzo\u00eb@leak.example,\n".encode(),
        Gives(118, 117, rejected={"invalid_email": 1}),
        3,
    ),
    *at_each_place("a short row", b"short\n", malformed(117, 116, 77)),
    *at_each_place(
        "a short and a long row", b"x@leak.example\nx@leak.example,,\n", malformed(118, 116, 77, 78), 5
    ),
    *at_each_place("a carriage return", b"b@leak.example,\rc@leak.example,\r", Gives(118, 118), 4),
    *at_each_place("a stray quote", b'"b@leak.example,\n"x"y,\n', malformed(118, 116, 77, 78), 4),
    *at_each_place(
        "a quote within a field",
        b'b@leak.example,7"\nc@leak.example,8"\n',
        Gives(118, 118, invalid={"phone": {"invalid_phone": 2}}),
        5,
    ),
    *at_each_place("blank lines", b"\n\r\n\n\r\n", Gives(116, 116)),
    *at_each_place("an open quote", b'b@leak.example,"\n', unreadable("line 78 "), 3),
    *at_each_place("invalid utf-8", b"b@leak.example,\xff\n", unreadable("line 78 "), 3),
]
