"""The vendor's rules for keys and CSV files.

Pages: "Updating audiences via S3" and its older wordings (key, modes), "Prepare your CSV file for data updates"
(headers, encoding, line ends). If they are silent, the strictest reading applies, so that a file that passes here
passes anywhere. Reasons name lines and columns, never values.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sandbox.digital_audience.state import Member
from sandbox.settings import Quoting

ROOT: Final = "onboard/"
MODES: Final = ("opt-in", "opt-out", "replace")

HEADERS: Final = (
    "email_sha256",
    "phone_sha256",
    "address_sha256",
    "postal code",
    "house number",
    "extension",
    "apartment",
    "street",
    "personal_id_sha256",
    "aaid",
    "idfa",
    "custom",
)
HASHED: Final = frozenset(header for header in HEADERS if header.endswith("_sha256"))
RAW_ADDRESS: Final = HEADERS[3:8]
RAW_ADDRESS_KIND: Final = "raw address"
ADDRESS_SEPARATOR: Final = "\x1f"

DATA_TYPES: Final = {
    "email_sha256": "EMAIL",
    "phone_sha256": "PHONE",
    "address_sha256": "POSTALADDRESS",
    RAW_ADDRESS_KIND: "POSTALADDRESS",
    "personal_id_sha256": "SECURITYNUMBER",
    "aaid": "AAID",
}
"""[I] Identifier -> its key in history.dataSet; the page names no key for idfa and custom."""

_KINDS: Final[tuple[str, ...]] = (*HEADERS[:3], RAW_ADDRESS_KIND, *HEADERS[8:])
"""Kinds of identifiers, in the order of the headers."""
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_SHA256_OF_NOTHING: Final = hashlib.sha256(b"").hexdigest()
_NAME: Final = re.compile(r"\d{8}_\d{6}\.csv")
_AUDIENCE: Final = re.compile(r"audience=([0-9]{1,18})")
_BARE_ENDING: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_BOM: Final = b"\xef\xbb\xbf"
_KEY_PARTS: Final = 4


class FileRefusedError(Exception):
    """A key or a file violates a rule."""


@dataclass(frozen=True)
class UploadKey:
    """A key of the form ``onboard/audience={id}/{mode}/{YYYYMMDD_HHmmss}.csv``."""

    audience_id: int
    mode: str


def parse_key(key: str) -> UploadKey:
    """Parse a key.

    The audience id may be zero-padded, as in the page's example (``audience=00001``).

    :raises FileRefusedError: the key does not have the vendor's form.
    """
    parts = key.split("/")
    if len(parts) != _KEY_PARTS or parts[0] + "/" != ROOT:
        raise FileRefusedError("key is not onboard/audience={id}/{mode}/{name}")
    audience = _AUDIENCE.fullmatch(parts[1])
    if audience is None:
        raise FileRefusedError("second part of the key is not audience={id}")
    if parts[2] not in MODES:
        raise FileRefusedError("mode folder is not opt-in, opt-out or replace")
    if not _NAME.fullmatch(parts[3]):
        raise FileRefusedError("file name is not YYYYMMDD_HHmmss.csv")
    try:
        datetime.strptime(parts[3], "%Y%m%d_%H%M%S.csv")  # noqa: DTZ007  (only whether it is a time at all)
    except ValueError:
        raise FileRefusedError("file name is not a date and time") from None
    return UploadKey(int(audience.group(1)), parts[2])


@dataclass
class CheckedFile:
    """A file without a violation."""

    headers: tuple[str, ...]
    rows: int = 0
    members: set[Member] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    """Data type -> number of values, repeats included."""
    values: dict[str, set[str]] = field(default_factory=dict)
    """Data type -> different identifiers (``kind=value``)."""


def check_file(chunks: Iterable[bytes], *, quoting: Quoting = "refuse") -> CheckedFile:
    """Read a whole file and check every rule.

    :param chunks: the file's bytes, in chunks of any size.
    :raises FileRefusedError: with the first violation.
    """
    lines = _lines(chunks)
    try:
        _, first = next(lines)
    except StopIteration:
        raise FileRefusedError("file is empty") from None
    headers = _headers(_fields(first, 1, quoting))
    checked = CheckedFile(headers)
    reader = _RowReader(checked)
    for number, line in lines:
        reader.read(_fields(line, number, quoting), number)
    if not checked.rows:
        raise FileRefusedError("no data row")
    return checked


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    number, pending, started = 1, b"", False
    for chunk in chunks:
        pending += chunk
        if not started and len(pending) >= len(_BOM):
            started = True
            if pending.startswith(_BOM):
                raise FileRefusedError("file begins with a byte order mark")
        cut = pending.rfind(b"\r\n")
        block, pending = (b"", pending) if cut < 0 else (pending[: cut + 2], pending[cut + 2 :])
        _refuse_bare_ending(block, number)
        # the next chunk may start with the LF of a CR at the very end
        _refuse_bare_ending(pending.removesuffix(b"\r"), number + block.count(b"\n"))
        for line in block.split(b"\r\n")[:-1]:
            yield number, _decode(line, number)
            number += 1
    if pending:
        _refuse_bare_ending(pending, number)
        _decode(pending, number)
        raise FileRefusedError(f"line {number}: does not end with CRLF")


def _refuse_bare_ending(block: bytes, number: int) -> None:
    pairs = block.count(b"\r\n")
    if block.count(b"\n") == pairs and block.count(b"\r") == pairs:
        return
    match = _BARE_ENDING.search(block)
    if match:
        name = "LF" if match.group() == b"\n" else "CR"
        number += block.count(b"\r\n", 0, match.start())
        raise FileRefusedError(f"line {number}: bare {name}, not CRLF")


def _decode(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise FileRefusedError(f"line {number}: not UTF-8") from None


def _fields(line: str, number: int, quoting: Quoting) -> list[str]:
    if '"' not in line:
        return line.split(",")
    if quoting == "refuse":
        raise FileRefusedError(f"line {number}: double quote; the vendor states no quoting rule")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        raise FileRefusedError(f"line {number}: broken quoting") from None


def _headers(names: list[str]) -> tuple[str, ...]:
    if not any(name in HEADERS for name in names):
        raise FileRefusedError("header: no known column")
    for position, name in enumerate(names, 1):
        if name not in HEADERS:
            raise FileRefusedError(f"header: column {position} is unknown")
        if name in names[: position - 1]:
            raise FileRefusedError(f"header: {name} occurs twice")
    return tuple(names)


class _RowReader:
    """Checks rows and collects their content."""

    def __init__(self, checked: CheckedFile) -> None:
        self._checked = checked
        positions = {header: position for position, header in enumerate(checked.headers)}
        self._width = len(positions)
        self._hashed = [(positions[header], header) for header in checked.headers if header in HASHED]
        self._plain = [(kind, positions[kind], kind in HASHED) for kind in _KINDS if kind in positions]
        self._address = [positions.get(header) for header in RAW_ADDRESS]
        self._has_address = any(position is not None for position in self._address)

    def read(self, row: list[str], number: int) -> None:
        if not any(row):
            raise FileRefusedError(f"line {number}: row is empty")
        if len(row) != self._width:
            raise FileRefusedError(f"line {number}: {len(row)} fields, header has {self._width}")
        for position, header in self._hashed:
            value = row[position]
            if value and not _SHA256.fullmatch(value):
                raise FileRefusedError(f"line {number}: {header} is not 64 hexadecimal digits")
            if value.lower() == _SHA256_OF_NOTHING:
                raise FileRefusedError(f"line {number}: {header} is the hash of an empty string")
        values = {kind: row[at].lower() if hashed else row[at] for kind, at, hashed in self._plain if row[at]}
        if self._has_address:
            address = [row[at] if at is not None else "" for at in self._address]
            if any(address) and not address[0]:
                raise FileRefusedError(f"line {number}: raw address without postal code")
            if address[0]:
                values[RAW_ADDRESS_KIND] = ADDRESS_SEPARATOR.join(address)
        self._keep(values)

    def _keep(self, values: dict[str, str]) -> None:
        checked = self._checked
        checked.rows += 1
        identifiers = {kind: f"{kind}={values[kind]}" for kind in _KINDS if kind in values}
        checked.members.add(tuple(identifiers.values()))
        for kind, identifier in identifiers.items():
            data_type = DATA_TYPES.get(kind)
            if data_type:
                checked.totals[data_type] = checked.totals.get(data_type, 0) + 1
                checked.values.setdefault(data_type, set()).add(identifier)


def member_columns(member: Member) -> dict[str, str]:
    """Return a member as header -> value, as in the file (hashes in lower case)."""
    columns: dict[str, str] = {}
    for identifier in member:
        kind, _, value = identifier.partition("=")
        if kind == RAW_ADDRESS_KIND:
            parts = zip(RAW_ADDRESS, value.split(ADDRESS_SEPARATOR), strict=True)
            columns.update({header: part for header, part in parts if part})
        else:
            columns[kind] = value
    return columns
