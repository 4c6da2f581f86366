"""Waiting for one's turn: until the source of a load is there, and no load of an earlier day is under way."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.retry_policy import failure_of, failure_told, terminal_errors_fail
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.base.source_options import SourceOptions
from audience_onboarding.base.source_wait import THERE, TIMEOUT, SourceTrigger
from audience_onboarding.base.templating import as_bool
from audience_onboarding.exceptions import SourceNotFoundError, TransientError
from audience_onboarding.state.load_date import (
    parse_load_date,
    resolve_history_from,
    resolve_load_date,
)
from audience_onboarding.state.ordering import EarlierLoadsTrigger, ask_airflow

ORDER_POLL_INTERVAL = 10.0
"""Seconds between two looks at the earlier runs that a load waits for."""

ORDER_TIMEOUT = timedelta(days=1).total_seconds()
"""Seconds to wait for earlier loads at most, where nothing else is said."""


class TakesItsTurn(BaseOperator):
    """What waits in the triggerer for its source and for loads of earlier days, and then does something."""

    source: str | Mapping[str, Any]
    timezone: str
    load_date: str | None
    range_start: str | None
    is_dry_run: bool | str
    in_order_of: str | None
    order_timeout: float

    @abstractmethod
    def in_turn(self, context: Context) -> Any:
        """What is to be done when its turn has come."""

    @terminal_errors_fail
    def execute(self, context: Context) -> Any:
        """Wait for the source and for earlier loads where asked to, then go on."""
        options = SourceOptions.of(self.source)
        # History does not come later.
        is_history = resolve_history_from(context, self.range_start) is not None
        if options.on_missing == "wait" and not is_history and not as_bool(self.is_dry_run):
            self._wait_for_source(options, context)
        return self._after_earlier_loads(context)

    @terminal_errors_fail
    def execute_when_there(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on, now that the source is there.

        :raises AirflowFailException: it did not come in time, or it is pointless to wait for it.
        """
        if event["status"] == TIMEOUT:
            options = SourceOptions.of(self.source)
            raise failure_of(
                SourceNotFoundError(
                    what=f"The CRM file did not come within {timedelta(seconds=options.wait_timeout)}",
                    where=options.url(self._load_date(context)),
                    next_step="Check that the export of this date has run. To wait on, clear this task",
                )
            )
        if event["status"] != THERE:
            raise failure_told(event)
        return self._after_earlier_loads(context)

    @terminal_errors_fail
    def execute_in_turn(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on, now that no earlier load is under way.

        :raises TransientError: some still are after ``order_timeout``.
        """
        if event["waiting_for"]:
            raise TransientError(
                what=f"Loads of earlier days are not through after {timedelta(seconds=self.order_timeout)}",
                where=", ".join(event["waiting_for"]),
                next_step="Finish those runs, or mark them failed to let this one go ahead",
            )
        return self.in_turn(context)

    def _wait_for_source(self, options: SourceOptions, context: Context) -> None:
        from audience_onboarding.storage.file_sources import source_exists

        url, connection = options.url(self._load_date(context)), self._source_connection(options)
        if options.is_query or source_exists(url, lambda: s3_client(connection)):
            return
        self.log.info("Waiting for %s in the triggerer", url)
        self.defer(
            trigger=SourceTrigger(
                url=url,
                aws_conn_id=connection,
                poll_interval=options.poll_interval,
                deadline=time.time() + options.wait_timeout,
            ),
            method_name="execute_when_there",
            timeout=timedelta(seconds=options.wait_timeout) + DEFERRAL_GRACE,
        )

    def _after_earlier_loads(self, context: Context) -> Any:
        """Asked last: an earlier load may have been started while the source was waited for."""
        if self.in_order_of and not as_bool(self.is_dry_run):
            ti = context["ti"]
            earlier = ask_airflow(dag_id=ti.dag_id, task_id=self.in_order_of, run_id=ti.run_id)
            if earlier:
                self.log.info("Waiting for the loads of earlier days: %s", ", ".join(earlier))
                self.defer(
                    trigger=EarlierLoadsTrigger(
                        dag_id=ti.dag_id,
                        awaited_task_id=self.in_order_of,
                        run_id=ti.run_id,
                        poll_interval=ORDER_POLL_INTERVAL,
                        deadline=time.time() + self.order_timeout,
                    ),
                    method_name="execute_in_turn",
                )
        return self.in_turn(context)

    def _load_date(self, context: Context) -> date:
        if self.load_date:
            return parse_load_date(self.load_date)
        return resolve_load_date(context, timezone=self.timezone)

    def _source_connection(self, options: SourceOptions) -> str:
        return options.aws_conn_id or "aws_default"


class WaitForTurnOperator(TakesItsTurn):
    """Wait until a load may be sent, and do nothing.

    In a DAG, a task of its own before the one that sends: that one may run once at a time per audience, and a task
    that waits in the triggerer counts as running. A load that waits for an earlier day would hold the place which the
    next try of that day needs.

    :param source: as that of the task that sends (templated).
    :param aws_conn_id: a connection of type ``aws``, where ``source`` names no other.
    :param timezone: in which a run's moment becomes a load date.
    :param load_date: ``YYYY-MM-DD`` (templated); default the run's.
    :param range_start: first day of a range (templated): its sources are not waited for.
    :param is_dry_run: a dry run waits for nothing (templated).
    :param in_order_of: id of the task that ends a load (templated); loads of earlier days that are under way are
        waited for. Empty: no load is.
    :param order_timeout: seconds to wait for them at most.
    :param audience_key: of the definition that the load is about, for the link to its page.
    """

    template_fields: Sequence[str] = ("source", "load_date", "range_start", "is_dry_run", "in_order_of")
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
        in_order_of: str | None = None,
        order_timeout: float = ORDER_TIMEOUT,
        audience_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_key = audience_key
        self.source = source
        self.aws_conn_id = aws_conn_id
        self.timezone = timezone
        self.load_date = load_date
        self.range_start = range_start
        self.is_dry_run = is_dry_run
        self.in_order_of = in_order_of
        self.order_timeout = order_timeout

    def in_turn(self, context: Context) -> None:  # noqa: ARG002
        """Nothing is left to do."""
        self.log.info("The load may be sent")

    def _source_connection(self, options: SourceOptions) -> str:
        return options.aws_conn_id or self.aws_conn_id
