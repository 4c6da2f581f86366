"""What one load did, in numbers that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audience_onboarding.errors import AccountingError


@dataclass(frozen=True)
class LoadReport:
    """Counts of one load. Holds no personal data.

    :param rows_read: rows of the source, the header and blank lines not counted.
    :param rows_sent: rows of the file.
    :param duplicates: rows that were left out because an earlier row sends the same identifiers.
    :param rejected: rows that were left out because nothing in them can be sent.
    :param rejected_by_reason: ``rejected`` by :class:`~audience_onboarding.crm.reasons.Reason` code. A row
        counts once: under the reason of its first field, in the profile's order, that is not empty.
    :param invalid_values: by identifier, then by reason: fields that are left empty in rows that are sent.
    :param values_sent: by identifier: fields in the file that are not empty.
    :raises AccountingError: the counts do not add up.
    """

    rows_read: int
    rows_sent: int
    duplicates: int
    rejected: int
    rejected_by_reason: Mapping[str, int]
    invalid_values: Mapping[str, Mapping[str, int]]
    values_sent: Mapping[str, int]

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
        }
