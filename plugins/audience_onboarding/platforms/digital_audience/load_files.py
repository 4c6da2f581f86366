"""Files of one load in the audience's folder of the vendor's bucket: each is written once, and again only if needed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from audience_onboarding.base.load import LoadContext
from audience_onboarding.base.metrics import upload_measured
from audience_onboarding.base.openlineage import DatasetRef, DatasetWrite
from audience_onboarding.base.snapshot_diff import MIRROR, REPLACE
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConfigurationError,
    DailyFileLimitError,
    TransientError,
    UploadConflictError,
)
from audience_onboarding.platforms.digital_audience.confirmation import Baseline
from audience_onboarding.platforms.digital_audience.definition import object_key
from audience_onboarding.platforms.digital_audience.models import Audience
from audience_onboarding.platforms.digital_audience.upload_log import (
    LIST_ID,
    TOKEN,
    UploadEntry,
    UploadLog,
    find_later_confirmed,
)
from audience_onboarding.state.store import ERASURE_UPLOAD_LOG_KEY, format_period

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from audience_onboarding.crm.output.crm_file import CrmFile
    from audience_onboarding.storage.s3_upload import PublishResult
    from audience_onboarding.storage.s3_write import ExistingObject

log = logging.getLogger(__name__)

LOAD_DATE = "load-date"
RANGE_START = "range-start"
BASELINE_PREFIX = "baseline-"
"""The metadata of an object holds the baseline of its upload, so that a later try finds both."""


@dataclass
class LoadFiles:
    """The files of one load.

    :param client: of the vendor's bucket.
    :param audience: as it was before the upload.
    :param is_gzip: whether files are compressed.
    :param allow_unconditional: see :func:`~..storage.s3_upload.upload_once`.
    :param check_day: called with a key right before its file is written; may defer the task.
    :param metric_tags: of the load.
    """

    client: S3Client
    bucket: str
    audience: Audience
    load: LoadContext
    is_gzip: bool
    allow_unconditional: bool
    check_day: Callable[[LoadFiles, str], None]
    metric_tags: Mapping[str, str]
    uploads: UploadLog = field(init=False)
    baseline: Baseline = field(init=False)

    def __post_init__(self) -> None:
        self.uploads = UploadLog(self.load.store)
        self.baseline = Baseline.of(self.audience)

    def publish(self, mode: str, file: CrmFile) -> PublishResult:
        """Write a file into the folder of a mode, unless it exists and is still valid."""
        from audience_onboarding.storage.s3_upload import publish_object

        load, key, token = self.load, self._key(mode), uuid.uuid4().hex
        ti = load.context["ti"]
        with upload_measured(None, **self.metric_tags) as measured:
            published = publish_object(
                self.client,
                bucket=self.bucket,
                key=key,
                chunks=file.chunks,
                content_id=file.content_id,
                size=file.size,
                metadata={
                    LOAD_DATE: load.load_date.isoformat(),
                    **({RANGE_START: load.range_start.isoformat()} if load.range_start else {}),
                    "dag-id": ti.dag_id,
                    "run-id": ti.run_id,
                    "rows": str(file.rows),
                    LIST_ID: load.file.content_id,
                    TOKEN: token,
                    **baseline_metadata(self.baseline),
                },
                overwrite=load.overwrite,
                must_overwrite=lambda existing: self._is_outdated(existing, file),
                before_writing=lambda: self._before_writing(mode, file, token),
                allow_unconditional=self.allow_unconditional,
            )
            if not published.unchanged:
                measured.size = published.size
        self.uploads.mark_written(published.metadata.get(TOKEN, ""))
        dataset = DatasetRef(f"s3://{self.bucket}", key)
        if published.unchanged:
            load.lineage.written.append(DatasetWrite(dataset))
            log.info("s3://%s/%s already has this content: nothing to send", self.bucket, key)
            return published
        change: Any = "OVERWRITE" if published.overwritten else "CREATE"
        load.lineage.written.append(DatasetWrite(dataset, file.rows, published.size, change))
        log.info("Uploaded %s rows to s3://%s/%s", file.rows, self.bucket, key)
        return published

    def contains(self, mode: str, file: CrmFile) -> bool:
        """Return whether a file of this load surely was written, and nothing else since."""
        return self.uploads.contains(self._key(mode), file.content_id, self.load.identity)

    def _key(self, mode: str) -> str:
        day, is_range = self.load.load_date, self.load.range_start is not None
        return object_key(self.audience.id, mode, day, is_gzip=self.is_gzip, is_range=is_range)

    def _before_writing(self, mode: str, file: CrmFile, token: str) -> None:
        load, key = self.load, self._key(mode)
        if load.store.get(ERASURE_UPLOAD_LOG_KEY) != load.erasures:
            raise TransientError(
                what="People were erased from the audience while the list was prepared, so it may contain them",
                where=key,
                next_step="Airflow retries automatically, and reads the source again",
            )
        self.check_day(self, key)
        self._begin_snapshot()
        self.uploads.start(
            UploadEntry(
                key=key,
                content_id=file.content_id,
                load=load.identity,
                load_date=load.load_date.isoformat(),
                mode=mode,
                rows=file.rows,
                at=datetime.now(timezone.utc).isoformat(),
                token=token,
                baseline=self.baseline.to_dict(),
            )
        )

    def _begin_snapshot(self) -> None:
        if self.load.diff is not None:
            self.load.diff.begin(is_whole=self.load.mode in FULL_LIST_MODES)

    def _is_outdated(self, existing: ExistingObject, file: CrmFile) -> bool:
        """Return whether the existing object has to be written again.

        Not an opt-in or opt-out, regardless of later uploads: a user who clears an old run must not bring back
        people who have opted out since. It is written again only with ``overwrite``.
        """
        load = self.load
        if existing.content_id != file.content_id:
            if not load.overwrite:
                self._check_same_range(existing)
            # The same list makes other changes once something else was sent in between.
            return load.mode == MIRROR and existing.metadata.get(LIST_ID) == load.file.content_id
        later = self._later_load_date(existing, file)
        if later is None:
            if load.mode in FULL_LIST_MODES:
                # Also if it was written before the audience had snapshots.
                self._begin_snapshot()
            return False
        if load.overwrite or load.mode == MIRROR:
            return True
        if load.mode != REPLACE or later > load.load_date.isoformat():
            return False
        text = "s3://%s/%s has this content, but the load of %s was uploaded after it: uploading again"
        log.info(text, self.bucket, existing.key, later)
        return True

    def _check_same_range(self, existing: ExistingObject) -> None:
        """Explain a conflict between ranges that share a key because they end on the same date.

        :raises UploadConflictError: the object is of another range.
        """
        load = self.load
        period = format_period(existing.metadata.get(LOAD_DATE, ""), existing.metadata.get(RANGE_START))
        if load.range_start is None or period == load.period:
            return
        raise UploadConflictError(
            what=f"The load of {period} exists, ends on the same date as {load.period} and so has the same key, with "
            "other content",
            where=f"s3://{self.bucket}/{existing.key}",
            next_step="Load the missing dates as a range that ends on another date. To replace the existing load, "
            f"trigger this one again {OVERWRITE_HINT}",
        )

    def _later_load_date(self, existing: ExistingObject, file: CrmFile) -> str | None:
        """Return the date of the last other load that was uploaded after this object."""
        load = self.load
        if self.uploads.is_empty():
            return find_later_confirmed(
                load.store, period=load.period, mode=load.mode, content_id=load.file.content_id
            )
        others = self.uploads.uploads_after(existing.key, file.content_id, existing.metadata, load.identity)
        if load.mode == REPLACE and not load.overwrite:
            # An opt-in or opt-out does not replace the list.
            others = [entry for entry in others if entry.replaces]
        return others[-1].load_date if others else None


def get_bucket(aws_conn_id: str, bucket: str | None = None) -> str:
    """Return the vendor's bucket: ``bucket``, or the one that the AWS connection names.

    :raises ConfigurationError: neither names one.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    name = bucket or S3Hook(aws_conn_id=aws_conn_id).service_config.get("bucket_name")
    if not name:
        raise ConfigurationError(
            what="The vendor's bucket is unknown",
            where=f"AWS connection {aws_conn_id!r}",
            next_step="Name it in the definition (upload.bucket), or in the extra of the connection as "
            '{"service_config": {"s3": {"bucket_name": "..."}}}',
        )
    return str(name)


def check_daily_files(
    others: Sequence[UploadEntry], rule: str, *, now: datetime, log: Any
) -> datetime | None:
    """Apply ``on_second_daily_file``: the vendor recommends at most one file per audience and day.

    :param others: uploads of the day (UTC) that count.
    :param log: logger of the task.
    :return: the end of the day if the caller must wait until then, or until the vendor has processed the last upload.
    :raises DailyFileLimitError: there are uploads, and the rule is ``fail``.
    """
    if not others:
        return None
    keys = ", ".join(sorted({other.key for other in others}))
    if rule == "warn":
        log.warning("The vendor recommends one file per audience and day; today (UTC) there was %s", keys)
        return None
    if rule == "fail":
        raise DailyFileLimitError(
            what="There was a file for this audience today (UTC), and the definition allows no second one",
            where=keys,
            next_step="Clear this task tomorrow, or set 'upload.on_second_daily_file' to 'warn' or 'wait'",
        )
    log.info("Waiting until the vendor has processed %s, or the day (UTC) is over", others[-1].key)
    return datetime.combine(now.date() + timedelta(days=1), time(), tzinfo=timezone.utc)


def baseline_metadata(baseline: Baseline) -> dict[str, str]:
    """Return a baseline as object metadata."""
    return {BASELINE_PREFIX + name.replace("_", "-"): value for name, value in baseline.to_dict().items()}


def read_baseline(metadata: Mapping[str, str]) -> Baseline:
    """Return the baseline in an object's metadata."""
    names = Baseline.__dataclass_fields__
    return Baseline.from_dict(
        {name: metadata.get(BASELINE_PREFIX + name.replace("_", "-")) for name in names}
    )
