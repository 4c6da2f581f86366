#!/usr/bin/env python3
"""Write synthetic CRM extracts of the example audiences, one file a day.

The same arguments give the same bytes, on every machine and Python version: names, dates and dirt are drawn from
SHA-256, not from a random generator whose sequence might change.

No person is in them. Addresses are in domains that RFC 2606 reserves. Phone numbers count up from a round number;
they have to be valid by the numbering plan, or the engine would rightly refuse them, so do not call them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

DATES = tuple(date(2026, 11, 16) + timedelta(days=day) for day in range(5))
DEFAULT_OUT = Path(__file__).resolve().parents[1] / "include" / "crm"
DEFAULT_ROWS = 3000
DEFAULT_SEED = 20261116

FIRST_NAMES = (
    "Anaïs", "Björn", "Bram", "Chloë", "Daan", "Emma", "Fenna", "Finn", "Hanna", "Isa", "Jan", "Joris", "José",
    "Julia", "Lars", "Lotte", "Maud", "Mees", "Mila", "Noah", "Nora", "Olivier", "Pim", "Renée", "Roos", "Sanne",
    "Sem", "Sofie", "Tess", "Thijs", "Tijn", "Vera", "Wout", "Yara", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "akker", "beek", "berg", "bos", "brug", "dijk", "duin", "heide", "hof", "kade", "laan", "linde", "meer", "molen",
    "plein", "polder", "sluis", "steen", "veld", "weide",
)  # fmt: skip
CITIES = (
    "Amersfoort", "Amsterdam", "Arnhem", "Bergen, NH", "Breda", "Delft", "Den Haag\n(Scheveningen)", "Deventer",
    "Eindhoven", "Groningen", "Haarlem", "Leeuwarden", "Leiden", "Maastricht", "Middelburg", "Nijmegen",
    "Rotterdam", "Súdwest-Fryslân", "Tilburg", "Utrecht", 'Zeist ("Den Dolder")', "Zwolle",
)  # fmt: skip
DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "post.example", "inbox.test")
BAD_EMAILS = (
    "{local}",
    "{local}@",
    "{local}@@{domain}",
    "{local}@localhost",
    "{local}.@{domain}",
    "n/a",
    "onbekend",
)
BAD_PHONES = ("0612", "06-00000000", "geen", "000000000", "+31 6 1234 5678 90", "06 1234 567x", "-")
FOREIGN_PHONES = ("+32 470 00 {0:02d} {1:02d}", "0049 1512 00{0:02d}0{1:02d}", "+44 7400 1{0:02d}0{1:02d}")
MOBILES = (
    "06{0}", "06-{0}", "06 {1} {2} {3} {4}", "+31 6 {0}", "+316{0}", "00316{0}", "0031 6 {0}", "+31 (0)6 {0}",
    "+31(0)6-{0}", "06/{0}", "06.{1}.{2}.{3}.{4}", "(06) {0}", "316{0}", "6{0}", "06\u2011{0}", "06\u00a0{0}",
)  # fmt: skip
LANDLINES = ("020-{0}", "020{0}", "(020) {0}", "+31 20 {0}", "0031(0)20{0}", "020\\{0}")


class Dice:
    """Numbers that depend on the given words only."""

    def __init__(self, *words: object) -> None:
        self._words = "/".join(map(str, words))

    def roll(self, purpose: str, sides: int) -> int:
        """0 to ``sides - 1``, always the same for the same purpose."""
        digest = hashlib.sha256(f"{self._words}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % sides

    def pick(self, purpose: str, choices: Sequence[str]) -> str:
        return choices[self.roll(purpose, len(choices))]

    def chance(self, purpose: str, per_mille: int) -> bool:
        return self.roll(purpose, 1000) < per_mille


@dataclass(frozen=True)
class Person:
    number: int
    email: str
    phone: str
    first_name: str
    city: str
    since: date


@dataclass(frozen=True)
class Extract:
    """One audience's export.

    :param share: rows per thousand of ``--rows`` on the first day.
    :param joined: by day, how many have joined since the first day, per thousand.
    :param left: by day, how many of the oldest have left.
    """

    name: str
    header: tuple[str, ...]
    delimiter: str
    encoding: str
    line_ending: str
    share: int
    joined: tuple[int, ...]
    left: tuple[int, ...]
    row: Callable[[Person], tuple[str, ...]]


EXTRACTS = (
    Extract(
        name="newsletter_nl",
        header=("Customer ID", "E-mail", "Mobile phone", "First name", "City", "Opt-in date"),
        delimiter=",",
        encoding="utf-8",
        line_ending="\n",
        share=1000,
        joined=(0, 15, 33, 49, 70),
        left=(0, 4, 9, 11, 18),
        row=lambda p: (str(p.number), p.email, p.phone, p.first_name, p.city, p.since.isoformat()),
    ),
    Extract(
        name="loyalty_members",
        header=("Member number", "Name", "Town", "Telephone", "Email address", "Member since"),
        delimiter=";",
        encoding="utf-8-sig",
        line_ending="\r\n",
        share=667,
        joined=(0, 20, 25, 60, 62),
        left=(0, 6, 41, 45, 77),
        row=lambda p: (
            f"L{p.number:06d}", p.first_name, p.city, p.phone, p.email, f"{p.since:%d-%m-%Y}"
        ),
    ),
    Extract(
        name="presale_fans",
        header=("Registration", "E-mail address", "Phone", "Registered"),
        delimiter=",",
        encoding="utf-8",
        line_ending="\n",
        share=400,
        joined=(0, 30, 44, 90, 130),
        left=(0, 3, 5, 8, 9),
        row=lambda p: (f"R{p.number:06d}", p.email, p.phone, p.since.isoformat()),
    ),
    Extract(
        name="service_alerts",
        header=("Contract", "WhatsApp number"),
        delimiter=",",
        encoding="utf-8",
        line_ending="\n",
        share=250,
        joined=(0, 8, 16, 24, 32),
        left=(0, 10, 12, 30, 41),
        row=lambda p: (f"C{p.number:05d}", p.phone),
    ),
)  # fmt: skip


def spell_phone(number: int, style: Dice) -> str:
    """One of the ways people write this person's number."""
    if style.chance("landline", 120):
        return style.pick("spelling", LANDLINES).format(f"{1000000 + number:07d}")
    digits = f"{10000000 + number:08d}"
    return style.pick("spelling", MOBILES).format(digits, digits[:2], digits[2:4], digits[4:6], digits[6:])


def spell_email(address: str, style: Dice) -> str:
    """One of the ways an address arrives from forms and imports."""
    spellings = (address, address, address, address.upper(), address.title(), f" {address}", f"{address} ")
    rare = (address.replace("@", " @ "), f"\t{address}", f"{address}\u00a0")
    return style.pick("rare", rare) if style.chance("is-rare", 20) else style.pick("spelling", spellings)


def make_person(extract: Extract, number: int, seed: int) -> Person:
    dice = Dice(seed, extract.name, number)
    first_name = dice.pick("first", FIRST_NAMES)
    ascii_name = first_name.lower().translate(str.maketrans("ïöëéë", "ioeee"))
    local = f"{ascii_name}.{dice.pick('last', LAST_NAMES)}{number}"
    if dice.chance("tag", 15):
        local += "+nieuws"
    domain = dice.pick("domain", DOMAINS)
    address = f"{local}@{domain}"
    email = spell_email(address, dice)
    if dice.chance("no-email", 70):
        email = ""
    elif dice.chance("bad-email", 25):
        email = dice.pick("which-bad-email", BAD_EMAILS).format(local=local, domain=domain)
    elif dice.chance("hashed", 3):
        email = hashlib.sha256(address.encode()).hexdigest()
    phone = spell_phone(number, dice)
    if dice.chance("no-phone", 180):
        phone = ""
    elif dice.chance("bad-phone", 20):
        phone = dice.pick("which-bad-phone", BAD_PHONES)
    elif dice.chance("foreign", 25):
        phone = dice.pick("which-foreign", FOREIGN_PHONES).format(number // 100 % 100, number % 100)
    since = date(2019, 1, 1) + timedelta(days=dice.roll("since", 2800))
    return Person(number, email, phone, first_name, dice.pick("city", CITIES), since)


def respell(person: Person, extract: Extract, seed: int) -> Person:
    """The same person once more, as a second system wrote it: other spelling, same identifiers."""
    style = Dice(seed, extract.name, person.number, "again")
    email = (
        spell_email(person.email.strip().replace(" ", "").lower(), style)
        if "@" in person.email
        else person.email
    )
    return Person(
        person.number, email, person.phone.replace(" ", ""), person.first_name, person.city, person.since
    )


def people_of(extract: Extract, day: int, rows: int, seed: int) -> Iterator[Person]:
    first_day = max(1, rows * extract.share // 1000)
    step = min(day, len(extract.joined) - 1)
    start = 1 + first_day * extract.left[step] // 1000
    end = first_day + first_day * extract.joined[step] // 1000
    for number in range(start, end + 1):
        person = make_person(extract, number, seed)
        yield person
        if Dice(seed, extract.name, number).chance("twice", 30):
            yield respell(person, extract, seed)


def extract_bytes(extract: Extract, day: int, *, rows: int = DEFAULT_ROWS, seed: int = DEFAULT_SEED) -> bytes:
    """The file of one day.

    :param day: 0 for the first date.
    :param rows: rows of ``newsletter_nl`` on the first day, before duplicates; the others have a share of that.
    :param seed: any number.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=extract.delimiter, lineterminator=extract.line_ending)
    writer.writerow(extract.header)
    writer.writerows(extract.row(person) for person in people_of(extract, day, rows, seed))
    return text.getvalue().encode(extract.encoding)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help="folder to write to (default: include/crm)"
    )
    parser.add_argument(
        "--dates",
        nargs="+",
        type=date.fromisoformat,
        default=list(DATES),
        metavar="YYYY-MM-DD",
        help="dates of the files, in order (default: 2026-11-16 to 2026-11-20)",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=DEFAULT_ROWS,
        help="rows of newsletter_nl on the first day (default: 3000)",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="another number, other people")
    options = parser.parse_args(arguments)
    for extract in EXTRACTS:
        for day, when in enumerate(options.dates):
            target = options.out / extract.name / f"{when.isoformat()}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(extract_bytes(extract, day, rows=options.rows, seed=options.seed))
            print(target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
