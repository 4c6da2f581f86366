"""``hash``: computes on the user's machine the hashes that the DAG ``erase_person`` takes."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

FIELDS = {"email": "email_sha256", "phone": "phone_sha256", "personal_id": "personal_id_sha256"}
"""Kinds of identifiers, and the form fields that take their hashes."""

_PROMPTS = {"email": "E-mail address", "phone": "Phone number", "personal_id": "Personal id"}

EXIT_INVALID_INPUT = 2


def add_command(subparsers: Any) -> None:
    """Add the command to a parser's commands."""
    parser = subparsers.add_parser(
        "hash",
        help="hash e-mail addresses, phone numbers and personal ids for the DAG erase_person",
        description="Normalizes like the loads, hashes (SHA-256), and prints the JSON for the form of the DAG "
        "erase_person. In a terminal it prompts without echo; otherwise it reads stdin, one value per line: an e-mail "
        "address, a phone number, or '<kind>: <value>'. Nothing is stored or sent.",
    )
    parser.add_argument(
        "--phone-region", default="NL", help="of phone numbers without a country code; ISO 3166, default NL"
    )
    parser.add_argument(
        "--strip-plus-tag",
        action="store_true",
        help="drop '+tag' from addresses: for audiences whose definition sets output_file.strip_plus_tag",
    )


def run(args: argparse.Namespace) -> int:
    """Read the values, print the hashes, and return the exit code. An error message never quotes a value."""
    from audience_onboarding.crm.identifiers.normalize import (
        Rejected,
        normalize_email,
        normalize_personal_id,
        normalize_phone,
        sha256_hex,
    )

    rules: dict[str, Callable[[str], str | Rejected]] = {
        "email": lambda value: normalize_email(value, strip_plus_tag=args.strip_plus_tag),
        "phone": lambda value: normalize_phone(value, country=args.phone_region.upper()),
        "personal_id": normalize_personal_id,
    }
    hashes: dict[str, list[str]] = {field: [] for field in FIELDS.values()}
    problems = []
    try:
        for position, kind, value in _prompt() if sys.stdin.isatty() else _read_lines():
            if kind not in rules:
                problems.append(f"{position}: unknown kind; use one of {', '.join(rules)}")
                continue
            normalized = rules[kind](value)
            if isinstance(normalized, Rejected):
                problems.append(f"{position} ({kind}): {normalized.reason.value}")
            elif (hashed := sha256_hex(normalized)) not in hashes[FIELDS[kind]]:
                hashes[FIELDS[kind]].append(hashed)
    except ValueError as error:
        # Message of an invalid option, such as an unknown region; it never contains a value.
        problems.append(str(error) if "country" in str(error).lower() else type(error).__name__)
    if problems:
        problems.append("No hash printed. Correct the values and try again")
    elif not any(hashes.values()):
        problems.append("No value given")
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        return EXIT_INVALID_INPUT
    sys.stdout.write(f"{json.dumps(hashes, indent=2)}\n")
    return 0


def _prompt() -> Iterator[tuple[str, str, str]]:
    """Prompt for values of each kind until an empty one; yield position, kind and value."""
    for kind, label in _PROMPTS.items():
        number = 0
        while value := getpass.getpass(f"{label} (not shown; empty: none or no more): ").strip():
            number += 1
            yield f"{label} {number}", kind, value


def _read_lines() -> Iterator[tuple[str, str, str]]:
    """Yield position, kind and value of each line of stdin."""
    for number, line in enumerate(sys.stdin, start=1):
        value = line.strip()
        if not value:
            continue
        kind, colon, rest = value.partition(":")
        if colon:
            yield f"line {number}", kind.strip().lower().replace("-", "_"), rest.strip()
        else:
            yield f"line {number}", "email" if "@" in value else "phone", value
