"""Counts of one load, which must add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from audience_onboarding.exceptions import AccountingError


@dataclass(frozen=True)
class LoadReport:
    """Counts of one load. Holds no personal data.

    :param rows_read: rows of the source, without the header and blank lines.
    :param rows_sent: rows of the file.
    :param duplicates: rows left out because an earlier row sends the same identifiers.
    :param rejected: rows left out because they have no value that can be sent.
    :param rejected_by_reason: ``rejected`` by :class:`.RejectReason`. A row counts once: under the reason of its first
        filled field, in the order of the profile.
    :param invalid_values: by identifier, then by reason: fields left empty in rows that are not rejected.
    :param values_sent: by identifier: filled fields of the file.
    :param values_read: by identifier: filled fields of the source.
    :param unusable_values: as ``invalid_values``, for all rows, rejected ones included.
    :param hash_mismatches: hashes in unhashed columns, and unhashed values in columns of hashes.
    :param ignored_columns: number of source columns that are not mapped.
    :param files: number of source files.
    :raises AccountingError: the counts do not add up.
    """

    rows_read: int
    rows_sent: int
    duplicates: int
    rejected: int
    rejected_by_reason: Mapping[str, int]
    invalid_values: Mapping[str, Mapping[str, int]]
    values_sent: Mapping[str, int]
    values_read: Mapping[str, int] = field(default_factory=dict)
    unusable_values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    hash_mismatches: int = 0
    ignored_columns: int = 0
    files: int = 1

    def __post_init__(self) -> None:
        counts = (self.rows_read, self.rows_sent, self.duplicates, self.rejected)
        if min(counts) < 0 or self.rows_read != self.rows_sent + self.duplicates + self.rejected:
            raise accounting_error(
                "rows_read = rows_sent + duplicates + rejected does not hold",
                f"{self.rows_read} = {self.rows_sent} + {self.duplicates} + {self.rejected}",
            )
        by_reason = sum(self.rejected_by_reason.values())
        if by_reason != self.rejected:
            raise accounting_error("Rejected rows by reason do not add up", f"{by_reason} of {self.rejected}")
        if any(count > self.rows_sent for count in self.values_sent.values()):
            raise accounting_error("More values than rows sent", "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, for XCom, asset events and object metadata."""
        return asdict(self)


def accounting_error(what: str, why: str, where: str = "") -> AccountingError:
    """Return the error for counts that contradict each other."""
    return AccountingError(
        what=what,
        where=where,
        why=why,
        next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
    )
