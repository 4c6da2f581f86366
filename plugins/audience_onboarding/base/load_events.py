"""Structured log lines for the events of a load.

Airflow writes a task's log as one JSON object per line. The fields of an event are fields of that object, so a log
collector needs no regular expression. The tasks log lines for people themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOGGER = "audience_onboarding.load"
"""The ``logger`` of these lines."""

READ = "load read"
"""A list was read and prepared, but not yet sent."""
SENT = "load sent"
"""The upload task has succeeded; ``uploaded`` is false if nothing had to be sent."""
CONFIRMED = "load confirmed"
"""The vendor has confirmed the load, and it is recorded."""

COUNTS = ("rows_read", "rows_sent", "duplicates", "rejected")

FIELDS: Mapping[str, tuple[str, ...]] = {
    READ: (*COUNTS, "rejected_by_reason", "content_id", "source"),
    SENT: (*COUNTS, "audience_id", "uploaded", "content_id", "bucket", "s3_key", "import_id", "rejects_file"),
    CONFIRMED: (
        *COUNTS,
        "audience_id",
        "outcome",
        "rejected_by_reason",
        "match_rates",
        "content_id",
        "s3_key",
        "rejects_file",
    ),
}
"""Fields of each event besides :data:`LOAD_LABELS`; unknown values are omitted."""

LOAD_LABELS = ("platform", "audience", "load_date", "range_start", "mode", "dag_id", "run_id")
"""Fields of every event, which identify the load."""


def log_event(event: str, load: Mapping[str, Any], **labels: Any) -> None:
    """Log one event of a load.

    :param event: one of the names above.
    :param load: result of a task, or a record.
    :param labels: of :data:`LOAD_LABELS`, those that ``load`` does not contain.
    """
    import structlog  # comes with Airflow; imported here, as DAG files do not need it

    values = {**load, **labels}
    fields = {name: values[name] for name in (*LOAD_LABELS, *FIELDS[event]) if values.get(name) is not None}
    structlog.get_logger(LOGGER).info(event, **fields)
