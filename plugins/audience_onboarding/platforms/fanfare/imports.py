"""Progress of a load's imports, stored across retries, clears and runs. Pure: no I/O, no Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audience_onboarding.platforms.fanfare.models import Import

SUCCESS_STATUSES = ("COMPLETED", "SUCCESS")
"""COMPLETED is from the API description, SUCCESS from the hand-written pages."""
FAILURE_STATUSES = ("FAILED",)
UNDER_WAY_STATUSES = ("PROCESSING",)
"""Statuses that prove that the vendor has the file."""
PENDING_STATUSES = ("PENDING", *UNDER_WAY_STATUSES)

MAX_SHOWN_ROWS = 20
"""Maximum row errors that are stored of one import."""


def outcome(job: Import) -> dict[str, Any]:
    """Return the stored fields of an import, without personal data."""
    return {
        "import_status": job.status,
        "processed_consumers": job.processed_consumers,
        "error_count": job.error_count or 0,
        "row_errors": [
            {"row": error.row, "issues": list(error.issues)} for error in (job.errors or ())[:MAX_SHOWN_ROWS]
        ],
    }


@dataclass
class Part:
    """One import of a load.

    :param import_id: the vendor's id.
    :param rows: number of rows.
    :param sent: whether its file is known to have been sent.
    :param outcome: see :func:`outcome`; ``None`` until it has finished.
    """

    import_id: str
    rows: int
    sent: bool = False
    outcome: dict[str, Any] | None = None


@dataclass
class Imports:
    """Started parts of one load, by number from 1.

    :param audience_id: of the load.
    :param content_id: of the whole load; the parts depend on it.
    :param rows_per_import: maximum rows of a part.
    """

    audience_id: str
    content_id: str
    rows_per_import: int
    parts: dict[int, Part] = field(default_factory=dict)

    def is_about_same_as(self, other: Imports) -> bool:
        """Return whether the parts of ``other`` are parts of this load."""
        return (self.audience_id, self.content_id, self.rows_per_import) == (
            other.audience_id,
            other.content_id,
            other.rows_per_import,
        )

    def done(self, *, before: int) -> list[dict[str, Any]]:
        """List the finished parts, in order.

        :param before: only parts with a smaller number.
        """
        return [
            {"import_id": part.import_id, "rows": part.rows, **part.outcome}
            for number, part in sorted(self.parts.items())
            if part.outcome is not None and number < before
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the value for the state store."""
        return {
            "audience_id": self.audience_id,
            "content_id": self.content_id,
            "rows_per_import": self.rows_per_import,
            "parts": {str(number): dict(vars(part)) for number, part in self.parts.items()},
        }

    @classmethod
    def from_dict(cls, value: Any) -> Imports | None:
        """Parse a value of :meth:`to_dict`; return ``None`` for any other value."""
        try:
            parts = {int(number): Part(**part) for number, part in value["parts"].items()}
            return cls(value["audience_id"], value["content_id"], value["rows_per_import"], parts)
        except (TypeError, KeyError, ValueError, AttributeError):
            return None


def total(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the totals of a load's imports."""
    processed = [part["processed_consumers"] for part in parts]
    errors = [
        {"import": number, **error}
        for number, part in enumerate(parts, start=1)
        for error in part["row_errors"]
    ]
    return {
        "import_status": parts[-1]["import_status"],
        "imports": len(parts),
        "processed_consumers": None if None in processed else sum(processed),
        "error_count": sum(part["error_count"] for part in parts),
        "row_errors": errors[:MAX_SHOWN_ROWS],
    }
