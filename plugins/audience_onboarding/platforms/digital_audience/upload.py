"""Operator that uploads a CRM extract into an audience's folder in S3."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.links import AudiencePageLink, RejectsLink
from audience_onboarding.base.load import LoadContext, check_event
from audience_onboarding.base.retry_policy import fail_from_event, fail_on_terminal_error
from audience_onboarding.base.sensors import DEFERRAL_GRACE
from audience_onboarding.base.snapshot_diff import MIRROR, OPT_IN, OPT_OUT
from audience_onboarding.base.upload_operator import OnboardCrmOperator
from audience_onboarding.exceptions import OVERWRITE_HINT, UploadConflictError
from audience_onboarding.platforms.digital_audience.confirmation import summary
from audience_onboarding.platforms.digital_audience.definition import (
    ConfirmationRules,
    DigitalAudienceDefinition,
    is_vendor_path,
)
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.links import (
    DigitalAudiencePortalLink,
    S3ObjectLink,
    storage_fields,
)
from audience_onboarding.platforms.digital_audience.load_files import (
    LoadFiles,
    check_daily_files,
    get_bucket,
    read_baseline,
)
from audience_onboarding.platforms.digital_audience.models import Audience
from audience_onboarding.platforms.digital_audience.sensors import audience_failed
from audience_onboarding.platforms.digital_audience.triggers import DigitalAudienceAudienceStateTrigger
from audience_onboarding.platforms.digital_audience.upload_log import TOKEN, UploadLog
from audience_onboarding.state.remote_ids import parse_int_id
from audience_onboarding.state.store import ERASURE_UPLOAD_LOG_KEY, StateStore

if TYPE_CHECKING:
    from audience_onboarding.storage.s3_upload import PublishResult


class DigitalAudienceOnboardCrmToS3Operator(OnboardCrmOperator[DigitalAudienceHook, int]):
    """Read a CRM extract, hash it, and upload it into the audience's folder in S3, once.

    The key is ``onboard/audience={id}/{mode}/{YYYYMMDD_HHmmss}.csv`` with the load date at midnight UTC, so that the
    same load always has the same key; a range has that of its last date, one second before midnight. The object is
    written with ``If-None-Match: *``, and its metadata holds the id of its content: the same content again is a success
    with nothing sent; other content is an ``UploadConflictError`` unless ``overwrite`` is set. A ``replace`` is written
    again if the list of an earlier date was uploaded after it.

    The mode ``mirror`` has no folder at the vendor: the changes since the last confirmed load are uploaded as a file in
    ``opt-out`` and, once the vendor has processed it, one in ``opt-in``. In between, the task is deferred, and reads
    the extract again afterwards.

    Arguments besides those of :class:`~..base.upload_operator.OnboardCrmOperator`:

    :param mode: ``opt-in``, ``opt-out``, ``replace``, or ``mirror``, which needs ``snapshots`` (templated).
    :param bucket: default: the one of the AWS connection (``service_config.s3.bucket_name``) (templated).
    :param aws_conn_id: a connection of type ``aws`` for the vendor's bucket (templated); also for the source, unless
        ``source`` names another.
    :param allow_unconditional_writes: for S3 storages without conditional writes: HEAD, then PUT.
    :param on_second_daily_file: if another load has uploaded a file for the audience on the same day, in UTC: ``warn``
        (default), ``fail``, or ``wait`` until the vendor has processed that file or the day is over. A file under the
        same key does not count, nor does the second file of a ``mirror``.
    :param rules: state names and evidence, for waits of this task.
    :param poke_interval: seconds between two polls of these waits at most.
    :param processing_timeout: seconds that the vendor may take for the opt-out file of a ``mirror``.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :return: key, counts, content id, and the baseline for the sensor.

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
    read_id = staticmethod(parse_int_id)
    modes = tuple(DigitalAudienceDefinition.modes)
    modes_with_snapshots = DigitalAudienceDefinition.modes_with_snapshots
    profile = DigitalAudienceDefinition.profile

    def __init__(  # noqa: PLR0913
        self,
        *,
        bucket: str | None = None,
        aws_conn_id: str = "audience_s3",
        allow_unconditional_writes: bool = False,
        on_second_daily_file: Literal["warn", "fail", "wait"] = "warn",
        rules: ConfirmationRules | None = None,
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
        self.rules = rules or ConfirmationRules()
        self.poke_interval = poke_interval
        self.processing_timeout = processing_timeout
        self.digital_audience_conn_id = digital_audience_conn_id

    def validate(self) -> None:
        """Check that the bucket is known."""
        get_bucket(self.aws_conn_id, self.bucket)

    def is_vendor_path(self, url: str) -> bool:
        """Return whether ``url`` lies in the folder of the bucket that the vendor scans."""
        return is_vendor_path(url, bucket=get_bucket(self.aws_conn_id, self.bucket))

    def latest_uploaded_date(self, store: StateStore) -> str:
        """Return the latest load date in the recent uploads."""
        return UploadLog(store).latest_load_date()

    def _resolve(self, context: Context, **resumed: Any) -> LoadContext:
        load = super()._resolve(context, **resumed)
        return replace(load, erasures=load.store.get(ERASURE_UPLOAD_LOG_KEY))

    def get_audience(self, load: LoadContext) -> Audience:
        """Load the audience; its state before the upload is the sensor's baseline."""
        client = self.hook.client
        audience = client.load_audience(self._audience_id(load.context, self.audience_id))
        DigitalAudiencePortalLink.persist(self, client.settings, audience_id=audience.id)
        return audience

    def upload(self, load: LoadContext, audience: Any) -> dict[str, Any]:
        """Write the file into the bucket, unless it exists; for a ``mirror``, the files with its changes."""
        load.check_unchanged(
            f"audience {audience.id}", next_step=f"To send the new content, trigger it {OVERWRITE_HINT}"
        )
        files = LoadFiles(
            client=s3_client(self.aws_conn_id),
            bucket=get_bucket(self.aws_conn_id, self.bucket),
            audience=audience,
            load=load,
            is_gzip=self.profile.compression == "gzip",
            allow_unconditional=self.allow_unconditional_writes,
            check_day=self._check_day,
            metric_tags=self._load_metric_tags(load.mode),
        )
        if load.mode == MIRROR:
            return self._mirror(files)
        published = files.publish(load.mode, load.file)
        return self._result(files, published, uploaded=not published.unchanged)

    def _result(self, files: LoadFiles, published: PublishResult, *, uploaded: bool) -> dict[str, Any]:
        meta, bucket, key = files.client.meta, published.bucket, published.key
        S3ObjectLink.persist(
            self, bucket=bucket, key=key, region=meta.region_name, endpoint=meta.endpoint_url
        )
        same_day = files.uploads.earlier_same_day_keys(published.metadata.get(TOKEN, ""))
        return {
            "audience_id": files.audience.id,
            "bucket": bucket,
            "s3_key": key,
            **storage_fields(meta.endpoint_url, meta.region_name),
            "uploaded": uploaded,
            "baseline": read_baseline(published.metadata).to_dict(),
            **({"same_day_files": same_day} if same_day else {}),
        }

    def _mirror(self, files: LoadFiles) -> dict[str, Any]:
        load, audience, diff = files.load, files.audience, files.load.diff
        if diff is None:  # as 'snapshots' is required
            raise AssertionError("a mirror has no snapshot to diff with")
        self._check_same_list(files)
        if diff.is_empty or (diff.is_confirmed and not load.overwrite):
            self.log.info("The audience already matches the list: nothing to send")
            return {
                "audience_id": audience.id,
                "bucket": files.bucket,
                "s3_key": None,
                "uploaded": False,
                "confirmed": summary(audience, None),
            }
        if audience.data_updated is not None and not diff.base.all():
            self.log.warning(
                "There is no snapshot of an earlier load, so nothing is removed: people in the audience stay. To start "
                "with exactly this list, run it once with mode 'replace'"
            )
        published: list[PublishResult] = []
        if diff.opt_out is not None:
            published.append(files.publish(OPT_OUT, diff.opt_out))
            if diff.opt_in is not None and not self._is_processed(files, published[0]):
                self._wait_for_opt_out(files, published[0], diff.opt_out.rows)
        if diff.opt_in is not None:
            published.append(files.publish(OPT_IN, diff.opt_in))
        last = diff.opt_in or diff.opt_out
        return {
            **self._result(files, published[-1], uploaded=not all(file.unchanged for file in published)),
            "s3_keys": [file.key for file in published],
            "awaited": {
                "mode": OPT_OUT if diff.opt_in is None else OPT_IN,
                "rows": 0 if last is None else last.rows,
            },
        }

    def _check_same_list(self, files: LoadFiles) -> None:
        """Check that no part of another list was sent for the same date."""
        load = files.load
        load.find_confirmed(files.audience.id)
        others = [] if load.diff is None else load.diff.other_pending_loads
        day = load.load_date.isoformat()
        if load.overwrite or not any(kept.load_date == day and kept.mode == MIRROR for kept in others):
            return
        raise UploadConflictError(
            what=f"The load of {day} ({MIRROR}) was started before, with other content",
            where=f"audience {files.audience.id}",
            next_step=f"If the new content is right, trigger it again {OVERWRITE_HINT}",
        )

    def _is_processed(self, files: LoadFiles, opt_out: PublishResult) -> bool:
        """Return whether the opt-out is processed: a wait has confirmed it, or the opt-in was sent after it."""
        load = files.load
        if load.confirmed_opt_out_id == opt_out.content_id or load.diff is None or load.diff.opt_in is None:
            return True
        return files.contains(OPT_IN, load.diff.opt_in)

    def _wait_for_opt_out(self, files: LoadFiles, opt_out: PublishResult, rows: int) -> None:
        self.log.info("Waiting until the vendor has processed s3://%s/%s", opt_out.bucket, opt_out.key)
        self.defer(
            trigger=self._trigger(
                files.audience.id,
                clock.time() + self.processing_timeout,
                baseline=read_baseline(opt_out.metadata).to_dict(),
                mode=OPT_OUT,
                rows=rows,
            ),
            method_name="resume_after_opt_out",
            kwargs={"content_id": files.load.file.content_id, "opt_out": opt_out.content_id},
            timeout=timedelta(seconds=self.processing_timeout) + DEFERRAL_GRACE,
        )

    @fail_on_terminal_error
    def resume_after_opt_out(
        self, context: Context, event: dict[str, Any], content_id: str, opt_out: str
    ) -> dict[str, Any]:
        """Upload the opt-in file, after the vendor has processed the opt-out file.

        :param content_id: of the list.
        :param opt_out: content id of the opt-out file.
        :raises AirflowFailException: the vendor failed to process the opt-out file, or rejects the request.
        :raises TransientError: the wait timed out.
        """
        check_event(
            event,
            failed=partial(audience_failed, "The audience"),
            timed_out=f"The opt-out file was not processed within {timedelta(seconds=self.processing_timeout)}",
            where="Digital Audience",
        )
        return self._run(context, resuming=True, resumed_content_id=content_id, confirmed_opt_out_id=opt_out)

    def _check_day(self, files: LoadFiles, key: str) -> None:
        """Apply ``on_second_daily_file``, see :func:`.load_files.check_daily_files`."""
        load, now = files.load, datetime.now(timezone.utc)
        if load.resumed_content_id is not None:
            return
        others = files.uploads.same_day_uploads(now, key=key, load=load.identity)
        tomorrow = check_daily_files(others, self.on_second_daily_file, now=now, log=self.log)
        if tomorrow is None:
            return
        self.defer(
            trigger=self._trigger(files.audience.id, tomorrow.timestamp(), **others[-1].awaited),
            method_name="resume_after_other_file",
            kwargs={"content_id": load.file.content_id},
            timeout=tomorrow - now + DEFERRAL_GRACE,
        )

    @fail_on_terminal_error
    def resume_after_other_file(
        self, context: Context, event: dict[str, Any], content_id: str
    ) -> dict[str, Any]:
        """Upload, after the vendor has processed the other file of the day, or the day is over.

        :param content_id: of the list.
        :raises AirflowFailException: the vendor rejects the request.
        """
        if event["status"] == "error":
            raise fail_from_event(event)
        return self._run(context, resumed_content_id=content_id)

    def _trigger(
        self, audience_id: int, deadline: float, **awaited: Any
    ) -> DigitalAudienceAudienceStateTrigger:
        return DigitalAudienceAudienceStateTrigger(
            conn_id=self.digital_audience_conn_id,
            audience_id=audience_id,
            rules=self.rules,
            poll_interval=self.poke_interval,
            deadline=deadline,
            **awaited,
        )
