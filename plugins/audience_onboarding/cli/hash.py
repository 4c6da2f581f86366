"""``python -m audience_onboarding hash``: the hashes that the DAG ``erase_person`` takes, made on one's own machine."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

FIELDS = {"email": "email_sha256", "phone": "phone_sha256", "personal_id": "personal_id_sha256"}
"""Kinds of identifiers, and the fields of the form that take their hashes."""

WRONG_INPUT = 2
"""Exit code where a value cannot be used."""


def add_command(subparsers: Any) -> None:
    """Add the command to a parser's commands."""
    parser = subparsers.add_parser(
        "hash",
        help="hash e-mail addresses, phone numbers and personal ids for the DAG erase_person",
        description="Normalises by the rules of the loads, hashes (SHA-256), and prints the JSON that the form of the "
        "DAG erase_person takes. Asks without showing what is typed; or reads lines from stdin, where that is no "
        "terminal: an e-mail address each, a phone number, or '<kind>: <value>'. Nothing is stored or sent.",
    )
    parser.add_argument(
        "--country", default="NL", help="of phone numbers without a country code; ISO 3166, default NL"
    )
    parser.add_argument(
        "--strip-plus-tag",
        action="store_true",
        help="drop '+tag' from addresses: for audiences whose definition says file.strip_plus_tag",
    )


def run(args: argparse.Namespace) -> int:
    """Ask or read, and print the hashes; the exit code.

    A value that cannot be used is an error that does not repeat it.
    """
    from audience_onboarding.crm.identifiers.normalize import (
        Rejected,
        normalize_email,
        normalize_personal_id,
        normalize_phone,
        sha256_hex,
    )

    rules: dict[str, Callable[[str], str | Rejected]] = {
        "email": lambda value: normalize_email(value, strip_plus_tag=args.strip_plus_tag),
        "phone": lambda value: normalize_phone(value, country=args.country.upper()),
        "personal_id": normalize_personal_id,
    }
    hashes: dict[str, list[str]] = {field: [] for field in FIELDS.values()}
    problems = []
    try:
        for place, kind, value in _asked() if sys.stdin.isatty() else _lines():
            if kind not in rules:
                problems.append(f"{place}: the kind is none of {', '.join(rules)}")
                continue
            found = rules[kind](value)
            if isinstance(found, Rejected):
                problems.append(f"{place} ({kind}): {found.reason.value}")
            elif (made := sha256_hex(found)) not in hashes[FIELDS[kind]]:
                hashes[FIELDS[kind]].append(made)
    except ValueError as error:
        # Of an option, such as a country that there is not; what is read is never in it.
        problems.append(str(error) if "country" in str(error).lower() else type(error).__name__)
    if problems:
        problems.append("No hash is printed: correct these, and try again")
    elif not any(hashes.values()):
        problems.append("Nothing was given")
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        return WRONG_INPUT
    sys.stdout.write(f"{json.dumps(hashes, indent=2)}\n")
    return 0


def _asked() -> Iterator[tuple[str, str, str]]:
    """Ask for values, one after the other; nothing ends it."""
    for kind, label in (
        ("email", "E-mail address"),
        ("phone", "Phone number"),
        ("personal_id", "Personal id"),
    ):
        number = 0
        while value := getpass.getpass(f"{label} (not shown; empty: none or no more): ").strip():
            number += 1
            yield f"{label} {number}", kind, value


def _lines() -> Iterator[tuple[str, str, str]]:
    """What stdin holds, a value each line."""
    for number, line in enumerate(sys.stdin, start=1):
        value = line.strip()
        if not value:
            continue
        kind, colon, rest = value.partition(":")
        if colon:
            yield f"line {number}", kind.strip().lower().replace("-", "_"), rest.strip()
        else:
            yield f"line {number}", "email" if "@" in value else "phone", value
