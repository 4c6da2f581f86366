"""Operators for Digital Audience. What creates something creates it once, see :mod:`..orchestration.ensure`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.ids import RemoteId, is_missing, remote_number
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink, S3ObjectLink
from audience_onboarding.digital_audience.models import Audience, Segment, UpdateMode
from audience_onboarding.digital_audience.readiness import Baseline
from audience_onboarding.errors import ConfigurationError, TransientError
from audience_onboarding.orchestration.ensure import Creation, ensure_id, remembered_id
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy, terminal_errors_fail
from audience_onboarding.orchestration.load_date import parse_load_date, resolve_load_date
from audience_onboarding.orchestration.memory import (
    AUDIENCE_KEY,
    CAMPAIGN_KEY,
    LAST_LOAD_KEY,
    memory_of,
    segment_key,
)
from audience_onboarding.orchestration.ordering import EarlierLoadsTrigger, ask_airflow

if TYPE_CHECKING:
    from audience_onboarding.crm.engine import PreparedLoad

ORDER_POLL_INTERVAL = 10.0
"""Seconds between two looks at the earlier runs that a load waits for."""

BASELINE_PREFIX = "baseline-"
"""The baseline of an upload travels in the object's own metadata: whoever finds the object, finds it too."""


class _DigitalAudienceOperator(BaseOperator):
    """What all operators for the vendor share.

    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :param asset: the asset whose state store remembers ids; without one, the task's own store does, which
        outlives retries and clears of one run, but not the run.
    """

    template_fields: Sequence[str] = ("digital_audience_conn_id",)

    def __init__(
        self,
        *,
        digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name,
        asset: Asset | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", OnboardingRetryPolicy())
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id
        self.asset = asset
        if asset is not None and asset not in self.inlets:
            # An inlet, not an outlet: it may be remembered things about, but this is no event of it.
            self.inlets = [*self.inlets, asset]

    @cached_property
    def hook(self) -> DigitalAudienceHook:
        """The connection to the vendor."""
        return DigitalAudienceHook(self.digital_audience_conn_id)

    @property
    def _account(self) -> str:
        return self.hook.client.settings.base_url

    def _settle_hint(self) -> str:
        if self.asset is not None:
            return f"the state store of asset {self.asset.name!r} (REST: /api/v2/assets/<asset>/state-store/<key>)"
        return "this task's state store (REST: .../taskInstances/<task>/state-store/<key>)"

    def _audience_id(self, context: Context, given: Any) -> int:
        """``given``, or the id that the audience's asset remembers."""
        if not is_missing(given):
            return remote_number(given)
        known = (
            remembered_id(memory_of(context, self.asset), AUDIENCE_KEY, account=self._account)
            if self.asset is not None
            else None
        )
        if known is None:
            raise ConfigurationError(
                what="There is no audience yet",
                where="" if self.asset is None else self.asset.name,
                next_step="Run its onboarding DAG first, or give the audience's id",
            )
        return known


class DigitalAudienceCreateCampaignOperator(_DigitalAudienceOperator):
    """Create a campaign, unless it has been created before.

    The vendor has no list of campaigns and no idempotency keys. So when it is unclear whether a request was carried
    out, the task stops with ``AmbiguousCreateError`` until a person has looked.

    :param campaign_name: sent as ``name`` (templated).
    :param asset: the campaign's asset, where several DAGs share the campaign. The tasks that ensure it must not
        run at the same time: put them into a pool with one slot.
    :param is_dry_run: only say what would be done (templated).
    :return: the campaign's id, ``None`` in a dry run that would create it.

    Source: the vendor's "Create CRM audience" page, step 2.
    """

    template_fields: Sequence[str] = ("campaign_name", "is_dry_run", "digital_audience_conn_id")

    def __init__(self, *, campaign_name: str, is_dry_run: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_name = campaign_name
        self.is_dry_run = is_dry_run

    @terminal_errors_fail
    def execute(self, context: Context) -> int | None:
        """Return the campaign's id, creating it where needed."""
        memory = memory_of(context, self.asset)
        if as_bool(self.is_dry_run):
            known = remembered_id(memory, CAMPAIGN_KEY, account=self._account)
            self.log.info("Dry run: campaign %r %s", self.campaign_name, _would(known))
            return known
        creation = Creation(
            kind="campaign",
            name=self.campaign_name,
            account=self._account,
            create=lambda: self.hook.client.create_campaign(self.campaign_name).id,
            sent={"name": self.campaign_name},
        )
        return ensure_id(
            memory, CAMPAIGN_KEY, creation, run_id=context["run_id"], settle_hint=self._settle_hint()
        )


class DigitalAudienceCreateCrmAudienceOperator(_DigitalAudienceOperator):
    """Create an audience for CRM data in a campaign, unless it has been created before.

    :param audience_name: sent as ``name`` (templated).
    :param campaign_id: the campaign it belongs to (templated).
    :param description: optional (templated).
    :param is_dry_run: only say what would be done (templated).
    :return: the audience's id, ``None`` in a dry run that would create it.

    Source: the vendor's "Create CRM audience" page, step 3. See
    :class:`DigitalAudienceCreateCampaignOperator` for what happens when the outcome is unclear.
    """

    template_fields: Sequence[str] = (
        "audience_name",
        "campaign_id",
        "description",
        "is_dry_run",
        "digital_audience_conn_id",
    )

    def __init__(
        self,
        *,
        audience_name: str,
        campaign_id: RemoteId,
        description: str | None = None,
        is_dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.campaign_id = campaign_id
        self.description = description
        self.is_dry_run = is_dry_run

    @terminal_errors_fail
    def execute(self, context: Context) -> int | None:
        """Return the audience's id, creating it where needed."""
        memory = memory_of(context, self.asset)
        if as_bool(self.is_dry_run):
            known = remembered_id(memory, AUDIENCE_KEY, account=self._account)
            self.log.info("Dry run: audience %r %s", self.audience_name, _would(known))
            return known
        creation = Creation(
            kind="audience",
            name=self.audience_name,
            account=self._account,
            create=lambda: (
                self.hook.client.create_crm_audience(
                    name=self.audience_name,
                    campaign_id=remote_number(self.campaign_id),
                    description=self.description,
                ).id
            ),
            sent={"name": self.audience_name, "campaignId": remote_number(self.campaign_id)},
        )
        return ensure_id(
            memory, AUDIENCE_KEY, creation, run_id=context["run_id"], settle_hint=self._settle_hint()
        )


class DigitalAudienceUpdateAudienceOperator(_DigitalAudienceOperator):
    """Set name and description of an audience.

    :param audience_id: which audience (templated).
    :param audience_name: sent as ``name`` (templated).
    :param description: optional (templated).

    Source: the vendor's "Audience API" page, POST /audience/update.
    """

    template_fields: Sequence[str] = (
        "audience_id",
        "audience_name",
        "description",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(),)

    def __init__(
        self, *, audience_id: RemoteId, audience_name: str, description: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id
        self.audience_name = audience_name
        self.description = description

    @terminal_errors_fail
    def execute(self, context: Context) -> None:
        """Update it; doing so twice is harmless."""
        audience_id = self._audience_id(context, self.audience_id)
        DigitalAudiencePortalLink.push(context, self.hook.client.settings, audience_id=audience_id)
        self.hook.client.update_audience(audience_id, name=self.audience_name, description=self.description)


class DigitalAudienceOnboardCrmToS3Operator(_DigitalAudienceOperator):
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
            DigitalAudiencePortalLink.push(context, self.hook.client.settings, audience_id=audience.id)
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
        S3ObjectLink.push(
            context,
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


class DigitalAudienceActivateAudienceOperator(_DigitalAudienceOperator):
    """Activate an audience on a platform account, unless the segment is there already.

    The segments of the audience are looked at first: one of the same name on the same account is taken for ours.

    :param segment_name: sent as ``name`` (templated).
    :param description: sent as it is; the vendor wants one (templated).
    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :param account_id: the platform account (templated), or
    :param platform: and
    :param account_name: to find it by; none or several fitting is a ``ConfigurationError`` that lists the choices.
    :param segment_start: ISO 8601 with time zone (templated); default the moment the run was due.
    :param days: how many days after that it ends (templated).
    :param target: a name for this activation among several of the audience.
    :return: the ``segmentId``.

    Source: the vendor's "Audience API" page, POST /audience/activate; "All fields are required".
    """

    template_fields: Sequence[str] = (
        "segment_name",
        "description",
        "audience_id",
        "account_id",
        "platform",
        "account_name",
        "segment_start",
        "days",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(),)

    def __init__(  # noqa: PLR0913
        self,
        *,
        segment_name: str,
        description: str,
        audience_id: RemoteId | None = None,
        account_id: RemoteId | None = None,
        platform: str | None = None,
        account_name: str | None = None,
        segment_start: str | None = None,
        days: int | str = 30,
        target: str = "default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.segment_name = segment_name
        self.description = description
        self.audience_id = audience_id
        self.account_id = account_id
        self.platform = platform
        self.account_name = account_name
        self.segment_start = segment_start
        self.days = days
        self.target = target

    @terminal_errors_fail
    def execute(self, context: Context) -> int:
        """Return the segment's id, creating the segment where needed."""
        client = self.hook.client
        audience_id = self._audience_id(context, self.audience_id)
        account = client.find_platform_account(
            platform=self.platform,
            name=self.account_name,
            account_id=None if is_missing(self.account_id) else remote_number(self.account_id),
        )
        start = self._start(context)
        end = start + timedelta(days=_whole_days(self.days))
        creation = Creation(
            kind="segment",
            name=self.segment_name,
            account=self._account,
            find=lambda: self._existing(audience_id, account.id),
            create=lambda: (
                client.activate_audience(
                    audience_id=audience_id,
                    account_id=account.id,
                    name=self.segment_name,
                    description=self.description,
                    start_date=start,
                    end_date=end,
                ).segment_id
            ),
            sent={"audienceId": audience_id, "accountId": account.id, "name": self.segment_name},
        )
        segment_id = ensure_id(
            memory_of(context, self.asset),
            segment_key(self.target),
            creation,
            run_id=context["run_id"],
            settle_hint=self._settle_hint(),
        )
        DigitalAudiencePortalLink.push(
            context, client.settings, audience_id=audience_id, segment_id=segment_id
        )
        return segment_id

    def _existing(self, audience_id: int, account_id: int) -> int | None:
        fitting = [
            segment.segment_id
            for segment in self.hook.client.load_audience_segments(audience_id)
            if segment.name == self.segment_name and segment.account_id == account_id
        ]
        return max(fitting, default=None)

    def _start(self, context: Context) -> datetime:
        if self.segment_start:
            return _moment(self.segment_start, "segment_start")
        # From the run, not from the clock: a retry asks for the same segment.
        dag_run: Any = context["dag_run"]
        moment: datetime = dag_run.logical_date or dag_run.run_after
        return moment


class DigitalAudienceExtendSegmentEndDateOperator(_DigitalAudienceOperator):
    """Move the end date of a segment forward. Doing so twice is harmless.

    :param segment_id: the ``segmentId`` (templated).
    :param new_end_date: ISO 8601 with time zone (templated).
    :param segment_name: for messages and the label of a mapped task (templated).
    :param allow_shorten: also move it back; otherwise an end that is later already stays.
    :return: the end date before and after, ISO 8601.

    Source: the vendor's "Segment API" page, POST /segment/updateenddate.
    """

    template_fields: Sequence[str] = (
        "segment_id",
        "new_end_date",
        "segment_name",
        "digital_audience_conn_id",
    )

    def __init__(
        self,
        *,
        segment_id: RemoteId,
        new_end_date: str,
        segment_name: str = "",
        allow_shorten: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.segment_id = segment_id
        self.new_end_date = new_end_date
        self.segment_name = segment_name
        self.allow_shorten = allow_shorten

    @terminal_errors_fail
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Read the end date, and move it if it is not there yet."""
        client = self.hook.client
        segment_id = remote_number(self.segment_id)
        wanted = _moment(self.new_end_date, "new_end_date")
        before = client.load_segment(segment_id).end_date
        if before is not None and (before == wanted or (before > wanted and not self.allow_shorten)):
            self.log.info("Segment %s ends %s already; nothing to do", segment_id, before.isoformat())
            return _end_dates(segment_id, before, before, changed=False)
        client.update_segment_end_date(segment_id, wanted)
        self.log.info("Segment %s now ends %s instead of %s", segment_id, wanted.isoformat(), before)
        return _end_dates(segment_id, before, wanted, changed=True)


class DigitalAudienceDeleteAudienceOperator(_DigitalAudienceOperator):
    """Delete an audience "and all connected data" at the vendor. There is no way back.

    :param audience_id: which audience (templated); it must be given, a remembered one is not deleted.

    Source: the vendor's "Audience API" page, DELETE /audience/delete.
    """

    template_fields: Sequence[str] = ("audience_id", "digital_audience_conn_id")

    def __init__(self, *, audience_id: RemoteId, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    @terminal_errors_fail
    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Delete it."""
        self.hook.client.delete_audience(remote_number(self.audience_id))
        self.log.info("Audience %s is deleted", self.audience_id)


class DigitalAudienceDeleteSegmentOperator(_DigitalAudienceOperator):
    """Delete a segment at the vendor.

    :param segment_id: the ``segmentId`` (templated).

    Source: the vendor's "Segment API" page, DELETE /segment/{segmentid}.
    """

    template_fields: Sequence[str] = ("segment_id", "digital_audience_conn_id")

    def __init__(self, *, segment_id: RemoteId, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segment_id = segment_id

    @terminal_errors_fail
    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Delete it."""
        self.hook.client.delete_segment(remote_number(self.segment_id))
        self.log.info("Segment %s is deleted", self.segment_id)


class DigitalAudienceListSegmentsOperator(_DigitalAudienceOperator):
    """List the segments of an audience.

    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :return: the segments as JSON objects, names in Python's spelling.

    Source: the vendor's "Segment API" page, GET /segment/audience:{audienceid}.
    """

    template_fields: Sequence[str] = ("audience_id", "digital_audience_conn_id")

    def __init__(self, *, audience_id: RemoteId | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    @terminal_errors_fail
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List them."""
        segments: list[Segment] = self.hook.client.load_audience_segments(
            self._audience_id(context, self.audience_id)
        )
        return [segment.model_dump(mode="json") for segment in segments]


class DigitalAudienceListPlatformAccountsOperator(_DigitalAudienceOperator):
    """List the ad platform accounts of the user's organisation, without their access tokens.

    :return: the accounts as JSON objects, names in Python's spelling.

    Source: the vendor's "Organization API" page, GET /organisation/loadplatformaccounts.
    """

    @terminal_errors_fail
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """List them."""
        return [account.model_dump(mode="json") for account in self.hook.client.load_platform_accounts()]


def object_key(audience_id: int, mode: UpdateMode, load_date: date) -> str:
    """The key of a load, as the vendor's page "Updating audiences via S3" wants it.

    The id is written as the API returns it. The page's example pads it with zeros (``00001``), but no rule says so.
    """
    return f"onboard/audience={audience_id}/{mode.value}/{load_date:%Y%m%d}_000000.csv"


def as_bool(value: bool | str) -> bool:
    """A boolean that may have come through a template, which makes it text."""
    return value if isinstance(value, bool) else value.strip().lower() in {"true", "1", "yes"}


def _would(known: int | None) -> str:
    return "would be created" if known is None else f"is there with id {known}"


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


def _moment(value: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(
            what=f"{name} {value!r} is not a moment with a time zone",
            next_step="Give it in ISO 8601, for example 2026-12-31T23:59:59Z",
        )
    return moment


def _whole_days(value: int | str) -> int:
    try:
        days = int(value)
    except (TypeError, ValueError):
        days = 0
    if days < 1:
        raise ConfigurationError(what=f"{value!r} is not a number of days of at least 1")
    return days


def _end_dates(
    segment_id: RemoteId, before: datetime | None, after: datetime, *, changed: bool
) -> dict[str, Any]:
    return {
        "segment_id": segment_id,
        "end_date_before": before.isoformat() if before else None,
        "end_date": after.isoformat(),
        "changed": changed,
    }
