"""The CSV file of an import.

Page: https://docs.fanfare.io/dashboard/audiences/import-consumers ([I] also valid for the API). If the page is silent,
the strictest reading applies. Reasons name lines and columns, never values; the issues of a row do quote values.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.fanfare import issues
from sandbox.fanfare.settings import FanfareSettings

Json = dict[str, Any]

IDENTIFIERS: Final = ("email", "phone", "externalId")
COLUMNS: Final = (
    *IDENTIFIERS,
    *("firstName", "lastName", "fullName", "tags", "loyaltyPoints", "loyaltyTier", "metadata"),
)
_EMAIL: Final = re.compile(r"[^@\s,;<>\"]+@[^@\s.,;<>\"]+(\.[^@\s.,;<>\"]+)+")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_BOM: Final = b"\xef\xbb\xbf"


class ImportRefusedError(Exception):
    """The vendor refuses the whole file."""


@dataclass
class ParsedFile:
    """Content of a file."""

    total: int = 0
    profiles: list[Json] = field(default_factory=list)
    """The filled fields of each valid row, with the vendor's names."""
    error_count: int = 0
    errors: list[Json] = field(default_factory=list)
    """Row number and issues of the first invalid rows."""


def parse(content: bytes, settings: FanfareSettings) -> ParsedFile:
    """Read a file.

    :raises ImportRefusedError: with the first rule that the file as a whole violates.
    """
    reader = csv.reader(io.StringIO(_text(content, settings), newline=""), strict=True)
    try:
        return _rows(reader, _header(next(reader, []), settings), settings)
    except csv.Error:
        raise ImportRefusedError(f"line {reader.line_num}: broken quoting") from None


def too_large(size: int, settings: FanfareSettings) -> str | None:
    """Return the reason to refuse a file of ``size`` bytes; None for an accepted size."""
    limit = settings.fanfare_max_bytes
    return f"file is larger than {limit} bytes" if size > limit else None


def _text(content: bytes, settings: FanfareSettings) -> str:
    reason = too_large(len(content), settings)
    if reason:
        raise ImportRefusedError(reason)
    if not content.strip():
        raise ImportRefusedError("file is empty")
    if content.startswith(_BOM):
        raise ImportRefusedError("file begins with a byte order mark")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ImportRefusedError(f"line {content.count(10, 0, error.start) + 1}: not UTF-8") from None


def _header(names: list[str], settings: FanfareSettings) -> list[str]:
    for position, name in enumerate(names, 1):
        if name in names[: position - 1]:
            raise ImportRefusedError(f"header: column {position} occurs twice")
        if name not in COLUMNS and settings.fanfare_unknown_columns == "refuse":
            raise ImportRefusedError(f"header: column {position} is unknown")
    if not set(IDENTIFIERS) & set(names):
        raise ImportRefusedError("header: none of email, phone, externalId")
    return names


def _rows(rows: Iterator[list[str]], header: list[str], settings: FanfareSettings) -> ParsedFile:
    parsed = ParsedFile()
    refused = frozenset(
        part.strip().lower() for part in settings.fanfare_refused_domains.split(",") if part.strip()
    )
    for row in rows:
        parsed.total += 1
        if parsed.total > settings.fanfare_max_rows:
            raise ImportRefusedError(f"more than {settings.fanfare_max_rows} rows")
        profile, problems = _row(row, header, refused)
        if not problems:
            parsed.profiles.append(profile)
            continue
        parsed.error_count += 1
        if len(parsed.errors) < settings.fanfare_error_limit:
            parsed.errors.append({"row": parsed.total, "issues": problems})
    if not parsed.total:
        raise ImportRefusedError("no data row")
    return parsed


def _row(row: list[str], header: list[str], refused: frozenset[str]) -> tuple[Json, list[Json]]:
    if len(row) != len(header):
        return {}, [issues.wrong("length", str(len(header)), len(row), [], kind="validation")]
    sent = {name: value for name, value in zip(header, row, strict=True) if value and name in COLUMNS}
    profile: Json = dict(sent)
    problems: list[Json] = []

    def bad(name: str, type_: str, expected: str) -> None:
        problems.append(
            issues.wrong(type_, expected, sent[name], [issues.step(name, sent)], kind="validation")
        )

    email = sent.get("email")
    if email is not None:
        if not _EMAIL.fullmatch(email):
            bad("email", "email", "e-mail address")
        elif refused and email.rpartition("@")[2].lower() in refused:
            bad("email", "email", "accepted domain")
    if "phone" in sent and not _PHONE.fullmatch(sent["phone"]):
        bad("phone", "regex", "E.164")
    if len(sent) > 1:
        _parse_others(sent, profile, bad)
    if not (email or "phone" in sent or "externalId" in sent):
        problems.append(issues.missing("email", sent, []))
    return profile, problems


def _parse_others(sent: dict[str, str], profile: Json, bad: Any) -> None:
    if "tags" in sent:
        profile["tags"] = [tag.strip() for tag in sent["tags"].split(",") if tag.strip()]
    if "loyaltyPoints" in sent:
        if _NUMBER.fullmatch(sent["loyaltyPoints"]):
            points = float(sent["loyaltyPoints"])
            profile["loyaltyPoints"] = int(points) if points.is_integer() else points
        else:
            bad("loyaltyPoints", "number", "number")
    if "metadata" in sent:
        try:
            profile["metadata"] = json.loads(sent["metadata"])
        except ValueError:
            profile["metadata"] = None
        if not isinstance(profile["metadata"], dict):
            bad("metadata", "object", "JSON object")
