"""One line in the task's log for each event of a load, with its numbers as fields of their own.

Airflow writes a task's log as JSON, one object a line; what is given here besides the event's name are fields of that
object, so that who collects logs needs no regular expression. The lines for people come from the tasks themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOGGER = "audience_onboarding.load"
"""The ``logger`` of these lines."""

READ = "load read"
"""A list was read and prepared; nothing is sent yet."""
SENT = "load sent"
"""The sending task has ended well; ``uploaded`` says whether there was anything to send."""
CONFIRMED = "load confirmed"
"""The load is recorded as taken in by the vendor."""

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
"""What each line may hold of a load, beside :data:`WHICH`; what is not known is left out."""

WHICH = ("platform", "audience", "load_date", "range_start", "mode", "dag_id", "run_id")
"""What every line holds, to tell which load it is."""


def log_event(event: str, load: Mapping[str, Any], **which: Any) -> None:
    """Log one event of a load.

    :param event: one of the names above.
    :param load: what is known of it: the result of a task, or a record.
    :param which: of :data:`WHICH`, what ``load`` does not hold.
    """
    import structlog  # comes with Airflow; a DAG file has no use for it

    known = {**load, **which}
    fields = {name: known[name] for name in (*WHICH, *FIELDS[event]) if known.get(name) is not None}
    structlog.get_logger(LOGGER).info(event, **fields)
