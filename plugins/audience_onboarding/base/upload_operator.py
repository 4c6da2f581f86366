"""Base class of a platform's upload operator: read the CRM extract of a load date, prepare it, and send it once."""

from __future__ import annotations

import signal
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import date, datetime, timezone
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base import load_events, metrics
from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.links import RejectsLink
from audience_onboarding.base.load import (
    LoadContext,
    RejectsLocation,
    count_load,
    finish_dry_run,
    format_report,
    log_progress,
    parse_columns,
    validate_output_location,
)
from audience_onboarding.base.openlineage import DatasetWrite, Lineage, audience_dataset, build_facets
from audience_onboarding.base.operators import Hook, Id, PlatformOperator
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.snapshot_diff import SnapshotDiff, SnapshotLocation, diff_with_snapshot
from audience_onboarding.base.source_options import check_days, open_days, open_source
from audience_onboarding.base.templating import RemoteId, as_bool
from audience_onboarding.crm.guards import GuardFailure, Guards, build_guard_error
from audience_onboarding.crm.output.profiles import FileProfile, SourceColumn
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import ConfigurationError, EmptySourceError, SourceNotFoundError
from audience_onboarding.state.create_once import check_not_retired
from audience_onboarding.state.load_date import (
    format_dates,
    parse_load_date,
    range_dates,
    resolve_load_date,
    resolve_range_start,
)
from audience_onboarding.state.remote_ids import is_missing
from audience_onboarding.state.store import StateStore

if TYPE_CHECKING:
    from audience_onboarding.crm.prepare import PreparedLoad
    from audience_onboarding.crm.sources.base import Source

_NO_WAIT = "The upload itself does not wait: only LoadPrerequisitesSensor does, unless it is a dry run"


class OnboardCrmOperator(PlatformOperator[Hook, Id]):
    """Read a CRM extract, convert it into the platform's format, and send it once.

    Unhashed identifiers stay in the memory and the private spill directory of the task, except those that the platform
    only accepts unhashed, which needs ``allow_unhashed``. The operator does not wait: add a
    :class:`.prerequisites.LoadPrerequisitesSensor` in front of it if the source comes late or loads need an order.

    :param source: path or ``s3://`` URL of the list, with ``{load_date}`` for the load date; or a dict with the fields
        of :class:`.source_options.SourceOptions` (templated).
    :param columns: identifier (``email``, ``phone``, ...) to the name of its column, or to a
        :class:`~..crm.output.profiles.SourceColumn` if the column holds hashes.
    :param audience_id: the audience (templated); default: the id in the state store of ``asset``.
    :param mode: one of :attr:`modes` (templated).
    :param allow_unhashed: the file may hold unhashed identifiers, for platforms that accept no others.
    :param profile: the format of the file, if not :attr:`profile`.
    :param guards: conditions for sending; :class:`~..crm.guards.Guards` has defaults.
    :param ignore_guards: send although a guard fails; the log and the result record it (templated).
    :param rejects: folder for the masked lists of rejected rows and fields; without it, they are only counted.
    :param snapshots: folder for snapshots of the audience's content, to diff the next list with; needs ``asset``.
    :param timezone: in which the date of a run becomes a load date.
    :param load_date: ``YYYY-MM-DD`` (templated); default: that of the run, see :mod:`~..state.load_date`.
    :param range_start: ``YYYY-MM-DD`` (templated): merge all dates from this one to the load date into one load, for
        modes that add or remove people; at most :data:`~..state.load_date.MAX_RANGE_DAYS` days.
    :param overwrite: replace other content that was sent for this date, and let a ``replace`` or ``mirror`` load an
        older date than the last confirmed one, which is skipped otherwise (templated).
    :param is_dry_run: do everything except sending and writing, then skip the tasks after this one (templated).
    :param memory_limit_mib: memory of the engine in MiB, beyond which it spills to disk.
    :return: audience, counts, content id, and the fields that the platform's sensor needs.
    """

    modes: ClassVar[tuple[str, ...]]
    """Modes of a load on the platform; the first one is the default."""
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset()
    """Modes that need ``snapshots``."""
    profile: FileProfile
    """Format of the file."""
    aws_conn_id: str = "aws_default"
    """Connection for a source in S3 whose options name none."""

    template_fields: Sequence[str] = (
        "source",
        "audience_id",
        "mode",
        "load_date",
        "range_start",
        "overwrite",
        "is_dry_run",
        "ignore_guards",
    )

    def __init__(  # noqa: PLR0913
        self,
        *,
        source: str | Mapping[str, Any],
        columns: Mapping[str, str | SourceColumn],
        audience_id: RemoteId | None = None,
        mode: str | None = None,
        allow_unhashed: bool = False,
        profile: FileProfile | None = None,
        guards: Guards | None = None,
        ignore_guards: bool | str = False,
        rejects: RejectsLocation | None = None,
        snapshots: SnapshotLocation | None = None,
        timezone: str = "UTC",
        load_date: str | None = None,
        range_start: str | None = None,
        overwrite: bool | str = False,
        is_dry_run: bool | str = False,
        memory_limit_mib: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.columns = dict(columns)
        self.audience_id = audience_id
        self.mode = self.modes[0] if mode is None else mode
        self.allow_unhashed = allow_unhashed
        if profile is not None:
            self.profile = profile
        self.guards = guards or Guards()
        self.ignore_guards = ignore_guards
        self.rejects = rejects
        self.snapshots = snapshots
        self.timezone = timezone
        self.load_date = load_date
        self.range_start = range_start
        self.overwrite = overwrite
        self.is_dry_run = is_dry_run
        self.memory_limit_mib = memory_limit_mib
        self._lineage = Lineage()
        self._is_running = False

    # Implemented by a platform:

    @abstractmethod
    def get_audience(self, load: LoadContext) -> Any:
        """Load the audience before anything is read; ``None`` if the upload creates it."""

    @abstractmethod
    def upload(self, load: LoadContext, audience: Any) -> dict[str, Any]:
        """Send the file.

        :param audience: result of :meth:`get_audience`.
        :return: ``audience_id``, ``uploaded`` (whether the load was sent, in this try or an earlier one) and the fields
            that the sensor needs. ``uploaded_in_this_try``, if it differs, goes to the metrics only.
        """

    def get_audience_id(self, audience: Any) -> Id | None:
        """Return the id of a result of :meth:`get_audience`, ``None`` if the upload creates the audience."""
        audience_id: Id | None = getattr(audience, "id", audience)
        return audience_id

    def validate(self) -> None:
        """Validate the platform's own arguments before anything is read.

        :raises ConfigurationError: one is missing or invalid.
        """

    def is_vendor_path(self, url: str) -> bool:  # noqa: ARG002
        """Return whether the vendor would read a file at ``url``."""
        return False

    def latest_uploaded_date(self, store: StateStore) -> str:  # noqa: ARG002
        """Return the latest load date in the audience's uploads, confirmed or not; ISO, empty if unknown.

        An older whole list would undo that load.
        """
        return ""

    def get_openlineage_facets_on_start(self) -> Any:
        """Return the source, if its path needs no load date or the task has one as an argument."""
        options = SourceOptions.parse(self.source)
        dates = (parse_load_date(self.load_date),) if self.load_date else ()
        return build_facets(Lineage(options, dates, parse_columns(self.columns), self.profile))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Return the datasets that were read and written, with counts."""
        return build_facets(self._lineage)

    def _add_written_audience(
        self,
        load: LoadContext,
        audience_id: Id,
        *,
        rows: int | None,
        size: int | None,
        change: Literal["CREATE", "OVERWRITE", "ALTER"],
    ) -> None:
        dataset = audience_dataset(self.hook.conn_type, self._account, audience_id)
        load.lineage.written.append(DatasetWrite(dataset, rows, size, change))

    @fail_on_terminal_error
    def execute(self, context: Context) -> dict[str, Any]:
        """Prepare and send."""
        return self._run(context)

    def on_kill(self) -> None:
        """Interrupt the upload: on its way out, it aborts multipart uploads and deletes temporary files.

        Airflow calls this in the handler of SIGTERM, between two instructions of the upload. That may hold any lock, so
        nothing else is safe here. Airflow also calls it after a time-out, once the upload has been interrupted.

        :raises SystemExit: the upload is running. Airflow retries the task, unless a user has ended it.
        """
        if self._is_running:
            self._is_running = False
            raise SystemExit(128 + signal.SIGTERM)

    def _run(self, context: Context, **resumed: Any) -> dict[str, Any]:
        """Prepare and send.

        :param resumed: fields of :class:`.load.LoadContext` that a try hands over when it defers.
        """
        self._is_running = True
        try:
            return self._run_load(self._resolve(context, **resumed))
        finally:
            self._is_running = False

    def _run_load(self, load: LoadContext) -> dict[str, Any]:
        audience = None if load.is_dry_run and is_missing(self.audience_id) else self.get_audience(load)
        try:
            with ExitStack() as stack:
                return self._prepare_and_send(load, audience, stack)
        except SourceNotFoundError as error:
            # If dates of a range may be missing, they are left out already; any other is an error.
            if load.source.on_missing != "skip" or load.resuming or load.range_start:
                if load.source.on_missing == "wait" and not load.range_start:
                    error.add_next_step(_NO_WAIT)
                raise
            reason = f"There is no source, so there is nothing to load: {error}"
        except EmptySourceError as error:
            if error.rows_read or self.guards.on_empty != "skip" or load.resuming:
                raise
            reason = f"The source is empty, so there is nothing to load: {error}"
        raise AirflowSkipException(reason)

    def _resolve(self, context: Context, **resumed: Any) -> LoadContext:
        """Return the load, its arguments validated."""
        source, mode = SourceOptions.parse(self.source), self._validated_mode()
        load_date = resolve_load_date(context, timezone=self.timezone, load_date=self.load_date)
        columns = parse_columns(self.columns)
        dates: tuple[date, ...] = (load_date,)
        range_start = resolve_range_start(context, self.range_start)
        if range_start is not None:
            dates = range_dates(range_start, load_date, mode=mode)
            check_days(source, dates)
        load = LoadContext(
            context=context,
            store=self._state_store(context),
            source=source,
            mode=mode,
            load_date=load_date,
            range_start=range_start,
            dates=dates,
            overwrite=as_bool(self.overwrite),
            is_dry_run=as_bool(self.is_dry_run),
            lineage=Lineage(source, dates, columns, self.profile),
            **resumed,
        )
        # OpenLineage's provider asks the operator for it after the execution.
        self._lineage = load.lineage
        # Also if the definition gives the id, and nothing is created.
        check_not_retired(load.store)
        self._check_unhashed()
        load.skip_if_stale(self.latest_uploaded_date(load.store))
        sources = load.source_urls
        self.validate()
        if (rejects := self._rejects_url(load)) is not None:
            self._validate_output_location(rejects, "The list of rejects", "rejects", sources)
        if self.snapshots is not None:
            if self.asset is None:
                raise ConfigurationError(
                    what="A folder of snapshots needs an asset: its state store lists the confirmed ones",
                    next_step="Give 'asset', or leave out 'snapshots'",
                )
            url = f"{self.snapshots.folder.rstrip('/')}/snapshot.parquet"
            self._validate_output_location(url, "Snapshots", "snapshots", sources)
        return load

    def _prepare_and_send(self, load: LoadContext, audience: Any, stack: ExitStack) -> dict[str, Any]:
        source, missing = self._open(load)
        prepared = stack.enter_context(self._prepare(load, source))
        load = replace(load, prepared=prepared)
        report = prepared.report
        result = {
            "load_date": load.load_date.isoformat(),
            **({"range_start": load.range_start.isoformat()} if load.range_start else {}),
            **({"days_missing": len(missing)} if missing else {}),
            "mode": load.mode,
            "source": load.source.label if load.range_start else load.source_urls[0] or load.source.label,
            "content_id": prepared.content_id,
            **report.to_dict(),
        }
        self.log.info("%s", format_report(report))
        self._emit_event(load, load_events.READ, result)
        load.lineage.report = report
        failures = self.guards.failures(report, mode=load.mode, last_rows=load.comparable_rows())
        rejects_file = self._write_rejects(load, prepared.rejects(), prepared.rejects_count)
        load = replace(load, diff=self._diff(load, audience, stack))
        if load.diff is not None and not any(each.setting == "max_row_drop" for each in failures):
            failures += load.diff.failures(self.guards)
        result["guards"] = {
            "ignored": as_bool(self.ignore_guards),
            "failed": [str(failure) for failure in failures],
        }
        if load.is_dry_run:
            finish_dry_run(load, result)
        self._enforce_guards(failures, load.mode)
        sent = self.upload(load, audience)
        return self._report_sent(load, {**result, "rejects_file": rejects_file, **sent, **load.diff_fields})

    def _prepare(self, load: LoadContext, source: Source) -> AbstractContextManager[PreparedLoad]:
        from audience_onboarding.crm.prepare import prepare

        return prepare(
            source,
            columns=load.lineage.columns,
            profile=self.profile,
            country=load.source.phone_region,
            memory_limit_mib=self.memory_limit_mib,
            progress=log_progress,
            when_all_rejected=lambda found: self._write_rejects(load, found.read(), found.count),
        )

    def _open(self, load: LoadContext) -> tuple[Source, list[date]]:
        """Return the source of the load, and the dates of a range that have none."""
        client = partial(s3_client, load.source.aws_conn_id or self.aws_conn_id)
        if load.range_start is None:
            return open_source(load.source, load.load_date, s3_client=client), []
        self.log.info("Merging %s days, %s to %s", f"{len(load.dates):,}", load.dates[0], load.dates[-1])
        may_be_empty = self.guards.on_empty == "skip"
        source, missing = open_days(load.source, load.dates, s3_client=client, may_be_empty=may_be_empty)
        if missing:
            self.log.warning(
                "%s days have no source and are left out: %s", len(missing), format_dates(missing)
            )
        return source, missing

    def _diff(self, load: LoadContext, audience: Any, stack: ExitStack) -> SnapshotDiff | None:
        if self.snapshots is None:
            return None
        diff = stack.enter_context(
            diff_with_snapshot(
                load.file,
                location=self.snapshots,
                store=load.store,
                audience_id=self.get_audience_id(audience),
                period=load.period,
                mode=load.mode,
                memory_limit_mib=self.memory_limit_mib,
                warn=self.log.warning,
            )
        )
        counts = ", ".join(f"{name} {count:,}" for name, count in diff.counts().items())
        self.log.info("Compared with the last confirmed load: %s", counts or "changes unknown")
        return diff

    def _report_sent(self, load: LoadContext, result: dict[str, Any]) -> dict[str, Any]:
        """Emit metrics and the log event; return the result, with the time of sending."""
        uploaded = result.pop("uploaded_in_this_try", result.get("uploaded") is not False)
        if uploaded:
            result["sent_at"] = datetime.now(timezone.utc).isoformat()
        count_load(result, uploaded=uploaded, **self._load_metric_tags(load.mode))
        self._emit_event(load, load_events.SENT, result)
        return result

    def _emit_event(self, load: LoadContext, event: str, result: Mapping[str, Any]) -> None:
        ti = load.context["ti"]
        load_events.log_event(event, result, **self._metric_tags(), dag_id=ti.dag_id, run_id=ti.run_id)

    def _load_metric_tags(self, mode: str) -> dict[str, str]:
        return {**self._metric_tags(), "mode": mode}

    def _enforce_guards(self, failures: list[GuardFailure], mode: str) -> None:
        if failures and not as_bool(self.ignore_guards):
            for failure in failures:
                metrics.incr(metrics.GUARD_FAILURES, **self._load_metric_tags(mode), guard=failure.setting)
            raise build_guard_error(failures)
        for failure in failures:
            self.log.warning("Ignored, because of 'ignore_guards': %s", failure)

    def _rejects_url(self, load: LoadContext) -> str | None:
        from audience_onboarding.storage.reject_files import rejects_url

        if self.rejects is None:
            return None
        return rejects_url(self.rejects.folder, load_date=load.period, run_id=load.context["ti"].run_id)

    def _validate_output_location(self, url: str, label: str, option: str, sources: list[str]) -> None:
        validate_output_location(
            url, label, option=option, sources=sources, is_vendor_path=self.is_vendor_path(url)
        )

    def _write_rejects(self, load: LoadContext, lines: Iterator[bytes], count: int) -> str | None:
        """Write the list of rejects, if there are any; before the guards, because it explains their failures."""
        from audience_onboarding.storage.reject_files import write_rejects

        url = self._rejects_url(load)
        if url is None or self.rejects is None or load.is_dry_run or not count:
            return None
        client = cache(partial(s3_client, self.rejects.aws_conn_id))
        write_rejects(url, lines, s3_client=client)
        RejectsLink.persist(self, url, client)
        self.log.info("%s rejected rows and fields are listed in %s", f"{count:,}", url)
        return url

    def _check_unhashed(self) -> None:
        unhashed = [
            column.identifier.value
            for column in self.profile.columns
            if column.transform == "raw" and column.identifier.value in self.columns
        ]
        if unhashed and not self.allow_unhashed:
            raise ConfigurationError(
                what=f"{self.hook.hook_name} accepts {' and '.join(unhashed)} only unhashed",
                next_step="If your data protection officer agrees to send them, set 'allow_unhashed: true'",
            )

    def _validated_mode(self) -> str:
        unavailable = self.modes_with_snapshots if self.snapshots is None else frozenset()
        allowed = [mode for mode in self.modes if mode not in unavailable]
        if self.mode in unavailable:
            raise ConfigurationError(
                what=f"Mode {self.mode!r} needs 'snapshots', a folder for snapshots of the audience's content",
                next_step=f"Give one; without it, {', '.join(allowed)} are allowed",
            )
        if self.mode not in allowed:
            raise ConfigurationError(
                what=f"Unknown mode {self.mode!r}", next_step=f"Allowed are {', '.join(allowed)}"
            )
        return self.mode
