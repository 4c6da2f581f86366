"""The base of a platform's onboarding: read a CRM extract of a load date, prepare it, and send it in its turn."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timezone
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base import load_events, metrics
from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.links import RejectsLink
from audience_onboarding.base.openlineage import Lineage, Written, audience_place, facets_of
from audience_onboarding.base.operators import Hook, Id, PlatformOperator
from audience_onboarding.base.retry_policy import failure_of, failure_told, terminal_errors_fail
from audience_onboarding.base.snapshot_diff import (
    MIRROR,
    OPT_OUT,
    REPLACE,
    Comparison,
    StateFolder,
    compared,
)
from audience_onboarding.base.source_options import SourceOptions, check_days, open_days, open_source
from audience_onboarding.base.templating import RemoteId, as_bool
from audience_onboarding.crm.guards import WHOLE_LIST, Failure, Guards, guard_error
from audience_onboarding.crm.output.profiles import FileProfile, Identifier, SourceColumn
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConfigurationError,
    EmptySourceError,
    SourceNotFoundError,
    TerminalError,
    TransientError,
    UploadConflictError,
)
from audience_onboarding.state.create_once import check_not_retired
from audience_onboarding.state.history import history_days, told_days
from audience_onboarding.state.load_date import parse_load_date, resolve_history_from, resolve_load_date
from audience_onboarding.state.remote_ids import is_missing
from audience_onboarding.state.store import (
    LAST_LOAD_KEY,
    LAST_SINGLE_DAY_LOAD,
    Memory,
    days_of,
    days_text,
    load_identity,
    load_key,
)

if TYPE_CHECKING:
    from audience_onboarding.crm.prepare import PreparedLoad, Progress
    from audience_onboarding.crm.report import LoadReport
    from audience_onboarding.crm.sources.base import Source

__all__ = [
    "MIRROR",
    "OPT_OUT",
    "REPLACE",
    "OnboardCrmOperator",
    "Rejects",
    "Sending",
    "StateFolder",
    "summary",
]

_MIB = 1024 * 1024
_NO_WAIT = "The upload itself does not wait: only LoadPrerequisitesSensor does, unless it is a dry run"


@dataclass(frozen=True)
class Sending:
    """One load on its way to the vendor.

    :param load: the prepared file.
    :param mode: one of the operator's modes.
    :param load_date: the day that it is about.
    :param overwrite: whether it may take the place of what was sent for that day.
    :param comparison: with the last confirmed load, where the operator has a folder of snapshots.
    :param range_start: of a range of days that are merged in one load, the first one; ``load_date`` is the last.
    """

    load: PreparedLoad
    mode: str
    load_date: date
    overwrite: bool
    comparison: Comparison | None = None
    range_start: date | None = None

    @property
    def days(self) -> str:
        """The day that it is about, or its range of days."""
        return _days(self.load_date, self.range_start)

    @property
    def identity(self) -> str:
        """What tells this load from any other."""
        return load_identity(self.days, self.mode, self.load.content_id)

    @property
    def told(self) -> dict[str, Any]:
        """What the result of the task says of the comparison."""
        if self.comparison is None:
            return {}
        return {"changes": self.comparison.counts(), "snapshot": self.comparison.snapshot}


@dataclass(frozen=True)
class Rejects:
    """Where the list of rejected rows and fields of each load goes.

    :param folder: a path or ``s3://bucket/prefix``; each run of a day has a file of its own there.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` folder.
    """

    folder: str
    aws_conn_id: str = "aws_default"


class OnboardCrmOperator(PlatformOperator[Hook, Id]):
    """Read a CRM extract, bring it into the platform's form, and send it, once.

    Raw identifiers stay in the memory and the private spill directory of the task, but for what the platform takes
    raw, which needs ``allow_unhashed``.

    :param source: path or ``s3://`` URL of the list, with ``{load_date}`` for the load date; or a dict that says more:
        the fields of :class:`..source_options.SourceOptions` (templated).
    :param columns: identifier (``email``, ``phone``, ...) to the name of its column, or to a
        :class:`..crm.profiles.SourceColumn` where that holds hashes already.
    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :param mode: one of :attr:`modes` (templated).
    :param allow_unhashed: the file may hold identifiers that are not hashed, for platforms that take no others.
    :param profile: what the file looks like, where not as :attr:`profile` says.
    :param guards: what has to hold before anything is sent; :class:`..crm.guards.Guards` has defaults.
    :param ignore_guards: send although a guard says no; it is logged, and part of the result (templated).
    :param rejects: where rejected rows and fields are written to, masked; without it they are only counted.
    :param snapshots: folder of the snapshots that the next list is compared with; needs ``asset``.
    :param timezone: in which a run's moment becomes a load date.
    :param load_date: ``YYYY-MM-DD`` (templated); default the run's, see :mod:`..orchestration.load_date`.
    :param range_start: ``YYYY-MM-DD`` (templated): all days from this one to the load date are merged in one load.
        For modes that add people or take some out; at most
        :data:`~audience_onboarding.state.history.MAX_HISTORY_DAYS` days. Nothing or an empty text: the load
        date alone.
    :param overwrite: let other content take the place of what was sent for this day, and let a ``replace`` or
        ``mirror`` go back to an older day than the last confirmed one, which is skipped otherwise (templated).
    :param is_dry_run: do everything but send and write, then skip the tasks after this one (templated).
    :param memory_limit_mib: memory of the engine in MiB, beyond which it spills to disk.
    :return: audience, counts, identity of the content, and what the sensor wants to know.
    """

    modes: ClassVar[tuple[str, ...]]
    """What a load can do to an audience of the platform; the first one is the default."""
    modes_with_snapshots: ClassVar[frozenset[str]] = frozenset()
    """Those of them that need ``state``."""
    profile: FileProfile
    """What the file looks like."""
    _sends_now = True
    """Whether this try has sent something, where the result does not tell: an earlier one may have sent it all."""

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
        rejects: Rejects | None = None,
        snapshots: StateFolder | None = None,
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

    # --- what a platform adds

    @abstractmethod
    def target(self, context: Context) -> Any:
        """Look at the audience before anything is read; ``None`` where sending creates it."""

    @abstractmethod
    def send(self, context: Context, target: Any, sending: Sending) -> dict[str, Any]:
        """Send the file.

        :param target: what :meth:`target` has given.
        :return: ``audience_id``, ``uploaded`` (whether something was sent) and what the sensor wants to know.
        """

    def audience_of(self, target: Any) -> Id | None:
        """The id of what :meth:`target` has given, ``None`` where sending creates it."""
        return None if target is None else target.id

    def check(self) -> None:
        """Check what can be checked before anything is read.

        :raises ConfigurationError: something is missing.
        """

    def check_wait(
        self, event: Mapping[str, Any], *, failed: Callable[[str], TerminalError], late: str, where: str
    ) -> None:
        """Check that a wait between two parts of a load has ended well.

        :param event: of the trigger.
        :param failed: makes the error of what the vendor has failed, of its words.
        :param late: what was not through, and within what time, for the message.
        :param where: the vendor.
        :raises AirflowFailException: the vendor has failed it, or refuses to be asked.
        :raises TransientError: it was not through in time.
        """
        if event["status"] == "failed":
            raise failure_of(failed(event["message"]))
        if event["status"] == "error":
            raise failure_told(event)
        if event["status"] == "timeout":
            raise TransientError(
                what=late,
                where=where,
                why=event["message"],
                next_step="The next try waits on; nothing is sent again",
            )

    def is_read_by_the_vendor(self, url: str) -> bool:  # noqa: ARG002
        """Whether a file at ``url`` would be taken for one that is meant for the vendor."""
        return False

    # --- what OpenLineage's provider asks, where it is installed

    def get_openlineage_facets_on_start(self) -> Any:
        """What is known before: the source, where its path needs no load date or the task is given one."""
        options = SourceOptions.of(self.source)
        days = (parse_load_date(self.load_date),) if self.load_date else ()
        return facets_of(Lineage(options, days, self._columns(), self.profile))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """What was read, what was written, and how much of it."""
        return facets_of(self._lineage)

    def _wrote_audience(
        self,
        audience_id: Id,
        *,
        rows: int | None,
        size: int | None,
        change: Literal["CREATE", "OVERWRITE", "ALTER"],
    ) -> None:
        """Note for the lineage what the vendor was sent."""
        place = audience_place(self.hook.conn_type, self._account, audience_id)
        self._lineage.written.append(Written(place, rows, size, change))

    # --- the same for all

    @terminal_errors_fail
    def execute(self, context: Context) -> dict[str, Any]:
        """Prepare and send. Waits for nothing: that is :class:`..prerequisites.LoadPrerequisitesSensor`'s."""
        return self._onboard(context)

    def _load_date(self, context: Context) -> date:
        return resolve_load_date(context, timezone=self.timezone, load_date=self.load_date)

    def _source_connection(self, options: SourceOptions) -> str:
        return options.aws_conn_id or "aws_default"

    def _onboard(  # noqa: PLR0915
        self, context: Context, *, is_under_way: bool = False
    ) -> dict[str, Any]:
        """Prepare and send.

        :param is_under_way: part of the load is sent already, so that it cannot be skipped any more.
        """
        from audience_onboarding.crm.prepare import prepare

        options = SourceOptions.of(self.source)
        load_date = self._load_date(context)
        mode = self._mode()
        columns = self._columns()
        history = self._history(context, options)
        range_start = history[0] if history else None
        days = _days(load_date, range_start)
        self._lineage = Lineage(options, history or (load_date,), columns, self.profile)
        if self.asset is not None:
            # Also where the definition gives the id, and nothing is created.
            check_not_retired(self._memory(context))
        self._check_raw()
        self._skip_if_stale(context, mode, load_date)
        urls = [options.url(day) for day in history or (load_date,)]
        connection = self._source_connection(options)
        dry_run = as_bool(self.is_dry_run)
        self.check()
        rejects = self._rejects_url(context, days, urls)
        self._check_state(urls)
        target = None if dry_run and is_missing(self.audience_id) else self.target(context)
        try:
            with ExitStack() as stack:
                source, missing = self._open(options, load_date, history, connection)
                load = stack.enter_context(
                    prepare(
                        source,
                        columns=columns,
                        profile=self.profile,
                        country=options.phone_region,
                        memory_limit_mib=self.memory_limit_mib,
                        progress=self._log_progress,
                        when_all_rejected=lambda found: self._write_rejects(
                            found.read(), found.count, None if dry_run else rejects
                        ),
                    )
                )
                result = {
                    "load_date": load_date.isoformat(),
                    **({"range_start": range_start.isoformat()} if range_start else {}),
                    **({"days_missing": len(missing)} if missing else {}),
                    "mode": mode,
                    "source": options.label if history else urls[0] or options.label,
                    "content_id": load.content_id,
                    **load.report.to_dict(),
                    "ignored_columns": len(load.report.ignored_columns),
                }
                self._note_read(context, load.report, result)
                failures = self.guards.failures(
                    load.report, mode=mode, last_rows=self._last_rows(context, mode, load_date, range_start)
                )
                result["rejects_file"] = self._write_rejects(
                    load.rejects(), load.rejects_count, None if dry_run else rejects
                )
                comparison = self._comparison(context, stack, load, mode, days, target)
                if comparison is not None and not any(each.setting == "max_row_drop" for each in failures):
                    failures += comparison.failures(self.guards)
                result["guards"] = {
                    "ignored": as_bool(self.ignore_guards),
                    "failed": [str(failure) for failure in failures],
                }
                if dry_run:
                    del result["rejects_file"]
                    self._end_dry_run(context, result, comparison)
                self._let_pass(failures, mode)
                sending = Sending(load, mode, load_date, as_bool(self.overwrite), comparison, range_start)
                result = {**result, **self.send(context, target, sending), **sending.told}
                return self._told(context, result)
        except SourceNotFoundError as error:
            # Days of a range that have no source are left out already; what is left is an error.
            if options.on_missing != "skip" or is_under_way or history:
                if options.on_missing == "wait" and not history:
                    error.add_next_step(_NO_WAIT)
                raise
            reason = f"There is no source, so there is nothing to load: {error}"
        except EmptySourceError as error:
            if error.rows_read or self.guards.on_empty != "skip" or is_under_way:
                raise
            reason = f"The source is empty, so there is nothing to load: {error}"
        raise AirflowSkipException(reason)

    def _history(self, context: Context, options: SourceOptions) -> tuple[date, ...]:
        """The days of a range, the oldest first; none where the load is about one day.

        :raises ConfigurationError: it cannot be loaded as one.
        """
        first = resolve_history_from(context, self.range_start)
        if first is None:
            return ()
        days = history_days(first, self._load_date(context), mode=self._mode())
        check_days(options, days)
        return days

    def _open(
        self, options: SourceOptions, load_date: date, history: tuple[date, ...], connection: str
    ) -> tuple[Source, list[date]]:
        """The source of the load, and the days of a range that have none."""

        def client() -> Any:
            return s3_client(connection)

        if not history:
            return open_source(options, load_date, s3_client=client), []
        self.log.info("Merging %s days, %s to %s", f"{len(history):,}", history[0], history[-1])
        may_be_empty = self.guards.on_empty == "skip"
        source, missing = open_days(options, history, s3_client=client, may_be_empty=may_be_empty)
        if missing:
            self.log.warning("%s days have no source and are left out: %s", len(missing), told_days(missing))
        return source, missing

    def _comparison(
        self,
        context: Context,
        stack: ExitStack,
        load: PreparedLoad,
        mode: str,
        days: str,
        target: Any,
    ) -> Comparison | None:
        if self.snapshots is None:
            return None
        found = stack.enter_context(
            compared(
                load,
                state=self.snapshots,
                memory=self._memory(context),
                audience_id=self.audience_of(target),
                load_date=days,
                mode=mode,
                memory_limit_mib=self.memory_limit_mib,
                warn=self.log.warning,
            )
        )
        counts = ", ".join(f"{name} {count:,}" for name, count in found.counts().items())
        self.log.info("Compared with the last confirmed load: %s", counts or "it is not known what changes")
        return found

    def _log_progress(self, progress: Progress) -> None:
        rate = progress.rows / progress.seconds if progress.seconds else 0
        self.log.info(
            "Read %s rows, %s MiB, %s rows/s",
            f"{progress.rows:,}",
            f"{progress.size / _MIB:,.1f}",
            f"{rate:,.0f}",
        )

    def _note_read(self, context: Context, report: LoadReport, result: Mapping[str, Any]) -> None:
        """Tell what came of reading a list, to people and to machines."""
        self.log.info("%s", summary(report))
        self._tell(context, load_events.READ, result)
        self._lineage.report = report

    def _told(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Measure and tell what was sent; the result, with the moment of it."""
        uploaded = result.get("uploaded") is not False and self._sends_now
        if uploaded:
            result["sent_at"] = datetime.now(timezone.utc).isoformat()
        tags = self._tags(result["mode"])
        metrics.count(metrics.LOADS, **tags, outcome="sent" if uploaded else "unchanged")
        if uploaded:
            metrics.count(metrics.ROWS_READ, result["rows_read"], **tags)
            metrics.count(metrics.ROWS_SENT, result["rows_sent"], **tags)
            if result["duplicates"]:
                metrics.count(metrics.ROWS_DUPLICATE, result["duplicates"], **tags)
            for reason, rows in result["rejected_by_reason"].items():
                metrics.count(metrics.ROWS_REJECTED, rows, **tags, reason=reason)
        self._tell(context, load_events.SENT, result)
        return result

    def _tell(self, context: Context, event: str, result: Mapping[str, Any]) -> None:
        ti = context["ti"]
        load_events.tell(event, result, **self._metric_tags(), dag_id=ti.dag_id, run_id=ti.run_id)

    def _tags(self, mode: str) -> dict[str, str]:
        """The tags of a load's metrics."""
        return {**self._metric_tags(), "mode": mode}

    def _let_pass(self, failures: list[Failure], mode: str) -> None:
        if failures and not as_bool(self.ignore_guards):
            for failure in failures:
                metrics.count(metrics.GUARD_FAILURES, **self._tags(mode), guard=failure.setting)
            raise guard_error(failures)
        for failure in failures:
            self.log.warning("Ignored, as the run says 'ignore_guards': %s", failure)

    def _last_rows(
        self, context: Context, mode: str, load_date: date, range_start: date | None
    ) -> int | None:
        """Rows of the last confirmed load, where this one can be compared with it: a day with the last one of a day,
        a range with itself."""
        memory = None if self.asset is None else self._memory(context)
        if memory is None:
            return None
        if range_start is not None:
            last = memory.get(load_key(_days(load_date, range_start), mode))
        else:
            last = memory.get(LAST_LOAD_KEY)
            if isinstance(last, dict) and last.get("range_start"):
                last = last.get(LAST_SINGLE_DAY_LOAD)
        if not isinstance(last, dict) or not isinstance(last.get("rows_sent"), int):
            return None
        if mode in WHOLE_LIST:
            # A list that adds or removes a few says nothing about how long the whole one was.
            return last["rows_sent"] if last.get("mode") in WHOLE_LIST else None
        is_earlier = str(last.get("load_date", "")) <= load_date.isoformat()
        return last["rows_sent"] if last.get("mode") == mode and is_earlier else None

    def _end_dry_run(
        self, context: Context, result: dict[str, Any], comparison: Comparison | None
    ) -> NoReturn:
        """Report what a run would do."""
        mode, rows, failed = result["mode"], result["rows_sent"], result["guards"]["failed"]
        for failure in failed:
            self.log.warning("A guard would stop this load: %s", failure)
        adds: int | None = 0 if mode == OPT_OUT else rows
        # What a whole list takes out is known to the vendor only.
        removes: int | None = None if mode in WHOLE_LIST else rows if mode == OPT_OUT else 0
        if comparison is not None and comparison.base.confirmed is not None:
            adds, removes = comparison.adds, comparison.removes
        report = {**result, "would_add": adds, "would_remove": removes}
        context["ti"].xcom_push(key="dry_run", value=report)
        verdict = f" {len(failed)} of the guards would stop it." if failed else ""
        raise AirflowSkipException(
            f"Dry run: {rows} rows would be sent, nothing was.{verdict} "
            "The counts are above and under XCom 'dry_run'"
        )

    def _check_state(self, sources: list[str]) -> None:
        if self.snapshots is None:
            return
        if self.asset is None:
            raise ConfigurationError(
                what="A folder of snapshots needs an asset, which remembers the confirmed one",
                next_step="Give 'asset', or leave out 'snapshots'",
            )
        url = f"{self.snapshots.folder.rstrip('/')}/snapshot.parquet"
        self._check_own_place(url, sources, "Snapshots", option="snapshots")

    def _rejects_url(self, context: Context, days: str, sources: list[str]) -> str | None:
        from audience_onboarding.storage.reject_files import rejects_url

        if self.rejects is None:
            return None
        url = rejects_url(self.rejects.folder, load_date=days, run_id=context["ti"].run_id)
        self._check_own_place(url, sources, "The list of rejects", option="rejects")
        return url

    def _check_own_place(self, url: str, sources: list[str], what: str, *, option: str) -> None:
        """What is written beside the load lies neither where the vendor looks nor where the source is read.

        :param what: it is, for the message.
        :param option: of the definition that names the folder.
        """
        if self.is_read_by_the_vendor(url):
            raise ConfigurationError(
                what=f"{what} may not lie where the vendor looks for files",
                where=url,
                next_step=f"Name a bucket or folder of your own under {option!r}",
            )
        if any(_is_one_of(url, source) for source in sources):
            raise ConfigurationError(
                what=f"{what} would lie among the files of the source, and be read as one of them",
                where=url,
                next_step=f"Name another folder under {option!r}",
            )

    def _write_rejects(self, lines: Iterator[bytes], count: int, url: str | None) -> str | None:
        """Write what was rejected, if anything was. Before the guards speak: this is when people want to know."""
        from audience_onboarding.storage.reject_files import write_rejects

        if url is None or self.rejects is None or not count:
            return None
        connection = self.rejects.aws_conn_id
        client = cache(lambda: s3_client(connection))
        write_rejects(url, lines, s3_client=client)
        RejectsLink.show(self, url, client)
        self.log.info("%s rejected rows and fields are listed in %s", f"{count:,}", url)
        return url

    def _confirmed_before(
        self, context: Context, audience_id: Id, sending: Sending, *, key: str | None = None
    ) -> dict[str, Any] | None:
        """The record of this very load, where the vendor is known to have taken it in: then nothing is sent.

        For platforms where nothing at the vendor tells what a file was about.

        :param key: of the record in the memory of the audience; by default, the one of this day and mode.
        :raises UploadConflictError: other content was sent for this day, and ``overwrite`` is not set.
        """
        if self.asset is None:
            return None
        days = sending.days
        record = self._memory(context).get(key or load_key(days, sending.mode))
        if not isinstance(record, dict) or (
            days_of(record),
            record.get("audience_id"),
            record.get("mode", sending.mode),
        ) != (days, audience_id, sending.mode):
            return None
        if record.get("content_id") == sending.load.content_id:
            self.log.info("This load is confirmed already, by run %s: nothing is sent", record.get("run_id"))
            return record
        if sending.overwrite:
            return None
        raise UploadConflictError(
            what=f"The load of {days} ({sending.mode}) was sent before, with other content",
            where=f"audience {audience_id}, by run {record.get('run_id')}",
            next_step=f"If the new content is right, trigger it again {OVERWRITE_HINT}",
        )

    def _check_raw(self) -> None:
        raw = [
            column.identifier.value
            for column in self.profile.columns
            if column.transform == "raw" and column.identifier.value in self.columns
        ]
        if raw and not self.allow_unhashed:
            raise ConfigurationError(
                what=f"{self.hook.hook_name} takes {' and '.join(raw)} as they are, not hashed",
                next_step="If your data protection officer agrees to send them, set 'allow_unhashed: true'",
            )

    def newest_sent(self, memory: Memory) -> str:  # noqa: ARG002
        """The newest day in what was sent last, confirmed or not; ISO, empty where nothing is known of that.

        What another, older list would undo, if it took its place.
        """
        return ""

    def _skip_if_stale(self, context: Context, mode: str, load_date: date) -> None:
        """Skip an older list that would take the place of a newer one, unless told to overwrite.

        A newer one that is sent counts, too: it may be confirmed before the older one, or after it.
        """
        if mode not in WHOLE_LIST or self.asset is None or as_bool(self.overwrite):
            return
        memory = self._memory(context)
        last = memory.get(LAST_LOAD_KEY)
        confirmed = str(last.get("load_date", "")) if isinstance(last, dict) else ""
        sent = self.newest_sent(memory)
        newest = max(confirmed, sent)
        if load_date.isoformat() < newest:
            raise AirflowSkipException(
                f"Skipping stale load: the load of {newest} is {'confirmed' if newest == confirmed else 'sent'}, and "
                f"the older list of {load_date} would undo it. To send it all the same, trigger it {OVERWRITE_HINT}"
            )

    def _mode(self) -> str:
        without_state = self.modes_with_snapshots if self.snapshots is None else frozenset()
        allowed = [mode for mode in self.modes if mode not in without_state]
        if self.mode in without_state:
            raise ConfigurationError(
                what=f"{self.mode!r} needs 'snapshots', a folder for snapshots of what the audience holds",
                next_step=f"Give one; without it, {', '.join(allowed)} are allowed",
            )
        if self.mode not in allowed:
            raise ConfigurationError(
                what=f"{self.mode!r} is no mode", next_step=f"Allowed are {', '.join(allowed)}"
            )
        return self.mode

    def _columns(self) -> dict[Identifier, str | SourceColumn]:
        known = {identifier.value: identifier for identifier in Identifier}
        if unknown := sorted(set(self.columns) - set(known)):
            raise ConfigurationError(
                what=f"{', '.join(map(repr, unknown))} is no identifier",
                next_step=f"Allowed are {', '.join(known)}",
            )
        return {known[name]: column for name, column in self.columns.items()}


def _days(load_date: date, range_start: date | None) -> str:
    return days_text(load_date.isoformat(), range_start.isoformat() if range_start else None)


def _is_one_of(url: str, source: str) -> bool:
    """Whether a file is one of those that a folder or a pattern names."""
    parts, patterns = (
        (place if "://" in place else os.path.normpath(place)).split("/")
        for place in (url, f"{source}*" if source.endswith("/") else source)
    )
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def summary(report: LoadReport) -> str:
    """What came of reading a list, for the task's log: counts and names of columns, nobody's data."""
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
        lines.append(f"  columns that nobody asked for: {', '.join(report.ignored_columns)}")
    return "\n".join(lines)
