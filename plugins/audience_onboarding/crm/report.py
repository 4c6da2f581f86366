"""What one load did, in numbers that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audience_onboarding.exceptions import AccountingError


@dataclass(frozen=True)
class LoadReport:
    """Counts of one load. Holds no personal data.

    :param rows_read: rows of the source, the header and blank lines not counted.
    :param rows_sent: rows of the file.
    :param duplicates: rows that were left out because an earlier row sends the same identifiers.
    :param rejected: rows that were left out because nothing in them can be sent.
    :param rejected_by_reason: ``rejected`` by :class:`.reject_reasons.RejectReason` code. A row
        counts once: under the reason of its first field, in the profile's order, that is not empty.
    :param invalid_values: by identifier, then by reason: fields that are left empty in rows that are not rejected.
    :param values_sent: by identifier: fields in the file that are not empty.
    :param values_read: by identifier: fields of the source that are not empty.
    :param unusable_values: as ``invalid_values``, but of all rows, also the rejected ones.
    :param hash_mismatches: hashes in columns that should be raw, and raw values in columns that should be hashed.
    :param ignored_columns: names of the source's columns that nobody asked for.
    :param files: how many files the source was.
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
    ignored_columns: tuple[str, ...] = ()
    files: int = 1

    def __post_init__(self) -> None:
        counts = (self.rows_read, self.rows_sent, self.duplicates, self.rejected)
        if min(counts) < 0 or self.rows_read != self.rows_sent + self.duplicates + self.rejected:
            raise AccountingError(
                what="rows_read = rows_sent + duplicates + rejected does not hold",
                why=f"{self.rows_read} = {self.rows_sent} + {self.duplicates} + {self.rejected}",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )
        if sum(self.rejected_by_reason.values()) != self.rejected:
            raise AccountingError(
                what="the reasons do not add up to the rejected rows",
                why=f"{sum(self.rejected_by_reason.values())} of {self.rejected}",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )
        if any(count > self.rows_sent for count in self.values_sent.values()):
            raise AccountingError(
                what="more values than rows sent",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for XCom, asset events and object metadata."""
        return {
            "rows_read": self.rows_read,
            "rows_sent": self.rows_sent,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "rejected_by_reason": dict(self.rejected_by_reason),
            "invalid_values": {key: dict(reasons) for key, reasons in self.invalid_values.items()},
            "values_sent": dict(self.values_sent),
            "values_read": dict(self.values_read),
            "unusable_values": {key: dict(reasons) for key, reasons in self.unusable_values.items()},
            "hash_mismatches": self.hash_mismatches,
            "ignored_columns": list(self.ignored_columns),
            "files": self.files,
        }
