"""One load: the context that an upload operator passes along, and the rules that need no operator."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base import metrics
from audience_onboarding.base.openlineage import Lineage
from audience_onboarding.base.retry_policy import fail_from_event, to_fail_exception
from audience_onboarding.base.snapshot_diff import OPT_OUT, SnapshotDiff
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.crm.output.profiles import Identifier, SourceColumn
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConfigurationError,
    TerminalError,
    TransientError,
    UploadConflictError,
)
from audience_onboarding.state.store import (
    LAST_LOAD_KEY,
    LAST_SINGLE_DAY_LOAD,
    StateStore,
    format_period,
    load_identity,
    load_key,
    record_period,
)

if TYPE_CHECKING:
    from audience_onboarding.crm.prepare import PreparedLoad, Progress
    from audience_onboarding.crm.report import LoadReport

log = logging.getLogger(__name__)

_MIB = 1024 * 1024


@dataclass(frozen=True)
class RejectsLocation:
    """Folder for the lists of rejected rows and fields; each run of a date has its own file.

    :param folder: a path or ``s3://bucket/prefix``.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` folder.
    """

    folder: str
    aws_conn_id: str = "aws_default"


@dataclass(frozen=True, kw_only=True)
class LoadContext:
    """One load, from the resolved arguments of its operator to the file that it uploads.

    :param context: Airflow's context of the task.
    :param store: the state store of the audience; of the task if the operator has no asset.
    :param source: where the list comes from.
    :param mode: one of the operator's modes.
    :param load_date: its date; of a range, the last one.
    :param range_start: the first date of a range that is merged into one load.
    :param dates: all its dates, oldest first.
    :param overwrite: whether it may replace other content that was sent for its date.
    :param is_dry_run: whether nothing is sent or written.
    :param lineage: collects the lineage for OpenLineage.
    :param resuming: whether an earlier step of this load, before a deferral, has sent a part of it.
    :param resumed_content_id: content id of the list before the deferral.
    :param confirmed_opt_out_id: content id of the opt-out file of a mirror that the vendor has processed.
    :param erasures: the platform's log of erasures before the source was read.
    :param prepared: the file, once it is prepared.
    :param diff: the changes against the last confirmed load, if the operator keeps snapshots.
    """

    context: Context
    store: StateStore
    source: SourceOptions
    mode: str
    load_date: date
    range_start: date | None
    dates: tuple[date, ...]
    overwrite: bool
    is_dry_run: bool
    lineage: Lineage = field(default_factory=Lineage)
    resuming: bool = False
    resumed_content_id: str | None = None
    confirmed_opt_out_id: str | None = None
    erasures: Any = None
    prepared: PreparedLoad | None = None
    diff: SnapshotDiff | None = None

    @property
    def file(self) -> PreparedLoad:
        """The prepared file."""
        if self.prepared is None:
            raise AssertionError("the file is not prepared yet")
        return self.prepared

    @property
    def period(self) -> str:
        """Its date or range of dates, see :func:`~..state.store.format_period`."""
        return format_period(
            self.load_date.isoformat(), self.range_start.isoformat() if self.range_start else None
        )

    @property
    def identity(self) -> str:
        """Period, mode and content id: equal only for the same load."""
        return load_identity(self.period, self.mode, self.file.content_id)

    @property
    def diff_fields(self) -> dict[str, Any]:
        """Fields about the diff for the result of the task."""
        return {} if self.diff is None else {"changes": self.diff.counts(), "snapshot": self.diff.snapshot}

    @property
    def source_urls(self) -> list[str]:
        """Path or URL of each date; empty texts for a query.

        :raises ConfigurationError: the path has an unknown placeholder.
        """
        return [self.source.url(day) for day in self.dates]

    def check_unchanged(self, where: str, *, next_step: str) -> None:
        """Compare the list with the one before the deferral.

        :raises UploadConflictError: they differ.
        """
        if self.resumed_content_id not in (None, self.file.content_id):
            raise UploadConflictError(
                what="The source changed during its load",
                where=where,
                next_step=f"{next_step}. If the source is a query, add an ORDER BY: it must return the same rows in "
                "the same order each time",
            )

    def find_confirmed(self, audience_id: Any, *, key: str | None = None) -> dict[str, Any] | None:
        """Return the record of this very load if the vendor has confirmed it: then there is nothing to send.

        For platforms on which no object at the vendor shows which load it came from.

        :param key: of the record in the state store; default: that of this period and mode.
        :raises UploadConflictError: other content was sent for this period, and ``overwrite`` is not set.
        """
        record = self.store.get(key or load_key(self.period, self.mode))
        if not isinstance(record, dict) or (
            record_period(record),
            record.get("audience_id"),
            record.get("mode", self.mode),
        ) != (self.period, audience_id, self.mode):
            return None
        if record.get("content_id") == self.file.content_id:
            log.info("Run %s has loaded this content, confirmed: nothing to send", record.get("run_id"))
            return record
        if self.overwrite:
            return None
        raise UploadConflictError(
            what=f"The load of {self.period} ({self.mode}) was sent before, with other content",
            where=f"audience {audience_id}, by run {record.get('run_id')}",
            next_step=f"If the new content is right, trigger it again {OVERWRITE_HINT}",
        )

    def comparable_rows(self) -> int | None:
        """Return the rows of the last confirmed load that this one can be compared with, ``None`` if there is none.

        A single date is compared with the last single date, a range with itself.
        """
        if self.range_start is not None:
            last = self.store.get(load_key(self.period, self.mode))
        else:
            last = self.store.get(LAST_LOAD_KEY)
            if isinstance(last, dict) and last.get("range_start"):
                last = last.get(LAST_SINGLE_DAY_LOAD)
        if not isinstance(last, dict) or not isinstance(last.get("rows_sent"), int):
            return None
        if self.mode in FULL_LIST_MODES:
            # The rows of an opt-in or opt-out do not show how long the whole list was.
            return last["rows_sent"] if last.get("mode") in FULL_LIST_MODES else None
        is_earlier = str(last.get("load_date", "")) <= self.load_date.isoformat()
        return last["rows_sent"] if last.get("mode") == self.mode and is_earlier else None

    def skip_if_stale(self, latest_uploaded: str) -> None:
        """Skip an older whole list that would replace a newer one, unless ``overwrite`` is set.

        :param latest_uploaded: latest load date that was uploaded, ISO: it may be confirmed before or after this one.
        :raises AirflowSkipException: a newer one is confirmed or uploaded.
        """
        if self.mode not in FULL_LIST_MODES or self.overwrite:
            return
        last = self.store.get(LAST_LOAD_KEY)
        confirmed = str(last.get("load_date", "")) if isinstance(last, dict) else ""
        latest = max(confirmed, latest_uploaded)
        if self.load_date.isoformat() < latest:
            raise AirflowSkipException(
                f"Skipping stale load: the load of {latest} is {'confirmed' if latest == confirmed else 'uploaded'}, "
                f"and the older list of {self.load_date} would undo it. To send it anyway, trigger it {OVERWRITE_HINT}"
            )


def validate_output_location(
    url: str, label: str, *, option: str, sources: list[str], is_vendor_path: bool
) -> None:
    """Check that a file which is written beside the load is read neither by the vendor nor as a source.

    :param label: of the file, for the message.
    :param option: of the definition that names the folder.
    :param is_vendor_path: whether the vendor reads files at ``url``.
    :raises ConfigurationError: it is.
    """
    if is_vendor_path:
        raise ConfigurationError(
            what=f"{label} may not lie where the vendor reads files",
            where=url,
            next_step=f"Name a bucket or folder of your own under {option!r}",
        )
    if any(_matches(url, source) for source in sources):
        raise ConfigurationError(
            what=f"{label} would lie among the files of the source, and be read as one of them",
            where=url,
            next_step=f"Name another folder under {option!r}",
        )


def _matches(url: str, source: str) -> bool:
    """Return whether a file is one of those that a folder or a pattern names."""
    parts, patterns = (
        (path if "://" in path else os.path.normpath(path)).split("/")
        for path in (url, f"{source}*" if source.endswith("/") else source)
    )
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def check_event(
    event: Mapping[str, Any], *, failed: Callable[[str], TerminalError], timed_out: str, where: str
) -> None:
    """Check that a wait between two parts of a load has succeeded.

    :param event: of the trigger.
    :param failed: builds the error of a failure that the vendor reports, from its message.
    :param timed_out: message of a time-out.
    :param where: the vendor.
    :raises AirflowFailException: the vendor reports a failure, or rejects the request.
    :raises TransientError: the wait timed out.
    """
    if event["status"] == "failed":
        raise to_fail_exception(failed(event["message"]))
    if event["status"] == "error":
        raise fail_from_event(event)
    if event["status"] == "timeout":
        raise TransientError(
            what=timed_out,
            where=where,
            why=event["message"],
            next_step="The next try continues the wait; nothing is sent again",
        )


def parse_columns(columns: Mapping[str, str | SourceColumn]) -> dict[Identifier, str | SourceColumn]:
    """Return the columns by identifier.

    :raises ConfigurationError: an identifier is unknown.
    """
    known = {identifier.value: identifier for identifier in Identifier}
    if unknown := sorted(set(columns) - set(known)):
        raise ConfigurationError(
            what=f"Unknown identifier {', '.join(map(repr, unknown))}",
            next_step=f"Allowed are {', '.join(known)}",
        )
    return {known[name]: column for name, column in columns.items()}


def finish_dry_run(load: LoadContext, result: Mapping[str, Any]) -> NoReturn:
    """Report the effect of a run.

    :raises AirflowSkipException: always.
    """
    mode, rows, failed = load.mode, result["rows_sent"], result["guards"]["failed"]
    for failure in failed:
        log.warning("This guard would stop the load: %s", failure)
    adds: int | None = 0 if mode == OPT_OUT else rows
    # Only the vendor knows which rows a whole list removes.
    removes: int | None = None if mode in FULL_LIST_MODES else rows if mode == OPT_OUT else 0
    if load.diff is not None and load.diff.base.confirmed is not None:
        adds, removes = load.diff.adds, load.diff.removes
    report = {**result, "would_add": adds, "would_remove": removes}
    load.context["ti"].xcom_push(key="dry_run_report", value=report)
    verdict = f" {len(failed)} of the guards would stop it." if failed else ""
    raise AirflowSkipException(
        f"Dry run: {rows} rows would be sent, nothing was.{verdict} "
        "The counts are above and under XCom 'dry_run_report'"
    )


def count_load(result: Mapping[str, Any], *, uploaded: bool, **tags: str) -> None:
    """Count a load and its rows for the metrics backend.

    :param result: of the upload task.
    :param uploaded: whether this try has sent anything.
    """
    metrics.incr(metrics.LOADS, **tags, outcome="sent" if uploaded else "unchanged")
    if not uploaded:
        return
    metrics.incr(metrics.ROWS_READ, result["rows_read"], **tags)
    metrics.incr(metrics.ROWS_SENT, result["rows_sent"], **tags)
    if result["duplicates"]:
        metrics.incr(metrics.ROWS_DUPLICATE, result["duplicates"], **tags)
    for reason, rows in result["rejected_by_reason"].items():
        metrics.incr(metrics.ROWS_REJECTED, rows, **tags, reason=reason)


def log_progress(progress: Progress) -> None:
    """Log how far the source is read."""
    rate = progress.rows / progress.seconds if progress.seconds else 0
    log.info(
        "Read %s rows, %s MiB, %s rows/s",
        f"{progress.rows:,}",
        f"{progress.size / _MIB:,.1f}",
        f"{rate:,.0f}",
    )


def format_report(report: LoadReport) -> str:
    """Format counts and column names of a prepared list for the task's log; without personal data."""
    lines = [
        "Prepared the list:",
        f"  rows read   {report.rows_read:>12,}"
        + (f" from {report.files:,} files" if report.files > 1 else ""),
        f"  to send     {report.rows_sent:>12,}",
        f"  duplicates  {report.duplicates:>12,}",
        f"  rejected    {report.rejected:>12,}",
        *(f"    {reason}: {count:,}" for reason, count in sorted(report.rejected_by_reason.items())),
        *(
            f"  {identifier}: {filled:,} filled, {report.values_sent.get(identifier, 0):,} to send"
            + "".join(
                f", {count:,} {reason}"
                for reason, count in sorted(report.invalid_values.get(identifier, {}).items())
            )
            for identifier, filled in report.values_read.items()
        ),
    ]
    if report.ignored_columns:
        lines.append(f"  unmapped columns: {report.ignored_columns}")
    return "\n".join(lines)
