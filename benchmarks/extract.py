"""The input of the benchmarks: people, written in the ways people write.

Deterministic: everything about row *n* follows from *n* by a fixed integer hash (splitmix64), so the same number of
rows is the same file on every machine and with every version of NumPy and Polars.

Each row is ``id,name,email,phone``; the first two columns are there because every export has unused columns.
Of the e-mail addresses two thirds are in lower case already, the others have capitals or a space at an end. Of
the phones 92 % are Dutch, in eleven spellings (the plainest, 0612345678 and +31612345678, are 44 % of them); the
others have a plus: mostly of Belgium and Germany, one in ten of a country that the engine has no short cut for. About
3 % of the rows are earlier people again, in the spelling of the day. Of each field about 1 % is empty and about 1 %
is no address or number at all.

    python -m benchmarks.extract FILE ROWS
"""

# ruff: noqa: SIM905 (words are easier to read than lists of them)

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

BLOCK = 500_000
HEADER = b"id,name,email,phone\n"

_FIRST = (
    "jan sanne daan emma sem julia lucas mila levi tess noah sophie liam zoe finn anna luuk eva bram sara mees lotte"
    " james saar thijs nora mats lynn adam fleur olaf astrid lars ingrid pekka aino klaus greta pierre claire"
).split()
_LAST = (
    "jansen bakker visser smit meijer mulder bos vos peters hendriks dekker brouwer dijkstra smits koster prins blom"
    " huisman peeters kuiper post kuipers scholten vink willems groen mol boer karlsson virtanen schmidt dubois brown"
).split()
_DOMAINS = (
    "gmail.com hotmail.com outlook.com ziggo.nl kpnmail.nl live.nl icloud.com xs4all.nl planet.nl home.nl"
    " yahoo.com telenet.be web.de gmx.de telia.se elisa.fi proton.me me.com example.org student.uva.nl"
).split()
# Digit after "6" of a Dutch mobile number that is given out.
_DUTCH_MOBILE = "123458"
# Share out of twenty foreign numbers, prefix, and number of digits that follow in a valid mobile number.
_ABROAD = (
    (7, "+32470", 6),
    (5, "+49151", 8),
    (3, "+447400", 6),
    (1, "+4670", 7),
    (1, "+358401", 6),
    (1, "+12125", 6),
    (1, "+3361", 7),
    (1, "+4366412", 5),
)
_NO_EMAIL = (
    "n/a",
    "-",
    "onbekend",
    "jan@",
    "@gmail.com",
    "jan.gmail.com",
    "jan@gmail",
    "jan jansen@gmail,com",
    "geen",
)
_NO_PHONE = ("0", "-", "onbekend", "0612", "06123456789012", "geen", "0600000000", "123456", "zie notitie")


def mix(numbers: Numbers, salt: int) -> Numbers:
    """A hash of each number, splitmix64's; another one for each salt."""
    with np.errstate(over="ignore"):
        z = numbers + np.uint64(0x9E3779B97F4A7C15 * (2 * salt + 1) & 0xFFFFFFFFFFFFFFFF)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: Numbers = z ^ (z >> np.uint64(31))
    return mixed


def _percent(numbers: Numbers, salt: int) -> pl.Series:
    percents: pl.Series = pl.Series(mix(numbers, salt) % np.uint64(100), dtype=pl.UInt64).cast(pl.UInt8)
    return percents


def _pick(numbers: Numbers, salt: int, choices: Sequence[str | int]) -> pl.Series:
    indexes = pl.Series(mix(numbers, salt) % np.uint64(len(choices)), dtype=pl.UInt64)
    return pl.Series(list(choices)).gather(indexes)


def _digits(numbers: Numbers, salt: int, width: int) -> pl.Expr:
    return pl.lit(pl.Series(mix(numbers, salt) % np.uint64(10**width))).cast(pl.String).str.zfill(width)


def people(rows: Numbers) -> Numbers:
    """Return the person of each row: mostly a new one, in about 3 % one of an earlier row."""
    again = mix(rows, 1) % np.uint64(100) < np.uint64(3)
    return np.where(again & (rows > 0), mix(rows, 2) % np.maximum(rows, np.uint64(1)), rows)


def block(first: int, count: int) -> pl.DataFrame:
    """The rows from ``first`` on."""
    rows = np.arange(first, first + count, dtype=np.uint64)
    who = people(rows)
    frame = pl.DataFrame(
        {
            "id": pl.Series(rows + np.uint64(1)),
            "given": _pick(who, 3, _FIRST),
            "family": _pick(who, 4, _LAST),
            "domain": _pick(who, 5, _DOMAINS),
            "who": pl.Series(who).cast(pl.String),
            "of_email": _percent(rows, 6),
            "of_phone": _percent(rows, 7),
            "no_email": _pick(rows, 8, _NO_EMAIL),
            "no_phone": _pick(rows, 9, _NO_PHONE),
            "phone_kind": _percent(who, 10),
            "abroad": _pick(who, 11, [start for share, start, _ in _ABROAD for _ in range(share)]),
            "abroad_digits": _pick(who, 11, [digits for share, _, digits in _ABROAD for _ in range(share)]),
            "mobile": _pick(who, 12, _DUTCH_MOBILE),
        }
    )
    given, family, of_email, of_phone = (pl.col(name) for name in ("given", "family", "of_email", "of_phone"))
    email = pl.concat_str(given, pl.lit("."), family, "who", pl.lit("@"), "domain")
    capitals = pl.concat_str(
        given.str.to_titlecase(), pl.lit("."), family.str.to_titlecase(), "who", pl.lit("@"), "domain"
    )
    seven = _digits(who, 13, 7)
    # Mobile, or a landline of Amsterdam or Rotterdam: the nine digits after the country's own zero.
    dutch = (
        pl.when(pl.col("phone_kind") < 82)
        .then(pl.concat_str(pl.lit("6"), "mobile", seven))
        .otherwise(pl.concat_str(pl.lit("20"), pl.lit("6"), seven.str.slice(1)))
    )
    eight = _digits(who, 14, 8)
    foreign = pl.concat_str("abroad", eight.str.slice(0, "abroad_digits"))
    frame = frame.with_columns(
        name=pl.concat_str(given.str.to_titlecase(), pl.lit(" "), family.str.to_titlecase()),
        good_email=pl.when(of_email < 68)
        .then(email)
        .when(of_email < 84)
        .then(capitals)
        .when(of_email < 90)
        .then(pl.concat_str(email, pl.lit(" ")))
        .when(of_email < 95)
        .then(email.str.to_uppercase())
        .otherwise(pl.concat_str(pl.lit(" "), capitals)),
        dutch=dutch,
        foreign=foreign,
    )
    area = pl.when(pl.col("dutch").str.starts_with("6")).then(1).otherwise(2)
    start, rest = pl.col("dutch").str.slice(0, area), pl.col("dutch").str.slice(area)
    spellings: list[tuple[int, tuple[pl.Expr | str, ...]]] = [
        (26, ("0", pl.col("dutch"))),
        (44, ("+31", pl.col("dutch"))),
        (60, ("0", start, "-", rest)),
        (69, ("0", start, " ", rest.str.slice(0, 2), " ", rest.str.slice(2, 2), " ", rest.str.slice(4))),
        (77, ("+31 ", start, " ", rest)),
        (83, ("0031", pl.col("dutch"))),
        (89, (pl.col("dutch"),)),
        (92, ("(0", start, ") ", rest)),
        (95, ("+31 (0)", start, " ", rest)),
        (98, ("31", pl.col("dutch"))),
        (100, ("0", start, ".", rest.str.slice(0, 4), ".", rest.str.slice(4))),
    ]
    # Another hash than the field's: the spelling of a number is independent of its presence.
    kind = pl.lit(_percent(rows, 15))
    spelled: pl.Expr = pl.lit("")
    for limit, pieces in reversed(spellings):
        joined = pl.concat_str([pl.lit(piece) if isinstance(piece, str) else piece for piece in pieces])
        spelled = pl.when(kind < limit).then(joined).otherwise(spelled)
    return frame.with_columns(
        good_phone=pl.when(pl.col("phone_kind") < 92).then(spelled).otherwise(pl.col("foreign"))
    ).select(
        "id",
        "name",
        email=pl.when(of_email < 1)
        .then(pl.lit(""))
        .when(of_email < 2)
        .then(pl.col("no_email"))
        .otherwise(pl.col("good_email")),
        phone=pl.when(of_phone < 1)
        .then(pl.lit(""))
        .when(of_phone < 2)
        .then(pl.col("no_phone"))
        .otherwise(pl.col("good_phone")),
    )


def write(file: IO[bytes], rows: int) -> None:
    """Write the header and so many rows."""
    file.write(HEADER)
    for first in range(0, rows, BLOCK):
        block(first, min(BLOCK, rows - first)).write_csv(file, include_header=False)


def main() -> None:
    """Write a file."""
    path, rows = sys.argv[1:]
    with Path(path).open("wb") as file:
        write(file, int(rows))


if __name__ == "__main__":
    main()
