"""The record of a confirmed load: what is remembered, published as an asset event, and shown in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.state.audit import CONFIRMED, UNCHANGED, run_record
from audience_onboarding.state.store import LAST_SINGLE_DAY_LOAD, record_period

OPTIONAL_FIELDS = (
    "range_start",
    "days_missing",
    "invalid_values",
    "hash_mismatches",
    "files",
    "ignored_columns",
    "rejects_file",
    "guards",
    "changes",
    "members",
    "snapshot",
    "s3_keys",
    "s3_endpoint",
    "s3_region",
    "same_day_files",
)
"""What the record of a load keeps as well; a task that ran before an update may not have said it."""


def build_load_record(
    load: Mapping[str, Any],
    seen: Mapping[str, Any],
    context: Any,
    *,
    definition: AudienceDefinition,
    before: Mapping[str, Any] | None,
    more: tuple[str, ...],
) -> dict[str, Any]:
    """The record of a confirmed load.

    :param load: what the upload has returned.
    :param seen: what the wait has returned.
    :param definition: of the audience.
    :param before: the record that is kept of this day and mode, if there is one.
    :param more: what the platform keeps of the upload.
    """
    kept = (
        "audience_id",
        "load_date",
        "mode",
        *more,
        "content_id",
        "rows_read",
        "rows_sent",
        "duplicates",
        "rejected",
        "rejected_by_reason",
    )
    return {
        **{name: load[name] for name in kept},
        **{name: load[name] for name in OPTIONAL_FIELDS if load.get(name) is not None},
        **seen,
        "audience_key": definition.key,
        "platform": definition.platform,
        "connection": definition.conn_id,
        "outcome": _outcome(load, before or {}, context["run_id"]),
        **run_record(context),
    }


def _outcome(load: Mapping[str, Any], before: Mapping[str, Any], run_id: str) -> str:
    """Whether the run has changed anything: a try may find the file of an earlier one, and the run has sent it."""
    if load.get("uploaded") is not False:
        return CONFIRMED
    if before.get("run_id") == run_id:
        return str(before.get("outcome", CONFIRMED))
    is_known = "confirmed" in load or before.get("content_id") == load["content_id"]
    return UNCHANGED if is_known else CONFIRMED


def merge_last_load(record: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept as the last load. A range of days says nothing about how long the list of a day should be, so what
    the guards compare those with goes along with it."""
    if "range_start" not in record:
        return record
    of_a_day: Mapping[str, Any] = (
        before.get(LAST_SINGLE_DAY_LOAD) if before.get("range_start") else before
    ) or {}
    kept = {name: of_a_day[name] for name in ("load_date", "mode", "rows_sent") if name in of_a_day}
    return {**record, LAST_SINGLE_DAY_LOAD: kept} if kept else record


def format_load_record(record: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    """What the log says of a confirmed load."""
    lines = [
        f"Load {record_period(record)} ({record['mode']}) of audience {record['audience_id']} is confirmed",
        f"  rows read   {record['rows_read']:>10,}",
        f"  sent        {record['rows_sent']:>10,}",
        f"  duplicates  {record['duplicates']:>10,}",
        f"  rejected    {record['rejected']:>10,}",
        *(f"    {reason}: {count:,}" for reason, count in sorted(record["rejected_by_reason"].items())),
        *([f"  days without a source {record['days_missing']:,}"] if record.get("days_missing") else []),
        *([f"  rejects are listed in {record['rejects_file']}"] if record.get("rejects_file") else []),
        *(f"  {name:<12}{count:>10,}" for name, count in record.get("changes", {}).items()),
        *(f"  another file was put on the same day: {key}" for key in record.get("same_day_files", [])),
        *(f"  ignored: {failed}" for failed in record.get("guards", {}).get("failed", [])),
        *(
            f"  match rate {name}: {'unknown' if rate is None else f'{rate:.1%}'}"
            for name, rate in sorted(record.get("match_rates", {}).items())
        ),
        *(
            f"  {name.replace('_', ' ')}: {value}"
            for name, value in seen.items()
            if name != "audience_id" and isinstance(value, (int, str))
        ),
    ]
    return "\n".join(lines)
