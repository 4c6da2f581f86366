"""The operator that brings a CRM extract into an audience's folder in S3."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.digital_audience.base import DigitalAudienceOperator
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from audience_onboarding.digital_audience.models import Audience, UpdateMode
from audience_onboarding.digital_audience.readiness import Baseline
from audience_onboarding.digital_audience.templated import RemoteId, as_bool, is_missing
from audience_onboarding.errors import ConfigurationError, TransientError
from audience_onboarding.orchestration.failures import terminal_errors_fail
from audience_onboarding.orchestration.load_date import parse_load_date, resolve_load_date
from audience_onboarding.orchestration.memory import LAST_LOAD_KEY, memory_of
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger, ask_airflow

if TYPE_CHECKING:
    from audience_onboarding.crm.engine import PreparedLoad

ORDER_POLL_INTERVAL = 10.0
"""Seconds between two looks at the earlier runs that a load waits for."""

BASELINE_PREFIX = "baseline-"
"""The baseline of an upload travels in the object's own metadata: whoever finds the object, finds it too."""


class DigitalAudienceOnboardCrmToS3Operator(DigitalAudienceOperator):
    """Read a CRM extract, hash it, and put it into the audience's folder in S3, once.

    The key is ``onboard/audience={id}/{mode}/{YYYYMMDD_HHmmss}.csv`` with the load date at midnight UTC, so that the
    same load always has the same key. The object is written with ``If-None-Match: *`` and carries the hash of its
    content: the same content again is a success with nothing sent; other content is an ``UploadConflictError``
    unless ``supersede`` is set. Raw identifiers stay in the memory and the private spill directory of this task.

    :param source: path or ``s3://`` URL of the extract (templated); ``{load_date}`` and, for another spelling,
        ``{load_date:%Y%m%d}`` stand for the load date.
    :param columns: identifier (``email``, ``phone``) to column name in the extract.
    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :param mode: ``opt-in``, ``opt-out`` or ``replace`` (templated).
    :param bucket: default the one of the AWS connection (``service_config.s3.bucket_name``).
    :param aws_conn_id: a connection of type ``aws`` for the vendor's bucket (templated).
    :param source_aws_conn_id: one for the source, where it is another.
    :param country: ISO 3166 code that a phone number without country code belongs to.
    :param delimiter: of the extract.
    :param encoding: of the extract: ``utf-8`` (with or without BOM), ``cp1252``, ``latin-1``, ``utf-16``.
    :param timezone: in which a run's moment becomes a load date.
    :param load_date: ``YYYY-MM-DD`` (templated); default the run's, see :mod:`..orchestration.load_date`.
    :param supersede: overwrite an object of this key that has other content, and let a ``replace`` go back to an
        older day than the last confirmed one, which is skipped otherwise (templated).
    :param is_dry_run: do everything but send, then skip the tasks after this one (templated).
    :param in_order_of: id of the task that ends a load; where given, loads of earlier days that are under way are
        waited for in the triggerer.
    :param order_timeout: seconds to wait for them at most.
    :param memory_limit_mib: memory of the engine in MiB, beyond which it spills to disk.
    :param allow_unconditional_writes: for S3 storages that lack conditional writes: look first, then write.
    :return: key, counts, content hash, and the baseline that the sensor wants.

    Source: the vendor's pages "Updating audiences via S3" and "Prepare your CSV file for data updates".
    """

    template_fields: Sequence[str] = (
        "source",
        "audience_id",
        "mode",
        "bucket",
        "aws_conn_id",
        "source_aws_conn_id",
        "load_date",
        "supersede",
        "is_dry_run",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(), S3ObjectLink())

    def __init__(  # noqa: PLR0913
        self,
        *,
        source: str,
        columns: Mapping[str, str],
        audience_id: RemoteId | None = None,
        mode: str = UpdateMode.OPT_IN.value,
        bucket: str | None = None,
        aws_conn_id: str = "audience_s3",
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
        allow_unconditional_writes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.columns = dict(columns)
        self.audience_id = audience_id
        self.mode = mode
        self.bucket = bucket
        self.aws_conn_id = aws_conn_id
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
        self.allow_unconditional_writes = allow_unconditional_writes

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
        from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, Identifier
        from audience_onboarding.storage.sources import local_copy

        load_date = self._load_date(context)
        mode = _update_mode(self.mode)
        self._check_not_superseded(context, mode, load_date)
        url = _source_url(self.source, load_date)
        dry_run = as_bool(self.is_dry_run)
        bucket = self._bucket()
        if dry_run and is_missing(self.audience_id):
            audience = None
        else:
            audience = self.hook.client.load_audience(self._audience_id(context, self.audience_id))
            DigitalAudiencePortalLink.show(self, self.hook.client.settings, audience_id=audience.id)
        with (
            local_copy(url, s3_client=self._source_client) as path,
            prepare(
                CsvSource(path=path, delimiter=self.delimiter, encoding=self.encoding, label=url),
                columns={Identifier(name): column for name, column in self.columns.items()},
                profile=DIGITAL_AUDIENCE_S3,
                country=self.country,
                memory_limit_mib=self.memory_limit_mib,
            ) as load,
        ):
            result: dict[str, Any] = {
                "audience_id": audience.id if audience else None,
                "load_date": load_date.isoformat(),
                "mode": mode.value,
                "source": url,
                **load.report.to_dict(),
            }
            self.log.info("Prepared %s: %s", url, load.report.to_dict())
            if dry_run or audience is None:
                context["ti"].xcom_push(key="dry_run", value=result)
                raise AirflowSkipException(
                    f"Dry run: {load.report.rows_sent} rows would be sent, nothing was. "
                    "The counts are above and under XCom 'dry_run'"
                )
            return {**result, **self._publish(context, load, audience, mode, bucket, load_date)}

    def _check_not_superseded(self, context: Context, mode: UpdateMode, load_date: date) -> None:
        """Skip a ``replace`` that would put an older list in the place of a newer one, unless told to supersede."""
        if mode is not UpdateMode.REPLACE or self.asset is None or as_bool(self.supersede):
            return
        last = memory_of(context, self.asset).get(LAST_LOAD_KEY)
        if isinstance(last, dict) and load_date.isoformat() < str(last.get("load_date", "")):
            raise AirflowSkipException(
                f"Superseded: the load of {last['load_date']} is confirmed, and replacing the record set by the older "
                f"one of {load_date} would undo it. To do so all the same, run it with 'supersede'"
            )

    def _publish(
        self,
        context: Context,
        load: PreparedLoad,
        audience: Audience,
        mode: UpdateMode,
        bucket: str,
        load_date: date,
    ) -> dict[str, Any]:
        from audience_onboarding.storage.s3_upload import publish_object

        key = object_key(audience.id, mode, load_date)
        client = self._client(self.aws_conn_id)
        baseline = Baseline.of(audience)
        ti = context["ti"]
        published = publish_object(
            client,
            bucket=bucket,
            key=key,
            chunks=load.chunks,
            content_sha256=load.content_sha256,
            size=load.size,
            metadata={
                "load-date": load_date.isoformat(),
                "dag-id": ti.dag_id,
                "run-id": ti.run_id,
                "rows": str(load.report.rows_sent),
                **{BASELINE_PREFIX + _dashed(name): value for name, value in baseline.to_dict().items()},
            },
            supersede=as_bool(self.supersede),
            allow_unconditional=self.allow_unconditional_writes,
        )
        S3ObjectLink.show(
            self,
            bucket=bucket,
            key=key,
            region=client.meta.region_name,
            endpoint=client.meta.endpoint_url,
        )
        if published.already_there:
            self.log.info("s3://%s/%s already has this content: nothing is sent", bucket, key)
            baseline = _baseline_in(published.metadata)
        else:
            self.log.info("Uploaded %s rows to s3://%s/%s", load.report.rows_sent, bucket, key)
        return {
            "bucket": bucket,
            "s3_key": key,
            "content_sha256": load.content_sha256,
            "uploaded": not published.already_there,
            "baseline": baseline.to_dict(),
        }

    def _load_date(self, context: Context) -> date:
        if self.load_date:
            return parse_load_date(self.load_date)
        return resolve_load_date(context, timezone=self.timezone)

    def _bucket(self) -> str:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        bucket = self.bucket or S3Hook(aws_conn_id=self.aws_conn_id).service_config.get("bucket_name")
        if not bucket:
            raise ConfigurationError(
                what="It is not known which bucket to upload to",
                where=f"AWS connection {self.aws_conn_id!r}",
                next_step="Name it in the definition (upload.bucket), or in the extra of the connection as "
                '{"service_config": {"s3": {"bucket_name": "..."}}}',
            )
        return str(bucket)

    def _client(self, aws_conn_id: str) -> Any:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        return S3Hook(aws_conn_id=aws_conn_id).get_conn()

    def _source_client(self) -> Any:
        return self._client(self.source_aws_conn_id or self.aws_conn_id)


def object_key(audience_id: int, mode: UpdateMode, load_date: date) -> str:
    """The key of a load, as the vendor's page "Updating audiences via S3" wants it.

    The id is written as the API returns it. The page's example pads it with zeros (``00001``), but no rule says so.
    """
    return f"onboard/audience={audience_id}/{mode.value}/{load_date:%Y%m%d}_000000.csv"


def _update_mode(value: str) -> UpdateMode:
    try:
        return UpdateMode(value)
    except ValueError:
        raise ConfigurationError(
            what=f"{value!r} is no mode",
            next_step=f"Allowed are {', '.join(mode.value for mode in UpdateMode)}",
        ) from None


def _source_url(template: str, load_date: date) -> str:
    try:
        return template.format(load_date=load_date)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        raise ConfigurationError(
            what=f"The source {template!r} has a placeholder that is not known",
            next_step="Only {load_date} is, with a format where wanted: {load_date:%Y%m%d}",
        ) from None


def _baseline_in(metadata: Mapping[str, str]) -> Baseline:
    return Baseline.from_dict(
        {name: metadata.get(BASELINE_PREFIX + _dashed(name)) for name in Baseline.__dataclass_fields__}
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")
