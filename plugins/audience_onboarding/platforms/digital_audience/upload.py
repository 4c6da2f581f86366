"""The operator that brings a CRM extract into an audience's folder in S3."""

from __future__ import annotations

import time as clock
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.links import AudiencePageLink, RejectsLink
from audience_onboarding.base.metrics import upload_measured
from audience_onboarding.base.openlineage import Place, Written
from audience_onboarding.base.retry_policy import failure_told, terminal_errors_fail
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.base.snapshot_diff import MIRROR, OPT_IN, OPT_OUT, REPLACE
from audience_onboarding.base.source_options import SourceOptions
from audience_onboarding.base.upload_operator import OnboardCrmOperator, Sending
from audience_onboarding.crm.guards import WHOLE_LIST
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConfigurationError,
    DailyFileLimitError,
    UploadConflictError,
)
from audience_onboarding.platforms.digital_audience.confirmation import (
    DEFAULT_FAILURE_STATES,
    DEFAULT_PENDING_STATES,
    DEFAULT_SUCCESS_STATES,
    Baseline,
    ConfirmBy,
    summary,
)
from audience_onboarding.platforms.digital_audience.definition import is_read_by_the_vendor, object_key
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.links import (
    DigitalAudiencePortalLink,
    S3ObjectLink,
    storage_of,
)
from audience_onboarding.platforms.digital_audience.models import Audience, UpdateMode
from audience_onboarding.platforms.digital_audience.sensors import audience_failed
from audience_onboarding.platforms.digital_audience.triggers import DigitalAudienceAudienceStateTrigger
from audience_onboarding.platforms.digital_audience.upload_log import (
    LIST_ID,
    TOKEN,
    Put,
    Puts,
    confirmed_since,
)
from audience_onboarding.state.remote_ids import number_id
from audience_onboarding.state.store import Memory, days_text

if TYPE_CHECKING:
    from audience_onboarding.crm.output.crm_file import CrmFile
    from audience_onboarding.storage.s3_upload import PublishResult
    from audience_onboarding.storage.s3_write import ExistingObject

LOAD_DATE = "load-date"
HISTORY_FROM = "range-start"
BASELINE_PREFIX = "baseline-"
"""The baseline of an upload travels in the object's own metadata: whoever finds the object, finds it too."""


class DigitalAudienceOnboardCrmToS3Operator(OnboardCrmOperator[DigitalAudienceHook, int]):
    """Read a CRM extract, hash it, and put it into the audience's folder in S3, once.

    The key is ``onboard/audience={id}/{mode}/{YYYYMMDD_HHmmss}.csv`` with the load date at midnight UTC, so that the
    same load always has the same key; a range of days has that of its last day, one second before the next. The object
    is written with ``If-None-Match: *`` and carries the identity of its content: the same content again is a success
    with nothing sent; other content is an ``UploadConflictError`` unless ``overwrite`` is set. A ``replace`` whose
    object is there, but was replaced by that of another day since, is written anew.

    The mode ``mirror`` has no folder at the vendor: what has changed since the last confirmed load is sent as a file
    in ``opt-out`` and, once the vendor is through with it, one in ``opt-in``. In between, the task waits in the
    triggerer, and reads the extract anew afterwards.

    Arguments beside those of :class:`..base.onboarding.OnboardCrmOperator`:

    :param mode: ``opt-in``, ``opt-out``, ``replace``, or ``mirror``, which needs ``state`` (templated).
    :param bucket: default the one of the AWS connection (``service_config.s3.bucket_name``).
    :param aws_conn_id: a connection of type ``aws`` for the vendor's bucket (templated); also for the source, where
        ``source`` names no other.
    :param allow_unconditional_writes: for S3 storages that lack conditional writes: look first, then write.
    :param on_second_daily_file: where another load has put a file for the audience on the same day, in UTC: ``warn``
        (default), ``fail``, or ``wait`` until the vendor is through with that file or the day is over. A file that
        takes the place of one under the same key is no second one, nor are the two of a ``mirror``.
    :param success_states: as of :class:`.sensors.DigitalAudienceAudienceStateSensor`, for waits of this task; so are
        ``failure_states``, ``pending_states`` and ``confirm_by``.
    :param poke_interval: seconds between two looks of these waits at most.
    :param processing_timeout: seconds that the vendor may take for the opt-out file of a ``mirror``.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :return: key, counts, identity of the content, and the baseline that the sensor wants.

    Source: the vendor's pages "Updating audiences via S3" and "Prepare your CSV file for data updates".
    """

    template_fields: Sequence[str] = (
        *OnboardCrmOperator.template_fields,
        "bucket",
        "aws_conn_id",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(), S3ObjectLink(), RejectsLink(), AudiencePageLink())
    hook_class = DigitalAudienceHook
    read_id = staticmethod(number_id)
    modes = (*(mode.value for mode in UpdateMode), MIRROR)
    modes_with_snapshots = frozenset({MIRROR})
    profile = DIGITAL_AUDIENCE_S3

    def __init__(  # noqa: PLR0913
        self,
        *,
        bucket: str | None = None,
        aws_conn_id: str = "audience_s3",
        allow_unconditional_writes: bool = False,
        on_second_daily_file: Literal["warn", "fail", "wait"] = "warn",
        success_states: Sequence[str] = DEFAULT_SUCCESS_STATES,
        failure_states: Sequence[str] = DEFAULT_FAILURE_STATES,
        pending_states: Sequence[str] = DEFAULT_PENDING_STATES,
        confirm_by: ConfirmBy = "auto",
        poke_interval: float = 60.0,
        processing_timeout: float = timedelta(days=2).total_seconds(),
        digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.aws_conn_id = aws_conn_id
        self.allow_unconditional_writes = allow_unconditional_writes
        self.on_second_daily_file = on_second_daily_file
        self.success_states = tuple(success_states)
        self.failure_states = tuple(failure_states)
        self.pending_states = tuple(pending_states)
        self.confirm_by: ConfirmBy = confirm_by
        self.poke_interval = poke_interval
        self.processing_timeout = processing_timeout
        self.digital_audience_conn_id = digital_audience_conn_id
        self._begun_content: str | None = None
        self._waited_for: str | None = None

    def check(self) -> None:
        """The bucket has to be known."""
        self._bucket()

    def target(self, context: Context) -> Audience:
        """Load the audience: what it looks like before the upload is the sensor's baseline."""
        client = self.hook.client
        audience = client.load_audience(self._audience_id(context, self.audience_id))
        DigitalAudiencePortalLink.show(self, client.settings, audience_id=audience.id)
        return audience

    def send(self, context: Context, target: Any, sending: Sending) -> dict[str, Any]:
        """Put the file into the bucket, unless it is there; of a ``mirror``, the files that it takes."""
        if self._begun_content not in (None, sending.load.content_id):
            raise UploadConflictError(
                what="The source has changed while its load was under way",
                where=f"audience {target.id}",
                next_step=f"To send the new content, trigger it {OVERWRITE_HINT}. If the source is a query, give it an "
                "ORDER BY, so that it has the same rows in the same order each time",
            )
        if sending.mode == MIRROR:
            return self._mirror(context, target, sending)
        upload = _Upload(self, context, target, sending)
        file = upload.put(sending.mode, sending.load)
        return upload.result(file, uploaded=not file.unchanged)

    def _mirror(self, context: Context, audience: Audience, sending: Sending) -> dict[str, Any]:
        comparison = sending.comparison
        if comparison is None:  # as 'state' is required
            raise AssertionError("a mirror has nothing to compare with")
        upload = _Upload(self, context, audience, sending)
        self._check_same_list(context, audience, sending)
        if comparison.changes_nothing or (comparison.is_confirmed and not sending.overwrite):
            self.log.info("The audience is as the list says: nothing is sent")
            return {
                "audience_id": audience.id,
                "bucket": self._bucket(),
                "s3_key": None,
                "uploaded": False,
                "confirmed": summary(audience, None),
            }
        if audience.data_updated is not None and not comparison.base.all():
            self.log.warning(
                "There is no snapshot of an earlier load, so nobody is taken out: whoever is in the audience "
                "already, stays. To begin with exactly the list, run it once with mode 'replace'"
            )
        files: list[PublishResult] = []
        if comparison.opt_out is not None:
            files.append(upload.put(OPT_OUT, comparison.opt_out))
            if comparison.opt_in is not None and not self._is_through(upload, files[0], sending):
                self._wait_for_opt_out(upload, files[0], comparison.opt_out, sending)
        if comparison.opt_in is not None:
            files.append(upload.put(OPT_IN, comparison.opt_in))
        last = comparison.opt_in or comparison.opt_out
        return {
            **upload.result(files[-1], uploaded=not all(file.unchanged for file in files)),
            "s3_keys": [file.key for file in files],
            "awaited": {
                "mode": OPT_OUT if comparison.opt_in is None else OPT_IN,
                "rows": 0 if last is None else last.rows,
            },
        }

    def _check_same_list(self, context: Context, audience: Audience, sending: Sending) -> None:
        """Another list for the same day is a conflict, whatever of it would be sent."""
        self._confirmed_before(context, audience.id, sending)
        others = [] if sending.comparison is None else sending.comparison.others_begun
        day = sending.load_date.isoformat()
        if sending.overwrite or not any(kept.load_date == day and kept.mode == MIRROR for kept in others):
            return
        raise UploadConflictError(
            what=f"The load of {day} ({MIRROR}) was begun before, with other content",
            where=f"audience {audience.id}",
            next_step=f"If the new content is right, trigger it again {OVERWRITE_HINT}",
        )

    def _is_through(self, upload: _Upload, opt_out: PublishResult, sending: Sending) -> bool:
        """Whether the vendor has taken in the opt-out: seen just now, or the opt-in was put upon it already."""
        comparison = sending.comparison
        if self._waited_for == opt_out.content_id or comparison is None or comparison.opt_in is None:
            return True
        return upload.has(OPT_IN, comparison.opt_in)

    def _wait_for_opt_out(
        self, upload: _Upload, opt_out: PublishResult, file: CrmFile, sending: Sending
    ) -> None:
        self.log.info("Waiting until the vendor is through with s3://%s/%s", opt_out.bucket, opt_out.key)
        self.defer(
            trigger=self._trigger(
                upload.audience.id,
                baseline=upload.baseline_of(opt_out).to_dict(),
                mode=OPT_OUT,
                rows=file.rows,
                deadline=clock.time() + self.processing_timeout,
            ),
            method_name="execute_after_opt_out",
            kwargs={"content_id": sending.load.content_id, "opt_out": opt_out.content_id},
            timeout=timedelta(seconds=self.processing_timeout) + DEFERRAL_GRACE,
        )

    @terminal_errors_fail
    def execute_after_opt_out(
        self, context: Context, event: dict[str, Any], content_id: str, opt_out: str
    ) -> dict[str, Any]:
        """Put the opt-in file, now that the vendor is through with the opt-out file.

        :param content_id: of the list.
        :param opt_out: content id of the opt-out file.
        :raises AirflowFailException: the vendor could not take in the opt-out file, or refuses to be asked.
        :raises TransientError: it was not through in time.
        """
        self.check_wait(
            event,
            failed=partial(audience_failed, "The audience"),
            late=f"The opt-out file was not taken in within {timedelta(seconds=self.processing_timeout)}",
            where="Digital Audience",
        )
        self._begun_content, self._waited_for = content_id, opt_out
        return self._onboard(context, is_under_way=True)

    # --- one file a day

    def _check_day(self, puts: Puts, upload: _Upload, key: str) -> None:
        """What the vendor recommends: at most one file per audience and day.

        :raises DailyFileLimitError: there was one, and ``on_second_daily_file`` is ``fail``.
        """
        now = datetime.now(timezone.utc)
        others = puts.on_the_day(now, key=key, load=upload.sending.identity)
        if not others or self._begun_content is not None:
            return
        keys = sorted({put.key for put in others})
        if self.on_second_daily_file == "warn":
            self.log.warning(
                "The vendor recommends one file per audience and day; today (UTC) there was %s",
                ", ".join(keys),
            )
            return
        if self.on_second_daily_file == "fail":
            raise DailyFileLimitError(
                what="There was a file for this audience today (UTC) already, and one a day is what the vendor "
                "recommends",
                where=", ".join(keys),
                next_step="Clear this task tomorrow, or let 'upload.on_second_daily_file' be 'warn' or 'wait'",
            )
        self.log.info("Waiting until the vendor is through with %s, or the day (UTC) is over", others[-1].key)
        tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), tzinfo=timezone.utc)
        self.defer(
            trigger=self._trigger(
                upload.audience.id,
                baseline=dict(others[-1].baseline),
                mode=others[-1].mode,
                rows=others[-1].rows,
                deadline=tomorrow.timestamp(),
            ),
            method_name="execute_after_other_file",
            kwargs={"content_id": upload.sending.load.content_id},
            timeout=tomorrow - now + DEFERRAL_GRACE,
        )

    @terminal_errors_fail
    def execute_after_other_file(
        self, context: Context, event: dict[str, Any], content_id: str
    ) -> dict[str, Any]:
        """Go on, now that the vendor is through with the other file of the day, or the day is over.

        :param content_id: of the list.
        :raises AirflowFailException: the vendor refuses to be asked.
        """
        if event["status"] == "error":
            raise failure_told(event)
        self._begun_content = content_id
        return self._onboard(context)

    def _trigger(
        self, audience_id: int, *, baseline: dict[str, str], mode: str, rows: int, deadline: float
    ) -> DigitalAudienceAudienceStateTrigger:
        return DigitalAudienceAudienceStateTrigger(
            conn_id=self.digital_audience_conn_id,
            audience_id=audience_id,
            baseline=baseline,
            mode=mode,
            rows=rows,
            success_states=self.success_states,
            failure_states=self.failure_states,
            pending_states=self.pending_states,
            confirm_by=self.confirm_by,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def _bucket(self) -> str:
        return bucket_at(self.aws_conn_id, self.bucket)

    def newest_sent(self, memory: Memory) -> str:
        """The newest day in the files that were put last."""
        return Puts(memory).newest_day()

    def is_read_by_the_vendor(self, url: str) -> bool:
        """Whether a file at ``url`` would lie in the folder of the bucket that the vendor scans."""
        return is_read_by_the_vendor(url, bucket=self._bucket())

    def _source_connection(self, options: SourceOptions) -> str:
        return options.aws_conn_id or self.aws_conn_id


class _Upload:
    """The files of one load on their way into the bucket."""

    def __init__(
        self,
        operator: DigitalAudienceOnboardCrmToS3Operator,
        context: Context,
        audience: Audience,
        sending: Sending,
    ) -> None:
        self._operator = operator
        self._context = context
        self._memory = operator._memory(context)
        self._client = s3_client(operator.aws_conn_id)
        self._baseline = Baseline.of(audience)
        self.audience = audience
        self.sending = sending
        self.puts = Puts(self._memory)

    def put(self, mode: str, file: CrmFile) -> PublishResult:
        """Put a file into the folder of a mode, unless it is there and still counts."""
        from audience_onboarding.storage.s3_upload import publish_object

        operator, sending = self._operator, self.sending
        bucket, key = operator._bucket(), self._key(mode)
        token = uuid.uuid4().hex
        ti = self._context["ti"]
        history = {HISTORY_FROM: sending.range_start.isoformat()} if sending.range_start else {}
        with upload_measured(None, **operator._tags(sending.mode)) as measured:
            published = publish_object(
                self._client,
                bucket=bucket,
                key=key,
                chunks=file.chunks,
                content_id=file.content_id,
                size=file.size,
                metadata={
                    LOAD_DATE: sending.load_date.isoformat(),
                    **history,
                    "dag-id": ti.dag_id,
                    "run-id": ti.run_id,
                    "rows": str(file.rows),
                    LIST_ID: sending.load.content_id,
                    TOKEN: token,
                    **baseline_metadata(self._baseline),
                },
                overwrite=sending.overwrite,
                must_overwrite=lambda existing: self._is_to_overwrite(existing, file),
                before_writing=lambda: self._before_writing(mode, file, token),
                allow_unconditional=operator.allow_unconditional_writes,
            )
            if not published.unchanged:
                measured.size = published.size
        self._note_lineage(published, file)
        self.puts.went_through(published.metadata.get(TOKEN, ""))
        if published.unchanged:
            operator.log.info("s3://%s/%s already has this content: nothing is sent", bucket, key)
        else:
            operator.log.info("Uploaded %s rows to s3://%s/%s", file.rows, bucket, key)
        return published

    def _note_lineage(self, published: PublishResult, file: CrmFile) -> None:
        place = Place(f"s3://{published.bucket}", published.key)
        written = Written(place)
        if not published.unchanged:
            change: Any = "OVERWRITE" if published.overwritten else "CREATE"
            written = Written(place, file.rows, published.size, change)
        self._operator._lineage.written.append(written)

    def has(self, mode: str, file: CrmFile) -> bool:
        """Whether a file of this load surely was put, and nothing else since."""
        return self.puts.has(self._key(mode), file.content_id, self.sending.identity)

    def baseline_of(self, published: PublishResult) -> Baseline:
        """What the vendor showed before an object was written."""
        return baseline_in(published.metadata)

    def result(self, published: PublishResult, *, uploaded: bool) -> dict[str, Any]:
        """What the task returns about a file."""
        client, operator = self._client, self._operator
        S3ObjectLink.show(
            operator,
            bucket=published.bucket,
            key=published.key,
            region=client.meta.region_name,
            endpoint=client.meta.endpoint_url,
        )
        same_day = self.puts.before_on_the_day(published.metadata.get(TOKEN, ""))
        return {
            "audience_id": self.audience.id,
            "bucket": published.bucket,
            "s3_key": published.key,
            **storage_of(client.meta.endpoint_url, client.meta.region_name),
            "uploaded": uploaded,
            "baseline": self.baseline_of(published).to_dict(),
            **({"same_day_files": same_day} if same_day else {}),
        }

    def _key(self, mode: str) -> str:
        is_gzip = self._operator.profile.compression == "gzip"
        sending = self.sending
        is_range = sending.range_start is not None
        return object_key(self.audience.id, mode, sending.load_date, is_gzip=is_gzip, is_range=is_range)

    def _before_writing(self, mode: str, file: CrmFile, token: str) -> None:
        sending, key = self.sending, self._key(mode)
        self._operator._check_day(self.puts, self, key)
        self._begin()
        self.puts.begin(
            Put(
                key=key,
                content_id=file.content_id,
                load=sending.identity,
                load_date=sending.load_date.isoformat(),
                mode=mode,
                rows=file.rows,
                at=datetime.now(timezone.utc).isoformat(),
                token=token,
                baseline=self._baseline.to_dict(),
            )
        )

    def _begin(self) -> None:
        sending = self.sending
        if sending.comparison is not None:
            sending.comparison.begin(is_whole=sending.mode in WHOLE_LIST)

    def _is_to_overwrite(self, existing: ExistingObject, file: CrmFile) -> bool:
        """Whether the object that is there has to be written anew.

        An opt-in or opt-out counts as it is, whatever came after it: who opted out since must not come back because an
        old run is cleared. It is put again on demand only.
        """
        sending = self.sending
        if existing.content_id != file.content_id:
            if not sending.overwrite:
                self._check_same_range(existing)
            # The same list takes other changes once something else was sent in between.
            return sending.mode == MIRROR and existing.metadata.get(LIST_ID) == sending.load.content_id
        since = self._other_since(existing, file)
        if since is None:
            if sending.mode in WHOLE_LIST:
                # Also where it was put before snapshots were kept.
                self._begin()
            return False
        if sending.overwrite or sending.mode == MIRROR:
            return True
        if sending.mode != REPLACE or since > sending.load_date.isoformat():
            return False
        self._operator.log.info(
            "s3://%s/%s has this content, but the load of %s was put after it: it is put again",
            self._operator._bucket(),
            existing.key,
            since,
        )
        return True

    def _check_same_range(self, existing: ExistingObject) -> None:
        """Ranges of days share a key with those that end on the same day, which should be said.

        :raises UploadConflictError: the object is of another range.
        """
        sending = self.sending
        its_days = days_text(existing.metadata.get(LOAD_DATE, ""), existing.metadata.get(HISTORY_FROM))
        if sending.range_start is None or its_days == sending.days:
            return
        raise UploadConflictError(
            what=f"The load of {its_days} is there, which ends on the same day as {sending.days} and so has the same "
            "key, with other content",
            where=f"s3://{self._operator._bucket()}/{existing.key}",
            next_step="Load what is missing as a range that ends on another day. To put this one in its place, "
            f"trigger it again {OVERWRITE_HINT}",
        )

    def _other_since(self, existing: ExistingObject, file: CrmFile) -> str | None:
        """The day of another load that was put after this object, the last one."""
        sending = self.sending
        if self.puts.is_empty():
            return confirmed_since(
                self._memory,
                days=sending.days,
                mode=sending.mode,
                content_id=sending.load.content_id,
            )
        others = self.puts.since(existing.key, file.content_id, existing.metadata, sending.identity)
        if sending.mode == REPLACE and not sending.overwrite:
            # What adds or takes out some does not replace the list.
            others = [put for put in others if put.replaces]
        return others[-1].load_date if others else None


def bucket_at(aws_conn_id: str, bucket: str | None = None) -> str:
    """The vendor's bucket: ``bucket``, or else the one that the AWS connection names.

    :raises ConfigurationError: neither names one.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    found = bucket or S3Hook(aws_conn_id=aws_conn_id).service_config.get("bucket_name")
    if not found:
        raise ConfigurationError(
            what="It is not known which bucket to upload to",
            where=f"AWS connection {aws_conn_id!r}",
            next_step="Name it in the definition (upload.bucket), or in the extra of the connection as "
            '{"service_config": {"s3": {"bucket_name": "..."}}}',
        )
    return str(found)


def baseline_metadata(baseline: Baseline) -> dict[str, str]:
    """A baseline as metadata of an object."""
    return {BASELINE_PREFIX + _dashed(name): value for name, value in baseline.to_dict().items()}


def baseline_in(metadata: Mapping[str, str]) -> Baseline:
    """The baseline that an object's metadata holds."""
    return Baseline.from_dict(
        {name: metadata.get(BASELINE_PREFIX + _dashed(name)) for name in Baseline.__dataclass_fields__}
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")
