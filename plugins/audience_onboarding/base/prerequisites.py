"""Sensor in front of an upload: waits for the source of the load and for loads of earlier dates.

A backfill starts up to ten runs at once, regardless of the DAG's ``max_active_runs``, and ``depends_on_past`` ignores
partitioned runs (both as of Airflow 3.3.2). So the sensor asks Airflow for the runs of its own DAG that have an earlier
load date and are unfinished, and waits for them in the triggerer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.polling import FIRST_INTERVAL, backoff_intervals
from audience_onboarding.base.retry_policy import fail_from_event, fail_on_terminal_error, to_fail_exception
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.base.templating import as_bool
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import SourceNotFoundError, TerminalError, TransientError
from audience_onboarding.state.load_date import resolve_load_date, resolve_range_start

POLL_INTERVAL = 10.0
"""Seconds between two polls of unfinished earlier runs, at most."""
SECONDS_PER_RUN = 2.0
"""Seconds between two polls, for each unfinished earlier run."""
WAIT_TIMEOUT = timedelta(days=1).total_seconds()

AVAILABLE, TIMEOUT, ERROR = "available", "timeout", "error"
"""Statuses of an event of :class:`SourceAvailableTrigger`."""

_RUN_ID = re.compile(r"(?P<kind>scheduled|backfill)__.+__(?P<load_date>\d{4}-\d{2}-\d{2})__[^_]+")
_FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class LoadPrerequisitesSensor(BaseSensorOperator):
    """Wait until the source of a load exists and no load of an earlier date is unfinished. Always deferred.

    A task of its own in front of the upload: of that one, ``max_active_tis_per_dag`` allows a single instance per
    audience, and Airflow counts deferred instances. A load that waits for an earlier date would block its retry.

    :param source: as that of the upload (templated). With ``on_missing: wait`` the sensor waits for it.
    :param aws_conn_id: a connection of type ``aws``, unless ``source`` names one.
    :param timezone: in which the date of the run becomes a load date.
    :param load_date: ``YYYY-MM-DD`` (templated); default: that of the run, see :mod:`~..state.load_date`.
    :param range_start: first date of a range (templated): the sensor does not wait for the sources of a range.
    :param is_dry_run: a dry run waits for nothing (templated).
    :param wait_for_task_id: id of the task that ends a load (templated). The sensor waits until this task is finished
        in all runs with an earlier load date. Empty: no wait.
    :param wait_timeout: seconds to wait for earlier loads.
    :param audience_key: of the audience's definition, for the link to its page.
    """

    template_fields: Sequence[str] = ("source", "load_date", "range_start", "is_dry_run", "wait_for_task_id")
    operator_extra_links = (AudiencePageLink(),)

    def __init__(  # noqa: PLR0913
        self,
        *,
        source: str | Mapping[str, Any],
        aws_conn_id: str = "aws_default",
        timezone: str = "UTC",
        load_date: str | None = None,
        range_start: str | None = None,
        is_dry_run: bool | str = False,
        wait_for_task_id: str | None = None,
        wait_timeout: float = WAIT_TIMEOUT,
        audience_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.aws_conn_id = aws_conn_id
        self.timezone = timezone
        self.load_date = load_date
        self.range_start = range_start
        self.is_dry_run = is_dry_run
        self.wait_for_task_id = wait_for_task_id
        self.wait_timeout = wait_timeout
        self.audience_key = audience_key

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:
        """Defer until the source exists, then until earlier loads have finished."""
        options = SourceOptions.parse(self.source)
        is_range = resolve_range_start(context, self.range_start) is not None
        if as_bool(self.is_dry_run):
            return
        if options.on_missing == "wait" and not is_range and not options.is_query:
            self._wait_for_source(options, context)
        self._wait_for_earlier_loads(context)

    @fail_on_terminal_error
    def resume_after_source(self, context: Context, event: dict[str, Any]) -> None:
        """Wait for earlier loads: Airflow may have started one in the meantime.

        :raises AirflowFailException: the wait for the source timed out or failed.
        """
        if event["status"] == TIMEOUT:
            options = SourceOptions.parse(self.source)
            raise to_fail_exception(
                SourceNotFoundError(
                    what=f"Timed out after {timedelta(seconds=options.wait_timeout)} waiting for the CRM file",
                    where=self._url(options, context),
                    next_step="Check that the export of this date has run. To wait again, clear this task",
                )
            )
        if event["status"] != AVAILABLE:
            raise fail_from_event(event)
        self._wait_for_earlier_loads(context)

    @fail_on_terminal_error
    def resume_after_earlier_loads(self, context: Context, event: dict[str, Any]) -> None:  # noqa: ARG002
        """Finish, unless earlier loads are unfinished.

        :raises TransientError: some are, after ``wait_timeout``.
        """
        if event["waiting_for"]:
            raise TransientError(
                what=f"Timed out after {timedelta(seconds=self.wait_timeout)} waiting for earlier loads",
                where=", ".join(event["waiting_for"]),
                next_step="Let them finish, or mark them failed",
            )

    def _url(self, options: SourceOptions, context: Context) -> str:
        return options.url(resolve_load_date(context, timezone=self.timezone, load_date=self.load_date))

    def _wait_for_source(self, options: SourceOptions, context: Context) -> None:
        from audience_onboarding.storage.file_sources import source_exists

        url, connection = self._url(options, context), options.aws_conn_id or self.aws_conn_id
        if source_exists(url, lambda: s3_client(connection)):
            return
        self.log.info("Waiting for %s in the triggerer", url)
        self.defer(
            trigger=SourceAvailableTrigger(
                url=url,
                aws_conn_id=connection,
                poll_interval=options.poll_interval,
                deadline=time.time() + options.wait_timeout,
            ),
            method_name="resume_after_source",
            timeout=timedelta(seconds=options.wait_timeout) + DEFERRAL_GRACE,
        )

    def _wait_for_earlier_loads(self, context: Context) -> None:
        if not self.wait_for_task_id:
            return
        ti = context["ti"]
        earlier = get_unfinished_earlier_runs(
            dag_id=ti.dag_id, task_id=self.wait_for_task_id, run_id=ti.run_id
        )
        if earlier:
            self.log.info("Waiting for earlier loads: %s", ", ".join(earlier))
            self.defer(
                trigger=EarlierLoadsTrigger(
                    dag_id=ti.dag_id,
                    external_task_id=self.wait_for_task_id,
                    run_id=ti.run_id,
                    poll_interval=POLL_INTERVAL,
                    deadline=time.time() + self.wait_timeout,
                ),
                method_name="resume_after_earlier_loads",
            )


class SourceAvailableTrigger(BaseTrigger):
    """Fires if the file exists, at the deadline, or after an error that no retry resolves. Only reads.

    The triggerer needs the same files as the workers: mount a local path in both.

    :param url: path or URL of the source, the load date filled in.
    :param aws_conn_id: a connection of type ``aws``, for an ``s3://`` URL.
    :param poll_interval: seconds between two polls at most; the first intervals are shorter.
    :param deadline: Unix time of the time-out.
    """

    def __init__(self, *, url: str, aws_conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url = url
        self.aws_conn_id = aws_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self._client: Any = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments: plain JSON, no secrets."""
        return _serialized(self, "url", "aws_conn_id", "poll_interval", "deadline")

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is an event; transient errors count as "not yet"."""
        for interval in backoff_intervals(self.poll_interval):
            await asyncio.sleep(min(interval, max(0.0, self.deadline - time.time())))
            try:
                exists = await self._exists()
            except TransientError as error:
                self.log.warning("Polling again: %s", error)
                exists = False
            except TerminalError as error:
                yield TriggerEvent({"status": ERROR, "error": type(error).__name__, "message": str(error)})
                return
            if exists or time.time() >= self.deadline:
                yield TriggerEvent({"status": AVAILABLE if exists else TIMEOUT})
                return

    async def _exists(self) -> bool:
        from audience_onboarding.storage.file_sources import source_exists

        if self._client is None and self.url.startswith("s3://"):
            # Only the event loop of the triggerer may request a connection, other threads cannot.
            self._client = await sync_to_async(s3_client)(self.aws_conn_id)
        return await asyncio.to_thread(source_exists, self.url, lambda: self._client)


class EarlierLoadsTrigger(BaseTrigger):
    """Fires if all runs with an earlier load date have finished, or at the deadline.

    :param dag_id: the DAG of the runs.
    :param external_task_id: the task that ends a load. (``task_id`` is Airflow's name for the task that waits.)
    :param run_id: the run that waits.
    :param poll_interval: seconds between two polls at most. The fewer runs are left, the shorter the interval: the
        next load of a backfill starts soon after the one before, and all waiting runs together poll about once a
        second.
    :param deadline: Unix time of the time-out.
    """

    def __init__(
        self, *, dag_id: str, external_task_id: str, run_id: str, poll_interval: float, deadline: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dag_id = dag_id
        self.external_task_id = external_task_id
        self.run_id = run_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments: plain JSON, no secrets."""
        return _serialized(self, "dag_id", "external_task_id", "run_id", "poll_interval", "deadline")

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until no earlier run is left."""
        interval = FIRST_INTERVAL
        while True:
            await asyncio.sleep(min(interval, self.poll_interval))
            left = await sync_to_async(get_unfinished_earlier_runs)(
                dag_id=self.dag_id, task_id=self.external_task_id, run_id=self.run_id
            )
            if not left or time.time() >= self.deadline:
                yield TriggerEvent({"waiting_for": left})
                return
            interval = SECONDS_PER_RUN * len(left)


def _serialized(trigger: BaseTrigger, *names: str) -> tuple[str, dict[str, Any]]:
    path = f"{type(trigger).__module__}.{type(trigger).__qualname__}"
    return path, {name: getattr(trigger, name) for name in names}


def get_unfinished_earlier_runs(*, dag_id: str, task_id: str, run_id: str) -> list[str]:
    """Return the runs that ``run_id`` has to wait for now, by the state of ``task_id`` in Airflow."""
    states: dict[str, Any] = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id])
    return filter_unfinished(states, run_id=run_id)


def filter_unfinished(states: Mapping[str, Mapping[str, str | None]], *, run_id: str) -> list[str]:
    """Return the runs that ``run_id`` has to wait for, by load date.

    Manual runs neither wait nor are waited for: a user chose their time. A scheduled run does not wait for a backfill:
    that can take days.

    :param states: of one task in all runs of the DAG: run id to task id to state.
    """
    own = _RUN_ID.fullmatch(run_id)
    if own is None:
        return []
    earlier = []
    for other_id, tasks in states.items():
        other = _RUN_ID.fullmatch(other_id)
        if other is None or all(state in _FINISHED for state in tasks.values()):
            continue
        if own["kind"] == "scheduled" and other["kind"] == "backfill":
            continue
        if other["load_date"] < own["load_date"]:
            earlier.append((other["load_date"], other_id))
    return [other_id for _, other_id in sorted(earlier)]
