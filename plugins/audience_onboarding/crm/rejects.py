"""List of rejects: values and rows that are not sent, each with its reason and a masked sample."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

import polars as pl

from audience_onboarding.crm.fields import Field
from audience_onboarding.crm.identifiers.reject_reasons import REASON_NAMES, RejectReason
from audience_onboarding.crm.output.profiles import Identifier
from audience_onboarding.crm.runtime.frame_store import MIB, spill
from audience_onboarding.crm.sources.base import RowBatch

HEADER = "file,row,field,outcome,reason,sample\n"

_MISMATCHES = (RejectReason.ALREADY_HASHED, RejectReason.NOT_HASHED)
_TLD = re.compile(r"\.([A-Za-z]{2,6})\s*$")
_MAX_MASKED = 20


class RejectsList:
    """The list of rejects, in a file of the private directory.

    :ivar count: lines without the header.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "rejects.csv"
        self.count = 0

    def add(self, text: str, count: int) -> None:
        """Append lines.

        :raises ConfigurationError: the disk is full.
        """
        if count:
            spill(lambda: self._append(text), self._path.parent)
            self.count += count

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as out:
            out.write(text)

    def read(self) -> Iterator[bytes]:
        """Return the list as CSV (UTF-8, line feeds): ``file,row,field,outcome,reason,sample``.

        ``row`` counts from 1 below the header. ``outcome`` is ``row`` for a rejected row and ``field`` for a field that
        is left empty in a row that is sent. ``sample`` is masked.
        """
        yield HEADER.encode()
        if self.count:
            with self._path.open("rb") as stream:
                while block := stream.read(MIB):
                    yield block


class RejectLines:
    """Lines of the list of rejects from one block.

    A block may have thousands of rejects, most of them with one of a few texts. All threads wait for this Python code,
    so it formats many lines at once, and each text once.

    :ivar mismatches: hashes in unhashed columns, and unhashed values in columns of hashes.
    """

    def __init__(self, rows: RowBatch) -> None:
        # A spreadsheet evaluates a text that begins like a formula. The samples are too short to be one.
        self._file = f"'{rows.file}" if rows.file.startswith(("=", "+", "-", "@", "\t", "\r")) else rows.file
        self._lines: list[tuple[str, int, str, str, str, str]] = []
        self.mismatches = 0

    @property
    def count(self) -> int:
        return len(self._lines)

    def add_rows(self, numbers: Iterable[int], reason: RejectReason) -> None:
        """Add rows that are rejected as a whole."""
        self._lines += [(self._file, number, "", "row", reason.value, "") for number in numbers]

    def add_fields(
        self, numbers: pl.Series, field: Field, outcome: str, codes: pl.Series, texts: pl.Series
    ) -> Counter[tuple[str, str]]:
        """Add rejected values and return their counts by field and reason.

        :param numbers: of the rows.
        :param outcome: ``row`` or ``field``.
        :param codes: of the reasons.
        :param texts: the rejected values.
        """
        reasons = [REASON_NAMES[code] for code in codes.to_list()]
        values = texts.to_list()
        samples = {value: mask_value(field.identifier, value) for value in set(values)}
        self._lines += zip(
            repeat(self._file),
            numbers.to_list(),
            repeat(field.name),
            repeat(outcome),
            reasons,
            map(samples.__getitem__, values),
            strict=False,  # repeat() has no end
        )
        counts = Counter(reasons)
        self.mismatches += sum(counts[reason.value] for reason in _MISMATCHES)
        return Counter({(field.name, reason): count for reason, count in counts.items()})

    def text(self) -> str:
        """Return the lines in the order of the source."""
        out = io.StringIO()
        self._lines.sort(key=lambda line: line[1])
        csv.writer(out, lineterminator="\n").writerows(self._lines)
        return out.getvalue()


def mask_value(identifier: Identifier, value: str) -> str:
    """Return a sample of a value that shows its kind but not whose it is.

    An e-mail address keeps its first character and top-level domain (``j***@***.nl``), a phone number two characters
    and its length (``06********``), any other value its first character.
    """
    text = " ".join(value.split())
    if not text:
        return ""
    start = text[:1] if text[0].isprintable() else "?"
    if "@" in text:
        tld = _TLD.search(text)
        return f"{start}***@***{'.' + tld[1].lower() if tld else ''}"
    if identifier is Identifier.PHONE and text[0] in "+0123456789":
        prefix = text[:2] if text[:2].isascii() and text[:2].isprintable() else start
        hidden = len(text) - len(prefix)
        return prefix + "*" * min(hidden, _MAX_MASKED) + ("..." if hidden > _MAX_MASKED else "")
    return f"{start}***"
