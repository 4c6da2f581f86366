"""Erasure from an audience of Digital Audience: an opt-out file, a wait, then the snapshots.

Source: the vendor's page "Updating audiences via S3": ``opt-out`` removes "matching records", without a
definition of a match. So each hash has its own row: it should remove each record that matches one of them.
"""

from __future__ import annotations

import hashlib
import logging
import time as clock
from collections.abc import Iterator
from datetime import datetime, time, timedelta, timezone
from functools import partial
from typing import Any

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.erasure import (
    ErasureDeferral,
    ErasureJob,
    ErasureResult,
    SnapshotEraser,
    mapped_hashes,
    not_applicable,
)
from audience_onboarding.base.snapshot_diff import OPT_OUT
from audience_onboarding.crm.snapshots.subjects import build_opt_out_file
from audience_onboarding.exceptions import TerminalError, UploadConflictError
from audience_onboarding.platforms.digital_audience.confirmation import Baseline
from audience_onboarding.platforms.digital_audience.definition import VENDOR_PREFIX, DigitalAudienceDefinition
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.load_files import (
    baseline_metadata,
    check_daily_files,
    get_bucket,
    read_baseline,
)
from audience_onboarding.platforms.digital_audience.sensors import audience_failed
from audience_onboarding.platforms.digital_audience.triggers import DigitalAudienceAudienceStateTrigger
from audience_onboarding.platforms.digital_audience.upload_log import (
    UploadEntry,
    UploadLog,
    record_erasure_upload,
)
from audience_onboarding.state.create_once import check_not_retired, get_audience_id
from audience_onboarding.state.remote_ids import parse_int_id
from audience_onboarding.state.store import StateStore

log = logging.getLogger(__name__)

OTHER_FILE, OUR_FILE = "other file", "our file"

_LOAD_TIMES = (time(0, 0, 0), time(23, 59, 59))
"""Times in the keys of loads: of a single date, and of a range."""


def find_audience_id(definition: DigitalAudienceDefinition, store: StateStore) -> int | None:
    """Return the audience's id, ``None`` if there is none yet.

    :raises AudienceRetiredError: it was retired.
    """
    check_not_retired(store)
    return get_audience_id(
        definition.id,
        store,
        account=lambda: DigitalAudienceHook(definition.conn_id).client.settings.account,
        read=parse_int_id,
    )


def erasure_key(audience_id: int, at: datetime, *, is_gzip: bool = False) -> str:
    """Return the key of an erasure's file: the second of its run, and never that of a load.

    :param at: time of the run in UTC.
    """
    at = at.replace(microsecond=0)
    if at.time() in _LOAD_TIMES:
        at += timedelta(seconds=1 if at.time() == time() else -1)
    end = ".csv.gz" if is_gzip else ".csv"
    return f"{VENDOR_PREFIX}audience={audience_id}/{OPT_OUT}/{at:%Y%m%d_%H%M%S}{end}"


def start(job: ErasureJob) -> ErasureResult | ErasureDeferral:
    """Send the opt-out file, unless it exists, and wait until the vendor has processed it."""
    definition: DigitalAudienceDefinition = job.definition
    hashes = mapped_hashes(job)
    if not hashes.count:
        return not_applicable(job)
    audience_id = find_audience_id(definition, job.store)
    if audience_id is None:
        return ErasureResult("not_found", "There is no audience yet")
    row_count = SnapshotEraser(job, audience_id).count_rows()
    if row_count == 0 and not job.ignore_snapshots and not job.done("sent"):
        return ErasureResult("not_found", "Its snapshots hold none of them")
    if job.is_dry_run:
        held = f"it holds them in {row_count} rows"
        if row_count is None:
            held = "it has no snapshots, so the number of its rows is unknown"
        return ErasureResult("would_erase", f"An opt-out of {hashes.count} rows would be sent; {held}")
    content = build_opt_out_file(hashes, definition.file_profile)
    return _send(job, definition, audience_id, content, hashes.count)


def resume(job: ErasureJob, after: str, event: dict[str, Any]) -> ErasureResult | ErasureDeferral:
    """Continue after the vendor has processed another file of the day, or ours.

    :raises TerminalError: processing of ours failed or timed out, or the vendor rejects the request.
    """
    if event["status"] == "error":
        raise TerminalError(
            what="The vendor rejects the request",
            where="Digital Audience",
            why=f"{event['error']}: {event['message']}",
            next_step="Fix the cause, then clear this task; nothing is sent twice",
        )
    if after == OTHER_FILE:
        job.note("day", "waited")
        return start(job)
    if event["status"] == "failed":
        raise audience_failed("The opt-out", event["message"])
    if event["status"] == "timeout":
        raise TerminalError(
            what=f"The vendor did not process the opt-out within {job.definition.wait.timeout_hours:g} hours",
            where="Digital Audience",
            why=str(event["message"]),
            next_step="Check the audience in the vendor's portal, then clear this task to wait again; nothing is sent "
            "twice",
        )
    audience_id = find_audience_id(job.definition, job.store)
    erased = SnapshotEraser(job, audience_id).erase()
    rows = int((job.done("sent") or {}).get("rows", 0))
    return ErasureResult(
        "erased",
        "The vendor has processed the opt-out. Its pages do not define a match",
        {"rows_sent": rows, "erased_from_snapshot": erased},
    )


class _WaitForOtherFile(Exception):  # noqa: N818 - no error
    def __init__(self, deferral: ErasureDeferral) -> None:
        super().__init__()
        self.deferral = deferral


def _send(
    job: ErasureJob, definition: DigitalAudienceDefinition, audience_id: int, content: bytes, rows: int
) -> ErasureDeferral:
    from audience_onboarding.storage.s3_upload import publish_object

    client = DigitalAudienceHook(definition.conn_id).client
    baseline = Baseline.of(client.load_audience(audience_id))
    connection = definition.upload.aws_conn_id
    bucket = get_bucket(connection, definition.upload.bucket)
    is_gzip = definition.file_profile.compression == "gzip"
    key = erasure_key(audience_id, job.utc, is_gzip=is_gzip)
    upload = UploadEntry(
        key=key,
        # The content id of a single hash would identify the person like the hash itself.
        content_id="",
        load=f"{job.utc.date().isoformat()} {OPT_OUT} erasure-{job.utc:%H%M%S}",
        load_date=job.utc.date().isoformat(),
        mode=OPT_OUT,
        rows=rows,
        at=datetime.now(timezone.utc).isoformat(),
        token="",
        baseline=baseline.to_dict(),
    )

    def before_writing() -> None:
        _check_day(job, definition, audience_id, upload)
        record_erasure_upload(job.store, upload)
        job.note("sent", {"rows": rows})

    try:
        published = publish_object(
            s3_client(connection),
            bucket=bucket,
            key=key,
            chunks=partial(_split, content),
            content_id=hashlib.sha256(content).hexdigest(),
            size=len(content),
            metadata={"rows": str(rows), **job.run, **baseline_metadata(baseline)},
            before_writing=before_writing,
        )
    except _WaitForOtherFile as wait:
        return wait.deferral
    except UploadConflictError as error:
        error.next_step = "Another erasure was started in the same second. Trigger this one again"
        error.add_next_step("Nothing was sent")
        raise
    job.note("sent", {"rows": rows})
    verb = "exists already" if published.unchanged else "was uploaded"
    log.info("The opt-out of %s rows %s: s3://%s/%s", rows, verb, bucket, key)
    seconds = timedelta(hours=definition.wait.timeout_hours).total_seconds()
    baseline = read_baseline(published.metadata)
    awaited = {"baseline": baseline.to_dict(), "mode": OPT_OUT, "rows": rows}
    return _defer(definition, audience_id, seconds, OUR_FILE, **awaited)


def _split(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def _check_day(
    job: ErasureJob, definition: DigitalAudienceDefinition, audience_id: int, upload: UploadEntry
) -> None:
    """Apply ``on_second_daily_file``, see :func:`.load_files.check_daily_files`."""
    now = datetime.now(timezone.utc)
    others = UploadLog(job.store).same_day_uploads(now, key=upload.key, load=upload.load)
    if job.done("day"):
        return
    tomorrow = check_daily_files(others, definition.upload.on_second_daily_file, now=now, log=log)
    if tomorrow is None:
        return
    raise _WaitForOtherFile(
        _defer(definition, audience_id, (tomorrow - now).total_seconds(), OTHER_FILE, **others[-1].awaited)
    )


def _defer(
    definition: DigitalAudienceDefinition, audience_id: int, seconds: float, after: str, **awaited: Any
) -> ErasureDeferral:
    wait = definition.wait
    trigger = DigitalAudienceAudienceStateTrigger(
        conn_id=definition.conn_id,
        audience_id=audience_id,
        rules=wait,
        poll_interval=wait.poll_interval_seconds,
        deadline=clock.time() + seconds,
        **awaited,
    )
    return ErasureDeferral(trigger, seconds, after)
