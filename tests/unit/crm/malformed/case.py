"""Cases of the corpus: the content of a file, and the one outcome that is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from audience_onboarding.crm.output.profiles import Identifier, SourceColumn
from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    EmptySourceError,
    MissingColumnError,
    SourceFormatError,
)

CANARY = "canary"
"""In every planted address, in any case."""

CANARY_DIGITS = "6876543"
"""In every planted phone number that is written in one piece."""


def mail(number: int | str) -> str:
    """A planted address."""
    return f"{CANARY}.{number}@leak.example"


def phone(number: int) -> str:
    """A planted number, valid, and another one for each of 0 to 99."""
    return f"0{CANARY_DIGITS}{number:02d}"


def csv_bytes(*lines: str, end: str = "\n", encoding: str = "utf-8") -> bytes:
    """Lines, each with its end."""
    return "".join(line + end for line in lines).encode(encoding)


def table(*lines: str, end: str = "\n", encoding: str = "utf-8") -> bytes:
    """Lines under the header ``email,phone``."""
    return csv_bytes("email,phone", *lines, end=end, encoding=encoding)


def words(text: str) -> list[str]:
    """Values without white space."""
    return text.split()


def flipped(content: bytes, *places: int) -> bytes:
    """With some bytes changed."""
    changed = bytearray(content)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


GOOD = tuple(f"{mail(number)},{phone(number)}" for number in (1, 2, 3))
"""Three rows without fault."""


@dataclass(frozen=True)
class Fails:
    """The load stops.

    :param error: exactly this class.
    :param says: part of the message.
    """

    error: type[AudienceOnboardingError]
    says: str = ""


def no_column(says: str = "") -> Fails:
    """Expect an error about the header."""
    return Fails(MissingColumnError, says)


def unreadable(says: str = "") -> Fails:
    """Expect an error about the format of the file."""
    return Fails(SourceFormatError, says)


def nothing(says: str) -> Fails:
    """Expect an error about a file without any row to send."""
    return Fails(EmptySourceError, says)


@dataclass(frozen=True)
class Gives:
    """The load succeeds with exactly these counts.

    :param rejected: rows by reason.
    :param invalid: by identifier and reason: fields that are left empty.
    :param malformed: numbers of the malformed rows; they are among ``rejected`` already.
    :param mismatches: hashes in raw columns, and the other way round.
    """

    read: int
    sent: int
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    invalid: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    malformed: tuple[int, ...] = ()
    mismatches: int = 0

    def __post_init__(self) -> None:
        assert self.read == self.sent + self.duplicates + sum(self.rejected.values()), "not an outcome at all"
        assert len(self.malformed) == self.rejected.get("malformed_row", 0)


def malformed(read: int, sent: int, *rows: int, duplicates: int = 0) -> Gives:
    """An outcome with only some malformed rows."""
    return Gives(
        read,
        sent,
        duplicates=duplicates,
        rejected={"malformed_row": len(rows)} if rows else {},
        malformed=rows,
    )


@dataclass(frozen=True)
class Case:
    """One bad file.

    :param name: the fault of the file.
    :param content: bytes, or a function that makes them.
    :param source: settings of the source.
    :param settings: settings of the load.
    :param secrets: texts that no message may hold, besides the canaries.
    :param large: too large to be read a few bytes at a time.
    """

    name: str
    content: bytes | Callable[[], bytes]
    outcome: Fails | Gives
    source: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[Identifier, str | SourceColumn] = field(
        default_factory=lambda: {Identifier.EMAIL: "email", Identifier.PHONE: "phone"}
    )
    secrets: tuple[str, ...] = ()
    large: bool = False

    @property
    def bytes(self) -> bytes:
        """The content of the file."""
        return self.content if isinstance(self.content, bytes) else self.content()
