"""The imports of one load: which parts are through, kept over retries, clears and runs. Pure: no I/O, no Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audience_onboarding.platforms.fanfare.models import Import

SUCCESS_STATUSES = ("COMPLETED", "SUCCESS")
"""The API description says COMPLETED, the hand-written pages SUCCESS."""
FAILURE_STATUSES = ("FAILED",)
UNDER_WAY_STATUSES = ("PROCESSING",)
"""The vendor has the file for sure."""
PENDING_STATUSES = ("PENDING", *UNDER_WAY_STATUSES)

MAX_SHOWN_ROWS = 20
"""Rows with an error that are kept of one import."""


def outcome(found: Import) -> dict[str, Any]:
    """What is kept of an import; no personal data."""
    return {
        "import_status": found.status,
        "processed_consumers": found.processed_consumers,
        "error_count": found.error_count or 0,
        "row_errors": [
            {"row": error.row, "issues": list(error.issues)}
            for error in (found.errors or ())[:MAX_SHOWN_ROWS]
        ],
    }


@dataclass
class Part:
    """One import of a load.

    :param import_id: the vendor's.
    :param rows: that it holds.
    :param sent: whether its file is known to have been sent.
    :param outcome: what came of it; ``None`` while it is not through.
    """

    import_id: str
    rows: int
    sent: bool = False
    outcome: dict[str, Any] | None = None


@dataclass
class Imports:
    """The parts of one load that were begun, by number from 1.

    :param audience_id: where they go.
    :param content_id: of the whole load; other content makes other parts.
    :param rows_per_import: how the load is divided.
    """

    audience_id: str
    content_id: str
    rows_per_import: int
    parts: dict[int, Part] = field(default_factory=dict)

    def is_about_same_as(self, other: Imports) -> bool:
        """Whether the parts of ``other`` are parts of this load."""
        return (self.audience_id, self.content_id, self.rows_per_import) == (
            other.audience_id,
            other.content_id,
            other.rows_per_import,
        )

    def done(self, *, before: int) -> list[dict[str, Any]]:
        """The parts that are through, in order.

        :param before: only those of a smaller number.
        """
        return [
            {"import_id": part.import_id, "rows": part.rows, **part.outcome}
            for number, part in sorted(self.parts.items())
            if part.outcome is not None and number < before
        ]

    def to_dict(self) -> dict[str, Any]:
        """As the state store keeps it."""
        return {
            "audience_id": self.audience_id,
            "content_id": self.content_id,
            "rows_per_import": self.rows_per_import,
            "parts": {str(number): dict(vars(part)) for number, part in self.parts.items()},
        }

    @classmethod
    def from_dict(cls, value: Any) -> Imports | None:
        """Read what :meth:`to_dict` wrote, ``None`` if it is something else."""
        try:
            parts = {int(number): Part(**part) for number, part in value["parts"].items()}
            return cls(value["audience_id"], value["content_id"], value["rows_per_import"], parts)
        except (TypeError, KeyError, ValueError, AttributeError):
            return None


def total(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What the imports of one load come to together."""
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
