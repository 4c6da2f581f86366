"""Record of a confirmed load: stored, published with the asset event, and logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.pipelines.audit import CONFIRMED, UNCHANGED, run_record
from audience_onboarding.platform_registry import get_platform
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
"""Optional fields of the record; an upload before an update of the package may lack them."""


def build_load_record(
    load: Mapping[str, Any],
    confirmation: Mapping[str, Any],
    context: Any,
    *,
    definition: AudienceDefinition,
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the record of a confirmed load.

    :param load: result of ``upload``.
    :param confirmation: result of ``wait_for_confirmation``.
    :param before: stored record of this date and mode, if any.
    """
    fields = (
        "audience_id",
        "load_date",
        "mode",
        *get_platform(definition.platform).record_fields,
        "content_id",
        "rows_read",
        "rows_sent",
        "duplicates",
        "rejected",
        "rejected_by_reason",
    )
    return {
        **{name: load[name] for name in fields},
        **{name: load[name] for name in OPTIONAL_FIELDS if load.get(name) is not None},
        **confirmation,
        "audience_key": definition.key,
        "platform": definition.platform,
        "connection": definition.conn_id,
        "outcome": _outcome(load, before or {}, context["run_id"]),
        **run_record(context),
    }


def _outcome(load: Mapping[str, Any], before: Mapping[str, Any], run_id: str) -> str:
    """Return whether the run changed the audience. A retry finds the upload of an earlier try of the same run."""
    if load.get("uploaded") is not False:
        return CONFIRMED
    if before.get("run_id") == run_id:
        return str(before.get("outcome", CONFIRMED))
    is_known = "confirmed" in load or before.get("content_id") == load["content_id"]
    return UNCHANGED if is_known else CONFIRMED


def merge_last_load(record: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record to store as the last load.

    A date range is no reference for the row count of one date, so it carries the last single-day load for the guards.
    """
    if "range_start" not in record:
        return record
    single = (before.get(LAST_SINGLE_DAY_LOAD) if before.get("range_start") else before) or {}
    reference = {name: single[name] for name in ("load_date", "mode", "rows_sent") if name in single}
    return {**record, LAST_SINGLE_DAY_LOAD: reference} if reference else record


def format_load_record(record: Mapping[str, Any], confirmation: Mapping[str, Any]) -> str:
    """Format a confirmed load for the log."""
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
        *(f"  another file was uploaded on the same day: {key}" for key in record.get("same_day_files", [])),
        *(f"  ignored: {failed}" for failed in record.get("guards", {}).get("failed", [])),
        *(
            f"  match rate {name}: {'unknown' if rate is None else f'{rate:.1%}'}"
            for name, rate in sorted(record.get("match_rates", {}).items())
        ),
        *(
            f"  {name.replace('_', ' ')}: {value}"
            for name, value in confirmation.items()
            if name != "audience_id" and isinstance(value, (int, str))
        ),
    ]
    return "\n".join(lines)
