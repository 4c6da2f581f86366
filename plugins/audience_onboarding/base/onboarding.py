"""The base of a platform's onboarding: read a CRM extract of a load date, prepare it, and send it in its turn."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base.operators import Hook, Id, PlatformOperator
from audience_onboarding.base.templated import RemoteId, as_bool, source_url
from audience_onboarding.crm.profiles import FileProfile, Identifier
from audience_onboarding.errors import ConfigurationError, TransientError, UploadConflictError
from audience_onboarding.orchestration.failures import terminal_errors_fail
from audience_onboarding.orchestration.ids import is_missing
from audience_onboarding.orchestration.load_date import parse_load_date, resolve_load_date
from audience_onboarding.orchestration.memory import LAST_LOAD_KEY, load_key
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger, ask_airflow

if TYPE_CHECKING:
    from audience_onboarding.crm.engine import PreparedLoad

ORDER_POLL_INTERVAL = 10.0
"""Seconds between two looks at the earlier runs that a load waits for."""

REPLACE = "replace"


@dataclass(frozen=True)
class Sending:
    """One load on its way to the vendor.

    :param load: the prepared file.
    :param mode: one of the operator's modes.
    :param load_date: the day that it is about.
    :param supersede: whether it may take the place of what was sent for that day.
    """

    load: PreparedLoad
    mode: str
    load_date: date
    supersede: bool


class OnboardCrmOperator(PlatformOperator[Hook, Id]):
    """Read a CRM extract, bring it into the platform's form, and send it, once.

    Raw identifiers stay in the memory and the private spill directory of the task, but for what the platform takes
    raw, which needs ``allow_raw``.

    :param source: path or ``s3://`` URL of the extract (templated); ``{load_date}`` and, for another spelling,
        ``{load_date:%Y%m%d}`` stand for the load date.
    :param columns: identifier (``email``, ``phone``) to column name in the extract.
    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :param mode: one of :attr:`modes` (templated).
    :param allow_raw: the file may hold identifiers that are not hashed, for platforms that take no others.
    :param source_aws_conn_id: a connection of type ``aws`` for an ``s3://`` source (templated).
    :param country: ISO 3166 code that a phone number without country code belongs to.
    :param delimiter: of the extract.
    :param encoding: of the extract: ``utf-8`` (with or without BOM), ``cp1252``, ``latin-1``, ``utf-16``.
    :param timezone: in which a run's moment becomes a load date.
    :param load_date: ``YYYY-MM-DD`` (templated); default the run's, see :mod:`..orchestration.load_date`.
    :param supersede: let other content take the place of what was sent for this day, and let a ``replace`` go back to
        an older day than the last confirmed one, which is skipped otherwise (templated).
    :param is_dry_run: do everything but send, then skip the tasks after this one (templated).
    :param in_order_of: id of the task that ends a load; where given, loads of earlier days that are under way are
        waited for in the triggerer.
    :param order_timeout: seconds to wait for them at most.
    :param memory_limit_mib: memory of the engine in MiB, beyond which it spills to disk.
    :return: audience, counts, content hash, and what the sensor wants to know.
    """

    modes: ClassVar[tuple[str, ...]]
    """What a file can do to an audience of the platform; the first one is the default."""
    profile: ClassVar[FileProfile]
    """What the file looks like."""

    template_fields: Sequence[str] = (
        "source",
        "audience_id",
        "mode",
        "source_aws_conn_id",
        "load_date",
        "supersede",
        "is_dry_run",
    )

    def __init__(  # noqa: PLR0913
        self,
        *,
        source: str,
        columns: Mapping[str, str],
        audience_id: RemoteId | None = None,
        mode: str | None = None,
        allow_raw: bool = False,
        source_aws_conn_id: str | None = None,
        country: str = "NL",
        delimiter: str = ",",
        encoding: str = "utf-8",
        timezone: str = "UTC",
        load_date: str | None = None,
        supersede: bool | str = False,
        is_dry_run: bool | str = False,
        in_order_of: str | None = None,
        order_timeout: float = timedelta(days=1).total_seconds(),
        memory_limit_mib: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.columns = dict(columns)
        self.audience_id = audience_id
        self.mode = self.modes[0] if mode is None else mode
        self.allow_raw = allow_raw
        self.source_aws_conn_id = source_aws_conn_id
        self.country = country
        self.delimiter = delimiter
        self.encoding = encoding
        self.timezone = timezone
        self.load_date = load_date
        self.supersede = supersede
        self.is_dry_run = is_dry_run
        self.in_order_of = in_order_of
        self.order_timeout = order_timeout
        self.memory_limit_mib = memory_limit_mib

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

    def check(self) -> None:
        """Check what can be checked before anything is read.

        :raises ConfigurationError: something is missing.
        """

    # --- the same for all

    @terminal_errors_fail
    def execute(self, context: Context) -> dict[str, Any]:
        """Wait for earlier loads where asked to, then onboard."""
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
        return self._onboard(context)

    @terminal_errors_fail
    def execute_in_turn(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Onboard, now that no earlier load is under way.

        :raises TransientError: some still are after ``order_timeout``.
        """
        if event["waiting_for"]:
            raise TransientError(
                what=f"Loads of earlier days are not through after {timedelta(seconds=self.order_timeout)}",
                where=", ".join(event["waiting_for"]),
                next_step="Finish those runs, or mark them failed to let this one go ahead",
            )
        return self._onboard(context)

    def _onboard(self, context: Context) -> dict[str, Any]:
        from audience_onboarding.crm.engine import CsvSource, prepare
        from audience_onboarding.storage.sources import local_copy

        load_date = self._load_date(context)
        mode = self._mode()
        columns = self._columns()
        self._check_raw()
        self._check_not_superseded(context, mode, load_date)
        url = source_url(self.source, load_date)
        dry_run = as_bool(self.is_dry_run)
        self.check()
        target = None if dry_run and is_missing(self.audience_id) else self.target(context)
        with (
            local_copy(url, s3_client=self._source_client) as path,
            prepare(
                CsvSource(path=path, delimiter=self.delimiter, encoding=self.encoding, label=url),
                columns=columns,
                profile=self.profile,
                country=self.country,
                memory_limit_mib=self.memory_limit_mib,
            ) as load,
        ):
            result: dict[str, Any] = {
                "load_date": load_date.isoformat(),
                "mode": mode,
                "source": url,
                "content_sha256": load.content_sha256,
                **load.report.to_dict(),
            }
            self.log.info("Prepared %s: %s", url, load.report.to_dict())
            if dry_run:
                context["ti"].xcom_push(key="dry_run", value=result)
                raise AirflowSkipException(
                    f"Dry run: {load.report.rows_sent} rows would be sent, nothing was. "
                    "The counts are above and under XCom 'dry_run'"
                )
            sending = Sending(load, mode, load_date, supersede=as_bool(self.supersede))
            return {**result, **self.send(context, target, sending)}

    def _confirmed_before(
        self, context: Context, audience_id: Id, sending: Sending, *, key: str | None = None
    ) -> dict[str, Any] | None:
        """The record of this very load, where the vendor is known to have taken it in: then nothing is sent.

        For platforms where nothing at the vendor tells what a file was about.

        :param key: of the record in the memory of the audience; by default, the one of this day and mode.
        :raises UploadConflictError: other content was sent for this day, and ``supersede`` is not set.
        """
        if self.asset is None:
            return None
        day = sending.load_date.isoformat()
        record = self._memory(context).get(key or load_key(day, sending.mode))
        if not isinstance(record, dict) or (record.get("load_date"), record.get("audience_id")) != (
            day,
            audience_id,
        ):
            return None
        if record.get("content_sha256") == sending.load.content_sha256:
            self.log.info("This load is confirmed already, by run %s: nothing is sent", record.get("run_id"))
            return record
        if sending.supersede:
            return None
        raise UploadConflictError(
            what=f"The load of {day} ({sending.mode}) was sent before, with other content",
            where=f"audience {audience_id}, by run {record.get('run_id')}",
            next_step="If the new content is right, run it with 'supersede'",
        )

    def _check_raw(self) -> None:
        raw = [column.identifier.value for column in self.profile.columns if column.transform == "raw"]
        if raw and not self.allow_raw:
            raise ConfigurationError(
                what=f"{self.hook.hook_name} takes {' and '.join(raw)} as they are, not hashed",
                next_step="If your data protection officer agrees to send them, set 'allow_raw: true'",
            )

    def _check_not_superseded(self, context: Context, mode: str, load_date: date) -> None:
        """Skip a ``replace`` that would put an older list in the place of a newer one, unless told to supersede."""
        if mode != REPLACE or self.asset is None or as_bool(self.supersede):
            return
        last = self._memory(context).get(LAST_LOAD_KEY)
        if isinstance(last, dict) and load_date.isoformat() < str(last.get("load_date", "")):
            raise AirflowSkipException(
                f"Superseded: the load of {last['load_date']} is confirmed, and replacing the record set by the older "
                f"one of {load_date} would undo it. To do so all the same, run it with 'supersede'"
            )

    def _mode(self) -> str:
        if self.mode not in self.modes:
            raise ConfigurationError(
                what=f"{self.mode!r} is no mode", next_step=f"Allowed are {', '.join(self.modes)}"
            )
        return self.mode

    def _columns(self) -> dict[Identifier, str]:
        known = {identifier.value: identifier for identifier in Identifier}
        if unknown := sorted(set(self.columns) - set(known)):
            raise ConfigurationError(
                what=f"{', '.join(map(repr, unknown))} is no identifier",
                next_step=f"Allowed are {', '.join(known)}",
            )
        return {known[name]: column for name, column in self.columns.items()}

    def _load_date(self, context: Context) -> date:
        if self.load_date:
            return parse_load_date(self.load_date)
        return resolve_load_date(context, timezone=self.timezone)

    def _source_connection(self) -> str:
        return self.source_aws_conn_id or "aws_default"

    def _source_client(self) -> Any:
        return s3_client(self._source_connection())


def s3_client(aws_conn_id: str) -> Any:
    """A boto3 client for S3.

    :param aws_conn_id: a connection of type ``aws``.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(aws_conn_id=aws_conn_id).get_conn()
